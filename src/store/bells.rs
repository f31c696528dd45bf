//! Wakes those who wait for a key to be written: one watch for all of a node's waiters, opened while somebody waits; never says what
//! was written.
//!
//! One watch, because etcd serves a new watch that begins in the past only every 100 ms, and a watch for each waiter would be one
//! stream for each. Whoever waits listens first and looks then: what is committed before the look is seen by it, what comes after
//! rings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_cluster::{Delivery, Event, ReadError, Watch, WatchSpec};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::commit::Store;

/// 10 s without a waiter: the watch is closed, so that a node nobody waits at hears nothing.
const LINGER: Duration = Duration::from_secs(10);

/// 200 ms between attempts to open the watch.
const REOPEN: Duration = Duration::from_millis(200);

/// Where waiters listen, by what they wait for. A cheap handle.
pub(super) struct Bells<Of: Ord>(Arc<Board<Of>>);

struct Board<Of> {
    places: Mutex<BTreeMap<Of, Place>>,
    somebody: Notify,
}

#[derive(Default)]
struct Place {
    waiters: usize,
    bell: Arc<Notify>,
}

type Places<'a, Of> = MutexGuard<'a, BTreeMap<Of, Place>>;

/// One waiter's place; it is given up when dropped.
pub struct Listener<Of: Ord> {
    bells: Bells<Of>,
    of: Of,
    bell: Arc<Notify>,
}

/// What is listened to.
pub(super) struct Heard<Of: Ord, Woke> {
    /// Who listens.
    pub(super) bells: Bells<Of>,
    /// What the keys begin with.
    pub(super) prefix: String,
    /// For the log: what cannot be watched where etcd does not answer.
    pub(super) what: &'static str,
    /// For whom an event rings.
    pub(super) whose: fn(&Store, &Event) -> Option<Of>,
    /// Told how many were woken at once.
    pub(super) woke: Woke,
}

impl<Of: Ord> Default for Bells<Of> {
    fn default() -> Self {
        Self(Arc::new(Board {
            places: Mutex::default(),
            somebody: Notify::new(),
        }))
    }
}

impl<Of: Ord> Clone for Bells<Of> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Of: Ord + Clone> Bells<Of> {
    /// Listens from now on. How many may is for the caller to bound.
    pub(super) fn listen(&self, of: Of) -> Listener<Of> {
        self.take(self.places(), of)
    }

    /// The same; none where so many listen already.
    pub(super) fn listen_within(&self, of: Of, most: usize) -> Option<Listener<Of>> {
        let places = self.places();
        (sum(&places) < most).then(|| self.take(places, of))
    }

    fn take(&self, mut places: Places<'_, Of>, of: Of) -> Listener<Of> {
        let place = places.entry(of.clone()).or_default();
        place.waiters += 1;
        let bell = Arc::clone(&place.bell);
        drop(places);
        self.0.somebody.notify_one();
        Listener {
            bells: self.clone(),
            of,
            bell,
        }
    }
}

impl<Of: Ord> Bells<Of> {
    /// How many listen.
    pub(super) fn waiters(&self) -> usize {
        sum(&self.places())
    }

    /// Held for a look-up or an insertion, never across an await.
    fn places(&self) -> Places<'_, Of> {
        let places = self.0.places.lock();
        places.unwrap_or_else(PoisonError::into_inner)
    }

    /// How many that wakes.
    fn ring(&self, of: &Of) -> usize {
        self.places().get(of).map_or(0, Place::ring)
    }

    fn ring_all(&self) -> usize {
        self.places().values().map(Place::ring).sum()
    }
}

fn sum<Of>(places: &BTreeMap<Of, Place>) -> usize {
    places.values().map(|place| place.waiters).sum()
}

impl Place {
    fn ring(&self) -> usize {
        self.bell.notify_waiters();
        self.waiters
    }
}

impl<Of: Ord> Listener<Of> {
    /// What rings next. Enable it (see [`Notified::enable`]) before looking.
    pub fn heard(&self) -> Notified<'_> {
        self.bell.notified()
    }
}

impl<Of: Ord> Drop for Listener<Of> {
    fn drop(&mut self) {
        let mut places = self.bells.places();
        if let Some(place) = places.get_mut(&self.of) {
            place.waiters -= 1;
            if place.waiters == 0 {
                places.remove(&self.of);
            }
        }
    }
}

impl<Of: Ord, Woke: Fn(usize)> Heard<Of, Woke> {
    /// Watches while somebody waits, until told to stop.
    pub(super) async fn tell(self, store: &Store, stop: &CancellationToken) {
        tokio::select! {
            () = self.told(store) => {}
            () = stop.cancelled() => {}
        }
    }

    async fn told(&self, store: &Store) {
        loop {
            while self.bells.places().is_empty() {
                self.bells.0.somebody.notified().await;
            }
            match self.open(store).await {
                Ok(watch) => self.follow(store, watch).await,
                Err(problem) => {
                    let what = self.what;
                    warn!(%problem, "{what} cannot be watched, trying again");
                    sleep(REOPEN).await;
                }
            }
        }
    }

    /// A watch from the store's present revision on. Those who waited before look again, for what came before it.
    async fn open(&self, store: &Store) -> Result<Watch, ReadError> {
        let now = store.revision().await?;
        let spec = WatchSpec::prefix(self.prefix.clone()).from(now + 1);
        let watch = store.connection().watch(spec);
        (self.woke)(self.bells.ring_all());
        Ok(watch)
    }

    /// Wakes whom the watch names, until nobody has waited for a while or compaction overtook it: then it is opened anew.
    async fn follow(&self, store: &Store, mut watch: Watch) {
        loop {
            match timeout(LINGER, watch.next()).await {
                Ok(Delivery::Events { events, .. }) => {
                    let named = events.iter().filter_map(|event| (self.whose)(store, event));
                    for of in named {
                        (self.woke)(self.bells.ring(&of));
                    }
                }
                Ok(Delivery::Compacted { .. }) => return,
                Err(_) if self.bells.places().is_empty() => return,
                Ok(Delivery::Progress { .. }) | Err(_) => {}
            }
        }
    }
}
