//! What users do to schedules: declare, edit, delete, want a task now or those of some time; each done once or not at all, and looked at
//! anew where somebody else was faster.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tenure_cluster::{Guard, Outcome, Range, Txn};
use tokio::time::timeout;
use tracing::debug;

use super::{Declared, unwritten};
use crate::store::act::ActError;
use crate::store::commit::{Store, Verdict, told_lines};
use crate::store::limits::EditError;
use crate::store::locate::LookError;
use crate::store::records::{Corrupt, encode};
use crate::store::scan::looked;
use crate::store::txns;
use crate::task::{
    FIRES_MAX, Name, PackId, Schedule, Step, TaskId, Timing, begun, edited, pack_of, triggered,
};

/// 200,000 schedules to a cluster: an index of them is a key each, and a leader holds only the next of those.
pub const SCHEDULES_MAX: usize = 200_000;

/// 64 declarations to one count of all schedules, on average, for a count costs etcd some 90 ns a key (docs/benchmarks.md); the bound is
/// passed by so many at most, about.
const COUNTED_EVERY: u8 = 64;

/// 2 s for the cancels of what is replaced: others that are due are read with it, and wait for it.
const MAKING_WAY: Duration = Duration::from_secs(2);

/// 8 attempts at a schedule that others change at the same time, or that is fired while it is looked at.
const TRIES_MAX: usize = 8;

/// Why a task was not made of a schedule.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FireError {
    /// There is no such schedule.
    #[error("there is no schedule `{0}`")]
    NoSchedule(Name),
    /// Earlier tasks have not ended, and its rule about that forbids another.
    #[error("schedule `{name}` has a task that has not ended, {}", open.first().map(ToString::to_string).unwrap_or_default())]
    Overlap {
        /// Its name.
        name: Name,
        /// The tasks.
        open: Vec<TaskId>,
    },
    /// It could not be read or written.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl From<LookError> for FireError {
    fn from(error: LookError) -> Self {
        Self::Edit(error.into())
    }
}

impl Store {
    /// Declares a schedule, or makes it anew from what it is; where a version is expected, only what is at it. What it is by that; none
    /// where it is gone.
    ///
    /// # Errors
    /// [`EditError`]; [`LookError::Corrupt`] where the new one's due times cannot be told.
    pub async fn edit_schedule(
        &self,
        name: &Name,
        expected: Option<i64>,
        make: impl Fn(Option<&Schedule>) -> Option<Schedule> + Send + Sync,
    ) -> Result<Option<Declared>, EditError> {
        for _ in 0..TRIES_MAX {
            let deleted = self.last_deleted().await?;
            let was = self.schedule(name).await?;
            let now = was.as_ref().map_or(0, |was| was.schedule.modified);
            if let Some(expected) = expected.filter(|expected| *expected != now) {
                return Err(EditError::Changed { expected, now });
            }
            let value = make(was.as_ref().map(|was| &was.schedule.value));
            let mut passed_over = None;
            let (txn, edited) = match (was, value) {
                (None, None) => return Ok(None),
                (None, Some(new)) => self.begun(name, new, deleted).await?,
                (Some(was), Some(new)) if encode(&was.schedule.value) == encode(&new) => {
                    return Ok(Some(was));
                }
                (Some(was), Some(new)) => {
                    let (txn, declared, step) = self.amended(was, new)?;
                    passed_over = Some(step);
                    (txn, Some(declared))
                }
                (Some(was), None) => {
                    let txn = txns::withdraw(self.keys(), name, now, &was.progress);
                    (txn, None)
                }
            };
            if let Some(revision) = self.tried(&txn).await? {
                passed_over.iter().for_each(told_lines);
                return Ok(edited.map(|edited| edited.written(revision)));
            }
        }
        Err(EditError::Busy)
    }

    async fn begun(
        &self,
        name: &Name,
        new: Schedule,
        deleted: i64,
    ) -> Result<(Txn, Option<Declared>), EditError> {
        if self.are_many().await? {
            return Err(EditError::TooMany {
                what: "schedules",
                max: SCHEDULES_MAX,
            });
        }
        let timing = self.timing(name, &new)?;
        let progress = begun(name, &new, &timing, self.now_ms());
        let txn = txns::declare(self.keys(), name, &new, &progress, deleted);
        let declared = Declared {
            name: name.clone(),
            schedule: unwritten(new),
            progress: unwritten(progress),
            revision: 0,
        };
        Ok((txn, Some(declared)))
    }

    fn amended(&self, was: Declared, new: Schedule) -> Result<(Txn, Declared, Step), LookError> {
        let timing = self.timing(&was.name, &new)?;
        // One whose zone is not known any more goes on from now by what it is edited to.
        let old = was.timing(self.keys()).unwrap_or_else(|_| timing.clone());
        let none = BTreeSet::new();
        let step = edited(was.known(&old, &none, self.now_ms()), &new, &timing);
        let at = (&new, was.schedule.modified);
        let txn = txns::amend(self.keys(), &was.name, at, &was.progress, &step);
        let mut declared = was;
        declared.schedule.value = new;
        declared.progress.value = step.progress.clone();
        Ok((txn, declared, step))
    }

    fn timing(&self, name: &Name, schedule: &Schedule) -> Result<Timing, LookError> {
        let timing = schedule.timing(name).map_err(|problem| Corrupt {
            key: self.keys().schedule(name),
            problem: problem.to_string(),
        });
        Ok(timing?)
    }

    /// Makes a task of a schedule at once; the task, and the revision.
    ///
    /// # Errors
    /// [`FireError`].
    pub async fn trigger(&self, name: &Name, random: u128) -> Result<(TaskId, i64), FireError> {
        let id = PackId::new(self.now_ms(), random);
        for _ in 0..TRIES_MAX {
            let declared = self.schedule(name).await?;
            let declared = declared.ok_or_else(|| FireError::NoSchedule(name.clone()))?;
            let timing = declared.timing(self.keys()).map_err(LookError::from)?;
            let ended = self.ended(&declared.progress.value.open).await?;
            let known = declared.known(&timing, &ended, self.now_ms());
            let Some(step) = triggered(known, id) else {
                let open = declared.progress.value.open.iter();
                let open = open.filter(|pack| !ended.contains(pack));
                return Err(FireError::Overlap {
                    name: name.clone(),
                    open: open.map(|pack| pack.task(0)).collect(),
                });
            };
            self.make_way(&step, None).await;
            if let Some(revision) = self.fired(&declared, step).await? {
                return Ok((id.task(0), revision));
            }
        }
        Err(EditError::Busy.into())
    }

    /// Makes tasks of past due times, but for those that have theirs: which these are, and the revision, 0 where nothing was written.
    ///
    /// # Errors
    /// [`FireError`]; those made before it stay, and are not made again.
    pub async fn backfill(
        &self,
        name: &Name,
        dues: &[u64],
    ) -> Result<(BTreeSet<u64>, i64), FireError> {
        let (mut left, mut there) = (dues, BTreeSet::new());
        let (mut tries, mut done_at) = (0, 0);
        while !left.is_empty() {
            let next = &left[..left.len().min(FIRES_MAX)];
            match self.filled(name, next).await? {
                Some((settled, had, revision)) => {
                    let (settled, rest) = left.split_at(settled);
                    there.extend(settled.iter().filter(|due| had.contains(due)));
                    (left, tries, done_at) = (rest, 0, revision.unwrap_or(done_at));
                }
                None if tries == TRIES_MAX => return Err(EditError::Busy.into()),
                None => tries += 1,
            }
        }
        Ok((there, done_at))
    }

    /// How many of these due times have their tasks now, which had them before, and the revision where any was made; none where the
    /// schedule moved on meanwhile.
    async fn filled(
        &self,
        name: &Name,
        dues: &[u64],
    ) -> Result<Option<(usize, BTreeSet<u64>, Option<i64>)>, FireError> {
        let declared = self.schedule(name).await?;
        let declared = declared.ok_or_else(|| FireError::NoSchedule(name.clone()))?;
        let timing = declared.timing(self.keys()).map_err(LookError::from)?;
        // Looked for after the schedule was: whoever makes one of them meanwhile moves its progress, and this is refused.
        let had = self.have_tasks(&declared, dues).await?;
        let new: Vec<u64> = dues
            .iter()
            .copied()
            .filter(|due| !had.contains(due))
            .collect();
        let none = BTreeSet::new();
        let known = declared.known(&timing, &none, self.now_ms());
        let Some((step, taken)) = crate::task::backfilled(known, &new) else {
            return Ok(Some((dues.len(), had, None)));
        };
        let Some(revision) = self.fired(&declared, step).await? else {
            return Ok(None);
        };
        let left = new.get(taken);
        let settled = dues.iter().position(|due| Some(due) == left);
        Ok(Some((settled.unwrap_or(dues.len()), had, Some(revision))))
    }

    /// Those of these due times of a schedule whose task is there, [`FIRES_MAX`] looked for at once.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn have_tasks(
        &self,
        declared: &Declared,
        dues: &[u64],
    ) -> Result<BTreeSet<u64>, LookError> {
        let mut there = BTreeSet::new();
        for some in dues.chunks(FIRES_MAX) {
            let looks = some.iter().map(|due_ms| async move {
                let pack = pack_of(&declared.name, declared.schedule.created, *due_ms);
                let pack = Range::key(self.keys().pack(pack)).count_only();
                let count = self.connection().range(&pack).await?.count;
                Ok::<_, LookError>((count > 0).then_some(*due_ms))
            });
            there.extend(try_join_all(looks).await?.into_iter().flatten());
        }
        Ok(there)
    }

    /// Cancels what a step replaces, before it is sent, under the leader's fence where it is the leader's: whoever does the step anew
    /// cancels again what has not stopped. False where it is not known of all of them that they are cancelled, or have ended.
    pub async fn make_way(&self, step: &Step, fence: Option<&Guard>) -> bool {
        let cancels = step.cancels.iter().map(|pack| async move {
            let (act, task) = (uuid::Uuid::new_v4().as_u128(), pack.task(0));
            let cancelled = self.cancelled(task, act, self.now_ms(), fence);
            match timeout(MAKING_WAY, cancelled).await {
                Ok(Ok(_) | Err(ActError::Illegal(_) | ActError::NoTask(_))) => true,
                Ok(Err(problem)) => {
                    debug!(%task, %problem, "not cancelled for what replaces it");
                    false
                }
                Err(_) => false,
            }
        });
        join_all(cancels).await.into_iter().all(|done| done)
    }

    async fn fired(&self, declared: &Declared, step: Step) -> Result<Option<i64>, EditError> {
        let change = declared.fire(step);
        let mut verdict = self.commit(&change).await;
        if let Verdict::Unknown(failure) = verdict {
            // As with edits: what it compares never comes back.
            verdict = match self.commit(&change).await {
                Verdict::Refused { .. } => Verdict::Unknown(failure),
                known @ (Verdict::Committed { .. }
                | Verdict::Unknown(_)
                | Verdict::Unavailable(_)) => known,
            };
        }
        match verdict {
            Verdict::Committed { revision } => Ok(Some(revision)),
            Verdict::Refused { .. } => Ok(None),
            Verdict::Unknown(failure) => Err(EditError::Unknown(failure)),
            Verdict::Unavailable(failure) => Err(EditError::Unavailable(failure)),
        }
    }

    /// The revision an edit was done at; none where it was refused.
    async fn tried(&self, txn: &Txn) -> Result<Option<i64>, EditError> {
        match self.once(txn).await {
            Outcome::Committed(done) => Ok(Some(done.revision)),
            Outcome::Refused(_) => Ok(None),
            Outcome::Unknown(failure) => Err(EditError::Unknown(failure)),
            Outcome::Unavailable(failure) => Err(EditError::Unavailable(failure)),
        }
    }

    async fn last_deleted(&self) -> Result<i64, LookError> {
        let mark = Range::key(self.keys().deleted()).keys_only();
        let page = looked(|| async { Ok(self.connection().range(&mark).await?) }).await?;
        Ok(page.kvs.first().map_or(0, |kv| kv.mod_revision))
    }

    async fn are_many(&self) -> Result<bool, LookError> {
        let [.., draw] = uuid::Uuid::new_v4().into_bytes();
        if draw % COUNTED_EVERY != 0 {
            return Ok(false);
        }
        let all = Range::prefix(self.keys().schedule_prefix()).count_only();
        let count = self.connection().range(&all).await?.count;
        Ok(usize::try_from(count).unwrap_or(0) >= SCHEDULES_MAX)
    }
}
