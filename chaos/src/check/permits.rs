//! Semaphore limits hold: no grant, to a claim or to somebody outside, makes the weight held exceed the limit in force at its
//! revision. A lowered limit takes nothing away, and nothing more is granted until it fits; a semaphore that nobody declared
//! grants nothing; a limit changes together with the rules; a claim needs what its pack needs; and where a history goes on
//! long enough after its last fault, no claim of before still holds a permit. Exercised by each grant.

use std::collections::HashMap;

use super::Facts;
use super::fold::{Change, Step};
use super::holds::{Holds, Scarce};
use super::keyspace::{Key, Value};
use super::verdict::{Case, Property, Verdict};
use crate::history::Entry;

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::SemaphoreLimits);
    let (mut holds, mut limits) = (Holds::default(), HashMap::new());
    let by_ms = drained_ms(facts);
    let mut later = facts.steps.iter().peekable();
    while let Some(step) = later.next_if(|step| by_ms.is_none_or(|by_ms| step.at_ms <= by_ms)) {
        one(&mut case, facts, &mut holds, &mut limits, step);
    }
    if by_ms.is_some() {
        leaked(&mut case, facts, &holds);
    }
    for step in later {
        one(&mut case, facts, &mut holds, &mut limits, step);
    }
    case.close()
}

/// When all permits of before the last fault's end have to be back; none where the history does not go on so long.
fn drained_ms(facts: &Facts<'_>) -> Option<u64> {
    let due_ms = healed_ms(facts)? + facts.setup.limits.drain_ms;
    (due_ms <= facts.end_ms).then_some(due_ms)
}

fn healed_ms(facts: &Facts<'_>) -> Option<u64> {
    let mut records = facts.history.records().iter().rev();
    let healed = records.find(|record| matches!(record.entry, Entry::AllHealed));
    healed.map(|record| record.at_ms)
}

fn one(
    case: &mut Case,
    facts: &Facts<'_>,
    holds: &mut Holds,
    limits: &mut HashMap<String, u64>,
    step: &Step,
) {
    let before = changed(case, limits, step);
    for grant in holds.apply(step) {
        let Scarce::Semaphore(name) = &grant.of else {
            continue;
        };
        case.exercised(1);
        let now = limits.get(name).copied().unwrap_or(0);
        let limit = before.get(name).map_or(now, |before| now.min(*before));
        let held = holds.sum(&grant.of);
        case.most("most held", held);
        if held > limit {
            let what = format!("{held} of {limit} of semaphore {name} are held after a grant");
            case.violated(what, &[step.revision], &[&*grant.holder]);
        }
    }
    for change in &step.changes {
        if let (Key::Run { .. }, Some(Value::Run(held))) = (&change.key, change.is.as_deref())
            && let Some(life) = facts.lives.packs.get(&held.pack)
            && life.pack.routing.needs != held.routing.needs
        {
            let what = "a claim needs other permits, locks or places than its pack";
            case.violated(what, &[step.revision], &[&change.text]);
        }
    }
}

/// Takes in limits that this revision changes; what they were before it.
fn changed(
    case: &mut Case,
    limits: &mut HashMap<String, u64>,
    step: &Step,
) -> HashMap<String, u64> {
    let mut before = HashMap::new();
    for change in &step.changes {
        let Key::Semaphore(name) = &change.key else {
            continue;
        };
        ruled(case, step, &change.text);
        let limit = match change.is.as_deref() {
            Some(Value::Semaphore(semaphore)) => semaphore.limit,
            Some(_) | None => 0,
        };
        before.insert(
            name.clone(),
            limits.insert(name.clone(), limit).unwrap_or(0),
        );
    }
    before
}

/// What a leader decided by is changed with the rules only, so that what it has on its way is refused.
pub(super) fn ruled(case: &mut Case, step: &Step, key: &str) {
    let ruled = |change: &Change| change.key == Key::Rules && change.is.is_some();
    if !step.changes.iter().any(ruled) {
        case.violated("changed without the rules", &[step.revision], &[key]);
    }
}

/// Permits that claims still hold although their tasks should have ended.
fn leaked(case: &mut Case, facts: &Facts<'_>, holds: &Holds) {
    let healed_ms = healed_ms(facts).unwrap_or(0);
    let made = |token: i64| {
        let at = facts.steps.partition_point(|step| step.revision < token);
        facts.steps.get(at).map_or(0, |step| step.at_ms)
    };
    for (of, sum) in holds.held() {
        let Scarce::Semaphore(name) = of else {
            continue;
        };
        for (key, holder) in holds.holders(of) {
            if holder.is_claim && made(holder.token) <= healed_ms {
                let what = format!("{sum} of semaphore {name} are held when all should be back");
                case.violated(what, &[holder.token], &[&**key]);
            }
        }
    }
}
