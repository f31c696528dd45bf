//! The demo: one task for each of some thousand files, on three nodes of which two are killed while they work. It
//! drives the others of this crate in order and leaves judging to the verdict.

use crate::cluster::{self, Cluster, Layout};
use crate::http::Task;
use crate::killer::{self, Kill, Victim};
use crate::progress::{Progress, say};
use crate::report::Report;
use crate::verdict::{self, Asked};
use crate::witness::Log;
use crate::workload::{self, Picked};
use anyhow::Context as _;
use clap::{Args, value_parser};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Tasks in one batch; the API takes 1,000 and 1 MiB.
const BATCH: usize = 500;
/// Without a further file done for this long, nothing more is waited for and the verdict is given on what there is.
const STALLED: Duration = Duration::from_secs(90);
/// Where the files are looked for: every Debian has thousands there, and nothing changes them meanwhile.
const FILES_BELOW: &str = "/usr";

#[derive(Args)]
pub(crate) struct Options {
    /// The tenure binary
    #[arg(long)]
    tenure: PathBuf,
    /// The directory that holds etcd
    #[arg(long)]
    etcd: PathBuf,
    /// Files to hash, one task each
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u32).range(100..=100_000))]
    files: u32,
    /// Nodes; two of them are killed
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u8).range(3..=15))]
    nodes: u8,
    /// Picks the files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs at a time on each node
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    slots: u32,
    /// Where logs and etcd's data go, in a directory `cluster` that is made anew
    #[arg(long)]
    work: PathBuf,
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Pass,
    Violated,
    NotExercised,
}

impl Ending {
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Self::Pass => ExitCode::SUCCESS,
            Self::Violated => ExitCode::from(1),
            Self::NotExercised => ExitCode::from(3),
        }
    }
}

/// Runs the demo; an interrupt or a TERM ends it and everything it started.
pub(crate) async fn run_until_signal(options: &Options) -> anyhow::Result<Ending> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        ending = run(options) => ending,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = term.recv() => anyhow::bail!("terminated"),
    }
}

async fn run(options: &Options) -> anyhow::Result<Ending> {
    let layout = prepare(options)?;
    let count = usize::try_from(options.files)?;
    let files = workload::pick(Path::new(FILES_BELOW), count, options.seed)?;
    say(&format!(
        "{count} files below {FILES_BELOW} picked with seed {}",
        options.seed
    ))?;
    let witness_path = layout.dir.join("witness.jsonl");
    let mut log = Log::create(&witness_path)?;
    let mut cluster = Cluster::start(&layout).await?;
    say(&format!(
        "three etcd members and {} nodes are ready; logs in {}",
        layout.nodes,
        layout.dir.display()
    ))?;

    let begun = Instant::now();
    let ids = submit(&cluster, &files, &witness_path).await?;
    let kills = drive(&mut cluster, &mut log, count).await?;
    let took = begun.elapsed();
    let tasks = final_tasks(&cluster, &ids).await?;
    log.catch_up()?;
    let asked = with_sums(ids, &files)?;
    let history = cluster.client().leader_history().await?;
    let verdict = verdict::judge(&asked, log.notes(), &tasks);
    let (notes, bytes) = (log.notes(), files.iter().map(|file| file.bytes).sum());
    let report = Report {
        asked: &asked,
        bytes,
        notes,
        tasks: &tasks,
        kills: &kills,
        history: &history,
        verdict: &verdict,
        took,
    };
    say(report.text().trim_end())?;
    Ok(if !verdict.violations.is_empty() {
        Ending::Violated
    } else if verdict.reclaimed.is_empty() || kills.len() < 2 {
        Ending::NotExercised
    } else {
        Ending::Pass
    })
}

/// Checks the binaries and makes the directory, new.
fn prepare(options: &Options) -> anyhow::Result<Layout> {
    let tenure = options
        .tenure
        .canonicalize()
        .with_context(|| options.tenure.display().to_string())?;
    let etcd = options
        .etcd
        .canonicalize()
        .with_context(|| options.etcd.display().to_string())?;
    cluster::check_binaries(&tenure, &etcd)?;
    let dir = options.work.join("cluster");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let dir = dir.canonicalize()?;
    let token = format!(
        "demo-{:x}-{:x}",
        std::process::id(),
        crate::witness::now_us()
    );
    Ok(Layout {
        tenure,
        etcd,
        nodes: usize::from(options.nodes),
        slots: options.slots,
        token,
        dir,
    })
}

/// One task a file, in batches; the ids in the order of the files.
async fn submit(cluster: &Cluster, files: &[Picked], log: &Path) -> anyhow::Result<Vec<String>> {
    let witness = std::env::current_exe().context("where this program is")?;
    let mut ids = Vec::with_capacity(files.len());
    for (index, some) in files.chunks(BATCH).enumerate() {
        let specs: Vec<_> = some
            .iter()
            .map(|file| workload::spec(&witness, log, file))
            .collect();
        ids.extend(
            cluster
                .client()
                .submit(&specs, &format!("demo-batch-{index}"))
                .await?,
        );
    }
    Ok(ids)
}

/// Watches the work through the witness, and kills at a third and at two thirds of it.
async fn drive(cluster: &mut Cluster, log: &mut Log, count: usize) -> anyhow::Result<Vec<Kill>> {
    let progress = Progress::new(count);
    let mut due = vec![
        (2 * count / 3, Victim::Follower),
        (count / 3, Victim::Leader),
    ];
    let mut kills = Vec::new();
    let (mut done, mut moved) = (0, Instant::now());
    while done < count && moved.elapsed() < STALLED {
        log.catch_up()?;
        if log.tasks_done() > done {
            (done, moved) = (log.tasks_done(), Instant::now());
        }
        progress.at(done)?;
        if due.last().is_some_and(|(at, _)| done >= *at)
            && let Some((_, victim)) = due.pop()
            && let Some(kill) = killer::strike(cluster, log, victim).await?
        {
            progress.tell(&format!(
                "killed {} with -9 at {done} of {count}",
                kill.node
            ))?;
            kills.push(kill);
        }
        cluster.ensure_alive()?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    progress.finish();
    Ok(kills)
}

/// Every task as the cluster knows it in the end. A task may have run well and not be committed yet: each is waited for.
async fn final_tasks(cluster: &Cluster, ids: &[String]) -> anyhow::Result<BTreeMap<String, Task>> {
    let mut tasks = BTreeMap::new();
    let until = Instant::now() + STALLED;
    for id in ids {
        loop {
            let task = cluster.client().task_when_ended(id).await?;
            let ended = task.as_ref().is_none_or(Task::is_ended);
            if ended || Instant::now() > until {
                tasks.extend(task.map(|task| (id.clone(), task)));
                break;
            }
        }
    }
    Ok(tasks)
}

/// The ids with what they were for and what must come out.
fn with_sums(ids: Vec<String>, files: &[Picked]) -> anyhow::Result<Vec<Asked>> {
    let mut sums = workload::direct_sums(files)?;
    let with_sum = |(id, file): (String, &Picked)| {
        let sum = sums
            .remove(&file.path)
            .with_context(|| format!("sha256sum gave nothing for {}", file.path))?;
        Ok(Asked {
            id,
            path: file.path.clone(),
            sum,
        })
    };
    ids.into_iter().zip(files).map(with_sum).collect()
}
