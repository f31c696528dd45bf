//! c: submitted and drained at once. Submitting is held back where more than a bound is open, so that what is measured is the
//! rate that the cluster can keep up, not how fast a backlog grows.

use super::{Bench, Measure};
use crate::cluster::Cluster;
use crate::figure::{Figure, Report};
use crate::finished::Finished;
use crate::load::{Brake, Load, Packing};
use crate::numbers::{grouped, per_second};
use crate::outcomes;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Tasks submitted and not finished at most: some hundreds of milliseconds of work.
const OPEN_MAX: u64 = 20_000;
/// Left out at the beginning.
const WARM_UP: Duration = Duration::from_secs(3);
/// Measured after that.
const LASTING: Duration = Duration::from_secs(30);
/// 20 ms between counts while submitting: the brake acts on them.
const COUNT_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (packing, name, how) in [
        (Packing::Batches, "c-batched", "in batches"),
        (Packing::Singles, "c-singly", "singly, 64 clients"),
    ] {
        let lasting = bench.scale.lasting(LASTING);
        // Two ways, two figures: one that fails keeps nobody from the other.
        let measured = async {
            let cluster = bench.cluster(name).await?;
            steady(&cluster, (packing, lasting), how, report).await
        };
        match measured.await {
            Ok(figure) => report.add(Measure::C, bench, figure),
            Err(error) => report.fault(format!(
                "c on {} member(s), {how}: {error:#}",
                bench.members
            )),
        }
    }
    Ok(())
}

async fn steady(
    cluster: &Cluster,
    (packing, lasting): (Packing, Duration),
    how: &str,
    report: &mut Report,
) -> anyhow::Result<Figure> {
    let brake = Arc::new(Brake {
        open_max: OPEN_MAX,
        submitted: AtomicU64::new(0),
        finished: AtomicU64::new(0),
    });
    let begun = Instant::now();
    let until = begun + WARM_UP + lasting;
    let load = Load {
        until: Some(until),
        brake: Some(Arc::clone(&brake)),
        ..Load::noops(packing, u64::MAX / 2)
    };
    let mut finished = Finished::of(cluster, load.queue).await?;
    let (submitted, counted) = tokio::try_join!(
        load.submit(cluster),
        count(&mut finished, &brake, begun, until)
    )?;
    finished.reach(u64::try_from(submitted.ids.len())?).await?;
    let sampled = outcomes::sample(cluster, &submitted.ids).await?;
    if !sampled.is_whole() {
        report.fault(format!(
            "submitted {how} and drained at once: {}",
            sampled.words()
        ));
    }
    let rate = per_second(counted.tasks, counted.took);
    Ok(Figure {
        what: format!("submitted {how} and drained at once, tasks/s end to end"),
        measured: format!("{}/s ({})", grouped(rate), sampled.words()),
        ground: "-",
        values: json!({
            "per_second": rate, "tasks": counted.tasks, "seconds": counted.took.as_secs_f64(), "open_max": OPEN_MAX,
            "read_back": sampled.read, "succeeded": sampled.succeeded, "in_one_attempt": sampled.once,
        }),
    })
}

/// What ended between the warm-up and the end.
struct Counted {
    tasks: u64,
    took: Duration,
}

async fn count(
    finished: &mut Finished,
    brake: &Brake,
    begun: Instant,
    until: Instant,
) -> anyhow::Result<Counted> {
    let mut first = None;
    loop {
        let now = finished.count().await?;
        let at = Instant::now();
        brake.finished.store(now, Ordering::Relaxed);
        if at >= begun + WARM_UP {
            let (before, from) = *first.get_or_insert((now, at));
            if at >= until {
                return Ok(Counted {
                    tasks: now - before,
                    took: at - from,
                });
            }
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}
