//! Loads the leader's view at one revision not before its activation: nodes, claims, stops and lanes whole, of the backlog only the
//! heads; costs what runs, not what waits.

use tenure_cluster::{KeyValue, Range};
use tracing::error;

use crate::plan::View;
use crate::planted::{self, Bug};
use crate::store::{Keys, Live, LookError, Store};

/// 2,048 keys to one read of what is loaded whole.
const READ_KEYS: i64 = 2_048;

/// The view at a revision at or after `activated`; its windows are unread, see [`super::refill`].
///
/// # Errors
/// [`LookError`]; nothing has been written, try again.
pub(super) async fn load(store: &Store, activated: i64, window: usize) -> Result<View, LookError> {
    let keys = store.keys();
    let revision = store.revision().await?.max(activated);
    let mut view = View::new(keys.clone(), revision, window);
    for kv in whole(store, &keys.lane_prefix(), revision).await? {
        if let Some(Live::Lane(lane)) = keys.live(&kv.key) {
            view.unread(lane);
        }
    }
    let now_ms = store.now_ms();
    for prefix in [keys.node_prefix(), keys.runs(), keys.all_stops()] {
        if planted::is(Bug::StopsNotLoaded) && prefix == keys.all_stops() {
            continue;
        }
        for kv in whole(store, &prefix, revision).await? {
            if let Err(problem) = view.put(&kv, now_ms) {
                error!(%problem, "left out of the view");
            }
        }
    }
    Ok(view)
}

/// All keys of a prefix at a revision, read in bounded pages.
async fn whole(store: &Store, prefix: &str, revision: i64) -> Result<Vec<KeyValue>, LookError> {
    let end = Keys::past(prefix);
    let (mut from, mut kvs) = (prefix.to_owned(), Vec::new());
    loop {
        let range = Range::between(from, end.clone())
            .limit(READ_KEYS)
            .at(revision);
        let page = store.connection().range(&range).await?;
        let last = page.kvs.last().map(|kv| Keys::following(&kv.key));
        kvs.extend(page.kvs);
        match last {
            Some(next) if page.more => from = next,
            Some(_) | None => return Ok(kvs),
        }
    }
}
