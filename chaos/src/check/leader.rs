//! One acting leader: what only a leader writes is written while its candidate is the oldest there, judged by the state
//! just before. A claim names its term; of the rest the writer is judged where the recorder knows who wrote, and where it does not, only that
//! somebody led: those are counted apart. Exercised by each write under a term that is not the first whose term or writer was compared.

use super::Facts;
use super::fold::{Change, Step};
use super::keyspace::{Key, Value};
use super::lives::{Reign, leader_before, session_before};
use super::verdict::{Case, Property, Verdict};
use crate::history::Refusal;

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::OneActingLeader);
    let first = facts.reigns.first().map(|reign| reign.term);
    for step in &facts.steps {
        let leader = leader_before(&facts.reigns, step.revision);
        for change in &step.changes {
            let Some(act) = act(facts, step, change) else {
                continue;
            };
            case.add("writes", 1);
            let later = leader.is_some_and(|leader| Some(leader.term) != first);
            if act.is_compared(change) {
                case.exercised(u64::from(later));
            } else {
                case.add("writes of nobody known", 1);
            }
            judge(&mut case, step.revision, change, &act, leader);
        }
    }
    case.add(
        "terms",
        u64::try_from(facts.reigns.len()).unwrap_or(u64::MAX),
    );
    case.add("refused", facts.refused(Refusal::StaleTerm));
    case.close()
}

/// What only a leader does.
struct Act {
    what: &'static str,
    /// The terms that it names.
    terms: Vec<i64>,
    /// Whether its sender has to be the leader's node.
    own: bool,
}

impl Act {
    /// Whether more can be said of it than that somebody led.
    fn is_compared(&self, change: &Change) -> bool {
        !self.terms.is_empty() || (self.own && change.by.is_some())
    }
}

fn judge(case: &mut Case, revision: i64, change: &Change, act: &Act, leader: Option<&Reign>) {
    let Some(leader) = leader else {
        let what = format!("{} while nobody led", act.what);
        case.violated(what, &[revision], &[&change.text]);
        return;
    };
    if let Some(other) = act.terms.iter().find(|term| **term != leader.term) {
        let what = format!(
            "{} by term {other} while term {} led",
            act.what, leader.term
        );
        case.violated(what, &[revision], &[&change.text]);
    } else if let Some(by) = change
        .by
        .as_ref()
        .filter(|by| act.own && **by != leader.node)
    {
        let what = format!("{} by {by} while {} led", act.what, leader.node);
        case.violated(what, &[revision], &[&change.text]);
    }
}

fn act(facts: &Facts<'_>, step: &Step, change: &Change) -> Option<Act> {
    let act = |what, terms| Act {
        what,
        terms,
        own: true,
    };
    let (was, is) = (change.was.as_deref(), change.is.as_deref());
    match (&change.key, was, is) {
        (Key::Run { claim, .. }, None, Some(Value::Run(held))) => {
            Some(act("a claim", vec![held.term, claim.term]))
        }
        (Key::Run { node, .. }, Some(Value::Run(held)), _) => {
            let by_another = change.by.as_ref().is_some_and(|by| by != node);
            let gone = !session_before(&facts.sessions, node, held.session, step.revision);
            (by_another && gone).then(|| act("a reclaim", Vec::new()))
        }
        (Key::Due { name, .. }, Some(_), None) => {
            let same = |other: &Change| {
                let promoted =
                    matches!(&other.key, Key::Ready { name: ready, .. } if ready == name);
                promoted && other.was.is_none()
            };
            let promoted = step.changes.iter().any(same);
            promoted.then(|| act("a promotion", Vec::new()))
        }
        (Key::Hold { .. }, None, Some(_)) => Some(act("a grant", Vec::new())),
        (Key::Ready { name, .. }, Some(_), None) => {
            let same = |other: &Change| {
                let moved = matches!(&other.key, Key::Ready { name: ready, .. } if ready == name);
                moved && other.was.is_none() && other.is.is_some()
            };
            let parked = step.changes.iter().any(same);
            parked.then(|| act("a move to another lane", Vec::new()))
        }
        (Key::Progress(name), Some(Value::Progress(from)), Some(Value::Progress(to))) => {
            // An edit may decide about due times too, and is an admin's.
            let edited = |other: &Change| other.key == Key::Schedule(name.clone());
            let fired = to.done > from.done && !step.changes.iter().any(edited);
            fired.then(|| act("a fire", Vec::new()))
        }
        (Key::Pack(_), Some(_), None) => Some(act("a collection", Vec::new())),
        (Key::Mark(_), Some(_), None) => Some(act("a mark taken away", Vec::new())),
        (Key::Horizon, Some(_), _) => Some(act("a raise of the horizon", Vec::new())),
        (Key::Term(term), _, Some(Value::Term(line))) if line.until_ms.is_none() => {
            Some(act("an opened term", vec![*term]))
        }
        (Key::Term(_), _, _) => Some(Act {
            // Any node may dismiss a leader, and its line is closed with that.
            own: !step
                .changes
                .iter()
                .any(|other| matches!(other.key, Key::Elect(_))),
            ..act("a line of the history", Vec::new())
        }),
        _ => None,
    }
}
