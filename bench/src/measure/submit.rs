//! a: submits per second over HTTP, many clients, one by one and in batches. The nodes can run nothing of it meanwhile: the
//! kind is one that no node has, so that submitting alone is measured.

use super::{Bench, Measure};
use crate::figure::{Figure, Report};
use crate::load::{BATCH_CONNECTIONS, Load, Packing, SINGLE_CONNECTIONS};
use crate::numbers::{float, grouped, per_second};
use serde_json::json;

/// A kind that no node runs.
pub(super) const NOBODYS: &str = "bench-nobody";

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let single = format!("submits/s, single, {SINGLE_CONNECTIONS} connections");
    let batched = format!("submits/s, batches of 1,000, {BATCH_CONNECTIONS} connections");
    for (packing, tasks, what, ground) in [
        (Packing::Singles, 100_000, single, "8,000"),
        (Packing::Batches, 1_000_000, batched, "60,000"),
    ] {
        let cluster = bench.cluster("a").await?;
        let load = |tasks| Load {
            kind: NOBODYS,
            ..Load::noops(packing, tasks)
        };
        // Connections, allocators and etcd's own files are warm afterwards.
        load(bench.scale.of(20_000)).submit(&cluster).await?;
        let submitted = load(bench.scale.of(tasks)).submit(&cluster).await?;
        let count = u64::try_from(submitted.ids.len())?;
        let rate = per_second(count, submitted.took);
        let figure = Figure {
            what,
            measured: format!("{}/s", grouped(rate)),
            ground,
            values: json!({
                "per_second": rate, "tasks": float(count), "seconds": submitted.took.as_secs_f64(),
            }),
        };
        report.add(Measure::A, bench, figure);
    }
    Ok(())
}
