//! The limits test: tasks under semaphores, locks, weights and a rate on three nodes that are killed one after another, and others
//! who hold permits and locks from outside. It drives and records; the history is judged by the checks and measured by figures.

mod clients;
mod kills;
mod report;
mod scene;

use crate::calls::Caller;
use crate::chronicle::{Chronicle, Terms};
use crate::cluster::{Cluster, Layout};
use crate::http::Client;
use crate::progress::say;
use crate::recorder::Recorder;
use crate::stage::{self, DRAINED_WITHIN, NODES};
use crate::verdict::Ending;
use crate::workload::SplitMix;
use anyhow::Context as _;
use clap::{Args, value_parser};
use kills::Killer;
use report::Report;
use reqwest::Method;
use scene::Batch;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tenure_chaos::check::figures::Scene;
use tenure_chaos::check::{Limits, Property};
use tenure_chaos::history::History;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Those outside who acquire and release.
const HOLDERS: usize = 3;
/// 20 s for whoever was asked to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
/// What this puts to the test; the other checks judge what they find.
const EXPECTS: [Property; 13] = [
    Property::AcceptedNeverLost,
    Property::OneTerminalState,
    Property::OneActingLeader,
    Property::AttemptsBounded,
    Property::ReclaimBounded,
    Property::FailoverBounded,
    Property::Idempotency,
    Property::SemaphoreLimits,
    Property::LocksExclude,
    Property::OutsideHolds,
    Property::QueueLimits,
    Property::RateLimits,
    Property::Heals,
];

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: stage::Place,
    /// Makes the work, and how long kills are apart
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs at a time on each node
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=256))]
    slots: u32,
    /// Where the history goes; in that directory unless said
    #[arg(long)]
    history: Option<PathBuf>,
    /// Run nothing: measure and judge this history of an earlier run
    #[arg(long, conflicts_with_all = ["tenure", "etcd", "work", "history"])]
    saved: Option<PathBuf>,
}

/// Runs it, until it is told to end.
pub(crate) async fn run_until_signal(options: &Options) -> anyhow::Result<Ending> {
    stage::until_signal(run(options)).await
}

async fn run(options: &Options) -> anyhow::Result<Ending> {
    if let Some(path) = &options.saved {
        let history = History::load(path).with_context(|| path.display().to_string())?;
        return judge(&history, path, None);
    }
    let layout = options.place.fresh("limits", options.slots)?;
    let path = options
        .history
        .clone()
        .unwrap_or_else(|| layout.dir.join("history.jsonl"));
    let began = Instant::now();
    let chronicle = Chronicle::begin(Terms {
        seed: options.seed,
        root: Cluster::root(),
        limits: limits(),
        expects: EXPECTS.to_vec(),
    });
    let ran = record(&layout, options.seed, &chronicle).await;
    // Also of a run that broke off: it says why.
    let history = chronicle.close();
    history
        .save(&path)
        .with_context(|| path.display().to_string())?;
    ran.with_context(|| format!("the history so far is in {}", path.display()))?;
    let again = format!(
        "tenure-chaos limits {} --seed {} --slots {}",
        stage::again(&layout),
        options.seed,
        options.slots
    );
    let took = began.elapsed().as_secs_f64();
    say(&format!("all over after {took:.1} s"))?;
    judge(&history, &path, Some(&again))
}

/// Judges and measures; says what came of it.
fn judge(history: &History, path: &Path, again: Option<&str>) -> anyhow::Result<Ending> {
    let judgement = tenure_chaos::check::judge(history);
    let figures = tenure_chaos::check::figures::figures(history, &scene())
        .context("the history does not begin with its setup")?;
    let report = Report {
        history,
        judgement: &judgement,
        figures: &figures,
        path,
        again,
    };
    say(report.text().trim_end())?;
    report.ending()
}

/// What figures look for.
fn scene() -> Scene {
    Scene {
        shares: scene::SHARES.map(|(queue, weight)| (queue.to_owned(), weight)),
        rated: (scene::RATED.0.to_owned(), scene::RATED.1),
    }
}

/// The run, written down.
async fn record(layout: &Layout, seed: u64, chronicle: &Chronicle) -> anyhow::Result<()> {
    let mut dice = SplitMix(seed);
    let mut cluster = Cluster::start(layout).await?;
    let recorder = Recorder::start(cluster.endpoints(), &Cluster::root(), chronicle);
    rule(cluster.client()).await?;
    let work = scene::work(&mut dice);
    say(&format!(
        "three etcd members and {NODES} nodes are ready, {} tasks are made with seed {seed}; logs in {}",
        scene::total(&work),
        layout.dir.display()
    ))?;
    let (stop, stopped) = watch::channel(false);
    let mut clients = start_clients(&cluster, chronicle, &mut dice, work, &stopped);
    Killer::new(&mut cluster, chronicle, dice.split())
        .all()
        .await?;
    stop.send_replace(true);
    all_ended(&mut clients).await?;
    stage::drained(&mut cluster, recorder.seen()).await?;
    // A log without its end is judged as one of which nothing can be said.
    if let Err(error) = recorder.seal().await {
        say(&format!("the log is not whole: {error:#}"))?;
    }
    Ok(())
}

/// Everybody who asks for something, each a task of the set.
fn start_clients(
    cluster: &Cluster,
    chronicle: &Chronicle,
    dice: &mut SplitMix,
    work: Vec<Vec<Batch>>,
    stopped: &watch::Receiver<bool>,
) -> JoinSet<anyhow::Result<()>> {
    let caller = |name: String| Caller::new(name, cluster.client(), chronicle);
    let mut clients = JoinSet::new();
    for (number, batches) in work.into_iter().enumerate() {
        let caller = caller(format!("submitter-{number}"));
        clients.spawn(clients::submit(caller, dice.split(), batches));
    }
    for number in 0..HOLDERS {
        let caller = caller(format!("holder-{number}"));
        clients.spawn(clients::hold(caller, dice.split(), stopped.clone()));
    }
    clients.spawn(clients::leave(caller("careless".to_owned())));
    clients
}

/// The bounds of a real cluster on a busy machine; those that are not named are the usual ones.
fn limits() -> Limits {
    Limits {
        drain_ms: u64::try_from(DRAINED_WITHIN.as_millis()).expect("some seconds fit"),
        ..Limits::default()
    }
}

/// Sets all limits before there is work.
async fn rule(client: &Client) -> anyhow::Result<()> {
    for (path, body) in scene::rules() {
        client.until_done(Method::PUT, &path, Some(&body)).await?;
    }
    Ok(())
}

async fn all_ended(clients: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let ended = async {
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    let bound = STOPPED_WITHIN + DRAINED_WITHIN;
    tokio::time::timeout(bound, ended)
        .await
        .context("a client does not end")?
}
