//! Chance, from the seed of a run; shared by all that throw it in one thread. Never used by the nodes themselves.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng};

/// A die that remembers where it is; clones go on from there.
#[derive(Clone)]
pub(crate) struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Another die, so that throws here do not shift throws there.
    pub(crate) fn split(&self) -> Self {
        Self::new(self.with(StdRng::next_u64))
    }

    /// Evenly from a range, both ends included.
    pub(crate) fn within(&self, range: RangeInclusive<u64>) -> u64 {
        self.with(|rng| rng.random_range(range))
    }

    /// Below a bound, which is not 0.
    pub(crate) fn below(&self, bound: usize) -> usize {
        self.with(|rng| rng.random_range(0..bound))
    }

    /// True this often in a thousand.
    pub(crate) fn in_thousand(&self, chance: u16) -> bool {
        chance > 0 && self.with(|rng| rng.random_range(0..1_000) < chance)
    }

    /// One of several.
    pub(crate) fn one<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Held for one throw only, and never across an await.
    fn with<T>(&self, throw: impl FnOnce(&mut StdRng) -> T) -> T {
        throw(&mut self.0.lock().expect("no throw panics"))
    }
}
