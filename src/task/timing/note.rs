//! What has to be said of a due time because clocks change there.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

use super::wall::{Change, Kin, Wall};

/// Why a due time is not simply what the expression says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Clocks go forward over times that are named: they fire together, right after.
    MadeUp {
        /// The first of them.
        first: DateTime,
        /// Whether there are more.
        more: bool,
        /// What clocks show when they fire.
        at: Shown,
        /// Whether that is a time of the expression too.
        own: bool,
    },
    /// Clocks go forward over times of a schedule that is due in every hour: they are passed over.
    PassedOver {
        /// The first of them.
        first: DateTime,
        /// Whether there are more.
        more: bool,
        /// What clocks show after them.
        after: Shown,
    },
    /// Clocks go back, so that this time comes twice.
    Twice {
        /// The time.
        at: Shown,
        /// Which of the two this is.
        pass: Pass,
        /// Whether it also fires at the other.
        fires_both: bool,
    },
}

/// A time on a clock, and what the clock's time is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it shows.
    pub time: DateTime,
    /// Such as `EDT`, or `+0330` where nobody gave it a name.
    pub abbreviation: String,
}

/// Which of two times that show the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Before clocks go back.
    First,
    /// After it.
    Second,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MadeUp {
                first,
                more,
                at,
                own,
            } => {
                let missing = missing(*first, *more, at.time);
                let one = if *own { ", once for both" } else { "" };
                write!(
                    f,
                    "clocks go forward that day, {missing}: fires at {at}{one}"
                )
            }
            Self::PassedOver { first, more, after } => {
                let missing = missing(*first, *more, after.time);
                write!(f, "clocks go forward just before, {missing}: passed over")
            }
            Self::Twice {
                at,
                pass,
                fires_both,
            } => {
                let (time, name) = (clock(at.time), &at.abbreviation);
                let which = match pass {
                    Pass::First => "first",
                    Pass::Second => "second",
                };
                let fires = if *fires_both {
                    format!("fires at both, this is the {which}, {name}")
                } else {
                    format!("fires at the {which}, {name}")
                };
                write!(f, "clocks go back that day, {time} comes twice: {fires}")
            }
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", clock(self.time), self.abbreviation)
    }
}

/// What does not exist, with its day where that is another one.
fn missing(first: DateTime, more: bool, after: DateTime) -> String {
    let time = if first.date() == after.date() {
        clock(first)
    } else {
        format!("{} of {}", clock(first), first.date())
    };
    if more {
        format!("{time} and others before {} do not exist", clock(after))
    } else {
        format!("{time} does not exist")
    }
}

/// Hours and minutes; seconds where there are any.
fn clock(at: DateTime) -> String {
    let format = if at.second() == 0 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    at.strftime(format).to_string()
}

impl Wall {
    /// What has to be said of a due time.
    pub(super) fn note(&self, due_ms: u64) -> Option<Note> {
        let due = Timestamp::from_millisecond(i64::try_from(due_ms).ok()?).ok()?;
        self.made_up(due)
            .or_else(|| self.passed_over(due))
            .or_else(|| self.twice(due))
    }

    fn made_up(&self, due: Timestamp) -> Option<Note> {
        let change = self.change_at(due)?;
        let first = self.missed(&change)?;
        Some(Note::MadeUp {
            first,
            more: self.fits_between(first, &change),
            at: self.clock_at(due),
            own: self.fields().next(change.new) == Some(change.new),
        })
    }

    /// Said of the first due time after the change.
    fn passed_over(&self, due: Timestamp) -> Option<Note> {
        let forward = |change: &Change| change.new > change.old && self.kin() == Kin::Hourly;
        let change = self.changes_before(due).find(forward)?;
        let first = self.fields().next(change.old)?;
        let next = self.fields().next(change.new)?;
        let at = self.clock_at(due);
        (first < change.new && next == at.time).then(|| Note::PassedOver {
            first,
            more: self.fits_between(first, &change),
            after: self.clock_at(change.at),
        })
    }

    fn twice(&self, due: Timestamp) -> Option<Note> {
        let at = self.clock_at(due);
        match self.zone().to_ambiguous_timestamp(at.time).offset() {
            AmbiguousOffset::Fold { before, .. } => Some(Note::Twice {
                pass: if self.zone().to_offset(due) == before {
                    Pass::First
                } else {
                    Pass::Second
                },
                at,
                fires_both: self.kin() != Kin::Times,
            }),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
        }
    }

    /// Whether more than `first` fits of what a change passed over.
    fn fits_between(&self, first: DateTime, change: &Change) -> bool {
        let later = first.checked_add(jiff::SignedDuration::from_secs(1)).ok();
        let next = later.and_then(|later| self.fields().next(later));
        next.is_some_and(|next| next < change.new)
    }

    fn clock_at(&self, at: Timestamp) -> Shown {
        let info = self.zone().to_offset_info(at);
        Shown {
            time: info.offset().to_datetime(at),
            abbreviation: info.abbreviation().to_owned(),
        }
    }
}
