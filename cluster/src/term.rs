//! A term: leadership held, its fence, and the knowledge that it is over.
//! Never fences by itself: every write of a leader carries [`Term::guard`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::mirror::Mirror;
use crate::read::KeyValue;
use crate::seat::Seat;
use crate::txn::{Guard, Op, Outcome};

/// Leadership that began. Dropped without [`resign`](Self::resign), its key is deleted by the session in the
/// background.
pub struct Term {
    connection: Connection,
    seat: Seat,
    revision: i64,
    activated: i64,
    lost: CancellationToken,
    session_lost: CancellationToken,
    why: Arc<Mutex<Option<TermLoss>>>,
    succeeded: Option<Predecessor>,
    tasks: JoinSet<()>,
}

/// Why a term is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermLoss {
    /// The session it stood on is lost.
    SessionLost,
    /// Its key was deleted by someone else.
    KeyDeleted,
    /// [`Term::resign`] was called.
    Resigned,
}

/// The leader whose end this candidate saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Its key as it was.
    pub kv: KeyValue,
    /// What became of it.
    pub ended_by: Ended,
    /// From seeing its end to the activation's answer, on the monotonic clock.
    pub gap: Duration,
    /// The revision at which its key went; none where the watch had lost its history and did not tell.
    pub revision: Option<i64>,
    /// When that was seen.
    pub seen: Instant,
    /// When the own key was first seen to be the oldest.
    pub oldest: Instant,
    /// When the activation was answered.
    pub answered: Instant,
}

/// How a leader's key went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With its lease.
    LeaseGone,
    /// Alone, by itself or by someone else; its lease lives on.
    KeyDeleted,
    /// It was not seen, or not told in time.
    Unknown,
}

impl Term {
    pub(crate) fn start(
        connection: Connection,
        seat: Seat,
        activated: i64,
        mirror: Mirror,
        session_lost: CancellationToken,
        succeeded: Option<Predecessor>,
    ) -> Self {
        let revision = seat
            .created
            .expect("a candidate that activated has its create revision");
        let lost = CancellationToken::new();
        let why = Arc::new(Mutex::new(None));
        let mut tasks = JoinSet::new();
        tasks.spawn(guard_term(
            mirror,
            (seat.key.clone(), revision),
            session_lost.clone(),
            lost.clone(),
            Arc::clone(&why),
        ));
        Self {
            connection,
            seat,
            revision,
            activated,
            lost,
            session_lost,
            why,
            succeeded,
            tasks,
        }
    }

    /// R, the create revision of the leader's key: the term's number and its fence.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// A, the revision of the activation: nothing of a former term commits after it. Load state from here on.
    pub fn activated(&self) -> i64 {
        self.activated
    }

    /// The leader's key.
    pub fn key(&self) -> &str {
        &self.seat.key
    }

    /// The guard, named `term`, that every write of this leader carries.
    pub fn guard(&self) -> Guard {
        Guard::created_at("term", &self.seat.key, self.revision)
    }

    /// Cancelled as soon as the term is known to be over.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Why it is over, or nothing while it is not known to be.
    pub fn loss(&self) -> Option<TermLoss> {
        let loss = read(&self.why);
        match loss {
            // The key goes with the session's lease, too: then the session is the reason.
            Some(TermLoss::KeyDeleted) | None if self.session_lost.is_cancelled() => {
                Some(TermLoss::SessionLost)
            }
            Some(TermLoss::KeyDeleted | TermLoss::SessionLost | TermLoss::Resigned) | None => loss,
        }
    }

    /// The leader before, where this candidate saw it end.
    pub fn succeeded(&self) -> Option<&Predecessor> {
        self.succeeded.as_ref()
    }

    /// Ends the term: deletes its key and does `also`, guarded by R. Where that is not answered well, or there
    /// is no space for it, the key is deleted alone, until twice the request timeout.
    ///
    /// `Committed` with a single result means that only the key was deleted; `Refused` means the key was
    /// gone already, and then `also` may have been done by an attempt whose answer was lost.
    pub async fn resign(mut self, also: Vec<Op>) -> Outcome {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(TermLoss::Resigned);
        self.lost.cancel();
        self.tasks.shutdown().await;
        self.seat.leave(&self.connection, also).await
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        // Who acts under this term holds only its token.
        self.lost.cancel();
    }
}

/// The lock is held for one read or write of a word.
fn read(why: &Mutex<Option<TermLoss>>) -> Option<TermLoss> {
    *why.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches the leader's own key and its session.
async fn guard_term(
    mut mirror: Mirror,
    (key, created): (String, i64),
    session_lost: CancellationToken,
    lost: CancellationToken,
    why: Arc<Mutex<Option<TermLoss>>>,
) {
    // Also where this panics, the term is over: nobody would see its end any more.
    let lost = lost.drop_guard();
    let key_gone = async {
        while mirror
            .kvs()
            .get(&key)
            .is_some_and(|kv| kv.create_revision == created)
        {
            mirror.step().await;
        }
    };
    let reason = tokio::select! {
        biased;
        () = session_lost.cancelled() => TermLoss::SessionLost,
        () = key_gone => TermLoss::KeyDeleted,
    };
    *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    drop(lost);
    tracing::warn!(%key, ?reason, "term lost");
}
