//! What was acknowledged is seen: who asks for a task after its submit or its cancel was acknowledged, at whichever node, is
//! answered from a revision not before that, and never that there is no such task. Exercised by each read of a task that was
//! acknowledged before.

use std::collections::HashMap;

use super::Facts;
use super::calls::{Asked, End};
use super::verdict::{Property, Verdict};
use crate::history::Op;

/// What the API says first where it knows of no such task.
const NONE: &str = "404";

/// What was acknowledged of a task: after which record of the history, and at which revision.
type Known<'h> = HashMap<&'h str, Vec<(usize, i64)>>;

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::ReadYourWrites);
    let known = known(&facts.calls);
    for asked in &facts.calls {
        let Op::Get { task } = asked.op else { continue };
        let acknowledged = known.get(task.as_str()).into_iter().flatten();
        let before = acknowledged.filter(|(record, _)| *record < asked.records.0);
        let Some(least) = before.map(|(_, revision)| *revision).max() else {
            continue;
        };
        match asked.end {
            End::Ok(answer) => {
                case.exercised(1);
                let Some(revision) = answer.revision.filter(|revision| *revision < least) else {
                    continue;
                };
                let what = format!("read at {revision}, though {least} was acknowledged before");
                case.violated(what, &[least, revision], &[task]);
            }
            End::Fail(why) if why.starts_with(NONE) && !collected(facts, task) => {
                case.exercised(1);
                case.violated("it was acknowledged, and is not known", &[least], &[task]);
            }
            End::Fail(_) | End::Unknown => {}
        }
    }
    case.close()
}

fn known<'h>(calls: &[Asked<'h>]) -> Known<'h> {
    let mut known = Known::new();
    for asked in calls {
        let End::Ok(answer) = asked.end else { continue };
        let Some(revision) = answer.revision else {
            continue;
        };
        let mut of = |task: &'h str| {
            let all = known.entry(task).or_default();
            all.push((asked.records.1, revision));
        };
        match asked.op {
            Op::Submit(_) => answer.tasks.iter().for_each(|task| of(task)),
            Op::Cancel { task } | Op::Retry { task } => of(task),
            Op::Acquire { .. }
            | Op::Release { .. }
            | Op::Get { .. }
            | Op::Leader
            | Op::Semaphore { .. }
            | Op::Limit { .. } => {}
        }
    }
    known
}

fn collected(facts: &Facts<'_>, task: &str) -> bool {
    let id: Option<super::ids::TaskId> = task.parse().ok();
    let pack = id.and_then(|id| facts.lives.packs.get(&id.pack()));
    pack.is_some_and(|pack| pack.collected.is_some())
}
