//! Holds of those outside are held by lease and granted on request: each is made with a lease, in one transaction with the end
//! of its want, which had the same lease and weight; it is never rewritten; and, where the log knows who wrote, it is deleted
//! by its own holder's release only, or with its lease. Who was told that it holds permits was told its token, and keeps what it holds for its
//! time to live at least, unless it asked for the end of it, or that was forced, on record. Exercised by each such hold.

use std::collections::{BTreeSet, HashMap};

use super::fold::{Change, Step};
use super::keyspace::{Gate, Key, Value};
use super::verdict::{Case, Property, Verdict};
use super::{Facts, tokens};
use crate::history::{Entry, Op};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::OutsideHolds);
    let asked = Asked::of(facts);
    for step in &facts.steps {
        for change in &step.changes {
            let Key::Hold { gate, id } = &change.key else {
                continue;
            };
            match (change.was.as_deref(), change.is.as_deref()) {
                (None, Some(hold)) => made(&mut case, step, change, (gate, id), hold),
                (Some(_), Some(_)) => {
                    case.violated(
                        "a hold was written again",
                        &[step.revision],
                        &[&change.text],
                    );
                }
                (Some(_), None) => gone(&mut case, step, change, gate, &asked),
                (None, None) => {}
            }
        }
    }
    tokens::told(&mut case, facts, "s.");
    tokens::kept(&mut case, facts);
    case.close()
}

fn made(case: &mut Case, step: &Step, change: &Change, (gate, id): (&Gate, &String), hold: &Value) {
    case.exercised(1);
    let mut wrong = |what: &str| case.violated(what, &[step.revision], &[&change.text]);
    if change.lease == 0 {
        wrong("a hold without a lease");
    }
    let wanted = |other: &&Change| {
        let own = matches!(&other.key, Key::Want { gate: of, id: by } if of == gate && by == id);
        own && other.is.is_none()
    };
    let Some(want) = step.changes.iter().find(wanted) else {
        return wrong("a hold that nobody waited for");
    };
    if want.lease != change.lease {
        wrong("a hold with another lease than its want");
    }
    if want.was.as_deref() != Some(hold) {
        wrong("a hold of another weight than its want");
    }
}

fn gone(case: &mut Case, step: &Step, change: &Change, gate: &Gate, asked: &Asked) {
    let Some(by) = change.by.as_deref().filter(|_| asked.recorded) else {
        case.add("gone, nobody known to have asked", 1);
        return;
    };
    let (gate, token) = (gate.to_string(), change.created);
    let released = asked.released.get(&(gate, token));
    // A client that was never told that it holds may have its hold taken back by the node that asked for it.
    let known = asked.told.contains(&token);
    if known && released.is_none_or(|at_ms| *at_ms > step.at_ms) {
        let what = format!("released through {by}, and its holder did not ask for that");
        case.violated(what, &[token, step.revision], &[&change.text]);
    }
    case.add("released", 1);
}

/// What clients asked for.
struct Asked {
    /// Whether there are such calls at all.
    recorded: bool,
    /// Tokens that holders were told.
    told: BTreeSet<i64>,
    /// When the release of a gate's token was first asked for, in milliseconds.
    released: HashMap<(String, i64), u64>,
}

impl Asked {
    fn of(facts: &Facts<'_>) -> Self {
        use super::calls::End;
        let mut asked = Self {
            recorded: false,
            told: BTreeSet::new(),
            released: HashMap::new(),
        };
        for call in &facts.calls {
            if let (Op::Acquire { .. }, End::Ok(answer)) = (call.op, call.end) {
                asked.recorded = true;
                asked.told.extend(answer.revision);
            }
        }
        for record in facts.history.records() {
            if let Entry::Invoke {
                op: Op::Release { gate, token },
                ..
            } = &record.entry
            {
                let of = (gate.clone(), *token);
                asked.released.entry(of).or_insert(record.at_ms);
            }
        }
        asked
    }
}
