//! Loads the leader's view at one revision not before its activation: nodes, claims, stops and lanes whole, of the backlog only the
//! heads; costs what runs, not what waits.

use tenure_cluster::Range;
use tracing::error;

use crate::plan::View;
use crate::planted::{self, Bug};
use crate::store::{Live, LookError, Store};

/// The view at a revision at or after `activated`; its windows are unread, see [`super::refill`].
///
/// # Errors
/// [`LookError`]; nothing has been written, try again.
pub(super) async fn load(store: &Store, activated: i64, window: usize) -> Result<View, LookError> {
    let keys = store.keys();
    let revision = store.revision().await?.max(activated);
    let mut view = View::new(keys.clone(), revision, window);
    for prefix in [keys.lane_prefix(), keys.passing_prefix()] {
        for kv in store.whole(&prefix, revision).await? {
            if let Some(Live::Lane(lane)) = keys.live(&kv.key) {
                view.unread(lane, kv.mod_revision);
            }
        }
    }
    let now_ms = store.now_ms();
    for prefix in [
        keys.node_prefix(),
        keys.runs(),
        keys.all_stops(),
        keys.semaphore_prefix(),
        keys.queue_prefix(),
        keys.want_prefix(),
        keys.hold_prefix(),
        keys.death_prefix(),
    ] {
        if planted::is(Bug::StopsNotLoaded) && prefix == keys.all_stops() {
            continue;
        }
        for kv in store.whole(&prefix, revision).await? {
            if let Err(problem) = view.put(&kv, now_ms) {
                error!(%problem, "left out of the view");
            }
        }
    }
    let rules = Range::key(keys.rules()).at(revision);
    let rules = store.connection().range(&rules).await?.kvs;
    view.limits.rules = rules.first().map_or(0, |kv| kv.mod_revision);
    Ok(view)
}
