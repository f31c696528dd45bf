//! What only so many may hold, how much of it is held and who outside waits for it, folded from events; gives nothing away.

use std::collections::{BTreeMap, BTreeSet};

use tenure_cluster::KeyValue;

use super::reserved::{Reserved, less};
use crate::planted::{self, Bug};
use crate::store::{Corrupt, Limit, Outside, QueueRules, Seen, decode};
use crate::task::{Gate, Name, Routing};

/// Somebody outside who waits.
#[derive(Clone, Debug)]
pub struct Want {
    /// What it asks for.
    pub seen: Seen<Outside>,
    /// Its lease: what it gets hangs on that.
    pub lease: i64,
}

/// Limits, and what is held. A task's claim is its hold, so what tasks hold is added up from the claims and cannot disagree with them.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Mod revision of the mark of edits.
    pub rules: i64,
    /// Who waits outside.
    pub wants: BTreeMap<(Gate, u128), Want>,
    /// Their order: by gate, then by the revision that their wait began at. Ids are made by clocks of their own.
    line: BTreeSet<(Gate, i64, u128)>,
    semaphores: BTreeMap<Name, u32>,
    queues: BTreeMap<Name, QueueRules>,
    /// Weights of those who hold outside.
    holds: BTreeMap<(Gate, u128), u32>,
    /// Weight held of each gate; none of what nobody holds.
    held: BTreeMap<Gate, u64>,
    /// Tasks claimed of each queue.
    claimed: BTreeMap<Name, u64>,
}

impl Limits {
    /// How much may be held of a gate; none where that is not bounded. A semaphore that nobody declared gives nothing.
    pub fn limit(&self, gate: &Gate) -> Option<u64> {
        match gate {
            Gate::Lock(_) => Some(1),
            Gate::Key(queue, _) => self.of_queue(queue)?.per_key.map(u64::from),
            Gate::Semaphore(name) => Some(self.semaphores.get(name).copied().map_or(0, u64::from)),
        }
    }

    /// How much of a gate can still be given away, beside what is on its way.
    pub fn room(&self, gate: &Gate, reserved: &Reserved) -> u64 {
        let Some(limit) = self.limit(gate) else {
            return u64::MAX;
        };
        let mut held = self.held.get(gate).copied().unwrap_or(0);
        if !planted::is(Bug::PermitsInFlightForgotten) {
            held += reserved.gates.get(gate).copied().unwrap_or(0);
        }
        limit.saturating_sub(held)
    }

    /// Who waits outside, by gate, and of each gate who waits longest first.
    pub fn in_line(&self) -> impl Iterator<Item = (&Gate, u128, &Want)> {
        let want = |(gate, _, id): &(Gate, i64, u128)| self.wants.get(&(gate.clone(), *id));
        let line = self.line.iter();
        line.filter_map(move |place| Some((&place.0, place.2, want(place)?)))
    }

    /// Whether anybody outside waits for a gate.
    pub fn is_wanted(&self, gate: &Gate) -> bool {
        let mut from = self.line.range((gate.clone(), i64::MIN, 0)..);
        from.next().is_some_and(|(of, _, _)| of == gate)
    }

    /// The rules of a queue; none where it has none.
    pub fn of_queue(&self, queue: &Name) -> Option<&QueueRules> {
        self.queues.get(queue)
    }

    /// The queues that have rules.
    pub fn ruled(&self) -> impl Iterator<Item = (&Name, &QueueRules)> {
        self.queues.iter()
    }

    /// How many more tasks of a queue may be claimed, beside those on their way.
    pub fn queue_room(&self, queue: &Name, reserved: &Reserved) -> u64 {
        let Some(limit) = self.of_queue(queue).and_then(|rules| rules.concurrency) else {
            return u64::MAX;
        };
        let claimed = self.claimed.get(queue).copied().unwrap_or(0);
        let coming = reserved.queues.get(queue).copied().unwrap_or(0);
        u64::from(limit).saturating_sub(claimed + coming)
    }

    pub(super) fn put_semaphore(&mut self, name: Name, kv: &KeyValue) -> Result<(), Corrupt> {
        let Limit { limit } = decode(&kv.key, &kv.value)?;
        self.semaphores.insert(name, limit);
        Ok(())
    }

    pub(super) fn drop_semaphore(&mut self, name: &Name) {
        self.semaphores.remove(name);
    }

    pub(super) fn put_queue(&mut self, name: Name, kv: &KeyValue) -> Result<(), Corrupt> {
        self.queues.insert(name, decode(&kv.key, &kv.value)?);
        Ok(())
    }

    pub(super) fn drop_queue(&mut self, name: &Name) {
        self.queues.remove(name);
    }

    pub(super) fn put_want(&mut self, gate: Gate, id: u128, kv: &KeyValue) -> Result<(), Corrupt> {
        let want = Want {
            seen: Seen::of(kv)?,
            lease: kv.lease,
        };
        self.drop_want(gate.clone(), id);
        self.line.insert((gate.clone(), want.seen.created, id));
        self.wants.insert((gate, id), want);
        Ok(())
    }

    pub(super) fn drop_want(&mut self, gate: Gate, id: u128) {
        let key = (gate, id);
        if let Some(want) = self.wants.remove(&key) {
            self.line.remove(&(key.0, want.seen.created, id));
        }
    }

    pub(super) fn put_hold(&mut self, gate: Gate, id: u128, kv: &KeyValue) -> Result<(), Corrupt> {
        let hold: Outside = decode(&kv.key, &kv.value)?;
        self.drop_hold(&gate, id);
        *self.held.entry(gate.clone()).or_default() += u64::from(hold.weight);
        self.holds.insert((gate, id), hold.weight);
        Ok(())
    }

    pub(super) fn drop_hold(&mut self, gate: &Gate, id: u128) {
        if let Some(weight) = self.holds.remove(&(gate.clone(), id)) {
            less(&mut self.held, gate, u64::from(weight));
        }
    }

    /// Folds a claim of this many tasks.
    pub(super) fn claimed(&mut self, routing: &Routing, tasks: u64) {
        *self.claimed.entry(routing.queue.clone()).or_default() += tasks;
        for (gate, weight) in routing.gates() {
            *self.held.entry(gate).or_default() += tasks * u64::from(weight);
        }
    }

    /// Folds that this many of a claim's tasks left it.
    pub(super) fn unclaimed(&mut self, routing: &Routing, tasks: u64) {
        less(&mut self.claimed, &routing.queue, tasks);
        if planted::is(Bug::PermitsKept) {
            return;
        }
        for (gate, weight) in routing.gates() {
            less(&mut self.held, &gate, tasks * u64::from(weight));
        }
    }
}
