//! What a run has come across, so that a generator that no longer reaches something is noticed.

use std::collections::BTreeMap;
use std::fmt;

use crate::answer::Answer;
use crate::ops::Op;
use crate::run::Trace;

/// What any 4,000 operations meet, as [`Seen::take`] names it.
const EXPECTED: &[&str] = &[
    "Range",
    "Put",
    "Delete",
    "Txn",
    "Compact",
    "Grant",
    "Revoke",
    "KeepAlive",
    "TimeToLive",
    "Leases",
    "etcdserver: key is not provided",
    "etcdserver: key not found",
    "etcdserver: value is provided",
    "etcdserver: lease is provided",
    "etcdserver: too many operations in txn request",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: mvcc: required revision is a future revision",
    "etcdserver: requested lease not found",
    "etcdserver: lease already exists",
    "etcdserver: too large lease TTL",
    "mvcc: watcher range is empty",
    "mvcc: duplicate watch ID provided on the WatchStream",
    "watch created",
    "watch canceled",
    "watch compacted",
    "watch progress",
    "watch events",
    "watch previous",
];
/// 4,000: fewer may miss some.
const EXPECTED_FROM: usize = 4_000;

/// Counts by kind.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) ops: usize,
    counts: BTreeMap<String, usize>,
}

impl Seen {
    /// Takes in a sequence that showed no difference.
    pub(crate) fn take(&mut self, ops: &[Op], trace: &Trace) {
        self.ops += ops.len();
        for step in &trace.steps {
            self.count(kind(&step.answer));
            for (_, r) in &step.watched {
                let previous = r.events.iter().any(|event| event.prev_kv.is_some());
                let progress = !r.created && !r.canceled && r.events.is_empty();
                for (is, name) in [
                    (r.created && !r.canceled, "watch created"),
                    (r.canceled && r.compact_revision != 0, "watch compacted"),
                    (r.canceled && r.compact_revision == 0, "watch canceled"),
                    (!r.cancel_reason.is_empty(), &r.cancel_reason),
                    (progress, "watch progress"),
                    (r.fragment, "watch fragment"),
                    (!r.events.is_empty(), "watch events"),
                    (previous, "watch previous"),
                ] {
                    if is {
                        self.count(name);
                    }
                }
            }
        }
    }

    fn count(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    /// # Panics
    /// Where something is missing that so many operations have to meet.
    pub(crate) fn expect_all(&self) {
        let missing = EXPECTED
            .iter()
            .filter(|name| !self.counts.contains_key(**name));
        let missing: Vec<_> = missing.collect();
        assert!(
            self.ops < EXPECTED_FROM || missing.is_empty(),
            "never met: {missing:?}"
        );
    }
}

fn kind(answer: &Answer) -> &str {
    match answer {
        Answer::Range(_) => "Range",
        Answer::Put(_) => "Put",
        Answer::Delete(_) => "Delete",
        Answer::Txn(_) => "Txn",
        Answer::Compact(_) => "Compact",
        Answer::Grant(_) => "Grant",
        Answer::Revoke(_) => "Revoke",
        Answer::KeepAlive(_) => "KeepAlive",
        Answer::TimeToLive(_) => "TimeToLive",
        Answer::Leases(_) => "Leases",
        Answer::Streamed => "on a stream",
        Answer::Refused(_, message) => message,
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations without a difference", self.ops)?;
        for (name, count) in &self.counts {
            write!(f, "\n  {count:6} {name}")?;
        }
        Ok(())
    }
}
