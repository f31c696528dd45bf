//! Concurrent runs: by the witness, runs of one task overlap only where the older one's claim was gone before the younger's
//! was made; how long such a leftover goes on is measured, and bounded where its process was neither paused nor killed.
//! Exercised by each run that follows another of its task.

use std::collections::{BTreeMap, BTreeSet};

use super::Facts;
use super::calm::stood_still;
use super::ids::TaskId;
use super::runs::Ran;
use super::tasks::{Life, Place};
use super::verdict::{Case, Property, Verdict};

/// 200 ms: four signs of life of commands and requests, which give one every 50 ms.
const SIGNS_MS: u64 = 200;

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let mut case = facts.case(Property::ConcurrentRuns);
    let beating = beating(facts);
    let mut by_task: BTreeMap<TaskId, Vec<&Ran<'_>>> = BTreeMap::new();
    for ran in &facts.runs {
        case.add("runs", 1);
        by_task.extend(
            ran.task
                .filter(|task| !by_task.contains_key(task))
                .map(|task| (task, Vec::new())),
        );
        if let Some(of) = ran.task.and_then(|task| by_task.get_mut(&task)) {
            of.push(ran);
        }
    }
    for (task, mut runs) in by_task {
        runs.sort_by_key(|ran| ran.run.fence);
        for pair in runs.windows(2) {
            case.exercised(1);
            two(&mut case, facts, (task, &beating), (pair[0], pair[1]));
        }
    }
    case.close()
}

/// The kinds whose runs give signs of life: of those that ended well and took their time, each did.
fn beating<'f>(facts: &'f Facts<'_>) -> BTreeSet<&'f str> {
    let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
    for ran in &facts.runs {
        let long = ran.seen_ms >= ran.from_ms + SIGNS_MS;
        if let Some(kind) = ran.task.and_then(|task| kind(facts, task))
            && ran.well
            && long
        {
            let all = kinds.entry(kind).or_insert(true);
            *all = *all && ran.beats;
        }
    }
    let beating = kinds.into_iter().filter(|(_, all)| *all);
    beating.map(|(kind, _)| kind).collect()
}

fn two(
    case: &mut Case,
    facts: &Facts<'_>,
    (task, beating): (TaskId, &BTreeSet<&str>),
    (older, younger): (&Ran<'_>, &Ran<'_>),
) {
    let fences = [older.run.fence, younger.run.fence];
    if fences[0] == fences[1] {
        case.violated("ran twice under one fence", &fences, &[task]);
        return;
    }
    // One that was killed says no more: its last sign of life tells, where it gives such; it may have had time for its begin only.
    let beats = older.beats || kind(facts, task).is_some_and(|kind| beating.contains(kind));
    let over_ms = if beats && !older.ended {
        Some(older.seen_ms)
    } else {
        older.to_ms
    };
    if over_ms.is_some_and(|over_ms| over_ms <= younger.from_ms) {
        return;
    }
    let older_end_ms = over_ms.unwrap_or(facts.end_ms);
    let gone = facts
        .lives
        .tasks
        .get(&task)
        .and_then(|life| left(life, fences[0]));
    if gone.is_none_or(|gone| gone > fences[1]) {
        case.violated("two runs at once, and both had a claim", &fences, &[task]);
        return;
    }
    let overlap_ms = older_end_ms.saturating_sub(younger.from_ms.max(older.from_ms));
    case.add("overlaps", 1);
    case.most("overlap_ms", overlap_ms);
    let node = &older.run.node;
    if let Some(limit) = facts.setup.limits.zombie_ms
        && overlap_ms > limit
        && !excused(facts, task, node, (older.from_ms, older_end_ms))
    {
        let what = format!("a run went on for {overlap_ms} ms beside its successor");
        case.violated(what, &fences, &[task.to_string(), node.clone()]);
    }
}

/// Whether a run on this node, from one of these instants to the other, may go on beside its successor for as long as it does.
pub(super) fn excused(facts: &Facts<'_>, task: TaskId, node: &str, during_ms: (u64, u64)) -> bool {
    let (from_ms, to_ms) = during_ms;
    stood_still(facts.history, node, from_ms, to_ms) || comes_by_wire(facts, task)
}

/// Whether runs of a task are requests: where their node is cut off, whoever answers does not learn that nobody listens any more.
fn comes_by_wire(facts: &Facts<'_>, task: TaskId) -> bool {
    kind(facts, task) == Some("http")
}

fn kind<'f>(facts: &'f Facts<'_>, task: TaskId) -> Option<&'f str> {
    let pack = facts.lives.packs.get(&task.pack());
    pack.map(|pack| pack.pack.routing.kind.as_str())
}

/// When the task left the claim with this fence.
fn left(life: &Life, fence: i64) -> Option<i64> {
    let leaves = life.moves.iter().find(|one| {
        let mut left = one.left.iter();
        left.any(|spot| matches!(&spot.place, Place::Run(of) if of.fence == fence))
    })?;
    Some(leaves.revision)
}
