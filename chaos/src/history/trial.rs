//! What a kill test tries, and what a resource outside saw of it: only shapes and names, no meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Run;

/// One thing that is tried and measured: it lasts until the next one begins, or all is healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Counts the trials of its show, from 1.
    pub number: u64,
    /// What is tried.
    pub show: Show,
    /// The node that it hits; none where it hits none, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    /// The leader is killed with -9.
    LeaderKill,
    /// A node that does not lead is killed with -9.
    NodeKill,
    /// The leader is told to end.
    LeaderTerm,
    /// A node that does not lead is told to end.
    NodeTerm,
    /// The leader stands still for longer than its lease.
    LeaderStop,
    /// A node that does not lead stands still for longer than its lease.
    NodeStop,
    /// The leader reaches nobody for longer than its lease.
    LeaderCut,
    /// A node that does not lead reaches nobody for longer than its lease.
    NodeCut,
    /// The leader and etcd's leader are killed with -9 at one moment.
    BothLeaders,
    /// What others send to a node's peer address is refused, while it lives.
    LinkCut,
    /// All members of etcd are killed, and come back after a while.
    StoreDown,
    /// Each node in turn is told to end, and started again.
    Rolling,
    /// A task kills whichever node runs it.
    Poison,
}

/// A run's act on a resource outside, which refuses a fence lower than one that it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Whose.
    pub run: Run,
    /// The resource, named as the lock is that guards it; none for a mere sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Taken, or refused for its fence.
    pub done: bool,
}

impl Show {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 13] = [
        Self::LeaderKill,
        Self::NodeKill,
        Self::LeaderTerm,
        Self::NodeTerm,
        Self::LeaderStop,
        Self::NodeStop,
        Self::LeaderCut,
        Self::NodeCut,
        Self::BothLeaders,
        Self::LinkCut,
        Self::StoreDown,
        Self::Rolling,
        Self::Poison,
    ];

    /// Its name in options, tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderKill => "leader-kill",
            Self::NodeKill => "node-kill",
            Self::LeaderTerm => "leader-term",
            Self::NodeTerm => "node-term",
            Self::LeaderStop => "leader-stop",
            Self::NodeStop => "node-stop",
            Self::LeaderCut => "leader-cut",
            Self::NodeCut => "node-cut",
            Self::BothLeaders => "both-leaders",
            Self::LinkCut => "link-cut",
            Self::StoreDown => "store-down",
            Self::Rolling => "rolling",
            Self::Poison => "poison",
        }
    }

    /// The letter of the group that it belongs to.
    pub fn group(self) -> char {
        match self {
            Self::LeaderKill | Self::NodeKill | Self::LeaderTerm | Self::NodeTerm => 'a',
            Self::LeaderStop | Self::NodeStop | Self::LeaderCut | Self::NodeCut => 'b',
            Self::BothLeaders => 'c',
            Self::LinkCut => 'd',
            Self::StoreDown => 'e',
            Self::Rolling => 'f',
            Self::Poison => 'g',
        }
    }
}

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
