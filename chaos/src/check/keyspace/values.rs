//! What the keys hold, as far as it is judged.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Key;
use crate::check::ids::{PackId, TaskId, Which};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Who stands for leadership.
    Elect(Elect),
    /// A node.
    Node(Node),
    /// A ready, due or dead record.
    Record(Waiting),
    /// A claim.
    Run(Held),
    /// Which of a claim's tasks are to be cancelled.
    Stop(Stop),
    /// A pack.
    Pack(Pack),
    /// Outcomes.
    Outcomes(Vec<Said>),
    /// Who used an idempotency key.
    Idem(Idem),
    /// A term.
    Term(Term),
    /// Nothing that is judged.
    Plain,
    /// Not what its key promises.
    Unreadable(String),
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Elect {
    /// Its node.
    pub node: String,
}

/// A node's session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Node {
    /// The process.
    #[serde(default)]
    pub instance: String,
    /// The kinds that it runs.
    pub kinds: Vec<String>,
    /// Whether it takes no new work.
    #[serde(default)]
    pub draining: bool,
}

/// What tasks have been through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Tally {
    /// Runs.
    pub attempts: u32,
    /// Runs that ended badly by themselves.
    pub failures: u32,
    /// Deaths charged.
    pub deaths: u32,
}

/// Where work goes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Routing {
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// 1 to 9.
    pub priority: u8,
}

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Waiting {
    /// Where it goes.
    pub routing: Routing,
    /// Which of its pack's tasks.
    pub which: Which,
    /// What they have been through.
    #[serde(default)]
    pub tally: Tally,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Held {
    /// Its pack.
    pub pack: PackId,
    /// Where its tasks came from.
    pub routing: Routing,
    /// Which tasks it still holds.
    pub which: Which,
    /// What they have been through.
    #[serde(default)]
    pub tally: Tally,
    /// The session that it was made for.
    pub session: i64,
    /// The process that had this session.
    #[serde(default)]
    pub instance: String,
    /// The term that made it.
    pub term: i64,
    /// The revision that it was decided at; 0 where it does not say.
    #[serde(default)]
    pub decided: i64,
}

/// A stop.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Stop {
    /// Which of the claim's tasks.
    pub which: Which,
}

/// A pack.
#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    /// Its tasks' indexes.
    pub which: Which,
    /// Where they go.
    pub routing: Routing,
    /// How many runs may fail.
    pub max_attempts: u32,
}

/// How an attempt of some tasks ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Said {
    /// Which tasks.
    pub which: Which,
    /// How.
    pub outcome: Outcome,
    /// The attempt's number.
    pub number: u32,
    /// Where.
    #[serde(default)]
    pub node: Option<String>,
    /// The claim's create revision; 0 for what is no run.
    #[serde(default)]
    pub fence: i64,
    /// Where the tasks went; none where they ended.
    #[serde(default)]
    pub next: Option<Next>,
}

/// The outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Ended well. Final.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Took too long.
    Timeout,
    /// Ended by request. Final.
    Cancelled,
    /// Its session ended first.
    Lost,
    /// Not begun; handed back.
    Returned,
    /// A dead letter is tried again.
    Revived,
}

/// Where a task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", tag = "to")]
pub enum Next {
    /// Ready.
    Ready,
    /// After a wait.
    Due,
    /// To the dead letters.
    Dead,
}

/// An idempotency key's holder.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Idem {
    /// The tasks.
    pub tasks: Vec<TaskId>,
}

/// A term's history.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Term {
    /// When its end was seen; none while it leads.
    #[serde(default)]
    pub until_ms: Option<u64>,
}

/// What a key of this sort holds.
pub fn value(key: &Key, bytes: &[u8]) -> Value {
    let read = match key {
        Key::Elect(_) => json(bytes).map(Value::Elect),
        Key::Node(_) => json(bytes).map(Value::Node),
        Key::Ready { .. } | Key::Due { .. } | Key::Dead(_) => json(bytes).map(Value::Record),
        Key::Run { .. } => json(bytes).map(Value::Run),
        Key::Stop { .. } => json(bytes).map(Value::Stop),
        Key::Pack(_) => json(bytes).map(|pack: RawPack| Value::Pack(pack.into())),
        Key::Result { .. } => json(bytes).map(|all: RawOutcomes| Value::Outcomes(all.of)),
        Key::Idem(_) => json(bytes).map(Value::Idem),
        Key::Term(_) => json(bytes).map(Value::Term),
        Key::Mark(_) | Key::Horizon | Key::Plain | Key::Unknown => Ok(Value::Plain),
    };
    read.unwrap_or_else(Value::Unreadable)
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|problem| problem.to_string())
}

#[derive(Deserialize)]
struct RawOutcomes {
    of: Vec<Said>,
}

#[derive(Deserialize)]
struct RawPack {
    routing: Routing,
    policy: RawPolicy,
    #[expect(
        clippy::zero_sized_map_values,
        reason = "a JSON object with values is no set"
    )]
    tasks: BTreeMap<u8, IgnoredAny>,
}

#[derive(Deserialize)]
struct RawPolicy {
    max_attempts: u32,
}

impl From<RawPack> for Pack {
    fn from(raw: RawPack) -> Self {
        Self {
            which: raw.tasks.into_keys().collect(),
            routing: raw.routing,
            max_attempts: raw.policy.max_attempts,
        }
    }
}

impl Outcome {
    /// Whether it is a run that counts as an attempt, where it has a fence.
    pub fn is_attempt(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Timeout | Self::Cancelled | Self::Lost => true,
            Self::Returned | Self::Revived => false,
        }
    }

    /// Whether the task ends with it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Cancelled => true,
            Self::Failed | Self::Timeout | Self::Lost | Self::Returned | Self::Revived => false,
        }
    }
}
