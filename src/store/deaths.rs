//! Sessions that are ended by evidence: put on record first, then their leases are revoked. Judges no evidence.

use serde::{Deserialize, Serialize};

use crate::task::Name;

/// On what evidence a node's session was ended: the value of `live/death/<S>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The node.
    pub node: Name,
    /// The process that had the session.
    pub instance: String,
    /// The session's lease.
    pub lease: i64,
    /// The term of its candidacy, R, where it led.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
    /// What showed it.
    pub evidence: EvidenceKind,
    /// Who noticed.
    pub by: Name,
    /// When its last word came over the link, by the clock of who noticed, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<u64>,
    /// When it was noticed, by the same clock.
    pub noticed_ms: u64,
}

/// What shows that a process is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// Its link broke, and its machine refuses connections to where it listened.
    Refused,
    /// Another process of its name answers where it listened.
    Replaced,
    /// It had said that it leaves, and its lease stayed.
    Left,
}
