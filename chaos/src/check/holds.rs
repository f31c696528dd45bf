//! Who holds how much of what, revision by revision. A claim is the hold of its tasks: it holds their permits, their locks, a
//! place in their queue and one with their concurrency key, as long as it is there. Those outside hold by keys of their own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::fold::{Change, Step};
use super::keyspace::{Gate, Held, Key, Value};

/// What there is only so much of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scarce {
    /// Permits of a semaphore, by weight.
    Semaphore(String),
    /// A lock, by holders.
    Lock(String),
    /// Places in a queue, by tasks.
    Queue(String),
    /// Places of a concurrency key in a queue, by tasks.
    Key {
        /// The queue.
        queue: String,
        /// The key.
        key: String,
    },
}

/// One who holds more of something than before.
#[derive(Debug)]
pub(super) struct Grant {
    /// Of what.
    pub(super) of: Scarce,
    /// The holder's key.
    pub(super) holder: Arc<str>,
    /// The holder's create revision: the fence.
    pub(super) token: i64,
}

/// One who holds something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    /// Its create revision.
    pub(super) token: i64,
    /// Whether it is a claim, not somebody outside.
    pub(super) is_claim: bool,
}

/// All holders.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// By their keys.
    all: HashMap<Scarce, BTreeMap<Arc<str>, Holder>>,
    sums: HashMap<Scarce, u64>,
}

impl Holds {
    /// Takes in a revision; who holds more after it.
    pub(super) fn apply(&mut self, step: &Step) -> Vec<Grant> {
        let mut grants = Vec::new();
        for change in &step.changes {
            let was = taken(change, change.was.as_deref());
            let mut is = taken(change, change.is.as_deref());
            for (of, was) in was {
                let is = is.remove(&of).unwrap_or(0);
                grants.extend(self.set(change, of, was, is));
            }
            for (of, is) in is {
                grants.extend(self.set(change, of, 0, is));
            }
        }
        grants
    }

    fn set(&mut self, change: &Change, of: Scarce, was: u64, is: u64) -> Option<Grant> {
        let sum = self.sums.entry(of.clone()).or_default();
        *sum = *sum - was + is;
        let holders = self.all.entry(of.clone()).or_default();
        if is == 0 {
            holders.remove(&change.text);
        } else {
            let holder = Holder {
                token: change.created,
                is_claim: matches!(change.key, Key::Run { .. }),
            };
            holders.insert(Arc::clone(&change.text), holder);
        }
        (is > was).then(|| Grant {
            of,
            holder: Arc::clone(&change.text),
            token: change.created,
        })
    }

    /// How much of it is held.
    pub(super) fn sum(&self, of: &Scarce) -> u64 {
        self.sums.get(of).copied().unwrap_or(0)
    }

    /// Who holds it, by their keys.
    pub(super) fn holders(&self, of: &Scarce) -> impl Iterator<Item = (&Arc<str>, Holder)> {
        let all = self.all.get(of).into_iter().flatten();
        all.map(|(key, holder)| (key, *holder))
    }

    /// What is held, with how much of each.
    pub(super) fn held(&self) -> impl Iterator<Item = (&Scarce, u64)> {
        let sums = self.sums.iter().map(|(of, sum)| (of, *sum));
        sums.filter(|(_, sum)| *sum > 0)
    }
}

/// What a key with this value takes.
fn taken(change: &Change, value: Option<&Value>) -> BTreeMap<Scarce, u64> {
    match (&change.key, value) {
        (Key::Run { .. }, Some(Value::Run(held))) => of_claim(held),
        (Key::Hold { gate, .. }, Some(Value::Outside(hold))) => match gate {
            Gate::Semaphore(name) => [(Scarce::Semaphore(name.clone()), hold.weight)].into(),
            Gate::Lock(name) => [(Scarce::Lock(name.clone()), 1)].into(),
            Gate::Key(_) => BTreeMap::new(),
        },
        _ => BTreeMap::new(),
    }
}

fn of_claim(held: &Held) -> BTreeMap<Scarce, u64> {
    let tasks = tasks(held);
    let (queue, needs) = (&held.routing.queue, &held.routing.needs);
    let mut taken = BTreeMap::from([(Scarce::Queue(queue.clone()), tasks)]);
    for (name, weight) in &needs.permits {
        taken.insert(Scarce::Semaphore(name.clone()), weight * tasks);
    }
    for name in &needs.locks {
        taken.insert(Scarce::Lock(name.clone()), 1);
    }
    if let Some(key) = &needs.key {
        let (queue, key) = (queue.clone(), key.clone());
        taken.insert(Scarce::Key { queue, key }, tasks);
    }
    taken
}

/// How many tasks a claim has.
pub(super) fn tasks(held: &Held) -> u64 {
    u64::try_from(held.which.iter().count()).unwrap_or(u64::MAX)
}
