//! An entry in a queue: put once, deleted for certain, whatever becomes of the future that put it.
//! Never waits for its turn.

use std::mem;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{QueueError, RETRY, txns};
use crate::connection::Connection;
use crate::ended::Life;
use crate::failure::{Failure, FailureKind};
use crate::janitor::{Orphan, Place};
use crate::session::Session;
use crate::txn::{Outcome, Txn};

/// What became of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// Given back at this revision: it was held without a break until then.
    Done {
        /// The revision.
        revision: i64,
    },
    /// It was gone already: lost before, or given back by an attempt whose answer was lost.
    Gone,
    /// etcd did not answer well; the session goes on trying in the background, and it goes at the latest with its lease.
    Later(Failure),
}

/// An entry; dropped, it is the janitor's.
pub(super) struct Entry {
    key: String,
    /// The key of the permit that it may become.
    permit: Option<String>,
    lease: i64,
    stage: Stage,
    /// Copies of its put that were sent and not answered: each may still arrive.
    unanswered: u32,
    place: Option<Place>,
}

/// Which keys there are.
enum Stage {
    /// Maybe the entry.
    Unplaced,
    /// The entry, since this revision.
    Waiting(i64),
    /// The entry, or the permit.
    Granting,
    /// The permit, since this revision.
    Permitted(i64),
    /// None.
    Gone,
}

impl Entry {
    /// Chooses a key below the queue; with `permits`, the permit's has the same name below that.
    pub(super) fn choose(
        session: &Session,
        queue: &str,
        permits: Option<&str>,
    ) -> Result<Self, QueueError> {
        let place = session.janitor().place();
        let place = place.ok_or_else(|| {
            if session.lost().is_cancelled() {
                QueueError::SessionLost
            } else {
                QueueError::SessionFull
            }
        })?;
        let key = session.fresh_key(queue);
        let permit = permits.map(|permits| format!("{permits}{}", &key[queue.len()..]));
        Ok(Self {
            key,
            permit,
            lease: session.lease(),
            stage: Stage::Unplaced,
            unanswered: 0,
            place: Some(place),
        })
    }

    /// Puts it and answers its create revision. Where an outcome is unknown the same transaction settles it: found there, it is ours.
    pub(super) async fn put(
        &mut self,
        connection: &Connection,
        session: &Session,
        value: Bytes,
    ) -> Result<i64, QueueError> {
        let txn = txns::enqueue(session, &self.key, self.permit.as_deref(), value);
        loop {
            match connection.commit(&txn).await {
                Outcome::Committed(committed) => return Ok(self.placed(committed.revision)),
                Outcome::Refused(refused) if refused.lost.contains(&"session") => {
                    return Err(QueueError::SessionLost);
                }
                Outcome::Refused(refused) => {
                    let found = refused.found().filter(|kv| kv.lease == self.lease);
                    let kv = found.ok_or(QueueError::EntryDeleted)?;
                    // One of the copies that were not answered has arrived.
                    self.unanswered = self.unanswered.saturating_sub(1);
                    return Ok(self.placed(kv.create_revision));
                }
                Outcome::Unknown(failure) => {
                    self.unanswered += 1;
                    if failure.kind == FailureKind::Space {
                        return Err(failure.into());
                    }
                }
                Outcome::Unavailable(failure) if !failure.kind.blames_member() => {
                    return Err(failure.into());
                }
                Outcome::Unavailable(_) => {}
            }
            sleep(RETRY).await;
        }
    }

    fn placed(&mut self, created: i64) -> i64 {
        self.stage = Stage::Waiting(created);
        created
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The permit's key; the entry's where it becomes none.
    pub(super) fn held_key(&self) -> &str {
        self.permit.as_deref().unwrap_or(&self.key)
    }

    pub(super) fn lease(&self) -> i64 {
        self.lease
    }

    /// The life of the key that is held or waited with.
    pub(super) fn life(&self, key: &str, created: i64) -> Life {
        Life {
            key: key.to_owned(),
            lease: self.lease,
            created,
        }
    }

    /// From here on a grant may have been sent.
    pub(super) fn granting(&mut self) {
        self.stage = Stage::Granting;
    }

    /// No grant that was sent can commit any more.
    pub(super) fn not_granted(&mut self, created: i64) {
        self.stage = Stage::Waiting(created);
    }

    /// The permit is there since this revision.
    pub(super) fn permitted(&mut self, token: i64) {
        self.stage = Stage::Permitted(token);
    }

    /// Deletes what there is, again and again until twice the request timeout; then the janitor goes on.
    pub(super) async fn leave(&mut self, connection: &Connection) -> Released {
        let txn = self.removal();
        let deadline = Instant::now() + connection.request_timeout() * 2;
        loop {
            let failure = match connection.commit(&txn).await {
                Outcome::Committed(committed) => {
                    self.stage = Stage::Gone;
                    let revision = committed.revision;
                    return Released::Done { revision };
                }
                Outcome::Refused(_) => {
                    self.stage = Stage::Gone;
                    return Released::Gone;
                }
                Outcome::Unknown(failure) | Outcome::Unavailable(failure) => failure,
            };
            if Instant::now() + RETRY >= deadline {
                return Released::Later(failure);
            }
            sleep(RETRY).await;
        }
    }

    fn removal(&self) -> Txn {
        match self.stage {
            Stage::Waiting(created) => txns::release(&self.key, created),
            Stage::Permitted(token) => txns::release(self.held_key(), token),
            Stage::Unplaced | Stage::Granting | Stage::Gone => {
                txns::abandon(&self.key, self.held_key())
            }
        }
    }

    /// What is left to delete, and how.
    fn orphan(&mut self) -> Option<Orphan> {
        let late = self.unanswered > 0;
        let key = mem::take(&mut self.key);
        let permit = self.permit.take();
        let (keys, created) = match self.stage {
            Stage::Gone if !late => return None,
            Stage::Waiting(created) if !late => (vec![key], Some(created)),
            Stage::Permitted(token) if !late => (permit.into_iter().collect(), Some(token)),
            Stage::Unplaced
            | Stage::Waiting(_)
            | Stage::Granting
            | Stage::Permitted(_)
            | Stage::Gone => ([key].into_iter().chain(permit).collect(), None),
        };
        let late = late || matches!(self.stage, Stage::Unplaced);
        Some(Orphan {
            keys,
            created,
            late,
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let (Some(place), Some(orphan)) = (self.place.take(), self.orphan()) {
            place.take(orphan);
        }
    }
}
