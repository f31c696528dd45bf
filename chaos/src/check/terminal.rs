//! One terminal state: each step of a task is one that the state machine has, none is taken before its time, each run has one
//! outcome, and nothing follows the end. Exercised by each task that ended.

use std::collections::BTreeSet;

use super::Facts;
use super::ids::TaskId;
use super::keyspace::{Next, Outcome, Said};
use super::tasks::{Life, Move, Place};
use super::verdict::{Case, Property, Verdict};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::OneTerminalState);
    for (task, life) in &facts.lives.tasks {
        if let Some((_, told)) = life.end() {
            case.exercised(1);
            case.add(word(told.outcome), 1);
        }
        whole(&mut case, *task, life);
        in_time(&mut case, facts, *task, life);
    }
    case.close()
}

fn whole(case: &mut Case, task: TaskId, life: &Life) {
    let (mut ended, mut fences): (Option<i64>, _) = (None, BTreeSet::new());
    for one in &life.moves {
        if let Some(end) = ended {
            case.violated("goes on after its end", &[end, one.revision], &[task]);
            return;
        }
        if let Err(what) = step(one) {
            case.violated(what, &[one.revision], &[task]);
            return;
        }
        for told in &one.said {
            let fence = told.fence;
            if told.outcome.is_attempt() && fence != 0 && !fences.insert(fence) {
                let what = format!("the run with fence {fence} has two outcomes");
                case.violated(what, &[one.revision], &[task]);
            }
            if told.outcome.is_final() {
                ended = Some(one.revision);
            }
        }
    }
}

/// What is scheduled becomes ready at its time, as far as the leader's clock may be trusted.
fn in_time(case: &mut Case, facts: &Facts<'_>, task: TaskId, life: &Life) {
    for one in &life.moves {
        let ([left], [entered]) = (one.left.as_slice(), one.entered.as_slice()) else {
            continue;
        };
        let (Place::Due(due_ms), Place::Ready(_)) = (&left.place, &entered.place) else {
            continue;
        };
        let now_ms = facts.setup.epoch_ms + one.at_ms;
        let early_ms = due_ms.saturating_sub(now_ms);
        case.most("early_ms", early_ms);
        if early_ms > facts.setup.limits.ahead_ms {
            let what = format!("ready {early_ms} ms before its time");
            case.violated(what, &[one.revision], &[task]);
        }
    }
}

/// Whether the state machine has this step.
fn step(one: &Move) -> Result<(), String> {
    let name = |place: &Place| match place {
        Place::Ready(_) => "ready",
        Place::Due(_) => "due",
        Place::Dead => "dead",
        Place::Run(_) => "run",
    };
    let left: Vec<&str> = one.left.iter().map(|spot| name(&spot.place)).collect();
    let entered: Vec<&str> = one.entered.iter().map(|spot| name(&spot.place)).collect();
    let said: Vec<&Said> = one.said.iter().map(|told| &**told).collect();
    let lead = |next: Next| match next {
        Next::Ready => "ready",
        Next::Due => "due",
        Next::Dead => "dead",
    };
    let legal = match (left.as_slice(), entered.as_slice(), said.as_slice()) {
        ([], ["ready" | "due" | "run"], [])
        // Ready work is parked under what it waits for, too.
        | (["due"], ["ready"], [])
        | (["ready"], ["ready" | "run"], []) => true,
        ([from], [to], [told]) => {
            let there = told.next.is_none_or(|next| lead(next) == *to);
            there && goes_on(from, told.outcome, to)
        }
        ([from], [], [told]) => told.next.is_none() && ends(from, told.outcome),
        _ => false,
    };
    if legal {
        return Ok(());
    }
    let outcomes: Vec<&str> = said.iter().map(|told| word(told.outcome)).collect();
    Err(format!(
        "no such step: from {left:?} to {entered:?} by {outcomes:?}"
    ))
}

fn goes_on(from: &str, outcome: Outcome, to: &str) -> bool {
    match outcome {
        Outcome::Failed | Outcome::Timeout => from == "run" && to != "run",
        Outcome::Lost => from == "run" && to != "due",
        Outcome::Returned => from == "run" && to == "ready",
        Outcome::Deferred => from == "run" && to == "due",
        Outcome::Revived => from == "dead" && to == "ready",
        Outcome::Succeeded | Outcome::Cancelled => false,
    }
}

fn ends(from: &str, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Succeeded => from == "run",
        Outcome::Cancelled => true,
        Outcome::Failed
        | Outcome::Timeout
        | Outcome::Lost
        | Outcome::Returned
        | Outcome::Deferred
        | Outcome::Revived => false,
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Timeout => "timeout",
        Outcome::Cancelled => "cancelled",
        Outcome::Lost => "lost",
        Outcome::Returned => "returned",
        Outcome::Deferred => "deferred",
        Outcome::Revived => "revived",
    }
}
