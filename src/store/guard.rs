//! The names of the guards of Tenure's transactions: what a refusal tells, to be matched and not compared as text.

use std::fmt;

/// What a guard of [`super::txns`] tests. A refusal names those that did not hold; what each means is said there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuardName {
    /// The leader's election key.
    Term,
    /// The retention horizon.
    Horizon,
    /// A lane's mark.
    Lane,
    /// The first pack of a submit.
    Pack,
    /// An idempotency key.
    Idem,
    /// A due record.
    Due,
    /// A ready record.
    Ready,
    /// A waiting or dead record.
    Waiting,
    /// A node's key.
    Node,
    /// A claim.
    Run,
    /// A claim's stop.
    Stop,
    /// A mark of a pack that may have ended.
    Gc,
    /// The mark of edits of limits and queues' rules.
    Rules,
    /// A limit or a queue's rules.
    Edited,
    /// A request from outside for a lock or permits.
    Want,
    /// A hold of somebody outside.
    Hold,
    /// A schedule.
    Schedule,
    /// How far a schedule has got.
    Progress,
    /// The mark of schedules that were deleted.
    Deleted,
    /// The record of a session's death.
    Death,
    /// What is on record of a session's or a term's end.
    Failover,
}

impl GuardName {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Term,
        Self::Horizon,
        Self::Lane,
        Self::Pack,
        Self::Idem,
        Self::Due,
        Self::Ready,
        Self::Waiting,
        Self::Node,
        Self::Run,
        Self::Stop,
        Self::Gc,
        Self::Rules,
        Self::Edited,
        Self::Want,
        Self::Hold,
        Self::Schedule,
        Self::Progress,
        Self::Deleted,
        Self::Death,
        Self::Failover,
    ];

    /// As it is sent, logged and documented.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Term => "term",
            Self::Horizon => "horizon",
            Self::Lane => "lane",
            Self::Pack => "pack",
            Self::Idem => "idem",
            Self::Due => "due",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Node => "node",
            Self::Run => "run",
            Self::Stop => "stop",
            Self::Gc => "gc",
            Self::Rules => "rules",
            Self::Edited => "edited",
            Self::Want => "want",
            Self::Hold => "hold",
            Self::Schedule => "schedule",
            Self::Progress => "progress",
            Self::Deleted => "deleted",
            Self::Death => "death",
            Self::Failover => "failover",
        }
    }

    /// The one of this name; none where no transaction of ours has it.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|guard| guard.name() == name)
    }
}

impl fmt::Display for GuardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
