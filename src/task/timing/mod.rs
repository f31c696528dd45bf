//! When a schedule is due: expressions, time zones and what happens where clocks change; never reads a clock.
//!
//! A [`When`] is declared: a cron expression, a period, or one instant. A [`Timing`] is one that was checked, for the zone and
//! between the bounds of its schedule, and can be asked: [`Timing::after`], [`Timing::dues`]. `expression.rs` takes expressions
//! apart, croner says which values and days they mean (`fields.rs`), `wall.rs` maps what a wall clock shows to instants. What
//! people are told of it is in docs/expressions.md and docs/dst.md, both made from here.

mod describe;
mod error;
mod expression;
mod fields;
mod note;
mod period;
mod scan;
mod spread;
mod wall;
mod zone;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use error::{Part, Position, TimingError, TimingField};
pub use expression::EXPRESSION_BYTES_MAX;
pub use fields::SEARCH_YEARS_MAX;
pub use note::{Note, Pass, Shown};
pub use period::{EVERY_MS_MAX, EVERY_MS_MIN};
pub use spread::jitter;
pub use zone::ZONE_BYTES_MAX;

use expression::Read;
use wall::Wall;

/// 9,999,000,000,000 ms, in November 2286: the last due time. Keys spell times with 13 digits, and a day of jitter is added.
pub const DUE_MS_MAX: u64 = 9_999_000_000_000;

/// When a schedule is due, as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// By a cron expression, in the time zone of its schedule.
    #[serde(rename = "cron")]
    Cron(String),
    /// Every so many milliseconds, counted from `start`, or from 1970 where there is none.
    #[serde(rename = "every_ms")]
    Every(u64),
    /// Once, in milliseconds since 1970.
    #[serde(rename = "at_ms")]
    At(u64),
}

/// When a schedule is due, checked and ready to be asked.
#[derive(Clone, Debug)]
pub struct Timing {
    rule: Rule,
    start_ms: u64,
    end_ms: u64,
}

#[derive(Clone, Debug)]
enum Rule {
    Cron(Box<Wall>),
    Every { anchor_ms: u64, period_ms: u64 },
    At(u64),
}

impl When {
    /// Whether it speaks of a clock on a wall, which hangs in some time zone: `@every 90s` does not.
    pub fn has_zone(&self) -> bool {
        match self {
            Self::Cron(text) => !expression::is_period(text),
            Self::Every(_) | Self::At(_) => false,
        }
    }
}

impl Timing {
    /// Checks what was declared. `name` is the schedule's, which `H` in an expression is spread by; `now_ms` is when it is
    /// declared: what is never due after it is refused. Whoever reads what was checked before gives 0.
    ///
    /// # Errors
    /// Which field is wrong, where in it, and what would be right.
    pub fn new(
        name: &str,
        when: &When,
        zone: Option<&str>,
        start_ms: Option<u64>,
        end_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<Self, TimingError> {
        let rule = Rule::new(name, when, zone, start_ms)?;
        let timing = Self {
            rule,
            start_ms: start_ms.unwrap_or(0),
            end_ms: end_ms.unwrap_or(u64::MAX),
        };
        timing.fires_after(now_ms)?;
        Ok(timing)
    }

    /// The first due time after `ms`, within start and end.
    pub fn after(&self, ms: u64) -> Option<u64> {
        let from = ms.checked_add(1)?.max(self.start_ms);
        let due = self.rule.from(from);
        due.filter(|due| *due <= self.end_ms.min(DUE_MS_MAX))
    }

    /// The due times after `after` up to `until`, both in milliseconds, at most `max` of them, and whether there are more.
    pub fn dues(&self, after: u64, until: u64, max: usize) -> (Vec<u64>, bool) {
        let mut dues = Vec::new();
        let mut next = self.after(after);
        while let Some(due) = next.filter(|due| *due <= until) {
            if dues.len() == max {
                return (dues, true);
            }
            dues.push(due);
            next = self.after(due);
        }
        (dues, false)
    }

    /// The last due time up to `until`, where `due` is one that is not after it: looked for in spans that grow from there backwards.
    pub fn last(&self, due: u64, until: u64) -> u64 {
        let mut span_ms = 1_000;
        let mut last = due;
        while span_ms < until - due {
            match self.after(until - span_ms) {
                Some(later) if later <= until => {
                    last = later;
                    break;
                }
                Some(_) | None => span_ms *= 2,
            }
        }
        while let Some(later) = self.after(last).filter(|later| *later <= until) {
            last = later;
        }
        last
    }

    /// How many due times there are after `after` up to `until`; at most `max` are counted.
    pub fn count(&self, after: u64, until: u64, max: u64) -> u64 {
        let mut count = 0;
        let mut last = after;
        while count < max {
            match self.after(last) {
                Some(due) if due <= until => last = due,
                Some(_) | None => break,
            }
            count += 1;
        }
        count
    }

    /// The time zone's name: where the clock hangs that the expression speaks of. `UTC` for what speaks of none.
    pub fn zone(&self) -> &str {
        match &self.rule {
            Rule::Cron(wall) => zone::name(wall.zone()),
            Rule::Every { .. } | Rule::At(_) => zone::UTC,
        }
    }

    /// What it says, in English, such as `at 02:30 on Monday (America/New_York)`.
    pub fn english(&self) -> String {
        match &self.rule {
            Rule::Cron(wall) => format!("{} ({})", describe::english(wall), self.zone()),
            Rule::Every {
                anchor_ms,
                period_ms,
            } => period::english(*period_ms, &self.local(*anchor_ms)),
            Rule::At(ms) => format!("once, at {}", self.local(*ms)),
        }
    }

    /// What has to be said of a due time because clocks change there; none for most.
    pub fn note(&self, due_ms: u64) -> Option<Note> {
        match &self.rule {
            Rule::Cron(wall) => wall.note(due_ms),
            Rule::Every { .. } | Rule::At(_) => None,
        }
    }

    /// A time as the zone's clock shows it: RFC 3339 with the offset, then the zone, as in
    /// `2027-03-14T03:00:00-04:00[America/New_York]`.
    pub fn local(&self, ms: u64) -> String {
        let zone = match &self.rule {
            Rule::Cron(wall) => wall.zone().clone(),
            Rule::Every { .. } | Rule::At(_) => TimeZone::UTC,
        };
        instant(ms).to_zoned(zone).to_string()
    }

    /// Refuses what is never due after `now_ms`.
    fn fires_after(&self, now_ms: u64) -> Result<(), TimingError> {
        let refused = |field, detail: &str| Err(TimingError::of(field, detail));
        if self.end_ms < self.start_ms {
            return refused(TimingField::End, "is before `start`");
        }
        if self.after(now_ms).is_some() {
            return Ok(());
        }
        if self.end_ms <= now_ms {
            return refused(TimingField::End, "is in the past: it would never be due");
        }
        let first = self.rule.from(self.start_ms.max(now_ms.saturating_add(1)));
        match (first, &self.rule) {
            (Some(due), _) => {
                let due = self.local(due);
                let detail = format!("is before it is due for the first time, {due}");
                refused(TimingField::End, &detail)
            }
            (None, Rule::At(at)) if *at < self.start_ms => {
                refused(TimingField::At, "is before `start`: it would never be due")
            }
            (None, Rule::At(_)) => {
                refused(TimingField::At, "is in the past: it would never be due")
            }
            (None, Rule::Every { .. }) => refused(TimingField::Every, "is never due"),
            (None, Rule::Cron(_)) => Err(wall::never()),
        }
    }
}

impl Rule {
    fn new(
        name: &str,
        when: &When,
        zone: Option<&str>,
        start_ms: Option<u64>,
    ) -> Result<Self, TimingError> {
        let every = |period_ms| Self::Every {
            anchor_ms: start_ms.unwrap_or(0),
            period_ms,
        };
        let rule = match when {
            When::Cron(text) => match expression::read(name, text)? {
                Read::Cron(expression) => {
                    let zone = zone::find(zone.unwrap_or(zone::UTC))?;
                    return Ok(Self::Cron(Box::new(Wall::new(&expression, zone)?)));
                }
                Read::Every(period_ms) => every(period_ms),
            },
            When::Every(period_ms) => every(period::checked(TimingField::Every, *period_ms)?),
            When::At(ms) => Self::At(*ms),
        };
        if zone.is_none() {
            return Ok(rule);
        }
        let detail = "is for cron expressions: a period or an instant has none";
        Err(TimingError::of(TimingField::Timezone, detail))
    }

    /// The first due time at or after `from_ms`.
    fn from(&self, from_ms: u64) -> Option<u64> {
        match self {
            Self::Cron(wall) => wall.from(from_ms),
            Self::Every {
                anchor_ms,
                period_ms,
            } => period::from(*anchor_ms, *period_ms, from_ms),
            Self::At(ms) => Some(*ms).filter(|at| *at >= from_ms),
        }
    }
}

/// An instant, the nearest that the calendar has.
pub(super) fn instant(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
