//! How late due times were fired, and what became of how many.

use std::collections::BTreeMap;

use crate::check::keyspace::{By, Line};
use crate::check::verdict::Case;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// How late those of each schedule were fired that were not missed, by the history's clock, in milliseconds.
    pub late_ms: BTreeMap<String, Vec<u64>>,
    /// How many due times of each schedule came to what: `fired`, `caught up`, `skipped: overlap` and so on.
    pub told: BTreeMap<String, BTreeMap<String, u64>>,
}

/// How late some due times were fired, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// How many there were.
    pub times: usize,
    /// Half of them at most so late.
    pub p50_ms: u64,
    /// 99 in a hundred.
    pub p99_ms: u64,
    /// All.
    pub max_ms: u64,
}

impl Pace {
    /// A line about due times of a schedule, or about what somebody asked for.
    pub(super) fn told(&mut self, name: &str, line: &Line) {
        let word = match (line.skipped, line.by) {
            (Some(why), _) => format!("skipped: {}", why.as_str()),
            (None, By::Clock) => "fired".to_owned(),
            (None, By::CatchUp) => "caught up".to_owned(),
            (None, By::Trigger) => "triggered".to_owned(),
            (None, By::Backfill) => "backfilled".to_owned(),
        };
        let of = self.told.entry(name.to_owned()).or_default();
        *of.entry(word).or_default() += line.times;
    }

    /// One was fired so late, and was not missed.
    pub(super) fn late(&mut self, name: &str, late_ms: u64) {
        let of = self.late_ms.entry(name.to_owned()).or_default();
        of.push(late_ms);
    }

    /// Tells what was counted.
    pub(super) fn tell(&self, case: &mut Case) {
        for (word, times) in self.sums() {
            case.add(&word, times);
        }
        if let Some(late) = self.lateness("") {
            case.most("late_ms p50", late.p50_ms);
            case.most("late_ms p99", late.p99_ms);
            case.most("late_ms max", late.max_ms);
        }
    }

    /// What became of how many due times, all schedules together.
    pub fn sums(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (word, times) in self.told.values().flatten() {
            *sums.entry(word.clone()).or_default() += times;
        }
        sums
    }

    /// How late due times were fired of schedules whose names begin so; none where none was.
    pub fn lateness(&self, prefix: &str) -> Option<Lateness> {
        let all = self.late_ms.iter();
        let all = all.filter(|(name, _)| name.starts_with(prefix));
        let mut late_ms: Vec<u64> = all.flat_map(|(_, late_ms)| late_ms).copied().collect();
        late_ms.sort_unstable();
        let at = |per_cent: usize| {
            let nth = (late_ms.len() * per_cent).div_ceil(100);
            late_ms.get(nth.checked_sub(1)?).copied()
        };
        Some(Lateness {
            times: late_ms.len(),
            p50_ms: at(50)?,
            p99_ms: at(99)?,
            max_ms: at(100)?,
        })
    }
}
