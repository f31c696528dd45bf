//! Planted bugs: each has a seed that finds it and the check that says so, on record; a bug that is not found any more is a hole in
//! the checks.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tenure::planted::Bug;
use tenure_chaos::check::Property;

use crate::many::{Ran, alone};

/// 500 seeds: a bug that they do not find counts as not found.
const WITHIN: u64 = 500;

/// The bugs, the first seed that finds each, and one of the properties that are broken there; `planted --find` prints such lines.
const FOUND_BY: &[(Bug, u64, Property)] = &[
    (Bug::WriteWithoutTerm, 229, Property::OneActingLeader),
    (Bug::LeadOutOfTurn, 0, Property::OneActingLeader),
    (Bug::AcknowledgedFirst, 0, Property::AcceptedNeverLost),
    (Bug::SubmitUnknownIsDone, 3, Property::AcceptedNeverLost),
    (Bug::KeyNotCompared, 0, Property::Idempotency),
    (Bug::LaneUnmarked, 13, Property::Heals),
    (Bug::LaneUnread, 0, Property::Heals),
    (Bug::DueUnread, 1, Property::Heals),
    (Bug::WindowForgets, 2, Property::Heals),
    (Bug::WatchFromNow, 353, Property::Heals),
    (Bug::StopsNotLoaded, 32, Property::ReclaimBounded),
    (Bug::LowestFirst, 0, Property::PriorityOrder),
    (Bug::AssignWithoutRecord, 25, Property::AcceptedNeverLost),
    (Bug::AssignWithoutNode, 189, Property::ReclaimBounded),
    (Bug::EditNotCompared, 219, Property::QueueLimits),
    (Bug::PermitsInFlightForgotten, 0, Property::SemaphoreLimits),
    (Bug::PermitsKept, 0, Property::Heals),
    (Bug::HoldWithoutLease, 0, Property::OutsideHolds),
    (Bug::LockShared, 0, Property::LocksExclude),
    (Bug::ParkUnmarked, 12, Property::Heals),
    (Bug::RateIgnored, 30, Property::RateLimits),
    (Bug::PromoteWithoutRecord, 6, Property::AcceptedNeverLost),
    (Bug::PromotedEarly, 0, Property::OneTerminalState),
    (Bug::ForeignClaims, 6, Property::ConcurrentRuns),
    (Bug::HandBackDrops, 4, Property::Heals),
    (Bug::HandBackIsDone, 4, Property::NothingFromNowhere),
    (Bug::ReportWithoutClaim, 3, Property::StaleReportRefused),
    (Bug::ReportUnknownIsDone, 21, Property::ConcurrentRuns),
    (Bug::ReportRenumbered, 29, Property::StaleReportRefused),
    (Bug::RetriesUnbounded, 0, Property::AttemptsBounded),
    (Bug::NumbersAnew, 0, Property::AttemptsBounded),
    (Bug::ReclaimWithoutClaim, 9, Property::StaleReportRefused),
    (Bug::ReclaimKeepsAttempt, 0, Property::AttemptsBounded),
    (Bug::ReclaimIgnoresStop, 32, Property::CancelHolds),
    (Bug::DeathNotCharged, 4, Property::AttemptsBounded),
    (Bug::ActWithoutRecord, 45, Property::AcceptedNeverLost),
    (Bug::CancelUnknownIsDone, 16, Property::CancelHolds),
    (Bug::CancelUnmarked, 0, Property::Bounded),
    (Bug::ReviveKeepsFailures, 6, Property::AttemptsBounded),
    (Bug::RetentionIgnored, 4, Property::Bounded),
    (Bug::FireWithoutProgress, 102, Property::SchedulesFireOnce),
    (Bug::DueForgotten, 0, Property::SchedulesFireOnce),
    (Bug::FiredEarly, 0, Property::SchedulesFireOnce),
    (Bug::DeadIsEnded, 4, Property::AcceptedNeverLost),
];

/// Holes: no seed is on record that finds them. What does instead: a guard's test is the one in which it loses (docs/transactions.md),
/// the model breaks without the guard (docs/model.md). Of the last three only the first 100 seeds have been tried.
const HOLES: &[(Bug, &str)] = &[
    (
        Bug::ReportWithoutStop,
        "the guard's test and the model only",
    ),
    (
        Bug::ReleaseByName,
        "the guard's test only: in the simulation nobody asks again under an id that he had",
    ),
    (
        Bug::NoSelfFence,
        "no seed of the first 100: for real processes, whose runs take longer than those of the simulation",
    ),
    (
        Bug::TtlIgnored,
        "`a_lease_that_is_gone_is_not_renewed`; no seed of the first 100: a session's own key is watched as well",
    ),
    (
        Bug::RelistSkipped,
        "no seed of the first 100: a stream has to break as history is compacted",
    ),
];

fn is_hole(bug: Bug) -> bool {
    HOLES.iter().any(|(hole, _)| *hole == bug)
}

/// Runs recorded seeds with their bugs and without, or looks for them anew.
pub(crate) fn run(find: bool, only: Option<Bug>) -> ExitCode {
    let began = Instant::now();
    let bugs: Vec<Bug> = Bug::ALL
        .iter()
        .filter(|bug| only.map_or(find || !is_hole(**bug), |only| only == **bug))
        .copied()
        .collect();
    let wrong = if find { look_for(&bugs) } else { again(&bugs) };
    println!(
        "{} bugs in {:.0} s, {wrong} not found",
        bugs.len(),
        began.elapsed().as_secs_f64()
    );
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs each recorded seed with its bug, which has to be found by the recorded check, and without, where nothing may be found.
fn again(bugs: &[Bug]) -> usize {
    let sound = Sound::default();
    at_once(bugs, |bug| {
        let (_, seed, by) = FOUND_BY
            .iter()
            .find(|(known, ..)| *known == bug)
            .ok_or("it has no recorded seed: look for one with --find")?;
        let found = broken(*seed, bug)?;
        if !found.contains(by) {
            return Err(format!(
                "seed {seed} does not break {by} any more ({found:?}): look for another with --find"
            ));
        }
        if !sound.holds(*seed)? {
            return Err(format!("seed {seed} fails without it too"));
        }
        Ok(format!("seed {seed:>4} {by}"))
    })
}

/// Looks for the first seed that fails with each bug and not without, and prints the lines of the table.
fn look_for(bugs: &[Bug]) -> usize {
    let sound = Sound::default();
    at_once(bugs, |bug| {
        for seed in 0..WITHIN {
            let found = broken(seed, bug)?;
            if let Some((first, others)) = found.split_first()
                && sound.holds(seed)?
            {
                return Ok(format!(
                    "(Bug::{bug:?}, {seed}, Property::{first:?}), // {others:?}"
                ));
            }
        }
        Err(format!("no seed of {WITHIN} finds it"))
    })
}

/// What a seed breaks with a bug. A run that is not judged has found nothing.
fn broken(seed: u64, bug: Bug) -> Result<Vec<Property>, String> {
    match alone(seed, Some(bug)).map_err(|problem| problem.to_string())? {
        Ran::Judged(brief) => Ok(brief.judgement.violated().map(|(of, _)| of).collect()),
        Ran::Broke(_) => Ok(Vec::new()),
    }
}

/// Which seeds break nothing by themselves; several bugs share one.
#[derive(Default)]
struct Sound(Mutex<BTreeMap<u64, bool>>);

impl Sound {
    fn holds(&self, seed: u64) -> Result<bool, String> {
        let known = self.0.lock().expect("no worker panics").get(&seed).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let holds = !alone(seed, None)
            .map_err(|problem| problem.to_string())?
            .failed();
        self.0.lock().expect("no worker panics").insert(seed, holds);
        Ok(holds)
    }
}

/// Works on as many bugs at a time as there are cores and says what came of each; how many went wrong.
fn at_once(bugs: &[Bug], work: impl Fn(Bug) -> Result<String, String> + Sync) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match work(*bug) {
                        Ok(found) => println!("{bug:24} {found}"),
                        Err(why) => {
                            wrong.fetch_add(1, Ordering::Relaxed);
                            println!("{bug:24} NOT FOUND: {why}");
                        }
                    }
                }
            });
        }
    });
    wrong.into_inner()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Ways in which systems like this one have lost or doubled work, as its research lists them, and the bugs that stand for each.
    const KNOWN: &[(&str, &[Bug])] = &[
        (
            "a leader writes claims without comparing its term",
            &[Bug::WriteWithoutTerm],
        ),
        (
            "an outcome is committed without comparing the claim",
            &[Bug::ReportWithoutClaim],
        ),
        (
            "a worker goes on after it could not renew",
            &[Bug::NoSelfFence],
        ),
        (
            "a permit is put without a lease, and leaks with its holder",
            &[Bug::HoldWithoutLease],
        ),
        (
            "permits are counted first and given later",
            &[Bug::PermitsInFlightForgotten],
        ),
        (
            "a submit is acknowledged before it is written",
            &[Bug::AcknowledgedFirst],
        ),
        (
            "a lock is released by its name, not by its create revision",
            &[Bug::ReleaseByName],
        ),
        (
            "a reclaim queues a task again and does not count the attempt",
            &[Bug::ReclaimKeepsAttempt],
        ),
        (
            "a watch goes on from the wrong revision, or nothing is read again after a compaction",
            &[Bug::WatchFromNow, Bug::RelistSkipped],
        ),
        (
            "the mark of a schedule is written whatever is there: it fires twice",
            &[Bug::FireWithoutProgress],
        ),
        (
            "a schedule goes on from where it is now: what was missed is never fired",
            &[Bug::DueForgotten],
        ),
        ("priorities are compared upside down", &[Bug::LowestFirst]),
        (
            "a submit that may have been done is sent again, and nothing tells the two apart",
            &[Bug::KeyNotCompared],
        ),
        (
            "a keepalive is answered that the lease is gone, and nobody minds",
            &[Bug::TtlIgnored],
        ),
    ];

    fn known() -> String {
        let head = "| known from elsewhere | planted here as |\n|---|---|\n".to_owned();
        let rows = KNOWN.iter().map(|(what, bugs)| {
            let bugs: Vec<String> = bugs.iter().map(|bug| format!("`{bug}`")).collect();
            format!("| {what} | {} |\n", bugs.join(", "))
        });
        std::iter::once(head).chain(rows).collect()
    }

    fn table() -> String {
        let head = "| bug | what it does | found by | seeds to find |\n|---|---|---|---|\n";
        let rows = FOUND_BY.iter().map(|(bug, seed, by)| {
            format!("| `{bug}` | {} | `{by}` | {} |\n", bug.what(), seed + 1)
        });
        let holes = HOLES
            .iter()
            .map(|(bug, by)| format!("| `{bug}` | {} | {by} | - |\n", bug.what()));
        std::iter::once(head.to_owned())
            .chain(rows)
            .chain(holes)
            .collect()
    }

    #[test]
    fn every_bug_has_its_seed() {
        let recorded: Vec<Bug> = FOUND_BY.iter().map(|(bug, ..)| *bug).collect();
        let all = Bug::ALL.iter().filter(|bug| !is_hole(**bug)).copied();
        assert_eq!(recorded, all.collect::<Vec<_>>());
        assert!(FOUND_BY.iter().all(|(_, seed, _)| *seed < WITHIN));
    }

    /// A page with this table in the place that has this name.
    fn with(page: &str, name: &str, table: &str) -> String {
        let (begin, end) = (
            format!("<!-- {name}: begin -->\n"),
            format!("<!-- {name}: end -->\n"),
        );
        let (before, rest) = page.split_once(&begin).expect("the table's begin");
        let (_, after) = rest.split_once(&end).expect("the table's end");
        format!("{before}{begin}{table}{end}{after}")
    }

    /// With `TENURE_UPDATE_DOCS=1` the tables are written instead.
    #[test]
    fn the_page_has_the_tables() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guarantees.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let expected = with(&page, "planted bugs", &table());
        let expected = with(&expected, "known bugs", &known());
        if std::env::var_os("TENURE_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &expected).unwrap();
            return;
        }
        assert!(
            page == expected,
            "docs/guarantees.md differs from the tables: TENURE_UPDATE_DOCS=1 rewrites it"
        );
    }
}
