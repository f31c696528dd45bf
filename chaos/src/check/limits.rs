//! The bounds that a history is held to; the history carries them itself.

use serde::{Deserialize, Serialize};

/// What is promised in numbers. Times are milliseconds of the history's clock, and count only while nothing stands in the way. A field that is
/// not one of these is refused: what it was to bound would be held to the usual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// From the end of a session to the end of its last claim. 1,500: the benefit of the doubt, a plan, and many commits.
    pub reclaim_ms: u64,
    /// From the end of a leader's key to the next leader's first write. 1,500: it is activated by one commit.
    pub failover_ms: u64,
    /// From the death of a leader's process to the end of its key. 6,000: a lease of 5 s and the time etcd takes to see it.
    pub lease_ms: u64,
    /// From the end of all faults to the end of all work that was there. 60,000; it has to be longer than the workload's
    /// longest run with all its retries and their waits, and than what limits and rates make it wait.
    pub drain_ms: u64,
    /// How long a pack is kept after its last task ended. One day.
    pub retention_ms: u64,
    /// How long after that it may still be there. 120,000: two sweeps.
    pub collect_ms: u64,
    /// How far the clocks of nodes may be apart. 1,000.
    pub skew_ms: u64,
    /// How far a leader's clock may be ahead of the history's: so much too early a scheduled task may become ready. 1,000.
    pub ahead_ms: u64,
    /// How much later a claim may be seen than it was decided: a queue's rate gives so much more. 1,000: a slow commit.
    pub rate_ms: u64,
    /// From the time at which a schedule is to be fired to its line. 10,000: one that could not be read is left alone for 5 s.
    pub fire_ms: u64,
    /// How many node deaths a task survives. 3.
    pub death_budget: u32,
    /// How long a run may go on beside its successor; none where that is only measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zombie_ms: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reclaim_ms: 1_500,
            failover_ms: 1_500,
            lease_ms: 6_000,
            drain_ms: 60_000,
            retention_ms: 86_400_000,
            collect_ms: 120_000,
            skew_ms: 1_000,
            ahead_ms: 1_000,
            rate_ms: 1_000,
            fire_ms: 10_000,
            death_budget: 3,
            zombie_ms: None,
        }
    }
}
