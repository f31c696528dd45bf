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

/// 8 records at most leave the lane of a lock or key that is free for another that is not, until it is given or [`LEAVES_EVERY_MS`] have
/// passed: those behind them that need no other come to be seen, and a backlog that needs both is not moved to and fro whenever one
/// of the two changes.
const LEAVES_MAX: u32 = 8;

/// 1 s: a backlog is moved at 8 writes a second at most.
const LEAVES_EVERY_MS: u64 = 1_000;

/// What each queue has had in this term. A new term begins anew, with empty buckets: so a rate holds over a change of leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// How long the term has lasted, in milliseconds, by a clock that nobody sets: buckets fill by this one.
    at_ms: u64,
    /// Where the queue that was served last began.
    now: u64,
    /// Counts records served.
    served: u64,
    queues: BTreeMap<Name, Turn>,
    /// Gates whose last grant went outside while tasks waited: those go first now.
    outside: BTreeSet<Gate>,
    /// How many records have left the lane of a lock or key while it was free, and since when that is counted.
    left: BTreeMap<Gate, (u32, u64)>,
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
    rate: Rate,
    /// In parts of a token.
    parts: u64,
    /// What is left over of the last part, in shares of which `per_ms` make a part: the slowest rate has less than one in a look.
    shares: u128,
    /// When it was looked at last, in milliseconds of the term.
    at_ms: u64,
}

/// The order of queues: who is furthest behind, then who was served longest ago.
pub(super) type Order = (u64, u64);

impl Turns {
    /// Notes how long the term has lasted, in milliseconds, by a clock that nobody sets.
    pub fn at(&mut self, ms: u64) {
        self.at_ms = self.at_ms.max(ms);
    }

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
    pub(super) fn tokens(&mut self, queue: &Name, rules: Option<&QueueRules>) -> u64 {
        let at_ms = self.at_ms;
        let Some(rate) = rules.and_then(|rules| rules.rate) else {
            if let Some(turn) = self.queues.get_mut(queue) {
                turn.bucket = None;
            }
            return u64::MAX;
        };
        let turn = self.queues.entry(queue.clone()).or_default();
        let mut bucket = turn.bucket.unwrap_or(Bucket {
            rate,
            parts: 0,
            shares: 0,
            at_ms,
        });
        bucket.fill(rate, at_ms);
        turn.bucket = Some(bucket);
        bucket.parts / TOKEN
    }

    /// In how many milliseconds the first queue that has work and no token has one; none where none waits for that. A queue that was
    /// not looked at, since it is paused or nobody runs its work, waits for no token.
    pub fn next_token_in_ms(&self, view: &View) -> Option<u64> {
        let next = |queue: &Name, rules: &QueueRules| {
            let bucket = self.queues.get(queue)?.bucket?;
            let in_ms = bucket.next_ms(rules.rate?)?.checked_sub(self.at_ms)?;
            (rules.paused.is_none() && in_ms > 0).then_some(in_ms)
        };
        let ruled = view.limits.ruled();
        let coming = ruled.filter_map(|(queue, rules)| Some((queue, next(queue, rules)?)));
        let coming: BTreeMap<&Name, u64> = coming.collect();
        if coming.is_empty() {
            return None;
        }
        let lanes = view.lanes.iter().filter(|(_, window)| !window.is_empty());
        lanes
            .filter_map(|(lane, _)| coming.get(&lane.queue).copied())
            .min()
    }

    /// Forgets queues that have no lane, and gates that nobody waits for, outside or in a lane. A queue that is only empty is remembered.
    pub(super) fn forget_gone(&mut self, view: &View) {
        if self.queues.len() > view.lanes.len() {
            let there: BTreeSet<&Name> = view.lanes.keys().map(|lane| &lane.queue).collect();
            self.queues.retain(|queue, _| there.contains(queue));
        }
        if !self.outside.is_empty() {
            let lanes = view.lanes.iter().filter(|(_, window)| !window.is_empty());
            let waited: BTreeSet<&Gate> =
                lanes.filter_map(|(lane, _)| lane.gate.as_ref()).collect();
            self.outside
                .retain(|gate| waited.contains(gate) || view.limits.is_wanted(gate));
        }
        if self.left.len() > view.passing.len() {
            let there: BTreeSet<&Gate> = view
                .passing
                .keys()
                .filter_map(|lane| lane.gate.as_ref())
                .collect();
            self.left.retain(|gate, _| there.contains(gate));
        }
    }

    /// Whether a record may leave the lane of this lock or key although that is free.
    pub(super) fn may_leave(&self, gate: &Gate) -> bool {
        let now_ms = self.at_ms;
        let left = self.left.get(gate);
        left.is_none_or(|(left, since_ms)| {
            *left < LEAVES_MAX || now_ms >= since_ms + LEAVES_EVERY_MS
        })
    }

    /// Notes that one did.
    pub(super) fn left(&mut self, gate: &Gate) {
        let now_ms = self.at_ms;
        let (left, since_ms) = self.left.entry(gate.clone()).or_insert((0, now_ms));
        if now_ms >= *since_ms + LEAVES_EVERY_MS {
            (*left, *since_ms) = (0, now_ms);
        }
        *left += 1;
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
        self.left.remove(gate);
    }

    /// Notes that the gate was given to a task.
    pub(super) fn gave_tasks(&mut self, gate: &Gate) {
        self.outside.remove(gate);
        self.left.remove(gate);
    }
}

impl Bucket {
    fn fill(&mut self, rate: Rate, at_ms: u64) {
        if rate != self.rate {
            (self.rate, self.shares) = (rate, 0);
        }
        let elapsed_ms = at_ms.saturating_sub(self.at_ms);
        let full = u64::from(rate.burst).saturating_mul(TOKEN);
        let each_ms = u128::from(rate.tasks) * u128::from(TOKEN);
        let shares = self.shares + u128::from(elapsed_ms) * each_ms;
        let per_part = u128::from(rate.per_ms.max(1));
        let more = u64::try_from(shares / per_part).unwrap_or(u64::MAX);
        self.shares = shares % per_part;
        self.parts = self.parts.saturating_add(more).min(full);
        self.at_ms = self.at_ms.max(at_ms);
        if planted::is(Bug::RateIgnored) {
            self.parts = full;
        }
    }

    /// When there is a token, in milliseconds of the term; none where there is one.
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
