//! How two queues shared what there was while both had more to do.

use std::collections::BTreeMap;

use super::{TOLERANCE, float};
use crate::check::Facts;
use crate::check::fold::Step;
use crate::check::holds::tasks;
use crate::check::keyspace::{Claim, Key, Origin, Outcome, Said, Value};

/// 100 tasks ready: what is decided at once does not use them up, so a queue that has as many had more to do all the time.
const BACKLOG_MIN: i64 = 100;

/// How two queues shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Them and their weights.
    pub queues: [(String, u32); 2],
    /// How many tasks of each were claimed while both had a backlog, less those that were handed back: they did not start.
    pub starts: [u64; 2],
}

pub(super) fn of(facts: &Facts<'_>, queues: &[(String, u32); 2]) -> Shares {
    let mut shares = Shares {
        queues: queues.clone(),
        starts: [0; 2],
    };
    let (mut backlogs, mut counted) = ([0_i64; 2], BTreeMap::new());
    for step in &facts.steps {
        let both = backlogs.iter().all(|backlog| *backlog >= BACKLOG_MIN);
        for (nth, (queue, _)) in queues.iter().enumerate() {
            backlogs[nth] += added(step, queue);
            for (claim, tasks) in claims(step, queue).filter(|_| both) {
                shares.starts[nth] += tasks;
                counted.insert(claim, nth);
            }
        }
        for (claim, tasks) in handed_back(step) {
            if let Some(nth) = counted.get(&claim) {
                shares.starts[*nth] -= tasks;
            }
        }
    }
    shares
}

/// How many more tasks of a queue are ready after a revision.
pub(super) fn added(step: &Step, queue: &str) -> i64 {
    let ready = |value: Option<&Value>| match value {
        Some(Value::Record(record)) if record.routing.queue == queue => {
            i64::try_from(record.which.iter().count()).unwrap_or(i64::MAX)
        }
        _ => 0,
    };
    let changes = step.changes.iter();
    let changes = changes.filter(|change| matches!(change.key, Key::Ready { .. }));
    changes
        .map(|change| ready(change.is.as_deref()) - ready(change.was.as_deref()))
        .sum()
}

/// How many tasks of a queue a revision claims.
pub(super) fn started(step: &Step, queue: &str) -> u64 {
    claims(step, queue).map(|(_, tasks)| tasks).sum()
}

/// The claims of a queue that a revision makes, and how many tasks each has.
fn claims(step: &Step, queue: &str) -> impl Iterator<Item = (Claim, u64)> {
    step.changes.iter().filter_map(move |change| {
        let Key::Run { claim, .. } = &change.key else {
            return None;
        };
        match (change.was.as_deref(), change.is.as_deref()) {
            (None, Some(Value::Run(held))) if held.routing.queue == queue => {
                Some((*claim, tasks(held)))
            }
            _ => None,
        }
    })
}

/// The claims of which a revision hands tasks back that had not begun, and how many of each.
fn handed_back(step: &Step) -> impl Iterator<Item = (Claim, u64)> {
    step.changes.iter().flat_map(|change| {
        let (Key::Result { origin, .. }, Some(Value::Outcomes(all))) =
            (&change.key, change.is.as_deref())
        else {
            return Vec::new();
        };
        let Origin::Claim(claim) = origin else {
            return Vec::new();
        };
        let back = |said: &&Said| matches!(said.outcome, Outcome::Returned | Outcome::Deferred);
        let count = |said: &Said| u64::try_from(said.which.iter().count()).unwrap_or(u64::MAX);
        let backs = all.iter().filter(back);
        backs.map(|said| (*claim, count(said))).collect()
    })
}

impl Shares {
    /// How many of the first for one of the second.
    pub fn ratio(&self) -> f64 {
        float(self.starts[0]) / float(self.starts[1].max(1))
    }

    /// How many it should be, by their weights.
    pub fn expected(&self) -> f64 {
        f64::from(self.queues[0].1) / f64::from(self.queues[1].1)
    }

    pub(super) fn violation(&self) -> Option<String> {
        let (ratio, expected) = (self.ratio(), self.expected());
        let off = (ratio / expected - 1.0).abs() > TOLERANCE;
        // Without any start there is nothing to compare; that is said to be unproved.
        let any = self.starts.iter().any(|starts| *starts > 0);
        (any && off).then(|| format!("queues shared {ratio:.2} to 1, and not {expected:.2} to 1"))
    }
}
