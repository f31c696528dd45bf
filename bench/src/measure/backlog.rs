//! f: what the leader weighs and how long a take-over takes while many tasks wait, a tenth of them packs of one; with none
//! waiting as the measure to compare with. They wait in two ways: ready, of a kind that no node runs, and for a time far ahead.

use super::latency::{self, unix_ms};
use super::submit::NOBODYS;
use super::{Bench, Measure};
use crate::cluster::{Cluster, leader_in};
use crate::figure::{Figure, Report};
use crate::http::Connection;
use crate::load::{Load, Packing};
use crate::numbers::{float, grouped, megabytes, millis, percentile};
use crate::process::Memory;
use anyhow::Context as _;
use serde_json::json;
use std::time::{Duration, Instant};

/// Take-overs on each cluster.
const TAKE_OVERS: usize = 5;
/// Between the last submit and the first look, and between take-overs.
pub(super) const SETTLE: Duration = Duration::from_secs(5);
/// Bound on another term being seen.
const LED_WITHIN: Duration = Duration::from_mins(2);

/// How tasks wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Ready,
    Scheduled,
}

impl Waiting {
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
        }
    }

    /// In this way, so many.
    fn load(self, packing: Packing, tasks: u64) -> anyhow::Result<Load> {
        let load = Load {
            queue: "backlog",
            ..Load::noops(packing, tasks)
        };
        Ok(match self {
            Self::Ready => Load {
                kind: NOBODYS,
                ..load
            },
            Self::Scheduled => {
                let tomorrow =
                    jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(24))?;
                Load {
                    run_at: Some(tomorrow.to_string()),
                    ..load
                }
            }
        })
    }
}

/// One take-over, in milliseconds after the leader was asked to resign.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakeOver {
    /// Another term was there to read.
    led: f64,
    /// A task submitted after that request began, in a queue of its own.
    started: f64,
}

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (some, many) = (bench.scale.of(100_000), bench.scale.of(1_000_000));
    for (tasks, waiting) in [
        (0, Waiting::Ready),
        (some, Waiting::Ready),
        (many, Waiting::Ready),
        (some, Waiting::Scheduled),
        (many, Waiting::Scheduled),
    ] {
        let mut cluster = bench
            .cluster(&format!("f-{}-{tasks}", waiting.word()))
            .await?;
        for figure in with_waiting(&mut cluster, tasks, waiting).await? {
            report.add(Measure::F, bench, figure);
        }
    }
    Ok(())
}

async fn with_waiting(
    cluster: &mut Cluster,
    tasks: u64,
    waiting: Waiting,
) -> anyhow::Result<Vec<Figure>> {
    if tasks > 0 {
        let alone = tasks / 10;
        waiting
            .load(Packing::Batches, tasks - alone)?
            .submit(cluster)
            .await?;
        waiting.load(Packing::Apart, alone)?.submit(cluster).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let loaded = leader_memory(cluster).await?;
    let take_overs = take_overs(cluster).await?;
    let led = leader_memory(cluster).await?;
    cluster.restart_nodes().await?;
    tokio::time::sleep(SETTLE).await;
    let fresh = leader_memory(cluster).await?;
    cluster.ensure_alive()?;
    let with = match tasks {
        0 => "none waiting".to_owned(),
        tasks => format!("{} {}", grouped(float(tasks)), waiting.word()),
    };
    Ok(vec![
        memory_figure(
            &with,
            &[
                ("after submitting", loaded),
                ("after five take-overs", led),
                ("started anew", fresh),
            ],
        ),
        time_figure(
            &format!("take-over, {with}: resign → another term"),
            &take_overs,
            |one| one.led,
        ),
        time_figure(
            &format!("take-over, {with}: resign → a new task starts"),
            &take_overs,
            |one| one.started,
        ),
    ])
}

/// Some in a row.
pub(super) async fn take_overs(cluster: &Cluster) -> anyhow::Result<Vec<TakeOver>> {
    let mut seen = Vec::new();
    for _ in 0..TAKE_OVERS {
        seen.push(take_over(cluster).await?);
        tokio::time::sleep(SETTLE).await;
    }
    Ok(seen)
}

impl TakeOver {
    pub(super) fn started(&self) -> f64 {
        self.started
    }
}

pub(super) fn memory_figure(with: &str, seen: &[(&'static str, Memory)]) -> Figure {
    let words: Vec<String> = seen
        .iter()
        .map(|(when, memory)| format!("{:.1} MB {when}", megabytes(memory.resident)))
        .collect();
    let values = seen.iter().map(|(when, memory)| {
        let Memory { resident, anonymous, peak } = memory;
        json!({ "when": when, "resident_bytes": resident, "anonymous_bytes": anonymous, "peak_bytes": peak })
    });
    Figure {
        what: format!("leader resident, {with}"),
        measured: words.join(", "),
        ground: "64 MB",
        values: values.collect(),
    }
}

pub(super) fn time_figure(
    what: &str,
    take_overs: &[TakeOver],
    part: fn(&TakeOver) -> f64,
) -> Figure {
    let values: Vec<f64> = take_overs.iter().map(part).collect();
    let (median, longest) = (percentile(&values, 50), percentile(&values, 100));
    Figure {
        what: what.to_owned(),
        measured: format!("median {median:.0} ms, longest {longest:.0} ms"),
        ground: "5 s",
        values: json!({ "median_ms": median, "max_ms": longest, "all_ms": values }),
    }
}

pub(super) async fn leader_memory(cluster: &Cluster) -> anyhow::Result<Memory> {
    let leader = cluster.leader().await?.context("nobody leads")?;
    cluster.node(&leader.node)?.memory()
}

/// Has the leader resign, and waits for another term and for a new task to start in it.
async fn take_over(cluster: &Cluster) -> anyhow::Result<TakeOver> {
    let leader = cluster.leader().await?.context("nobody leads")?;
    let mut asking = Connection::open(cluster.address_of(&leader.node)?).await?;
    let mut looking = Connection::open(cluster.addresses()[0]).await?;
    let mut submitting = Connection::open(cluster.addresses()[0]).await?;
    let request = cluster.request("POST", "/v1/leader/resign", "");
    let (begun_ms, begun) = (unix_ms()?, Instant::now());
    asking.exchange(&request).await?.expect(200)?;
    let sent_ms = unix_ms()?;
    let (led, task) = tokio::try_join!(
        another_term(cluster, &mut looking, leader.term),
        latency::one(cluster, &mut submitting, "free"),
    )?;
    Ok(TakeOver {
        led: millis(led - begun),
        // The task was sent a moment after the leader was asked.
        started: task.started + sent_ms - begun_ms,
    })
}

/// The instant at which another term was read.
async fn another_term(
    cluster: &Cluster,
    connection: &mut Connection,
    term: i64,
) -> anyhow::Result<Instant> {
    let request = cluster.request("GET", "/v1/leader", "");
    let until = Instant::now() + LED_WITHIN;
    loop {
        let leader = leader_in(connection.exchange(&request).await?)?;
        if leader.is_some_and(|leader| leader.term != term) {
            return Ok(Instant::now());
        }
        anyhow::ensure!(
            Instant::now() < until,
            "nobody took over within {LED_WITHIN:?}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
