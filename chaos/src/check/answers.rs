//! Answers are true: what the API says of a task, of who leads, and of a semaphore is what the store holds at the revision that the
//! answer names; and what it says was done was done by then ([`acts`]). Exercised by each such answer.

use std::collections::HashMap;

use super::calls::End;
use super::fold::Step;
use super::holds::{Holds, Scarce};
use super::ids::TaskId;
use super::keyspace::{Key, Outcome, Value};
use super::lives::leader_before;
use super::tasks::{Life, Place};
use super::verdict::{Case, Property, Verdict};
use super::{Facts, acts};
use crate::history::{Answer, Op};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::AnswersTrue);
    let mut semaphores = Vec::new();
    for asked in &facts.calls {
        let End::Ok(answer) = asked.end else { continue };
        let Some(revision) = answer.revision else {
            continue;
        };
        match asked.op {
            Op::Get { task } => of_task(&mut case, facts, task, answer, revision),
            Op::Leader => of_leader(&mut case, facts, answer, revision),
            Op::Semaphore { name } => semaphores.push((revision, name.as_str(), answer)),
            Op::Submit(_)
            | Op::Cancel { .. }
            | Op::Retry { .. }
            | Op::Acquire { .. }
            | Op::Release { .. }
            | Op::Limit { .. } => {}
        }
    }
    semaphores.sort_by_key(|one| one.0);
    of_semaphores(&mut case, facts, &semaphores);
    acts::check(&mut case, facts);
    case.close()
}

fn of_task(case: &mut Case, facts: &Facts<'_>, task: &str, answer: &Answer, revision: i64) {
    let id: Option<TaskId> = task.parse().ok();
    let (Some(said), Some(id)) = (answer.state.as_deref(), id) else {
        return;
    };
    case.exercised(1);
    let life = facts.lives.tasks.get(&id);
    let was = life.and_then(|life| state(life, revision));
    if was != Some(said) {
        let was = was.unwrap_or("not there");
        case.violated(
            format!("said to be {said}, and was {was}"),
            &[revision],
            &[task],
        );
    }
}

/// How a task stands after this revision, in the words of the API.
fn state(life: &Life, revision: i64) -> Option<&'static str> {
    let mut at: Vec<(&str, &'static str)> = Vec::new();
    let mut ended = None;
    let mut known = false;
    for one in life.moves.iter().take_while(|one| one.revision <= revision) {
        known = true;
        for left in &one.left {
            at.retain(|(key, _)| *key != &*left.key);
        }
        at.extend(
            one.entered
                .iter()
                .map(|spot| (&*spot.key, word(&spot.place))),
        );
        for said in &one.said {
            match said.outcome {
                Outcome::Succeeded => ended = Some("succeeded"),
                Outcome::Cancelled => ended = Some("cancelled"),
                Outcome::Failed
                | Outcome::Timeout
                | Outcome::Lost
                | Outcome::Returned
                | Outcome::Deferred
                | Outcome::Revived => {}
            }
        }
    }
    at.last().map(|one| one.1).or(ended).filter(|_| known)
}

fn word(place: &Place) -> &'static str {
    match place {
        Place::Ready(_) => "pending",
        Place::Due(_) => "scheduled",
        Place::Dead => "dead",
        Place::Run(_) => "running",
    }
}

fn of_leader(case: &mut Case, facts: &Facts<'_>, answer: &Answer, revision: i64) {
    let Some((node, term)) = &answer.leads else {
        return;
    };
    case.exercised(1);
    let leads = leader_before(&facts.reigns, revision + 1);
    let right = leads.is_some_and(|reign| reign.term == *term && reign.node == *node);
    if !right {
        let led = leads.map_or("nobody".to_owned(), |reign| {
            format!("{} by term {}", reign.node, reign.term)
        });
        let what = format!("said to lead by term {term}, and {led} did");
        case.violated(what, &[revision], &[node]);
    }
}

fn of_semaphores(case: &mut Case, facts: &Facts<'_>, answers: &[(i64, &str, &Answer)]) {
    let (mut holds, mut limits) = (Holds::default(), HashMap::new());
    let mut steps = facts.steps.iter().peekable();
    for (revision, name, answer) in answers {
        while let Some(step) = steps.next_if(|step| step.revision <= *revision) {
            holds.apply(step);
            set(&mut limits, step);
        }
        case.exercised(1);
        let limit = limits.get(*name).copied();
        if answer.limit.is_some() && answer.limit != limit {
            let (said, was) = (answer.limit.unwrap_or(0), limit.unwrap_or(0));
            let what = format!("its limit is said to be {said}, and was {was}");
            case.violated(what, &[*revision], &[*name]);
        }
        let held = holds.sum(&Scarce::Semaphore((*name).to_owned()));
        if let Some(said) = answer.held.filter(|said| *said != held) {
            let what = format!("{said} of it are said to be held, and {held} were");
            case.violated(what, &[*revision], &[*name]);
        }
    }
}

fn set<'h>(limits: &mut HashMap<&'h str, u64>, step: &'h Step) {
    for change in &step.changes {
        if let Key::Semaphore(name) = &change.key {
            match change.is.as_deref() {
                Some(Value::Semaphore(semaphore)) => {
                    limits.insert(name, semaphore.limit);
                }
                _ => {
                    limits.remove(name.as_str());
                }
            }
        }
    }
}
