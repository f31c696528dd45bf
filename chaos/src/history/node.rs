//! What nodes' processes do, as a history has it: only shapes, no meaning.

use serde::{Deserialize, Serialize};

use super::Entry;

/// What a node's process does, and what the product counts there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeEvent {
    /// A process begins.
    Started {
        /// The node's name.
        node: String,
        /// Counts its processes.
        incarnation: u64,
    },
    /// A process was killed.
    Crashed {
        /// The node's name.
        node: String,
        /// Which process.
        incarnation: u64,
    },
    /// A process ended in order.
    Stopped {
        /// The node's name.
        node: String,
        /// Which process.
        incarnation: u64,
    },
    /// A node is not ready again, though what was broken there has been as before for so long.
    NotReady {
        /// The node's name.
        node: String,
        /// How long, in milliseconds.
        after_ms: u64,
    },
    /// Writes of a node were refused.
    Refused {
        /// The node's name.
        node: String,
        /// By what.
        what: Refusal,
        /// How many since it was last said.
        count: u64,
    },
}

/// Why writes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Its term was over.
    StaleTerm,
    /// Its claim was gone.
    StaleReport,
}

impl From<NodeEvent> for Entry {
    fn from(event: NodeEvent) -> Self {
        Self::Node(event)
    }
}
