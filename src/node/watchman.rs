//! Watches etcd's size for the API, which refuses new work well before etcd is full; never refuses anything itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::api::Usage;
use crate::metrics;

/// 5 s between looks.
const EVERY: Duration = Duration::from_secs(5);

/// Looks until the node ends.
pub(super) async fn watch_size(
    node: Arc<Shared>,
    usage: watch::Sender<Usage>,
    closing: CancellationToken,
) {
    let mut ticks = interval_at(Instant::now(), EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = closing.cancelled() => return,
        }
        let members = node.store.connection().status().await;
        let healthy: Vec<_> = members
            .iter()
            .filter_map(|member| member.health.as_ref().ok())
            .collect();
        let all = members.len();
        let answering = healthy.len();
        node.ready.send_modify(|ready| {
            let told = format!("{answering} of {all} members answer");
            ready.etcd = if answering == 0 { Err(told) } else { Ok(told) };
        });
        if healthy.is_empty() {
            continue;
        }
        let version = healthy.iter().map(|member| member.version.clone()).min();
        let configured = i64::try_from(node.config.etcd_quota.0).unwrap_or(i64::MAX);
        let quotas = healthy
            .iter()
            .filter_map(|member| member.quota)
            .filter(|quota| *quota > 0);
        let quota = quotas.min().unwrap_or(configured);
        let in_use = healthy
            .iter()
            .map(|member| member.db_size_in_use)
            .max()
            .unwrap_or(0);
        let db_size = healthy
            .iter()
            .map(|member| member.db_size)
            .max()
            .unwrap_or(0);
        let alarm = healthy.iter().any(|member| member.no_space());
        let full = alarm || ratio(in_use, quota) >= node.config.quota_refuse;
        metrics::etcd_size(bytes(db_size), bytes(in_use), bytes(quota));
        usage.send_replace(Usage {
            db_size,
            in_use,
            quota,
            full,
            version,
        });
    }
}

fn bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

/// What is in use decides, not the file: etcd uses freed pages again, so it grows no further while they last.
#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of databases are far below 2^52"
)]
fn ratio(in_use: i64, quota: i64) -> f64 {
    in_use as f64 / quota.max(1) as f64
}
