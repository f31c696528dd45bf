//! What a wall clock shows, mapped to instants: what happens to an expression where clocks change.
//!
//! Where they go **forward**, some wall clock times do not exist; where they go **back**, some come twice.
//!
//! | class | is | forward: its times that do not exist | back: its times that come twice |
//! |---|---|---|---|
//! | [`Kin::Hourly`] | due in all 24 hours | are passed over: the next hour has its own | fire both times |
//! | [`Kin::Window`] | names hours; minutes or seconds go on (`*`, `*/n`, `H/n`) | fire once, together, right after | fire both times |
//! | [`Kin::Times`] | names hours, minutes, seconds | fire once, together, right after | fire once, the first time |
//!
//! So what names hours is never lost, what names a time is never doubled, and what goes on keeps its pace. Croner's own search
//! knows two classes and puts lists of times (`30 2,14 * * *`) with what goes on, which loses one and doubles the other; it loses
//! times in a gap that ends another day than it begins, and ends its search in a gap of more than two hours. It is not used here:
//! croner says which wall clock times fit, this file when they are.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::expression::Expression;
use super::fields::{Fields, SEARCH_YEARS_MAX};
use super::{Part, TimingError, TimingField, expression};

/// 2 days: no change of clocks moves them by as much. The largest, over the date line, is 24 hours.
const SHIFT_MAX: SignedDuration = SignedDuration::from_hours(48);

/// 64 changes of clocks that one search looks at: far more than there are in the 4 days around where it begins and where it ends;
/// it jumps over those between.
const CHANGES_MAX: usize = 64;

/// One second, the grain of expressions.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What happens to an expression where clocks change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kin {
    /// Due in every hour.
    Hourly,
    /// Goes on for a while in hours that it names.
    Window,
    /// Names its times.
    Times,
}

/// An expression in a time zone.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    fields: Fields,
    kin: Kin,
    zone: TimeZone,
    /// The expression in numbers.
    numbers: Box<str>,
}

/// Clocks that change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// When.
    pub(super) at: Timestamp,
    /// What they would have shown then.
    pub(super) old: DateTime,
    /// What they show.
    pub(super) new: DateTime,
}

impl Wall {
    /// An expression in a zone.
    ///
    /// # Errors
    /// Croner does not read it.
    pub(super) fn new(expression: &Expression, zone: TimeZone) -> Result<Self, TimingError> {
        let numbers = expression.numbers();
        let fields = Fields::of(&numbers)?;
        let goes_on = expression.goes_on(Part::Minute) || expression.goes_on(Part::Second);
        let kin = match (fields.every_hour(), goes_on) {
            (true, _) => Kin::Hourly,
            (false, true) => Kin::Window,
            (false, false) => Kin::Times,
        };
        Ok(Self {
            fields,
            kin,
            zone,
            numbers: numbers.into(),
        })
    }

    /// Where the clock hangs.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// What it is by where clocks change.
    pub(super) fn kin(&self) -> Kin {
        self.kin
    }

    /// What fits.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The expression, taken apart again.
    pub(super) fn expression(&self) -> Option<Expression> {
        expression::again(&self.numbers)
    }

    /// The first due time at or after `from_ms`.
    pub(super) fn from(&self, from_ms: u64) -> Option<u64> {
        let second = i64::try_from(from_ms.div_ceil(1_000)).ok()?;
        let due = self.first(Timestamp::from_second(second).ok()?)?;
        u64::try_from(due.as_millisecond()).ok()
    }

    /// Goes through spans of one offset. The next wall clock time that fits is due if it comes before clocks change; if they
    /// change over it, right after; else the search goes on from the change, or from shortly before what fits next.
    fn first(&self, from: Timestamp) -> Option<Timestamp> {
        let (mut at, mut shown) = (from, self.shown(from));
        if let Some(change) = self.change_at(from)
            && self.missed(&change).is_some()
        {
            return Some(from);
        }
        for _ in 0..CHANGES_MAX {
            let offset = self.zone.to_offset(at);
            let fits = self.fields.next(offset.to_datetime(at).max(shown))?;
            let due = offset.to_timestamp(fits).ok()?;
            let change = self.next_change(at, offset);
            let Some(change) = change.filter(|change| change.at <= due) else {
                return Some(due);
            };
            if self.kin != Kin::Hourly && fits < change.new {
                return Some(change.at);
            }
            let near = due.checked_sub(SHIFT_MAX).ok()?;
            if near > change.at && change.at.duration_since(at) > SHIFT_MAX {
                // Nothing fits in what clocks show until then, not even where they show it again.
                (at, shown) = (near, self.shown(near));
            } else {
                if self.kin == Kin::Times {
                    shown = shown.max(change.old);
                }
                at = change.at;
            }
        }
        None
    }

    /// The first time that a change of clocks passed over and that is made up for.
    pub(super) fn missed(&self, change: &Change) -> Option<DateTime> {
        if self.kin == Kin::Hourly || change.new <= change.old {
            return None;
        }
        let fits = self.fields.next(change.old);
        fits.filter(|fits| *fits < change.new)
    }

    /// Up to where clocks have shown everything by `at`, so that times up to there do not fire again.
    fn shown(&self, at: Timestamp) -> DateTime {
        if self.kin != Kin::Times {
            return DateTime::MIN;
        }
        let back = self
            .changes_before(at)
            .filter(|change| change.new < change.old);
        back.map(|change| change.old).max().unwrap_or(DateTime::MIN)
    }

    /// The change of clocks at exactly this time.
    pub(super) fn change_at(&self, at: Timestamp) -> Option<Change> {
        self.changes_before(at)
            .next()
            .filter(|change| change.at == at)
    }

    /// Changes of clocks up to `at` that can matter then, the latest first.
    pub(super) fn changes_before(&self, at: Timestamp) -> impl Iterator<Item = Change> {
        let oldest = at.checked_sub(SHIFT_MAX).unwrap_or(Timestamp::MIN);
        let after = at.checked_add(SECOND).unwrap_or(Timestamp::MAX);
        let changes = self.zone.preceding(after);
        let changes = changes.take_while(move |change| change.timestamp() > oldest);
        changes.filter_map(|change| {
            let at = change.timestamp();
            let before = self.zone.to_offset(at.checked_sub(SECOND).ok()?);
            Some(Change::between(at, before, change.offset()))
        })
    }

    /// The first change of clocks after `at`, when the offset is `before`.
    fn next_change(&self, at: Timestamp, before: Offset) -> Option<Change> {
        let change = self.zone.following(at).next()?;
        Some(Change::between(change.timestamp(), before, change.offset()))
    }
}

impl Change {
    fn between(at: Timestamp, before: Offset, after: Offset) -> Self {
        Self {
            at,
            old: before.to_datetime(at),
            new: after.to_datetime(at),
        }
    }
}

/// What is refused because it is never due.
pub(super) fn never() -> TimingError {
    let detail = format!("would never be due: nothing fits within {SEARCH_YEARS_MAX} years");
    TimingError::of(TimingField::Cron, detail)
}
