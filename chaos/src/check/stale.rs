//! Stale reports are refused: an outcome of a claim is committed only while that claim is there, holds the tasks, and is
//! the one that the run was handed (its fence). Exercised by each late report that the product counted as refused.

use std::collections::HashMap;

use super::Facts;
use super::fold::Change;
use super::ids::Which;
use super::keyspace::{Claim, Key, Origin, Said, Value};
use super::verdict::{Case, Property, Verdict};
use crate::history::Refusal;

/// A claim as it stands.
struct Held {
    node: String,
    fence: i64,
    which: Which,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::StaleReportRefused);
    let mut claims: HashMap<Claim, Held> = HashMap::new();
    for step in &facts.steps {
        for change in &step.changes {
            report(&mut case, step.revision, change, &claims);
        }
        for change in &step.changes {
            held(change, &mut claims);
        }
    }
    case.exercised(facts.refused(Refusal::StaleReport));
    case.close()
}

fn report(case: &mut Case, revision: i64, change: &Change, claims: &HashMap<Claim, Held>) {
    let Key::Result {
        origin: Origin::Claim(claim),
        ..
    } = &change.key
    else {
        return;
    };
    let Some(Value::Outcomes(all)) = change.is.as_deref() else {
        return;
    };
    case.add("reports", 1);
    let wrong = if change.was.is_some() {
        Some("outcomes were written over others")
    } else {
        match claims.get(claim) {
            None => Some("outcomes of a claim that is not there"),
            Some(held) => all.iter().find_map(|said| unfit(held, said)),
        }
    };
    if let Some(what) = wrong {
        case.violated(what, &[revision], &[&change.text]);
    }
}

fn unfit(held: &Held, said: &Said) -> Option<&'static str> {
    if said.which.minus(held.which) != Which::default() {
        return Some("an outcome of tasks that the claim does not hold");
    }
    if said.fence != held.fence {
        return Some("an outcome with another fence than the claim's");
    }
    let elsewhere = said.node.as_ref().is_some_and(|node| *node != held.node);
    elsewhere.then_some("an outcome by another node than the claim's")
}

fn held(change: &Change, claims: &mut HashMap<Claim, Held>) {
    let Key::Run { node, claim } = &change.key else {
        return;
    };
    match change.is.as_deref() {
        Some(Value::Run(run)) => {
            let held = Held {
                node: node.clone(),
                fence: change.created,
                which: run.which,
            };
            claims.insert(*claim, held);
        }
        Some(_) | None => {
            claims.remove(claim);
        }
    }
}
