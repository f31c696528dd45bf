//! Which node takes a record's tasks: those that run its kind and have its labels, most preferred labels first, then most room; gives
//! nothing that limits do not allow, for it is asked for no more.

use super::assign::Numbers;
use super::reserved::Reserved;
use super::view::{Node, View};
use crate::store::Take;
use crate::task::{Name, Needs, Routing, Which};

/// 32 nodes to one record: each is a compare, a read and a write of what a nested transaction may hold.
const TAKES_MAX: usize = 32;

/// What a node can still take.
pub(super) struct Room<'a> {
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
    /// How many of the preferred labels it has.
    liking: usize,
    /// How many tasks of the record's kind it can take.
    room: u64,
    /// Slots that no slow work keeps.
    free: u64,
    /// The smaller name, so that the same view gives the same plan.
    id: std::cmp::Reverse<&'a Name>,
    /// Whether the kind is slow there.
    slow: bool,
}

pub(super) fn rooms<'a>(view: &'a View, reserved: &Reserved, now_ms: u64) -> Vec<Room<'a>> {
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
        .filter(|(id, node)| view.takes_work(id, node))
        .map(room)
        .collect()
}

/// Divides a record's tasks among the nodes with room; what finds no room stays.
pub(super) fn share(
    view: &View,
    routing: &Routing,
    mut which: Which,
    rooms: &mut [Room<'_>],
    numbers: &mut Numbers,
    now_ms: u64,
) -> Vec<Take> {
    let nodes = rooms.iter().filter(|room| room.takes(routing)).count();
    let even = which.len().div_ceil(nodes.max(1));
    let mut takes: Vec<Take> = Vec::new();
    while !which.is_empty() && takes.len() < TAKES_MAX {
        let scored = rooms
            .iter_mut()
            .filter_map(|room| Some((room.score(view, routing, now_ms)?, room)));
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

    /// Whether it takes at least one task of the record now.
    pub(super) fn has_room(&self, view: &View, routing: &Routing, now_ms: u64) -> bool {
        self.score(view, routing, now_ms).is_some()
    }

    /// Whether it runs the kind and has the labels that are required.
    fn takes(&self, routing: &Routing) -> bool {
        runs(self.node, routing)
    }

    /// None where it has no room for the record's kind.
    fn score(&self, view: &View, routing: &Routing, now_ms: u64) -> Option<Score<'a>> {
        let (record, kind) = (&self.node.record, &routing.kind);
        let slots = u64::from(record.slots);
        let free = slots.saturating_sub(self.slow);
        if free == 0 || !self.takes(routing) {
            return None;
        }
        let slow = view.pace.is_slow(self.id, kind, slots, now_ms);
        let ahead = view.pace.ahead(self.id, kind, slots, now_ms);
        let liking = |needs: &Needs| needs.liking(&record.labels);
        // Fast work passes in milliseconds, so it keeps no slot from slow work; slow work does keep slots from fast work.
        let room = if slow {
            free
        } else {
            (ahead * free / slots).saturating_sub(self.fast)
        };
        let id = std::cmp::Reverse(self.id);
        (room > 0).then_some(Score {
            liking: routing.needs.as_deref().map_or(0, liking),
            room,
            free,
            id,
            slow,
        })
    }
}

/// Whether a node runs work of this routing: its kind, and with the labels that it requires.
pub(super) fn runs(node: &Node, routing: &Routing) -> bool {
    let labelled = |needs: &Needs| needs.allows(&node.record.labels);
    node.record.kinds.contains(&routing.kind) && routing.needs.as_deref().is_none_or(labelled)
}
