//! What a harness makes of its catalogue of faults, stage by stage: only shapes, no meaning.

use serde::{Deserialize, Serialize};

use super::Entry;

/// A fault of the harness's catalogue, from its begin to its end; one record for each stage of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// Counts those of a history, from 1.
    pub number: u64,
    /// Its kind, as the catalogue names it, for example `leader-kill`.
    pub kind: String,
    /// How far it is.
    pub stage: Stage,
    /// Which nodes and members it hits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Why it was not made, or why nobody knows whether it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How far an injection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is there from now on.
    Installed,
    /// It could not be made here, and nothing was changed.
    Skipped,
    /// Something went wrong while it was made: it may be there in part. It is healed in any case.
    Indeterminate,
    /// It is over, and what it broke is as before.
    Healed,
}

impl From<Injection> for Entry {
    fn from(injection: Injection) -> Self {
        Self::Injection(injection)
    }
}
