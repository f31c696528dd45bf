//! Answers about the cluster: who leads, which nodes there are, how queues stand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::reason;
use super::{FieldError, QueueRulesRequest, Time};

/// Who leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Leader {
    /// The leading node.
    pub node: String,
    /// Its term: the create revision of its election key; a later leader's is greater.
    pub term: i64,
    /// When the term began.
    pub since: Time,
    /// Where the leading node answers.
    pub address: String,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// The terms that were, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeaderHistory {
    /// The terms; the first is the present one where somebody leads.
    pub items: Vec<Term>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// One term.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Term {
    /// Its number.
    pub term: i64,
    /// Who led.
    pub node: String,
    /// When it began.
    pub from: Time,
    /// When its end was seen; null while it lasts.
    pub until: Option<Time>,
    /// Why it ended; null while it lasts.
    pub ended_by: Option<TermEnd>,
    /// How long nobody led after it, in milliseconds on one node's monotonic clock: from the loss
    /// being seen to the next activation answered. Null while it lasts, or where nobody saw the loss.
    pub leaderless_ms: Option<u64>,
    /// The failover it ended by, as `/v1/failovers/{id}` names it; null while it lasts, or where none is on record.
    #[serde(default)]
    pub failover: Option<i64>,
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TermEnd {
    /// The leader stepped down.
    Resigned,
    /// Its lease expired or was revoked.
    LeaseGone,
    /// Somebody deleted its election key.
    KeyDeleted,
    /// Nobody saw it.
    Unknown,
}

impl TermEnd {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resigned => "resigned",
            Self::LeaseGone => "lease_gone",
            Self::KeyDeleted => "key_deleted",
            Self::Unknown => "unknown",
        }
    }
}

/// What a resignation answers: the term that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resigned {
    /// Who led.
    pub node: String,
    /// The term that it gave up.
    pub term: i64,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name.
    pub id: String,
    /// How it stands.
    pub state: NodeState,
    /// Whether it leads.
    pub leader: bool,
    /// How much it can run at once, and how much of that is in use.
    pub slots: Slots,
    /// Tasks that it holds: what runs, and what has not started yet. Of a node that drains, what is left.
    #[serde(default)]
    pub tasks: u64,
    /// Since when and why it is drained; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// How its slots came to be as many; null where they are fixed.
    pub adaptive: Option<AdaptiveSlots>,
    /// The kinds of work that it runs.
    pub kinds: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its release.
    pub version: String,
    /// When its process started.
    pub started_at: Time,
    /// Where it answers.
    pub address: String,
    /// The process: another one under the same name has another.
    pub instance: String,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// That a node is to take no work until it is undrained, whoever runs under its name by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drain {
    /// Since when.
    pub since: Time,
    /// Why, in the words of who asked for it; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// A name that is drained and that no live node has: one that starts under it takes no work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainedName {
    /// The name.
    pub node: String,
    /// Since when and why.
    #[serde(flatten)]
    pub drain: Drain,
}

/// Why a node is to be drained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrainRequest {
    /// For those who ask why it takes no work, at most 200 bytes; where it is drained already, none keeps the one it has.
    pub reason: String,
}

impl DrainRequest {
    /// Every field that is out of its bound.
    pub fn check(&self) -> Vec<FieldError> {
        reason(&self.reason).into_iter().collect()
    }
}

/// What a drain or an undrain answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeDrain {
    /// The node.
    pub node: String,
    /// Since when and why it is drained; null where it is not, now.
    pub drain: Option<Drain>,
    /// Whether that is so since before this request.
    pub already: bool,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It holds its lease and takes work.
    Live,
    /// It finishes what it has and takes nothing new: it is drained, or leaves.
    Draining,
    /// It is drained, and has nothing left.
    Drained,
    /// Its lease is gone; it still has claims on record.
    Gone,
}

impl NodeState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Gone => "gone",
        }
    }
}

/// Tasks that run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Slots {
    /// At most.
    pub total: u32,
    /// Now.
    pub busy: u32,
}

/// Slots between a least and a most, as they were decided at their last change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdaptiveSlots {
    /// At least.
    pub min: u32,
    /// At most.
    pub max: u32,
    /// Why they changed last: `start`, `waits` (all were taken and work waited), `busy` (all were taken), `idle` (they were spare for
    /// long), `cpu` or `memory` (the machine was short of it), `unknown` (all were taken, and how the machine is used is not known).
    pub why: String,
    /// How many of the slots were in use then, on average, in percent; 0 at the start, like the next two.
    pub busy_percent: u8,
    /// How many tasks in hand waited for a slot then.
    pub in_hand: u32,
    /// How long a task had waited in the queue at most, in milliseconds.
    pub waited_ms: u64,
    /// How much of the processors was in use then, in percent; null where that was not known, like the next three.
    pub cpu_percent: Option<u8>,
    /// How much of the time work waited for a processor, in percent.
    pub cpu_stalled_percent: Option<u8>,
    /// How much of the memory was in use then, in percent.
    pub memory_percent: Option<u8>,
    /// How much of the time work waited for memory, in percent.
    pub memory_stalled_percent: Option<u8>,
}

/// All nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodePage {
    /// The nodes, by name.
    pub items: Vec<Node>,
    /// Names that are drained and that none of them has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drained_names: Vec<DrainedName>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// How a queue stands. Tasks, not packs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Tasks that wait for a node.
    pub pending: u64,
    /// Tasks whose time has not come.
    pub scheduled: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that wait for a decision.
    pub dead: u64,
    /// Since when the oldest pending task could have run.
    pub oldest_pending_at: Option<Time>,
    /// The kinds of its pending tasks.
    pub kinds: Vec<String>,
    /// Whether the counts are exact; if not they are lower bounds.
    pub exact: bool,
    /// The rules that were set; null where there are none.
    #[serde(default)]
    pub rules: Option<QueueRulesRequest>,
    /// Since when it is paused; null where it is not.
    #[serde(default)]
    pub paused_at: Option<Time>,
    /// Why, in the words of who paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<String>,
}

/// All queues that hold anything or have rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueuePage {
    /// The queues, by name.
    pub items: Vec<Queue>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// The cluster on one page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Tasks by state.
    pub tasks: TaskCounts,
    /// Nodes that take work: those that drain or are drained do not count.
    pub nodes: u32,
    /// The slots of all those together.
    pub slots: Slots,
    /// Who leads; null where nobody does.
    pub leader: Option<Leader>,
    /// The store.
    pub etcd: EtcdStats,
    /// How much service the node that answers gives.
    #[serde(default)]
    pub service: Service,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// How much service a node gives: whose submits it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// `full`, `reduced`, `minimal` or `emergency`.
    pub level: String,
    /// Why it is not full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Tasks by state. Ended ones are counted until they are collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    /// Their time has not come.
    pub scheduled: u64,
    /// They wait for a node.
    pub pending: u64,
    /// They run.
    pub running: u64,
    /// They are done; null where that is not counted.
    pub succeeded: Option<u64>,
    /// They wait for a decision.
    pub dead: u64,
    /// They were cancelled; null where that is not counted.
    pub cancelled: Option<u64>,
    /// Whether the counts are exact; if not they are lower bounds.
    pub exact: bool,
}

/// How full the store is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EtcdStats {
    /// Its version.
    pub version: Option<String>,
    /// The size of its database on disk, in bytes.
    pub db_size: u64,
    /// What of it is in use, in bytes.
    pub db_size_in_use: u64,
    /// The size at which etcd refuses writes, in bytes.
    pub quota: u64,
    /// Whether new work is refused for want of room.
    #[serde(default)]
    pub full: bool,
}
