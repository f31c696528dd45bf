//! Bugs planted on purpose: each is a way in which such systems have lost or doubled work, and the simulation has to find each it can.
//! Without the feature `planted`, which no release has, none can be on, and no environment variable is looked at.

use std::fmt;
use std::str::FromStr;

/// One line for each bug: its variant, its name on the command line and in the page, what it does.
macro_rules! bugs {
    ($($bug:ident $name:literal $what:literal,)*) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug,)*];

            /// Its name, as on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)*
                }
            }

            /// What it does, in one sentence.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => $what,)*
                }
            }
        }
    };
}

bugs! {
    WriteWithoutTerm "write-without-term" "A leader's batch does not compare the leader's key.",
    LeadOutOfTurn "lead-out-of-turn" "A candidate leads although an older one is there.",
    AcknowledgedFirst "acknowledged-first" "A batch is acknowledged once it is sent, whatever becomes of it.",
    SubmitUnknownIsDone "submit-unknown-is-done" "A batch whose outcome is unknown is acknowledged.",
    KeyNotCompared "key-not-compared" "A submit does not compare its idempotency keys.",
    LaneUnmarked "lane-unmarked" "Submits do not mark their lanes.",
    LaneUnread "lane-unread" "A leader that takes over believes that nothing waits in the lanes it finds.",
    DueUnread "due-unread" "A leader that takes over believes that nothing is scheduled.",
    WindowForgets "window-forgets" "What falls out of a full window is not read again.",
    WatchFromNow "watch-from-now" "A watch that broke goes on from the newest revision that its node has seen.",
    RelistSkipped "relist-skipped" "A watch that was overtaken by a compaction goes on from now, and nothing is read again.",
    StopsNotLoaded "stops-not-loaded" "A leader that takes over does not load the stops.",
    LowestFirst "lowest-first" "A queue's lowest lane goes first.",
    AssignWithoutRecord "assign-without-record" "An assignment does not compare the ready record.",
    AssignWithoutNode "assign-without-node" "An assignment does not compare the node's session.",
    EditNotCompared "edit-not-compared" "An assignment does not compare the mark of edits.",
    PermitsInFlightForgotten "permits-in-flight-forgotten" "What assignments on their way take of a semaphore is given away again.",
    PermitsKept "permits-kept" "What a claim held stays counted when it ends.",
    HoldWithoutLease "hold-without-lease" "What somebody outside is given hangs on no lease.",
    ReleaseByName "release-by-name" "A release of what somebody outside holds does not compare the fence.",
    LockShared "lock-shared" "A claim with a lock holds several tasks.",
    ParkUnmarked "park-unmarked" "A lane of a lock or a key gets no mark.",
    RateIgnored "rate-ignored" "The bucket of a rate is always full.",
    PromoteWithoutRecord "promote-without-record" "A promotion does not compare the scheduled record.",
    PromotedEarly "promoted-early" "Scheduled tasks become ready two seconds before their time.",
    ForeignClaims "foreign-claims" "A node runs claims that were made for a former session.",
    NoSelfFence "no-self-fence" "Runs go on when their session is lost: neither their node nor watchdog and guard end them.",
    TtlIgnored "ttl-ignored" "A keepalive that is answered by a lease without time left counts as answered well, and the end of the session's key is not looked at.",
    HandBackDrops "hand-back-drops" "What is handed back is dropped.",
    HandBackIsDone "hand-back-is-done" "What is handed back is reported as succeeded.",
    ReportWithoutClaim "report-without-claim" "A report does not compare its claim.",
    ReportWithoutStop "report-without-stop" "A report does not compare the stop.",
    ReportUnknownIsDone "report-unknown-is-done" "A report whose outcome is unknown is taken for committed.",
    ReportRenumbered "report-renumbered" "A report whose answer was lost is told again as another one.",
    RetriesUnbounded "retries-unbounded" "A failed task is tried again however often it has failed.",
    NumbersAnew "numbers-anew" "Each attempt has the number 1.",
    ReclaimWithoutClaim "reclaim-without-claim" "A reclaim does not compare the claim.",
    ReclaimKeepsAttempt "reclaim-keeps-attempt" "A lost attempt is not counted.",
    ReclaimIgnoresStop "reclaim-ignores-stop" "What was to be stopped goes on after its node's death.",
    DeathNotCharged "death-not-charged" "No task is charged with its node's death.",
    ActWithoutRecord "act-without-record" "A cancel, a retry or a touch does not compare the record.",
    CancelUnknownIsDone "cancel-unknown-is-done" "A cancel whose outcome is unknown is acknowledged.",
    CancelUnmarked "cancel-unmarked" "A cancel does not mark that its pack may have ended.",
    ReviveKeepsFailures "revive-keeps-failures" "A retry of a dead task begins with its old failures.",
    RetentionIgnored "retention-ignored" "A pack is collected as soon as it has ended.",
    FireWithoutProgress "fire-without-progress" "What fires a schedule does not compare how far it has got.",
    DueForgotten "due-forgotten" "A schedule whose due times were missed goes on with the next, and says nothing.",
    FiredEarly "fired-early" "Schedules are fired two seconds before they are due.",
    DeadIsEnded "dead-is-ended" "A pack is collected although a task of it is among the dead letters.",
}

impl Bug {
    /// The one that leaves out this guard of a record.
    pub(crate) fn without(guard: &str) -> Self {
        match guard {
            "ready" => Self::AssignWithoutRecord,
            "due" => Self::PromoteWithoutRecord,
            _ => Self::ActWithoutRecord,
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|bug| bug.name() == text);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|bug| bug.name()).collect();
            format!("`{text}` is not one of {}", names.join(", "))
        })
    }
}

/// The environment variable that names the bug to plant in a node.
#[cfg(feature = "planted")]
pub(crate) const VARIABLE: &str = "TENURE_PLANTED";

/// The bug that the environment names, where it names one.
///
/// # Errors
/// There is none of this name; with all that there are.
#[cfg(feature = "planted")]
pub(crate) fn named(env: impl Fn(&str) -> Option<String>) -> Result<Option<Bug>, String> {
    let name = env(VARIABLE).filter(|name| !name.is_empty());
    let bug = name.map(|name| name.parse()).transpose();
    bug.map_err(|problem: String| format!("{VARIABLE}: {problem}"))
}

/// Plants a bug for the rest of the process.
///
/// # Panics
/// One is planted already.
#[cfg(feature = "planted")]
pub fn plant(bug: Bug) {
    tenure_cluster::planted::plant(bug.name());
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
#[inline]
pub(crate) fn is(bug: Bug) -> bool {
    tenure_cluster::planted::is(bug.name())
}

/// Whether this bug is planted: never in this build, and the compiler knows.
#[cfg(not(feature = "planted"))]
#[inline]
pub(crate) const fn is(bug: Bug) -> bool {
    tenure_cluster::planted::is(bug.name())
}

/// A release in which one could be on is not built.
#[cfg(not(feature = "planted"))]
const _: () = {
    let mut nth = 0;
    while nth < Bug::ALL.len() {
        assert!(!is(Bug::ALL[nth]), "a release has a planted bug");
        nth += 1;
    }
};

#[cfg(all(test, feature = "planted"))]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_bug_or_none_and_what_there_is_none_of_is_refused_by_name() {
        let said = |name: &'static str| {
            move |variable: &str| (variable == VARIABLE).then(|| name.to_owned())
        };
        assert_eq!(named(|_| None), Ok(None));
        assert_eq!(named(said("")), Ok(None));
        for bug in Bug::ALL {
            assert_eq!(named(said(bug.name())), Ok(Some(*bug)));
        }
        let problem = named(said("no-such-bug")).unwrap_err();
        assert!(
            problem.starts_with("TENURE_PLANTED: `no-such-bug` is not one of write-without-term, "),
            "{problem}"
        );
    }
}
