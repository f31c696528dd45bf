//! What starts next: those who wait outside and queues in turn, priority then age within a queue; what limits hold up makes way for
//! what is behind it. Sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::gates::{Fit, Gates};
use super::line::{Head, Line};
use super::reserved::Reserved;
use super::room::{Room, rooms, share};
use super::turns::{Order, Turns};
use super::view::View;
use crate::store::{Assign, Change, DropLane, Grant, Lane, Park, Waiting};
use crate::task::{ClaimId, Gate, Name, Routing};

/// Makes the numbers of claims: each term counts anew from 1, so no two claims share an id. Remembers whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    term: i64,
    next: u64,
    /// What queues have had in this term.
    pub turns: Turns,
}

/// How much one round may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records at most.
    pub records_max: usize,
    /// Claims at most.
    pub claims_max: usize,
}

impl Numbers {
    /// Of this term.
    pub fn of_term(term: i64) -> Self {
        Self {
            term,
            next: 1,
            turns: Turns::default(),
        }
    }

    /// The term.
    pub fn term(&self) -> i64 {
        self.term
    }

    pub(super) fn claim(&mut self) -> ClaimId {
        let claim = ClaimId {
            term: self.term,
            number: self.next,
        };
        self.next += 1;
        claim
    }
}

/// 30 records to one round go to other lanes: half of what it may decide, so that parking a backlog holds nothing up that can run.
const PARKS_MAX: usize = 30;

/// 30 of those who wait outside are served in one round.
const GRANTS_MAX: usize = 30;

/// 8 empty lanes are forgotten in one round.
const DROPS_MAX: usize = 8;

/// One round.
struct Round<'a> {
    view: &'a View,
    reserved: &'a Reserved,
    numbers: &'a mut Numbers,
    bounds: Bounds,
    now_ms: u64,
    gates: Gates<'a>,
    rooms: Vec<Room<'a>>,
    plan: Vec<Change>,
    claims: usize,
    parks: usize,
    granted: BTreeSet<u128>,
}

/// A queue that has something to start.
struct Queue<'a> {
    name: &'a Name,
    line: Line<'a>,
    /// How many of its tasks may start in this round.
    allowed: u64,
}

/// What to start now, what to let wait elsewhere, and which lanes to forget.
pub fn assign(
    view: &View,
    reserved: &Reserved,
    numbers: &mut Numbers,
    bounds: Bounds,
    now_ms: u64,
) -> Vec<Change> {
    numbers.turns.forget_gone(view);
    let mut round = Round {
        view,
        reserved,
        numbers,
        bounds,
        now_ms,
        gates: Gates::of(view, reserved),
        rooms: rooms(view, reserved, now_ms),
        plan: Vec::new(),
        claims: 0,
        parks: 0,
        granted: BTreeSet::new(),
    };
    round.grant(Before::Tasks);
    round.queues();
    round.grant(Before::Nobody);
    round.drop_lanes();
    round.plan
}

/// Which of those who wait outside are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Those whose turn it is: tasks that ask for the same come after them.
    Tasks,
    /// All, for what tasks have left.
    Nobody,
}

impl<'a> Round<'a> {
    /// Serves those who wait outside, the oldest of each gate first.
    fn grant(&mut self, before: Before) {
        let mut done: BTreeSet<&Gate> = BTreeSet::new();
        for (gate, id, want) in self.view.limits.in_line() {
            let tasks_turn = before == Before::Tasks && self.numbers.turns.is_tasks(gate);
            if tasks_turn || done.contains(gate) || self.granted.contains(&id) {
                continue;
            }
            let key = self.view.keys().want(gate, id);
            if !self.reserved.frees(&key, want.seen.modified) {
                continue;
            }
            if self.granted.len() >= GRANTS_MAX {
                return;
            }
            let weight = u64::from(want.seen.value.weight);
            if self.gates.is_beyond(gate, weight) {
                // A limit was lowered below it: it waits until that is raised, and holds up nobody.
                continue;
            }
            if self.gates.room(gate) < weight {
                // The first of its gate has it to itself, and waits; in the last look there is nobody else left.
                self.gates.keep(gate.clone());
                done.insert(gate);
                continue;
            }
            self.gates.give(gate.clone(), weight);
            self.numbers.turns.gave_outside(gate);
            self.granted.insert(id);
            self.plan.push(Change::Grant(Grant {
                gate: gate.clone(),
                id,
                want: want.seen.clone(),
                lease: want.lease,
                rules: self.view.limits.rules,
                now_ms: self.now_ms,
            }));
        }
    }

    /// Serves the queues in turn.
    fn queues(&mut self) {
        let view = self.view;
        let mut queues: BTreeMap<(Order, &Name), Queue<'_>> = Line::all(view, self.reserved)
            .filter_map(|(name, line)| {
                let allowed = self.allowed(name);
                let queue = Queue {
                    name,
                    line,
                    allowed,
                };
                (allowed > 0).then(|| ((self.numbers.turns.order(name), name), queue))
            })
            .collect();
        while self.has_room()
            && let Some((_, mut queue)) = queues.pop_first()
        {
            if self.serve(&mut queue) && queue.allowed > 0 {
                queues.insert((self.numbers.turns.order(queue.name), queue.name), queue);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.plan.len() < self.bounds.records_max && self.claims < self.bounds.claims_max
    }

    /// How many tasks of a queue may start now, by its own rules.
    fn allowed(&mut self, name: &Name) -> u64 {
        let rules = self.view.limits.of_queue(name);
        if rules.is_some_and(|rules| rules.paused.is_some()) {
            return 0;
        }
        let room = self.view.limits.queue_room(name, self.reserved);
        room.min(self.numbers.turns.tokens(name, rules))
    }

    /// Starts one record of a queue; false where it has none that can start now.
    fn serve(&mut self, queue: &mut Queue<'a>) -> bool {
        while let Some(head) = self.next_of(queue) {
            let tasks = usize::try_from(queue.allowed).unwrap_or(usize::MAX);
            let routing = &head.seen.value.routing;
            let tasks = tasks.min(head.seen.value.which.len());
            if !self.has_node(routing) {
                // Nobody has room for this kind: what follows in its lane waits too, other lanes do not, and nothing is kept for it.
                queue.line.close(&head);
                continue;
            }
            match self.gates.fit(head.lane, routing, tasks) {
                Fit::Tasks(fit) => {
                    if self.start(queue, &head, fit) {
                        queue.line.left(&head);
                        return true;
                    }
                    queue.line.close(&head);
                }
                Fit::Waits(_) if !self.may_leave(&head) => {}
                Fit::Waits(place) if self.parks < PARKS_MAX && self.has_room() => {
                    self.parks += 1;
                    if let Some(gate) = passing(&head) {
                        self.numbers.turns.left(gate);
                    }
                    let from = self.waiting(&head);
                    let (to, mark) = (place, true);
                    self.plan.push(Change::Park(Park { from, to, mark }));
                    queue.line.left(&head);
                }
                Fit::Waits(_) | Fit::LaneWaits => queue.line.close(&head),
                Fit::Passed => {}
            }
        }
        false
    }

    /// Whether any node takes work of this routing now.
    fn has_node(&self, routing: &Routing) -> bool {
        let (view, now_ms) = (self.view, self.now_ms);
        let mut rooms = self.rooms.iter();
        rooms.any(|room| room.has_room(view, routing, now_ms))
    }

    /// Whether a record that waits for another gate than that of its lane may go there.
    fn may_leave(&self, head: &Head<'_>) -> bool {
        passing(head).is_none_or(|gate| self.numbers.turns.may_leave(gate))
    }

    fn next_of(&self, queue: &mut Queue<'a>) -> Option<Head<'a>> {
        if self.numbers.turns.is_for_age(queue.name) {
            let aged = queue.line.oldest(self.now_ms);
            return aged.or_else(|| queue.line.first());
        }
        queue.line.first()
    }

    /// Claims so many tasks of a record, as far as nodes have room; false where none has.
    fn start(&mut self, queue: &mut Queue<'a>, head: &Head<'a>, tasks: usize) -> bool {
        let record = &head.seen.value;
        let which = record.which.take(tasks);
        let (view, now_ms) = (self.view, self.now_ms);
        let takes = share(
            view,
            &record.routing,
            which,
            &mut self.rooms,
            self.numbers,
            now_ms,
        );
        if takes.is_empty() {
            return false;
        }
        self.claims += takes.len();
        let started: usize = takes.iter().map(|take| take.which.len()).sum();
        let started = started as u64;
        self.gates.start(&record.routing, started);
        for (gate, _) in record.routing.gates() {
            self.numbers.turns.gave_tasks(&gate);
        }
        queue.allowed = queue.allowed.saturating_sub(started);
        let rules = view.limits.of_queue(queue.name);
        self.numbers.turns.started(queue.name, started, rules);
        let from = self.waiting(head);
        self.plan.push(Change::Assign(Assign {
            from,
            takes,
            term: self.numbers.term,
            decided: view.revision,
            rules: view.limits.rules,
        }));
        true
    }

    fn waiting(&self, head: &Head<'_>) -> Waiting {
        Waiting {
            id: *head.id,
            place: head.place(),
            seen: head.seen.clone(),
            now_ms: self.now_ms,
        }
    }

    /// Forgets lanes of locks and keys that are empty.
    fn drop_lanes(&mut self) {
        let empty = |lane: &Lane| {
            let window = self.view.lanes.get(lane);
            window.is_none_or(|window| window.is_empty() && window.is_complete())
        };
        let key = |lane: &Lane| self.view.keys().lane(lane);
        let drops = self.view.passing.iter();
        let drops = drops.filter(|(lane, at)| empty(lane) && self.reserved.frees(&key(lane), **at));
        let drops = drops.take(DROPS_MAX).map(|(lane, modified)| {
            Change::DropLane(DropLane {
                lane: lane.clone(),
                modified: *modified,
            })
        });
        let drops: Vec<Change> = drops.collect();
        self.plan.extend(drops);
    }
}

/// The lock or key whose lane a record is in.
fn passing<'a>(head: &Head<'a>) -> Option<&'a Gate> {
    let gate = head.lane.gate.as_ref();
    gate.filter(|_| head.lane.is_passing())
}

#[cfg(test)]
#[path = "assign_tests.rs"]
mod tests;
