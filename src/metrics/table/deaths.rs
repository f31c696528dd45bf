//! The part of the table that tells how ends of processes are noticed and what becomes of what they held; never records anything.

use super::{Metric, counter, gauge, histogram};

/// In the order of the page.
pub(super) const DEATHS: &[Metric] = &[
    counter(
        "tenure_failovers_total",
        &["of", "evidence"],
        "Ends of sessions and terms that are on record: of a leader or of another node, by evidence (refused, replaced, left, lease, key, unknown). The leader that ends the record counts it.",
        "Other than left outside of restarts: `tenure failovers` tells each.",
    ),
    counter(
        "tenure_failovers_untold_total",
        &["why"],
        "Ends that the leader does not tell of, or not to their end: full, because it followed as many as it does at once; failed, because etcd did not take the record for 2 min.",
        "full: more nodes died at once than are followed, `tenure failovers` has the others. failed: see the log, etcd refuses writes.",
    ),
    histogram(
        "tenure_failover_detection_seconds",
        &["evidence"],
        "From the last word over a link to the node's key being seen gone, by two wall clocks where another node than the leader noticed. Only where a link told.",
        "Seconds: etcd is slow to end leases, or the links are quiet for long.",
    ),
    histogram(
        "tenure_failover_leaderless_seconds",
        &[],
        "How long nobody led: from the leader's key being seen gone to the next one's activation answered.",
        "Grows: etcd is slow, or no candidate stands ready.",
    ),
    histogram(
        "tenure_failover_reclaim_wait_seconds",
        &[],
        "For each task of a session that ended: from its key being seen gone to the task being claimed elsewhere.",
        "Grows: no free slots elsewhere, or none for those kinds.",
    ),
    gauge(
        "tenure_peer_links",
        &["state"],
        "This node's links to others (open, missing). Who leads and who is next have one to every node, others to the head of the line.",
        "Missing for long: open `peer-listen` between the nodes; a crash there is noticed by its lease only.",
    ),
    counter(
        "tenure_peer_link_breaks_total",
        &["found"],
        "Links that broke, by what was found then: the process lives, is gone (refused, replaced, left), or unknown.",
        "lives: something between the nodes cuts connections. unknown: machines or networks fall silent.",
    ),
    counter(
        "tenure_peer_evidence_total",
        &["evidence"],
        "Processes that this node saw to be gone, by what showed it (refused, replaced, left).",
        "Each is a crash, or an end without notice: look at that node's log.",
    ),
    counter(
        "tenure_peer_revokes_total",
        &["outcome"],
        "Attempts to end the lease of a process that is gone: done, others were faster, it was over, in doubt after all, failed, withheld because too many seemed gone at once.",
        "withheld: half of the cluster seemed to die at once, or this node cannot reach it. failed: etcd does not answer.",
    ),
    counter(
        "tenure_false_deaths_total",
        &[],
        "Times this node's lease was ended by another one that took its process for gone.",
        "Any: something refuses connections to `peer-listen` for a process that lives, such as a proxy or a firewall rule. Runs were repeated once.",
    ),
];
