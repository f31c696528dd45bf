//! e: what a node weighs when it does nothing, and how large the binary is.

use super::{Bench, Measure};
use crate::figure::{Figure, Report};
use crate::numbers::{float, megabytes};
use anyhow::Context as _;
use serde_json::json;
use std::time::Duration;

/// Time to do nothing in.
const IDLE: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let cluster = bench.cluster("e").await?;
    tokio::time::sleep(IDLE).await;
    let leader = cluster.leader().await?.context("nobody leads")?;
    for (name, memory) in cluster.memory()? {
        let role = if name == leader.node {
            "leads"
        } else {
            "follows"
        };
        let figure = Figure {
            what: format!("idle node that {role}, resident after 30 s"),
            measured: format!(
                "{:.1} MB (of which anonymous {:.1})",
                megabytes(memory.resident),
                megabytes(memory.anonymous)
            ),
            ground: "10 MB",
            values: json!({
                "resident_bytes": memory.resident, "anonymous_bytes": memory.anonymous, "peak_bytes": memory.peak,
                "role": role,
            }),
        };
        report.add(Measure::E, bench, figure);
    }
    let bytes = std::fs::metadata(&bench.tenure)?.len();
    let figure = Figure {
        what: "size of the binary".to_owned(),
        measured: format!("{:.1} MB", megabytes(bytes)),
        ground: "-",
        values: json!({ "bytes": float(bytes) }),
    };
    report.add(Measure::E, bench, figure);
    Ok(())
}
