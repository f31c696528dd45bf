//! Queue limits hold: no claim makes the tasks claimed of a queue exceed its concurrency, or those of one concurrency key
//! exceed its limit per key, as they are in force at its revision; nothing is claimed of a paused queue; and a queue changes
//! together with the rules. Exercised by each claim of a queue with such a limit.

use std::collections::HashMap;

use super::Facts;
use super::fold::Step;
use super::holds::{Grant, Holds, Scarce};
use super::keyspace::{Key, Queue, Value};
use super::permits::ruled;
use super::verdict::{Case, Property, Verdict};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::QueueLimits);
    let (mut holds, mut queues) = (Holds::default(), HashMap::new());
    for step in &facts.steps {
        let before = changed(&mut case, &mut queues, step);
        for grant in holds.apply(step) {
            let (Scarce::Queue(name) | Scarce::Key { queue: name, .. }) = &grant.of else {
                continue;
            };
            let both = [queues.get(name), before.get(name)];
            let in_force = both.into_iter().flatten();
            granted(&mut case, step, &holds, &grant, in_force);
        }
    }
    case.close()
}

/// Takes in queues that this revision changes; what they were before it.
fn changed(
    case: &mut Case,
    queues: &mut HashMap<String, Queue>,
    step: &Step,
) -> HashMap<String, Queue> {
    let mut before = HashMap::new();
    for change in &step.changes {
        let Key::Queue(name) = &change.key else {
            continue;
        };
        ruled(case, step, &change.text);
        let was = match change.is.as_deref() {
            Some(Value::Queue(queue)) => queues.insert(name.clone(), queue.clone()),
            Some(_) | None => queues.remove(name),
        };
        before.insert(name.clone(), was.unwrap_or_default());
    }
    before
}

fn granted<'a>(
    case: &mut Case,
    step: &Step,
    holds: &Holds,
    grant: &Grant,
    in_force: impl Iterator<Item = &'a Queue> + Clone,
) {
    let (name, limit) = match &grant.of {
        Scarce::Queue(name) => {
            if in_force.clone().any(|queue| queue.paused.is_some()) {
                case.exercised(1);
                let what = format!("claimed of queue {name} while it was paused");
                case.violated(what, &[step.revision], &[&*grant.holder]);
            }
            let limit = in_force.filter_map(|queue| queue.concurrency).min();
            (format!("queue {name}"), limit)
        }
        Scarce::Key { queue, key } => {
            let limit = in_force.filter_map(|queue| queue.per_key).min();
            (format!("key {key} in queue {queue}"), limit)
        }
        Scarce::Semaphore(_) | Scarce::Lock(_) => return,
    };
    let Some(limit) = limit else { return };
    case.exercised(1);
    let claimed = holds.sum(&grant.of);
    if claimed > limit {
        let what = format!("{claimed} of {limit} tasks of {name} are claimed after a claim");
        case.violated(what, &[step.revision], &[&*grant.holder]);
    }
}
