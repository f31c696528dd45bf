//! A node looked into, for who has to mend it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A node as it is now: what no other call tells, from this node alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DebugState {
    /// Its name.
    pub node: String,
    /// The process.
    pub instance: String,
    /// The release.
    pub version: String,
    /// The commit that it was built from, where the build knew it.
    pub commit: Option<String>,
    /// What a person should look at, in words; empty where all is well.
    pub notes: Vec<String>,
    /// How deep its queues are; docs/debugging.md lists them.
    pub depths: Vec<DebugDepth>,
    /// Its runtime.
    pub runtime: DebugRuntime,
    /// Its settings, secrets as stars.
    #[schema(value_type = Object)]
    pub config: BTreeMap<String, Value>,
    /// The last lines of its log, oldest first, its tokens as stars.
    pub log: Vec<String>,
}

/// One depth of a [`DebugState`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DebugDepth {
    /// Of what.
    pub of: String,
    /// How much.
    pub depth: u64,
    /// What it cannot pass; null where nothing bounds it.
    pub bound: Option<u64>,
}

/// The runtime of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DebugRuntime {
    /// Tasks that have not ended.
    pub alive_tasks: u64,
    /// Tasks that no worker has taken up yet.
    pub queued_tasks: u64,
    /// Each of its worker threads.
    pub workers: Vec<DebugWorker>,
    /// How often it was late by 200 ms or more, since the start.
    pub stalls: u64,
    /// How long ago it beat last, in milliseconds; it does every 100. Null where it does not beat.
    pub since_beat_ms: Option<u64>,
}

/// One worker thread of a runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DebugWorker {
    /// How long it has been busy since the start, in milliseconds.
    pub busy_ms: u64,
    /// How often it had nothing to do.
    pub parks: u64,
}

/// The members of etcd as one node sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DebugEtcd {
    /// Each of them, in the order of the settings.
    pub members: Vec<DebugMember>,
}

/// One member of a [`DebugEtcd`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DebugMember {
    /// Where it is asked.
    pub endpoint: String,
    /// Why nothing is known of it; null where it answers, and then the rest is there.
    pub problem: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The size of its database file, in bytes.
    pub db_size: Option<i64>,
    /// How much of it is in use.
    pub db_size_in_use: Option<i64>,
    /// Its quota, in bytes, where it tells.
    pub quota: Option<i64>,
    /// Whether it is etcd's leader.
    pub is_leader: Option<bool>,
    /// etcd's own election term.
    pub raft_term: Option<u64>,
    /// The revision that it has.
    pub revision: Option<i64>,
    /// Alarms and errors, as it words them.
    pub errors: Vec<String>,
    /// How long its answer took, in milliseconds.
    pub latency_ms: Option<u64>,
}
