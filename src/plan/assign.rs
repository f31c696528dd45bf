//! Who gets which ready tasks: queues in turn, priority then age within a queue, the node with most room first; sends nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::iter::Peekable;

use super::view::{Node, Reserved, View};
use crate::planted::{self, Bug};
use crate::store::{Assign, Lane, Place, Record, RecordId, Seen, Take, Waiting};
use crate::task::{ClaimId, Name, Which};

/// Makes the numbers of claims: each term counts anew from 1, so no two claims share an id. Whose turn it is follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    term: i64,
    next: u64,
    /// What came next when each queue had got its last one in this term; no more queues than the view has lanes.
    last: BTreeMap<Name, u64>,
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
            last: BTreeMap::new(),
        }
    }

    /// The term.
    pub fn term(&self) -> i64 {
        self.term
    }

    fn claim(&mut self) -> ClaimId {
        let claim = ClaimId {
            term: self.term,
            number: self.next,
        };
        self.next += 1;
        claim
    }

    /// Remembers that the last claims were made for this queue.
    fn served(&mut self, queue: &Name) {
        match self.last.get_mut(queue) {
            Some(last) => *last = self.next,
            None => {
                self.last.insert(queue.clone(), self.next);
            }
        }
    }

    /// Forgets queues whose lanes are gone. One that is only empty is remembered: else it came first whenever it has work again.
    fn forget_gone(&mut self, view: &View) {
        if self.last.len() > view.lanes.len() {
            let there: BTreeSet<&Name> = view.lanes.keys().map(|lane| &lane.queue).collect();
            self.last.retain(|queue, _| there.contains(queue));
        }
    }
}

/// 32 nodes to one record: each is a compare, a read and a write of what a nested transaction may hold.
const TAKES_MAX: usize = 32;

/// What a node can still take.
struct Room<'a> {
    id: &'a Name,
    node: &'a Node,
    /// Tasks of kinds too slow to be claimed ahead, held or on their way: each keeps a slot.
    slow: u64,
    /// Tasks of the others.
    fast: u64,
}

/// How good a node is for a record; the greatest is chosen. Fields in order of importance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Score<'a> {
    /// How many tasks of the record's kind it can take.
    room: u64,
    /// Slots that no slow work keeps.
    free: u64,
    /// The smaller name, so that the same view gives the same plan.
    id: std::cmp::Reverse<&'a Name>,
    /// Whether the kind is slow there.
    slow: bool,
}

/// A queue's turn: who was served longest ago comes first, then the smaller name. One that kept its place over all rounds could wait
/// for ever for a slot that others, with more kinds to choose from, take each time it is free.
struct Queue<'a> {
    last: Option<u64>,
    name: &'a Name,
    /// The heads of its lanes.
    lanes: Vec<(&'a Lane, Head<'a>)>,
}

type Head<'a> =
    Peekable<Box<dyn DoubleEndedIterator<Item = (&'a String, &'a (RecordId, Seen<Record>))> + 'a>>;

/// What to assign now.
pub fn assign(
    view: &View,
    reserved: &Reserved,
    numbers: &mut Numbers,
    bounds: Bounds,
    now_ms: u64,
) -> Vec<Assign> {
    let mut rooms = rooms(view, reserved, now_ms);
    numbers.forget_gone(view);
    let mut queues = queues(view, reserved, numbers);
    let (mut plan, mut claims) = (Vec::new(), 0);
    while plan.len() < bounds.records_max && claims < bounds.claims_max {
        let Some(mut queue) = queues.pop_front() else {
            break;
        };
        let Some((lane, id, seen)) = next_of(&mut queue.lanes) else {
            continue;
        };
        let takes = share(view, lane, seen.value.which, &mut rooms, numbers, now_ms);
        if takes.is_empty() {
            // Nobody has room for this kind: what follows in its lane waits too, other lanes do not.
            queue.lanes.retain(|(of, _)| *of != lane);
            queues.push_front(queue);
            continue;
        }
        claims += takes.len();
        let from = Waiting {
            id: *id,
            place: Place::Ready,
            seen: seen.clone(),
            now_ms,
        };
        plan.push(Assign {
            from,
            takes,
            term: numbers.term,
            decided: view.revision,
        });
        numbers.served(queue.name);
        queues.push_back(queue);
    }
    plan
}

fn rooms<'a>(view: &'a View, reserved: &Reserved, now_ms: u64) -> Vec<Room<'a>> {
    let room = |(id, node): (&'a Name, &'a Node)| {
        let slots = u64::from(node.record.slots);
        let mut room = Room {
            id,
            node,
            slow: 0,
            fast: 0,
        };
        for (kind, tasks) in view.held_by(id).chain(reserved.tasks_of(id)) {
            room.hold(tasks, view.pace.is_slow(id, kind, slots, now_ms));
        }
        room
    };
    view.nodes
        .iter()
        .filter(|(_, node)| !node.record.draining)
        .map(room)
        .collect()
}

/// The queues in turn; a lane whose kind no node runs is left out and blocks nothing.
fn queues<'a>(view: &'a View, reserved: &'a Reserved, numbers: &Numbers) -> VecDeque<Queue<'a>> {
    let mut queues: BTreeMap<&Name, Vec<(&Lane, Head<'_>)>> = BTreeMap::new();
    for (lane, window) in &view.lanes {
        let taken = view
            .nodes
            .values()
            .any(|node| node.record.kinds.contains(&lane.kind));
        if taken && !window.is_empty() {
            let free = window
                .iter()
                .filter(|(key, (_, seen))| reserved.frees(key, seen.modified));
            let mut head: Box<dyn DoubleEndedIterator<Item = _>> = Box::new(free);
            if planted::is(Bug::LowestFirst) {
                head = Box::new(head.rev());
            }
            let of = queues.entry(&lane.queue).or_default();
            of.push((lane, head.peekable()));
        }
    }
    let queue = |(name, lanes)| Queue {
        last: numbers.last.get(name).copied(),
        name,
        lanes,
    };
    let mut queues: Vec<Queue<'_>> = queues.into_iter().map(queue).collect();
    queues.sort_unstable_by_key(|queue| (queue.last, queue.name));
    queues.into()
}

/// The first record among a queue's lanes, by priority, then age.
fn next_of<'a>(
    lanes: &mut [(&'a Lane, Head<'a>)],
) -> Option<(&'a Lane, &'a RecordId, &'a Seen<Record>)> {
    let order = |head: &mut Head<'a>| {
        let (_, (id, seen)) = head.peek()?;
        Some((
            seen.value.routing.priority.inverted(),
            id.pack,
            id.origin,
            id.n,
        ))
    };
    let firsts = lanes
        .iter_mut()
        .enumerate()
        .filter_map(|(nth, (_, head))| Some((order(head)?, nth)));
    let (_, nth) = firsts.min()?;
    let (lane, head) = &mut lanes[nth];
    let (_, (id, seen)) = head.next()?;
    Some((lane, id, seen))
}

/// Divides a record's tasks among the nodes with room; what finds no room stays.
fn share(
    view: &View,
    lane: &Lane,
    mut which: Which,
    rooms: &mut [Room<'_>],
    numbers: &mut Numbers,
    now_ms: u64,
) -> Vec<Take> {
    let nodes = rooms
        .iter()
        .filter(|room| room.node.record.kinds.contains(&lane.kind))
        .count();
    let even = which.len().div_ceil(nodes.max(1));
    let mut takes: Vec<Take> = Vec::new();
    while !which.is_empty() && takes.len() < TAKES_MAX {
        let scored = rooms
            .iter_mut()
            .filter_map(|room| Some((room.score(view, lane, now_ms)?, room)));
        let Some((score, room)) = scored.max_by(|(a, _), (b, _)| a.cmp(b)) else {
            break;
        };
        let fits = usize::try_from(score.room).unwrap_or(usize::MAX);
        // Slow work is spread, to run at once on many nodes; fast work stays together: one claim costs less than three.
        let piece = which.take(if score.slow { fits.min(even) } else { fits });
        room.hold(piece.len() as u64, score.slow);
        which = which.minus(piece);
        match takes.iter_mut().find(|take| take.node == *room.id) {
            Some(take) => take.which = take.which.or(piece),
            None => takes.push(Take {
                claim: numbers.claim(),
                node: room.id.clone(),
                session: room.node.session,
                instance: room.node.record.instance.clone(),
                which: piece,
            }),
        }
    }
    takes
}

impl<'a> Room<'a> {
    fn hold(&mut self, tasks: u64, slow: bool) {
        if slow {
            self.slow += tasks;
        } else {
            self.fast += tasks;
        }
    }

    /// None where it has no room for the lane's kind.
    fn score(&self, view: &View, lane: &Lane, now_ms: u64) -> Option<Score<'a>> {
        let record = &self.node.record;
        let slots = u64::from(record.slots);
        let free = slots.saturating_sub(self.slow);
        if free == 0 || !record.kinds.contains(&lane.kind) {
            return None;
        }
        let slow = view.pace.is_slow(self.id, &lane.kind, slots, now_ms);
        let ahead = view.pace.ahead(self.id, &lane.kind, slots, now_ms);
        // Fast work passes in milliseconds, so it keeps no slot from slow work; slow work does keep slots from fast work.
        let room = if slow {
            free
        } else {
            (ahead * free / slots).saturating_sub(self.fast)
        };
        let id = std::cmp::Reverse(self.id);
        (room > 0).then_some(Score {
            room,
            free,
            id,
            slow,
        })
    }
}

#[cfg(test)]
#[path = "assign_tests.rs"]
mod tests;
