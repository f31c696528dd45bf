//! Loads the leader's view at one revision not before its activation: nodes, drains, claims, stops and lanes whole, of the backlog only the
//! heads; costs what runs, not what waits.

use futures::future::try_join_all;
use tenure_cluster::Range;
use tracing::error;

use crate::plan::View;
use crate::store::{Live, LookError, Store};

/// The view at a revision at or after `activated`; its windows are unread, see [`super::refill`].
///
/// # Errors
/// [`LookError`]; nothing has been written, try again.
pub(super) async fn load(store: &Store, activated: i64, window: usize) -> Result<View, LookError> {
    let keys = store.keys();
    let revision = store.revision().await?.max(activated);
    let mut view = View::new(keys.clone(), revision, window);
    // All at once: nobody leads meanwhile, and at one revision their order does not matter.
    let lanes = [keys.lane_prefix(), keys.passing_prefix()];
    let held = [
        keys.node_prefix(),
        keys.drain_prefix(),
        keys.runs(),
        keys.all_stops(),
        keys.semaphore_prefix(),
        keys.queue_prefix(),
        keys.want_prefix(),
        keys.hold_prefix(),
        keys.death_prefix(),
    ];
    let whole = |prefix: String| async move { store.whole(&prefix, revision).await };
    let rules = async {
        let rules = Range::key(keys.rules()).at(revision);
        Ok::<_, LookError>(store.connection().range(&rules).await?.kvs)
    };
    let (lanes, held, rules) = futures::try_join!(
        try_join_all(lanes.map(whole)),
        try_join_all(held.map(whole)),
        rules
    )?;
    for kv in lanes.into_iter().flatten() {
        if let Some(Live::Lane(lane)) = keys.live(&kv.key) {
            view.unread(lane, kv.mod_revision);
        }
    }
    let now_ms = store.now_ms();
    for kv in held.into_iter().flatten() {
        if let Err(problem) = view.put(&kv, now_ms) {
            error!(%problem, "left out of the view");
        }
    }
    view.limits.rules = rules.first().map_or(0, |kv| kv.mod_revision);
    Ok(view)
}
