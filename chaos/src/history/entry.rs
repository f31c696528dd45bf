//! What one record of a history can say; only shapes, no meaning.

use serde::{Deserialize, Serialize};

use super::injection::Injection;
use super::node::NodeEvent;
use super::trial::{Effect, Trial};
use super::value::Value;
use crate::check::{Limits, Property};

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When, in milliseconds on the one clock of the history.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What can be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "saw", content = "of", rename_all = "snake_case")]
pub enum Entry {
    /// What is judged, and by which limits: the first record.
    Setup(Setup),
    /// A client asks.
    Invoke {
        /// Whose call it is.
        call: Call,
        /// What it asks for.
        op: Op,
    },
    /// A call was done, and the client knows it.
    Ok {
        /// Whose call it was.
        call: Call,
        /// What it was answered.
        answer: Answer,
    },
    /// A call was certainly not done.
    Fail {
        /// Whose call it was.
        call: Call,
        /// What it was answered.
        why: String,
    },
    /// Nobody knows whether a call was done: a timeout, an answer lost.
    Info {
        /// Whose call it was.
        call: Call,
        /// What is known.
        why: String,
    },
    /// An event of the store, in the order of revisions.
    Store(StoreEvent),
    /// What the store's events do not show.
    Marker(Marker),
    /// A run began, says the witness.
    RunStarted(Run),
    /// A run ended by itself, says the witness. A run whose node died has no end.
    RunEnded {
        /// The run.
        run: Run,
        /// Whether it did what it should.
        well: bool,
    },
    /// A run acted on something outside, or showed that it lives.
    Effect(Effect),
    /// What follows is tried and measured.
    Trial(Trial),
    /// What the harness made, or tried to make: a fault of its catalogue. Records of [`Fault`] between say what that meant.
    Injection(Injection),
    /// A fault begins.
    Fault(Fault),
    /// A fault is over.
    Healed {
        /// The fault's number.
        id: u64,
    },
    /// From here on there are no faults, and none is left.
    AllHealed,
    /// A node's process.
    Node(NodeEvent),
}

/// What is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// What all keys of the cluster begin with, for example `/tenure/default/`.
    pub root: String,
    /// The seed that makes this history again, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What the clock of the history's instants says at its 0, in milliseconds since 1970: 0 where they are such themselves.
    #[serde(default)]
    pub epoch_ms: u64,
    /// The bounds that are promised.
    pub limits: Limits,
    /// Which properties this history is to exercise; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expects: Vec<Property>,
}

/// Names one call: a client, which has at most one open, and its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Call {
    /// The client.
    pub client: String,
    /// Its calls are counted.
    pub number: u64,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// New tasks.
    Submit(Submit),
    /// The end of a task.
    Cancel {
        /// Its id.
        task: String,
    },
    /// Another try of a dead task.
    Retry {
        /// Its id.
        task: String,
    },
    /// A permit or a lock, for somebody outside. Its answer's revision is the hold's token.
    Acquire {
        /// Of what: `s.<semaphore>` or `l.<lock>`.
        gate: String,
        /// How much.
        weight: u64,
        /// How long a hold is to live without a renewal, in milliseconds, where that is on record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
    },
    /// The end of a hold, asked for by its holder or forced by an operator.
    Release {
        /// Of what: `s.<semaphore>` or `l.<lock>`.
        gate: String,
        /// The hold's token.
        token: i64,
    },
    /// How a task stands.
    Get {
        /// Its id.
        task: String,
    },
    /// Who leads.
    Leader,
    /// How a semaphore stands.
    Semaphore {
        /// Its name.
        name: String,
    },
    /// Another limit of a semaphore.
    Limit {
        /// Its name.
        name: String,
        /// What it is to be.
        limit: u64,
    },
}

/// A submit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many tasks.
    pub count: u64,
    /// Their queue.
    pub queue: String,
    /// Their kind.
    pub kind: String,
    /// Their priority, 1 to 9, higher is sooner; none where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// How many of their runs may fail; none where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// When they may start, in milliseconds since 1970; none for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at_ms: Option<u64>,
}

/// What a call that was done is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The store's revision it was done at, or one not before it; none where the answer has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The tasks' ids, in the order of the submit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// The task's state, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Who leads, and the term, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads: Option<(String, i64)>,
    /// A semaphore's limit, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How much of it is held, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
}

/// One event of the store, as a watch from revision 1 with previous values gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreEvent {
    /// The revision of the transaction.
    pub revision: i64,
    /// The key.
    pub key: String,
    /// What was put; none for a delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What it held before; none where it was absent, or the recorder does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Value>,
    /// The lease of the key (of the one deleted, for a delete); 0 for none.
    #[serde(default)]
    pub lease: i64,
    /// When the key was created; 0 for a delete.
    #[serde(default)]
    pub create_revision: i64,
    /// 1 for the put that creates a key; 0 for a delete.
    #[serde(default)]
    pub version: i64,
    /// The node whose connection sent the transaction, where the recorder sees that (a simulation does).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What happened to the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Marker {
    /// A lease ran out.
    LeaseExpired {
        /// Which.
        lease: i64,
    },
    /// A lease was revoked.
    LeaseRevoked {
        /// Which.
        lease: i64,
    },
    /// History below this revision is gone for watches that start anew.
    Compacted {
        /// The revision.
        revision: i64,
    },
    /// A member came back.
    Restarted {
        /// Which.
        member: String,
    },
    /// The members have another leader; leases count anew.
    LeaderChanged {
        /// Which.
        member: String,
    },
    /// The space alarm.
    NoSpace {
        /// Raised, or gone.
        on: bool,
    },
    /// What a member has at a revision, as a number that is the same where the same is there.
    Hash {
        /// Which member.
        member: String,
        /// The revision.
        revision: i64,
        /// The number.
        hash: u32,
    },
    /// A member told other events of a revision than another did.
    Differs {
        /// Which member.
        member: String,
        /// The revision.
        revision: i64,
    },
    /// The recorder began here: what the store's events say up to this revision is what was there, each key once, with its last value.
    /// What happened before is not known, and not judged.
    Baseline {
        /// The revision.
        revision: i64,
    },
    /// The recorder itself missed events: nothing can be judged.
    Gap {
        /// The last revision before.
        after: i64,
    },
    /// Something else than the log is not whole or not right: nothing can be judged.
    Spoilt {
        /// What.
        why: String,
    },
    /// The recorder has every event up to this revision, and stopped: the end of a whole log.
    Sealed {
        /// The revision.
        revision: i64,
    },
}

/// One run of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// The task's id.
    pub task: String,
    /// Which attempt it was told to be, from 1.
    pub attempt: u32,
    /// The fence it was handed.
    pub fence: i64,
    /// The node's name.
    pub node: String,
    /// Which process of that name.
    pub incarnation: u64,
}

/// Something that is broken on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its number; its end names it.
    pub id: u64,
    /// What kind.
    pub kind: FaultKind,
    /// Which node it hits; none for the store or a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Where a broken link begins: a node's name, or another word for the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A process is killed.
    Crash,
    /// A process is told to end.
    Leave,
    /// A process stands still.
    Pause,
    /// A link carries nothing, either way.
    Partition,
    /// A link carries nothing one way.
    OneWay,
    /// A link is slow.
    Delay,
    /// Requests are lost before they are applied.
    RequestsLost,
    /// Answers are lost after it.
    AnswersLost,
    /// The store is down.
    StoreDown,
    /// The store's members change their leader.
    StoreLeader,
    /// The store has no space.
    NoSpace,
    /// A lease is ended.
    LeaseEnded,
    /// The store's history is compacted.
    Compaction,
    /// A node's clock is wrong.
    ClockSkew,
    /// One of the store's members is dead, stands still or is cut off, and the others are a majority.
    StoreMember,
}

impl From<StoreEvent> for Entry {
    fn from(event: StoreEvent) -> Self {
        Self::Store(event)
    }
}

impl From<Marker> for Entry {
    fn from(marker: Marker) -> Self {
        Self::Marker(marker)
    }
}

impl From<Fault> for Entry {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
