//! What the end of some runs means for their tasks: which outcomes are written and what goes on; never draws or reads a clock.
//!
//! Both ways a claim ends come here: a node's report on its own runs, and the leader's reclaim of a dead node's.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::planted::{self, Bug};
use crate::store::{Attempt, Next, Place, Record, Run, Settled};
use crate::task::{
    After, Name, Outcome, Output, Policy, State, Tally, Which, after_death, after_deferral,
    after_failure, millis,
};

/// How runs of a claim ended; tasks that share everything share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// When they started, in milliseconds since 1970; none where that is not known or they did not.
    pub started_ms: Option<u64>,
    /// When they ended.
    pub finished_ms: u64,
    /// What went wrong.
    pub error: Option<String>,
    /// What they left behind.
    pub output: Option<Output>,
    /// For how long at least they are deferred; of [`Outcome::Deferred`] only. The waits of one report are few different ones, because
    /// each makes a record.
    pub wait: Option<Duration>,
}

/// What is known about the claim whose runs ended.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The claim as it was seen.
    pub run: &'a Run,
    /// Its create revision.
    pub fence: i64,
    /// Its node.
    pub node: &'a Name,
    /// The retry policy; only a report knows it, and only a report needs it.
    pub policy: Option<&'a Policy>,
    /// What a user wants stopped: it does not go on, whatever its outcome says.
    pub stopped: Which,
    /// How many node deaths a task survives.
    pub deaths_max: u32,
    /// Whether a death is charged: the claim holds a single task, and its node's process is gone.
    pub blame: bool,
    /// In how many pieces at most what is lost goes on, so that one killer does not condemn its companions.
    pub split: usize,
    /// A draw in 0..1 for the backoff's jitter; one for all of a report, since they share a record.
    pub draw: f64,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// The claim after these endings (none when nothing is left of it) and what its transaction writes.
///
/// # Panics
/// Where a run is said to end as no running task can, by the state machine.
pub fn settle(of: Of<'_>, endings: &BTreeMap<Ending, Which>) -> (Option<Run>, Settled) {
    let mut settled = Settled {
        n: of.run.n,
        ..Settled::default()
    };
    let mut n = of.run.n + 1;
    let mut ended = Which::NONE;
    for (ending, which) in endings {
        ended = ended.or(*which);
        let stopped = which.and(of.stopped);
        let kept = if ending.outcome == Outcome::Succeeded {
            *which
        } else {
            which.minus(stopped)
        };
        for (outcome, which) in [
            (ending.outcome, kept),
            (Outcome::Cancelled, which.minus(kept)),
        ] {
            if !which.is_empty() {
                let ending = Ending {
                    outcome,
                    ..ending.clone()
                };
                one(of, &ending, which, &mut n, &mut settled);
            }
        }
    }
    let left = of.run.which.minus(ended);
    let finals = settled
        .attempts
        .iter()
        .any(|attempt| attempt.next.is_none());
    settled.mark = finals && (left.is_empty() || !of.run.covers);
    let rest = (!left.is_empty()).then(|| Run {
        which: left,
        n,
        ..of.run.clone()
    });
    (rest, settled)
}

/// One outcome: its line in the results, and a record where its tasks go on.
fn one(of: Of<'_>, ending: &Ending, which: Which, n: &mut u32, settled: &mut Settled) {
    let before = of.run.tally;
    let tally = counted(before, ending.outcome, of.blame);
    let after = match ending.outcome {
        Outcome::Succeeded | Outcome::Cancelled => None,
        Outcome::Failed if planted::is(Bug::RetriesUnbounded) => Some(After::Again(Duration::ZERO)),
        Outcome::Failed | Outcome::Timeout => {
            let policy = of
                .policy
                .expect("only a report has failures, and it knows the policy");
            Some(after_failure(policy, tally, of.draw))
        }
        Outcome::Lost => Some(after_death(of.deaths_max, tally)),
        Outcome::Returned | Outcome::Revived => Some(After::Again(Duration::ZERO)),
        Outcome::Deferred => Some(after_deferral(ending.wait.unwrap_or_default(), of.draw)),
    };
    let event = ending.outcome.event(matches!(after, Some(After::Again(_))));
    if let Err(illegal) = State::Running.next(&event) {
        unreachable!("{illegal}");
    }
    let killed = match (after, ending.outcome) {
        (Some(After::Dead), Outcome::Lost) => Some(Ending {
            error: Some(killer(tally)),
            ..ending.clone()
        }),
        (Some(_) | None, _) => None,
    };
    let ending = killed.as_ref().unwrap_or(ending);
    let pieces = match after {
        Some(After::Again(_)) if ending.outcome == Outcome::Lost => {
            which.split(piece(which, of.split))
        }
        Some(After::Again(_) | After::Dead) | None => vec![which],
    };
    for which in pieces {
        let next = after.map(|after| {
            let place = whereto(after, of.now_ms);
            if let Some(n) = joined(settled, place, ending.outcome, which, tally) {
                return lead(place, n);
            }
            settled
                .records
                .push((place, *n, goes_on(of, which, tally, ending)));
            *n += 1;
            lead(place, *n - 1)
        });
        settled.attempts.push(Attempt {
            which,
            outcome: ending.outcome,
            number: tally.attempts,
            deaths: tally.deaths,
            node: Some(of.node.clone()),
            fence: of.fence,
            started_ms: ending.started_ms,
            finished_ms: ending.finished_ms,
            error: ending.error.clone(),
            output: ending.output.clone(),
            next,
        });
    }
}

/// What is said of a task that is dead by its death budget.
fn killer(tally: Tally) -> String {
    let Tally { deaths, .. } = tally;
    format!("killed its nodes, or ran beside what did: {deaths} died while it ran there")
}

fn counted(before: Tally, outcome: Outcome, blame: bool) -> Tally {
    let anew = planted::is(Bug::NumbersAnew);
    let ran = Tally {
        attempts: if anew { 1 } else { before.attempts + 1 },
        ..before
    };
    match outcome {
        Outcome::Succeeded | Outcome::Cancelled => ran,
        Outcome::Failed | Outcome::Timeout => Tally {
            failures: ran.failures + 1,
            ..ran
        },
        Outcome::Lost if planted::is(Bug::ReclaimKeepsAttempt) => before,
        Outcome::Lost => Tally {
            deaths: ran.deaths + u32::from(blame),
            ..ran
        },
        Outcome::Returned | Outcome::Deferred | Outcome::Revived => before,
    }
}

fn piece(which: Which, pieces: usize) -> usize {
    which.len().div_ceil(pieces.max(1)).max(1)
}

fn whereto(after: After, now_ms: u64) -> Place {
    match after {
        After::Dead => Place::Dead,
        After::Again(wait) if wait.is_zero() => Place::Ready,
        After::Again(wait) => {
            let wait_ms = millis(wait).max(1);
            Place::Due(now_ms.saturating_add(wait_ms))
        }
    }
}

fn lead(place: Place, n: u32) -> Next {
    match place {
        Place::Ready | Place::Parked(_) => Next::Ready { n },
        Place::Due(ms) => Next::Due { ms, n },
        Place::Dead => Next::Dead { n },
    }
}

/// Adds tasks to a record that this transaction writes anyway: 256 failures with 256 error texts are one record, else they would
/// pass etcd's 128 operations. What is lost stays apart, because it was split on purpose.
fn joined(
    settled: &mut Settled,
    place: Place,
    outcome: Outcome,
    which: Which,
    tally: Tally,
) -> Option<u32> {
    if outcome == Outcome::Lost {
        return None;
    }
    let same =
        |(there, _, record): &&mut (Place, u32, Record)| *there == place && record.tally == tally;
    let (_, n, record) = settled.records.iter_mut().find(same)?;
    record.which = record.which.or(which);
    Some(*n)
}

fn goes_on(of: Of<'_>, which: Which, tally: Tally, ending: &Ending) -> Record {
    Record {
        routing: of.run.routing.clone(),
        which,
        size: of.run.size,
        tally,
        since_ms: of.now_ms,
        why: ending.error.clone(),
        inline: of.run.inline.clone(),
    }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
