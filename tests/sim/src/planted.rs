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

/// A hole: no seed of the first 500 finds it. The test in which the guard loses (docs/transactions.md) and the model, which breaks
/// without it (docs/model.md), do.
const HOLES: &[Bug] = &[Bug::ReportWithoutStop];

/// Runs recorded seeds with their bugs and without, or looks for them anew.
pub(crate) fn run(find: bool, only: Option<Bug>) -> ExitCode {
    let began = Instant::now();
    let bugs: Vec<Bug> = Bug::ALL
        .iter()
        .copied()
        .filter(|bug| only.map_or(find || !HOLES.contains(bug), |only| only == *bug))
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

    /// The table of the page stands between these.
    const BEGIN: &str = "<!-- planted bugs: begin -->\n";
    const END: &str = "<!-- planted bugs: end -->\n";

    fn table() -> String {
        let head = "| bug | what it does | found by | seeds to find |\n|---|---|---|---|\n";
        let rows = FOUND_BY.iter().map(|(bug, seed, by)| {
            format!("| `{bug}` | {} | `{by}` | {} |\n", bug.what(), seed + 1)
        });
        let holes = HOLES.iter().map(|bug| {
            let what = bug.what();
            format!("| `{bug}` | {what} | the guard's test and the model only | - |\n")
        });
        std::iter::once(head.to_owned())
            .chain(rows)
            .chain(holes)
            .collect()
    }

    #[test]
    fn every_bug_has_its_seed() {
        let recorded: Vec<Bug> = FOUND_BY.iter().map(|(bug, ..)| *bug).collect();
        let all = Bug::ALL.iter().filter(|bug| !HOLES.contains(bug)).copied();
        assert_eq!(recorded, all.collect::<Vec<_>>());
        assert!(FOUND_BY.iter().all(|(_, seed, _)| *seed < WITHIN));
    }

    /// With `TENURE_UPDATE_DOCS=1` the table is written instead.
    #[test]
    fn the_page_has_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guarantees.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the table's begin");
        let (_, after) = rest.split_once(END).expect("the table's end");
        let expected = format!("{before}{BEGIN}{}{END}{after}", table());
        if std::env::var_os("TENURE_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &expected).unwrap();
            return;
        }
        assert!(
            page == expected,
            "docs/guarantees.md differs from the table: TENURE_UPDATE_DOCS=1 rewrites it"
        );
    }
}
