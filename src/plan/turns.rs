//! Whose turn it is: queues share starts by weight, a queue with a rate has a bucket, and the oldest of a queue comes first now and
//! then whatever its priority; starts nothing.
//!
//! Between queues this is start-time fair queueing (Goyal, Vin, Cheng 1996): each start moves its queue on by the inverse of its
//! weight, and the queue that is furthest behind is next. One that had no work begins where the others are: what it did not use it
//! has not saved.

use std::collections::{BTreeMap, BTreeSet};

use super::view::View;
use crate::planted::{self, Bug};
use crate::store::{QueueRules, Rate};
use crate::task::{Gate, Name};

/// 1,000,000: how far a start moves a queue of weight 1. Weights go to 1,000, so the inverse of each is exact to 0.1 %.
const STEP: u64 = 1_000_000;

/// 1 of 16 records of a queue is the one that waits longest, whatever its priority: the lowest are reached however many come above
/// them, and those above lose a sixteenth at most.
const AGED_EVERY: u64 = 16;

/// 60 s: what has waited for less is not preferred for its age.
pub(super) const AGED_MS: u64 = 60_000;

/// 1,000,000 parts to a token.
const TOKEN: u64 = 1_000_000;

/// What each queue has had in this term. A new term begins anew, with empty buckets: so a rate holds over a change of leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Where the queue that was served last began.
    now: u64,
    /// Counts records served.
    served: u64,
    queues: BTreeMap<Name, Turn>,
    /// Gates whose last grant went outside while tasks waited: those go first now.
    outside: BTreeSet<Gate>,
}

/// What one queue has had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Turn {
    /// How far it has got.
    at: u64,
    /// When it was served last.
    last: u64,
    /// Records started.
    records: u64,
    bucket: Option<Bucket>,
}

/// Tokens of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    /// In parts of a token.
    parts: u64,
    /// When it was looked at last, in milliseconds since 1970.
    at_ms: u64,
}

/// The order of queues: who is furthest behind, then who was served longest ago.
pub(super) type Order = (u64, u64);

impl Turns {
    /// Where a queue stands.
    pub(super) fn order(&self, queue: &Name) -> Order {
        let turn = self.queues.get(queue);
        turn.map_or((self.now, 0), |turn| (turn.at.max(self.now), turn.last))
    }

    /// Notes that so many tasks of one record were started.
    pub(super) fn started(&mut self, queue: &Name, tasks: u64, rules: Option<&QueueRules>) {
        let weight = u64::from(rules.and_then(|rules| rules.weight).unwrap_or(1)).max(1);
        self.served += 1;
        let turn = self.queues.entry(queue.clone()).or_default();
        self.now = self.now.max(turn.at);
        turn.at = self.now.saturating_add(tasks.saturating_mul(STEP / weight));
        turn.last = self.served;
        turn.records += 1;
        if let Some(bucket) = &mut turn.bucket {
            bucket.parts = bucket.parts.saturating_sub(tasks.saturating_mul(TOKEN));
        }
    }

    /// Whether the next record of a queue is to be the oldest that has waited for long, whatever its priority.
    pub(super) fn is_for_age(&self, queue: &Name) -> bool {
        let records = self.queues.get(queue).map_or(0, |turn| turn.records);
        records % AGED_EVERY == AGED_EVERY - 1
    }

    /// How many tasks of a queue may be started now by its rate.
    pub(super) fn tokens(&mut self, queue: &Name, rules: Option<&QueueRules>, now_ms: u64) -> u64 {
        let Some(rate) = rules.and_then(|rules| rules.rate) else {
            if let Some(turn) = self.queues.get_mut(queue) {
                turn.bucket = None;
            }
            return u64::MAX;
        };
        let turn = self.queues.entry(queue.clone()).or_default();
        let mut bucket = turn.bucket.unwrap_or(Bucket {
            parts: 0,
            at_ms: now_ms,
        });
        bucket.fill(rate, now_ms);
        turn.bucket = Some(bucket);
        bucket.parts / TOKEN
    }

    /// When the first queue that has work and no token has one, in milliseconds since 1970; none where none waits for that.
    pub fn next_token_ms(&self, view: &View) -> Option<u64> {
        let waiting = |queue: &Name| {
            let mut lanes = view.lanes.iter();
            lanes.any(|(lane, window)| lane.queue == *queue && !window.is_empty())
        };
        let next = |(queue, rules): (&Name, &QueueRules)| {
            let bucket = self.queues.get(queue)?.bucket?;
            let next = bucket.next_ms(rules.rate?)?;
            waiting(queue).then_some(next)
        };
        view.limits.ruled().filter_map(next).min()
    }

    /// Forgets queues that have no lane, and gates that nobody outside waits for. A queue that is only empty is remembered.
    pub(super) fn forget_gone(&mut self, view: &View) {
        if self.queues.len() > view.lanes.len() {
            let there: BTreeSet<&Name> = view.lanes.keys().map(|lane| &lane.queue).collect();
            self.queues.retain(|queue, _| there.contains(queue));
        }
        if !self.outside.is_empty() {
            let wanted = |gate: &Gate| view.limits.wants.keys().any(|(of, _)| of == gate);
            self.outside.retain(wanted);
        }
    }

    /// The queues that it knows of.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> impl Iterator<Item = &Name> {
        self.queues.keys()
    }

    /// Whether tasks go before those who wait outside for this gate.
    pub(super) fn is_tasks(&self, gate: &Gate) -> bool {
        self.outside.contains(gate)
    }

    /// Notes that the gate was given to somebody outside.
    pub(super) fn gave_outside(&mut self, gate: &Gate) {
        self.outside.insert(gate.clone());
    }

    /// Notes that the gate was given to a task.
    pub(super) fn gave_tasks(&mut self, gate: &Gate) {
        self.outside.remove(gate);
    }
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.at_ms);
        let full = u64::from(rate.burst).saturating_mul(TOKEN);
        let per_ms = u128::from(rate.tasks) * u128::from(TOKEN);
        let more = u128::from(elapsed_ms) * per_ms / u128::from(rate.per_ms.max(1));
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        self.parts = self.parts.saturating_add(more).min(full);
        self.at_ms = self.at_ms.max(now_ms);
        if planted::is(Bug::RateIgnored) {
            self.parts = full;
        }
    }

    /// None where there is a token.
    fn next_ms(self, rate: Rate) -> Option<u64> {
        let missing = TOKEN
            .checked_sub(self.parts)
            .filter(|missing| *missing > 0)?;
        let per_task = u128::from(missing) * u128::from(rate.per_ms);
        let wait_ms = per_task.div_ceil(u128::from(rate.tasks.max(1)) * u128::from(TOKEN));
        Some(
            self.at_ms
                .saturating_add(u64::try_from(wait_ms).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
