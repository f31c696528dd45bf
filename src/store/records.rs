//! What the keys hold, and its one encoding: JSON, so that `etcdctl get` shows it; never decides anything.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tenure_cluster::KeyValue;

use crate::task::{Gate, Name, Outcome, Output, Pack, PackId, Routing, Tally, TaskId, Which};

/// A value that is not what its key promises.
#[derive(Clone, Debug, thiserror::Error)]
#[error("key {key} does not hold what it should: {problem}")]
pub struct Corrupt {
    /// The key.
    pub key: String,
    /// What the decoder said.
    pub problem: String,
}

/// A value as it is stored.
///
/// # Panics
/// Never: our records have string keys and no failing serializers.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our records have string keys and no failing serializers")
}

/// A stored value.
///
/// # Errors
/// [`Corrupt`], naming the key.
pub fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Corrupt> {
    serde_json::from_slice(value).map_err(|problem| Corrupt {
        key: key.to_owned(),
        problem: problem.to_string(),
    })
}

/// Something read, with the revisions that a transaction may compare.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// What it held.
    pub value: T,
    /// When the key was created.
    pub created: i64,
    /// When it was last written.
    pub modified: i64,
}

impl<T: DeserializeOwned> Seen<T> {
    /// A key as it was read.
    ///
    /// # Errors
    /// [`Corrupt`], naming the key.
    pub fn of(kv: &KeyValue) -> Result<Self, Corrupt> {
        Ok(Self {
            value: decode(&kv.key, &kv.value)?,
            created: kv.create_revision,
            modified: kv.mod_revision,
        })
    }
}

/// A node's session: the value of `live/node/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// A random id of the process: another instance under the same name is another process.
    pub instance: String,
    /// Where its API answers, for example `http://10.0.0.5:8700`.
    pub address: String,
    /// How many runs it does at once.
    pub slots: u32,
    /// The kinds of work it runs, sorted.
    pub kinds: Vec<Name>,
    /// What users place work by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The version of Tenure it runs.
    pub version: String,
    /// When the process started, in milliseconds since 1970.
    pub started_ms: u64,
    /// Whether it takes no new work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// Where other nodes reach it by a link, as `host:port`; none where it listens for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Which network of which machine it is in, by a word that nobody else has: the same word is the same ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// How its slots came to be as many; none where they are fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
}

/// How a live node stands to new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It takes work.
    Works,
    /// It takes none and has some left, or leaves.
    Drains,
    /// It is drained, and has nothing left.
    Drained,
}

impl NodeRecord {
    /// Whether work may be given to a node that says this, given whether it is drained.
    pub const fn takes_work(&self, drained: bool) -> bool {
        !self.draining && !drained
    }

    /// How it stands, given whether it is drained and whether it holds tasks.
    pub const fn stand(&self, drained: bool, has_tasks: bool) -> Stand {
        match (self.takes_work(drained), self.draining || has_tasks) {
            (true, _) => Stand::Works,
            (false, true) => Stand::Drains,
            (false, false) => Stand::Drained,
        }
    }
}

/// How a node's adaptive slots came to be as many as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Slots at least.
    pub min: u32,
    /// Slots at most.
    pub max: u32,
    /// A word for what the last change was decided by.
    pub why: String,
    /// How many of the slots were in use then, on average since the look before, in percent.
    #[serde(default)]
    pub busy_percent: u8,
    /// How many tasks in hand waited for a slot then.
    #[serde(default)]
    pub in_hand: u32,
    /// How long the one had waited in the queue that had waited longest, in milliseconds.
    #[serde(default)]
    pub waited_ms: u64,
    /// How much of the processors was in use then, in percent; none where it was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u8>,
    /// How much of the time work waited for a processor, in percent; none where it was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_stalled_percent: Option<u8>,
    /// How much of the memory was in use then, in percent; none where it was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<u8>,
    /// How much of the time work waited for memory, in percent; none where it was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_stalled_percent: Option<u8>,
}

/// That a node is to take no work until it is told otherwise: the value of `live/drain/<node>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why, in the words of who asked for it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Waiting work: a pack and which of its tasks. The value of a `live/ready`, `live/due` or `dead` key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Where its tasks go.
    pub routing: Routing,
    /// Which of the pack's tasks.
    pub which: Which,
    /// How many tasks the pack has, 1 to 256.
    pub size: u16,
    /// What they have been through.
    #[serde(default, skip_serializing_if = "fresh")]
    pub tally: Tally,
    /// Since when they wait here, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why they wait: the last error, for retries and dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The whole pack, where it is small: saves the node a read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<Box<Pack>>,
}

fn fresh(tally: &Tally) -> bool {
    *tally == Tally::default()
}

/// Work that a node holds: the value of `live/run/<node>/<claim>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The pack.
    pub pack: PackId,
    /// Where its tasks came from, and go back to.
    pub routing: Routing,
    /// Which of the pack's tasks are not reported yet.
    pub which: Which,
    /// How many tasks the pack has.
    pub size: u16,
    /// Whether the claim began with all of them: then only its last report can complete the pack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub covers: bool,
    /// What they had been through before this claim.
    #[serde(default, skip_serializing_if = "fresh")]
    pub tally: Tally,
    /// The session of the node: create revision of its key.
    pub session: i64,
    /// The process that had this session: back with another one, it lost a session and did not die.
    pub instance: String,
    /// The term of the leader that assigned it.
    pub term: i64,
    /// The revision of the view it was decided at.
    pub decided: i64,
    /// The next number for what this claim's transactions write.
    #[serde(default)]
    pub n: u32,
    /// Since when its tasks were ready, in milliseconds since 1970.
    #[serde(default)]
    pub ready_ms: u64,
    /// When it was claimed, in milliseconds since 1970 by the leader's clock; 0 where a claim does not say.
    #[serde(default)]
    pub claimed_ms: u64,
    /// The whole pack, where it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<Box<Pack>>,
}

/// What of a claim is to be cancelled: the value of `live/stop/<node>/<claim>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Which of the claim's tasks.
    pub which: Which,
}

/// Outcomes of some tasks of a pack: the value of `result/<pack>/<origin>/<n>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcomes {
    /// Tasks that share everything are told of once.
    pub of: Vec<Attempt>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's shape")]
fn none(deaths: &u32) -> bool {
    *deaths == 0
}

/// How one attempt of some tasks ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which of the pack's tasks.
    pub which: Which,
    /// How it ended.
    pub outcome: Outcome,
    /// The attempt's number, from 1; for what is no attempt, the number of attempts so far.
    pub number: u32,
    /// Deaths charged to its tasks since they were submitted or revived, this attempt's counted.
    #[serde(default, skip_serializing_if = "none")]
    pub deaths: u32,
    /// Where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// The fence its run was handed: create revision of its claim.
    #[serde(default)]
    pub fence: i64,
    /// When it started, by its node's clock, in milliseconds since 1970; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// When it ended or was given up.
    pub finished_ms: u64,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it left behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// Where the tasks went; none where they ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
}

/// The next record of tasks that go on; its origin is the result's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "to")]
pub enum Next {
    /// Ready again.
    Ready {
        /// The record's number.
        n: u32,
    },
    /// After a backoff.
    Due {
        /// When, in milliseconds since 1970.
        ms: u64,
        /// The record's number.
        n: u32,
    },
    /// Among the dead letters.
    Dead {
        /// The record's number.
        n: u32,
    },
}

/// Who waits for a lock or permits, or holds them, without being a task: the value of `live/want` and `live/hold` keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// How much, 1 to [`crate::task::LIMIT_MAX`]; 1 for a lock.
    pub weight: u32,
    /// Who, in its own words.
    pub holder: String,
    /// Since when it waits, or holds, in milliseconds since 1970.
    pub since_ms: u64,
    /// How long it is believed without a word, in milliseconds: its lease's time to live.
    pub ttl_ms: u64,
}

/// A hold that an admin took from its holder: the value of `released/<fence>/<gate>/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// What was held.
    pub gate: Gate,
    /// The id of the hold.
    pub id: uuid::Uuid,
    /// Its fence.
    pub fence: i64,
    /// What its holder had said.
    pub hold: Outside,
    /// When it was taken, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why, in the words of who did it.
    pub reason: String,
}

/// Who used an idempotency key and for what: the value of `idem/<key>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idem {
    /// What was submitted, in order of submission.
    pub tasks: Vec<TaskId>,
    /// SHA-256 of the request, in hexadecimal: the same key with another request is refused.
    pub digest: String,
}

/// One term of leadership: the value of `term/<R>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermRecord {
    /// Who led.
    pub node: Name,
    /// Where its API answered.
    pub address: String,
    /// When it was activated, in milliseconds since 1970.
    pub from_ms: u64,
    /// When its end was seen; none while it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<EndedBy>,
    /// How long nobody led before it: from its seeing the loss to its activation's answer, on its monotonic clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<u64>,
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The leader gave it up, or was told to.
    Resigned,
    /// The leader's lease expired or was revoked.
    LeaseGone,
    /// Somebody deleted the leader's key.
    KeyDeleted,
    /// Nobody saw.
    Unknown,
}

impl Next {
    /// The number of the record it leads to.
    pub fn n(self) -> u32 {
        match self {
            Self::Ready { n } | Self::Due { n, .. } | Self::Dead { n } => n,
        }
    }
}
