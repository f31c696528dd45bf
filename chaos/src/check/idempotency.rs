//! Idempotency: a key is held by one submit from its acceptance until its packs are collected, and whoever asks with it is
//! given that submit's tasks; whoever asks for the same again is never told that the key is another request's. Exercised by each answer to a
//! submit whose key was used by another call too, and by each such refusal.

use std::collections::{BTreeMap, HashMap};

use super::Facts;
use super::calls::End;
use super::fold::Step;
use super::ids::TaskId;
use super::keyspace::{Key, Value};
use super::verdict::{Case, Property, Verdict};
use crate::history::Submit;

/// What the API says first where a key is another request's.
const REUSED: &str = "422 idempotency_key_reused";

/// One holder of a key.
struct Holder {
    from: i64,
    tasks: Vec<String>,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::Idempotency);
    let holders = holders(&mut case, &facts.steps);
    let mut uses: HashMap<&str, Vec<&Submit>> = HashMap::new();
    for (submit, _) in facts.submits() {
        if let Some(key) = &submit.key {
            uses.entry(key).or_default().push(submit);
        }
    }
    refused(&mut case, facts, &uses, &holders);
    for (submit, answer) in facts.acknowledged() {
        let Some(key) = &submit.key else { continue };
        case.exercised(u64::from(uses[key.as_str()].len() > 1));
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

/// A key all of whose calls ask for the same is another request's for none of them.
fn refused(
    case: &mut Case,
    facts: &Facts<'_>,
    uses: &HashMap<&str, Vec<&Submit>>,
    holders: &BTreeMap<String, Vec<Holder>>,
) {
    for (submit, end) in facts.submits() {
        let (Some(key), End::Fail(why)) = (&submit.key, end) else {
            continue;
        };
        if !why.starts_with(REUSED) {
            continue;
        }
        case.exercised(1);
        if uses[key.as_str()].iter().all(|other| *other == submit) {
            let own = holders.get(key).map_or(&[][..], Vec::as_slice);
            let from: Vec<i64> = own.iter().map(|holder| holder.from).collect();
            case.violated("the same request is refused as another one", &from, &[key]);
        }
    }
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
