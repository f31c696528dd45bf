//! Times that were measured, as few as are worth keeping: the count and the greatest are exact, of the others every second,
//! fourth, eighth … is kept once there are too many.

use serde::{Deserialize, Serialize};

use crate::check::course::Took;

/// 5,000 times of one sort and chapter are kept: a percentile of so many is as good as one of all.
const KEPT_MAX: usize = 5_000;

/// Times of one sort.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// How many there were.
    pub n: u64,
    /// The greatest, in milliseconds.
    pub max_ms: u64,
    /// Each that is kept stands for two to the power of this.
    pub halvings: u32,
    /// When it was over and how long it took, in milliseconds.
    pub kept: Vec<[u64; 2]>,
}

/// What times come to, in milliseconds, by the nearest rank: each is a time that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many there were.
    pub n: u64,
    /// Half of them took no longer.
    pub p50_ms: u64,
    /// 90 of 100 took no longer.
    pub p90_ms: u64,
    /// 99 of 100 took no longer.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Samples {
    /// These times, of a history that began at this instant.
    pub(super) fn of(all: &[Took], start_ms: u64) -> Self {
        let mut samples = Self::default();
        for took in all {
            samples.push(took.at_ms.saturating_sub(start_ms), took.ms);
        }
        samples
    }

    fn push(&mut self, at_ms: u64, ms: u64) {
        if self.n.is_multiple_of(self.each()) {
            self.kept.push([at_ms, ms]);
        }
        self.n += 1;
        self.max_ms = self.max_ms.max(ms);
        if self.kept.len() >= KEPT_MAX {
            self.halve();
        }
    }

    /// How many each that is kept stands for.
    fn each(&self) -> u64 {
        1 << self.halvings.min(u64::BITS - 1)
    }

    fn halve(&mut self) {
        let mut nth = 0_usize;
        self.kept.retain(|_| {
            nth += 1;
            nth % 2 == 1
        });
        self.halvings += 1;
    }

    /// The same, with at most so many kept.
    #[must_use]
    pub(super) fn thinned(&self, most: usize) -> Self {
        let mut thin = self.clone();
        while thin.kept.len() > most.max(1) {
            thin.halve();
        }
        thin
    }

    /// What all of these come to; none where there is no time.
    pub fn percentiles<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Percentiles> {
        let (mut weighted, mut n, mut max_ms) = (Vec::new(), 0, 0);
        for samples in all {
            let each = samples.each();
            weighted.extend(samples.kept.iter().map(|[_, ms]| (*ms, each)));
            n += samples.n;
            max_ms = max_ms.max(samples.max_ms);
        }
        weighted.sort_unstable();
        let weight: u64 = weighted.iter().map(|(_, each)| each).sum();
        let at = |percent: u64| {
            let nth = (weight * percent).div_ceil(100).max(1);
            let mut sum = 0;
            let found = weighted.iter().find(|(_, each)| {
                sum += each;
                sum >= nth
            });
            found.map(|(ms, _)| *ms)
        };
        Some(Percentiles {
            n,
            p50_ms: at(50)?,
            p90_ms: at(90)?,
            p99_ms: at(99)?,
            max_ms,
        })
    }
}

/// How many there were in each of many equal spans of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// How long each span is, in milliseconds.
    pub bucket_ms: u64,
    /// How many there were in each.
    pub counts: Vec<u64>,
}

/// 300 spans of a chapter: more cannot be told apart in a plot.
const BUCKETS_MAX: u64 = 300;

impl Series {
    /// Of these instants, counted from the begin of so many milliseconds.
    pub(super) fn of(instants: impl IntoIterator<Item = u64>, length_ms: u64) -> Self {
        let mut bucket_ms = 1_000;
        while length_ms / bucket_ms >= BUCKETS_MAX {
            bucket_ms *= 2;
        }
        let buckets = usize::try_from(length_ms / bucket_ms + 1).unwrap_or(1);
        let mut counts = vec![0; buckets];
        for at_ms in instants {
            let nth = usize::try_from(at_ms / bucket_ms).unwrap_or(buckets);
            if let Some(count) = counts.get_mut(nth) {
                *count += 1;
            }
        }
        Self { bucket_ms, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(all: impl IntoIterator<Item = u64>) -> Samples {
        let took = all.into_iter().map(|ms| Took { at_ms: ms, ms });
        Samples::of(&took.collect::<Vec<_>>(), 0)
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        assert_eq!(Samples::percentiles([&Samples::default()]), None);
        let one = times([7]);
        assert_eq!(Samples::percentiles([&one]).unwrap().p99_ms, 7);

        let (low, high) = (times(1..=50), times(51..=100));
        let all = Samples::percentiles([&low, &high]).unwrap();

        let told = [all.n, all.p50_ms, all.p90_ms, all.p99_ms, all.max_ms];
        assert_eq!(told, [100, 50, 90, 99, 100]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_stands_for_all() {
        let many = times(0..100_000);
        let few = times(std::iter::repeat_n(1_000_000, 100_000));

        assert!(many.kept.len() < KEPT_MAX && few.kept.len() < KEPT_MAX);
        assert!(many.thinned(100).kept.len() <= 100);
        let all = Samples::percentiles([&many]).unwrap();
        assert_eq!((all.n, all.max_ms), (100_000, 99_999));
        assert!(all.p50_ms.abs_diff(50_000) < 100, "{all:?}");
        let weighed = Samples::percentiles([&many, &times([5])]).unwrap();
        assert!(weighed.p50_ms.abs_diff(50_000) < 100, "{weighed:?}");
    }

    #[test]
    fn a_series_has_bounded_buckets_and_loses_nothing() {
        let day_ms = 86_400_000;
        let series = Series::of((0..1_000).map(|n| n * day_ms / 1_000), day_ms);
        assert!(series.counts.len() <= 300, "{}", series.counts.len());
        assert_eq!(series.counts.iter().sum::<u64>(), 1_000);
        assert_eq!(Series::of([0, 999, 1_000], 1_500).counts, [2, 1]);
    }
}
