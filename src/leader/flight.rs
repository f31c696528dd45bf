//! Changes on their way: what they reserve, what became of them, and what is sent again; never plans.
//!
//! Until the view has folded the revision a change landed at, whatever it may have changed stays reserved: the plan must not give
//! it away twice. An assignment of unknown outcome is settled by touching its record, which conflicts with it; the others compare
//! mod revisions and are simply sent again.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_cluster::{Failure, FailureKind, Guard};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::fires::Fires;
use super::hold::{Hold, record};
use super::levels::Levels;
use super::refill::Refills;
use crate::metrics;
use crate::plan::{Reserved, View};
use crate::store::{Change, GuardName, Lane, Store, Verdict, batches};

/// 4 batches in flight: etcd commits them together, and each leaves the loop free to plan the next. Others wait for one to land.
pub(super) const FLIGHTS_MAX: usize = 4;

/// 2 of those are of schedules at most: neither they nor assignments wait for the end of the other's backlog.
const FIRES_MAX: usize = 2;

/// 250 ms: how long what was refused stays reserved where the view hears nothing more.
const REFUSED_HELD: Duration = Duration::from_millis(250);

/// 10 s: how long what etcd will never take is left alone before it is planned again.
const INVALID_HELD: Duration = Duration::from_secs(10);

/// A change that was sent, and what it reserves.
struct Sent {
    change: Change,
    hold: Hold,
    /// Whether it goes in a batch of its own: one that it shared was invalid.
    alone: bool,
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
    /// How many of those are of schedules.
    fires: usize,
    /// Batches that wait for one to land, in order.
    ready: VecDeque<Vec<Sent>>,
    /// Those of schedules.
    due: VecDeque<Vec<Sent>>,
    reserved: Reserved,
    /// Landed at this revision, not yet seen by the view; what was refused is given free after a while even so, for the revision of
    /// a refusal may bring the view nothing, and a plan on an old view is only refused again.
    landed: Vec<(i64, Option<Instant>, Hold)>,
    /// To be sent again.
    unsettled: Vec<Sent>,
    levels: Levels,
}

impl Flights {
    pub(super) fn new(store: Store, fence: Guard) -> Self {
        Self {
            levels: Levels::of(store.vitals()),
            store,
            fence,
            air: JoinSet::new(),
            fires: 0,
            ready: VecDeque::new(),
            due: VecDeque::new(),
            reserved: Reserved::default(),
            landed: Vec::new(),
            unsettled: Vec::new(),
        }
    }

    /// Whether more may be planned: a batch would leave at once.
    pub(super) fn has_room(&self) -> bool {
        let due = FIRES_MAX.min(self.fires + self.due.len());
        self.air.len() - self.fires + self.ready.len() < FLIGHTS_MAX - due
    }

    pub(super) fn is_empty(&self) -> bool {
        self.air.is_empty()
    }

    /// Tells the node how deep this is, and what is read beside it.
    pub(super) fn tell(&self, refills: &Refills, fires: &Fires) {
        let waiting = self.ready.len() + self.due.len();
        let unsettled = self.unsettled.len() + self.landed.len();
        self.levels.flown(self.air.len(), waiting, unsettled);
        self.levels
            .read(refills.under_way(), fires.under_way(&self.reserved));
    }

    /// What the plan must leave alone.
    pub(super) fn reserved(&self) -> &Reserved {
        &self.reserved
    }

    /// Sends changes, as many batches as they need.
    pub(super) fn send(&mut self, changes: Vec<Change>) {
        let keys = self.store.keys();
        let sent = |change| Sent {
            hold: Hold::of(keys, &change),
            change,
            alone: false,
        };
        let sent: Vec<Sent> = changes.into_iter().map(sent).collect();
        for sent in &sent {
            sent.hold.take(&mut self.reserved);
        }
        self.queue(sent);
        self.launch();
    }

    /// Sends again what is unsettled, but for touches of records that have moved on: what they were to settle is settled by that.
    pub(super) fn resend(&mut self, view: &View) {
        let again = std::mem::take(&mut self.unsettled);
        let (settled, again): (Vec<_>, Vec<_>) = again
            .into_iter()
            .partition(|sent| has_moved_on(view, &sent.change));
        for sent in settled {
            sent.hold.give(&mut self.reserved);
        }
        let (alone, together): (Vec<_>, Vec<_>) = again.into_iter().partition(|sent| sent.alone);
        let alone = alone.into_iter().map(|sent| vec![sent]);
        let (due, ready): (Vec<_>, Vec<_>) = alone.partition(|batch| is_due(batch));
        self.due.extend(due);
        self.ready.extend(ready);
        let (due, together): (Vec<_>, Vec<_>) = together.into_iter().partition(is_fire);
        self.queue(due);
        self.queue(together);
        self.launch();
    }

    /// Puts changes in line, as many batches as they need.
    fn queue(&mut self, sent: Vec<Sent>) {
        let changes = sent.iter().map(|sent| sent.change.clone()).collect();
        let mut sent = sent.into_iter();
        for batch in batches(self.store.keys(), changes) {
            let batch: Vec<Sent> = sent.by_ref().take(batch.len()).collect();
            let line = if is_due(&batch) {
                &mut self.due
            } else {
                &mut self.ready
            };
            line.push_back(batch);
        }
    }

    /// The one gate: as many batches leave as there is room for.
    fn launch(&mut self) {
        while self.air.len() < FLIGHTS_MAX
            && let Some(sent) = self.next_batch()
        {
            self.fires += usize::from(is_due(&sent));
            let (store, fence) = (self.store.clone(), self.fence.clone());
            self.air.spawn(async move {
                let began = Instant::now();
                let changes: Vec<Change> = sent.iter().map(|sent| sent.change.clone()).collect();
                let verdicts = store.commit_batch(Some(&fence), &changes).await;
                metrics::dispatched(began.elapsed(), assigned(&changes));
                (sent, verdicts)
            });
        }
    }

    /// The next batch to leave: of schedules as long as fewer of those are in flight than may be.
    fn next_batch(&mut self) -> Option<Vec<Sent>> {
        let due = if self.fires < FIRES_MAX {
            self.due.pop_front()
        } else {
            None
        };
        due.or_else(|| self.ready.pop_front())
    }

    /// Waits for what is in the air; what waits for room there is not sent any more.
    pub(super) async fn land(&mut self) {
        self.ready.clear();
        self.due.clear();
        while !self.is_empty() {
            self.next().await;
        }
    }

    /// Waits for a batch to land. Cancel-safe.
    pub(super) async fn next(&mut self) -> Landed {
        let (sent, verdicts) = match self.air.join_next().await {
            Some(Ok(landed)) => landed,
            Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
            None => return Landed::Well,
        };
        self.fires -= usize::from(is_due(&sent));
        self.launch();
        let (mut how, alone) = (Landed::Well, sent.len() == 1);
        for (mut sent, verdict) in sent.into_iter().zip(verdicts) {
            sent.alone |= alone;
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
            Verdict::Refused { lost, .. } if lost.contains(&GuardName::Term) => Landed::TermLost,
            Verdict::Refused { lost, revision, .. } => {
                debug!(op = sent.change.word(), ?lost, "refused, planned again");
                // What an earlier copy, or the assignment it was to settle, has taken of a gate or of its queue may be news to the view still, and no
                // guard but this keeps it from being given away again. The watch asks for progress where it hears nothing.
                let takes = sent.hold.takes();
                let seen_only = settles(&sent.change) && takes;
                let until = (!seen_only).then(|| Instant::now() + REFUSED_HELD);
                self.landed.push((revision, until, sent.hold));
                Landed::Well
            }
            Verdict::Unavailable(failure) if failure.kind == FailureKind::Invalid => {
                self.invalid(sent, &failure);
                Landed::Badly
            }
            Verdict::Unavailable(failure) => {
                warn!(op = sent.change.word(), %failure, "not sent");
                if settles(&sent.change) {
                    // The assignment it is to settle, or an earlier copy of it, may still commit.
                    self.unsettled.push(sent);
                } else {
                    sent.hold.give(&mut self.reserved);
                }
                Landed::Badly
            }
            // Decided anew, by what time it is then: from the same progress, so that one of both is committed at most.
            Verdict::Unknown(failure) if is_fire(&sent) => {
                warn!(op = sent.change.word(), %failure, "outcome unknown, decided anew");
                let until = Instant::now() + REFUSED_HELD;
                self.landed.push((i64::MAX, Some(until), sent.hold));
                Landed::Badly
            }
            Verdict::Unknown(failure) => {
                warn!(op = sent.change.word(), %failure, "outcome unknown, settling it");
                let change = sent.change.settling();
                self.unsettled.push(Sent { change, ..sent });
                Landed::Badly
            }
        }
    }

    /// etcd will never take the transaction. What shared it goes alone; one that is alone is left for a while, and planned anew.
    fn invalid(&mut self, sent: Sent, failure: &Failure) {
        if !sent.alone {
            debug!(op = sent.change.word(), %failure, "invalid together, sent alone");
            let alone = true;
            return self.unsettled.push(Sent { alone, ..sent });
        }
        error!(op = sent.change.word(), %failure, "etcd calls a change invalid");
        if matches!(sent.change, Change::Touch(_)) {
            // The assignment it is to settle may still commit: until its record moves on.
            self.unsettled.push(sent);
        } else {
            let until = Instant::now() + INVALID_HELD;
            self.landed.push((i64::MAX, Some(until), sent.hold));
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

fn is_fire(sent: &Sent) -> bool {
    matches!(sent.change, Change::Fire(_))
}

/// Whether a batch is of schedules: those never share one with others.
fn is_due(batch: &[Sent]) -> bool {
    batch.first().is_some_and(is_fire)
}

/// Whether another transaction that takes of a gate may be on its way where this one was refused or not sent: the assignment that a
/// touch is to settle; an earlier copy of a grant.
fn settles(change: &Change) -> bool {
    matches!(change, Change::Touch(_) | Change::Grant(_))
}

/// Whether this is a touch of a record that the view has at a later revision than the touch compares: neither it nor what it was to
/// settle can commit any more, and where that was committed, the view has it.
fn has_moved_on(view: &View, change: &Change) -> bool {
    let Change::Touch(of) = change else {
        return false;
    };
    let (key, modified) = record(view.keys(), of);
    let window = view.lanes.get(&Lane::at(of.routing(), of.place));
    let there = window.and_then(|window| window.get(&key));
    there.is_some_and(|(_, seen)| seen.modified > modified)
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

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
