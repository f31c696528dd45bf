//! Where the tasks of a pack are: a bounded number of reads at one revision, whatever the backlog; never a scan of waiting work.

use std::sync::Arc;

use tenure_cluster::{Answer, KeyValue, Outcome as Sent, Page, Range, ReadError, Txn};

use super::claims::Claims;
use super::commit::Store;
use super::keys::{Keys, Origin, Place, RecordId};
use super::records::{Attempt, Corrupt, Next, Outcomes, Record, Run, Seen, Stop, decode};
use super::scan::looked;
use crate::task::{ClaimId, Name, Outcome, Pack, PackId, Routing, State, TaskId, Which};

/// Why something could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LookError {
    /// etcd did not answer, or not well.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// etcd did not answer a transaction that only reads.
    #[error("{0}")]
    Failure(#[from] tenure_cluster::Failure),
    /// A value is not what its key promises.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// A task is nowhere: that must not be.
    #[error("task {task} is in no place at revision {revision}")]
    Nowhere {
        /// The task.
        task: TaskId,
        /// The revision it was looked for at.
        revision: i64,
    },
}

/// Outcomes of a pack's tasks in the order they were committed, each with what made it.
type Lines = Vec<(Origin, Attempt)>;

/// A task as it is at one revision.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its id.
    pub id: TaskId,
    /// Its pack: the spec is at its index.
    pub pack: Arc<Pack>,
    /// Its state.
    pub state: State,
    /// How its attempts ended, oldest first, with what made each line.
    pub attempts: Vec<(Origin, Attempt)>,
    /// The record it waits in, where it waits.
    pub waiting: Option<(Place, RecordId, Seen<Record>)>,
    /// The claim that runs it, where it runs.
    pub running: Option<Held>,
    /// The revision all of this is true at.
    pub revision: i64,
}

/// A claim on a node, and its stop.
#[derive(Clone, Debug)]
pub struct Held {
    /// The node.
    pub node: Name,
    /// The claim.
    pub claim: ClaimId,
    /// What it holds; its create revision is the fence.
    pub run: Seen<Run>,
    /// What is to be stopped of it.
    pub stop: Option<Seen<Stop>>,
}

impl Store {
    /// One task; none where there is no such task, or it has been collected. The revision is the one that is true at.
    ///
    /// # Errors
    /// [`LookError`]: etcd's failures, or a store that breaks its promises.
    pub async fn task(&self, id: TaskId) -> Result<(Option<Found>, i64), LookError> {
        let look = || self.pack_tasks(id.pack(), |index| index == id.index());
        let (mut found, revision) = looked(look).await?;
        Ok((found.pop(), revision))
    }

    /// Those tasks of a pack that are wanted, by index.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn pack_tasks(
        &self,
        id: PackId,
        wanted: impl Fn(u8) -> bool + Send,
    ) -> Result<(Vec<Found>, i64), LookError> {
        let (pack, results, revision) = self.pack_and_results(id).await?;
        let Some(pack) = pack else {
            return Ok((Vec::new(), revision));
        };
        let claims = Claims::at(self, revision);
        let found = self.placed(id, &pack, &results, wanted, &claims).await?;
        Ok((found, revision))
    }

    /// The same at the revision of these claims.
    pub(super) async fn pack_tasks_among(
        &self,
        id: PackId,
        which: Which,
        claims: &Claims<'_>,
    ) -> Result<Vec<Found>, LookError> {
        let (keys, revision) = (self.keys(), claims.revision());
        let pack = self
            .connection()
            .range(&Range::key(keys.pack(id)).at(revision))
            .await?;
        let results = self
            .connection()
            .range(&Range::prefix(keys.results_of(id)).at(revision))
            .await?;
        let (pack, results) = decoded(keys, &pack.kvs, results.kvs)?;
        let Some(pack) = pack else {
            return Ok(Vec::new());
        };
        self.placed(id, &pack, &results, |index| which.contains(index), claims)
            .await
    }

    async fn placed(
        &self,
        id: PackId,
        pack: &Arc<Pack>,
        results: &[(Origin, Attempt)],
        wanted: impl Fn(u8) -> bool + Send,
        claims: &Claims<'_>,
    ) -> Result<Vec<Found>, LookError> {
        let mut found = Vec::new();
        for index in pack.tasks.keys().copied().filter(|index| wanted(*index)) {
            let attempts: Vec<(Origin, Attempt)> = results
                .iter()
                .filter(|(_, attempt)| attempt.which.contains(index))
                .cloned()
                .collect();
            let mut task = Found {
                id: id.task(index),
                pack: Arc::clone(pack),
                state: State::Pending,
                attempts,
                waiting: None,
                running: None,
                revision: claims.revision(),
            };
            self.place(&mut task, claims).await?;
            found.push(task);
        }
        Ok(found)
    }

    async fn pack_and_results(
        &self,
        id: PackId,
    ) -> Result<(Option<Arc<Pack>>, Lines, i64), LookError> {
        let keys = self.keys();
        let txn = Txn::new()
            .get(keys.pack(id))
            .get_prefix(keys.results_of(id), 0);
        let (revision, mut answers) = match self.connection().commit(&txn).await {
            Sent::Committed(read) => (read.revision, read.results.into_iter().map(kvs)),
            Sent::Refused(_) => unreachable!("a transaction without guards is not refused"),
            Sent::Unknown(failure) | Sent::Unavailable(failure) => return Err(failure.into()),
        };
        let pack = answers.next().unwrap_or_default();
        let results = answers.next().unwrap_or_default();
        let (pack, results) = decoded(keys, &pack, results)?;
        Ok((pack, results, revision))
    }

    /// Several keys at one revision, each where it is there.
    ///
    /// # Errors
    /// [`LookError`].
    pub(super) async fn together(
        &self,
        keys: impl IntoIterator<Item = String> + Send,
    ) -> Result<(Vec<Option<KeyValue>>, i64), LookError> {
        let txn = keys.into_iter().fold(Txn::new(), Txn::get);
        match self.connection().commit(&txn).await {
            Sent::Committed(read) => {
                let found = read.results.into_iter().map(|answer| kvs(answer).pop());
                Ok((found.collect(), read.revision))
            }
            Sent::Refused(_) => unreachable!("a transaction without guards is not refused"),
            Sent::Unknown(failure) | Sent::Unavailable(failure) => Err(failure.into()),
        }
    }

    /// Follows the last outcome to where the task is now.
    async fn place(&self, task: &mut Found, claims: &Claims<'_>) -> Result<(), LookError> {
        let pack = task.id.pack();
        let (id, places) = match task.attempts.last() {
            Some((_, last)) if last.next.is_none() => {
                task.state = ended(last.outcome);
                return Ok(());
            }
            Some((
                origin,
                Attempt {
                    next: Some(next), ..
                },
            )) => (
                RecordId {
                    pack,
                    origin: *origin,
                    n: next.n(),
                },
                places(*next, &task.pack.routing),
            ),
            Some((_, Attempt { next: None, .. })) | None => {
                let first = task
                    .pack
                    .run_at_ms
                    .map_or(Next::Ready { n: 0 }, |ms| Next::Due { ms, n: 0 });
                (RecordId::submitted(pack), places(first, &task.pack.routing))
            }
        };
        for place in places {
            let key = self.keys().record(place, &task.pack.routing, &id);
            let page = self
                .connection()
                .range(&Range::key(key).at(task.revision))
                .await?;
            let Some(seen) = first::<Record>(page)? else {
                continue;
            };
            if seen.value.which.contains(task.id.index()) {
                task.state = waits(place);
                task.waiting = Some((place, id, seen));
                return Ok(());
            }
        }
        task.state = State::Running;
        task.running = Some(claims.holder(task.id).await?);
        Ok(())
    }
}

/// A pack and its outcomes in the order they were committed.
fn decoded(
    keys: &Keys,
    pack: &[KeyValue],
    mut results: Vec<KeyValue>,
) -> Result<(Option<Arc<Pack>>, Lines), Corrupt> {
    let pack = pack
        .first()
        .map(|kv| decode::<Pack>(&kv.key, &kv.value))
        .transpose()?;
    results.sort_by_key(|kv| kv.mod_revision);
    let mut attempts = Vec::new();
    for kv in results {
        let Some((_, origin, _)) = keys.result_of(&kv.key) else {
            continue;
        };
        let outcomes: Outcomes = decode(&kv.key, &kv.value)?;
        attempts.extend(outcomes.of.into_iter().map(|attempt| (origin, attempt)));
    }
    Ok((pack.map(Arc::new), attempts))
}

/// Where a record may be by now: what was scheduled may have been promoted, and what is ready may wait for one of its gates.
fn places(next: Next, routing: &Routing) -> Vec<Place> {
    let gates = u8::try_from(routing.gates().count()).unwrap_or(u8::MAX);
    let ready = std::iter::once(Place::Ready).chain((0..gates).map(Place::Parked));
    match next {
        Next::Ready { .. } => ready.collect(),
        Next::Due { ms, .. } => std::iter::once(Place::Due(ms)).chain(ready).collect(),
        Next::Dead { .. } => vec![Place::Dead],
    }
}

fn waits(place: Place) -> State {
    match place {
        Place::Ready | Place::Parked(_) => State::Pending,
        Place::Due(_) => State::Scheduled,
        Place::Dead => State::Dead,
    }
}

fn ended(outcome: Outcome) -> State {
    match outcome {
        Outcome::Succeeded => State::Succeeded,
        Outcome::Cancelled => State::Cancelled,
        Outcome::Failed
        | Outcome::Timeout
        | Outcome::Lost
        | Outcome::Returned
        | Outcome::Deferred
        | Outcome::Revived => State::Dead,
    }
}

fn kvs(answer: Answer) -> Vec<KeyValue> {
    match answer {
        Answer::Kvs(kvs) => kvs,
        Answer::Put | Answer::Deleted(_) | Answer::Nested(_) => Vec::new(),
    }
}

/// The only key of a page, decoded.
pub(super) fn first<T: serde::de::DeserializeOwned>(
    page: Page,
) -> Result<Option<Seen<T>>, Corrupt> {
    page.kvs
        .into_iter()
        .next()
        .map(|kv| Seen::of(&kv))
        .transpose()
}
