//! What the keys hold, as far as it is judged.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::{Fired, Key, Page, Progress, Schedule};
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
    /// A semaphore.
    Semaphore(Semaphore),
    /// A queue.
    Queue(Queue),
    /// A wait or a hold of somebody outside.
    Outside(Outside),
    /// A schedule.
    Schedule(Schedule),
    /// How far a schedule has got.
    Progress(Progress),
    /// A page of a ledger.
    Page(Page),
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
    /// What work may ask of it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
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
    /// What has to be free for it to run, and where it may.
    #[serde(default)]
    pub needs: Needs,
}

/// What a task needs besides a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// Permits, by semaphore.
    #[serde(deserialize_with = "permits")]
    pub permits: BTreeMap<String, u64>,
    /// Locks.
    pub locks: BTreeSet<String>,
    /// Its concurrency key.
    pub key: Option<String>,
    /// Labels that its node has to have.
    pub require: BTreeMap<String, String>,
    /// Labels that its node better has.
    pub prefer: BTreeMap<String, String>,
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
    /// The due time that it was fired for, where a schedule made it.
    pub fired: Option<Fired>,
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
    /// Not begun; put off for a while.
    Deferred,
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

/// A semaphore.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Semaphore {
    /// The most weight that may be held.
    pub limit: u64,
}

/// What is set for a queue; none: no bound.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// The most tasks claimed at once.
    pub concurrency: Option<u64>,
    /// The most tasks of one concurrency key claimed at once.
    pub per_key: Option<u64>,
    /// How fast tasks may be claimed.
    pub rate: Option<Rate>,
    /// Why nothing of it is to be claimed.
    pub paused: Option<IgnoredAny>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Rate {
    /// Tasks that it fills by in so many milliseconds.
    pub tasks: u32,
    /// The milliseconds.
    pub per_ms: u32,
    /// What it holds.
    pub burst: u64,
}

impl Rate {
    /// What it fills by in a second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.tasks) * 1_000.0 / f64::from(self.per_ms)
    }
}

/// A wait or a hold of somebody outside.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Outside {
    /// How much; a lock is held whole.
    #[serde(default = "one")]
    pub weight: u64,
    /// Who, in its own words, where it says.
    #[serde(default)]
    pub holder: Option<String>,
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
        Key::Semaphore(_) => json(bytes).map(Value::Semaphore),
        Key::Queue(_) => json(bytes).map(Value::Queue),
        Key::Want { .. } | Key::Hold { .. } => json(bytes).map(Value::Outside),
        Key::Schedule(_) => json(bytes).map(Value::Schedule),
        Key::Progress(_) => json(bytes).map(Value::Progress),
        Key::Page { .. } => json(bytes).map(Value::Page),
        Key::Mark(_)
        | Key::Released { .. }
        | Key::Horizon
        | Key::Rules
        | Key::Tick { .. }
        | Key::Plain
        | Key::Unknown => Ok(Value::Plain),
    };
    read.unwrap_or_else(Value::Unreadable)
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|problem| problem.to_string())
}

fn one() -> u64 {
    1
}

/// Permits as they are written; a semaphore that is named twice counts twice.
fn permits<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let mut all = BTreeMap::new();
    for permit in Vec::<RawPermit>::deserialize(from)? {
        *all.entry(permit.semaphore).or_default() += permit.weight;
    }
    Ok(all)
}

#[derive(Deserialize)]
struct RawPermit {
    semaphore: String,
    #[serde(default = "one")]
    weight: u64,
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
    #[serde(default)]
    fired: Option<Fired>,
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
            fired: raw.fired,
        }
    }
}

impl Outcome {
    /// Whether it is a run that counts as an attempt, where it has a fence.
    pub fn is_attempt(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Timeout | Self::Cancelled | Self::Lost => true,
            Self::Returned | Self::Deferred | Self::Revived => false,
        }
    }

    /// Whether the task ends with it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Cancelled => true,
            Self::Failed
            | Self::Timeout
            | Self::Lost
            | Self::Returned
            | Self::Deferred
            | Self::Revived => false,
        }
    }
}
