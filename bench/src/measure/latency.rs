//! d: submit to start, one task at a time, on an idle cluster; the nodes are asked in turn. The start is the one on record, by
//! this machine's clock; it is recorded in whole milliseconds, cut off, so one millisecond is added: a figure here is never too low.

use super::{Bench, Measure};
use crate::cluster::Cluster;
use crate::figure::{Figure, Report};
use crate::http::Connection;
use crate::numbers::{millis, percentile};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::{Instant, SystemTime};

/// Tasks, one after another.
pub(super) const TASKS: u64 = 500;
/// Tasks before that, not counted.
const WARM_UP: u64 = 20;
/// What recording in whole milliseconds cuts off at most.
const CUT_OFF_MS: f64 = 1.0;

/// One task, in milliseconds after its submit was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    /// The answer to the submit was there.
    pub(super) accepted: f64,
    /// It began, at the latest.
    pub(super) started: f64,
    /// A client that waits for its end knew it.
    pub(super) known: f64,
}

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let cluster = bench.cluster("d").await?;
    let timed = one_at_a_time(&cluster, "bench", bench.scale.of(TASKS)).await?;
    let of = |part: fn(&Timed) -> f64| timed.iter().map(part).collect::<Vec<f64>>();
    for (what, values, ground) in [
        (
            "submit → start, one at a time",
            of(|one| one.started),
            "4 / 12 ms",
        ),
        (
            "submit → its answer, one at a time",
            of(|one| one.accepted),
            "-",
        ),
        (
            "submit → its end known to a waiting client",
            of(|one| one.known),
            "-",
        ),
    ] {
        report.add(Measure::D, bench, figure(what, &values, ground));
    }
    Ok(())
}

/// So many no-op tasks to a queue, to the nodes in turn, after some to warm up that are not counted.
pub(super) async fn one_at_a_time(
    cluster: &Cluster,
    queue: &str,
    tasks: u64,
) -> anyhow::Result<Vec<Timed>> {
    let mut connections = Vec::new();
    for address in cluster.addresses() {
        connections.push(Connection::open(*address).await?);
    }
    let mut timed = Vec::new();
    for nth in 0..WARM_UP + tasks {
        let at = usize::try_from(nth)? % connections.len();
        let one = one(cluster, &mut connections[at], queue).await?;
        if nth >= WARM_UP {
            timed.push(one);
        }
    }
    Ok(timed)
}

fn figure(what: &str, values: &[f64], ground: &'static str) -> Figure {
    let (p50, p99) = (percentile(values, 50), percentile(values, 99));
    Figure {
        what: format!("{what}, p50 / p99"),
        measured: format!("{p50:.2} / {p99:.2} ms"),
        ground,
        values: json!({
            "p50_ms": p50, "p99_ms": p99, "max_ms": percentile(values, 100), "tasks": values.len(),
        }),
    }
}

/// Submits one no-op task and waits for its end.
pub(super) async fn one(
    cluster: &Cluster,
    connection: &mut Connection,
    queue: &str,
) -> anyhow::Result<Timed> {
    let body = json!({ "queue": queue, "kind": "noop", "payload": {} }).to_string();
    let request = cluster.request("POST", "/v1/tasks", &body);
    let (sent_ms, begun) = (unix_ms()?, Instant::now());
    let answer = connection.exchange(&request).await?;
    let accepted = millis(begun.elapsed());
    answer.expect(201)?;
    let path = format!(
        "/v1/tasks/{}?wait=30s",
        answer.json()?["id"].as_str().context("no id")?
    );
    let request = cluster.request("GET", &path, "");
    let answer = connection.exchange(&request).await?;
    let known = millis(begun.elapsed());
    answer.expect(200)?;
    Ok(Timed {
        accepted,
        started: started_ms(&answer.json()?)? + CUT_OFF_MS - sent_ms,
        known,
    })
}

/// When a task's first attempt began, in milliseconds since 1970.
fn started_ms(task: &Value) -> anyhow::Result<f64> {
    let attempt = &task["attempts"][0];
    let started = attempt["started_at"].as_str();
    let started = started.with_context(|| format!("not started within 30 s: {}", task["state"]))?;
    let started: jiff::Timestamp = started.parse()?;
    Ok(crate::numbers::float(u64::try_from(
        started.as_millisecond(),
    )?))
}

/// This machine's clock, in milliseconds since 1970, with their fraction.
pub(super) fn unix_ms() -> anyhow::Result<f64> {
    Ok(millis(
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_on_record_is_read_and_its_absence_is_said() {
        let task = json!({ "state": "succeeded", "attempts": [{ "started_at": "1970-01-01T00:00:02.345Z" }] });

        assert!((started_ms(&task).unwrap() - 2345.0).abs() < f64::EPSILON);
        assert!(started_ms(&json!({ "state": "pending", "attempts": [] })).is_err());
    }
}
