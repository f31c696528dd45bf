//! Starts runs while slots are free and notes how they end; never reports them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_cluster::Range;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{Held, Worker, kinds};
use crate::guard::Leash;
use crate::metrics;
use crate::plan::Ending;
use crate::store::{LookError, Run, Seen, Store, decode};
use crate::task::{ClaimId, Output, Pack, PackId, Which};

/// 64 packs are kept: a pack is claimed in pieces, one after the other.
pub(super) const PACKS_KEPT: usize = 64;

/// 100 ms between attempts to read a pack.
const RETRY: Duration = Duration::from_millis(100);

/// 10 attempts to read a pack: a minute where etcd does not answer at all; its work stays in hand that long.
const READS_MAX: usize = 10;

/// A run that ended.
pub(super) struct Finished {
    pub(super) claim: ClaimId,
    pub(super) index: u8,
    pub(super) ending: Ending,
}

/// A pack that was read; none where it cannot be.
type Fetched = (PackId, Option<Arc<Pack>>);

/// Packs being read, and the last that were.
#[derive(Default)]
pub(super) struct Packs {
    reads: JoinSet<Fetched>,
    /// What is being read: once, however many claims wait for it, and to its end, whatever becomes of them.
    reading: BTreeSet<PackId>,
    kept: BTreeMap<PackId, Arc<Pack>>,
    order: VecDeque<PackId>,
}

impl Packs {
    pub(super) fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }

    /// How many are being read, and how many are kept.
    pub(super) fn depths(&self) -> (usize, usize) {
        (self.reads.len(), self.kept.len())
    }

    /// The pack of a claim, where it is kept; else it is read, from whichever member answers, if its answer is as new as the claim.
    pub(super) fn kept_or_fetched(&mut self, store: &Store, run: &Seen<Run>) -> Option<Arc<Pack>> {
        let (store, id, created) = (store.clone(), run.value.pack, run.created);
        let kept = self.kept.get(&id).cloned();
        if kept.is_none() && self.reading.insert(id) {
            let read = async move { (id, read_at_last(&store, id, created).await) };
            self.reads.spawn(read);
        }
        kept
    }

    /// Waits for a pack; none where none is being read. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Fetched> {
        let (id, pack) = match self.reads.join_next().await? {
            Ok(fetched) => fetched,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        self.reading.remove(&id);
        if let Some(pack) = &pack {
            self.keep(id, Arc::clone(pack));
        }
        Some((id, pack))
    }

    fn keep(&mut self, id: PackId, pack: Arc<Pack>) {
        if self.kept.insert(id, pack).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > PACKS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept.remove(&oldest);
        }
    }
}

/// Reads a pack, as often as it takes within [`READS_MAX`].
async fn read_at_last(store: &Store, id: PackId, created: i64) -> Option<Arc<Pack>> {
    for _ in 0..READS_MAX {
        match read(store, id, created).await {
            Ok(Some(pack)) => return Some(pack),
            Ok(None) => {
                error!(pack = %id, "a claim names a pack that is not in the store");
                return None;
            }
            Err(LookError::Corrupt(problem)) => {
                error!(%problem, pack = %id, "a claim names a pack that is not what it should be");
                return None;
            }
            Err(problem) => {
                warn!(%problem, pack = %id, "a pack could not be read, trying again");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
    error!(pack = %id, "a pack could not be read {READS_MAX} times");
    None
}

async fn read(store: &Store, id: PackId, at_least: i64) -> Result<Option<Arc<Pack>>, LookError> {
    let range = Range::key(store.keys().pack(id)).serializable(at_least);
    let page = store.connection().range(&range).await?;
    let pack = page
        .kvs
        .first()
        .map(|kv| decode::<Pack>(&kv.key, &kv.value))
        .transpose()?;
    Ok(pack.map(Arc::new))
}

impl Worker {
    pub(super) fn fetched(&mut self, (id, pack): Fetched) {
        let theirs = |held: &&mut Held| held.run.value.pack == id && held.pack.is_none();
        for held in self.claims.values_mut().filter(theirs) {
            match &pack {
                Some(pack) => held.arrived(Arc::clone(pack)),
                // Nothing can be run without its spec: back to the queue, where an operator sees it.
                None => held.unreadable(),
            }
        }
    }

    /// Starts what waits, in the order it came, while slots are free.
    pub(super) fn start_runs(&mut self) {
        if self.handover.starts_nothing() {
            let now_ms = self.hands.store.now_ms();
            self.claims
                .values_mut()
                .for_each(|held| held.hand_back(now_ms));
            self.line.clear();
        }
        let slots = self.pool.slots();
        let mut nth = 0;
        while nth < self.line.len() && self.busy() < slots {
            let claim = self.line[nth];
            let ready = self
                .claims
                .get(&claim)
                .is_some_and(|held| held.pack.is_some());
            if ready {
                self.start_claim(claim, slots);
            }
            let left = self
                .claims
                .get(&claim)
                .is_some_and(|held| !held.waiting.is_empty());
            if left {
                nth += 1;
            } else {
                self.line.remove(nth);
            }
        }
    }

    /// Runs that take slots, those that were left by former sessions too.
    pub(super) fn busy(&self) -> usize {
        self.runs.len() + self.hands.finishing.load(Ordering::Relaxed)
    }

    fn start_claim(&mut self, claim: ClaimId, slots: usize) {
        let kinds = Arc::clone(&self.hands.kinds);
        let breakers = self.hands.breakers.clone();
        let clock = self.hands.store.clock();
        let left = slots.saturating_sub(self.busy());
        let Some(held) = self.claims.get_mut(&claim) else {
            return;
        };
        let Some(pack) = held.pack.clone() else {
            return;
        };
        let finishes = held.finishes();
        let leash = if finishes {
            Leash::none()
        } else {
            self.hands.lease.leash().clone()
        };
        let before = held.running.len();
        for index in held.waiting.iter() {
            if held.running.len() - before >= left {
                return;
            }
            held.waiting.remove(index);
            let cancel = CancellationToken::new();
            let Some(run) = told(held, &pack, index, (cancel.clone(), leash.clone())) else {
                let missing = kinds::Ended::failed("the pack does not hold this task");
                let now_ms = clock.now_ms();
                let ending = ended(missing, now_ms, now_ms);
                held.end(Which::only(index), ending);
                continue;
            };
            let started_ms = clock.now_ms();
            let pass = match breakers.ask(&pack.routing.kind, || kinds.host(&run)) {
                Ok(pass) => pass,
                Err(deferral) => {
                    metrics::task_deferred(pack.routing.kind.as_str());
                    held.defer(index, deferral, started_ms);
                    continue;
                }
            };
            waited(held.run.value.ready_ms, started_ms, &pack);
            if let Some(now) = kinds.run_now(&run) {
                breakers.ended(&pass, &now);
                held.end(Which::only(index), ended(now, started_ms, clock.now_ms()));
                continue;
            }
            held.running.insert(index, cancel);
            let (kinds, clock, breakers) = (Arc::clone(&kinds), clock.clone(), breakers.clone());
            let taken = finishes.then(|| Taken::of(&self.hands.finishing));
            let runs = if finishes {
                &mut self.finishing
            } else {
                &mut self.runs
            };
            runs.spawn(async move {
                let _taken = taken;
                let did = kinds.run(run).await;
                breakers.ended(&pass, &did);
                let ending = ended(did, started_ms, clock.now_ms());
                Finished {
                    claim,
                    index,
                    ending,
                }
            });
        }
    }

    pub(super) fn finished(&mut self, finished: Result<Finished, JoinError>) {
        match finished {
            Ok(run) => {
                if let Some(held) = self.claims.get_mut(&run.claim)
                    && held.running.contains_key(&run.index)
                {
                    held.end(Which::only(run.index), run.ending);
                } else if self.lost {
                    metrics::outcomes_dropped("reclaimed", 1);
                }
            }
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // Given up when the grace was over.
            Err(_) => {}
        }
    }
}

/// A slot that a run takes which goes on past a lost session, until it is dropped.
struct Taken(Arc<AtomicUsize>);

impl Taken {
    fn of(finishing: &Arc<AtomicUsize>) -> Self {
        finishing.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(finishing))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a run is told of itself.
fn told(
    held: &Held,
    pack: &Pack,
    index: u8,
    (cancel, leash): (CancellationToken, Leash),
) -> Option<kinds::Run> {
    let spec = pack.tasks.get(&index)?;
    let run = &held.run.value;
    Some(kinds::Run {
        task_id: run.pack.task(index).uuid(),
        attempt: run.tally.attempts + 1,
        fence: held.run.created,
        queue: pack.routing.queue.shared(),
        kind: pack.routing.kind.shared(),
        fired: pack.fired.clone(),
        payload: Arc::clone(&spec.payload),
        timeout: pack.policy.timeout_ms.map(Duration::from_millis),
        cancel,
        leash,
    })
}

fn ended(ended: kinds::Ended, started_ms: u64, finished_ms: u64) -> Ending {
    let value = ended.result.map(|value| value.to_string());
    let output = match (ended.output, value) {
        (output, None) => output,
        (output, value) => Some(Output {
            value,
            ..output.unwrap_or_default()
        }),
    };
    Ending {
        outcome: ended.outcome,
        started_ms: Some(started_ms),
        finished_ms,
        error: ended.error,
        output,
        wait: None,
    }
}

fn waited(ready_ms: u64, started_ms: u64, pack: &Pack) {
    let waited = Duration::from_millis(started_ms.saturating_sub(ready_ms));
    metrics::schedule_to_start(pack.routing.queue.as_str(), waited);
}
