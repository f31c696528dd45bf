//! Changes on their way: what they reserve, what became of them, and what is sent again; never plans.
//!
//! Until the view has folded the revision a change landed at, whatever it may have changed stays reserved: the plan must not give
//! it away twice. An assignment of unknown outcome is settled by touching its record, which conflicts with it; the others compare
//! mod revisions and are simply sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_cluster::Guard;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::metrics;
use crate::plan::Reserved;
use crate::store::{Change, Keys, Place, Store, Verdict, Waiting, batches};
use crate::task::{ClaimId, Name};

/// 250 ms: how long what was refused stays reserved where the view hears nothing more.
const REFUSED_HELD: Duration = Duration::from_millis(250);

/// A change that was sent, and what it reserves.
struct Sent {
    change: Change,
    hold: Hold,
}

/// What must not be given away meanwhile.
#[derive(Clone, Debug, Default)]
struct Hold {
    record: Option<(String, i64)>,
    tasks: Vec<((Name, Name), u64)>,
    claim: Option<(Name, ClaimId)>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landed {
    /// Each change is done or refused.
    Well,
    /// Some were not sent or their outcome is not known: pause.
    Badly,
    /// The fence refused: we no longer lead.
    TermLost,
}

/// The batches in flight.
pub(super) struct Flights {
    store: Store,
    fence: Guard,
    air: JoinSet<(Vec<Sent>, Vec<Verdict>)>,
    reserved: Reserved,
    /// Landed at this revision, not yet seen by the view; what was refused is given free after a while even so, for the revision of
    /// a refusal may bring the view nothing, and a plan on an old view is only refused again.
    landed: Vec<(i64, Option<Instant>, Hold)>,
    /// To be sent again.
    unsettled: Vec<Sent>,
}

impl Flights {
    pub(super) fn new(store: Store, fence: Guard) -> Self {
        Self {
            store,
            fence,
            air: JoinSet::new(),
            reserved: Reserved::default(),
            landed: Vec::new(),
            unsettled: Vec::new(),
        }
    }

    /// How many batches are in flight.
    pub(super) fn len(&self) -> usize {
        self.air.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.air.is_empty()
    }

    /// What the plan must leave alone.
    pub(super) fn reserved(&self) -> &Reserved {
        &self.reserved
    }

    /// Sends changes, as many batches as they need.
    pub(super) fn send(&mut self, changes: Vec<Change>) {
        let keys = self.store.keys().clone();
        for batch in batches(&keys, changes) {
            let sent: Vec<Sent> = batch
                .into_iter()
                .map(|change| Sent {
                    hold: Hold::of(&keys, &change),
                    change,
                })
                .collect();
            for sent in &sent {
                sent.hold.take(&mut self.reserved);
            }
            self.launch(sent);
        }
    }

    /// Sends again what is unsettled.
    pub(super) fn resend(&mut self) {
        let again = std::mem::take(&mut self.unsettled);
        let mut by_change: BTreeMap<usize, Sent> = again.into_iter().enumerate().collect();
        let changes: Vec<Change> = by_change.values().map(|sent| sent.change.clone()).collect();
        let mut nth = 0;
        for batch in batches(self.store.keys(), changes) {
            let sent = (nth..nth + batch.len())
                .filter_map(|i| by_change.remove(&i))
                .collect();
            nth += batch.len();
            self.launch(sent);
        }
    }

    fn launch(&mut self, sent: Vec<Sent>) {
        let (store, fence) = (self.store.clone(), self.fence.clone());
        self.air.spawn(async move {
            let began = Instant::now();
            let changes: Vec<Change> = sent.iter().map(|sent| sent.change.clone()).collect();
            let verdicts = store.commit_batch(Some(&fence), &changes, &[]).await;
            metrics::dispatched(began.elapsed(), assigned(&changes));
            (sent, verdicts)
        });
    }

    /// Waits for a batch to land. Cancel-safe.
    pub(super) async fn next(&mut self) -> Landed {
        let (sent, verdicts) = match self.air.join_next().await {
            Some(Ok(landed)) => landed,
            Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
            None => return Landed::Well,
        };
        let mut how = Landed::Well;
        for (sent, verdict) in sent.into_iter().zip(verdicts) {
            how = match (self.landed(sent, verdict), how) {
                (Landed::TermLost, _) | (_, Landed::TermLost) => Landed::TermLost,
                (Landed::Badly, _) | (_, Landed::Badly) => Landed::Badly,
                (Landed::Well, Landed::Well) => Landed::Well,
            };
        }
        how
    }

    fn landed(&mut self, sent: Sent, verdict: Verdict) -> Landed {
        match verdict {
            Verdict::Committed { revision } => {
                self.landed.push((revision, None, sent.hold));
                Landed::Well
            }
            Verdict::Refused { lost, .. } if lost.contains(&"term") => Landed::TermLost,
            Verdict::Refused { lost, revision, .. } => {
                debug!(op = sent.change.word(), ?lost, "refused, planned again");
                self.landed
                    .push((revision, Some(Instant::now() + REFUSED_HELD), sent.hold));
                Landed::Well
            }
            Verdict::Unavailable(failure) => {
                warn!(op = sent.change.word(), %failure, "not sent");
                if matches!(sent.change, Change::Touch(_)) {
                    // The assignment it is to settle may still commit.
                    self.unsettled.push(sent);
                } else {
                    sent.hold.give(&mut self.reserved);
                }
                Landed::Badly
            }
            Verdict::Unknown(failure) => {
                warn!(op = sent.change.word(), %failure, "outcome unknown, settling it");
                let change = match &sent.change {
                    Change::Assign(assign) => Change::Touch(assign.from.clone()),
                    Change::Submit(_)
                    | Change::Promote(_)
                    | Change::Touch(_)
                    | Change::Report(_)
                    | Change::Stop(_)
                    | Change::Reclaim(_)
                    | Change::Cancel(_)
                    | Change::Revive(_)
                    | Change::Raise(_)
                    | Change::Collect(_)
                    | Change::Unmark(_)
                    | Change::Postpone(_)
                    | Change::Record(_) => sent.change.clone(),
                };
                self.unsettled.push(Sent {
                    change,
                    hold: sent.hold,
                });
                Landed::Badly
            }
        }
    }

    /// Gives free what landed at revisions the view has folded.
    pub(super) fn release(&mut self, seen: i64) {
        let reserved = &mut self.reserved;
        self.landed.retain(|(revision, until, hold)| {
            let waits = *revision > seen && until.is_none_or(|until| Instant::now() < until);
            if !waits {
                hold.give(reserved);
            }
            waits
        });
    }
}

impl Hold {
    fn of(keys: &Keys, change: &Change) -> Self {
        match change {
            Change::Assign(assign) => Self {
                record: Some(record(keys, Place::Ready, &assign.from)),
                tasks: assign
                    .takes
                    .iter()
                    .map(|take| {
                        let kind = assign.from.routing().kind.clone();
                        ((take.node.clone(), kind), take.which.len() as u64)
                    })
                    .collect(),
                claim: None,
            },
            Change::Promote(waiting) | Change::Touch(waiting) => Self {
                record: Some(record(keys, waiting.place, waiting)),
                ..Self::default()
            },
            Change::Reclaim(lost) => Self {
                claim: Some((lost.node.clone(), lost.claim)),
                ..Self::default()
            },
            Change::Submit(_)
            | Change::Report(_)
            | Change::Stop(_)
            | Change::Cancel(_)
            | Change::Revive(_)
            | Change::Raise(_)
            | Change::Collect(_)
            | Change::Unmark(_)
            | Change::Postpone(_)
            | Change::Record(_) => Self::default(),
        }
    }

    fn take(&self, reserved: &mut Reserved) {
        reserved.records.extend(self.record.iter().cloned());
        reserved.claims.extend(self.claim.iter().cloned());
        for (key, tasks) in &self.tasks {
            *reserved.tasks.entry(key.clone()).or_default() += tasks;
        }
    }

    fn give(&self, reserved: &mut Reserved) {
        if let Some(record) = &self.record {
            let (key, modified) = record;
            if reserved.records.get(key) == Some(modified) {
                reserved.records.remove(key);
            }
        }
        if let Some(claim) = &self.claim {
            reserved.claims.remove(claim);
        }
        for (key, tasks) in &self.tasks {
            let left = reserved
                .tasks
                .get(key)
                .copied()
                .unwrap_or(0)
                .saturating_sub(*tasks);
            if left == 0 {
                reserved.tasks.remove(key);
            } else {
                reserved.tasks.insert(key.clone(), left);
            }
        }
    }
}

/// The record that a change compares, and at which mod revision.
fn record(keys: &Keys, place: Place, from: &Waiting) -> (String, i64) {
    let key = keys.record(place, from.routing(), &from.id);
    (key, from.seen.modified)
}

/// How many tasks these changes give to nodes.
fn assigned(changes: &[Change]) -> u64 {
    let tasks = changes.iter().map(|change| {
        let Change::Assign(assign) = change else {
            return 0;
        };
        let takes = assign.takes.iter();
        takes.map(|take| take.which.len() as u64).sum()
    });
    tasks.sum()
}
