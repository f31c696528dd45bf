//! The crash test of one machine: a node with its own etcd is killed with -9 over and over while tasks are submitted to it, and
//! started again on the same directory. It drives and counts; judging is the verdict's.

mod verdict;

use crate::cluster::{answers, emptied, free_ports, new_token, url};
use crate::http::{Client, Task};
use crate::process::Process;
use crate::progress::say;
use crate::verdict::Ending;
use anyhow::Context as _;
use clap::{Args, value_parser};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Clients that submit at the same time, each its next when it was answered.
const SUBMITTERS: usize = 32;
/// Tasks of a submit: every other client sends single tasks, the others batches.
const BATCH: usize = 10;
/// Reads at a time when all is over.
const READERS: usize = 16;
/// Without another task accepted, or ended, for this long, nothing more is waited for.
const STALLED: Duration = Duration::from_mins(1);
/// The queue of all these tasks.
const QUEUE: &str = "crash";

#[derive(Args)]
pub(crate) struct Options {
    /// The tenure binary
    #[arg(long)]
    tenure: PathBuf,
    /// Tasks to be acknowledged, at least
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(100..=1_000_000))]
    tasks: u32,
    /// Times that the node is killed with submits in flight
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u8).range(1..=100))]
    kills: u8,
    /// Where the log and the node's directory go, in a directory `crash` that is made anew
    #[arg(long)]
    work: PathBuf,
}

/// One kill as it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    /// Submits that had been sent and not answered.
    pub(crate) in_flight: usize,
    /// Tasks that had been acknowledged.
    pub(crate) acknowledged: usize,
    /// From the kill until the node was ready again.
    pub(crate) away: Duration,
}

/// The node, and how it is started again.
struct Machine {
    tenure: PathBuf,
    dir: PathBuf,
    port: u16,
    token: String,
    process: Process,
}

impl Machine {
    async fn start(tenure: PathBuf, dir: PathBuf) -> anyhow::Result<Self> {
        let port = free_ports(1)?[0];
        let token = new_token()?;
        let process = Self::process(&tenure, &dir, port, &token)?;
        let mut machine = Self {
            tenure,
            dir,
            port,
            token,
            process,
        };
        machine.is_ready().await?;
        Ok(machine)
    }

    fn process(tenure: &Path, dir: &Path, port: u16, token: &str) -> anyhow::Result<Process> {
        let mut command = Command::new(tenure);
        command.args(["server", "--embedded"]).current_dir(dir);
        command
            .env("TENURE_NODE_NAME", "n1")
            .env("TENURE_TOKEN", token)
            .env("TENURE_DATA_DIR", dir.join("data"))
            .env("TENURE_LISTEN", format!("127.0.0.1:{port}"));
        Process::start("n1", command, dir)
    }

    async fn is_ready(&mut self) -> anyhow::Result<()> {
        let address = format!("{}/readyz", url(Ipv4Addr::LOCALHOST, self.port));
        answers(&address, std::iter::once(&mut self.process)).await
    }

    /// kill -9, and the same once more on the same directory; how long it took until it was ready.
    async fn crash(&mut self) -> anyhow::Result<Duration> {
        let since = Instant::now();
        self.process.kill()?;
        self.process = Self::process(&self.tenure, &self.dir, self.port, &self.token)?;
        self.is_ready().await?;
        Ok(since.elapsed())
    }
}

/// Runs it, until it is told to end.
pub(crate) async fn run_until_signal(options: &Options) -> anyhow::Result<Ending> {
    crate::stage::until_signal(run(options)).await
}

async fn run(options: &Options) -> anyhow::Result<Ending> {
    let begun = Instant::now();
    let tenure = options.tenure.canonicalize();
    let tenure = tenure.with_context(|| options.tenure.display().to_string())?;
    let dir = emptied(&options.work.join("crash"))?;
    let mut machine = Machine::start(tenure, dir).await?;
    let client = Arc::new(Client::new(
        vec![url(Ipv4Addr::LOCALHOST, machine.port)],
        &machine.token,
    )?);
    let (kills, ids) = submit_and_kill(options, &mut machine, &client).await?;
    say("submits have ended, waiting for the ends of the tasks")?;
    let ended = read_all(&client, &ids).await?;
    // What was told once must be told again by a store that was cut off once more.
    machine.crash().await?;
    let again = read_all(&client, &ids).await?;
    let known = client.count(QUEUE).await?;
    let verdict = verdict::judge(
        options.tasks as usize,
        &kills,
        &ids,
        [&ended, &again],
        known,
    );
    say(verdict.text(&kills, begun.elapsed()).trim_end())?;
    Ok(verdict.ending())
}

/// Keeps submitting while the node is killed; the kills, and every id that was acknowledged, under the key it was submitted with.
async fn submit_and_kill(
    options: &Options,
    machine: &mut Machine,
    client: &Arc<Client>,
) -> anyhow::Result<(Vec<Kill>, BTreeMap<String, Vec<String>>)> {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let (stop, stopped) = watch::channel(false);
    // As much as all submitters hold together; a full one makes them wait.
    let (acknowledge, mut acknowledged) = mpsc::channel(SUBMITTERS);
    let mut submitters = JoinSet::new();
    for who in 0..SUBMITTERS {
        let submitter = Submitter {
            who,
            client: Arc::clone(client),
            in_flight: Arc::clone(&in_flight),
            acknowledge: acknowledge.clone(),
        };
        submitters.spawn(submitter.go_on(stopped.clone()));
    }
    drop(acknowledge);
    let (mut kills, mut ids, mut count) = (Vec::new(), BTreeMap::new(), 0);
    let each = (options.tasks as usize).div_ceil(usize::from(options.kills));
    for number in 1..=usize::from(options.kills) {
        while count < number * each {
            let next = tokio::time::timeout(STALLED, acknowledged.recv()).await;
            let (key, some): (String, Vec<String>) = next
                .context("nothing more was acknowledged")?
                .context("nobody submits any more")?;
            count += some.len();
            ids.insert(key, some);
        }
        let at_kill = in_flight.load(Ordering::SeqCst);
        let away = machine.crash().await?;
        say(&format!(
            "kill {number}: {at_kill} submits in flight, {count} tasks acknowledged, ready again after {away:.1?}"
        ))?;
        kills.push(Kill {
            in_flight: at_kill,
            acknowledged: count,
            away,
        });
    }
    stop.send_replace(true);
    while let Some((key, some)) = acknowledged.recv().await {
        ids.insert(key, some);
    }
    while let Some(ended) = submitters.join_next().await {
        ended??;
    }
    Ok((kills, ids))
}

struct Submitter {
    who: usize,
    client: Arc<Client>,
    in_flight: Arc<AtomicUsize>,
    acknowledge: mpsc::Sender<(String, Vec<String>)>,
}

impl Submitter {
    /// Submits until told to stop. What was not answered is sent again under its key until it is.
    async fn go_on(self, stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
        let tasks = vec![json!({ "kind": "noop", "queue": QUEUE }); BATCH];
        for number in 0.. {
            let key = format!("{}-{number}", self.who);
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            let answered = if self.who.is_multiple_of(2) {
                self.client.submit_one(&tasks[0], &key).await
            } else {
                self.client.submit(&tasks, &key).await
            };
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            if self.acknowledge.send((key, answered?)).await.is_err() || *stopped.borrow() {
                break;
            }
        }
        Ok(())
    }
}

/// Every task once it has ended, as far as they end.
async fn read_all(
    client: &Arc<Client>,
    ids: &BTreeMap<String, Vec<String>>,
) -> anyhow::Result<BTreeMap<String, Task>> {
    let ids: Arc<Vec<String>> = Arc::new(ids.values().flatten().cloned().collect());
    let mut readers = JoinSet::new();
    for first in 0..READERS {
        let (client, ids) = (Arc::clone(client), Arc::clone(&ids));
        readers.spawn(async move {
            let mut tasks = Vec::new();
            for id in ids.iter().skip(first).step_by(READERS) {
                let until = Instant::now() + STALLED;
                loop {
                    let task = client.task_when_ended(id).await?;
                    if task.as_ref().is_none_or(Task::is_ended) || Instant::now() > until {
                        tasks.extend(task.map(|task| (id.clone(), task)));
                        break;
                    }
                }
            }
            anyhow::Ok(tasks)
        });
    }
    let mut tasks = BTreeMap::new();
    while let Some(read) = readers.join_next().await {
        tasks.extend(read??);
    }
    Ok(tasks)
}
