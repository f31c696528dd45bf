//! What the keys of schedules hold, as far as it is judged.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Routing;
use crate::check::ids::PackId;

/// A schedule as it is declared.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Schedule {
    /// When it is due.
    pub when: When,
    /// Not due before this, in milliseconds since 1970.
    #[serde(default)]
    pub start_ms: Option<u64>,
    /// Not due after this.
    #[serde(default)]
    pub end_ms: Option<u64>,
    /// Its time zone, which tells expressions apart.
    #[serde(default)]
    pub zone: Option<String>,
    /// So many milliseconds later at most than it is due it is fired.
    #[serde(default)]
    pub jitter_ms: u64,
    /// What happens while an earlier task has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens to what was missed.
    #[serde(default)]
    pub misfire: Misfire,
    /// What was missed for longer is not caught up on.
    #[serde(default = "hour")]
    pub catch_up_ms: u64,
    /// Nothing is fired later than so many milliseconds after it was due.
    #[serde(default)]
    pub start_deadline_ms: Option<u64>,
    /// Whether nothing is due.
    #[serde(default)]
    pub paused: Option<IgnoredAny>,
    /// Where its tasks go.
    pub routing: Routing,
}

/// When a schedule is due.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum When {
    /// By an expression.
    #[serde(rename = "cron")]
    Cron(String),
    /// Every so many milliseconds.
    #[serde(rename = "every_ms")]
    Every(u64),
    /// Once, in milliseconds since 1970.
    #[serde(rename = "at_ms")]
    At(u64),
}

/// What happens while an earlier task of a schedule has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Another one is fired.
    Allow,
    /// Nothing is.
    #[default]
    Skip,
    /// It is cancelled for another one.
    Replace,
    /// One waits for it.
    QueueOne,
}

/// What happens to due times that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// None is fired.
    Skip,
    /// The latest one is.
    #[default]
    FireOnce,
    /// So many of the latest are.
    FireAll(u64),
}

/// How far a schedule has got.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Progress {
    /// All due times up to this one are decided.
    pub done: u64,
    /// The next one.
    #[serde(default)]
    pub next: Option<u64>,
    /// When that is fired.
    #[serde(default)]
    pub tick: Option<u64>,
    /// Missed ones up to this one are to be fired.
    #[serde(default)]
    pub owed: Option<u64>,
    /// Lines of its ledger ever.
    pub count: u64,
    /// Those that no full page has.
    #[serde(default)]
    pub recent: Vec<Line>,
}

/// A line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// The due time, or the first of several.
    pub due: u64,
    /// Until when they are due, where it is about several.
    #[serde(default)]
    pub until: Option<u64>,
    /// How many it is about.
    #[serde(default = "one")]
    pub times: u64,
    /// So much later it was to be fired.
    #[serde(default)]
    pub jitter: u64,
    /// So much later than that it was decided.
    #[serde(default)]
    pub late: u64,
    /// Why it was not fired.
    #[serde(default)]
    pub skipped: Option<Skipped>,
    /// What had it fired.
    #[serde(default)]
    pub by: By,
    /// Its pack, where it says so.
    #[serde(default)]
    pub pack: Option<PackId>,
}

/// What has a task fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its time came.
    #[default]
    Clock,
    /// It had been missed.
    CatchUp,
    /// Somebody wanted one.
    Trigger,
    /// Somebody wanted that of a past time.
    Backfill,
}

/// Why a due time was not fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// An earlier task had not ended.
    Overlap,
    /// It was missed, and is not one of those that are made up for.
    Misfire,
    /// It was missed for too long.
    Window,
    /// It was too late to start.
    Deadline,
    /// The schedule was paused.
    Paused,
    /// The schedule was edited.
    Edited,
}

/// A full page of a ledger.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Page {
    /// Its lines, oldest first.
    pub lines: Vec<Line>,
}

/// What a pack says of the schedule that made it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Fired {
    /// The schedule.
    pub schedule: String,
    /// The due time, in milliseconds since 1970.
    pub due_ms: u64,
}

impl Schedule {
    /// Whether it is due when the other is, but for a pause.
    pub fn is_due_like(&self, other: &Self) -> bool {
        let when = self.when == other.when && self.zone == other.zone;
        when && self.start_ms == other.start_ms && self.end_ms == other.end_ms
    }
}

impl Misfire {
    /// How many missed due times are fired.
    pub fn fires(self) -> u64 {
        match self {
            Self::Skip => 0,
            Self::FireOnce => 1,
            Self::FireAll(max) => max,
        }
    }
}

impl Line {
    /// When it was decided, by the clock of who did.
    pub fn decided_ms(&self) -> u64 {
        self.due + self.jitter + self.late
    }

    /// Whether it is about a due time, and not about what somebody asked for.
    pub fn is_of_the_clock(&self) -> bool {
        matches!(self.by, By::Clock | By::CatchUp)
    }
}

impl Skipped {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Misfire => "misfire",
            Self::Window => "window",
            Self::Deadline => "deadline",
            Self::Paused => "paused",
            Self::Edited => "edited",
        }
    }
}

fn hour() -> u64 {
    3_600_000
}

fn one() -> u64 {
    1
}
