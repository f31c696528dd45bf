//! Which fault comes next, how long it lasts and how long it is waited before: from a seed alone. Each kind comes once in a round, in
//! an order of the round's own, so that a long run has all of them about as often.

use super::catalogue::Kind;
use crate::workload::SplitMix;

/// Endless, and the same for the same seed.
pub(crate) struct Plan {
    kinds: Vec<Kind>,
    gap_ms: [u64; 2],
    dice: SplitMix,
    /// What is left of this round.
    round: Vec<Kind>,
}

/// A fault to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) kind: Kind,
    /// After so many milliseconds of calm.
    pub(crate) after_ms: u64,
    /// For so many milliseconds.
    pub(crate) lasts_ms: u64,
    /// Chooses whom it hits, where several fit.
    pub(crate) choice: usize,
}

impl Plan {
    /// Of these kinds, of which one that is there twice comes twice in a round.
    pub(crate) fn new(kinds: Vec<Kind>, gap_ms: [u64; 2], seed: u64) -> Self {
        Self {
            kinds,
            gap_ms,
            dice: SplitMix(seed),
            round: Vec::new(),
        }
    }

    /// Nobody could be hit by this kind as things stood: it comes again in this round.
    pub(crate) fn again(&mut self, kind: Kind) {
        self.round.push(kind);
    }

    /// This kind cannot be made here: it is not planned again.
    pub(crate) fn without(&mut self, kind: Kind) {
        self.kinds.retain(|one| *one != kind);
        self.round.retain(|one| *one != kind);
    }
}

impl Iterator for Plan {
    type Item = Planned;

    /// None where no kind is left.
    fn next(&mut self) -> Option<Planned> {
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
        }
        if self.round.is_empty() {
            return None;
        }
        let kind = self.round.swap_remove(self.dice.below(self.round.len()));
        let [from, to] = self.gap_ms;
        let after_ms = self.dice.within(from..=to);
        let [from, to] = kind.lasts_ms;
        let lasts_ms = self.dice.within(from..=to);
        Some(Planned {
            kind,
            after_ms,
            lasts_ms,
            choice: self.dice.below(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::ALL;
    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan::new(ALL.to_vec(), [100, 200], seed)
    }

    #[test]
    fn a_seed_plans_the_same_twice_and_another_seed_something_else() {
        let some = |seed| plan(seed).take(100).collect::<Vec<_>>();
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
    }

    #[test]
    fn a_round_has_each_kind_once_and_times_are_within_bounds() {
        let mut names: Vec<&str> = plan(7).take(ALL.len()).map(|one| one.kind.name).collect();
        names.sort_unstable();
        let mut all: Vec<&str> = ALL.iter().map(|kind| kind.name).collect();
        all.sort_unstable();
        assert_eq!(names, all);
        for one in plan(7).take(200) {
            assert!((100..=200).contains(&one.after_ms));
            let [from, to] = one.kind.lasts_ms;
            assert!((from..=to).contains(&one.lasts_ms));
        }
    }

    #[test]
    fn what_could_not_be_made_now_comes_again_in_the_same_round() {
        let mut plan = plan(3);
        let first = plan.next().unwrap().kind;
        plan.again(first);
        let rest: Vec<&str> = plan
            .by_ref()
            .take(ALL.len())
            .map(|one| one.kind.name)
            .collect();
        assert_eq!(rest.iter().filter(|name| **name == first.name).count(), 1);
    }

    #[test]
    fn what_cannot_be_made_is_not_planned_again_and_nothing_is_left_in_the_end() {
        let mut plan = Plan::new(ALL[..2].to_vec(), [0, 0], 1);
        plan.without(ALL[0]);
        assert!(plan.by_ref().take(10).all(|one| one.kind == ALL[1]));
        plan.without(ALL[1]);
        assert_eq!(plan.next(), None);
    }
}
