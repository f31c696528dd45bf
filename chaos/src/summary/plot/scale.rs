//! Axes: where an instant is drawn, and at which round numbers there are marks.

use crate::summary::draw::float;

/// 12 marks on the axis of time at most.
const TICKS_MAX: u64 = 12;
/// Round steps of time in milliseconds; longer ones are doubled.
const STEPS: [u64; 17] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000,
];

/// The axis of time: chapters one after another.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    lengths: Vec<u64>,
    total_ms: u64,
    left: f64,
    right: f64,
}

impl Axis {
    pub(super) fn of(lengths: Vec<u64>, left: f64, right: f64) -> Self {
        Self {
            total_ms: lengths.iter().sum::<u64>().max(1),
            lengths,
            left,
            right,
        }
    }

    /// Where an instant is drawn, in milliseconds since the start.
    pub(super) fn place(&self, at_ms: u64) -> f64 {
        let share = float(at_ms.min(self.total_ms)) / float(self.total_ms);
        self.left + share * (self.right - self.left)
    }

    /// Where each chapter is, in milliseconds since the start.
    pub(super) fn spans(&self) -> Vec<(u64, u64)> {
        let mut from_ms = 0;
        let spans = self.lengths.iter().map(|length| {
            let span = (from_ms, from_ms + length);
            from_ms += length;
            span
        });
        spans.collect()
    }

    /// The marks, in milliseconds since the start.
    pub(super) fn ticks(&self) -> Vec<u64> {
        let step = self.step();
        (0..=self.total_ms / step).map(|nth| nth * step).collect()
    }

    /// What is written at a mark.
    pub(super) fn label(&self, at_ms: u64) -> String {
        let (unit_ms, unit) = match self.step() {
            0..60_000 => (1_000, "s"),
            60_000..3_600_000 => (60_000, "min"),
            _ => (3_600_000, "h"),
        };
        format!("{} {unit}", at_ms / unit_ms)
    }

    fn step(&self) -> u64 {
        let fits = |step: &u64| self.total_ms / step <= TICKS_MAX;
        let found = STEPS.into_iter().find(fits);
        found
            .unwrap_or_else(|| (self.total_ms / TICKS_MAX).div_ceil(86_400_000).max(1) * 86_400_000)
    }
}

/// A round number that is not less, for the top of a lane: 1, 2 or 5 with zeros.
pub(super) fn round_up(value: f64) -> f64 {
    let mut unit = 1.0;
    while unit * 10.0 < value {
        unit *= 10.0;
    }
    let round = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * unit);
    round
        .into_iter()
        .find(|round| *round >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        for (total_ms, last, marks) in [
            (90_000, "90 s", 10),
            (3_600_000, "60 min", 13),
            (500, "0 s", 1),
            (0, "0 s", 1),
            (30 * 86_400_000, "720 h", 11),
        ] {
            let axis = Axis::of(vec![total_ms], 0.0, 100.0);
            let ticks = axis.ticks();
            assert_eq!(axis.label(*ticks.last().unwrap()), last);
            assert_eq!(ticks.len(), marks, "{total_ms}");
        }
    }

    #[test]
    fn tops_are_round() {
        let tops = [0.0, 1.0, 1.5, 4.0, 7.0, 101.0].map(round_up);
        assert_eq!(
            tops.map(|top| top.to_string()),
            ["1", "1", "2", "5", "10", "200"]
        );
    }
}
