//! What a change on its way reserves: nothing of it may be given away again until it has landed and the view has seen it.

use crate::plan::{Reserved, less};
use crate::store::{Assign, Change, Keys, Take, Waiting};
use crate::task::{ClaimId, Gate, Name};

/// What must not be given away meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold {
    record: Option<(String, i64)>,
    tasks: Vec<((Name, Name), u64)>,
    claim: Option<(Name, ClaimId)>,
    gates: Vec<(Gate, u64)>,
    queue: Option<(Name, u64)>,
    schedule: Option<Name>,
}

impl Hold {
    /// What this change holds.
    pub(super) fn of(keys: &Keys, change: &Change) -> Self {
        let nothing = Self::default();
        match change {
            Change::Assign(assign) => Self::of_assign(keys, assign),
            Change::Promote(waiting) | Change::Touch(waiting) => Self::on(record(keys, waiting)),
            Change::Park(park) => Self::on(record(keys, &park.from)),
            Change::Grant(grant) => Self {
                record: Some((keys.want(&grant.gate, grant.id), grant.want.modified)),
                gates: vec![(grant.gate.clone(), u64::from(grant.want.value.weight))],
                ..nothing
            },
            Change::DropLane(empty) => Self::on((keys.lane(&empty.lane), empty.modified)),
            Change::Fire(due) => Self {
                schedule: Some(due.schedule.clone()),
                ..nothing
            },
            Change::Reclaim(lost) => Self {
                claim: Some((lost.node.clone(), lost.claim)),
                ..nothing
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
            | Change::Record(_)
            | Change::Tell(_) => nothing,
        }
    }

    fn on(record: (String, i64)) -> Self {
        Self {
            record: Some(record),
            ..Self::default()
        }
    }

    /// An assignment holds its record, room on its nodes, and what its tasks take of gates and of their queue.
    fn of_assign(keys: &Keys, assign: &Assign) -> Self {
        let routing = assign.from.routing();
        let tasks = |take: &Take| take.which.len() as u64;
        let of_node = |take: &Take| ((take.node.clone(), routing.kind.clone()), tasks(take));
        let all: u64 = assign.takes.iter().map(tasks).sum();
        let gates = routing.gates();
        Self {
            record: Some(record(keys, &assign.from)),
            tasks: assign.takes.iter().map(of_node).collect(),
            claim: None,
            gates: gates
                .map(|(gate, weight)| (gate, u64::from(weight) * all))
                .collect(),
            queue: Some((routing.queue.clone(), all)),
            schedule: None,
        }
    }

    /// Reserves it.
    pub(super) fn take(&self, reserved: &mut Reserved) {
        reserved.records.extend(self.record.iter().cloned());
        reserved.claims.extend(self.claim.iter().cloned());
        reserved.schedules.extend(self.schedule.iter().cloned());
        for (key, tasks) in &self.tasks {
            *reserved.tasks.entry(key.clone()).or_default() += tasks;
        }
        for (gate, weight) in &self.gates {
            *reserved.gates.entry(gate.clone()).or_default() += weight;
        }
        if let Some((queue, tasks)) = &self.queue {
            *reserved.queues.entry(queue.clone()).or_default() += tasks;
        }
    }

    /// Gives it free.
    pub(super) fn give(&self, reserved: &mut Reserved) {
        if let Some((key, modified)) = &self.record
            && reserved.records.get(key) == Some(modified)
        {
            reserved.records.remove(key);
        }
        if let Some(claim) = &self.claim {
            reserved.claims.remove(claim);
        }
        if let Some(schedule) = &self.schedule {
            reserved.schedules.remove(schedule);
        }
        for (key, tasks) in &self.tasks {
            less(&mut reserved.tasks, key, *tasks);
        }
        for (gate, weight) in &self.gates {
            less(&mut reserved.gates, gate, *weight);
        }
        if let Some((queue, tasks)) = &self.queue {
            less(&mut reserved.queues, queue, *tasks);
        }
    }

    /// Whether it is of what only so many may have: of a gate, or of a queue.
    pub(super) fn takes(&self) -> bool {
        !self.gates.is_empty() || self.queue.is_some()
    }
}

/// The record that a change compares, and at which mod revision.
pub(super) fn record(keys: &Keys, from: &Waiting) -> (String, i64) {
    let key = keys.record(from.place, from.routing(), &from.id);
    (key, from.seen.modified)
}
