//! Who leads: the key under a prefix that was created first. Candidates wait their turn and then activate
//! through raft. Never trusts a read or a watch event with leadership.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::mirror::{Mirror, Step};
use crate::planted;
use crate::read::KeyValue;
use crate::seat::{Seat, take_seat};
use crate::session::Session;
use crate::term::{Ended, Predecessor, Term};
use crate::txn::{Guard, Outcome, Txn};
use crate::watch::{Event, EventKind};

/// 200 ms between attempts that were not answered well.
const RETRY: Duration = Duration::from_millis(200);
/// 500 ms to tell why the predecessor's key went; it runs beside the activation.
const WHY: Duration = Duration::from_millis(500);
/// The bug that is planted here.
const OUT_OF_TURN: &str = "lead-out-of-turn";

/// A place in the queue for leadership. Dropped without [`withdraw`](Self::withdraw), its key is deleted by the
/// session in the background.
pub struct Candidate {
    connection: Connection,
    prefix: String,
    session_lost: CancellationToken,
    seat: Option<Seat>,
    mirror: Mirror,
    ahead: watch::Sender<Option<usize>>,
    lapse: Option<Lapse>,
    /// Since when the own key is the oldest, as far as is seen.
    oldest: Option<Instant>,
}

/// A leader ahead of us that went away.
struct Lapse {
    kv: KeyValue,
    seen: Instant,
    /// The revision of its deletion, where the watch told of it.
    revision: Option<i64>,
}

/// Why a candidate has no place.
#[derive(Debug, thiserror::Error)]
pub enum StandError {
    /// The session is over; open a new one.
    #[error("the session is lost")]
    SessionLost,
    /// etcd did not answer well; what was sent is cleaned up.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Why a candidate does not lead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeadError {
    /// Its key is gone; stand again.
    #[error("the candidate's key is gone")]
    CandidateGone,
    /// The session is over; open a new one and stand again.
    #[error("the session is lost")]
    SessionLost,
    /// It has led already; stand again.
    #[error("this candidate has already had its term")]
    AlreadyLed,
    /// etcd refuses, and will again.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Candidate {
    /// Puts a key under the prefix, `<prefix><lease in hex>` (with `-<n>` when the session stands again),
    /// guarded by the session's key.
    ///
    /// # Errors
    /// The session is lost, or etcd does not answer until its TTL ran out.
    pub async fn stand(
        connection: &Connection,
        session: &Session,
        prefix: &str,
        value: Vec<u8>,
    ) -> Result<Candidate, StandError> {
        let mut seat = Seat::choose(session, prefix);
        let session_lost = session.lost();
        let created = tokio::select! {
            biased;
            () = session_lost.cancelled() => return Err(StandError::SessionLost),
            taken = take_seat(connection, session, &seat.key, value) => taken?,
        };
        seat.created = Some(created);
        Ok(Self {
            connection: connection.clone(),
            prefix: prefix.to_owned(),
            session_lost,
            seat: Some(seat),
            mirror: Mirror::new(connection, prefix),
            ahead: watch::Sender::default(),
            lapse: None,
            oldest: None,
        })
    }

    /// The candidate's key; empty once it led.
    pub fn key(&self) -> &str {
        self.seat.as_ref().map_or("", |seat| &seat.key)
    }

    /// R, the create revision of its key; 0 once it led.
    pub fn revision(&self) -> i64 {
        self.seat
            .as_ref()
            .and_then(|seat| seat.created)
            .unwrap_or(0)
    }

    /// How many come before it, the leader included, as far as was seen; none before anything was. It moves while [`lead`](Self::lead)
    /// is awaited. A hint: only a term leads.
    pub fn ahead(&self) -> watch::Receiver<Option<usize>> {
        self.ahead.subscribe()
    }

    /// Waits its turn and begins the term. May be dropped and called again.
    ///
    /// # Errors
    /// The own key is gone, the session is lost, it has led already, or etcd refuses.
    pub async fn lead(&mut self) -> Result<Term, LeadError> {
        let session_lost = self.session_lost.clone();
        tokio::select! {
            biased;
            () = session_lost.cancelled() => Err(LeadError::SessionLost),
            term = self.wait_and_activate() => term,
        }
    }

    /// Gives up the place.
    pub async fn withdraw(mut self) {
        if let Some(mut seat) = self.seat.take() {
            seat.leave(&self.connection, Vec::new()).await;
        }
    }

    async fn wait_and_activate(&mut self) -> Result<Term, LeadError> {
        loop {
            let Some(seat) = &self.seat else {
                return Err(LeadError::AlreadyLed);
            };
            let (key, created) = (seat.key.clone(), seat.created.unwrap_or(0));
            // Nothing was read yet, or the mirror is to be read anew.
            if self.mirror.revision() < created {
                self.step().await;
                continue;
            }
            self.tell_ahead(created);
            match self.mirror.oldest() {
                Some(oldest) if oldest.key == key || planted::is(OUT_OF_TURN) => {
                    self.oldest.get_or_insert_with(Instant::now);
                    if let Some(term) = self.activate(&key, created).await? {
                        return Ok(term);
                    }
                }
                Some(_) if self.mirror.kvs().contains_key(&key) => {
                    self.oldest = None;
                    self.step().await;
                }
                Some(_) | None => return Err(LeadError::CandidateGone),
            }
        }
    }

    fn tell_ahead(&self, created: i64) {
        let before = |kv: &&KeyValue| kv.create_revision < created;
        let ahead = Some(self.mirror.kvs().values().filter(before).count());
        self.ahead
            .send_if_modified(|told| std::mem::replace(told, ahead) != ahead);
    }

    /// Takes in one change, and remembers a leader that went.
    async fn step(&mut self) {
        let before = self.mirror.oldest().cloned();
        let step = self.mirror.step().await;
        let Some(leader) = before else { return };
        let (gone, revision) = match &step {
            Step::Reset => {
                let now = self.mirror.kvs().get(&leader.key);
                let same = now.is_some_and(|kv| kv.create_revision == leader.create_revision);
                (!same, None)
            }
            Step::Events(events) => {
                let deletion = events.iter().find(|event| deletes(event, &leader));
                let revision = deletion.map(|event| event.kv.mod_revision);
                (revision.is_some(), revision)
            }
        };
        if gone {
            self.lapse = Some(Lapse {
                kv: leader,
                seen: Instant::now(),
                revision,
            });
        }
    }

    /// Begins the term where the own key is the oldest, by a transaction that goes through raft because it
    /// may write, and needs no space because it only deletes a key that is never there.
    async fn activate(&mut self, key: &str, created: i64) -> Result<Option<Term>, LeadError> {
        let mut txn = Txn::new()
            .guard(Guard::created_at("candidate", key, created))
            .delete(format!("{key}.activation"));
        if !planted::is(OUT_OF_TURN) {
            txn = txn.guard(Guard::oldest_in("oldest", &self.prefix, created));
        }
        let watched = self.lapse.as_ref().filter(|lapse| lapse.revision.is_some());
        let lease = watched.map(|lapse| lapse.kv.lease);
        let (outcome, ended_by) = tokio::join!(
            self.connection.commit(&txn),
            why_it_lapsed(&self.connection, lease)
        );
        match outcome {
            Outcome::Committed(committed) => {
                let answered = Instant::now();
                let succeeded = self.lapse.take().map(|lapse| Predecessor {
                    gap: answered.duration_since(lapse.seen),
                    kv: lapse.kv,
                    ended_by,
                    revision: lapse.revision,
                    seen: lapse.seen,
                    oldest: self.oldest.unwrap_or(answered),
                    answered,
                });
                Ok(self.begin(committed.revision, succeeded))
            }
            Outcome::Refused(refused) if refused.lost.contains(&"candidate") => {
                Err(LeadError::CandidateGone)
            }
            Outcome::Refused(_) => {
                // What was read was not the newest: someone older is still there.
                self.mirror.reset();
                self.step().await;
                Ok(None)
            }
            // Activating again is harmless, so an unknown outcome is settled by doing that.
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                if failure.kind.definite() && !failure.kind.blames_member() {
                    return Err(LeadError::Failed(failure));
                }
                sleep(RETRY).await;
                Ok(None)
            }
        }
    }

    fn begin(&mut self, activated: i64, succeeded: Option<Predecessor>) -> Option<Term> {
        let seat = self.seat.take()?;
        let mirror = std::mem::replace(
            &mut self.mirror,
            Mirror::new(&self.connection, &self.prefix),
        );
        let session_lost = self.session_lost.clone();
        Some(Term::start(
            self.connection.clone(),
            seat,
            activated,
            mirror,
            session_lost,
            succeeded,
        ))
    }
}

/// Why the leader's key went, by whether its lease still lives.
async fn why_it_lapsed(connection: &Connection, lease: Option<i64>) -> Ended {
    let Some(lease) = lease else {
        return Ended::Unknown;
    };
    match timeout(WHY, connection.lease_alive(lease)).await {
        Ok(Ok(true)) => Ended::KeyDeleted,
        Ok(Ok(false)) => Ended::LeaseGone,
        Ok(Err(_)) | Err(_) => Ended::Unknown,
    }
}

fn deletes(event: &Event, leader: &KeyValue) -> bool {
    event.kind == EventKind::Delete && event.kv.key == leader.key
}
