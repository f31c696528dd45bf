//! When a schedule is due, by a reckoning of this crate's own: periods, single instants, and expressions that are due every so
//! many seconds.

use crate::check::keyspace::{Schedule, When};

/// The due times of a schedule, from the first to the last, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dues {
    first: u64,
    /// 0 where there is only the first.
    period: u64,
    last: u64,
}

impl Dues {
    /// Those of a schedule; none where this judge cannot tell them.
    pub(super) fn of(schedule: &Schedule) -> Option<Self> {
        let start_ms = schedule.start_ms.unwrap_or(0);
        let (first, period) = match &schedule.when {
            When::Every(period) => (start_ms, *period),
            When::Cron(text) => {
                let period = seconds(text)? * 1_000;
                (start_ms.next_multiple_of(period), period)
            }
            When::At(ms) => (*ms, 0),
        };
        let is_due = first >= start_ms;
        Some(Self {
            first,
            period,
            // What is never due ends before it begins.
            last: schedule.end_ms.filter(|_| is_due).unwrap_or(u64::MAX),
        })
    }

    /// The first one after this.
    pub(super) fn after(&self, ms: u64) -> Option<u64> {
        let nth = self.until(ms);
        let due = self.first.checked_add(nth * self.period)?;
        (due > ms && due <= self.last).then_some(due)
    }

    /// The last one up to this.
    pub(super) fn before(&self, ms: u64) -> Option<u64> {
        let nth = self.until(ms).checked_sub(1)?;
        Some(self.first + nth * self.period)
    }

    /// How many there are after one instant, up to another.
    pub(super) fn count(&self, after_ms: u64, until_ms: u64) -> u64 {
        self.until(until_ms).saturating_sub(self.until(after_ms))
    }

    /// How many there are up to this.
    fn until(&self, ms: u64) -> u64 {
        let Some(since_ms) = ms.min(self.last).checked_sub(self.first) else {
            return 0;
        };
        since_ms.checked_div(self.period).map_or(1, |more| more + 1)
    }
}

/// The period of an expression such as `*/5 * * * * *`, in seconds: one that divides a minute, so that no time zone matters.
fn seconds(text: &str) -> Option<u64> {
    let seconds = text.strip_suffix(" * * * * *")?;
    let period: u64 = match seconds.strip_prefix("*/") {
        Some(step) => step.parse().ok()?,
        None => (seconds == "*").then_some(1)?,
    };
    (60_u64.checked_rem(period)? == 0).then_some(period)
}
