//! How a node itself is: whether its runtime runs ([`Pulse`]), how deep its queues are ([`Of`]), and what only grows ([`Growth`]). It
//! tells; nothing is refused, stopped or unready by it.

mod depths;
mod growth;
mod judge;
mod pulse;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use depths::{Depth, Level, Of, Row, Sort, TABLE};
pub use growth::{Growth, Rule, Turned};
pub use judge::{Judge, LOOK, Word};
pub use pulse::{BEAT, Outside, Pulse, STALL, Seldom};

use depths::Entry;

/// How one node is. A cheap handle; clones are of the same node.
#[derive(Clone, Default)]
pub struct Vitals(Arc<Inner>);

#[derive(Default)]
struct Inner {
    pulse: Pulse,
    depths: Mutex<BTreeMap<Of, Entry>>,
    notes: Mutex<Vec<String>>,
}

impl Vitals {
    /// The beat of its runtime.
    pub fn pulse(&self) -> &Pulse {
        &self.0.pulse
    }

    /// Has a depth read from now on, each time it is looked at; `bound` is what it cannot pass, none where nothing bounds it. In place of
    /// what was read for it before.
    pub fn watch(
        &self,
        of: Of,
        bound: Option<usize>,
        depth: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        self.depths().insert(of, Entry::read(bound, depth));
    }

    /// The same for what its owner tells as it changes. It is 0 again once the owner has dropped the level.
    pub fn level(&self, of: Of, bound: Option<usize>) -> Level {
        let level = Level::new(bound);
        self.depths().insert(of, Entry::told(&level));
        level
    }

    /// Every depth that is watched, in the order of [`TABLE`].
    pub fn read(&self) -> Vec<Depth> {
        let depths = self.depths();
        depths.iter().map(|(of, entry)| entry.depth(*of)).collect()
    }

    /// What a person should look at, in words; empty where all is well.
    pub fn notes(&self) -> Vec<String> {
        self.noted().clone()
    }

    /// Notes what a person should look at, in place of what was noted before.
    pub fn note(&self, notes: Vec<String>) {
        *self.noted() = notes;
    }

    /// Held while some counters are read, never across an await.
    fn depths(&self) -> MutexGuard<'_, BTreeMap<Of, Entry>> {
        self.0.depths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held for a copy.
    fn noted(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_what_its_owner_told_last_and_nothing_once_he_is_gone() {
        let vitals = Vitals::default();
        let level = vitals.level(Of::Runs, Some(8));
        level.set(3);
        let read = || vitals.read().pop().map(|depth| (depth.depth, depth.bound));
        assert_eq!(read(), Some((3, Some(8))));
        level.bound(16);
        assert_eq!(read(), Some((3, Some(16))));
        drop(level);
        assert_eq!(read(), Some((0, Some(16))));
    }

    #[test]
    fn who_watches_again_is_read_in_place_of_who_did_before() {
        let vitals = Vitals::default();
        let before = vitals.level(Of::Flights, Some(4));
        before.set(4);
        vitals.watch(Of::Flights, Some(4), || 1);
        drop(before);
        let depths: Vec<_> = vitals.read().iter().map(|depth| depth.depth).collect();
        assert_eq!(depths, [1]);
    }
}
