//! Watches etcd's size for the API, which refuses new work well before etcd is full; never refuses anything itself.

use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::Room;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::api::Usage;
use crate::api::level::{Signals, Thresholds, service};
use crate::metrics;
use crate::store::Submitter;

/// 5 s between looks.
const EVERY: Duration = Duration::from_secs(5);

/// Looks until the node ends.
pub(super) async fn watch_size(
    node: Arc<Shared>,
    usage: watch::Sender<Usage>,
    submitter: Submitter,
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
        let quota = i64::try_from(node.config.etcd_quota.0).unwrap_or(i64::MAX);
        let Some(room) = Room::of_all(healthy.iter().copied(), quota) else {
            continue;
        };
        let version = healthy.iter().map(|member| member.version.clone()).min();
        metrics::etcd_size(bytes(room.size), bytes(room.in_use), bytes(room.quota));
        let signals = Signals::of(&room, submitter.load());
        let level = service(signals, Thresholds::of(&node.config)).level;
        metrics::service_level(level.number());
        usage.send_replace(Usage {
            room,
            full: room.full(node.config.quota_refuse),
            version,
        });
    }
}

fn bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}
