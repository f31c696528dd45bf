//! What of locks, keys and semaphores is left while one round is planned, and what holds a record up; remembers nothing between rounds.

use std::collections::{BTreeMap, BTreeSet};

use super::reserved::Reserved;
use super::view::View;
use crate::planted::{self, Bug};
use crate::store::{Lane, Place};
use crate::task::{Gate, Routing};

/// The gates as one round sees them.
pub(super) struct Gates<'a> {
    view: &'a View,
    reserved: &'a Reserved,
    /// What this round has given away.
    given: BTreeMap<Gate, u64>,
    /// Semaphores that somebody waits for who asks for more than is left: nobody behind it takes that little.
    kept: BTreeSet<Gate>,
}

/// What a record may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// So many of its tasks may start, at least one.
    Tasks(usize),
    /// It waits in this place.
    Waits(Place),
    /// It waits where it is, and so does all that is behind it in its lane.
    LaneWaits,
    /// It waits where it is, for more than one semaphore that have too little left, or for more than there ever is of one: what is
    /// behind it may pass.
    Passed,
}

impl<'a> Gates<'a> {
    pub(super) fn of(view: &'a View, reserved: &'a Reserved) -> Self {
        Self {
            view,
            reserved,
            given: BTreeMap::new(),
            kept: BTreeSet::new(),
        }
    }

    /// How much of a gate is left.
    pub(super) fn room(&self, gate: &Gate) -> u64 {
        if self.kept.contains(gate) {
            return 0;
        }
        let room = self.view.limits.room(gate, self.reserved);
        room.saturating_sub(self.given.get(gate).copied().unwrap_or(0))
    }

    /// Notes that so much of a gate is given away.
    pub(super) fn give(&mut self, gate: Gate, weight: u64) {
        *self.given.entry(gate).or_default() += weight;
    }

    /// Notes that so many tasks of a record are started.
    pub(super) fn start(&mut self, routing: &Routing, tasks: u64) {
        for (gate, weight) in routing.gates() {
            self.give(gate, tasks * u64::from(weight));
        }
    }

    /// Keeps what is left of a gate for somebody who asks for more.
    pub(super) fn keep(&mut self, gate: Gate) {
        self.kept.insert(gate);
    }

    /// Whether so much is more than may ever be held of a gate, as its limit is: nothing is kept for that.
    pub(super) fn is_beyond(&self, gate: &Gate, weight: u64) -> bool {
        let limit = self.view.limits.limit(gate);
        limit.is_some_and(|limit| weight > limit)
    }

    /// What a record in this lane may do: all it asks for at once, or nothing.
    pub(super) fn fit(&mut self, lane: &Lane, routing: &Routing, tasks: usize) -> Fit {
        let mut most = if routing.alone() && !planted::is(Bug::LockShared) {
            1
        } else {
            tasks as u64
        };
        let mut closed: Vec<Closed> = Vec::new();
        for (nth, (gate, weight)) in (0_u8..).zip(routing.gates()) {
            let (room, weight) = (self.room(&gate), u64::from(weight.max(1)));
            match room / weight {
                0 => closed.push(Closed {
                    nth,
                    is_beyond: self.is_beyond(&gate, weight),
                    is_shut: room == 0,
                    gate,
                }),
                _ if planted::is(Bug::LockShared) && matches!(gate, Gate::Lock(_)) => {}
                fit => most = most.min(fit),
            }
        }
        if closed.is_empty() {
            return Fit::Tasks(usize::try_from(most).unwrap_or(usize::MAX).min(tasks));
        }
        self.wait(lane, routing, &closed)
    }

    /// Where a record waits whose gates are closed.
    fn wait(&mut self, lane: &Lane, routing: &Routing, closed: &[Closed]) -> Fit {
        let of_lane = |gate: &Gate| lane.gate.as_ref() == Some(gate);
        if let [only] = closed {
            if !of_lane(&only.gate) {
                return Fit::Waits(place(routing, only.nth));
            }
            if only.is_beyond && !only.is_shut {
                return Fit::Passed;
            }
            // It is the first in line for what is left.
            self.keep(only.gate.clone());
            return Fit::LaneWaits;
        }
        if closed
            .iter()
            .any(|gate| of_lane(&gate.gate) && gate.is_shut)
        {
            return Fit::LaneWaits;
        }
        let shut = closed
            .iter()
            .find(|gate| !of_lane(&gate.gate) && gate.is_shut);
        shut.map_or(Fit::Passed, |gate| Fit::Waits(place(routing, gate.nth)))
    }
}

/// A gate that has too little left for a record.
struct Closed {
    /// Which of the record's gates it is.
    nth: u8,
    gate: Gate,
    /// The record asks for more than may ever be held.
    is_beyond: bool,
    /// Nothing at all is left.
    is_shut: bool,
}

/// The place of the lane of this gate: the record's own, where it is filed under it.
fn place(routing: &Routing, nth: u8) -> Place {
    if Lane::parked(routing, nth) == Lane::of(routing) {
        return Place::Ready;
    }
    Place::Parked(nth)
}
