//! What to do next: what is lost first, then what is due and what is ready in turns; one kind of change to a round.

use super::assign::{Bounds, Numbers, assign};
use super::reclaim::{promote, reclaim};
use super::reserved::Reserved;
use super::view::View;
use crate::store::Change;

/// How much one round may decide, and by which budget.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Node deaths that a task survives.
    pub deaths_max: u32,
    /// Claims taken back at most.
    pub reclaims_max: usize,
    /// Records made ready at most.
    pub promotions_max: usize,
    /// Assignments at most.
    pub assigns: Bounds,
}

/// Whether claims of gone sessions are looked for in this round: that takes a look at every claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// They are.
    Look,
    /// None were left at the last look.
    NoneLeft,
}

/// What goes first in a round where something is due and something is ready: neither waits for the end of the other's backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// What is due.
    #[default]
    Due,
    /// What is ready.
    Ready,
}

impl Turn {
    /// What goes first after a round of these changes; one that took back leaves it as it is.
    #[must_use]
    pub fn after(self, changes: &[Change]) -> Self {
        match changes.first() {
            Some(Change::Promote(_)) => Self::Ready,
            Some(Change::Assign(_) | Change::Park(_) | Change::Grant(_) | Change::DropLane(_)) => {
                Self::Due
            }
            Some(_) | None => self,
        }
    }
}

/// The most urgent changes; none where nothing is to be done.
pub fn next(
    view: &View,
    reserved: &Reserved,
    numbers: &mut Numbers,
    rules: &Rules,
    orphans: Orphans,
    turn: Turn,
    now_ms: u64,
) -> Vec<Change> {
    if orphans == Orphans::Look {
        let lost = reclaim(view, reserved, rules.deaths_max, now_ms, rules.reclaims_max);
        if !lost.is_empty() {
            return lost.into_iter().map(Change::Reclaim).collect();
        }
    }
    let due = || -> Vec<Change> {
        let due = promote(view, reserved, now_ms, rules.promotions_max);
        due.into_iter().map(Change::Promote).collect()
    };
    let mut ready = || assign(view, reserved, numbers, rules.assigns, now_ms);
    let first = match turn {
        Turn::Due => due(),
        Turn::Ready => ready(),
    };
    match turn {
        _ if !first.is_empty() => first,
        Turn::Due => ready(),
        Turn::Ready => due(),
    }
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
