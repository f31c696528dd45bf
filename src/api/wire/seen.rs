//! A task as it is told: what was submitted, where it stands, what it has been through.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Attempt, NodeLabels, OnLost, Permit, Raw, TaskState, Time};

/// A task with its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its identity, a `UUIDv7`.
    pub id: Uuid,
    /// Where it stands.
    pub state: TaskState,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// 1 to 9, higher sooner.
    pub priority: u8,
    /// As submitted.
    #[schema(value_type = Value)]
    pub payload: Raw,
    /// As submitted.
    pub labels: BTreeMap<String, String>,
    /// As submitted.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// As submitted; left out where it asks for none, like the next three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permits: Vec<Permit>,
    /// As submitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// As submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// As submitted.
    #[serde(default, skip_serializing_if = "NodeLabels::is_empty")]
    pub node_labels: NodeLabels,
    /// When it was accepted.
    pub created_at: Time,
    /// Not before this; null once nothing but a node is waited for.
    pub run_at: Option<Time>,
    /// Failures it may have.
    pub max_attempts: u32,
    /// Failures it has had.
    pub failures: u32,
    /// Deaths of nodes charged to it: it was all that its claim held when the node's process was gone.
    pub deaths: u32,
    /// An attempt's time limit, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// What a run does when its node loses its session; left out where it is stopped.
    #[serde(default, skip_serializing_if = "OnLost::is_stop")]
    pub on_lost: OnLost,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// Why it does not run yet, in words, e.g. "no live node runs kind `x`".
    #[serde(default)]
    pub waiting_for: Option<String>,
    /// The schedule that made it; left out where a user did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The due time of that schedule that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// One page of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// The tasks; their `revision` is the page's.
    pub items: Vec<Task>,
    /// Pass it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}
