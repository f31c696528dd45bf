//! The schedules test: many schedules that are due often on three nodes whose leader is killed again and again, then some that are
//! due while no node is there. It drives and records; the history is judged by the checks.

mod report;
mod scene;

use crate::chronicle::{Chronicle, Terms};
use crate::cluster::{Cluster, Layout};
use crate::http::Client;
use crate::progress::say;
use crate::reaper::Reaper;
use crate::recorder::Recorder;
use crate::stage::{self, DRAINED_WITHIN, NODES};
use crate::verdict::Ending;
use crate::workload::SplitMix;
use anyhow::Context as _;
use clap::{Args, value_parser};
use report::Report;
use reqwest::Method;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tenure_chaos::check::{Limits, Property, figures};
use tenure_chaos::history::{Entry, History};
use tokio::task::JoinSet;

/// 15 s from one kill of a leader to the next.
const KILL_EVERY: Duration = Duration::from_secs(15);
/// 1 s until a node that was killed is started again.
const AWAY: Duration = Duration::from_secs(1);
/// 6 s in which those that are to be missed are fired before nobody is there, and 15 s after it.
const BEFORE: Duration = Duration::from_secs(6);
const AFTER: Duration = Duration::from_secs(15);
/// 8 requests at a time.
const CALLERS: usize = 8;
/// What this puts to the test; the other checks judge what they find.
const EXPECTS: [Property; 7] = [
    Property::OneTerminalState,
    Property::OneActingLeader,
    Property::ReclaimBounded,
    Property::FailoverBounded,
    Property::LocksExclude,
    Property::SchedulesFireOnce,
    Property::Heals,
];

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: stage::Place,
    /// Makes the schedules
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many are due while leaders are killed
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u16).range(1..=1_000))]
    schedules: u16,
    /// For how long, in seconds, a leader being killed every 15 of them
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u64).range(31..=3_600))]
    seconds: u64,
    /// For how long no node is there then, in seconds: more than 30, so that due times are missed
    #[arg(long, default_value_t = 45, value_parser = value_parser!(u64).range(40..=3_600))]
    outage: u64,
    /// Runs at a time on each node
    #[arg(long, default_value_t = 96, value_parser = value_parser!(u32).range(1..=256))]
    slots: u32,
    /// Where the history goes; in that directory unless said
    #[arg(long)]
    history: Option<PathBuf>,
    /// Run nothing: judge this history of an earlier run
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
    let layout = options.place.fresh("schedules", options.slots)?;
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
    let ran = record(&layout, options, &chronicle).await;
    // Also of a run that broke off: it says why.
    let history = chronicle.close();
    history
        .save(&path)
        .with_context(|| path.display().to_string())?;
    ran.with_context(|| format!("the history so far is in {}", path.display()))?;
    let took = began.elapsed().as_secs_f64();
    say(&format!("all over after {took:.1} s"))?;
    judge(&history, &path, Some(&again(options, &layout)))
}

/// Judges and measures; says what came of it.
fn judge(history: &History, path: &Path, again: Option<&str>) -> anyhow::Result<Ending> {
    let judgement = tenure_chaos::check::judge(history);
    let figures =
        figures::schedules(history).context("the history does not begin with its setup")?;
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

/// The command that runs it again.
fn again(options: &Options, layout: &Layout) -> String {
    format!(
        "tenure-chaos schedules {} --seed {} --schedules {} --seconds {} --outage {} --slots {}",
        stage::again(layout),
        options.seed,
        options.schedules,
        options.seconds,
        options.outage,
        options.slots
    )
}

/// The run, written down.
async fn record(layout: &Layout, options: &Options, chronicle: &Chronicle) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(layout).await?;
    let recorder = Recorder::start(cluster.endpoints(), &Cluster::root(), chronicle);
    let client = Arc::clone(cluster.client());
    let often = scene::often(&mut SplitMix(options.seed), options.schedules.into());
    say(&format!(
        "three etcd members and {NODES} nodes are ready, {} schedules are made with seed {}; logs in {}",
        often.len(),
        options.seed,
        layout.dir.display()
    ))?;
    let mut reaper = Reaper::new(&mut cluster, chronicle);
    declare(&client, &often).await?;
    leaders_die(&mut reaper, Duration::from_secs(options.seconds)).await?;
    delete(&client, &often).await?;

    let missed = scene::missed();
    declare(&client, &missed).await?;
    reaper.pause(BEFORE).await?;
    nobody_is_there(&mut reaper, Duration::from_secs(options.outage)).await?;
    chronicle.saw(Entry::AllHealed);
    reaper.pause(AFTER).await?;
    delete(&client, &missed).await?;
    stage::drained(&mut cluster, recorder.seen()).await?;
    // A log without its end is judged as one of which nothing can be said.
    if let Err(error) = recorder.seal().await {
        say(&format!("the log is not whole: {error:#}"))?;
    }
    Ok(())
}

/// The bounds of a real cluster on a busy machine; those that are not named are the usual ones.
fn limits() -> Limits {
    Limits {
        drain_ms: u64::try_from(DRAINED_WITHIN.as_millis()).expect("some seconds fit"),
        // All processes are on one machine, and so is the clock of the history.
        skew_ms: 0,
        ahead_ms: 10,
        ..Limits::default()
    }
}

/// Kills whoever leads every 15 s, until the time is over; all are back in the end.
async fn leaders_die(reaper: &mut Reaper<'_>, length: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + length;
    while Instant::now() + KILL_EVERY <= until {
        let next = Instant::now() + KILL_EVERY;
        let leader = reaper.leader().await?;
        reaper.pause(KILL_EVERY / 2).await?;
        reaper.kill(&leader)?;
        let at = reaper.at().as_secs_f64();
        say(&format!(
            "killed {leader}, the leader, with -9 at {at:.1} s"
        ))?;
        reaper.pause(AWAY).await?;
        reaper.start(&leader)?;
        reaper.cluster.is_ready(&leader).await?;
        reaper
            .pause(next.saturating_duration_since(Instant::now()))
            .await?;
    }
    reaper
        .pause(until.saturating_duration_since(Instant::now()))
        .await
}

/// Ends all nodes at once, and starts them again after a while.
async fn nobody_is_there(reaper: &mut Reaper<'_>, length: Duration) -> anyhow::Result<()> {
    let names: Vec<String> = reaper.cluster.node_names().map(str::to_owned).collect();
    for name in &names {
        reaper.kill(name)?;
    }
    let at = reaper.at().as_secs_f64();
    let secs = length.as_secs();
    say(&format!(
        "killed all nodes with -9 at {at:.1} s, for {secs} s"
    ))?;
    reaper.pause(length).await?;
    for name in &names {
        reaper.start(name)?;
    }
    for name in &names {
        reaper.cluster.is_ready(name).await?;
    }
    reaper.leader().await?;
    Ok(())
}

async fn declare(client: &Arc<Client>, all: &[scene::Schedule]) -> anyhow::Result<()> {
    each(client, all, Method::PUT).await
}

async fn delete(client: &Arc<Client>, all: &[scene::Schedule]) -> anyhow::Result<()> {
    each(client, all, Method::DELETE).await
}

/// One request for each, a few at a time, each until it is done.
async fn each(client: &Arc<Client>, all: &[scene::Schedule], method: Method) -> anyhow::Result<()> {
    let mut callers = JoinSet::new();
    for part in all.chunks(all.len().div_ceil(CALLERS).max(1)) {
        let (client, part, method) = (Arc::clone(client), part.to_vec(), method.clone());
        callers.spawn(async move {
            for (name, body) in &part {
                let body = (method == Method::PUT).then_some(body);
                let path = format!("/v1/schedules/{name}");
                client.until_done(method.clone(), &path, body).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    Ok(())
}
