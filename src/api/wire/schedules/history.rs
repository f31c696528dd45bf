//! The words of due times: those that come, and what became of those that came.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::wire::Time;

/// What became of a due time, or of several in a row that share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Occurrence {
    /// The due time; the first one where there are several.
    pub due: Time,
    /// The last one where there are several: every due time between them is among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// How many, 10,000 standing for more.
    pub times: u32,
    /// What became of it.
    pub outcome: Happened,
    /// Why it was not fired; null where it was.
    pub reason: Option<SkipReason>,
    /// What had it fired; null where it was not.
    pub by: Option<FiredBy>,
    /// The task; null where none was made. It is forgotten after its retention.
    pub task: Option<Uuid>,
    /// When it was fired, or decided that it is not.
    pub decided_at: Time,
    /// How much later than due it was to be fired, in milliseconds.
    pub jitter_ms: u64,
    /// How much later than that it was decided, in milliseconds.
    pub late_ms: u64,
}

/// What became of a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// A task was made.
    Fired,
    /// None was.
    Skipped,
}

/// Why a due time was not fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// An earlier task had not ended.
    Overlap,
    /// It was missed, and the rule for missed ones passed it over.
    Misfire,
    /// It was missed for longer than is caught up on.
    Window,
    /// Its deadline for starting had passed.
    Deadline,
    /// The schedule was paused.
    Paused,
    /// The schedule was edited before anybody fired it.
    Edited,
}

/// What had a task made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FiredBy {
    /// Its time came.
    Clock,
    /// It was missed, and made up for.
    CatchUp,
    /// A user wanted one at once.
    Trigger,
    /// A user wanted those of some time.
    Backfill,
}

/// The last due times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleHistory {
    /// The schedule.
    pub name: String,
    /// What became of them, the latest first. The last 512 lines are kept, at least.
    pub items: Vec<Occurrence>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// When a schedule is due next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// When it is due, in English.
    pub english: String,
    /// The time zone of `local`.
    pub timezone: String,
    /// The due times, the next first; fewer than were asked for where it ends.
    pub items: Vec<Due>,
    /// The revision of etcd at which this is true; absent where nothing is declared yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
}

/// A due time to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Due {
    /// The due time.
    pub due: Time,
    /// When it is fired: its jitter later.
    pub fire: Time,
    /// The due time as the clock of its time zone shows it.
    pub local: String,
    /// What has to be said of it because clocks change there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A task that was made at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Triggered {
    /// The schedule.
    pub name: String,
    /// The task.
    pub task: Uuid,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// Past due times that tasks are to be made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillRequest {
    /// From this instant on (RFC 3339), itself among them.
    #[schema(format = DateTime)]
    pub from: String,
    /// Up to this instant (RFC 3339), itself among them; not later than now.
    #[schema(format = DateTime)]
    pub to: String,
    /// Only says which they are.
    #[serde(default)]
    pub dry_run: bool,
}

/// Tasks of past due times. What has its task already is told, and no other is made of it, unless that is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backfilled {
    /// The schedule.
    pub name: String,
    /// Whether this only says which they are.
    pub dry_run: bool,
    /// How many are made by this, or would be.
    pub count: u64,
    /// Each due time and its task, the earliest first.
    pub items: Vec<BackfilledTask>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// A past due time and its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackfilledTask {
    /// The due time.
    pub due: Time,
    /// The task.
    pub task: Uuid,
    /// Whether that is made by this.
    pub outcome: Filled,
}

/// What becomes of a past due time that somebody wants a task of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filled {
    /// Its task is made by this, or would be where this only says so.
    Made,
    /// Its task was there.
    There,
}

impl SkipReason {
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

impl FiredBy {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::CatchUp => "catch_up",
            Self::Trigger => "trigger",
            Self::Backfill => "backfill",
        }
    }
}
