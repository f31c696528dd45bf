//! The words of the admin API: what goes over HTTP, shared by the server and the CLI.
//! Wire types only: they never reach a key of etcd, and stored types never reach a client.
//!
//! Numbers of requests are wide and signed, so that a value out of range arrives and is refused by
//! name with its bound ([`SubmitRequest::check`]) instead of failing as "invalid type".

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::task;

mod breakers;
mod canonical;
pub mod check;
mod cluster;
mod debug;
mod failovers;
pub mod holds;
mod limits;
mod problem;
mod raw;
mod read;
mod schedules;
mod seen;

pub use breakers::{Breaker, BreakerPage, BreakerState, ResetAsked, ResetRequest};
pub use canonical::canonical;
pub use check::{BATCH_BYTES_MAX, BATCH_TASKS_MAX, PAYLOAD_BYTES_MAX};
pub use cluster::{
    AdaptiveSlots, Drain, DrainRequest, DrainedName, EtcdStats, Leader, LeaderHistory, Node,
    NodeDrain, NodePage, NodeState, Queue, QueuePage, Resigned, Service, Slots, Stats, TaskCounts,
    Term, TermEnd,
};
pub use debug::{DebugDepth, DebugEtcd, DebugMember, DebugRuntime, DebugState, DebugWorker};
pub use failovers::{
    Failover, FailoverEvidence, FailoverHow, FailoverOf, FailoverPage, FailoverSign,
    FailoverTeller, MovedTask, MovedTasks, Succession,
};
pub use limits::{
    Importance, NodeLabels, PauseRequest, Permit, QueueRules, QueueRulesRequest, Rate,
    SemaphoreLimit, SemaphoreRequest,
};
pub use problem::{Alive, Check, FieldError, PROBLEM_MEDIA_TYPE, Problem, ReadyReport, Version};
pub use raw::Raw;
pub use read::diagnose;
pub(super) use schedules::instant;
pub use schedules::{
    BackfillRequest, Backfilled, BackfilledTask, Due, Filled, FiredBy, Happened, LINES_MAX,
    MISFIRE_MAX_DEFAULT, Misfire, NEXT_MAX, Occurrence, Overlap, Preview, Schedule,
    ScheduleDeleted, ScheduleHistory, SchedulePage, ScheduleRequest, SkipReason, Triggered,
    schedule_name,
};
pub use seen::{Task, TaskPage};

/// An instant on the wire: RFC 3339, UTC, always with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-01-31T12:00:00.000Z"))]
pub struct Time(pub jiff::Timestamp);

impl Time {
    /// The instant `ms` milliseconds after the Unix epoch; the nearest one that jiff can hold.
    pub fn from_millis(ms: i64) -> Self {
        let nearest = if ms < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        };
        Self(jiff::Timestamp::from_millisecond(ms).unwrap_or(nearest))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        jiff::Timestamp::deserialize(from).map(Self)
    }
}

/// A task to submit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The queue it waits in: 1 to 64 of `a-z A-Z 0-9 . _ -`, a letter or digit first.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// What runs it: `command`, `http`, `noop`, `sleep`, `fail`, or a kind that a node has registered.
    pub kind: String,
    /// What the kind reads. At most the server's payload limit, 256 KiB by default.
    #[serde(default)]
    #[schema(value_type = Value)]
    pub payload: Raw,
    /// 1 to 9, higher sooner.
    #[serde(default = "default_priority")]
    #[schema(minimum = 1, maximum = 9)]
    pub priority: i64,
    /// Not before this instant (RFC 3339); null for now. Excludes `delay_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub run_at: Option<String>,
    /// Not before this many milliseconds from the submit. Excludes `run_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub delay_ms: Option<i64>,
    /// Attempts that may fail before the task is dead, 1 to 1,000. Deaths of nodes do not count.
    #[serde(default = "default_max_attempts")]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_attempts: i64,
    /// How long to wait between attempts.
    #[serde(default)]
    pub backoff: Backoff,
    /// An attempt that runs longer, in milliseconds, is stopped and has failed; null for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub timeout_ms: Option<i64>,
    /// What a run does when its node loses its session, and the task may be given to another.
    #[serde(default, skip_serializing_if = "OnLost::is_stop")]
    pub on_lost: OnLost,
    /// Short words to find it by: at most 32, keys up to 64 bytes, values up to 256.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// A JSON object for the submitter's own use, at most 16 KiB; handed to nobody, shown with the task.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// A second submit with the same key answers the first one's task. 1 to 200 visible
    /// ASCII characters. The header `Idempotency-Key` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Parts of semaphores that it holds while it runs: at most 8, taken together or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub permits: Vec<Permit>,
    /// Locks that it holds alone while it runs: at most 8, taken together or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub locks: Vec<String>,
    /// Of tasks of its queue with the same key, as many run at once as the queue's `per_key` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// Labels of the nodes that may run it, and of those that are better.
    #[serde(default, skip_serializing_if = "NodeLabels::is_empty")]
    pub node_labels: NodeLabels,
}

impl SubmitRequest {
    /// A submit of `kind` with `payload`, everything else at its default.
    pub fn new(kind: impl Into<String>, payload: Value) -> Self {
        Self {
            queue: default_queue(),
            kind: kind.into(),
            payload: Raw::from(payload),
            priority: default_priority(),
            run_at: None,
            delay_ms: None,
            max_attempts: default_max_attempts(),
            backoff: Backoff::default(),
            timeout_ms: None,
            on_lost: OnLost::Stop,
            labels: BTreeMap::new(),
            metadata: Map::new(),
            idempotency_key: None,
            permits: Vec::new(),
            locks: Vec::new(),
            concurrency_key: None,
            node_labels: NodeLabels::default(),
        }
    }
}

fn default_queue() -> String {
    "default".to_owned()
}

fn default_priority() -> i64 {
    5
}

fn default_max_attempts() -> i64 {
    5
}

/// What a run does when its node loses its session.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum OnLost {
    /// It is stopped before the task can be given to another node.
    #[default]
    Stop,
    /// It goes on, beside the attempt that may follow. Not with permits, locks or a concurrency key.
    Finish,
}

impl OnLost {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// The wait after failure n: `min(max_ms, initial_ms × factor^(n-1))`, less a random part of up to
/// `jitter` of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    /// The first wait, in milliseconds, 0 to 86,400,000.
    pub initial_ms: i64,
    /// Growth with each failure, 1 to 100.
    pub factor: f64,
    /// The longest wait, in milliseconds, from `initial_ms` to 604,800,000.
    pub max_ms: i64,
    /// The random part, 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        let task::Backoff {
            initial_ms,
            factor,
            max_ms,
            jitter,
        } = task::Backoff::default();
        Self {
            initial_ms: initial_ms.cast_signed(),
            factor,
            max_ms: max_ms.cast_signed(),
            jitter,
        }
    }
}

/// What a submit answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// The new task, or the one that the idempotency key already named.
    pub id: Uuid,
    /// Where it stood at `revision`.
    pub state: TaskState,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// Several tasks, accepted whole or refused whole: at most 1,000 and 1 MiB, with one idempotency
/// key for all of them (header `Idempotency-Key` or this field; none on the tasks).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The tasks.
    pub tasks: Vec<SubmitRequest>,
    /// As on [`SubmitRequest`], for the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// What a batch answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchSubmitted {
    /// The tasks, in the order of the request.
    pub ids: Vec<Uuid>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// The six words for where a task stands, the same wherever users look.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Its time has not come.
    Scheduled,
    /// It waits for a node.
    Pending,
    /// A node has it.
    Running,
    /// It is done.
    Succeeded,
    /// Its attempts or deaths are used up; it waits for a decision.
    Dead,
    /// It was cancelled.
    Cancelled,
}

impl TaskState {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it stays so unless somebody acts.
    pub fn is_settled(self) -> bool {
        match self {
            Self::Scheduled | Self::Pending | Self::Running => false,
            Self::Succeeded | Self::Dead | Self::Cancelled => true,
        }
    }
}

/// How an attempt stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AttemptOutcome {
    /// Not over.
    Running,
    /// It did what it should.
    Succeeded,
    /// It said that it failed.
    Failed,
    /// It ran past its time limit.
    Timeout,
    /// It was stopped by a cancel.
    Cancelled,
    /// Its node died or lost its session.
    Lost,
}

impl AttemptOutcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// One run of a task on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// The node that ran it.
    pub node: String,
    /// The token handed to the run; a later attempt's is greater.
    pub fence: i64,
    /// When it began; absent where that died with its node.
    pub started_at: Option<Time>,
    /// When it ended; absent while it runs.
    pub finished_at: Option<Time>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// What went wrong.
    pub error: Option<String>,
    /// What it gave: any JSON; for `command` its exit code and the tails of its output.
    pub output: Option<Value>,
}

/// What a POST on one thing did to it: cancel, retry.
pub type Acted = Submitted;
