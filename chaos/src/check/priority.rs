//! Priority order, in a weak form: where a claim says the revision it was decided at, no work of its queue and kind with a
//! higher priority was ready there and was left for a later decision of the same term. Only decisions in a time without
//! faults and without a node that went are judged, since an assign that is on its way, or was refused, explains the rest.
//! Exercised by each claim that had lower work of its lane to choose from; claims without a revision are counted.

use std::collections::{BTreeMap, HashMap};

use super::Facts;
use super::calm::Calm;
use super::fold::{Change, Step};
use super::keyspace::{Claim, Held, Key, Name, Value};
use super::verdict::{Case, Property, Verdict};

/// 64 records ahead of a claim are looked at: more are only there where the order is broken or in flight anyway.
const AHEAD_MAX: usize = 64;

type Lane = (String, String);
type Record = (u8, Name);

/// Who went first.
struct Overtaker {
    claim: Claim,
    revision: i64,
    decided: i64,
}

struct Fold<'a> {
    facts: &'a Facts<'a>,
    calm: Calm,
    /// Ready records with the revision of their last write.
    ready: HashMap<Lane, BTreeMap<Record, i64>>,
    overtaken: HashMap<(Lane, Record), Overtaker>,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = Case::new(Property::PriorityOrder);
    let mut fold = Fold {
        facts,
        calm: Calm::without_faults(facts.history, facts.end_ms),
        ready: HashMap::new(),
        overtaken: HashMap::new(),
    };
    for step in &facts.steps {
        for change in &step.changes {
            fold.left(&mut case, step, change);
        }
        for change in &step.changes {
            if let Some((claim, held)) = made(change) {
                fold.claimed(&mut case, step, claim, held);
            }
        }
        for change in &step.changes {
            fold.ready(step.revision, change);
        }
    }
    case.close()
}

/// A claim that this change makes.
fn made(change: &Change) -> Option<(Claim, &Held)> {
    match (&change.key, change.was.as_deref(), change.is.as_deref()) {
        (Key::Run { claim, .. }, None, Some(Value::Run(held))) => Some((*claim, held)),
        _ => None,
    }
}

impl Fold<'_> {
    fn claimed(&mut self, case: &mut Case, step: &Step, claim: Claim, held: &Held) {
        if held.decided == 0 {
            case.add("claims without a revision", 1);
            return;
        }
        let lane = (held.routing.queue.clone(), held.routing.kind.clone());
        let Some(ready) = self.ready.get(&lane) else {
            return;
        };
        let level = 9_u8.saturating_sub(held.routing.priority);
        let seen = |(_, modified): &(&Record, &i64)| **modified <= held.decided;
        let behind = ready
            .iter()
            .rev()
            .take_while(|(record, _)| record.0 > level);
        case.exercised(u64::from(behind.take(AHEAD_MAX).any(|one| seen(&one))));
        let ahead = ready.iter().take_while(|(record, _)| record.0 < level);
        let ahead: Vec<Record> = ahead
            .take(AHEAD_MAX)
            .filter(seen)
            .map(|(record, _)| *record)
            .collect();
        for record in ahead {
            let overtaker = Overtaker {
                claim,
                revision: step.revision,
                decided: held.decided,
            };
            let first = self.overtaken.entry((lane.clone(), record));
            first.or_insert(overtaker);
        }
    }

    /// A record that was overtaken moves: was it free to be taken all the time?
    fn left(&mut self, case: &mut Case, step: &Step, change: &Change) {
        let Key::Ready { lane, level, name } = &change.key else {
            return;
        };
        let Some(first) = self.overtaken.remove(&(lane.clone(), (*level, *name))) else {
            return;
        };
        let own = |(claim, held): &(Claim, &Held)| {
            held.pack == name.pack && claim.term == first.claim.term && held.decided > first.decided
        };
        let taken = step.changes.iter().filter_map(made).any(|one| own(&one));
        if taken && self.undisturbed(first.claim.term, step) {
            let Claim { term, number } = first.claim;
            let what = format!("claim {term:x}-{number:x} of a lower priority went first");
            let revisions = [first.decided, first.revision, step.revision];
            case.violated(what, &revisions, &[&change.text]);
        }
    }

    /// Whether nothing of this term could have been refused, lost or held up until this step.
    fn undisturbed(&self, term: i64, step: &Step) -> bool {
        let reign = self.facts.reigns.iter().find(|reign| reign.term == term);
        let Some((_, from_ms)) = reign.map(|reign| reign.from) else {
            return false;
        };
        let gone = self
            .facts
            .sessions
            .values()
            .filter_map(|session| session.gone);
        let stayed = gone
            .clone()
            .all(|gone| gone.0 < term || gone.0 > step.revision);
        stayed && self.calm.holds(from_ms, step.at_ms)
    }

    fn ready(&mut self, revision: i64, change: &Change) {
        let Key::Ready { lane, level, name } = &change.key else {
            return;
        };
        let lane = self.ready.entry(lane.clone()).or_default();
        match change.is {
            Some(_) => lane.insert((*level, *name), revision),
            None => lane.remove(&(*level, *name)),
        };
    }
}
