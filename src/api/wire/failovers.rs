//! What became of sessions and terms that are over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Time;

/// What became of a node's session that is over, or of a leader's term that is over while its session lives. What nobody saw is null.
///
/// Times of day are by the clock of whoever saw it. What is named `_ms` is a length; all but `detection_ms` are measured on one leader's
/// monotonic clock, from `gone_at`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Failover {
    /// The session; of a term that is over while its session lives, the term.
    pub id: i64,
    /// `leader` where it led, `node` otherwise.
    pub of: FailoverOf,
    /// The node.
    pub node: String,
    /// The process; null where nobody saw.
    pub instance: Option<String>,
    /// The session: create revision of the node's key.
    pub session: Option<i64>,
    /// Whether that session is over; if not, only its term is.
    pub died: bool,
    /// The term that it led; null where it did not, or where nobody saw.
    pub term: Option<i64>,
    /// How its end was known.
    pub evidence: Option<FailoverEvidence>,
    /// The node that noticed it before etcd told.
    pub by: Option<String>,
    /// The last sign of life.
    pub last_seen_at: Option<Time>,
    /// What sign: a word over the `link` to `by`, by that one's clock, or its own `clock`, which it tells etcd every 15 s.
    pub last_seen_by: Option<FailoverSign>,
    /// When `by` noticed, by its clock.
    pub noticed_at: Option<Time>,
    /// When the leader saw its key gone, or found it gone.
    pub gone_at: Time,
    /// Which of both.
    pub gone_how: FailoverHow,
    /// The revision of etcd at which the key went.
    pub gone_revision: Option<i64>,
    /// From the last word over a link to `gone_at`: the difference of two wall clocks where `by` does not lead.
    pub detection_ms: Option<u64>,
    /// How leadership went on, where it led and the next leader saw its end.
    pub succession: Option<Succession>,
    /// What became of the tasks that it held.
    pub tasks: MovedTasks,
    /// The leaders that told of it, the first first. Waits of what one of them saw count from when that one saw or found the key gone.
    pub told_by: Vec<FailoverTeller>,
    /// When there was no more to tell; null while there may be.
    pub complete_at: Option<Time>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}

/// Whose end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverOf {
    /// Of the leader.
    Leader,
    /// Of another node.
    Node,
}

/// How an end was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverEvidence {
    /// Its link broke, and connecting anew was refused.
    Refused,
    /// Another process answered in its place.
    Replaced,
    /// It said that it leaves, or gave up its term.
    Left,
    /// Its lease ended: it ran out, or somebody revoked it.
    Lease,
    /// Its key was deleted while its lease lived.
    Key,
}

impl FailoverEvidence {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Left => "left",
            Self::Lease => "lease",
            Self::Key => "key",
        }
    }
}

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverSign {
    /// A word over a link between nodes.
    Link,
    /// What it told etcd its clock says.
    Clock,
}

/// How a leader knows that a key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverHow {
    /// It watched it go.
    Watched,
    /// It was gone when it looked: it may have been for long.
    Found,
}

/// How leadership went on, in milliseconds from `gone_at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Succession {
    /// The next leader.
    pub node: String,
    /// Its term.
    pub term: i64,
    /// It was seen to be the oldest candidate.
    pub oldest_ms: u64,
    /// Its activation was answered: for so long nobody led.
    pub leaderless_ms: u64,
    /// What it leads from was loaded.
    pub view_ms: Option<u64>,
    /// It saw its first assignment committed; null where there was nothing to assign within a minute.
    pub assigned_ms: Option<u64>,
}

/// What became of the tasks that a session held when it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedTasks {
    /// How many they were.
    pub held: u64,
    /// How many of them were started elsewhere.
    pub started: u64,
    /// How many ended instead, or wait for a time or a decision.
    pub ended: u64,
    /// How many may still be started, or were and nobody saw it.
    pub open: u64,
    /// When the last claim was taken back, in milliseconds from `gone_at`.
    pub reclaimed_ms: Option<u64>,
    /// The median wait, in milliseconds from `gone_at` to the new claim seen committed; to three digits above a second.
    pub wait_p50_ms: Option<u64>,
    /// The longest wait.
    pub wait_max_ms: Option<u64>,
    /// The first 100 that were started; in a list of failovers they are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<MovedTask>,
}

/// A task that was started elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedTask {
    /// Which.
    pub task: Uuid,
    /// Where.
    pub node: String,
    /// How long it waited, in milliseconds.
    pub wait_ms: u64,
}

/// A leader that told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailoverTeller {
    /// Which.
    pub node: String,
    /// Its term.
    pub term: i64,
    /// Since when, by its clock.
    pub from: Time,
}

/// Failovers, begun last first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailoverPage {
    /// The failovers, without the tasks one by one.
    pub items: Vec<Failover>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
    /// The revision of etcd at which this is true.
    pub revision: i64,
}
