//! Locks and permits for whoever is no task: asked for, looked at, kept, given back, each by a lease of its own. Gives nothing away:
//! the leader does.
//!
//! Whoever asks gets a lease, and a request that hangs on it; the leader makes a hold of the request, on the same lease. So what is
//! not renewed goes by itself, and a late copy of anything that was sent for a revoked lease is refused by etcd.

use std::time::Duration;

use tenure_cluster::{Failure, KeyValue, Outcome, Range, Txn};
use tokio::time::{Instant, sleep};
use tracing::debug;
use uuid::Uuid;

use super::commit::Store;
use super::limits::EditError;
use super::locate::LookError;
use super::records::{Outside, decode};
use super::rules::Limit;
use super::scan::looked;
use super::txns;
use crate::planted::{self, Bug};
use crate::task::{Gate, Name, TaskId, millis};

/// 10,000 wait or hold outside in a cluster: every leader has all of them in memory, and each has a lease, renewed every third of its
/// time: 2,000 renewals a second at 15 s.
pub const OUTSIDE_MAX: i64 = 10_000;

/// 256 who wait are looked at to tell how many come before one, some 25 KB: etcd cannot count by the time of creation.
const AHEAD_MAX: i64 = 256;

/// 10 s to settle an answer that was lost, beyond the time of the request itself.
const SETTLE: Duration = Duration::from_secs(10);

/// 200 ms between two copies.
const AGAIN: Duration = Duration::from_millis(200);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The lock or semaphore.
    pub gate: Gate,
    /// Names the request, and what becomes of it; says nothing of its place, which is that of its key's creation.
    pub id: u128,
    /// How much, 1 for a lock.
    pub weight: u32,
    /// Who, in its own words.
    pub holder: String,
    /// How long it is believed without a word.
    pub ttl: Duration,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Others come first.
    Waiting {
        /// So many who wait outside, of the first 256 by id; tasks take turns with these.
        ahead: u64,
    },
    /// It has what it asked for.
    Held {
        /// The fence: create revision of the hold.
        fence: i64,
    },
}

/// A request or a hold, as it is at one revision.
#[derive(Clone, Debug)]
pub struct OutsideSeen {
    /// What was asked for.
    pub outside: Outside,
    /// Whether it has it.
    pub turn: Turn,
    /// What it hangs on.
    pub lease: i64,
    /// The revision.
    pub revision: i64,
}

/// Why something was not done for somebody outside.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutsideError {
    /// Nothing waits or holds under this id.
    #[error(
        "it was released, given up or taken away, or its time to live ran out without a renewal"
    )]
    Gone,
    /// The fence is another one.
    #[error("the fence is {}", .now.map_or("of no hold".to_owned(), |now| format!("{now}")))]
    WrongFence {
        /// The fence it has; none where it waits, or there is no such hold.
        now: Option<i64>,
    },
    /// The fence is of several, all granted at once.
    #[error("fence {fence} is of several")]
    Ambiguous {
        /// The fence.
        fence: i64,
        /// Those who have it, or had it until an admin took it: outside first, then tasks.
        ids: Vec<Uuid>,
    },
    /// The id was used for another request.
    #[error("this id waits or holds with another weight or holder")]
    Reused,
    /// As many wait as are taken.
    #[error("as many wait as are taken")]
    Busy,
    /// The semaphore is not declared.
    #[error("semaphore {0} is not declared")]
    NoSemaphore(Name),
    /// The limit is another one.
    #[error("the limit of semaphore {semaphore} is {stored}, not {asked}")]
    LimitDiffers {
        /// The semaphore.
        semaphore: Name,
        /// The limit that was asked for.
        asked: u32,
        /// The limit it has.
        stored: u32,
    },
    /// More than there is.
    #[error("the limit of semaphore {semaphore} is {limit}, below {weight}")]
    TooHeavy {
        /// The semaphore.
        semaphore: Name,
        /// How much was asked for.
        weight: u32,
        /// The limit.
        limit: u32,
    },
    /// A task holds it.
    #[error("task {task} holds it on node {node}")]
    OfTask {
        /// The task.
        task: TaskId,
        /// Where it runs.
        node: Name,
    },
    /// A limit could not be declared.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// It could not be read.
    #[error(transparent)]
    Look(#[from] LookError),
    /// It may have been done.
    #[error("it is not known whether it was done: {0}")]
    Unknown(Failure),
    /// It was not done.
    #[error("{0}")]
    Unavailable(Failure),
}

impl OutsideSeen {
    /// How long it is believed after a renewal.
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(self.outside.ttl_ms)
    }

    fn answers(self, asked: &Asked) -> Result<Self, OutsideError> {
        let (weight, holder) = (self.outside.weight, &self.outside.holder);
        if weight == asked.weight && *holder == asked.holder {
            return Ok(self);
        }
        Err(OutsideError::Reused)
    }
}

impl Store {
    /// The limit that a semaphore has; where it is not declared and a limit is asked for, it is declared with that one.
    ///
    /// # Errors
    /// [`OutsideError::LimitDiffers`], [`OutsideError::NoSemaphore`], [`OutsideError::TooHeavy`], or what went wrong.
    pub async fn limit_for(
        &self,
        semaphore: &Name,
        asked: Option<u32>,
        weight: u32,
    ) -> Result<u32, OutsideError> {
        let mut stored = self
            .semaphore(semaphore)
            .await?
            .map(|seen| seen.value.limit);
        if let (None, Some(limit)) = (stored, asked.filter(|limit| *limit >= weight)) {
            let declared = Some(Limit { limit });
            stored = match self.edit_semaphore(semaphore, declared, Some(0)).await {
                Ok(edited) => edited.value.map(|limit| limit.limit),
                // Somebody else declared it meanwhile, or an earlier copy of this did.
                Err(EditError::Changed { .. }) => self
                    .semaphore(semaphore)
                    .await?
                    .map(|seen| seen.value.limit),
                Err(problem) => return Err(problem.into()),
            };
        }
        let semaphore = || semaphore.clone();
        match (stored.or(asked), asked) {
            (None, _) => Err(OutsideError::NoSemaphore(semaphore())),
            (Some(stored), Some(asked)) if stored != asked => Err(OutsideError::LimitDiffers {
                semaphore: semaphore(),
                asked,
                stored,
            }),
            (Some(limit), _) if limit < weight => Err(OutsideError::TooHeavy {
                semaphore: semaphore(),
                weight,
                limit,
            }),
            (Some(limit), _) => Ok(limit),
        }
    }

    /// Asks for a lock or permits; true where that id had asked before, and then nothing is done.
    ///
    /// # Errors
    /// [`OutsideError`]. After an unknown outcome the lease is given back, so that nothing of it comes to hold later.
    pub async fn ask(&self, asked: &Asked) -> Result<(OutsideSeen, bool), OutsideError> {
        if let Some(seen) = self.outside(&asked.gate, asked.id).await? {
            return Ok((seen.answers(asked)?, true));
        }
        if self.outsiders().await? >= OUTSIDE_MAX {
            return Err(OutsideError::Busy);
        }
        let secs = i64::try_from(asked.ttl.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
        let granted = self.connection().grant(secs).await;
        let (lease, ttl) = granted.map_err(OutsideError::Unavailable)?;
        let outside = Outside {
            weight: asked.weight,
            holder: asked.holder.clone(),
            since_ms: self.now_ms(),
            ttl_ms: millis(ttl),
        };
        let txn = txns::want(self.keys(), &asked.gate, asked.id, &outside, lease);
        let failed = match self.settled(&txn).await {
            Outcome::Committed(_) | Outcome::Refused(_) => {
                match self.outside(&asked.gate, asked.id).await {
                    Ok(Some(seen)) if seen.lease == lease => return Ok((seen, false)),
                    // A twin of this request came first.
                    Ok(Some(seen)) => {
                        self.give_back(lease).await;
                        return Ok((seen.answers(asked)?, true));
                    }
                    Ok(None) => OutsideError::Gone,
                    Err(problem) => problem.into(),
                }
            }
            Outcome::Unknown(failure) => OutsideError::Unknown(failure),
            Outcome::Unavailable(failure) => OutsideError::Unavailable(failure),
        };
        self.give_back(lease).await;
        Err(failed)
    }

    /// How many wait or hold. Each that waits may come to hold, so it is the sum that is bounded.
    async fn outsiders(&self) -> Result<i64, LookError> {
        let mut outsiders = 0;
        for room in [self.keys().want_prefix(), self.keys().hold_prefix()] {
            let all = Range::prefix(room).count_only();
            outsiders += self.connection().range(&all).await?.count;
        }
        Ok(outsiders)
    }

    /// How a request stands; none where there is none under this id.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn outside(&self, gate: &Gate, id: u128) -> Result<Option<OutsideSeen>, LookError> {
        let (keys, connection) = (self.keys(), self.connection());
        looked(|| async {
            let mut page = connection.range(&Range::key(keys.hold(gate, id))).await?;
            let revision = page.revision;
            if let Some(kv) = page.kvs.pop() {
                let fence = kv.create_revision;
                return Ok(Some(seen(&kv, Turn::Held { fence }, revision)?));
            }
            let key = keys.want(gate, id);
            let mut page = connection.range(&Range::key(&key).at(revision)).await?;
            let Some(kv) = page.kvs.pop() else {
                return Ok(None);
            };
            let others = Range::prefix(keys.wants_of(gate));
            let others = others.keys_only().limit(AHEAD_MAX).at(revision);
            let others = connection.range(&others).await?.kvs;
            let before = |other: &&KeyValue| other.create_revision < kv.create_revision;
            let ahead = others.iter().filter(before).count() as u64;
            Ok(Some(seen(&kv, Turn::Waiting { ahead }, revision)?))
        })
        .await
    }

    /// How long it is still believed without a renewal, and never longer than that.
    ///
    /// # Errors
    /// [`OutsideError::Gone`] where that time is over.
    pub async fn time_left(&self, seen: &OutsideSeen) -> Result<Duration, OutsideError> {
        let left = self.connection().lease_remaining(seen.lease).await;
        left.map_err(LookError::from)?.ok_or(OutsideError::Gone)
    }

    /// Renews it: it is believed for its whole time to live from after this call began.
    ///
    /// # Errors
    /// [`OutsideError::Gone`] where it is over; another error leaves it as it was, or renewed.
    pub async fn renew(&self, gate: &Gate, id: u128) -> Result<OutsideSeen, OutsideError> {
        let seen = self.outside(gate, id).await?.ok_or(OutsideError::Gone)?;
        let renewed = self.connection().renew(seen.lease).await;
        if renewed.map_err(OutsideError::Unavailable)? {
            return Ok(seen);
        }
        Err(OutsideError::Gone)
    }

    /// Releases what is held, by its fence; gives up a request that waits, which has none. The revision at which it is over.
    ///
    /// # Errors
    /// [`OutsideError`]; calling again is harmless.
    pub async fn release(
        &self,
        gate: &Gate,
        id: u128,
        fence: Option<i64>,
    ) -> Result<i64, OutsideError> {
        let seen = self.outside(gate, id).await?.ok_or(OutsideError::Gone)?;
        let now = match (seen.turn, fence) {
            (Turn::Waiting { .. }, None) => {
                // Also where it is granted in this moment: nobody was told of that.
                let revoked = self.connection().revoke(seen.lease).await;
                revoked.map_err(OutsideError::Unknown)?;
                return Ok(self.revision().await.map_err(LookError::from)?);
            }
            (Turn::Waiting { .. }, Some(_)) => None,
            (Turn::Held { fence: now }, _) => Some(now),
        };
        let own = |fence: &i64| planted::is(Bug::ReleaseByName) || now == Some(*fence);
        let Some(fence) = fence.filter(own) else {
            return Err(OutsideError::WrongFence { now });
        };
        let txn = txns::release(self.keys(), gate, id, fence);
        match self.settled(&txn).await {
            Outcome::Committed(done) => {
                self.give_back(seen.lease).await;
                Ok(done.revision)
            }
            // It ended by itself, or an earlier copy of this did it.
            Outcome::Refused(_) => Err(OutsideError::Gone),
            Outcome::Unknown(failure) => Err(OutsideError::Unknown(failure)),
            Outcome::Unavailable(failure) => Err(OutsideError::Unavailable(failure)),
        }
    }

    /// Gives up what is known to nobody: neither the request nor a hold made of it stands afterwards, or beyond the lease's time.
    pub async fn abandon(&self, seen: &OutsideSeen) {
        self.give_back(seen.lease).await;
    }

    /// Sends a transaction until it is known what became of it, or the time is over: its guards allow copies.
    pub(super) async fn settled(&self, txn: &Txn) -> Outcome {
        let deadline = Instant::now() + SETTLE;
        let mut unsure = None;
        loop {
            match (self.connection().commit(txn).await, &unsure) {
                (Outcome::Unknown(failure), _) if Instant::now() < deadline => {
                    unsure = Some(failure);
                    sleep(AGAIN).await;
                }
                // This copy was not applied; an earlier one may have been.
                (Outcome::Unavailable(_), Some(failure)) => {
                    return Outcome::Unknown(failure.clone());
                }
                (outcome, _) => return outcome,
            }
        }
    }

    /// Ends a lease that holds nothing any more. It would end by itself.
    pub(super) async fn give_back(&self, lease: i64) {
        if let Err(failure) = self.connection().revoke(lease).await {
            debug!(%failure, lease, "a lease without a hold waits for its end");
        }
    }
}

fn seen(kv: &KeyValue, turn: Turn, revision: i64) -> Result<OutsideSeen, LookError> {
    Ok(OutsideSeen {
        outside: decode(&kv.key, &kv.value)?,
        turn,
        lease: kv.lease,
        revision,
    })
}
