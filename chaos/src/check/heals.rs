//! It heals: within the bound after the last fault, all work that was there has ended, is dead, waits for a later time or
//! for what nobody gives: a node that runs its kind and has its labels, a limit that it fits in, a permit or lock that somebody
//! outside holds, a queue that is paused. Those outside have what they wait for where it is free; one term leads; and a node that
//! runs, with nothing in its way, has its place in the cluster again. Judged
//! only where the history goes on that long, and not of tasks of others who use the cluster too. Exercised by each task that was open,
//! and each want, when the faults ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Facts;
use super::calm::Calm;
use super::gates::Gates;
use super::tasks::{Place, Spot};
use super::verdict::{Property, Verdict};
use crate::history::{Entry, NodeEvent};

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::Heals);
    for record in facts.history.records() {
        if let Entry::Node(NodeEvent::NotReady { node, after_ms }) = &record.entry {
            let what = format!("a node is not ready {after_ms} ms after its fault");
            case.violated(what, &[], &[node]);
        }
    }
    for (node, for_ms) in outcasts(facts) {
        let what = format!("a node that runs has had no session for {for_ms} ms");
        case.violated(what, &[], &[&node]);
    }
    let mut records = facts.history.records().iter().rev();
    let healed = records.find(|record| matches!(record.entry, Entry::AllHealed));
    let Some(healed_ms) = healed.map(|record| record.at_ms) else {
        return case.close();
    };
    let due_ms = healed_ms + facts.setup.limits.drain_ms;
    let at_ms = due_ms.min(facts.end_ms);
    let gates = Gates::between(facts, healed_ms, at_ms);
    let (open, mut left) = tasks(facts, &gates, healed_ms, at_ms);
    let passed_over = gates.passed_over();
    left.extend(passed_over.map(|key| (key.to_string(), Arc::clone(key))));
    case.add("open at the heal", open);
    case.add(
        "open at the end",
        u64::try_from(left.len()).unwrap_or(u64::MAX),
    );
    let too_short = facts.end_ms < due_ms;
    let leaderless = gates.has_nodes() && !somebody_leads(facts, at_ms);
    if too_short && (leaderless || !left.is_empty()) {
        case.add("history_too_short_by_ms", due_ms - facts.end_ms);
        return case.close();
    }
    case.exercised(open + gates.wanted());
    for (task, key) in &left {
        let what = format!("still there {} ms after the last fault", at_ms - healed_ms);
        case.violated(what, &[], &[task, &key.to_string()]);
    }
    if leaderless {
        case.violated("nobody leads", &[], &[] as &[&str]);
    }
    case.close()
}

/// Nodes whose process runs in the end without a session, for longer than two leases in which nothing was in the way: one that its
/// former process' session still has, and one to come to know that its own is gone.
fn outcasts(facts: &Facts<'_>) -> Vec<(String, u64)> {
    // What others do with nodes of a cluster that was there before is theirs.
    if facts.since.is_some() {
        return Vec::new();
    }
    let mut runs: BTreeMap<&str, u64> = BTreeMap::new();
    for record in facts.history.records() {
        if let Entry::Node(NodeEvent::Started { node, .. }) = &record.entry {
            runs.insert(node, record.at_ms);
        } else if let Entry::Node(
            NodeEvent::Crashed { node, .. } | NodeEvent::Stopped { node, .. },
        ) = &record.entry
        {
            runs.remove(node.as_str());
        }
    }
    let calm = Calm::without_faults(facts.history, facts.end_ms);
    let out = runs.into_iter().filter_map(|(node, started_ms)| {
        let own = || facts.sessions.values().filter(|one| one.node == node);
        if own().any(|session| session.gone.is_none()) {
            return None;
        }
        let gone = own().filter_map(|session| session.gone).map(|gone| gone.1);
        let since_ms = gone.max().unwrap_or_default().max(started_ms);
        let for_ms = calm.longest(since_ms, facts.end_ms);
        (for_ms > 2 * facts.setup.limits.lease_ms).then(|| (node.to_owned(), for_ms))
    });
    out.collect()
}

type Left = Vec<(String, Arc<str>)>;

/// How many tasks were open when the faults ended, and which of them still are.
fn tasks(facts: &Facts<'_>, gates: &Gates, healed_ms: u64, at_ms: u64) -> (u64, Left) {
    let now_ms = facts.setup.epoch_ms + at_ms;
    let (mut open, mut left) = (0, Vec::new());
    for (task, pack) in facts.lives.accepted() {
        let Some(life) = facts.lives.tasks.get(&task) else {
            continue;
        };
        let waits = |spots: Vec<&Arc<Spot>>| {
            let mut spots = spots.into_iter();
            spots
                .find(|spot| runnable(&spot.place, gates, now_ms))
                .map(|spot| Arc::clone(&spot.key))
        };
        if facts.of_others(task)
            || pack.created.1 > healed_ms
            || waits(life.spots_by(healed_ms)).is_none()
        {
            continue;
        }
        open += 1;
        left.extend(waits(life.spots_by(at_ms)).map(|key| (task.to_string(), key)));
    }
    (open, left)
}

fn runnable(place: &Place, gates: &Gates, now_ms: u64) -> bool {
    match place {
        Place::Ready(routing) => gates.open(routing),
        Place::Due(ms) => *ms <= now_ms,
        Place::Run(_) => true,
        Place::Dead => false,
    }
}

fn somebody_leads(facts: &Facts<'_>, at_ms: u64) -> bool {
    facts.reigns.iter().any(|reign| {
        let acted = reign.acted.is_some_and(|acted| acted.1 <= at_ms);
        acted && reign.until.is_none_or(|until| until.1 > at_ms)
    })
}
