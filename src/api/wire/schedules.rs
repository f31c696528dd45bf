//! The words of schedules: what one is declared to be, what is told of it, what became of its due times.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{SubmitRequest, Time};
use crate::task::CATCH_UP_MS;

mod check;
mod history;

pub(in crate::api) use check::instant;
pub use check::{LINES_MAX, NEXT_MAX, schedule_name};
pub use history::{
    BackfillRequest, Backfilled, BackfilledTask, Due, Filled, FiredBy, Happened, Occurrence,
    Preview, ScheduleHistory, SkipReason, Triggered,
};

/// 10 missed due times are fired with `fire_all` where `misfire_max` is absent.
pub const MISFIRE_MAX_DEFAULT: i64 = 10;

/// A schedule to declare: when it is due, exactly one of `cron`, `every_ms` and `at`, and the task that is made then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleRequest {
    /// Due by a cron expression of 5 or 6 parts, or a word such as `@hourly` or `@every 90s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("30 2 * * MON-FRI"))]
    pub cron: Option<String>,
    /// Due every so many milliseconds, 1,000 to 31,622,400,000, counted from `start`, or from 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000, maximum = 31_622_400_000_i64)]
    pub every_ms: Option<i64>,
    /// Due once, at this instant (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// Where the clock hangs that `cron` speaks of, an IANA name; UTC where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("Europe/Berlin"))]
    pub timezone: Option<String>,
    /// Not due before this instant (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub start: Option<String>,
    /// Not due after this instant (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub end: Option<String>,
    /// Each due time is fired up to so many milliseconds later, always the same ones, 0 to 86,400,000.
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub jitter_ms: i64,
    /// What happens to a due time while an earlier task of the schedule has not ended.
    pub overlap: Overlap,
    /// What happens to due times that were missed.
    pub misfire: Misfire,
    /// How many missed ones are fired at most with `fire_all`, 1 to 1,000; 10 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub misfire_max: Option<i64>,
    /// Those missed for longer, in milliseconds, are not caught up on, 0 to 2,592,000,000; an hour where absent.
    #[schema(minimum = 0, maximum = 2_592_000_000_i64)]
    pub catch_up_ms: i64,
    /// Nothing is fired later than so many milliseconds after its due time, 1,000 to 2,592,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000, maximum = 2_592_000_000_i64)]
    pub start_deadline_ms: Option<i64>,
    /// Short words to find it by: at most 32, keys up to 64 bytes, values up to 256.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The task, as it would be submitted, but for `run_at`, `delay_ms` and `idempotency_key`. A preview needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<SubmitRequest>,
}

impl Default for ScheduleRequest {
    fn default() -> Self {
        Self {
            cron: None,
            every_ms: None,
            at: None,
            timezone: None,
            start: None,
            end: None,
            jitter_ms: 0,
            overlap: Overlap::default(),
            misfire: Misfire::default(),
            misfire_max: None,
            catch_up_ms: CATCH_UP_MS.cast_signed(),
            start_deadline_ms: None,
            labels: BTreeMap::new(),
            task: None,
        }
    }
}

/// What happens to a due time while an earlier task of the schedule has not ended: a dead letter has.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Overlap {
    /// It is fired all the same
    Allow,
    /// It is skipped
    #[default]
    Skip,
    /// The earlier one is cancelled; the new one begins when it has stopped
    Replace,
    /// One may wait for the earlier one to end; beyond, it is skipped
    QueueOne,
}

/// What happens to due times that nobody fired for longer than 30 s: nobody led, or etcd was away or nearly full.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Misfire {
    /// They are skipped
    Skip,
    /// The latest of them is fired
    #[default]
    FireOnce,
    /// The latest ones are fired, as many as `misfire_max` says
    FireAll,
}

/// A schedule: as it was declared, how far it has got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// As declared, like all down to `task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// As declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<i64>,
    /// As declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// As declared; UTC where a cron expression has none, but for `@every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// As declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// As declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// As declared.
    pub jitter_ms: i64,
    /// As declared.
    pub overlap: Overlap,
    /// As declared.
    pub misfire: Misfire,
    /// As declared, with `fire_all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misfire_max: Option<i64>,
    /// As declared.
    pub catch_up_ms: i64,
    /// As declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_deadline_ms: Option<i64>,
    /// As declared.
    pub labels: BTreeMap<String, String>,
    /// As declared.
    pub task: SubmitRequest,
    /// When it is due, in English.
    pub english: String,
    /// Since when it is paused; null where it is not.
    pub paused_at: Option<Time>,
    /// Why, in the words of who paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<String>,
    /// Its next due time; null where there is none, or it is paused.
    pub next: Option<Time>,
    /// When that is fired: its jitter later.
    pub next_fire: Option<Time>,
    /// What became of the last due times that are decided; null where none is.
    pub last: Option<Occurrence>,
    /// Its tasks that are not known to have ended, oldest first; none are told where they may overlap.
    pub open: Vec<Uuid>,
    /// When it was declared first.
    pub created_at: Time,
    /// The version of what was declared and of its pause, for `If-Match`; its `ETag`.
    pub version: i64,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// One page of schedules, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SchedulePage {
    /// The schedules; their `revision` is the page's.
    pub items: Vec<Schedule>,
    /// Pass it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// A schedule that was taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleDeleted {
    /// Its name.
    pub name: String,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

impl Schedule {
    /// What would declare it as it is.
    pub fn declared(self) -> ScheduleRequest {
        let text = |time: Option<Time>| time.map(|time| time.to_string());
        ScheduleRequest {
            cron: self.cron,
            every_ms: self.every_ms,
            at: text(self.at),
            timezone: self.timezone,
            start: text(self.start),
            end: text(self.end),
            jitter_ms: self.jitter_ms,
            overlap: self.overlap,
            misfire: self.misfire,
            misfire_max: self.misfire_max,
            catch_up_ms: self.catch_up_ms,
            start_deadline_ms: self.start_deadline_ms,
            labels: self.labels,
            task: Some(self.task),
        }
    }
}
