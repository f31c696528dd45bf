//! Accepts tasks: what arrives while the last commit is in flight goes together into the next; no timer, and no submit fails by
//! its neighbour.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::Failure;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::change::{Change, Submit};
use super::commit::{Store, Verdict, batches};
use super::keys::{Keys, Lane};
use super::records::{Idem, decode};
use crate::task::{PACK_TASKS_MAX, Pack, PackId, Policy, Routing, Spec, TaskId};

/// 8,192 submits wait for a commit at most: a quarter of a second of them at 32,000/s; beyond, callers are told to come again.
const WAITING_MAX: usize = 8_192;

/// 2,048 submits to one round: at 256 to a pack that is 8 packs, or 2,048 packs of one in 35 batches.
const ROUND_MAX: usize = 2_048;

/// 48 idempotency keys to a pack: each takes a compare and two reads of etcd's 128 per list.
const PACK_IDEM_MAX: usize = 48;

/// 512 KiB to a coalesced pack, below etcd's 1.5 MiB per request with room for records and neighbours.
const PACK_BYTES_MAX: usize = 512 << 10;

/// 10 s: after this an unknown outcome is reported as unknown.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(10);

/// A task to be accepted.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Where it goes.
    pub routing: Routing,
    /// What happens around its runs.
    pub policy: Policy,
    /// When it may start, in milliseconds since 1970; none means at once.
    pub run_at_ms: Option<u64>,
    /// Its own part.
    pub spec: Spec,
}

/// An idempotency key and the digest of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdemKey {
    /// What the user calls the request: 1 to 200 visible ASCII characters.
    pub key: String,
    /// SHA-256 of the request, in hexadecimal.
    pub digest: String,
}

/// Tasks that are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Their ids, in order of submission.
    pub tasks: Vec<TaskId>,
    /// The revision they were accepted at, or found at.
    pub revision: i64,
    /// Whether the idempotency key had been used for them before.
    pub repeated: bool,
}

/// Why tasks were not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The idempotency key was used for another request.
    #[error("idempotency key `{0}` was used for another request")]
    KeyTaken(String),
    /// Too many submits wait.
    #[error("{WAITING_MAX} submits are waiting already")]
    Busy,
    /// It was not accepted.
    #[error("not accepted: {0}")]
    Unavailable(Failure),
    /// It may have been accepted.
    #[error("it is not known whether the submit was accepted: {0}")]
    Unknown(Failure),
    /// The store was asked with a time so far back that collection had passed it.
    #[error("this node's clock is behind the retention horizon")]
    ClockBehind,
    /// A value is not what its key promises.
    #[error(transparent)]
    Corrupt(#[from] super::records::Corrupt),
    /// The node is shutting down.
    #[error("this node is shutting down")]
    Closing,
}

/// Where single submits are handed in. A cheap handle; its driver runs in [`Coalescer::run`].
#[derive(Clone)]
pub struct Submitter {
    store: Store,
    line: mpsc::Sender<Waiter>,
    inline: bool,
}

/// Drives the commits of single submits. One per node, owned by it.
pub struct Coalescer {
    store: Store,
    line: mpsc::Receiver<Waiter>,
    known: BTreeSet<Lane>,
}

#[derive(Debug)]
struct Waiter {
    task: NewTask,
    idem: Option<IdemKey>,
    now_ms: u64,
    answer: oneshot::Sender<Result<Accepted, SubmitError>>,
}

/// A pack in the making.
struct Draft {
    id: PackId,
    waiters: BTreeMap<u8, Waiter>,
    bytes: usize,
}

/// The two ends of a line of single submits.
pub fn line(store: &Store) -> (Submitter, Coalescer) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let submitter = Submitter {
        store: store.clone(),
        line: sender,
        inline: true,
    };
    (
        submitter,
        Coalescer {
            store: store.clone(),
            line: receiver,
            known: BTreeSet::new(),
        },
    )
}

impl Submitter {
    /// Accepts one task.
    ///
    /// # Errors
    /// [`SubmitError`]; only [`SubmitError::Unknown`] leaves open whether it was accepted.
    pub async fn one(
        &self,
        task: NewTask,
        idem: Option<IdemKey>,
        now_ms: u64,
    ) -> Result<Accepted, SubmitError> {
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter {
            task,
            idem,
            now_ms,
            answer,
        };
        self.line
            .try_send(waiter)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
                mpsc::error::TrySendError::Closed(_) => SubmitError::Closing,
            })?;
        answered.await.unwrap_or(Err(SubmitError::Closing))
    }

    /// Accepts a batch whole or not at all, in one transaction.
    ///
    /// # Errors
    /// As [`Self::one`].
    pub async fn batch(
        &self,
        tasks: Vec<NewTask>,
        idem: Option<IdemKey>,
        now_ms: u64,
    ) -> Result<Accepted, SubmitError> {
        let (packs, ids) = packed(tasks, idem.as_ref(), now_ms);
        let lanes: BTreeSet<Lane> = packs
            .iter()
            .map(|(_, pack)| Lane::of(&pack.routing))
            .collect();
        let inline = self.inline && packs.len() <= PACK_TASKS_MAX;
        let entry = idem.iter().map(|idem| {
            (
                idem.key.clone(),
                Idem {
                    tasks: ids.clone(),
                    digest: idem.digest.clone(),
                },
            )
        });
        let change = [Change::Submit(Submit {
            packs,
            idem: entry.collect(),
            inline,
        })];
        let lanes: Vec<Lane> = lanes.into_iter().collect();
        let deadline = Instant::now() + SUBMIT_DEADLINE;
        loop {
            let verdict = self.store.commit_batch(None, &change, &lanes).await.pop();
            match verdict.expect("one change, one verdict") {
                Verdict::Committed { revision } => {
                    return Ok(Accepted {
                        tasks: ids,
                        revision,
                        repeated: false,
                    });
                }
                Verdict::Refused { lost, revision, .. } if lost.contains(&"pack") => {
                    return Ok(Accepted {
                        tasks: ids,
                        revision,
                        repeated: false,
                    });
                }
                Verdict::Refused {
                    reads, revision, ..
                } => return replayed(self.store.keys(), idem.as_ref(), &reads, revision),
                Verdict::Unknown(_) if Instant::now() < deadline => {}
                Verdict::Unknown(failure) => return Err(SubmitError::Unknown(failure)),
                Verdict::Unavailable(failure) => return Err(SubmitError::Unavailable(failure)),
            }
        }
    }
}

impl Coalescer {
    /// Commits what arrives until every [`Submitter`] is gone.
    pub async fn run(mut self) {
        let mut round = Vec::with_capacity(ROUND_MAX);
        while self.line.recv_many(&mut round, ROUND_MAX).await > 0 {
            let mut waiting = std::mem::take(&mut round);
            let deadline = Instant::now() + SUBMIT_DEADLINE;
            while !waiting.is_empty() {
                let (now, later) = apart(waiting);
                self.commit(drafts(now), deadline).await;
                waiting = later;
            }
        }
    }

    /// Commits drafts until each of their waiters has an answer.
    async fn commit(&mut self, mut drafts: Vec<Draft>, deadline: Instant) {
        let mut unknown: BTreeSet<PackId> = BTreeSet::new();
        while !drafts.is_empty() {
            let changes: Vec<Change> = drafts.iter().map(Draft::change).collect();
            let mut left = Vec::new();
            let mut drafted = drafts.into_iter();
            for batch in batches(self.store.keys(), changes) {
                let lanes = self.unknown_lanes(&batch);
                let verdicts = self.store.commit_batch(None, &batch, &lanes).await;
                if verdicts
                    .iter()
                    .any(|verdict| matches!(verdict, Verdict::Committed { .. }))
                {
                    self.known.extend(lanes);
                }
                for (verdict, draft) in verdicts.into_iter().zip(drafted.by_ref()) {
                    let late = Instant::now() >= deadline;
                    left.extend(draft.answered(self.store.keys(), verdict, late, &mut unknown));
                }
            }
            drafts = left;
        }
    }

    fn unknown_lanes(&self, batch: &[Change]) -> Vec<Lane> {
        let lanes = batch.iter().flat_map(|change| match change {
            Change::Submit(submit) => submit
                .packs
                .iter()
                .map(|(_, pack)| Lane::of(&pack.routing))
                .collect(),
            Change::Promote(_)
            | Change::Assign(_)
            | Change::Touch(_)
            | Change::Report(_)
            | Change::Stop(_)
            | Change::Reclaim(_)
            | Change::Cancel(_)
            | Change::Revive(_)
            | Change::Raise(_)
            | Change::Collect(_)
            | Change::Unmark(_)
            | Change::Record(_) => Vec::new(),
        });
        let lanes: BTreeSet<Lane> = lanes.filter(|lane| !self.known.contains(lane)).collect();
        lanes.into_iter().collect()
    }
}

impl Draft {
    fn change(&self) -> Change {
        let first = &self.waiters.values().next().expect("a draft has a waiter");
        let idem = self.waiters.iter().filter_map(|(index, waiter)| {
            let idem = waiter.idem.as_ref()?;
            let entry = Idem {
                tasks: vec![self.id.task(*index)],
                digest: idem.digest.clone(),
            };
            Some((idem.key.clone(), entry))
        });
        let idem: Vec<(String, Idem)> = idem.collect();
        let pack = Pack {
            routing: first.task.routing.clone(),
            policy: first.task.policy.clone(),
            created_ms: first.now_ms,
            run_at_ms: first.task.run_at_ms,
            tasks: self
                .waiters
                .iter()
                .map(|(index, waiter)| (*index, waiter.task.spec.clone()))
                .collect(),
            idem: idem.iter().map(|(key, _)| key.clone()).collect(),
        };
        Change::Submit(Submit {
            packs: vec![(self.id, Arc::new(pack))],
            idem,
            inline: true,
        })
    }

    /// Answers those whose fate is known; the draft again where some have to be sent anew, under the same id, for an earlier
    /// copy may still commit.
    fn answered(
        mut self,
        keys: &Keys,
        verdict: Verdict,
        late: bool,
        unknown: &mut BTreeSet<PackId>,
    ) -> Option<Self> {
        match verdict {
            Verdict::Committed { revision } => self.accepted(revision),
            // Nobody else makes this id: an earlier copy of ours was committed.
            Verdict::Refused { lost, revision, .. } if lost.contains(&"pack") => {
                self.accepted(revision)
            }
            Verdict::Refused { lost, .. } if lost.contains(&"horizon") => {
                self.failed(&SubmitError::ClockBehind)
            }
            Verdict::Refused {
                reads, revision, ..
            } => return self.without_taken(keys, &reads, revision),
            Verdict::Unknown(failure) if late => self.failed(&SubmitError::Unknown(failure)),
            Verdict::Unavailable(failure) if unknown.contains(&self.id) => {
                if !late {
                    return Some(self);
                }
                self.failed(&SubmitError::Unknown(failure));
            }
            Verdict::Unavailable(failure) => self.failed(&SubmitError::Unavailable(failure)),
            Verdict::Unknown(_) => {
                unknown.insert(self.id);
                return Some(self);
            }
        }
        None
    }

    fn accepted(self, revision: i64) {
        for (index, waiter) in self.waiters {
            let tasks = vec![self.id.task(index)];
            // A caller that went away has its task all the same.
            let _ = waiter.answer.send(Ok(Accepted {
                tasks,
                revision,
                repeated: false,
            }));
        }
    }

    fn failed(self, error: &SubmitError) {
        for waiter in self.waiters.into_values() {
            let _ = waiter.answer.send(Err(error.clone()));
        }
    }

    /// Takes out those whose idempotency key is used and answers them; their places in the pack stay empty.
    fn without_taken(
        &mut self,
        keys: &Keys,
        reads: &[tenure_cluster::Answer],
        revision: i64,
    ) -> Option<Self> {
        let mut left = Draft {
            id: self.id,
            waiters: BTreeMap::new(),
            bytes: self.bytes,
        };
        for (index, waiter) in std::mem::take(&mut self.waiters) {
            let held = waiter
                .idem
                .as_ref()
                .and_then(|idem| holder(keys, &idem.key, reads).transpose());
            match held {
                None => {
                    left.waiters.insert(index, waiter);
                }
                Some(Err(corrupt)) => {
                    let _ = waiter.answer.send(Err(corrupt.into()));
                }
                Some(Ok(_)) => {
                    let answer = replayed(keys, waiter.idem.as_ref(), reads, revision);
                    let _ = waiter.answer.send(answer);
                }
            }
        }
        (!left.waiters.is_empty()).then_some(left)
    }
}

/// Those that can go now, and those whose idempotency key another of this round has: they wait for its fate.
fn apart(waiting: Vec<Waiter>) -> (Vec<Waiter>, Vec<Waiter>) {
    let mut keys = BTreeSet::new();
    waiting.into_iter().partition(|waiter| {
        waiter
            .idem
            .as_ref()
            .is_none_or(|idem| keys.insert(idem.key.clone()))
    })
}

/// Groups what may share a pack.
fn drafts(waiting: Vec<Waiter>) -> Vec<Draft> {
    let mut done = Vec::new();
    let mut open: BTreeMap<String, Draft> = BTreeMap::new();
    for waiter in waiting {
        let group = group(&waiter.task);
        let bytes = waiter.task.spec.payload.get().len();
        let full = open.get(&group).is_some_and(|draft| draft.is_full(bytes));
        if let Some(draft) = full.then(|| open.remove(&group)).flatten() {
            done.push(draft);
        }
        let draft = open.entry(group).or_insert_with(|| Draft {
            id: PackId::new(waiter.now_ms, random()),
            waiters: BTreeMap::new(),
            bytes: 0,
        });
        draft.bytes += bytes;
        let index = u8::try_from(draft.waiters.len()).expect("a full draft was closed");
        draft.waiters.insert(index, waiter);
    }
    done.extend(open.into_values());
    done
}

impl Draft {
    fn is_full(&self, more: usize) -> bool {
        let idem = self
            .waiters
            .values()
            .filter(|waiter| waiter.idem.is_some())
            .count();
        self.waiters.len() >= PACK_TASKS_MAX
            || idem >= PACK_IDEM_MAX
            || self.bytes + more > PACK_BYTES_MAX
    }
}

/// What tasks must have in common to share a pack.
fn group(task: &NewTask) -> String {
    let parts = (&task.routing, &task.policy, task.run_at_ms);
    serde_json::to_string(&parts).expect("routing and policy encode")
}

/// A batch as packs, and the ids in order of submission.
fn packed(
    tasks: Vec<NewTask>,
    idem: Option<&IdemKey>,
    now_ms: u64,
) -> (Vec<(PackId, Arc<Pack>)>, Vec<TaskId>) {
    let mut packs: Vec<(PackId, Pack)> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids = Vec::with_capacity(tasks.len());
    for task in tasks {
        let group = group(&task);
        let nth = open
            .get(&group)
            .copied()
            .filter(|nth| packs[*nth].1.tasks.len() < PACK_TASKS_MAX);
        let nth = nth.unwrap_or_else(|| {
            packs.push((PackId::new(now_ms, random()), empty(&task, now_ms)));
            packs.len() - 1
        });
        open.insert(group, nth);
        let (id, pack) = &mut packs[nth];
        let index = u8::try_from(pack.tasks.len()).expect("a full pack was closed");
        pack.tasks.insert(index, task.spec);
        ids.push(id.task(index));
    }
    // The batch's key goes with its first pack.
    if let (Some((_, first)), Some(idem)) = (packs.first_mut(), idem) {
        first.idem.push(idem.key.clone());
    }
    (
        packs
            .into_iter()
            .map(|(id, pack)| (id, Arc::new(pack)))
            .collect(),
        ids,
    )
}

fn empty(task: &NewTask, now_ms: u64) -> Pack {
    Pack {
        routing: task.routing.clone(),
        policy: task.policy.clone(),
        created_ms: now_ms,
        run_at_ms: task.run_at_ms,
        tasks: BTreeMap::new(),
        idem: Vec::new(),
    }
}

fn random() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

/// The entry of an idempotency key among what a refused submit read.
fn holder(
    keys: &Keys,
    key: &str,
    reads: &[tenure_cluster::Answer],
) -> Result<Option<Idem>, super::records::Corrupt> {
    let key = keys.idem(key);
    let kvs = reads.iter().flat_map(|answer| match answer {
        tenure_cluster::Answer::Kvs(kvs) => kvs.as_slice(),
        tenure_cluster::Answer::Put
        | tenure_cluster::Answer::Deleted(_)
        | tenure_cluster::Answer::Nested(_) => &[],
    });
    let entry = kvs.into_iter().find(|kv| kv.key == key);
    entry.map(|kv| decode(&kv.key, &kv.value)).transpose()
}

/// The answer to a repeated request: what the key was used for, if it was this.
fn replayed(
    keys: &Keys,
    idem: Option<&IdemKey>,
    reads: &[tenure_cluster::Answer],
    revision: i64,
) -> Result<Accepted, SubmitError> {
    let Some(idem) = idem else {
        return Err(SubmitError::ClockBehind);
    };
    match holder(keys, &idem.key, reads)? {
        None => Err(SubmitError::ClockBehind),
        Some(entry) if entry.digest == idem.digest => Ok(Accepted {
            tasks: entry.tasks,
            revision,
            repeated: true,
        }),
        Some(_) => Err(SubmitError::KeyTaken(idem.key.clone())),
    }
}
