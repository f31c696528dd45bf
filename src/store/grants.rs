//! Tells those who wait outside that they hold now, each of its own hold only; never says who is next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenure_cluster::EventKind;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::bells::{Bells, Heard};
use super::commit::Store;
use super::keys::Live;
use super::outside::{OutsideError, OutsideSeen, Turn};
use crate::metrics;
use crate::task::Gate;
use crate::vitals::Of;

/// 1,024 requests wait for a hold at one node at once, each a connection held open; beyond, they are answered at once.
pub const WAITERS_MAX: usize = 1_024;

/// 500 ms between a renewal that failed and the next.
const RENEW_AGAIN: Duration = Duration::from_millis(500);

/// Where those outside wait. A cheap handle.
#[derive(Clone, Default)]
pub struct Grants {
    bells: Bells<(Gate, u128)>,
    wakeups: Arc<AtomicU64>,
}

/// Reads the grants. One per node, owned by it.
pub struct Usher {
    store: Store,
    grants: Grants,
}

/// The two ends.
pub fn grants(store: &Store) -> (Grants, Usher) {
    let grants = Grants::default();
    let bells = grants.bells.clone();
    let vitals = store.vitals();
    vitals.watch(Of::HoldWaiters, Some(WAITERS_MAX), move || bells.waiters());
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
        let Some(listener) = self.bells.listen_within((gate.clone(), id), WAITERS_MAX) else {
            renewed(store, &seen).await?;
            return Ok(seen);
        };
        // What passed since the last word is not known here.
        let mut renew_at = Instant::now();
        loop {
            let heard = listener.heard();
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
        self.wakeups.load(Ordering::Relaxed)
    }

    /// As many wait as may, until this is dropped.
    #[cfg(test)]
    pub(crate) fn crowd(&self) -> Vec<impl Sized + use<>> {
        let gate = Gate::Lock("crowd".parse().expect("a good name"));
        let each = (0..WAITERS_MAX as u128)
            .map_while(|id| self.bells.listen_within((gate.clone(), id), WAITERS_MAX));
        each.collect()
    }

    /// How many wait.
    pub fn waiters(&self) -> usize {
        self.bells.waiters()
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

impl Usher {
    /// Watches while somebody waits, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let Grants { bells, wakeups } = self.grants;
        let heard = Heard {
            bells,
            prefix: self.store.keys().hold_prefix(),
            what: "holds",
            whose: |store, event| {
                let live = store.keys().live(&event.kv.key);
                if let (EventKind::Put, Some(Live::Hold(gate, id))) = (event.kind, live) {
                    return Some((gate, id));
                }
                None
            },
            woke: |waiters| {
                let waiters = waiters as u64;
                wakeups.fetch_add(waiters, Ordering::Relaxed);
                metrics::hold_wakeups(waiters);
            },
        };
        heard.tell(&self.store, &stop).await;
    }
}
