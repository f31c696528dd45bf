//! What the witness's resources saw, each guarded by a lock: acts that were refused for their fence, acts that were taken under a fence
//! lower than one before, and runs that acted on one resource at the same time. Whether that breaks a promise is for others to say.

use std::collections::BTreeMap;
use std::fmt;

use super::Facts;
use super::calm::paused;
use crate::history::{Effect, Entry, History};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Fenced<'h> {
    /// Acts that were refused for their fence, with the instant, in milliseconds.
    pub(super) refused: Vec<u64>,
    /// Acts that were taken, and should not have been.
    pub(super) passed: Vec<Passed<'h>>,
    /// Pairs of runs that tried to act at one time.
    pub(super) together: Vec<Together<'h>>,
}

/// An act that was taken under a fence lower than one before.
#[derive(Debug)]
pub(super) struct Passed<'h> {
    gate: &'h str,
    pub(super) task: &'h str,
    pub(super) fence: i64,
    pub(super) highest: i64,
    at_ms: u64,
}

/// Two runs whose times on one resource overlap.
#[derive(Debug)]
pub(super) struct Together<'h> {
    gate: &'h str,
    pub(super) older: Acts<'h>,
    pub(super) younger: Acts<'h>,
}

/// One run's acts on one resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acts<'h> {
    pub(super) fence: i64,
    pub(super) node: &'h str,
    pub(super) task: &'h str,
    pub(super) began_ms: u64,
    pub(super) last_ms: u64,
}

/// What the resources of a history saw.
pub(super) fn fenced(history: &History) -> Fenced<'_> {
    let mut fenced = Fenced::default();
    let mut gates: BTreeMap<&str, BTreeMap<i64, Acts<'_>>> = BTreeMap::new();
    for record in history.records() {
        let Entry::Effect(Effect { run, gate, done }) = &record.entry else {
            continue;
        };
        let Some(gate) = gate.as_deref() else {
            continue;
        };
        let at_ms = record.at_ms;
        let runs = gates.entry(gate).or_default();
        if !done {
            fenced.refused.push(at_ms);
        } else if let Some((highest, _)) = runs.last_key_value().filter(|last| *last.0 > run.fence)
        {
            fenced.passed.push(Passed {
                gate,
                task: &run.task,
                fence: run.fence,
                highest: *highest,
                at_ms,
            });
        }
        match runs.get_mut(&run.fence) {
            Some(acts) => acts.last_ms = at_ms,
            None if *done => {
                let acts = Acts {
                    fence: run.fence,
                    node: &run.node,
                    task: &run.task,
                    began_ms: at_ms,
                    last_ms: at_ms,
                };
                runs.insert(run.fence, acts);
            }
            // It came too late to be anybody's holder.
            None => {}
        }
    }
    for (gate, runs) in &gates {
        one_at_a_time(&mut fenced, gate, runs);
    }
    fenced
}

fn one_at_a_time<'h>(fenced: &mut Fenced<'h>, gate: &'h str, runs: &BTreeMap<i64, Acts<'h>>) {
    let mut longest: Option<Acts<'h>> = None;
    for younger in runs.values().copied() {
        if let Some(older) = longest.filter(|older| older.last_ms > younger.began_ms) {
            fenced.together.push(Together {
                gate,
                older,
                younger,
            });
        }
        if longest.is_none_or(|older| older.last_ms < younger.last_ms) {
            longest = Some(younger);
        }
    }
}

impl Fenced<'_> {
    /// What breaks a promise where nothing but a process that stands still is an excuse: in words, with the instant at which it began.
    pub(super) fn failures(&self, facts: &Facts<'_>) -> Vec<(u64, String)> {
        let passed = self.passed.iter().map(|one| (one.at_ms, one.to_string()));
        let together = self.together.iter().filter(|two| {
            let Acts {
                node,
                began_ms,
                last_ms,
                ..
            } = two.older;
            !paused(facts.history, node, began_ms, last_ms)
        });
        let together = together.map(|two| (two.younger.began_ms, two.to_string()));
        passed.chain(together).collect()
    }
}

impl Together<'_> {
    /// For how long, in milliseconds.
    pub(super) fn both_ms(&self) -> u64 {
        self.older.last_ms - self.younger.began_ms
    }
}

impl fmt::Display for Passed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gate,
            fence,
            highest,
            ..
        } = self;
        write!(
            f,
            "{gate} took an act under fence {fence} after one under {highest}"
        )
    }
}

impl fmt::Display for Together<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gate, older, younger) = (self.gate, self.older, self.younger);
        write!(
            f,
            "two had {gate} at once for {} ms: task {} on {} under fence {}, and task {} on {} under fence {}",
            self.both_ms(),
            older.task,
            older.node,
            older.fence,
            younger.task,
            younger.node,
            younger.fence
        )
    }
}
