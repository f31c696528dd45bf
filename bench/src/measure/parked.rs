//! h: submit to start in a queue that is free, alone and with many tasks behind a full semaphore, a tenth of them packs of one; and
//! what the leader weighs. One task that sleeps holds the semaphore all the while, so the backlog is all that differs; at the end
//! the limit is raised, the backlog runs, and alone is measured again.

use super::backlog::{SETTLE, leader_memory, memory_figure};
use super::drain::{SLEEP_MS, WITHIN};
use super::latency::{TASKS, Timed, one_at_a_time};
use super::limits::WIDE_LIMIT;
use super::{Bench, Measure};
use crate::cluster::Cluster;
use crate::figure::{Figure, Report};
use crate::finished::Finished;
use crate::load::{Id, Load, Needs, Packing};
use crate::numbers::{float, grouped, percentile};
use crate::outcomes::{self, Sampled};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Tasks behind the semaphore.
const PARKED: u64 = 100_000;
/// The semaphore: one permit, held.
const FULL: &str = "full";
/// The queue of those behind it.
const BEHIND: &str = "behind";
/// The queue that is free.
const FREE: &str = "free";

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut cluster = bench.cluster("h").await?;
    let (tasks, timed) = (bench.scale.of(PARKED), TASKS);
    let holder = hold(&cluster).await?;
    // A cluster that has just started is slower, which would flatter what comes later.
    one_at_a_time(&cluster, FREE, timed).await?;
    let alone = one_at_a_time(&cluster, FREE, timed).await?;
    let before = leader_memory(&cluster).await?;
    let single = tasks / 10;
    let batched = behind(Packing::Batches, tasks - single);
    let mut ids = batched.submit(&cluster).await?.ids;
    ids.extend(behind(Packing::Apart, single).submit(&cluster).await?.ids);
    tokio::time::sleep(SETTLE).await;
    let submitted = leader_memory(&cluster).await?;
    let beside = one_at_a_time(&cluster, FREE, timed).await?;
    let after = leader_memory(&cluster).await?;
    still_parked(&cluster, &holder).await?;
    let sampled = let_go(&cluster, &ids).await?;
    let alone_again = one_at_a_time(&cluster, FREE, timed).await?;
    let gone = leader_memory(&cluster).await?;
    cluster.ensure_alive()?;
    if !sampled.is_whole() {
        report.fault(format!("let go from behind: {}", sampled.words()));
    }
    let parked = format!("{} behind one full semaphore", grouped(float(tasks)));
    let timed = Compared {
        alone: starts(&alone),
        beside: starts(&beside),
        alone_again: starts(&alone_again),
    };
    report.add(Measure::H, bench, timed.figure(&parked));
    let seen = [
        ("before", before),
        ("after submitting", submitted),
        ("after the free queue's tasks", after),
        ("when they are done", gone),
    ];
    let mut weighed = memory_figure(&parked, &seen);
    weighed.measured = format!("{} ({})", weighed.measured, sampled.words());
    report.add(Measure::H, bench, weighed);
    Ok(())
}

/// Declares the semaphore and has a task hold all of it; its id.
async fn hold(cluster: &Cluster) -> anyhow::Result<String> {
    cluster.set_semaphore(FULL, 1).await?;
    let holder = json!({
        "queue": "holder", "kind": "sleep", "payload": { "ms": SLEEP_MS },
        "permits": [{ "semaphore": FULL, "weight": 1 }],
    });
    let id = cluster.submit_one(&holder).await?;
    let until = Instant::now() + WITHIN;
    while !runs(cluster, &id).await? {
        anyhow::ensure!(Instant::now() < until, "the semaphore is not taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(id)
}

async fn runs(cluster: &Cluster, id: &str) -> anyhow::Result<bool> {
    let task = cluster.get(&format!("/v1/tasks/{id}")).await?;
    Ok(task["state"] == "running")
}

fn behind(packing: Packing, tasks: u64) -> Load {
    Load {
        queue: BEHIND,
        needs: Needs::Permit(FULL),
        ..Load::noops(packing, tasks)
    }
}

/// # Errors
/// When the holder has ended, or a task behind it began: then something else was measured.
async fn still_parked(cluster: &Cluster, holder: &str) -> anyhow::Result<()> {
    anyhow::ensure!(runs(cluster, holder).await?, "the semaphore became free");
    let running = running_in(&cluster.get("/v1/queues").await?, BEHIND)?;
    let ended = Finished::of(cluster, BEHIND).await?.count().await?;
    anyhow::ensure!(
        running + ended == 0,
        "of the tasks behind the semaphore {running} run, {ended} ended"
    );
    Ok(())
}

/// Claims are counted one by one, where what waits is only estimated.
fn running_in(queues: &Value, queue: &str) -> anyhow::Result<u64> {
    let items = queues["items"].as_array().context("no queues")?;
    let ours = items.iter().find(|item| item["name"] == queue);
    let ours = ours.with_context(|| format!("no queue {queue}"))?;
    ours["running"].as_u64().context("no count")
}

/// Raises the limit far above all that can run, and reads a sample back when all is done.
async fn let_go(cluster: &Cluster, ids: &[Id]) -> anyhow::Result<Sampled> {
    let mut finished = Finished::of(cluster, BEHIND).await?;
    cluster.set_semaphore(FULL, WIDE_LIMIT).await?;
    finished.reach(u64::try_from(ids.len())?).await?;
    tokio::time::sleep(SETTLE).await;
    outcomes::sample(cluster, ids).await
}

/// Percentiles of the starts of the free queue's tasks, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Starts {
    p50: f64,
    p99: f64,
    tasks: usize,
}

fn starts(timed: &[Timed]) -> Starts {
    let starts: Vec<f64> = timed.iter().map(|one| one.started).collect();
    Starts {
        p50: percentile(&starts, 50),
        p99: percentile(&starts, 99),
        tasks: starts.len(),
    }
}

/// The free queue's starts before the backlog, beside it, and when it is done.
#[derive(Clone, Copy, Debug)]
struct Compared {
    alone: Starts,
    beside: Starts,
    alone_again: Starts,
}

impl Compared {
    /// By the lower of the two figures alone, so that a machine that gets steadily slower, or faster, makes it too high, not too low.
    fn ratio(&self, of: fn(&Starts) -> f64) -> f64 {
        of(&self.beside) / of(&self.alone).min(of(&self.alone_again))
    }

    fn figure(&self, parked: &str) -> Figure {
        let (p50, p99) = (self.ratio(|one| one.p50), self.ratio(|one| one.p99));
        let words = |one: &Starts| format!("{:.2} / {:.2} ms", one.p50, one.p99);
        let values =
            |one: &Starts| json!({ "p50_ms": one.p50, "p99_ms": one.p99, "tasks": one.tasks });
        Figure {
            what: format!("submit → start in a free queue, {parked}, one at a time, p50 / p99"),
            measured: format!(
                "{}, alone {} before and {} afterwards: ratio {p50:.2} / {p99:.2}",
                words(&self.beside),
                words(&self.alone),
                words(&self.alone_again)
            ),
            ground: "ratio of p50 ≤ 1.2",
            values: json!({
                "beside": values(&self.beside), "alone": values(&self.alone), "alone_again": values(&self.alone_again),
                "ratio_p50": p50, "ratio_p99": p99,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_beside_a_backlog_are_held_against_the_better_of_those_alone() {
        let of = |p50, p99| Starts {
            p50,
            p99,
            tasks: 500,
        };
        let timed = Compared {
            alone: of(2.0, 5.0),
            beside: of(3.0, 8.0),
            alone_again: of(4.0, 4.0),
        };

        let figure = timed.figure("5 behind");

        assert_eq!(
            figure.measured,
            "3.00 / 8.00 ms, alone 2.00 / 5.00 ms before and 4.00 / 4.00 ms afterwards: ratio 1.50 / 2.00"
        );
    }

    #[test]
    fn the_starts_of_all_that_were_timed_count() {
        let timed = |started| Timed {
            accepted: 0.0,
            started,
            known: 0.0,
        };
        let mut all = vec![timed(3.0); 98];
        all.extend([timed(8.0), timed(8.0)]);

        let starts = starts(&all);

        assert_eq!(starts.tasks, 100);
        assert!((starts.p50 - 3.0).abs() < f64::EPSILON);
        assert!((starts.p99 - 8.0).abs() < f64::EPSILON);
    }

    #[test]
    fn only_what_runs_in_the_queue_counts() {
        let queues = json!({ "items": [
            { "name": "free", "pending": 9, "running": 1 },
            { "name": "behind", "pending": 7, "running": 2 },
        ]});

        assert_eq!(running_in(&queues, "behind").unwrap(), 2);
        assert!(running_in(&queues, "gone").is_err());
    }
}
