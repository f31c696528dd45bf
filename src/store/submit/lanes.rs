//! Which lanes are marked, and the marks of new ones: a submit is sent when its lane has its mark.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenure_cluster::Outcome;
use tokio::time::{Instant, timeout_at};

use super::{SubmitError, late};
use crate::store::commit::Store;
use crate::store::keys::Lane;
use crate::store::txns;

/// 32 marks to one transaction, below etcd's 128 operations per list.
const LANES_AT_ONCE: usize = 32;

/// The lanes this node knows to be marked. Marks stay, so what is known once stays true.
#[derive(Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<BTreeSet<Lane>>>);

impl Lanes {
    /// Marks those that are not known to be marked. A mark without work is harmless; work without a mark would wait for ever.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`]: nothing of a submit was sent.
    pub(super) async fn mark(
        &self,
        store: &Store,
        lanes: BTreeSet<Lane>,
        until: Instant,
    ) -> Result<(), SubmitError> {
        let new: Vec<Lane> = self.unknown(lanes).into_iter().collect();
        for some in new.chunks(LANES_AT_ONCE) {
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
        let new: Vec<Lane> = self.unknown(lanes).into_iter().collect();
        let mut without = BTreeMap::new();
        for some in new.chunks(LANES_AT_ONCE) {
            if let Err(error) = self.put(store, some, until).await {
                without.extend(some.iter().map(|lane| (lane.clone(), error.clone())));
            }
        }
        without
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
        lanes.retain(|lane| !known.contains(lane));
        lanes
    }

    /// Held for a look or an insertion, never across an await.
    fn known(&self) -> MutexGuard<'_, BTreeSet<Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
