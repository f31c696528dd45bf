//! `tenure status` and `tenure healthcheck`: is all well, for people and for supervisors.

use super::client::Client;
use super::table::{bytes, count, pairs, relative};
use super::{Exit, Failure, Global, Output, cluster, failovers, out};
use crate::api::wire::{Check, NodePage, Problem, QueuePage, ReadyReport, Stats, TaskCounts};
use crate::clock;

#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Healthcheck {
    /// Whether it can do its part (the default)
    #[arg(long)]
    ready: bool,
    /// Whether its process answers, whatever etcd does
    #[arg(long)]
    live: bool,
}

pub(super) async fn check(global: &Global, asked: Healthcheck) -> Result<Exit, Failure> {
    let path = if asked.live && !asked.ready {
        "/livez"
    } else {
        "/readyz?verbose"
    };
    let (status, body) = Client::new(global)?.probe(path).await?;
    if global.output == Output::Json {
        out::bytes(&body)?;
        out::bytes(b"\n")?;
    }
    if status.is_success() {
        return Ok(Exit::Done);
    }
    let failed = serde_json::from_slice::<ReadyReport>(&body).map(|report| {
        let failed = report.checks.iter().filter(|check| !check.ok);
        failed
            .map(|Check { name, detail, .. }| format!("\n  {name}: {detail}"))
            .collect::<Vec<_>>()
            .concat()
    });
    let problem = || {
        serde_json::from_slice::<Problem>(&body)
            .ok()?
            .detail
            .map(|d| format!(": {d}"))
    };
    let why: String = failed.ok().or_else(problem).unwrap_or_default();
    Err(Failure::new(
        Exit::Failed,
        format!("not healthy, the server answers {status}{why}"),
    ))
}

pub(super) async fn status(global: &Global) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    let answer = client.get("/v1/stats").await?;
    let stats: Stats = answer.read()?;
    match global.output {
        Output::Json => answer.print()?,
        Output::Table => {
            let nodes: NodePage = client.get("/v1/nodes").await?.read()?;
            let queues: QueuePage = client.get("/v1/queues").await?.read()?;
            out::line(&screen(&stats))?;
            for part in [cluster::nodes(&nodes.items), cluster::queues(&queues.items)] {
                if !part.is_empty() {
                    out::line(&format!("\n{part}"))?;
                }
            }
            failovers::print_last(&client).await?;
        }
    }
    let wrong = degraded(&stats);
    if wrong.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(
        Exit::Failed,
        format!("degraded: {}", wrong.join("; ")),
    ))
}

/// What is wrong with a cluster; empty when it is healthy.
pub(super) fn degraded(stats: &Stats) -> Vec<String> {
    let mut wrong = Vec::new();
    if stats.leader.is_none() {
        wrong.push("nobody leads".to_owned());
    }
    if stats.nodes == 0 {
        wrong.push("no live node".to_owned());
    }
    if let Some(why) = &stats.service.why {
        wrong.push(format!("service is {}: {why}", stats.service.level));
    }
    if stats.etcd.full {
        let percent = quota_percent(stats);
        wrong.push(format!("new work is refused, etcd is {percent}% full"));
    }
    wrong
}

/// How much of the quota is in use, in percent.
fn quota_percent(stats: &Stats) -> u64 {
    stats
        .etcd
        .db_size_in_use
        .saturating_mul(100)
        .checked_div(stats.etcd.quota)
        .unwrap_or(0)
}

fn screen(stats: &Stats) -> String {
    let leader = stats.leader.as_ref().map_or_else(
        || "nobody".to_owned(),
        |leader| {
            format!(
                "{}, since {}",
                leader.node,
                relative(leader.since, clock::now())
            )
        },
    );
    let etcd = &stats.etcd;
    let size = format!(
        "{} of {} in use ({}%)",
        bytes(etcd.db_size_in_use),
        bytes(etcd.quota),
        quota_percent(stats)
    );
    let version = etcd
        .version
        .as_deref()
        .map(|v| format!("{v}, "))
        .unwrap_or_default();
    pairs(&[
        ("leader", leader),
        ("nodes", format!("{} live", stats.nodes)),
        (
            "slots",
            format!("{} of {} busy", stats.slots.busy, stats.slots.total),
        ),
        ("tasks", tasks(&stats.tasks)),
        ("etcd", format!("{version}{size}")),
        ("revision", stats.revision.to_string()),
    ])
}

fn tasks(counts: &TaskCounts) -> String {
    let known = [
        (Some(counts.scheduled), "scheduled"),
        (Some(counts.pending), "pending"),
        (Some(counts.running), "running"),
        (counts.succeeded, "succeeded"),
        (Some(counts.dead), "dead"),
        (counts.cancelled, "cancelled"),
    ];
    let words = known.iter().filter_map(|(number, state)| {
        number.map(|number| format!("{} {state}", count(number, counts.exact)))
    });
    words.collect::<Vec<_>>().join(", ")
}
