//! Who led when, as far as a process was there to do it.

use crate::check::Facts;
use crate::check::lives::Reign;
use crate::history::{Entry, NodeEvent};

/// A process that was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The node's name.
    pub node: String,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// Whether it led.
    pub led: bool,
}

/// A time in which nobody led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Who led before.
    pub before: String,
    /// When its process died or its key went, in milliseconds.
    pub from_ms: u64,
    /// Who wrote as a leader next, and when, in milliseconds; none where nobody did.
    pub next: Option<(String, u64)>,
}

/// The processes that were killed.
pub(super) fn kills(facts: &Facts<'_>) -> Vec<Kill> {
    let kill = |(node, at_ms): (&str, u64)| Kill {
        node: node.to_owned(),
        at_ms,
        led: facts.reigns.iter().any(|reign| {
            let until_ms = reign.until.map_or(u64::MAX, |until| until.1);
            let acted = reign.acted.is_some_and(|acted| acted.1 <= at_ms);
            reign.node == node && acted && at_ms <= until_ms
        }),
    };
    deaths(facts).map(kill).collect()
}

/// The times between leaders.
pub(super) fn gaps(facts: &Facts<'_>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for (nth, reign) in facts.reigns.iter().enumerate() {
        let (Some((_, until_ms)), true) = (reign.until, reign.acted.is_some()) else {
            continue;
        };
        let later = facts.reigns[nth + 1..].iter();
        let next = later.filter_map(|next| Some((next.node.clone(), next.acted?.1)));
        gaps.push(Gap {
            before: reign.node.clone(),
            from_ms: died(facts, reign).unwrap_or(until_ms),
            next: next.min_by_key(|next| next.1),
        });
    }
    gaps
}

/// From a leader's first write until its key went or its process died, in milliseconds; none where it never wrote.
pub(super) fn reigned(facts: &Facts<'_>, reign: &Reign) -> Option<(u64, u64)> {
    let (_, acted_ms) = reign.acted?;
    let until_ms = reign.until.map_or(facts.end_ms, |until| until.1);
    let until_ms = died(facts, reign).unwrap_or(until_ms);
    (acted_ms < until_ms).then_some((acted_ms, until_ms))
}

/// When the process of a leader died while its key was there.
fn died(facts: &Facts<'_>, reign: &Reign) -> Option<u64> {
    let until_ms = reign.until.map_or(u64::MAX, |until| until.1);
    let mut own = deaths(facts).filter(|(node, _)| *node == reign.node);
    let died = own.find(|(_, at_ms)| reign.stood_ms <= *at_ms && *at_ms <= until_ms);
    died.map(|(_, at_ms)| at_ms)
}

/// Whose process died when. A fault is put down before it is made, so it does not count here.
fn deaths<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a str, u64)> {
    facts.history.records().iter().filter_map(|record| {
        if let Entry::Node(NodeEvent::Crashed { node, .. }) = &record.entry {
            return Some((node.as_str(), record.at_ms));
        }
        None
    })
}
