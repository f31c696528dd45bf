//! Tells those who wait outside that they hold now: one watch for all of a node's waiters, opened while somebody waits. Wakes each
//! for its own hold only; never says who is next.
//!
//! As with outcomes of tasks (`news`): whoever waits listens first and looks then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_cluster::{Delivery, EventKind, ReadError, Watch, WatchSpec};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::commit::Store;
use super::keys::Live;
use super::outside::{OutsideError, OutsideSeen, Turn};
use crate::metrics;
use crate::task::Gate;

/// 1,024 requests wait for a hold at one node at once, each a connection held open; beyond, they are answered at once.
pub const WAITERS_MAX: usize = 1_024;

/// 10 s without a waiter: the watch is closed.
const LINGER: Duration = Duration::from_secs(10);

/// 200 ms between attempts to open the watch.
const REOPEN: Duration = Duration::from_millis(200);

/// 500 ms between a renewal that failed and the next.
const RENEW_AGAIN: Duration = Duration::from_millis(500);

/// Where those outside wait. A cheap handle.
#[derive(Clone, Default)]
pub struct Grants(Arc<Board>);

#[derive(Default)]
struct Board {
    waiting: Mutex<BTreeMap<(Gate, u128), Place>>,
    somebody: Notify,
    wakeups: AtomicU64,
}

#[derive(Default)]
struct Place {
    waiters: usize,
    bell: Arc<Notify>,
}

/// One waiter's place; it is given up when dropped.
struct Listener {
    grants: Grants,
    of: (Gate, u128),
    bell: Arc<Notify>,
}

/// Reads the grants. One per node, owned by it.
pub struct Usher {
    store: Store,
    grants: Grants,
}

/// The two ends.
pub fn grants(store: &Store) -> (Grants, Usher) {
    let grants = Grants::default();
    let usher = Usher {
        store: store.clone(),
        grants: grants.clone(),
    };
    (grants, usher)
}

impl Grants {
    /// How a request stands once it is held, or after this time; its lease is renewed meanwhile. At once, renewed as well, where as
    /// many wait as this node takes: it keeps its place in the line all the same.
    ///
    /// # Errors
    /// [`OutsideError::Gone`] where it is over.
    pub async fn wait(
        &self,
        store: &Store,
        (gate, id): (&Gate, u128),
        wait: Duration,
    ) -> Result<OutsideSeen, OutsideError> {
        let deadline = Instant::now() + wait;
        let look = async || store.outside(gate, id).await?.ok_or(OutsideError::Gone);
        let seen = look().await?;
        if wait.is_zero() || is_held(&seen) {
            return Ok(seen);
        }
        let Some(listener) = self.of(gate, id) else {
            renewed(store, &seen).await?;
            return Ok(seen);
        };
        // What passed since the last word is not known here.
        let mut renew_at = Instant::now();
        loop {
            let heard = listener.bell.notified();
            tokio::pin!(heard);
            // Listen first, look then: what comes between the two is told.
            heard.as_mut().enable();
            let seen = look().await?;
            if is_held(&seen) {
                return Ok(seen);
            }
            loop {
                tokio::select! {
                    () = &mut heard => break,
                    () = sleep_until(deadline) => return look().await,
                    () = sleep_until(renew_at) => {
                        renew_at = Instant::now() + renewed(store, &seen).await?;
                    }
                }
            }
        }
    }

    /// How often a waiter was woken, since the start.
    pub fn wakeups(&self) -> u64 {
        self.0.wakeups.load(Ordering::Relaxed)
    }

    /// As many wait as may, until this is dropped.
    #[cfg(test)]
    pub(crate) fn crowd(&self) -> Vec<impl Sized + use<>> {
        let gate = Gate::Lock("crowd".parse().expect("a good name"));
        let each = (0..WAITERS_MAX as u128).map_while(|id| self.of(&gate, id));
        each.collect()
    }

    /// How many wait.
    pub fn waiters(&self) -> usize {
        self.waiting().values().map(|place| place.waiters).sum()
    }

    /// Listens for this hold from now on; none where as many listen as may.
    fn of(&self, gate: &Gate, id: u128) -> Option<Listener> {
        let of = (gate.clone(), id);
        let bell = {
            let mut waiting = self.waiting();
            let waiters: usize = waiting.values().map(|place| place.waiters).sum();
            if waiters >= WAITERS_MAX {
                return None;
            }
            let place = waiting.entry(of.clone()).or_default();
            place.waiters += 1;
            Arc::clone(&place.bell)
        };
        self.0.somebody.notify_one();
        Some(Listener {
            grants: self.clone(),
            of,
            bell,
        })
    }

    /// Held for a look-up or an insertion, never across an await.
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(Gate, u128), Place>> {
        let waiting = self.0.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, of: &(Gate, u128)) {
        if let Some(place) = self.waiting().get(of) {
            self.woke(place);
        }
    }

    fn ring_all(&self) {
        self.waiting().values().for_each(|place| self.woke(place));
    }

    fn woke(&self, place: &Place) {
        let waiters = place.waiters as u64;
        self.0.wakeups.fetch_add(waiters, Ordering::Relaxed);
        metrics::hold_wakeups(waiters);
        place.bell.notify_waiters();
    }
}

/// Renews the lease of one who waits, and says when to do so again.
async fn renewed(store: &Store, seen: &OutsideSeen) -> Result<Duration, OutsideError> {
    match store.connection().renew(seen.lease).await {
        Ok(true) => Ok(seen.ttl() / 3),
        Ok(false) => Err(OutsideError::Gone),
        Err(failure) => {
            debug!(%failure, "a request that waits was not renewed, trying again");
            Ok(RENEW_AGAIN)
        }
    }
}

fn is_held(seen: &OutsideSeen) -> bool {
    match seen.turn {
        Turn::Held { .. } => true,
        Turn::Waiting { .. } => false,
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.grants.waiting();
        if let Some(place) = waiting.get_mut(&self.of) {
            place.waiters -= 1;
            if place.waiters == 0 {
                waiting.remove(&self.of);
            }
        }
    }
}

impl Usher {
    /// Watches while somebody waits, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.tell() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn tell(&self) {
        loop {
            while self.grants.waiting().is_empty() {
                self.grants.0.somebody.notified().await;
            }
            match self.open().await {
                Ok(watch) => self.follow(watch).await,
                Err(problem) => {
                    warn!(%problem, "holds cannot be watched, trying again");
                    sleep(REOPEN).await;
                }
            }
        }
    }

    /// A watch from the store's present revision on. Those who waited before look again, for what came before it.
    async fn open(&self) -> Result<Watch, ReadError> {
        let now = self.store.revision().await?;
        let holds = WatchSpec::prefix(self.store.keys().hold_prefix());
        let watch = self.store.connection().watch(holds.from(now + 1));
        self.grants.ring_all();
        Ok(watch)
    }

    /// Wakes whom the watch names, until nobody has waited for a while or compaction overtook it.
    async fn follow(&self, mut watch: Watch) {
        loop {
            match timeout(LINGER, watch.next()).await {
                Ok(Delivery::Events { events, .. }) => {
                    for event in events.iter().filter(|event| event.kind == EventKind::Put) {
                        if let Some(Live::Hold(gate, id)) = self.store.keys().live(&event.kv.key) {
                            self.grants.ring(&(gate, id));
                        }
                    }
                }
                Ok(Delivery::Compacted { .. }) => return,
                Err(_) if self.grants.waiting().is_empty() => return,
                Ok(Delivery::Progress { .. }) | Err(_) => {}
            }
        }
    }
}
