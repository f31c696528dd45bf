//! The words of limits: what a task asks for beside a slot, semaphores, and the rules of queues.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, Time};
use crate::task::LIMIT_MAX;

/// 1,000: the largest weight of a queue.
pub(super) const WEIGHT_MAX: i64 = 1_000;
/// 1,000,000,000 tasks: the largest bound of a backlog.
pub(super) const BACKLOG_MAX: i64 = 1_000_000_000;
/// 86,400,000 ms, a day: the longest time that a rate is given for.
pub(super) const RATE_MS_MAX: i64 = 86_400_000;
/// 200 bytes for the reason of a pause or a drain.
const REASON_BYTES_MAX: usize = 200;

/// A part of a semaphore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// The semaphore's name: 1 to 64 of `a-z A-Z 0-9 . _ -`, a letter or digit first.
    pub semaphore: String,
    /// How much of it, 1 to 1,000,000.
    #[serde(default = "default_weight")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub weight: i64,
}

/// What the labels of a node have to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodeLabels {
    /// The node has all of these: at most 8.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, String>,
    /// Of several nodes with room, the one with most of these: at most 8.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prefer: BTreeMap<String, String>,
}

impl NodeLabels {
    /// Whether nothing is said of them.
    pub fn is_empty(&self) -> bool {
        self.require.is_empty() && self.prefer.is_empty()
    }
}

fn default_weight() -> i64 {
    1
}

/// A semaphore's limit, to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SemaphoreRequest {
    /// How much of it may be held at once, 0 to 1,000,000. A lower limit takes nothing away.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub limit: i64,
}

/// A semaphore's limit, as it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SemaphoreLimit {
    /// Its name.
    pub name: String,
    /// Its limit; null where it is no longer declared, and then nothing of it is given.
    pub limit: Option<u32>,
    /// Its version, for `If-Match`; 0 where it is no longer declared.
    pub version: i64,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// The rules of a queue, to be set: all of them; what is absent is no rule. A pause is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueRulesRequest {
    /// Its share of starts beside other queues that have work, 1 to 1,000; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub weight: Option<i64>,
    /// How many of its tasks run at once, 1 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub concurrency: Option<i64>,
    /// How many of its tasks with one `concurrency_key` run at once, 1 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub per_key: Option<i64>,
    /// How fast its tasks start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// About how many pending tasks it may have; a submit beyond is refused with 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub backlog_max: Option<i64>,
    /// Whose submits are refused first where service is reduced; normal where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
}

/// Whose submits are refused first where service is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// First: where service is reduced.
    Low,
    /// Where it is minimal.
    Normal,
    /// Last: in an emergency only.
    High,
}

/// A token bucket: it fills at a rate, up to a burst, and each start takes one. A leader that takes over begins with an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Starts, 1 to 1,000,000,
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub tasks: i64,
    /// in so many milliseconds, 1 to 86,400,000; 1,000 where absent.
    #[serde(default = "a_second")]
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub per_ms: i64,
    /// Starts at once after a quiet time, 1 to 1,000,000; as many as `tasks` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub burst: Option<i64>,
}

fn a_second() -> i64 {
    1_000
}

/// The rules of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueRules {
    /// The queue.
    pub name: String,
    /// The rules that were set.
    #[serde(flatten)]
    pub rules: QueueRulesRequest,
    /// Since when it is paused; null where it is not.
    pub paused_at: Option<Time>,
    /// Why, in the words of who paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<String>,
    /// The version of all this, for `If-Match`; 0 where it has no rules.
    pub version: i64,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// Why a queue is to be paused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PauseRequest {
    /// For those who ask why nothing runs, at most 200 bytes.
    pub reason: String,
}

impl SemaphoreRequest {
    /// Every field that is out of its bound.
    pub fn check(&self) -> Vec<FieldError> {
        range("limit", self.limit, 0, i64::from(LIMIT_MAX))
            .into_iter()
            .collect()
    }
}

impl QueueRulesRequest {
    /// Every field that is out of its bound.
    pub fn check(&self) -> Vec<FieldError> {
        let limit_max = i64::from(LIMIT_MAX);
        let rate = |part: fn(&Rate) -> Option<i64>| self.rate.as_ref().and_then(part);
        let fields = [
            ("weight", self.weight, WEIGHT_MAX),
            ("concurrency", self.concurrency, limit_max),
            ("per_key", self.per_key, limit_max),
            ("rate.tasks", rate(|rate| Some(rate.tasks)), limit_max),
            ("rate.per_ms", rate(|rate| Some(rate.per_ms)), RATE_MS_MAX),
            ("rate.burst", rate(|rate| rate.burst), limit_max),
            ("backlog_max", self.backlog_max, BACKLOG_MAX),
        ];
        let fault = |(field, value, max): (&str, Option<i64>, i64)| range(field, value?, 1, max);
        fields.into_iter().filter_map(fault).collect()
    }
}

impl PauseRequest {
    /// Every field that is out of its bound.
    pub fn check(&self) -> Vec<FieldError> {
        reason(&self.reason).into_iter().collect()
    }
}

/// What is wrong with a reason of a pause or a drain.
pub(super) fn reason(reason: &str) -> Option<FieldError> {
    let bytes = reason.len();
    let detail = || format!("has {bytes} bytes; at most {REASON_BYTES_MAX} are allowed");
    (bytes > REASON_BYTES_MAX).then(|| FieldError::new("reason", detail()))
}

fn range(field: &str, value: i64, low: i64, high: i64) -> Option<FieldError> {
    let detail = || format!("{value} is not in {low} to {high}");
    (!(low..=high).contains(&value)).then(|| FieldError::new(field, detail()))
}
