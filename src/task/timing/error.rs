//! Why a declaration is refused: which field, where in it, and what would be right.

use std::fmt;

/// Why a [`Timing`](super::Timing) cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{detail}", .position.map(|at| format!("{at}: ")).unwrap_or_default())]
pub struct TimingError {
    /// The field at fault.
    pub field: TimingField,
    /// Where in the field's text, if it can be told.
    pub position: Option<Position>,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// A field of a schedule that says when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimingField {
    /// The expression.
    Cron,
    /// The period.
    Every,
    /// The one instant.
    At,
    /// The time zone.
    Timezone,
    /// The end.
    End,
}

/// A place in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which character of the text, from 1.
    pub character: usize,
    /// Which part of the expression it is in, if it is in one.
    pub part: Option<Part>,
}

/// A part of an expression, in the order of six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// 0 to 59; an expression of five parts has none and means 0.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or `JAN` to `DEC`.
    Month,
    /// 0 to 7, both Sunday, or `SUN` to `SAT`.
    DayOfWeek,
}

impl TimingError {
    /// A fault of a whole field.
    pub(super) fn of(field: TimingField, detail: impl Into<String>) -> Self {
        Self {
            field,
            position: None,
            detail: detail.into(),
        }
    }

    /// A fault at a place of the expression.
    pub(super) fn at(character: usize, part: Option<Part>, detail: impl Into<String>) -> Self {
        Self {
            field: TimingField::Cron,
            position: Some(Position { character, part }),
            detail: detail.into(),
        }
    }
}

impl TimingField {
    /// Its name in requests and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cron => "cron",
            Self::Every => "every_ms",
            Self::At => "at",
            Self::Timezone => "timezone",
            Self::End => "end",
        }
    }
}

impl Part {
    /// All, in the order of six.
    pub(super) const ALL: [Self; 6] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::DayOfMonth,
        Self::Month,
        Self::DayOfWeek,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }
}

impl fmt::Display for TimingField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = self.part {
            write!(f, "{part}, ")?;
        }
        write!(f, "character {}", self.character)
    }
}
