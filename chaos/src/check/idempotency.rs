//! Idempotency: a key is held by one submit from its acceptance until its packs are collected, and whoever asks with it is
//! given that submit's tasks. Exercised by each answer to a submit whose key was used by another call too.

use std::collections::{BTreeMap, HashMap};

use super::Facts;
use super::fold::Step;
use super::ids::TaskId;
use super::keyspace::{Key, Value};
use super::verdict::{Case, Property, Verdict};

/// One holder of a key.
struct Holder {
    from: i64,
    tasks: Vec<String>,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::Idempotency);
    let holders = holders(&mut case, &facts.steps);
    let mut uses: HashMap<&str, u64> = HashMap::new();
    for (submit, _) in facts.submits() {
        if let Some(key) = &submit.key {
            *uses.entry(key).or_default() += 1;
        }
    }
    for (submit, answer) in facts.acknowledged() {
        let Some(key) = &submit.key else { continue };
        case.exercised(u64::from(uses[key.as_str()] > 1));
        let before = |holder: &&Holder| {
            answer
                .revision
                .is_none_or(|answered| holder.from <= answered)
        };
        let own = holders.get(key).map_or(&[][..], Vec::as_slice);
        let told = own
            .iter()
            .filter(before)
            .any(|holder| holder.tasks == answer.tasks);
        if !told {
            let mut ids = vec![key.clone()];
            ids.extend(answer.tasks.iter().cloned());
            case.violated(
                "the answer's tasks are not those that the key holds",
                answer.revision.as_slice(),
                &ids,
            );
        }
    }
    case.close()
}

fn holders(case: &mut Case, steps: &[Step]) -> BTreeMap<String, Vec<Holder>> {
    let mut holders: BTreeMap<String, Vec<Holder>> = BTreeMap::new();
    for step in steps {
        for change in &step.changes {
            let Key::Idem(key) = &change.key else {
                continue;
            };
            match (change.was.as_deref(), change.is.as_deref()) {
                (None, Some(Value::Idem(idem))) => {
                    holders.entry(key.clone()).or_default().push(Holder {
                        from: step.revision,
                        tasks: idem.tasks.iter().map(ToString::to_string).collect(),
                    });
                }
                (Some(_), Some(_)) => {
                    case.violated(
                        "an idempotency key was given to another",
                        &[step.revision],
                        &[key],
                    );
                }
                (Some(Value::Idem(idem)), None) if !with_its_pack(step, &idem.tasks) => {
                    case.violated(
                        "an idempotency key went before its pack",
                        &[step.revision],
                        &[key],
                    );
                }
                _ => {}
            }
        }
    }
    holders
}

fn with_its_pack(step: &Step, tasks: &[TaskId]) -> bool {
    step.changes.iter().any(|change| {
        let of = |pack| tasks.iter().any(|task| task.pack() == pack);
        matches!(&change.key, Key::Pack(pack) if change.is.is_none() && of(*pack))
    })
}
