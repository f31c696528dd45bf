//! Which lanes are marked, and the marks of new ones, up to a bound: a submit is sent when its lane has its mark.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenure_cluster::{Outcome, Range, ReadError};
use tokio::time::{Instant, timeout_at};

use super::{SubmitError, late};
use crate::planted::{self, Bug};
use crate::store::commit::Store;
use crate::store::keys::{Lane, Live};
use crate::store::txns;

/// 4,096 lanes to a cluster: marks stay for ever, and each costs a key in etcd, a window of the leader's, a place in every node's
/// memory and reads of each look at the queues. Nodes that mark at once may pass it by what they have in flight.
pub const LANES_MAX: usize = 4_096;

/// 32 marks to one transaction, below etcd's 128 operations per list.
const LANES_AT_ONCE: usize = 32;

/// The lanes this node knows to be marked. Marks stay, so what is known once stays true.
#[derive(Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<BTreeSet<Lane>>>);

impl Lanes {
    /// Marks those that are not known to be marked: all of them, or none where the cluster has no room for all. A mark without work
    /// is harmless; work without a mark would wait for ever.
    ///
    /// # Errors
    /// Nothing of a submit was sent: [`SubmitError::Unavailable`], [`SubmitError::TooManyLanes`].
    pub(super) async fn mark(
        &self,
        store: &Store,
        lanes: BTreeSet<Lane>,
        until: Instant,
    ) -> Result<(), SubmitError> {
        let new = self.unmarked(store, lanes, until).await?;
        if let Some(lane) = new.over.into_iter().next() {
            return Err(SubmitError::TooManyLanes(lane));
        }
        for some in new.fit.chunks(LANES_AT_ONCE) {
            self.put(store, some, until).await?;
        }
        Ok(())
    }

    /// As [`Self::mark`] for each alone; those that have no mark, and why.
    pub(super) async fn mark_each(
        &self,
        store: &Store,
        lanes: BTreeSet<Lane>,
        until: Instant,
    ) -> BTreeMap<Lane, SubmitError> {
        let all = self.unknown(lanes);
        let new = match self.unmarked(store, all.clone(), until).await {
            Ok(new) => new,
            Err(error) => return all.into_iter().map(|lane| (lane, error.clone())).collect(),
        };
        let over = |lane: Lane| (lane.clone(), SubmitError::TooManyLanes(lane));
        let mut without: BTreeMap<Lane, SubmitError> = new.over.into_iter().map(over).collect();
        for some in new.fit.chunks(LANES_AT_ONCE) {
            if let Err(error) = self.put(store, some, until).await {
                without.extend(some.iter().map(|lane| (lane.clone(), error.clone())));
            }
        }
        without
    }

    /// Those of these without a mark, in order, divided where the cluster's room ends.
    async fn unmarked(
        &self,
        store: &Store,
        lanes: BTreeSet<Lane>,
        until: Instant,
    ) -> Result<Unmarked, SubmitError> {
        let mut new = self.unknown(lanes);
        if new.is_empty() {
            return Ok(Unmarked::default());
        }
        let known = self.known().len();
        let every = Range::prefix(store.keys().lane_prefix());
        let mut marked = read(store, every.clone().count_only(), until).await?.count;
        // Near the bound it matters which of them another node has marked. Where all marks are known, none has.
        if count(marked) + new.len() > LANES_MAX && count(marked) != known {
            let page = read(store, every.keys_only(), until).await?;
            let lane = |key: &str| match store.keys().live(key) {
                Some(Live::Lane(lane)) => Some(lane),
                Some(_) | None => None,
            };
            let lanes = page.kvs.iter().filter_map(|kv| lane(&kv.key));
            self.known().extend(lanes);
            marked = page.count;
            new = self.unknown(new);
        }
        let room = LANES_MAX.saturating_sub(count(marked));
        let mut fit: Vec<Lane> = new.into_iter().collect();
        let over = fit.split_off(room.min(fit.len()));
        Ok(Unmarked { fit, over })
    }

    async fn put(&self, store: &Store, lanes: &[Lane], until: Instant) -> Result<(), SubmitError> {
        let marks = txns::lanes(store.keys(), lanes);
        let sent = timeout_at(until, store.connection().commit(&marks)).await;
        match sent.unwrap_or_else(|_| Outcome::Unavailable(late())) {
            Outcome::Committed(_) => {
                self.known().extend(lanes.iter().cloned());
                Ok(())
            }
            Outcome::Refused(_) => unreachable!("a transaction without guards is not refused"),
            // Nothing of the submit itself was sent.
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                Err(SubmitError::Unavailable(failure))
            }
        }
    }

    fn unknown(&self, mut lanes: BTreeSet<Lane>) -> BTreeSet<Lane> {
        let known = self.known();
        lanes.retain(|lane| !known.contains(lane) && !planted::is(Bug::LaneUnmarked));
        lanes
    }

    /// Held for a look or an insertion, never across an await.
    fn known(&self) -> MutexGuard<'_, BTreeSet<Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lanes without a mark.
#[derive(Default)]
struct Unmarked {
    /// Those that the cluster has room for.
    fit: Vec<Lane>,
    /// The others.
    over: Vec<Lane>,
}

async fn read(
    store: &Store,
    range: Range,
    until: Instant,
) -> Result<tenure_cluster::Page, SubmitError> {
    let page = timeout_at(until, store.connection().range(&range)).await;
    page.map_err(|_| SubmitError::Unavailable(late()))?
        .map_err(|error| match error {
            ReadError::Unavailable(failure) | ReadError::Definite(failure) => {
                SubmitError::Unavailable(failure)
            }
            ReadError::Compacted { at } => {
                unreachable!("the newest revision is not compacted, asked for {at}")
            }
        })
}

/// A count of keys, which etcd sends as an i64.
fn count(keys: i64) -> usize {
    usize::try_from(keys).unwrap_or(0)
}
