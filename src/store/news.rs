//! Tells waiters that outcomes of their pack were committed: one watch for all of a node's waiters, opened while somebody waits;
//! never says what the outcomes are.
//!
//! One watch, because etcd serves a new watch that begins in the past only every 100 ms, and a watch for each waiter would be one
//! stream for each. Whoever waits listens first and looks then: what is committed before the look is seen by it, what comes after
//! is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_cluster::{Delivery, Event, ReadError, Watch, WatchSpec};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::commit::Store;
use crate::task::PackId;

/// 10 s without a waiter: the watch is closed, so that a node nobody waits at hears nothing of outcomes.
const LINGER: Duration = Duration::from_secs(10);

/// 200 ms between attempts to open the watch.
const RETRY: Duration = Duration::from_millis(200);

/// Where waiters listen. A cheap handle.
#[derive(Clone, Default)]
pub struct News(Arc<Board>);

#[derive(Default)]
struct Board {
    waiting: Mutex<BTreeMap<PackId, Waiting>>,
    somebody: Notify,
}

#[derive(Default)]
struct Waiting {
    waiters: usize,
    bell: Arc<Notify>,
}

/// One waiter's place; it is given up when dropped.
pub struct Listener {
    news: News,
    pack: PackId,
    bell: Arc<Notify>,
}

/// Reads the news. One per node, owned by it.
pub struct Herald {
    store: Store,
    news: News,
}

/// The two ends.
pub fn news(store: &Store) -> (News, Herald) {
    let news = News::default();
    (
        news.clone(),
        Herald {
            store: store.clone(),
            news,
        },
    )
}

impl News {
    /// Listens for outcomes of a pack from now on.
    pub fn of(&self, pack: PackId) -> Listener {
        let bell = {
            let mut waiting = self.waiting();
            let place = waiting.entry(pack).or_default();
            place.waiters += 1;
            Arc::clone(&place.bell)
        };
        self.0.somebody.notify_one();
        Listener {
            news: self.clone(),
            pack,
            bell,
        }
    }

    /// Held for a look-up or an insertion, never across an await.
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<PackId, Waiting>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, pack: PackId) {
        if let Some(place) = self.waiting().get(&pack) {
            place.bell.notify_waiters();
        }
    }

    fn ring_all(&self) {
        self.waiting()
            .values()
            .for_each(|place| place.bell.notify_waiters());
    }
}

impl Listener {
    /// What rings at the next news. Enable it (see [`tokio::sync::futures::Notified::enable`]) before looking.
    pub fn heard(&self) -> tokio::sync::futures::Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.news.waiting();
        if let Some(place) = waiting.get_mut(&self.pack) {
            place.waiters -= 1;
            if place.waiters == 0 {
                waiting.remove(&self.pack);
            }
        }
    }
}

impl Herald {
    /// Watches while somebody waits, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.tell() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn tell(&self) {
        loop {
            while self.news.waiting().is_empty() {
                self.news.0.somebody.notified().await;
            }
            match self.open().await {
                Ok(watch) => self.follow(watch).await,
                Err(problem) => {
                    warn!(%problem, "outcomes cannot be watched, trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// A watch from the store's present revision on. Those who waited before look again, for what came before it.
    async fn open(&self) -> Result<Watch, ReadError> {
        let (connection, keys) = (self.store.connection(), self.store.keys());
        let now = self.store.revision().await?;
        let watch = connection.watch(WatchSpec::prefix(keys.result_prefix()).from(now + 1));
        self.news.ring_all();
        Ok(watch)
    }

    /// Tells what the watch brings, until nobody has waited for a while or compaction overtook it.
    async fn follow(&self, mut watch: Watch) {
        loop {
            match tokio::time::timeout(LINGER, watch.next()).await {
                Ok(Delivery::Events { events, .. }) => self.told(&events),
                Ok(Delivery::Compacted { .. }) => return self.news.ring_all(),
                Err(_) if self.news.waiting().is_empty() => return,
                Ok(Delivery::Progress { .. }) | Err(_) => {}
            }
        }
    }

    fn told(&self, events: &[Event]) {
        for event in events {
            if let Some((pack, _, _)) = self.store.keys().result_of(&event.kv.key) {
                self.news.ring(pack);
            }
        }
    }
}
