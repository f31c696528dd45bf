//! Cancel holds: what was acknowledged as cancelled is marked so in the store by then, is never ready or claimed again, and
//! ends cancelled or by a run that had begun. Exercised by each acknowledged cancel.

use std::collections::{BTreeMap, HashMap};

use super::Facts;
use super::calls::End;
use super::ids::{PackId, TaskId};
use super::keyspace::{Claim, Key, Outcome, Value};
use super::tasks::Life;
use super::verdict::{Case, Property, Verdict};
use crate::history::Op;

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::CancelHolds);
    let marked = marked(facts);
    for asked in &facts.calls {
        let (Op::Cancel { task }, End::Ok(answer)) = (asked.op, asked.end) else {
            continue;
        };
        case.exercised(1);
        let at = task.parse().ok().and_then(|task: TaskId| marked.get(&task));
        let late = |at: i64| answer.revision.is_some_and(|revision| at > revision);
        match at {
            None => case.violated(
                "its cancel was acknowledged, and the store knows of none",
                answer.revision.as_slice(),
                &[task],
            ),
            Some(at) if late(*at) => case.violated(
                "its cancel was acknowledged before it was stored",
                &[*at],
                &[task],
            ),
            Some(_) => {}
        }
    }
    for (task, at) in &marked {
        if let Some(life) = facts.lives.tasks.get(task) {
            held(&mut case, *task, *at, life);
        }
    }
    case.add("cancelled", u64::try_from(marked.len()).unwrap_or(u64::MAX));
    case.close()
}

fn held(case: &mut Case, task: TaskId, at: i64, life: &Life) {
    for one in life.moves.iter().filter(|one| one.revision > at) {
        if let Some(spot) = one.entered.first() {
            let ids = [task.to_string(), spot.key.to_string()];
            case.violated("goes on after its cancel", &[at, one.revision], &ids);
            return;
        }
    }
    if let Some((end, told)) = life.end()
        && told.outcome == Outcome::Succeeded
        && told.fence > at
    {
        case.violated(
            "succeeded by a run that began after its cancel",
            &[at, end.revision],
            &[task],
        );
    }
}

/// The first revision at which the store says that a task is to be, or is, cancelled.
fn marked(facts: &Facts<'_>) -> BTreeMap<TaskId, i64> {
    let mut marked = BTreeMap::new();
    let mut packs: HashMap<Claim, PackId> = HashMap::new();
    for step in &facts.steps {
        for change in &step.changes {
            match (&change.key, change.is.as_deref()) {
                (Key::Run { claim, .. }, Some(Value::Run(held))) => {
                    packs.insert(*claim, held.pack);
                }
                (Key::Stop { claim, .. }, Some(Value::Stop(stop))) => {
                    let Some(pack) = packs.get(claim) else {
                        continue;
                    };
                    for index in stop.which.iter() {
                        marked.entry(pack.task(index)).or_insert(step.revision);
                    }
                }
                (Key::Result { pack, .. }, Some(Value::Outcomes(all))) => {
                    let cancelled = |said: &&_| is_cancelled(said);
                    for said in all.iter().filter(cancelled) {
                        for index in said.which.iter() {
                            marked.entry(pack.task(index)).or_insert(step.revision);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    marked
}

fn is_cancelled(said: &super::keyspace::Said) -> bool {
    said.outcome == Outcome::Cancelled
}
