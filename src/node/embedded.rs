//! The etcd that a process of ours brings along: opened before its nodes, served on a port where asked, ended after them. Never
//! looks at what is stored.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tenure_cluster::{Connection, Options};
use tenure_embedded::{Embedded, OpenError};
use tracing::{info, warn};

use crate::config::{self, Config, bounds};

/// The directory below `data-dir`, so that other things can be kept beside it.
const BELOW: &str = "etcd";

/// 10 s for its clients to hang up and for the last commit; what was acknowledged is on disk before.
const CLOSING: Duration = Duration::from_secs(10);

/// An etcd of our own, answering. Dropped, it ends without its clients being told.
pub struct OwnEtcd {
    server: Embedded,
    /// For messages: where it keeps what it holds.
    place: String,
}

impl OwnEtcd {
    /// Opens what the settings ask for, if they do; serves it on its port, where it shall have one.
    ///
    /// # Errors
    /// The directory is in use, not ours, damaged, or cannot be read or written; the port cannot be listened on.
    pub async fn open(config: &Config) -> anyhow::Result<Option<Self>> {
        let dir = match (config.embedded, &config.data_dir) {
            (config::Embedded::No, _) => return Ok(None),
            (config::Embedded::Memory, _) => None,
            (config::Embedded::Durable, dir) => {
                let dir = dir.as_ref().context("data-dir: name a directory")?;
                Some(dir.join(BELOW))
            }
        };
        let options = tenure_embedded::Options {
            quota_bytes: usize::try_from(config.etcd_quota.0).ok(),
            ..tenure_embedded::Options::default()
        };
        let own = match dir {
            Some(dir) => Self::durable(dir, options).await?,
            None => Self {
                server: Embedded::in_memory(&options),
                place: "the embedded etcd in memory".to_owned(),
            },
        };
        own.listen(config).await?;
        Ok(Some(own))
    }

    async fn durable(dir: PathBuf, options: tenure_embedded::Options) -> anyhow::Result<Self> {
        let place = format!("the embedded etcd in {}", dir.display());
        // It reads all that is there.
        let opened = tokio::task::spawn_blocking(move || Embedded::open(&dir, &options));
        let opened: Result<Embedded, OpenError> = opened.await.context("opening the data-dir")?;
        let server = opened.context("data-dir")?;
        info!(place, revision = server.revision(), "opened");
        Ok(Self { server, place })
    }

    async fn listen(&self, config: &Config) -> anyhow::Result<()> {
        let Some(asked) = config.embedded_listen else {
            return Ok(());
        };
        let bound = self.server.listen(asked).await;
        let bound =
            bound.with_context(|| format!("embedded-listen: {asked} cannot be listened on"))?;
        info!("{} listens on {bound}", self.place);
        Ok(())
    }

    /// Another way to it, within the process.
    ///
    /// # Panics
    /// Never: a channel is all it takes.
    pub fn connection(&self) -> Connection {
        let channel = (self.place.clone(), self.server.channel());
        let options = Options {
            request_timeout: bounds::ETCD_TIMEOUT,
            ..Options::in_process([channel])
        };
        Connection::open(options).expect("a channel is all it takes")
    }

    /// Lives as long as its nodes do, and ends after them; where it can write or answer no more, they end at once.
    ///
    /// # Errors
    /// Theirs, or why it has failed.
    pub async fn during<T>(
        self,
        nodes: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let ended = tokio::select! {
            biased;
            why = self.server.failed() => Err(anyhow!("{} has failed: {why}", self.place)),
            ended = nodes => ended,
        };
        let closed = tokio::time::timeout(CLOSING, self.server.shutdown()).await;
        if closed.is_err() {
            warn!("clients of {} did not hang up", self.place);
        }
        ended
    }
}
