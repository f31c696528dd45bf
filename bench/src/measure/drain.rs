//! b: drained no-op tasks per second, from a backlog. All slots of all nodes are held by tasks that sleep while the backlog is
//! submitted, so that it is ready and cannot run; cancelling the sleepers starts the clock. Nothing of the submitting is in it.

use super::{Bench, Measure};
use crate::cluster::Cluster;
use crate::figure::{Figure, Report};
use crate::finished::Finished;
use crate::http::Connection;
use crate::load::{Load, Packing};
use crate::numbers::{float, grouped, per_second};
use crate::outcomes::{self, Sampled};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The sleepers' sleep: longer than any backlog takes to submit.
pub(super) const SLEEP_MS: u64 = 3_600_000;
/// Bound on the slots being taken, and on the queue being seen empty afterwards.
pub(super) const WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (packing, tasks, name, how) in [
        (
            Packing::Batches,
            200_000,
            "b-batched",
            "submitted in batches",
        ),
        (
            Packing::Singles,
            200_000,
            "b-singly",
            "submitted singly, 64 clients",
        ),
        (
            Packing::Apart,
            50_000,
            "b-apart",
            "submitted singly, all packs of one",
        ),
    ] {
        let load = Load::noops(packing, bench.scale.of(tasks));
        // Three ways, three figures: one that fails keeps nobody from the others.
        let measured = async {
            let mut cluster = bench.cluster(name).await?;
            drained(&mut cluster, &load).await
        };
        match measured.await {
            Ok(drained) => {
                if !drained.sampled.is_whole() {
                    report.fault(format!("drained, {how}: {}", drained.sampled.words()));
                }
                report.add(Measure::B, bench, figure(&drained, how));
            }
            Err(error) => report.fault(format!(
                "b on {} member(s), {how}: {error:#}",
                bench.members
            )),
        }
    }
    Ok(())
}

/// A backlog that was drained.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) tasks: u64,
    pub(super) took: Duration,
    submitting_took: Duration,
    pub(super) sampled: Sampled,
}

impl Drained {
    pub(super) fn per_second(&self) -> f64 {
        per_second(self.tasks, self.took)
    }

    /// So many tasks in a second.
    #[cfg(test)]
    pub(super) fn in_a_second(tasks: u64, sampled: Sampled) -> Self {
        Self {
            tasks,
            took: Duration::from_secs(1),
            submitting_took: Duration::ZERO,
            sampled,
        }
    }
}

/// Submits the load while sleepers have all slots, and cancels those.
pub(super) async fn drained(cluster: &mut Cluster, load: &Load) -> anyhow::Result<Drained> {
    let sleepers = take_all_slots(cluster).await?;
    let backlog = load.submit(cluster).await?;
    let count = u64::try_from(backlog.ids.len())?;
    let mut finished = Finished::of(cluster, load.queue).await?;
    anyhow::ensure!(
        finished.count().await? == 0,
        "the backlog ran before it should"
    );
    let begun = Instant::now();
    let ((), reached) = tokio::try_join!(cancel(cluster, &sleepers), async {
        finished.reach(count).await?;
        Ok(begun.elapsed())
    })?;
    cluster.ensure_alive()?;
    seen_empty(cluster, load.queue).await?;
    let sampled = outcomes::sample(cluster, &backlog.ids).await?;
    Ok(Drained {
        tasks: count,
        took: reached,
        submitting_took: backlog.took,
        sampled,
    })
}

fn figure(drained: &Drained, how: &str) -> Figure {
    let (rate, sampled) = (drained.per_second(), drained.sampled);
    Figure {
        what: format!(
            "drained no-op tasks/s, {} {how}",
            grouped(float(drained.tasks))
        ),
        measured: format!("{}/s ({})", grouped(rate), sampled.words()),
        ground: "15,000",
        values: json!({
            "per_second": rate, "tasks": drained.tasks, "seconds": drained.took.as_secs_f64(),
            "submitted_in_seconds": drained.submitting_took.as_secs_f64(),
            "read_back": sampled.read, "succeeded": sampled.succeeded, "in_one_attempt": sampled.once,
        }),
    }
}

/// As many sleeping tasks as there are slots, all running; their ids.
async fn take_all_slots(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let (total, _) = slots(cluster).await?;
    let body = json!({ "queue": "sleepers", "kind": "sleep", "payload": { "ms": SLEEP_MS } });
    let request = cluster.request("POST", "/v1/tasks", &body.to_string());
    let mut connection = Connection::open(cluster.addresses()[0]).await?;
    let mut ids = Vec::new();
    for _ in 0..total {
        let answer = connection.exchange(&request).await?;
        answer.expect(201)?;
        ids.push(answer.json()?["id"].as_str().context("no id")?.to_owned());
    }
    let until = Instant::now() + WITHIN;
    loop {
        let (total, busy) = slots(cluster).await?;
        if busy >= total {
            return Ok(ids);
        }
        anyhow::ensure!(
            Instant::now() < until,
            "only {busy} of {total} slots are taken"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All slots, and the busy ones.
async fn slots(cluster: &Cluster) -> anyhow::Result<(u64, u64)> {
    let nodes = cluster.get("/v1/nodes").await?;
    let nodes = nodes["items"].as_array().context("no nodes")?;
    let sum = |of: &str| {
        nodes
            .iter()
            .filter_map(|node| node["slots"][of].as_u64())
            .sum()
    };
    Ok((sum("total"), sum("busy")))
}

async fn cancel(cluster: &Cluster, ids: &[String]) -> anyhow::Result<()> {
    let mut connection = Connection::open(cluster.addresses()[0]).await?;
    for id in ids {
        let request = cluster.request("POST", &format!("/v1/tasks/{id}/cancel"), "");
        let answer = connection.exchange(&request).await?;
        anyhow::ensure!(
            (200..300).contains(&answer.status),
            "cancel answered {}",
            answer.status
        );
    }
    Ok(())
}

/// The counters say that all is done; the store should say so too.
async fn seen_empty(cluster: &Cluster, queue: &str) -> anyhow::Result<()> {
    let until = Instant::now() + WITHIN;
    loop {
        let queues = cluster.get("/v1/queues").await?;
        let open = open_in(&queues, queue);
        if open == 0 {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < until,
            "all tasks are counted as done, but {open} are still open"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Tasks of the queue that have not ended.
fn open_in(queues: &Value, queue: &str) -> u64 {
    let no_items = Vec::new();
    let items = queues["items"].as_array().unwrap_or(&no_items);
    let ours = items.iter().filter(|item| item["name"] == queue);
    ours.flat_map(|item| {
        ["pending", "scheduled", "running", "dead"].map(|state| item[state].as_u64().unwrap_or(0))
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_not_ended_is_open_and_other_queues_do_not_count() {
        let queues = json!({ "items": [
            { "name": "bench", "pending": 1, "scheduled": 2, "running": 3, "dead": 4 },
            { "name": "other", "pending": 9 },
        ]});

        assert_eq!(open_in(&queues, "bench"), 10);
        assert_eq!(open_in(&json!({ "items": [] }), "bench"), 0);
    }
}
