//! Sends changes: alone, or many nested under one fence; says of each what became of it, never what to do about it.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_cluster::{
    Answer, Branch, Connection, Failure, Footprint, Guard, Outcome, Range, ReadError, Session, Txn,
};

use super::change::{Change, Settled};
use super::guard::GuardName;
use super::keys::Keys;
use super::records::Next;
use super::txns;
use crate::clock::Clock;
use crate::metrics;
use crate::planted::{self, Bug};
use crate::task::{By, Name, Routing, Skipped, Step};
use crate::vitals::Vitals;

/// 512 operations to one transaction: a put costs etcd some 10 µs of its serial apply loop (docs/benchmarks.md), so this keeps other
/// writers waiting for a few milliseconds at most.
const BATCH_OPS_MAX: usize = 512;

/// 1 MiB to one transaction: etcd's request limit is 1.5 MiB (`--max-request-bytes`).
const BATCH_BYTES_MAX: usize = 1 << 20;

/// 60 changes to one transaction: etcd allows 128 operations per list, and a nested list has what the outer one leaves.
const BATCH_CHANGES_MAX: usize = 60;

/// Writes to one cluster. A cheap handle.
#[derive(Clone)]
pub struct Store {
    connection: Connection,
    keys: Keys,
    clock: Clock,
    vitals: Vitals,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is done, at this revision.
    Committed {
        /// The revision.
        revision: i64,
    },
    /// It was refused and never will be done: a guard had lost.
    Refused {
        /// The lost guards, at least one; [`GuardName::Term`] means that we no longer lead.
        lost: Vec<GuardName>,
        /// What the transaction read instead.
        reads: Vec<Answer>,
        /// The revision it was refused at.
        revision: i64,
    },
    /// It may be done, now or later.
    Unknown(Failure),
    /// It was not done and never will be.
    Unavailable(Failure),
}

impl Store {
    /// A store on this connection.
    pub fn new(connection: Connection, keys: Keys) -> Self {
        Self {
            connection,
            keys,
            clock: Clock::default(),
            vitals: Vitals::default(),
        }
    }

    /// With a clock of its own instead of the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The node's wall clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How the node itself is.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// What the node's wall clock says, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// etcd's revision now: what was committed before this call is in it.
    ///
    /// # Errors
    /// [`ReadError`] where etcd does not answer.
    pub async fn revision(&self) -> Result<i64, ReadError> {
        let read = Range::key(self.keys.horizon()).keys_only();
        Ok(self.connection.range(&read).await?.revision)
    }

    /// Tells what a node's wall clock says. Nested, because etcd checks its quota for puts of the outer transaction only: this must not
    /// raise the alarm about space, and clocks that stand still would hold up the collection that makes room. So it is committed also
    /// where the session is over, and writes nothing then.
    pub async fn tell_clock(&self, node: &Name, session: &Session) -> Outcome {
        let clock = txns::clock(&self.keys, node, session, self.now_ms());
        self.connection.commit(&Txn::new().nest(clock)).await
    }

    /// Sends one change of anyone's.
    pub async fn commit(&self, change: &Change) -> Verdict {
        let verdict = whole(self.connection.commit(&txns::txn(&self.keys, change)).await);
        observed(change, &verdict);
        verdict
    }

    /// Sends one change, under the leader's fence where there is one.
    pub(super) async fn commit_under(&self, fence: Option<&Guard>, change: &Change) -> Verdict {
        if fence.is_none() {
            return self.commit(change).await;
        }
        let verdicts = self.commit_batch(fence, std::slice::from_ref(change)).await;
        let verdict = verdicts.into_iter().next();
        verdict.expect("one change, one verdict")
    }

    /// Sends changes as one transaction, each with guards of its own; under the leader's fence where there is one. The
    /// verdicts come in the order of the changes, which must be a batch of [`batches`].
    pub async fn commit_batch(&self, fence: Option<&Guard>, changes: &[Change]) -> Vec<Verdict> {
        let txn = batch(&self.keys, fence, changes);
        let verdicts = split(self.connection.commit(&txn).await, changes.len());
        for (change, verdict) in changes.iter().zip(&verdicts) {
            observed(change, verdict);
        }
        verdicts
    }
}

/// One transaction of many changes, and a put of the outer list where there are submits: etcd checks its quota for that one only.
fn batch(keys: &Keys, fence: Option<&Guard>, changes: &[Change]) -> Txn {
    let submits = changes
        .iter()
        .any(|change| matches!(change, Change::Submit(_) | Change::Fire(_)));
    let shared = shared_marks(keys, changes);
    let nested: Vec<Txn> = changes
        .iter()
        .map(|change| match txns::mark_of(keys, change) {
            Some(mark) if shared.contains(&mark) => txns::txn(keys, &change.unmarked()),
            Some(_) | None => txns::txn(keys, change),
        })
        .collect();
    let outer = match fence {
        Some(_) if planted::is(Bug::WriteWithoutTerm) => {
            nested.into_iter().fold(Txn::new(), Txn::nest)
        }
        Some(fence) => txns::fenced(fence.clone(), nested),
        None => nested.into_iter().fold(Txn::new(), Txn::nest),
    };
    let outer = shared
        .into_iter()
        .fold(outer, |outer, mark| outer.nest(txns::mark(mark)));
    if submits {
        outer.put(keys.pulse(), Vec::new())
    } else {
        outer
    }
}

/// The marks that more than one of these changes would put: claims of one pack that end together. etcd takes a key once.
fn shared_marks(keys: &Keys, changes: &[Change]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let marks = changes
        .iter()
        .filter_map(|change| txns::mark_of(keys, change));
    marks.filter(|mark| !seen.insert(mark.clone())).collect()
}

/// Divides changes into batches that fit one transaction, in order: those that touch each other's keys are apart.
pub fn batches(keys: &Keys, changes: Vec<Change>) -> Vec<Vec<Change>> {
    let txns: Vec<Txn> = changes.iter().map(|change| bare(keys, change)).collect();
    let mut batches: Vec<Vec<Change>> = Vec::new();
    let (mut ops, mut bytes, mut touched) = (0, 0, Footprint::default());
    for (change, txn) in changes.into_iter().zip(&txns) {
        let mark = txns::mark_of(keys, &change);
        let more_ops = txn.ops() + mark.iter().len();
        let more_bytes = txn.bytes() + mark.map_or(0, |key| key.len());
        let fits = ops + more_ops <= BATCH_OPS_MAX && bytes + more_bytes <= BATCH_BYTES_MAX;
        // One that contradicts itself goes on, to be told invalid when it is sent.
        let of = || Footprint::of(txn).unwrap_or_default();
        // What takes a mark away never goes with what puts marks: those are not among the keys that are held against each other.
        let drops = is_drop(&change);
        let alike = |batch: &[Change]| batch.iter().all(|one| drops == is_drop(one));
        match batches.last_mut() {
            Some(batch)
                if fits
                    && batch.len() < BATCH_CHANGES_MAX
                    && alike(batch)
                    && touched.merge(of()).is_ok() =>
            {
                batch.push(change);
            }
            Some(_) | None => {
                (ops, bytes, touched) = (0, 0, of());
                batches.push(vec![change]);
            }
        }
        ops += more_ops;
        bytes += more_bytes;
    }
    batches
}

fn is_drop(change: &Change) -> bool {
    matches!(change, Change::DropLane(_))
}

/// The transaction of a change without its mark, which changes of one batch may share.
fn bare(keys: &Keys, change: &Change) -> Txn {
    match txns::mark_of(keys, change) {
        Some(_) => txns::txn(keys, &change.unmarked()),
        None => txns::txn(keys, change),
    }
}

fn whole(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Committed(done) => Verdict::Committed {
            revision: done.revision,
        },
        Outcome::Refused(no) => Verdict::Refused {
            lost: named(&no.lost),
            reads: no.reads,
            revision: no.revision,
        },
        Outcome::Unknown(failure) => Verdict::Unknown(failure),
        Outcome::Unavailable(failure) => Verdict::Unavailable(failure),
    }
}

fn named(lost: &[&str]) -> Vec<GuardName> {
    let name = |name: &&str| GuardName::of(name).expect("only what `txns` makes is sent");
    lost.iter().map(name).collect()
}

/// The verdict of each nested transaction; where the outer one was refused, all were.
fn split(outcome: Outcome, changes: usize) -> Vec<Verdict> {
    let Outcome::Committed(done) = outcome else {
        return vec![whole(outcome); changes];
    };
    let revision = done.revision;
    let branch = |answer| match answer {
        Answer::Nested(Branch::Held(_)) => Verdict::Committed { revision },
        Answer::Nested(Branch::Lost { lost, reads }) => Verdict::Refused {
            lost: named(&lost),
            reads,
            revision,
        },
        Answer::Put | Answer::Deleted(_) | Answer::Kvs(_) => {
            unreachable!("a batch nests its changes first")
        }
    };
    done.results.into_iter().take(changes).map(branch).collect()
}

/// Tells metrics what became of a change.
fn observed(change: &Change, verdict: &Verdict) {
    match (verdict, change) {
        (Verdict::Committed { .. }, Change::Report(done)) => counted(&done.settled, &done.routing),
        (Verdict::Committed { .. }, Change::Reclaim(lost)) => counted(&lost.settled, &lost.routing),
        (Verdict::Committed { .. }, Change::Fire(due)) => fired(&due.step),
        (Verdict::Refused { lost, .. }, _) => {
            let claim_gone = matches!(change, Change::Report(_)) && lost.contains(&GuardName::Run);
            if claim_gone || lost.contains(&GuardName::Term) {
                metrics::fencing_rejected(change.word());
            }
            metrics::txn_conflict(change.word());
        }
        (Verdict::Committed { .. } | Verdict::Unknown(_) | Verdict::Unavailable(_), _) => {}
    }
}

fn fired(step: &Step) {
    told_lines(step);
    for (_, pack) in &step.fires {
        let Routing { queue, kind, .. } = &pack.routing;
        metrics::tasks_submitted(queue.as_str(), kind.as_str(), 1);
    }
}

/// Tells metrics of what is new in a ledger.
pub(super) fn told_lines(step: &Step) {
    for line in &step.lines {
        let outcome = line.skipped.map_or(line.by.as_str(), Skipped::as_str);
        metrics::schedule_occurrences(outcome, u64::from(line.times));
        if line.skipped.is_none() && matches!(line.by, By::Clock | By::CatchUp) {
            metrics::schedule_lateness(Duration::from_millis(line.late_ms));
        }
    }
}

fn counted(settled: &Settled, routing: &Routing) {
    let (queue, kind) = (routing.queue.as_str(), routing.kind.as_str());
    for attempt in settled
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome.is_attempt())
    {
        let tasks = attempt.which.len() as u64;
        metrics::task_attempts(queue, kind, attempt.outcome, tasks);
        match attempt.next {
            None => metrics::tasks_finished(queue, kind, attempt.outcome, tasks),
            Some(Next::Ready { .. } | Next::Due { .. }) => {
                metrics::task_retries(queue, kind, tasks);
            }
            Some(Next::Dead { .. }) => metrics::tasks_dead(queue, kind, tasks),
        }
        if let Some(started_ms) = attempt.started_ms {
            let took = Duration::from_millis(attempt.finished_ms.saturating_sub(started_ms));
            (0..tasks).for_each(|_| metrics::run_duration(queue, kind, took));
        }
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
