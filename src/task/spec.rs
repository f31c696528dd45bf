//! What a task is asked to be: its routing, policy and payload; immutable once submitted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::name::Name;
use super::needs::{Gate, Needs};
use super::retry::Backoff;
use super::schedule::Fired;
use super::which::Which;

/// JSON as the user wrote it: never re-encoded, so big integers and key order survive.
pub type Json = Arc<RawValue>;

/// 1 to 9, higher is sooner, 5 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// Refuses what is not 1 to 9.
    pub fn new(level: u8) -> Option<Self> {
        (1..=9).contains(&level).then_some(Self(level))
    }

    /// The level, 1 to 9.
    pub fn level(self) -> u8 {
        self.0
    }

    /// One digit that orders higher priorities first, for keys: 9 is `0`, 1 is `8`.
    pub fn inverted(self) -> u8 {
        9 - self.0
    }

    /// The priority of an inverted digit.
    pub fn from_inverted(digit: u8) -> Option<Self> {
        9_u8.checked_sub(digit).and_then(Self::new)
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;

    fn try_from(level: u8) -> Result<Self, String> {
        Self::new(level).ok_or_else(|| format!("priority {level} is not 1 to 9"))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// What decides where and in which order a task runs; shared by a whole pack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Routing {
    /// The queue it waits in.
    pub queue: Name,
    /// The kind of work; only nodes that publish it take it.
    pub kind: Name,
    /// Order within the queue.
    pub priority: Priority,
    /// What it takes beside a slot; none where that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Arc<Needs>>,
}

impl Routing {
    /// What has to be open for it to run, and how much of each its tasks take; see [`Needs::gates`].
    pub fn gates(&self) -> impl Iterator<Item = (Gate, u32)> + '_ {
        let needs = self.needs.iter();
        needs.flat_map(|needs| needs.gates(&self.queue))
    }

    /// Whether a claim of it holds one task only.
    pub fn alone(&self) -> bool {
        self.needs.as_ref().is_some_and(|needs| needs.alone())
    }
}

/// What a run does when its node loses its session, and somebody else may be given the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It is stopped before that can happen.
    #[default]
    Stop,
    /// It goes on to its end, beside the attempt that may follow; only where it holds no permit, lock or share of a key.
    Finish,
}

impl OnLost {
    /// Whether it is the usual one, which is left out of what is stored.
    pub fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// What happens around a run; shared by a whole pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How many runs may end badly before the task is dead, 1 to 1,000.
    pub max_attempts: u32,
    /// The wait between them.
    pub backoff: Backoff,
    /// How long one run may take, in milliseconds; none means no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What becomes of a run when its node loses its session.
    #[serde(default, skip_serializing_if = "OnLost::is_stop")]
    pub on_lost: OnLost,
}

/// One task's own part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// What the kind is given.
    pub payload: Json,
    /// What users filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What users attach; never interpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// Tasks submitted together: the value of `pack/<pack>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pack {
    /// Shared by all.
    pub routing: Routing,
    /// Shared by all.
    pub policy: Policy,
    /// When it was accepted by the node that took it, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it may start; none means at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at_ms: Option<u64>,
    /// The tasks by index. There may be holes: a neighbour whose idempotency key was taken left one.
    pub tasks: BTreeMap<u8, Spec>,
    /// Idempotency keys that go when the pack goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idem: Vec<String>,
    /// What made it; none where a user did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<Fired>,
}

impl Pack {
    /// The indexes it holds.
    pub fn which(&self) -> Which {
        self.tasks.keys().copied().collect()
    }
}
