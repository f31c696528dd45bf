//! Everything that can happen to a task, as values; says what, never how (that is [`super::txns`]) and never when.

use std::sync::Arc;

use crate::task::{ClaimId, Gate, Name, Pack, PackId, Progress, Routing, Step, Which};

use super::failovers::Telling;
use super::keys::{Lane, Origin, Place, RecordId};
use super::records::{Attempt, EndedBy, Idem, Outside, Record, Run, Seen, TermRecord};

/// One change, one transaction.
#[derive(Clone, Debug)]
pub enum Change {
    /// Tasks are accepted.
    Submit(Submit),
    /// Scheduled tasks become ready.
    Promote(Waiting),
    /// Ready tasks are claimed for nodes.
    Assign(Assign),
    /// Ready tasks wait for something else than their kind's turn: they move to its lane.
    Park(Park),
    /// Somebody outside gets what it waits for.
    Grant(Grant),
    /// A lane of a lock or key is empty: its mark goes.
    DropLane(DropLane),
    /// A record is written anew as it is: whatever was sent for it before can no longer commit.
    Touch(Waiting),
    /// A node reports outcomes, and hands back what it will not run.
    Report(Report),
    /// Running tasks are to be cancelled.
    Stop(StopRuns),
    /// A claim is taken from its node.
    Reclaim(Reclaim),
    /// Waiting or dead tasks are cancelled.
    Cancel(Act),
    /// Dead tasks become ready again.
    Revive(Act),
    /// Packs below are no longer accepted.
    Raise(Raise),
    /// A pack that has ended is forgotten.
    Collect(Collect),
    /// A mark on a pack that has not ended is dropped.
    Unmark(Collect),
    /// A mark is moved: its pack has ended, and may not be forgotten yet.
    Postpone(Postpone),
    /// A term is written into the history.
    Record(Term),
    /// Due times of a schedule are fired or skipped.
    Fire(Fire),
    /// What became of a session or a term that is over is put on record.
    Tell(Telling),
}

/// Packs accepted together, whole or not at all.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The packs, oldest id first; at least one.
    pub packs: Vec<(PackId, Arc<Pack>)>,
    /// Idempotency keys, each for its tasks.
    pub idem: Vec<(String, Idem)>,
    /// Whether ready records carry their pack, where it is small.
    pub inline: bool,
}

/// A waiting record as it was seen.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its name.
    pub id: RecordId,
    /// Where it waits.
    pub place: Place,
    /// What it holds.
    pub seen: Seen<Record>,
    /// Now, in milliseconds since 1970: since when it waits where it goes.
    pub now_ms: u64,
}

/// Tasks of one record go to nodes.
#[derive(Clone, Debug)]
pub struct Assign {
    /// Where they come from.
    pub from: Waiting,
    /// Who gets which.
    pub takes: Vec<Take>,
    /// The leader's term.
    pub term: i64,
    /// The revision of the view this was decided at.
    pub decided: i64,
    /// Mod revision of the mark of edits: by which limits and rules this was decided; 0 where none was edited ever.
    pub rules: i64,
}

/// A ready record that goes to another lane.
#[derive(Clone, Debug)]
pub struct Park {
    /// Where it is.
    pub from: Waiting,
    /// Where it goes: [`Place::Parked`], or [`Place::Ready`] where the gate is its own lane's.
    pub to: Place,
    /// Whether to put the mark of that lane; a batch puts one that several would put on its own.
    pub mark: bool,
}

/// A lock or permits for somebody outside.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which.
    pub gate: Gate,
    /// The id of who waits.
    pub id: u128,
    /// What it asked for.
    pub want: Seen<Outside>,
    /// Its lease.
    pub lease: i64,
    /// As in [`Assign::rules`].
    pub rules: i64,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// An empty lane.
#[derive(Clone, Debug)]
pub struct DropLane {
    /// The lane.
    pub lane: Lane,
    /// Mod revision of its mark.
    pub modified: i64,
}

/// One node's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The claim that is made.
    pub claim: ClaimId,
    /// The node.
    pub node: Name,
    /// Its session: create revision of its key.
    pub session: i64,
    /// Its instance: the process that has this session.
    pub instance: String,
    /// Which tasks.
    pub which: Which,
}

/// What a transaction on a claim writes besides the claim itself.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Outcomes, for one result key.
    pub attempts: Vec<Attempt>,
    /// Records of what goes on.
    pub records: Vec<(Place, u32, Record)>,
    /// Whether the pack may have ended with this: put a mark.
    pub mark: bool,
    /// The number of the result key.
    pub n: u32,
}

/// A node's report on one claim.
#[derive(Clone, Debug)]
pub struct Report {
    /// The node.
    pub node: Name,
    /// The claim.
    pub claim: ClaimId,
    /// Its pack.
    pub pack: PackId,
    /// Mod revision of the claim it was built on.
    pub modified: i64,
    /// Mod revision of the stop it was built on, 0 for none; compared only where something goes on.
    pub stop: i64,
    /// Where its tasks came from.
    pub routing: Routing,
    /// The claim afterwards; none when nothing of it is left.
    pub rest: Option<Run>,
    /// What it writes.
    pub settled: Settled,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// The leader takes a whole claim from a dead session.
#[derive(Clone, Debug)]
pub struct Reclaim {
    /// The node.
    pub node: Name,
    /// The claim.
    pub claim: ClaimId,
    /// Its pack.
    pub pack: PackId,
    /// Mod revision of the claim.
    pub modified: i64,
    /// Mod revision of the stop, 0 for none.
    pub stop: i64,
    /// The session that must be gone.
    pub gone: i64,
    /// Where its tasks came from.
    pub routing: Routing,
    /// What it writes.
    pub settled: Settled,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A cancel of running tasks.
#[derive(Clone, Debug)]
pub struct StopRuns {
    /// The node.
    pub node: Name,
    /// The claim.
    pub claim: ClaimId,
    /// Mod revision of the claim.
    pub modified: i64,
    /// Mod revision of the stop there is, 0 for none.
    pub stop: i64,
    /// All that is to be stopped, what was so before included.
    pub which: Which,
}

/// A user's act on some tasks of a waiting or dead record.
#[derive(Clone, Debug)]
pub struct Act {
    /// The act's own id: names what it writes.
    pub act: u128,
    /// The record.
    pub from: Waiting,
    /// Which of its tasks.
    pub which: Which,
}

/// The horizon is raised.
#[derive(Clone, Copy, Debug)]
pub struct Raise {
    /// The new horizon.
    pub horizon: PackId,
}

/// A mark and its pack.
#[derive(Clone, Debug)]
pub struct Collect {
    /// The mark's key.
    pub mark: String,
    /// Its mod revision.
    pub modified: i64,
    /// The pack.
    pub pack: PackId,
    /// Idempotency keys that go with it.
    pub idem: Vec<String>,
}

/// A mark that is moved.
#[derive(Clone, Debug)]
pub struct Postpone {
    /// The mark.
    pub mark: Collect,
    /// As if its pack had ended then, in milliseconds since 1970: another minute than the mark's.
    pub ended_ms: u64,
}

/// What is done to a schedule that is not edited by it.
#[derive(Clone, Debug)]
pub struct Fire {
    /// Its name.
    pub schedule: Name,
    /// Mod revision of the schedule it was decided by.
    pub modified: i64,
    /// How far it had got.
    pub from: Seen<Progress>,
    /// What is done.
    pub step: Arc<Step>,
}

/// A line of the leadership history.
#[derive(Clone, Debug)]
pub struct Term {
    /// The term.
    pub term: i64,
    /// What is known of it.
    pub record: TermRecord,
    /// Former terms that were open still, with their records closed.
    pub formers: Vec<(i64, TermRecord)>,
    /// Terms to forget: the history is bounded.
    pub forget: Vec<i64>,
}

impl Change {
    /// The word for metrics and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Submit(_) => "submit",
            Self::Promote(_) => "promote",
            Self::Assign(_) => "assign",
            Self::Park(_) => "park",
            Self::Grant(_) => "grant",
            Self::DropLane(_) => "drop_lane",
            Self::Touch(_) => "touch",
            Self::Report(_) => "report",
            Self::Stop(_) => "stop",
            Self::Reclaim(_) => "reclaim",
            Self::Cancel(_) => "cancel",
            Self::Revive(_) => "revive",
            Self::Raise(_) => "raise",
            Self::Collect(_) => "collect",
            Self::Unmark(_) => "unmark",
            Self::Postpone(_) => "postpone",
            Self::Record(_) => "record",
            Self::Fire(_) => "fire",
            Self::Tell(_) => "tell",
        }
    }
}

impl Change {
    /// The same without its mark, that its pack may have ended or that its lane has work: for a batch that puts the mark on its own.
    #[must_use]
    pub fn unmarked(&self) -> Self {
        let mut change = self.clone();
        if let Self::Park(park) = &mut change {
            park.mark = false;
        }
        if let Some(settled) = change.settled_mut() {
            settled.mark = false;
        }
        change
    }

    fn settled_mut(&mut self) -> Option<&mut Settled> {
        match self {
            Self::Report(report) => Some(&mut report.settled),
            Self::Reclaim(lost) => Some(&mut lost.settled),
            Self::Submit(_)
            | Self::Promote(_)
            | Self::Assign(_)
            | Self::Park(_)
            | Self::Grant(_)
            | Self::DropLane(_)
            | Self::Touch(_)
            | Self::Stop(_)
            | Self::Cancel(_)
            | Self::Revive(_)
            | Self::Raise(_)
            | Self::Collect(_)
            | Self::Unmark(_)
            | Self::Postpone(_)
            | Self::Record(_)
            | Self::Fire(_)
            | Self::Tell(_) => None,
        }
    }
}

impl Change {
    /// What settles it where nobody knows whether it was committed: itself, for what it compares never comes back; for an assignment a
    /// touch, which conflicts with it.
    #[must_use]
    pub fn settling(&self) -> Self {
        match self {
            Self::Assign(assign) => Self::Touch(assign.from.clone()),
            Self::Submit(_)
            | Self::Promote(_)
            | Self::Park(_)
            | Self::Grant(_)
            | Self::DropLane(_)
            | Self::Touch(_)
            | Self::Report(_)
            | Self::Stop(_)
            | Self::Reclaim(_)
            | Self::Cancel(_)
            | Self::Revive(_)
            | Self::Raise(_)
            | Self::Collect(_)
            | Self::Unmark(_)
            | Self::Postpone(_)
            | Self::Record(_)
            | Self::Fire(_)
            | Self::Tell(_) => self.clone(),
        }
    }
}

impl Waiting {
    /// The routing of its tasks.
    pub fn routing(&self) -> &Routing {
        &self.seen.value.routing
    }
}

impl Term {
    /// Closes a record: who saw it end, when and why.
    pub fn closed(mut record: TermRecord, until_ms: u64, ended_by: EndedBy) -> TermRecord {
        record.until_ms.get_or_insert(until_ms);
        record.ended_by.get_or_insert(ended_by);
        record
    }
}

impl From<ClaimId> for Origin {
    fn from(claim: ClaimId) -> Self {
        Self::Claim(claim)
    }
}
