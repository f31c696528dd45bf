//! The demo: one task for each of some thousand files, on three nodes of which two are killed while they work. It
//! drives the others of this crate in order and leaves judging to the verdict.

use crate::cluster::{self, Cluster, Layout};
use crate::http::Task;
use crate::killer::{self, Kill, Succession, Victim};
use crate::progress::{Progress, say};
use crate::report::Report;
use crate::verdict::{self, Asked, Ending};
use crate::witness::Log;
use crate::workload::{self, Picked};
use anyhow::Context as _;
use clap::{Args, value_parser};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Tasks in one batch; the API takes 1,000 and 1 MiB.
const BATCH: usize = 500;
/// Whom to kill after how many thirds of the work.
const KILLS: [(usize, Victim); 2] = [(1, Victim::Leader), (2, Victim::Follower)];
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

/// Runs the demo, until it is told to end.
pub(crate) async fn run_until_signal(options: &Options) -> anyhow::Result<Ending> {
    crate::stage::until_signal(run(options)).await
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
    let Driven { kills, succession } = drive(&mut cluster, &mut log, count).await?;
    let took = begun.elapsed();
    let tasks = final_tasks(&cluster, &ids).await?;
    log.catch_up()?;
    let asked = with_sums(ids, &files)?;
    let history = cluster.client().leader_history().await?;
    let verdict = verdict::judge(&asked, log.notes(), &tasks);
    let ending = verdict.ending(KILLS.len(), kills.len());
    let report = Report {
        asked: &asked,
        bytes: files.iter().map(|file| file.bytes).sum(),
        notes: log.notes(),
        tasks: &tasks,
        kills: &kills,
        succession: succession.as_ref(),
        history: &history,
        verdict: &verdict,
        ending,
        took,
    };
    say(report.text().trim_end())?;
    Ok(ending)
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
    let dir = cluster::emptied(&options.work.join("cluster"))?;
    let token = cluster::new_token()?;
    Ok(Layout {
        tenure,
        etcd,
        nodes: usize::from(options.nodes),
        members: cluster::MEMBERS,
        slots: options.slots,
        token,
        dir,
        env: Vec::new(),
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

/// What was done to the cluster, and what came of it.
struct Driven {
    kills: Vec<Kill>,
    succession: Option<Succession>,
}

/// Watches the work through the witness, and kills when so much of it is done.
async fn drive(cluster: &mut Cluster, log: &mut Log, count: usize) -> anyhow::Result<Driven> {
    let progress = Progress::new(count);
    let mut due = KILLS
        .iter()
        .map(|(thirds, victim)| (thirds * count / 3, *victim))
        .peekable();
    let mut kills = Vec::new();
    // At most one: there is one leader to kill.
    let mut watching = JoinSet::new();
    let (mut done, mut moved) = (0, Instant::now());
    while done < count && moved.elapsed() < STALLED {
        log.catch_up()?;
        if log.tasks_done() > done {
            (done, moved) = (log.tasks_done(), Instant::now());
        }
        progress.at(done)?;
        if let Some((_, victim)) = due.next_if(|(at, _)| done >= *at)
            && let Some(kill) = killer::strike(cluster, log, victim).await?
        {
            progress.tell(&format!(
                "killed {} with -9 at {done} of {count}",
                kill.node
            ))?;
            if victim == Victim::Leader {
                let client = Arc::clone(cluster.client());
                watching.spawn(killer::succession(client, kill.node.clone(), kill.at));
            }
            kills.push(kill);
        }
        cluster.ensure_alive()?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    progress.finish();
    let succession = watching.join_next().await.transpose()?.flatten();
    Ok(Driven { kills, succession })
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
