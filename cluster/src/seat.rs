//! A candidate's key: put once, deleted for certain. Never waits for its turn;
//! [`Candidate`](crate::Candidate) does.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::election::StandError;
use crate::failure::FailureKind;
use crate::janitor::{Orphan, Place};
use crate::session::Session;
use crate::txn::{Guard, Op, Outcome, Txn};

/// 200 ms between attempts that were not answered well.
const RETRY: Duration = Duration::from_millis(200);

/// A candidate's key, handed to the janitor where nobody deletes it.
pub(crate) struct Seat {
    pub(crate) key: String,
    /// R, once the put is answered.
    pub(crate) created: Option<i64>,
    place: Option<Place>,
    settled: bool,
}

impl Seat {
    /// Chooses the key; from here on, whatever happens to the future that puts it, the janitor knows it.
    pub(crate) fn choose(session: &Session, prefix: &str) -> Self {
        Self {
            key: session.fresh_key(prefix),
            created: None,
            place: session.janitor().place(),
            settled: false,
        }
    }

    /// Deletes the key with what else is to happen. Where that is not answered well, deletes it alone, again
    /// and again until twice the request timeout; then the janitor goes on.
    pub(crate) async fn leave(&mut self, connection: &Connection, also: Vec<Op>) -> Outcome {
        let created = self.created.unwrap_or(0);
        let alone = Txn::new()
            .guard(Guard::created_at("term", &self.key, created))
            .delete(&self.key);
        let mut first = alone.clone();
        first.then.extend(also);
        let deadline = Instant::now() + connection.request_timeout() * 2;
        let mut outcome = connection.commit(&first).await;
        while Instant::now() < deadline {
            match &outcome {
                Outcome::Committed(_) | Outcome::Refused(_) => break,
                Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                    tracing::debug!(%failure, key = %self.key, "deleting the key alone");
                }
            }
            outcome = connection.commit(&alone).await;
            if matches!(outcome, Outcome::Unknown(_) | Outcome::Unavailable(_)) {
                sleep(RETRY).await;
            }
        }
        self.settled = matches!(outcome, Outcome::Committed(_) | Outcome::Refused(_));
        outcome
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let Some(place) = self.place.take() else {
            return tracing::debug!(key = %self.key, "an abandoned key waits for the end of its lease");
        };
        place.take(Orphan {
            keys: vec![std::mem::take(&mut self.key)],
            created: self.created,
            late: self.created.is_none(),
        });
    }
}

/// Puts the key and answers its create revision. The key's name is used by this one candidacy only, so where an
/// outcome is unknown the same transaction settles it: found there, it is ours.
pub(crate) async fn take_seat(
    connection: &Connection,
    session: &Session,
    key: &str,
    value: Vec<u8>,
) -> Result<i64, StandError> {
    let txn = Txn::new()
        .guard(session.guard())
        .guard(Guard::absent("candidate", key))
        .put_leased(key, Bytes::from(value), session.lease())
        .or_get(key);
    loop {
        match connection.commit(&txn).await {
            Outcome::Committed(committed) => return Ok(committed.revision),
            Outcome::Refused(refused) if refused.lost.contains(&"session") => {
                return Err(StandError::SessionLost);
            }
            Outcome::Refused(refused) => match refused.found() {
                Some(kv) => return Ok(kv.create_revision),
                None => sleep(RETRY).await,
            },
            Outcome::Unknown(failure) if failure.kind == FailureKind::Space => {
                return Err(failure.into());
            }
            Outcome::Unavailable(failure) if !failure.kind.blames_member() => {
                return Err(failure.into());
            }
            Outcome::Unknown(_) | Outcome::Unavailable(_) => sleep(RETRY).await,
        }
    }
}
