//! What to do next: what is lost first, then what is due, then what is ready; one kind of change to a round.

use super::assign::{Bounds, Numbers, assign};
use super::reclaim::{promote, reclaim};
use super::view::{Reserved, View};
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

/// The most urgent changes; none where nothing is to be done.
pub fn next(
    view: &View,
    reserved: &Reserved,
    numbers: &mut Numbers,
    rules: &Rules,
    orphans: Orphans,
    now_ms: u64,
) -> Vec<Change> {
    if orphans == Orphans::Look {
        let lost = reclaim(view, reserved, rules.deaths_max, now_ms, rules.reclaims_max);
        if !lost.is_empty() {
            return lost.into_iter().map(Change::Reclaim).collect();
        }
    }
    let due = promote(view, reserved, now_ms, rules.promotions_max);
    if !due.is_empty() {
        return due.into_iter().map(Change::Promote).collect();
    }
    let ready = assign(view, reserved, numbers, rules.assigns, now_ms);
    ready.into_iter().map(Change::Assign).collect()
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
