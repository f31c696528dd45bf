//! What the kill tests share before and after their own story: where they run and from what, how they are told to stop, and
//! when their work is over.

use crate::cluster::{self, Cluster, Layout};
use crate::recorder::Seen;
use anyhow::Context as _;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Three nodes: one may be away while another takes over.
pub(crate) const NODES: usize = 3;
/// 100 s for all work to end once nothing is broken any more.
pub(crate) const DRAINED_WITHIN: Duration = Duration::from_secs(100);

/// Where a test runs, and from what.
#[derive(Args)]
pub(crate) struct Place {
    /// The tenure binary
    #[arg(long, required_unless_present = "saved")]
    tenure: Option<PathBuf>,
    /// The directory that holds etcd
    #[arg(long, required_unless_present = "saved")]
    etcd: Option<PathBuf>,
    /// Where logs and etcd's data go, in a directory named as the test is, that is made anew
    #[arg(long, required_unless_present = "saved")]
    work: Option<PathBuf>,
}

impl Place {
    /// Checks the binaries. The directory is `name` in the one that was said, and is not touched.
    pub(crate) fn layout(&self, name: &str, slots: u32) -> anyhow::Result<Layout> {
        let there = |path: &Option<PathBuf>| {
            let path = path.as_deref().context("not said where")?;
            path.canonicalize()
                .with_context(|| path.display().to_string())
        };
        let (tenure, etcd) = (there(&self.tenure)?, there(&self.etcd)?);
        cluster::check_binaries(&tenure, &etcd)?;
        let work = self.work.as_deref().context("not said where")?;
        Ok(Layout {
            tenure,
            etcd,
            nodes: NODES,
            members: cluster::MEMBERS,
            slots,
            token: cluster::new_token()?,
            dir: work.join(name),
            env: Vec::new(),
        })
    }

    /// The same, with the directory made anew.
    pub(crate) fn fresh(&self, name: &str, slots: u32) -> anyhow::Result<Layout> {
        let layout = self.layout(name, slots)?;
        let dir = cluster::emptied(&layout.dir)?;
        Ok(Layout { dir, ..layout })
    }
}

/// The options that say the same place again.
pub(crate) fn again(layout: &Layout) -> String {
    format!(
        "--tenure {} --etcd {} --work {}",
        layout.tenure.display(),
        layout.etcd.display(),
        layout.dir.parent().unwrap_or(Path::new(".")).display()
    )
}

/// Runs it; an interrupt, a TERM or a terminal that is closed ends it and everything it started.
pub(crate) async fn until_signal<T>(
    run: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        ended = run => ended,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = term.recv() => anyhow::bail!("terminated"),
        _ = hangup.recv() => anyhow::bail!("hung up"),
    }
}

/// Waits until nothing is ready, due or claimed. What is left then is for the checks to say.
pub(crate) async fn drained(
    cluster: &mut Cluster,
    mut seen: watch::Receiver<Seen>,
) -> anyhow::Result<()> {
    let empty = seen.wait_for(|seen| seen.open <= 0);
    if let Ok(empty) = tokio::time::timeout(DRAINED_WITHIN, empty).await {
        empty.context("the recorder has ended")?;
    }
    cluster.ensure_alive()
}
