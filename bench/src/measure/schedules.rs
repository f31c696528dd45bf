//! i: many schedules: how fast they are declared, what the leader weighs with them, how long a take-over takes, and how late they are
//! fired where many are due at once. Most are due in a year; those that are fired are due once each, spread evenly over a time, and
//! make a no-op task. Lateness is what the ledger says: from the due time to the leader's decision, by one machine's clock.

use super::backlog::{SETTLE, TakeOver, leader_memory, memory_figure, take_overs, time_figure};
use super::latency::unix_ms;
use super::{Bench, Measure};
use crate::cluster::Cluster;
use crate::figure::{Figure, Report};
use crate::http::{Connection, request};
use crate::numbers::{float, grouped, per_second, percentile};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Schedules that are not due while this runs.
const IDLE: u64 = 100_000;
/// Connections that declare.
const CONNECTIONS: u64 = 64;
/// Schedules to one page.
const PAGE: usize = 1_000;
/// 366 days, in milliseconds: the longest period.
const YEAR_MS: u64 = 31_622_400_000;
/// Bound on those that are due being decided.
const DECIDED_WITHIN: Duration = Duration::from_mins(2);

/// Schedules that are due once each, so many in so many seconds.
#[derive(Clone, Copy, Debug)]
struct Wave {
    name: &'static str,
    schedules: u64,
    seconds: u64,
}

/// 1,000 and 10,000 fires in a second.
const WAVES: [Wave; 2] = [
    Wave {
        name: "thousand",
        schedules: 10_000,
        seconds: 10,
    },
    Wave {
        name: "tenthousand",
        schedules: 10_000,
        seconds: 1,
    },
];

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut cluster = bench.cluster("i").await?;
    let idle = bench.scale.of(IDLE);
    tokio::time::sleep(SETTLE).await;
    let before = leader_memory(&cluster).await?;
    let none = take_overs(&cluster).await?;
    let took = declare(&cluster, idle, |nth| {
        let body = json!({ "every_ms": YEAR_MS - nth % 1_000 * 1_000, "task": { "kind": "noop" } });
        (format!("idle-{nth:06}"), body)
    })
    .await?;
    report.add(Measure::I, bench, declared(idle, took));
    tokio::time::sleep(SETTLE).await;
    let after = leader_memory(&cluster).await?;
    let many = take_overs(&cluster).await?;
    for wave in WAVES {
        report.add(Measure::I, bench, fired(&cluster, wave).await?);
    }
    let done = leader_memory(&cluster).await?;
    cluster.restart_nodes().await?;
    tokio::time::sleep(SETTLE).await;
    let anew = leader_memory(&cluster).await?;
    cluster.ensure_alive()?;
    let with = format!("{} schedules", grouped(float(idle)));
    let seen = [
        ("before", before),
        ("when they are declared", after),
        ("after 20,000 fires", done),
        ("started anew", anew),
    ];
    report.add(Measure::I, bench, memory_figure(&with, &seen));
    for (with, take_overs) in [("no schedule", &none), (with.as_str(), &many)] {
        let what = format!("take-over, {with}: resign → a new task starts");
        let figure = time_figure(&what, take_overs, TakeOver::started);
        report.add(Measure::I, bench, figure);
    }
    Ok(())
}

/// Declares so many schedules over many connections; how long that took.
async fn declare(
    cluster: &Cluster,
    schedules: u64,
    make: impl Fn(u64) -> (String, Value) + Send + Sync + Copy + 'static,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    let addresses = cluster.addresses();
    for nth in 0..CONNECTIONS {
        let address = addresses[usize::try_from(nth)? % addresses.len()];
        let (next, token) = (Arc::clone(&next), cluster.token().to_owned());
        clients.spawn(async move {
            let mut connection = Connection::open(address).await?;
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= schedules {
                    return Ok::<_, anyhow::Error>(());
                }
                let (name, body) = make(nth);
                let path = format!("/v1/schedules/{name}");
                let request = request("PUT", &path, &token, &body.to_string());
                let answer = connection.exchange(&request).await?;
                anyhow::ensure!(matches!(answer.status, 200 | 201), "{answer:?}");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(begun.elapsed())
}

fn declared(schedules: u64, took: Duration) -> Figure {
    let rate = per_second(schedules, took);
    Figure {
        what: format!("schedules declared, {CONNECTIONS} clients"),
        measured: format!("{}/s", grouped(rate)),
        ground: "",
        values: json!({ "schedules": schedules, "per_second": rate, "took_s": took.as_secs_f64() }),
    }
}

/// Declares a wave, waits until all of it is decided, and reads how late each was fired.
async fn fired(cluster: &Cluster, wave: Wave) -> anyhow::Result<Figure> {
    let Wave {
        name,
        schedules,
        seconds,
    } = wave;
    // Declared well before: as much time as so many declarations took on the slowest machine tried, twice.
    let from = unix_ms()? + 30_000.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds of this century"
    )]
    let from = from as i64;
    declare(cluster, schedules, move |nth| {
        let offset = i64::try_from(nth * seconds * 1_000 / schedules).unwrap_or(0);
        let at = jiff::Timestamp::from_millisecond(from + offset);
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        let body = json!({ "at": at, "task": { "kind": "noop" } });
        (format!("{name}-{nth:06}"), body)
    })
    .await?;
    anyhow::ensure!(
        unix_ms()? < float(u64::try_from(from)?),
        "they were due before all were declared"
    );
    let until = Instant::now() + DECIDED_WITHIN;
    let late = loop {
        let late = lateness(cluster, name).await?;
        if late.len() == usize::try_from(schedules)? {
            break late;
        }
        anyhow::ensure!(
            Instant::now() < until,
            "{} of {schedules} were fired",
            late.len()
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let of = |percent| percentile(&late, percent);
    Ok(Figure {
        what: format!(
            "fired late, {} in a second",
            grouped(float(schedules / seconds))
        ),
        measured: format!(
            "p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
            of(50),
            of(99),
            of(100)
        ),
        ground: "p99 50 ms",
        values: json!({ "fires": schedules, "seconds": seconds, "p50_ms": of(50), "p99_ms": of(99), "max_ms": of(100) }),
    })
}

/// How late those of a wave were fired that were, in milliseconds.
async fn lateness(cluster: &Cluster, wave: &str) -> anyhow::Result<Vec<f64>> {
    let mut late = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/schedules?limit={PAGE}{cursor}");
        let page = cluster.get(&path).await?;
        let items = page["items"].as_array().context("no schedules")?;
        let ours = items.iter().filter(|item| {
            let name = item["name"].as_str().unwrap_or_default();
            name.split('-').next() == Some(wave)
        });
        let last = ours.map(|item| &item["last"]);
        let fired = last.filter(|last| last["outcome"] == "fired");
        late.extend(fired.filter_map(|last| last["late_ms"].as_f64()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(late),
        }
    }
}
