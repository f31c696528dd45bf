//! How much was held of what, at most and in the end.

use std::collections::BTreeMap;

use crate::check::Facts;
use crate::check::calls::End;
use crate::check::holds::{Holds, Scarce};
use crate::check::keyspace::{Key, Value};
use crate::history::Op;

/// A semaphore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Semaphore {
    /// Its name.
    pub name: String,
    /// The greatest limit that it had.
    pub limit: u64,
    /// The most weight that was held after any revision.
    pub most: u64,
    /// The weight that was held in the end.
    pub left: u64,
    /// How often a part of it was given.
    pub grants: u64,
}

/// All locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// How many names.
    pub names: u64,
    /// How many holds.
    pub holds: u64,
    /// How many of them of a lock that was held before.
    pub again: u64,
    /// The most that held one lock after any revision.
    pub most: u64,
    /// How many tokens were not greater than all before them.
    pub fallen: u64,
    /// Locks that are held in the end.
    pub left: u64,
}

/// Holds of those outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// How many holders were told that they hold.
    pub held: u64,
    /// How many gave back and were told so.
    pub released: u64,
    /// How many never asked to give back, and lost what they had.
    pub expired: u64,
    /// The longest that such a one had it, in milliseconds.
    pub expired_ms: u64,
    /// Holds that are there in the end.
    pub left: u64,
}

/// What tasks and others held.
pub(super) fn inside(facts: &Facts<'_>) -> (Vec<Semaphore>, Locks) {
    let mut semaphores: BTreeMap<String, Semaphore> = BTreeMap::new();
    let (mut locks, mut tokens) = (Locks::default(), BTreeMap::new());
    let mut holds = Holds::default();
    for step in &facts.steps {
        for change in &step.changes {
            if let (Key::Semaphore(name), Some(Value::Semaphore(of))) =
                (&change.key, change.is.as_deref())
            {
                let one = semaphores.entry(name.clone()).or_default();
                one.limit = one.limit.max(of.limit);
            }
        }
        for grant in holds.apply(step) {
            match &grant.of {
                Scarce::Semaphore(name) => {
                    let one = semaphores.entry(name.clone()).or_default();
                    one.grants += 1;
                    one.most = one.most.max(holds.sum(&grant.of));
                }
                Scarce::Lock(name) => {
                    locks.granted(tokens.insert(name.clone(), grant.token), grant.token);
                    locks.most = locks.most.max(holds.sum(&grant.of));
                }
                Scarce::Queue(_) | Scarce::Key { .. } => {}
            }
        }
    }
    locks.names = count(tokens.len());
    for (of, sum) in holds.held() {
        match of {
            Scarce::Semaphore(name) => semaphores.entry(name.clone()).or_default().left = sum,
            Scarce::Lock(_) => locks.left += 1,
            Scarce::Queue(_) | Scarce::Key { .. } => {}
        }
    }
    let named = |(name, one)| Semaphore { name, ..one };
    (semaphores.into_iter().map(named).collect(), locks)
}

/// What those outside held, by what they were told and what became of their keys.
pub(super) fn outside(facts: &Facts<'_>) -> Outside {
    let mut outside = Outside::default();
    // How many were told that they hold and never gave back, by gate and token: one revision may grant several of a semaphore.
    let mut alone: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for asked in &facts.calls {
        match (asked.op, asked.end) {
            (Op::Acquire { gate, .. }, End::Ok(answer)) => {
                outside.held += 1;
                let of = (gate.clone(), answer.revision.unwrap_or(0));
                *alone.entry(of).or_default() += 1;
            }
            (Op::Release { gate, token }, end) => {
                let of = alone.entry((gate.clone(), *token)).or_default();
                *of = of.saturating_sub(1);
                outside.released += u64::from(matches!(end, End::Ok(_)));
            }
            _ => {}
        }
    }
    let (mut had, left) = lifetimes(facts);
    outside.left = left;
    for (of, number) in alone.into_iter().filter(|(_, number)| *number > 0) {
        // Of several with one token, those that were not given back are the ones that lasted longest.
        let mut had = had.remove(&of).unwrap_or_default();
        had.sort_unstable();
        outside.expired += count(number.min(had.len()));
        outside.expired_ms = outside.expired_ms.max(had.pop().unwrap_or(0));
    }
    outside
}

/// How long holds lasted that are over, in milliseconds, by gate and token; and how many are there in the end.
fn lifetimes(facts: &Facts<'_>) -> (BTreeMap<(String, i64), Vec<u64>>, u64) {
    let (mut had, mut made): (BTreeMap<_, Vec<u64>>, _) = (BTreeMap::new(), BTreeMap::new());
    for step in &facts.steps {
        for change in &step.changes {
            let Key::Hold { gate, .. } = &change.key else {
                continue;
            };
            if change.is.is_some() {
                made.insert(&change.text, step.at_ms);
            } else if let Some(since_ms) = made.remove(&change.text) {
                let of = (gate.to_string(), change.created);
                let had_ms = step.at_ms.saturating_sub(since_ms);
                had.entry(of).or_default().push(had_ms);
            }
        }
    }
    (had, count(made.len()))
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl Semaphore {
    pub(super) fn violations(&self) -> Vec<String> {
        let Self {
            name,
            limit,
            most,
            left,
            ..
        } = self;
        let mut wrong = Vec::new();
        if most > limit {
            wrong.push(format!(
                "{most} of {limit} of semaphore {name} were held at once"
            ));
        }
        if *left > 0 {
            wrong.push(format!("{left} of semaphore {name} are held in the end"));
        }
        wrong
    }
}

impl Locks {
    fn granted(&mut self, before: Option<i64>, token: i64) {
        self.holds += 1;
        self.again += u64::from(before.is_some());
        self.fallen += u64::from(before.is_some_and(|before| token <= before));
    }

    pub(super) fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.most > 1 {
            wrong.push(format!("{} held one lock at once", self.most));
        }
        if self.fallen > 0 {
            wrong.push(format!("{} tokens of locks did not rise", self.fallen));
        }
        if self.left > 0 {
            wrong.push(format!("{} locks are held in the end", self.left));
        }
        wrong
    }
}

impl Outside {
    pub(super) fn violations(&self) -> Option<String> {
        let left = self.left;
        (left > 0).then(|| format!("{left} holds of those outside are there in the end"))
    }
}
