//! What each weakening is expected to break, and in how many steps.

use crate::checks::{
    ACCEPTED_ONCE, ATTEMPTS, CANCEL_HOLDS, DRAINS, HOLDS, LIMITS, LOCKS, ONE_OUTCOME, ONE_PLACE,
    ONE_TERM, ROOM, SESSIONS,
};
use crate::config::{self, Config};
use crate::weakening::Weakening;

/// One weakening and what the search finds.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What is taken away.
    pub without: Weakening,
    /// The configuration it is searched in.
    pub config: &'static str,
    /// What is different, in the words of `docs/transactions.md`.
    pub different: &'static str,
    /// The promise that breaks and the fewest steps to it; none where none breaks.
    pub breaks: Option<(&'static str, usize)>,
}

impl Row {
    /// The weakening's name.
    pub fn name(&self) -> String {
        format!("{:?}", self.without)
    }

    /// The configuration.
    ///
    /// # Panics
    /// Where a row names one that there is not: a mistake in this table.
    pub fn config(&self) -> &'static Config {
        let named = config::ALL.iter().find(|config| config.name == self.config);
        named.expect("a row names a configuration that there is")
    }
}

const fn row(
    without: Weakening,
    config: &'static str,
    breaks: Option<(&'static str, usize)>,
    different: &'static str,
) -> Row {
    Row {
        without,
        config,
        different,
        breaks,
    }
}

/// All of them.
pub const ROWS: &[Row] = &[
    row(
        Weakening::NoTerm,
        "room",
        Some((ONE_TERM, 6)),
        "the leader's transactions do not compare its term",
    ),
    row(
        Weakening::SubmitWithoutPack,
        "terms",
        Some((ACCEPTED_ONCE, 4)),
        "submit does not compare `pack`: a copy is accepted again",
    ),
    row(
        Weakening::SubmitWithoutIdem,
        "twins",
        Some((ACCEPTED_ONCE, 4)),
        "submit does not compare `idem`",
    ),
    row(
        Weakening::SubmitWithoutHorizon,
        "collect",
        Some((ACCEPTED_ONCE, 12)),
        "submit does not compare `horizon`: a late copy is accepted after collection",
    ),
    row(
        Weakening::SubmitUnknownTakenAsDone,
        "terms",
        Some((ONE_PLACE, 2)),
        "a submit of unknown outcome is acknowledged",
    ),
    row(
        Weakening::SubmitUnknownUnderNewId,
        "no key",
        Some((ACCEPTED_ONCE, 5)),
        "a submit of unknown outcome is sent again under a new pack id",
    ),
    row(
        Weakening::PromoteByCreated,
        "cancel waiting",
        Some((ONE_PLACE, 6)),
        "promote compares the create revision of `due`: it revives what was cancelled",
    ),
    row(
        Weakening::AssignByCreated,
        "parts",
        Some((ONE_PLACE, 8)),
        "assign compares the create revision of `ready`: it gives away what another took",
    ),
    row(
        Weakening::AssignWithoutReady,
        "terms",
        Some((ONE_PLACE, 8)),
        "assign does not compare `ready`: an assign of unknown outcome and its successor both commit",
    ),
    row(
        Weakening::AssignUnknownTakenAsFailed,
        "room",
        Some((ROOM, 9)),
        "an assign of unknown outcome is taken as failed, without a touch: the room it takes is given away",
    ),
    row(
        Weakening::TouchWithoutWaiting,
        "terms",
        Some((ONE_PLACE, 6)),
        "touch does not compare the record: it brings back what was assigned",
    ),
    row(
        Weakening::BatchesOverlap,
        "parts",
        Some((ONE_PLACE, 4)),
        "two assigns of one record in one batch: etcd accepts a put and a delete of one key",
    ),
    row(
        Weakening::ReportByCreated,
        "parts",
        Some((ONE_OUTCOME, 8)),
        "report compares the create revision of `run`: a late copy writes its outcome again",
    ),
    row(
        Weakening::ReportWithoutStop,
        "cancel running",
        Some((CANCEL_HOLDS, 8)),
        "report does not compare `stop`: a cancelled task goes on",
    ),
    row(
        Weakening::ReportUnknownBuiltAnew,
        "parts",
        Some((DRAINS, 9)),
        "a report of unknown outcome is built anew, not sent again as it is: the node takes the copy for the new one, and the rest of its claim stays for ever",
    ),
    row(
        Weakening::ReportUnknownTakenAsDone,
        "parts",
        Some((DRAINS, 7)),
        "a report of unknown outcome is taken as done",
    ),
    row(
        Weakening::ReportKeepsNumber,
        "parts",
        Some((ONE_OUTCOME, 8)),
        "a report in parts does not count `n` on: the next result overwrites the first",
    ),
    row(
        Weakening::StopWithoutRun,
        "cancel running",
        Some((CANCEL_HOLDS, 8)),
        "stop does not compare `run`: it stops a claim that the task has left",
    ),
    row(
        Weakening::StopWithoutStop,
        "cancel both",
        Some((CANCEL_HOLDS, 8)),
        "stop does not compare `stop`: the second of two cancels undoes the first",
    ),
    row(
        Weakening::StopOnlyAsks,
        "cancel running",
        Some((CANCEL_HOLDS, 5)),
        "a cancel of running work only asks the node",
    ),
    row(
        Weakening::ReclaimByCreated,
        "parts",
        Some((ONE_OUTCOME, 9)),
        "reclaim compares the create revision of `run`: it takes back what was reported",
    ),
    row(
        Weakening::ReclaimWithoutStop,
        "cancel running",
        Some((CANCEL_HOLDS, 9)),
        "reclaim does not compare `stop`: a cancelled task goes on",
    ),
    row(
        Weakening::ReclaimForgetsFailures,
        "retry",
        Some((ATTEMPTS, 23)),
        "reclaim starts the count of failures anew",
    ),
    row(
        Weakening::ClaimsAreLeased,
        "terms",
        Some((ONE_PLACE, 5)),
        "claims go with their node's lease",
    ),
    row(
        Weakening::CancelByCreated,
        "cancel both",
        Some((ONE_PLACE, 6)),
        "cancel compares the create revision of its record: a late one brings back what another cancelled",
    ),
    row(
        Weakening::ReviveByCreated,
        "revive",
        Some((ONE_PLACE, 10)),
        "revive compares the create revision of `dead`: it brings back what was cancelled",
    ),
    row(
        Weakening::CollectWithoutHorizon,
        "collect",
        Some((ACCEPTED_ONCE, 10)),
        "collect does not compare `horizon`: a late copy of the submit is accepted",
    ),
    row(
        Weakening::UnmarkWithoutMark,
        "collect",
        Some((DRAINS, 12)),
        "unmark does not compare `gc`: it drops the mark that the last outcome put, and the pack stays for ever",
    ),
    row(
        Weakening::NodeOverwritten,
        "terms",
        Some((SESSIONS, 5)),
        "a node that starts overwrites its key: the create revision stays, and its former claims look alive",
    ),
    row(
        Weakening::RecordsByNumber,
        "room",
        Some((ONE_PLACE, 4)),
        "records are named by a number alone: two submits make the same key",
    ),
    row(
        Weakening::RaiseJustAbove,
        "twins",
        Some((ACCEPTED_ONCE, 12)),
        "raise goes just above the pack that is collected: its twin, still on its way, is accepted after that",
    ),
    row(
        Weakening::AssignUnknownTakenAsFailed,
        "permits",
        Some((LIMITS, 9)),
        "the same, and the permit it holds is given to another",
    ),
    row(
        Weakening::AssignUnknownTakenAsFailed,
        "lock",
        Some((LOCKS, 9)),
        "the same, and the lock it holds is given to another",
    ),
    row(
        Weakening::FlightsHoldNothing,
        "permits",
        Some((LIMITS, 8)),
        "a leader does not count what it has on its way: two assigns in flight take one permit",
    ),
    row(
        Weakening::FlightsHoldNothing,
        "lock",
        Some((LOCKS, 8)),
        "the same with the lock",
    ),
    row(
        Weakening::AssignWithoutRules,
        "limit",
        Some((LIMITS, 6)),
        "assign does not compare `rules`: one that comes late goes beyond a limit that was lowered meanwhile",
    ),
    row(
        Weakening::GrantWithoutRules,
        "outside",
        Some((LIMITS, 10)),
        "grant does not compare `rules`",
    ),
    row(
        Weakening::EditWithoutRules,
        "limit",
        Some((LIMITS, 6)),
        "a limit is changed without `rules`",
    ),
    row(
        Weakening::GrantWithoutWant,
        "outside",
        Some((LIMITS, 14)),
        "grant does not compare `want`: a copy that comes after the release holds what was given to another",
    ),
    row(
        Weakening::GrantWithoutWant,
        "outside lock",
        Some((LOCKS, 12)),
        "the same with the lock",
    ),
    row(
        Weakening::ReleaseByName,
        "outside lock",
        Some((HOLDS, 11)),
        "release deletes whatever holds the lock: a late one takes it from the next holder",
    ),
    row(
        Weakening::HoldWithoutLease,
        "outside",
        Some((DRAINS, 5)),
        "a hold is put without a lease: it stays when its holder is gone",
    ),
    row(
        Weakening::ReclaimKeepsPermits,
        "permits",
        Some((DRAINS, 5)),
        "a leader goes on counting the permits of what it reclaimed: nothing fits any more",
    ),
    row(
        Weakening::LockTakesAll,
        "lock in a pack",
        Some((LOCKS, 4)),
        "a claim with the lock takes all tasks of a pack: they run beside each other",
    ),
    row(
        Weakening::ParkWithoutReady,
        "lock",
        Some((ONE_PLACE, 12)),
        "park does not compare `ready`: it brings back what was assigned",
    ),
    row(
        Weakening::ParkedIsForgotten,
        "permits",
        Some((DRAINS, 8)),
        "what is parked is not looked at when something is free again, or by the next leader",
    ),
    row(
        Weakening::AssignWithoutNode,
        "deaths",
        None,
        "`node` in assign: without it claims are made for the dead, and reclaimed at once",
    ),
    row(
        Weakening::ReclaimWithoutNode,
        "deaths",
        None,
        "`node` in reclaim: a session that is gone never comes back, so a leader that saw it gone is right for ever; it holds against a leader that is wrong",
    ),
    row(
        Weakening::CollectWithoutMark,
        "collect",
        None,
        "`gc` in collect: what has ended stays ended, so whoever saw that is right for ever; it keeps a late collect from a mark it did not see",
    ),
];
