//! The task behind a session: sends keepalives, watches the session's own key, tells how it stands.
//! Never reads a keepalive's answer as proof: the deadline and the key decide as well.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::ended::{Life, ended};
use crate::failure::{Failure, FailureKind};
use crate::lease::TTL_IGNORED;
use crate::lifetime::{Lifetime, Standing};
use crate::meter;
use crate::planted;
use crate::session::{LostReason, State};

/// 500 ms between a keepalive that failed and the next.
const RETRY: Duration = Duration::from_millis(500);
/// 1 s to tell why a key went, and to give back the lease that it was taken from.
const COURTESY: Duration = Duration::from_secs(1);

/// What the task needs.
pub(crate) struct Keeper {
    pub(crate) connection: Connection,
    pub(crate) key: String,
    pub(crate) lease: i64,
    /// S, the create revision of the key.
    pub(crate) revision: i64,
    pub(crate) lifetime: Lifetime,
    /// Before the last answered keepalive, or the grant, was sent.
    pub(crate) acked: Instant,
    pub(crate) state: Arc<watch::Sender<State>>,
    pub(crate) lost: CancellationToken,
    pub(crate) stop: CancellationToken,
}

/// Keeps the session until it is lost or closed, then says so.
///
/// A lease whose deadline has passed is left alone: as long as it lives nobody is given what its owner still ends. The owner gives it
/// back, see [`Session::close`](crate::Session::close). One whose key is gone protects nothing any more, and its other keys are in the way.
pub(crate) async fn keep(mut keeper: Keeper) {
    let reason = keeper.until_lost().await;
    // First of all: whoever acts under this session stops.
    keeper.lost.cancel();
    let reason = match reason {
        LostReason::KeyDeleted => keeper.why_deleted().await,
        LostReason::Deadline | LostReason::LeaseGone | LostReason::Closed => reason,
    };
    keeper.state.send_replace(State::Lost(reason));
    if reason == LostReason::Closed {
        return;
    }
    meter::lease_lost(reason.code());
    tracing::warn!(key = %keeper.key, lease = keeper.lease, reason = reason.code(), "session lost");
    if reason == LostReason::KeyDeleted {
        keeper.give_back().await;
    }
}

/// Runs a task of a session, and ends the session where it panics: without keepalives it is lost, and a candidate's key that
/// nobody deletes would keep others from leading as long as it lives.
pub(crate) async fn unless_it_panics(
    task: impl Future<Output = ()>,
    state: Arc<watch::Sender<State>>,
    lost: CancellationToken,
) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!("a task of the session panicked, the session is over");
        over(&state, &lost);
    }
}

/// Says that a session is over that nobody has lost before.
pub(crate) fn over(state: &watch::Sender<State>, lost: &CancellationToken) {
    lost.cancel();
    state.send_if_modified(|state| match state {
        State::Live { .. } | State::Suspect { .. } => {
            *state = State::Lost(LostReason::Closed);
            true
        }
        State::Lost(_) => false,
    });
}

impl Keeper {
    async fn until_lost(&mut self) -> LostReason {
        let (connection, lease, lifetime) = (self.connection.clone(), self.lease, self.lifetime);
        let renew = |at| renew(connection.clone(), lease, at, lifetime.renew_limit());
        // Keepalives have been answered well when the key was gone.
        let life = Life {
            key: self.key.clone(),
            lease: self.lease,
            created: self.revision,
        };
        let own_key = ended(self.connection.clone(), life, self.revision);
        tokio::pin!(own_key);
        let mut renewal = Box::pin(renew(lifetime.renew_at(self.acked)));
        loop {
            let now = Instant::now();
            match lifetime.standing(self.acked, now) {
                Standing::Live { until } => self.publish(State::Live { until }),
                Standing::Suspect { until } => self.publish(State::Suspect { until }),
                Standing::Over => return LostReason::Deadline,
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return LostReason::Closed,
                () = &mut own_key, if !planted::is(TTL_IGNORED) => return LostReason::KeyDeleted,
                (sent, answered) = &mut renewal => {
                    renewal = match answered {
                        Ok(()) => {
                            self.acked = sent;
                            Box::pin(renew(lifetime.renew_at(sent)))
                        }
                        Err(failure) if failure.kind == FailureKind::LeaseNotFound => {
                            return LostReason::LeaseGone;
                        }
                        Err(failure) => {
                            tracing::debug!(%failure, lease, "keepalive failed");
                            Box::pin(renew(Instant::now() + RETRY))
                        }
                    };
                }
                () = sleep_until(lifetime.next_change(self.acked, now)) => {}
            }
        }
    }

    fn publish(&self, state: State) {
        self.state.send_if_modified(|current| {
            let changed = *current != state;
            *current = state;
            changed
        });
    }

    /// The key goes with the lease, too: then the lease is the reason.
    async fn why_deleted(&self) -> LostReason {
        match timeout(COURTESY, self.connection.lease_alive(self.lease)).await {
            Ok(Ok(false)) => LostReason::LeaseGone,
            Ok(Ok(true) | Err(_)) | Err(_) => LostReason::KeyDeleted,
        }
    }

    /// What its lease still holds would only delay others.
    async fn give_back(&self) {
        match timeout(COURTESY, self.connection.revoke(self.lease)).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => tracing::debug!(%failure, "the lost lease ends by itself"),
            Err(_) => tracing::debug!("the lost lease ends by itself"),
        }
    }
}

/// One keepalive at the given time: when it was about to be sent, and its answer.
async fn renew(
    connection: Connection,
    lease: i64,
    at: Instant,
    limit: Duration,
) -> (Instant, Result<(), Failure>) {
    sleep_until(at).await;
    let sent = Instant::now();
    let answered = connection.keep_alive(lease, limit).await;
    if answered.is_ok() {
        meter::lease_renewed(sent.elapsed());
    }
    (sent, answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_ends_its_session() {
        let until = Instant::now() + Duration::from_secs(10);
        let state = Arc::new(watch::Sender::new(State::Live { until }));
        let lost = CancellationToken::new();

        unless_it_panics(
            async { panic!("on purpose") },
            Arc::clone(&state),
            lost.clone(),
        )
        .await;

        assert!(lost.is_cancelled());
        assert_eq!(*state.borrow(), State::Lost(LostReason::Closed));
    }
}
