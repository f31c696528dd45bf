//! What the witness's resources saw, each guarded by a lock: none was acted on under a fence lower than one before, and no two
//! runs acted on one at the same time, but where the older one's process stood still and its late acts were refused.

use std::collections::BTreeMap;

use super::Facts;
use super::calm::paused;
use crate::history::{Effect, Entry};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Fenced {
    /// Runs that acted on a resource after another had.
    pub(super) followed: u64,
    /// Acts that were refused for their fence, with the instant, in milliseconds.
    pub(super) refused: Vec<u64>,
    /// Pairs of runs that tried to act at one time, the older one's process having stood still.
    pub(super) excused: u64,
    /// What is wrong, with the instant in milliseconds at which it began.
    pub(super) failures: Vec<(u64, String)>,
}

/// One run's acts on one resource.
struct Acts<'h> {
    fence: i64,
    node: &'h str,
    task: &'h str,
    began_ms: u64,
    last_ms: u64,
}

pub(super) fn fenced(facts: &Facts<'_>) -> Fenced {
    let mut fenced = Fenced::default();
    let mut gates: BTreeMap<&str, BTreeMap<i64, Acts<'_>>> = BTreeMap::new();
    for record in facts.history.records() {
        let Entry::Effect(Effect { run, gate, done }) = &record.entry else {
            continue;
        };
        let Some(gate) = gate.as_deref() else {
            continue;
        };
        let runs = gates.entry(gate).or_default();
        if !done {
            fenced.refused.push(record.at_ms);
        } else if let Some((highest, _)) = runs.last_key_value().filter(|last| *last.0 > run.fence)
        {
            let what = format!(
                "{gate} took an act under fence {} after one under {highest}",
                run.fence
            );
            fenced.failures.push((record.at_ms, what));
        }
        match runs.get_mut(&run.fence) {
            Some(acts) => acts.last_ms = record.at_ms,
            None if *done => {
                let acts = Acts {
                    fence: run.fence,
                    node: &run.node,
                    task: &run.task,
                    began_ms: record.at_ms,
                    last_ms: record.at_ms,
                };
                runs.insert(run.fence, acts);
            }
            // It came too late to be anybody's holder.
            None => {}
        }
    }
    for (gate, runs) in &gates {
        one_at_a_time(&mut fenced, facts, gate, runs);
    }
    fenced
}

fn one_at_a_time(
    fenced: &mut Fenced,
    facts: &Facts<'_>,
    gate: &str,
    runs: &BTreeMap<i64, Acts<'_>>,
) {
    let mut longest: Option<&Acts<'_>> = None;
    for younger in runs.values() {
        if let Some(older) = longest {
            fenced.followed += 1;
            together(fenced, facts, gate, older, younger);
        }
        if longest.is_none_or(|older| older.last_ms < younger.last_ms) {
            longest = Some(younger);
        }
    }
}

fn together(
    fenced: &mut Fenced,
    facts: &Facts<'_>,
    gate: &str,
    older: &Acts<'_>,
    younger: &Acts<'_>,
) {
    let both_ms = older.last_ms.saturating_sub(younger.began_ms);
    if both_ms == 0 {
        return;
    }
    if paused(facts.history, older.node, older.began_ms, older.last_ms) {
        fenced.excused += 1;
        return;
    }
    let what = format!(
        "two had {gate} at once for {both_ms} ms: task {} on {} under fence {}, and task {} on {} under fence {}",
        older.task, older.node, older.fence, younger.task, younger.node, younger.fence
    );
    fenced.failures.push((younger.began_ms, what));
}
