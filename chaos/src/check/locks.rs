//! Locks exclude: at most one holds a lock at any revision, a claim or somebody outside; each holder's token, its create
//! revision, is greater than those of all before it; a claim with a lock has one task; and who was told that it holds one was
//! told its token. By the witness, nothing that a lock guards takes an act under a token that was passed, and two runs act on it at one time
//! only where the older one has lost its claim, for as long as a run may go on beside its successor. Exercised by each hold of a lock that was
//! held before.

use std::collections::HashMap;

use super::concurrent::excused;
use super::effects::fenced;
use super::fold::Step;
use super::holds::{Grant, Holds, Scarce, tasks};
use super::keyspace::{Key, Value};
use super::verdict::{Case, Property, Verdict};
use super::{Facts, tokens};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::LocksExclude);
    let (mut holds, mut tokens) = (Holds::default(), HashMap::new());
    for step in &facts.steps {
        for grant in holds.apply(step) {
            if let Scarce::Lock(name) = &grant.of {
                rising(&mut case, step, &mut tokens, name, &grant);
                alone(&mut case, step, &holds, name, &grant);
            }
        }
        for change in &step.changes {
            if let (Key::Run { .. }, Some(Value::Run(held))) = (&change.key, change.is.as_deref())
                && !held.routing.needs.locks.is_empty()
                && tasks(held) > 1
            {
                let what = format!("a claim with a lock has {} tasks", tasks(held));
                case.violated(what, &[step.revision], &[&change.text]);
            }
        }
    }
    tokens::told(&mut case, facts, "l.");
    guarded(&mut case, facts);
    case.add("locks", u64::try_from(tokens.len()).unwrap_or(u64::MAX));
    case.close()
}

fn rising(
    case: &mut Case,
    step: &Step,
    tokens: &mut HashMap<String, i64>,
    name: &str,
    grant: &Grant,
) {
    let Some(before) = tokens.get_mut(name) else {
        tokens.insert(name.to_owned(), grant.token);
        return;
    };
    case.exercised(1);
    if grant.token <= *before {
        let what = format!("token {} of lock {name} follows {before}", grant.token);
        case.violated(what, &[step.revision], &[&*grant.holder]);
    }
    *before = grant.token.max(*before);
}

fn alone(case: &mut Case, step: &Step, holds: &Holds, name: &str, grant: &Grant) {
    let others = holds.holders(&grant.of).map(|(key, _)| key.to_string());
    let all: Vec<String> = others.collect();
    if all.len() > 1 {
        let what = format!("{} hold lock {name}", all.len());
        case.violated(what, &[step.revision], &all);
    }
}

/// What runs did under locks, as the resources saw it.
fn guarded(case: &mut Case, facts: &Facts<'_>) {
    let seen = fenced(facts.history);
    for passed in &seen.passed {
        let fences = [passed.highest, passed.fence];
        case.violated(passed.to_string(), &fences, &[passed.task]);
    }
    for two in &seen.together {
        let (older, both_ms) = (two.older, two.both_ms());
        case.add("acts_overlaps", 1);
        case.most("acts_overlap_ms", both_ms);
        let during_ms = (older.began_ms, older.last_ms);
        let task = older.task.parse().ok();
        let excused = task.is_some_and(|task| excused(facts, task, older.node, during_ms));
        let limit_ms = facts.setup.limits.zombie_ms;
        if limit_ms.is_some_and(|limit_ms| both_ms > limit_ms) && !excused {
            let fences = [older.fence, two.younger.fence];
            case.violated(two.to_string(), &fences, &[older.task, two.younger.task]);
        }
    }
}
