//! What clients were told was done: a retry, a limit, a release. The store has what such an act leaves by the revision that its answer names, and
//! not from before its call was made: an event is never seen before it is there.

use std::collections::HashMap;

use super::Facts;
use super::calls::{Asked, End};
use super::fold::Step;
use super::ids::TaskId;
use super::keyspace::{Key, Outcome, Value};
use super::tokens::Holds;
use super::verdict::Case;
use crate::history::Op;

/// One limit of a semaphore, from its edit on; none where it was taken away.
struct Limited {
    revision: i64,
    /// When it was seen, in milliseconds.
    at_ms: u64,
    limit: Option<u64>,
}

pub(super) fn check(case: &mut Case, facts: &Facts<'_>) {
    let holds = Holds::of(&facts.steps);
    let limits = limits(&facts.steps);
    for asked in &facts.calls {
        let End::Ok(answer) = asked.end else { continue };
        let by = answer.revision.unwrap_or(i64::MAX);
        let (wrong, of) = match asked.op {
            Op::Retry { task } => (
                (!revived(facts, asked, task, by))
                    .then(|| "its retry was acknowledged, and not stored by then".to_owned()),
                task,
            ),
            Op::Limit { name, limit } => {
                let all = limits.get(name.as_str()).map_or(&[][..], Vec::as_slice);
                let what =
                    || format!("a limit of {limit} was acknowledged, and it had none such by then");
                ((!in_force(all, asked, *limit, by)).then(what), name)
            }
            Op::Release { gate, token } => {
                let mut ends = holds.ends(gate, *token);
                let done = ends.any(|gone| gone.revision <= by && gone.at_ms >= asked.made_ms);
                let what = || {
                    format!("the release of token {token} was acknowledged, and not stored by then")
                };
                ((!done).then(what), gate)
            }
            Op::Submit(_)
            | Op::Cancel { .. }
            | Op::Acquire { .. }
            | Op::Get { .. }
            | Op::Leader
            | Op::Semaphore { .. } => continue,
        };
        case.exercised(1);
        if let Some(what) = wrong {
            case.violated(what, answer.revision.as_slice(), &[of]);
        }
    }
}

fn revived(facts: &Facts<'_>, asked: &Asked<'_>, task: &str, by: i64) -> bool {
    let id: Option<TaskId> = task.parse().ok();
    let life = id.and_then(|id| facts.lives.tasks.get(&id));
    let mut moves = life.into_iter().flat_map(|life| &life.moves);
    moves.any(|one| {
        let told = one.said.iter().any(|said| said.outcome == Outcome::Revived);
        told && one.revision <= by && one.at_ms >= asked.made_ms
    })
}

/// Whether the limit was this one at some moment from the call to its answer: one that is set to what it is, is left alone.
fn in_force(all: &[Limited], asked: &Asked<'_>, limit: u64, by: i64) -> bool {
    let next = all.iter().skip(1).map(Some).chain([None]);
    all.iter().zip(next).any(|(one, next)| {
        let lasted = next.is_none_or(|next| next.at_ms >= asked.made_ms);
        one.limit == Some(limit) && one.revision <= by && lasted
    })
}

fn limits(steps: &[Step]) -> HashMap<&str, Vec<Limited>> {
    let mut limits: HashMap<&str, Vec<Limited>> = HashMap::new();
    for step in steps {
        for change in &step.changes {
            let Key::Semaphore(name) = &change.key else {
                continue;
            };
            let limit = match change.is.as_deref() {
                Some(Value::Semaphore(semaphore)) => Some(semaphore.limit),
                _ => None,
            };
            limits.entry(name).or_default().push(Limited {
                revision: step.revision,
                at_ms: step.at_ms,
                limit,
            });
        }
    }
    limits
}
