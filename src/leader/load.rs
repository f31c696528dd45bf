//! Loads the leader's view at one revision not before its activation: nodes, claims, stops and lanes whole, of the backlog only the
//! heads; costs what runs, not what waits.

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
    for kv in store.whole(&keys.lane_prefix(), revision).await? {
        if let Some(Live::Lane(lane)) = keys.live(&kv.key) {
            view.unread(lane);
        }
    }
    let now_ms = store.now_ms();
    for prefix in [keys.node_prefix(), keys.runs(), keys.all_stops()] {
        if planted::is(Bug::StopsNotLoaded) && prefix == keys.all_stops() {
            continue;
        }
        for kv in store.whole(&prefix, revision).await? {
            if let Err(problem) = view.put(&kv, now_ms) {
                error!(%problem, "left out of the view");
            }
        }
    }
    Ok(view)
}
