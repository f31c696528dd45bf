//! Priority order, in a weak form: where a claim says the revision it was decided at, no work of its lane with the same needs
//! and a higher priority was ready there and was left for a later decision of the same term. Only decisions in a time without
//! faults and without a node that went are judged, since an assign that is on its way, or was refused, explains the rest.
//! Of the lane of a lock or key a leader knows the first eight of each priority only (docs/limits.md): those behind are not judged.
//! Exercised by each claim that had lower work of its lane to choose from; claims without a revision are counted, and so are those of what
//! may go first for its age.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Facts;
use super::calm::Calm;
use super::fold::{Change, Step};
use super::ids::PackId;
use super::keyspace::{Claim, Gate, Held, Key, Lane, Name, Needs, Value};
use super::verdict::{Case, Property, Verdict};

/// 64 records ahead of a claim are looked at: more are only there where the order is broken or in flight anyway.
const AHEAD_MAX: usize = 64;

/// 8 records are known of the lane of a lock or key.
const KNOWN_MAX: usize = 8;

/// 55 s: what has waited for a minute may go first now and then, whatever its priority; clocks are up to 5 s apart.
const AGED_MS: u64 = 55_000;

/// What can go for one record can go for all of a lane that need the same.
type Peers = (Lane, Needs);
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
    ready: HashMap<Peers, BTreeMap<Record, i64>>,
    /// The same of the lanes of locks and keys, whatever they need.
    passing: HashMap<Lane, BTreeSet<Record>>,
    overtaken: HashMap<(Peers, Record), Overtaker>,
    /// When each pack was ready first.
    since: HashMap<PackId, u64>,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::PriorityOrder);
    let mut fold = Fold {
        facts,
        calm: Calm::without_faults(facts.history, facts.end_ms),
        ready: HashMap::new(),
        passing: HashMap::new(),
        overtaken: HashMap::new(),
        since: HashMap::new(),
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
            fold.ready(step, change);
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

/// The lane that a claim of this pack was taken from.
fn taken_from(step: &Step, pack: PackId) -> Option<&Lane> {
    step.changes.iter().find_map(|change| {
        if let Key::Ready { lane, name, .. } = &change.key {
            return (name.pack == pack && change.was.is_some()).then_some(lane);
        }
        None
    })
}

/// A change of a ready record: with whom it waits, its level and its name.
fn waits(change: &Change) -> Option<(Peers, u8, Name)> {
    let Key::Ready { lane, level, name } = &change.key else {
        return None;
    };
    let value = change.is.as_deref().or(change.was.as_deref());
    let Some(Value::Record(record)) = value else {
        return None;
    };
    let peers = (lane.clone(), record.routing.needs.clone());
    Some((peers, *level, *name))
}

impl Fold<'_> {
    fn claimed(&mut self, case: &mut Case, step: &Step, claim: Claim, held: &Held) {
        if held.decided == 0 {
            case.add("claims without a revision", 1);
            return;
        }
        let Some(lane) = taken_from(step, held.pack) else {
            return;
        };
        let since = self.since.get(&held.pack).copied();
        if since.is_some_and(|since| step.at_ms.saturating_sub(since) >= AGED_MS) {
            case.add("claims of what may go for its age", 1);
            return;
        }
        let peers = (lane.clone(), held.routing.needs.clone());
        let Some(ready) = self.ready.get(&peers) else {
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
            .filter(|record| self.is_known(lane, record))
            .collect();
        for record in ahead {
            let overtaker = Overtaker {
                claim,
                revision: step.revision,
                decided: held.decided,
            };
            let first = self.overtaken.entry((peers.clone(), record));
            first.or_insert(overtaker);
        }
    }

    /// Whether a leader knows of this record.
    fn is_known(&self, lane: &Lane, record: &Record) -> bool {
        self.passing.get(lane).is_none_or(|records| {
            let before = records.range(..record).rev();
            let level = before.take_while(|(level, _)| *level == record.0);
            level.take(KNOWN_MAX).count() < KNOWN_MAX
        })
    }

    /// A record that was overtaken moves: was it free to be taken all the time?
    fn left(&mut self, case: &mut Case, step: &Step, change: &Change) {
        let Some((peers, level, name)) = waits(change) else {
            return;
        };
        let Some(first) = self.overtaken.remove(&(peers, (level, name))) else {
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

    fn ready(&mut self, step: &Step, change: &Change) {
        let Some((peers, level, name)) = waits(change) else {
            return;
        };
        self.since.entry(name.pack).or_insert(step.at_ms);
        if !matches!(peers.0.gate, None | Some(Gate::Semaphore(_))) {
            let passing = self.passing.entry(peers.0.clone()).or_default();
            match change.is {
                Some(_) => passing.insert((level, name)),
                None => passing.remove(&(level, name)),
            };
        }
        let peers = self.ready.entry(peers).or_default();
        match change.is {
            Some(_) => peers.insert((level, name), step.revision),
            None => peers.remove(&(level, name)),
        };
    }
}
