//! What a run was asked to be: what its report begins with, and what it takes to run it again.

use serde::{Deserialize, Serialize};

use crate::check::Property;

/// A run, as whoever started it knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The scenario's name.
    pub scenario: String,
    /// One line on what it is; may be empty.
    #[serde(default)]
    pub about: String,
    /// What work and faults were drawn from.
    pub seed: u64,
    /// What cluster it was made on, for people.
    pub target: String,
    /// The version of what was tested; may be empty.
    #[serde(default)]
    pub version: String,
    /// How many nodes it had.
    pub nodes: u32,
    /// How many members its etcd had.
    pub members: u32,
    /// When it began, as people read it; may be empty.
    #[serde(default)]
    pub started: String,
    /// For how long faults were asked for, in milliseconds.
    pub duration_ms: u64,
    /// The kinds of faults that were asked for.
    pub faults: Vec<String>,
    /// What it has to put to the test.
    #[serde(default)]
    pub expected: Expected,
    /// The command that runs it again.
    pub command: String,
    /// Where its files are; may be empty.
    #[serde(default)]
    pub directory: String,
    /// Chapters that were begun and cut short from outside, which nobody judges.
    #[serde(default)]
    pub cut_short: u64,
    /// The histories, one to a chapter.
    #[serde(default)]
    pub histories: Vec<String>,
}

/// What a run has to put to the test, else its verdict is that it was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// These properties, in some chapter. None: those that the histories themselves say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Vec<Property>>,
    /// At least so many faults that were made.
    #[serde(default)]
    pub faults: u64,
    /// Of at least so many kinds.
    #[serde(default)]
    pub kinds: u64,
}
