//! How ends of processes are noticed and what becomes of what they held, in metrics; never holds a value.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::float;

/// How many links to other nodes are open, and how many more there should be.
pub fn peer_links(open: u64, missing: u64) {
    gauge!("tenure_peer_links", "state" => "open").set(float(open));
    gauge!("tenure_peer_links", "state" => "missing").set(float(missing));
}

/// A link broke, and this was found out about the process at its other end.
pub fn peer_link_broke(found: &'static str) {
    counter!("tenure_peer_link_breaks_total", "found" => found).increment(1);
}

/// A process was seen to be gone.
pub fn peer_evidence(evidence: &'static str) {
    counter!("tenure_peer_evidence_total", "evidence" => evidence).increment(1);
}

/// It was tried to end the lease of a process that is gone.
pub fn peer_revoke(outcome: &'static str) {
    counter!("tenure_peer_revokes_total", "outcome" => outcome).increment(1);
}

/// This node's lease was ended by another that took its process for gone.
pub fn false_death() {
    counter!("tenure_false_deaths_total").increment(1);
}

/// What became of a session or a term that is over is on record: whether it led, and how its end was known.
pub fn failover(led: bool, evidence: &'static str) {
    let of = if led { "leader" } else { "node" };
    counter!("tenure_failovers_total", "of" => of, "evidence" => evidence).increment(1);
}

/// What became of a session or a term that is over is not told to its end, and why.
pub fn failover_untold(why: &'static str) {
    counter!("tenure_failovers_untold_total", "why" => why).increment(1);
}

/// The end of a process was noticed so long after its last word over a link.
pub fn failover_detection(evidence: &'static str, took: Duration) {
    histogram!("tenure_failover_detection_seconds", "evidence" => evidence)
        .record(took.as_secs_f64());
}

/// Nobody led for so long.
pub fn failover_leaderless(gap: Duration) {
    histogram!("tenure_failover_leaderless_seconds").record(gap.as_secs_f64());
}

/// So many tasks of a session that is over were started elsewhere, after such a wait.
pub fn failover_waits(wait: Duration, tasks: u64) {
    let waits = histogram!("tenure_failover_reclaim_wait_seconds");
    (0..tasks).for_each(|_| waits.record(wait.as_secs_f64()));
}
