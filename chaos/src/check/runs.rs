//! What the witness saw: each run with its end, where it had one.

use std::collections::HashMap;

use super::ids::TaskId;
use crate::history::{Effect, Entry, History, NodeEvent, Run};

/// A run that began.
#[derive(Debug)]
pub(super) struct Ran<'h> {
    /// Which.
    pub(super) run: &'h Run,
    /// Its task, where its id can be read.
    pub(super) task: Option<TaskId>,
    /// When it began, in milliseconds.
    pub(super) from_ms: u64,
    /// When it was over: it ended, or its process died. None where it may go on.
    pub(super) to_ms: Option<u64>,
    /// Whether it was seen to end.
    pub(super) ended: bool,
    /// Whether it was seen to end well.
    pub(super) well: bool,
    /// The last that was seen of it, in milliseconds: an end, a sign of life, or its begin.
    pub(super) seen_ms: u64,
    /// Whether it gives signs of life, so that the last of them is about its end.
    pub(super) beats: bool,
}

/// All runs, in the order in which they began.
pub(super) fn runs(history: &History) -> Vec<Ran<'_>> {
    let mut runs: Vec<Ran<'_>> = Vec::new();
    let mut open: HashMap<&Run, usize> = HashMap::new();
    let mut all: HashMap<&Run, usize> = HashMap::new();
    for record in history.records() {
        let at_ms = record.at_ms;
        if let Entry::RunStarted(run) = &record.entry {
            open.insert(run, runs.len());
            all.insert(run, runs.len());
            runs.push(Ran {
                run,
                task: run.task.parse().ok(),
                from_ms: at_ms,
                to_ms: None,
                ended: false,
                well: false,
                seen_ms: at_ms,
                beats: false,
            });
        } else if let Entry::Effect(Effect { run, .. }) = &record.entry {
            if let Some(ran) = all.get(run).and_then(|nth| runs.get_mut(*nth)) {
                // A sign of life after its process died: it has not died with it.
                ran.to_ms = ran.to_ms.map(|to_ms| to_ms.max(at_ms));
                ran.seen_ms = at_ms;
                ran.beats = true;
            }
        } else if let Entry::RunEnded { run, well } = &record.entry {
            open.remove(run);
            if let Some(ran) = all.get(run).and_then(|nth| runs.get_mut(*nth)) {
                ran.to_ms = Some(at_ms);
                ran.ended = true;
                ran.well = *well;
                ran.seen_ms = at_ms;
            }
        } else if let Entry::Node(NodeEvent::Crashed { node, incarnation }) = &record.entry {
            open.retain(|run, nth| {
                let died = run.node == *node && run.incarnation == *incarnation;
                if died {
                    runs[*nth].to_ms = Some(at_ms);
                }
                !died
            });
        }
    }
    runs
}
