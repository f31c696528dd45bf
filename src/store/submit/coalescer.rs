//! Commits single submits: what arrives while the last commit is in flight goes together into the next; no timer, and no submit
//! fails by its neighbour.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::fate::{Fate, fate};
use super::packing::{group, holder, random, replayed};
use super::{Accepted, Lanes, REPEAT, SubmitError, Waiter, late};
use crate::store::change::{Change, Submit};
use crate::store::commit::{Store, Verdict, batches};
use crate::store::keys::{Keys, Lane};
use crate::store::records::Idem;
use crate::task::{PACK_TASKS_MAX, Pack, PackId};

/// 2,048 submits to one round: at 256 to a pack that is 8 packs, or 2,048 packs of one in 35 batches.
const ROUND_MAX: usize = 2_048;

/// 32 idempotency keys to a pack: each takes two reads where the submit is refused, 67 with the pack's own, and a nested list has what
/// an outer one of 60 changes leaves of etcd's 128.
const PACK_IDEM_MAX: usize = 32;

/// 512 KiB to a coalesced pack, below etcd's 1.5 MiB per request with room for records and neighbours.
const PACK_BYTES_MAX: usize = 512 << 10;

/// Drives the commits of single submits. One per node, owned by it.
pub struct Coalescer {
    store: Store,
    line: mpsc::Receiver<Waiter>,
    lanes: Lanes,
}

/// A pack in the making.
struct Draft {
    id: PackId,
    waiters: BTreeMap<u8, Waiter>,
    bytes: usize,
}

impl Coalescer {
    pub(super) fn new(store: Store, line: mpsc::Receiver<Waiter>, lanes: Lanes) -> Self {
        Self { store, line, lanes }
    }

    /// Commits what arrives until everybody who may submit is gone.
    pub async fn run(mut self) {
        let mut round = Vec::with_capacity(ROUND_MAX);
        while self.line.recv_many(&mut round, ROUND_MAX).await > 0 {
            let waiting = with_twins(std::mem::take(&mut round));
            let marked = self.marked(drafts(waiting)).await;
            self.commit(marked).await;
        }
    }

    /// Those whose lane has its mark; the others are answered.
    async fn marked(&self, drafts: Vec<Draft>) -> Vec<Draft> {
        let drafts = in_time(drafts, &BTreeSet::new());
        let Some(until) = drafts.iter().flat_map(Draft::deadlines).max() else {
            return Vec::new();
        };
        let lanes = drafts.iter().map(Draft::lane).collect();
        let without = self.lanes.mark_each(&self.store, lanes, until).await;
        let mut marked = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match without.get(&draft.lane()) {
                Some(error) => draft.failed(error),
                None => marked.push(draft),
            }
        }
        marked
    }

    /// Commits drafts until each of their waiters has an answer.
    async fn commit(&self, mut drafts: Vec<Draft>) {
        let mut unknown: BTreeSet<PackId> = BTreeSet::new();
        while !drafts.is_empty() {
            let changes: Vec<Change> = drafts.iter().map(Draft::change).collect();
            let mut left = Vec::new();
            let mut drafted = drafts.into_iter();
            for mut batch in batches(self.store.keys(), changes) {
                let mut sent: Vec<Draft> = drafted.by_ref().take(batch.len()).collect();
                if sent.iter().any(Draft::is_late) {
                    sent = in_time(sent, &unknown);
                    batch = sent.iter().map(Draft::change).collect();
                }
                if batch.is_empty() {
                    continue;
                }
                let verdicts = self.store.commit_batch(None, &batch).await;
                for (verdict, draft) in verdicts.into_iter().zip(sent) {
                    left.extend(draft.answered(self.store.keys(), verdict, &mut unknown));
                }
            }
            drafts = left;
            if !drafts.is_empty() {
                tokio::time::sleep(REPEAT).await;
            }
        }
    }
}

/// These without the waiters whose deadline has passed, who are answered: what was not sent in time was not accepted, unless an
/// earlier copy was. Their places in the packs stay empty.
fn in_time(drafts: Vec<Draft>, unknown: &BTreeSet<PackId>) -> Vec<Draft> {
    let now = Instant::now();
    let drafts = drafts.into_iter().filter_map(|mut draft| {
        let late = draft
            .waiters
            .extract_if(.., |_, waiter| waiter.deadline <= now);
        let late = Draft {
            id: draft.id,
            waiters: late.collect(),
            bytes: 0,
        };
        late.unsent(unknown);
        (!draft.waiters.is_empty()).then_some(draft)
    });
    drafts.collect()
}

impl Draft {
    fn first(&self) -> &Waiter {
        self.waiters.values().next().expect("a draft has a waiter")
    }

    fn lane(&self) -> Lane {
        Lane::of(&self.first().task.routing)
    }

    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.waiters.values().map(|waiter| waiter.deadline)
    }

    fn is_late(&self) -> bool {
        let now = Instant::now();
        self.deadlines().any(|deadline| deadline <= now)
    }

    fn change(&self) -> Change {
        let first = self.first();
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
            fired: None,
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
        unknown: &mut BTreeSet<PackId>,
    ) -> Option<Self> {
        match fate(verdict, unknown.contains(&self.id)) {
            Fate::Accepted { revision } => self.accepted(revision),
            Fate::Taken { reads, revision } => return self.without_taken(keys, &reads, revision),
            Fate::Failed(error) => self.failed(&error),
            Fate::Unsure => {
                unknown.insert(self.id);
                return Some(self);
            }
        }
        None
    }

    fn accepted(self, revision: i64) {
        for (index, waiter) in self.waiters {
            let tasks = vec![self.id.task(index)];
            waiter.accepted(Accepted {
                tasks,
                revision,
                repeated: false,
            });
        }
    }

    fn failed(self, error: &SubmitError) {
        for waiter in self.waiters.into_values().flat_map(Waiter::and_twins) {
            let _ = waiter.answer.send(Err(error.clone()));
        }
    }

    fn unsent(self, unknown: &BTreeSet<PackId>) {
        let failure = late();
        let error = if unknown.contains(&self.id) {
            SubmitError::Unknown(failure)
        } else {
            SubmitError::Unavailable(failure)
        };
        self.failed(&error);
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
                Some(_) => {
                    for waiter in waiter.and_twins() {
                        let answer = replayed(keys, waiter.idem.as_ref(), reads, revision);
                        let _ = waiter.answer.send(answer);
                    }
                }
            }
        }
        (!left.waiters.is_empty()).then_some(left)
    }
}

impl Waiter {
    /// Its task is in the store; its twins asked for the same task, or for another by the same key.
    fn accepted(self, accepted: Accepted) {
        let digest = self.idem.map(|idem| idem.digest);
        for twin in self.twins {
            let answer = match twin.idem {
                Some(idem) if digest.as_ref() != Some(&idem.digest) => {
                    Err(SubmitError::KeyTaken(idem.key))
                }
                Some(_) | None => Ok(Accepted {
                    repeated: true,
                    ..accepted.clone()
                }),
            };
            let _ = twin.answer.send(answer);
        }
        // A caller that went away has its task all the same.
        let _ = self.answer.send(Ok(accepted));
    }

    fn and_twins(mut self) -> impl Iterator<Item = Self> {
        let twins = std::mem::take(&mut self.twins);
        std::iter::once(self).chain(twins)
    }
}

/// One waiter for each idempotency key, with those after it that have the same.
fn with_twins(waiting: Vec<Waiter>) -> Vec<Waiter> {
    let mut firsts: Vec<Waiter> = Vec::with_capacity(waiting.len());
    let mut nth: BTreeMap<String, usize> = BTreeMap::new();
    for waiter in waiting {
        let key = waiter.idem.as_ref().map(|idem| idem.key.clone());
        let first = key.map(|key| *nth.entry(key).or_insert(firsts.len()));
        match first.and_then(|first| firsts.get_mut(first)) {
            Some(first) => first.twins.push(waiter),
            None => firsts.push(waiter),
        }
    }
    firsts
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
