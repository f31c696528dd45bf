//! The verdict: a pure function of what was asked, what the witness saw run, and what the cluster says in the end. It
//! never asks anyone, so a saved history can be judged again; each of its claims has a test in which it is broken.

use crate::http::{Attempt, Task};
use crate::witness::{Note, Run};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

/// A file that was asked for: the id that the cluster gave, and the sum that `sha256sum` itself gives.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) sum: String,
}

/// One broken claim, with the task it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Two files were given one id.
    IdGivenTwice { id: String },
    /// An accepted task that the cluster does not know in the end.
    Lost { id: String },
    /// An accepted task that did not succeed, though its command can.
    NotSucceeded { id: String, state: String },
    /// Not just one attempt of a task has the outcome `succeeded`.
    Commits { id: String, number: usize },
    /// The output kept is not the file's sum.
    WrongSum {
        id: String,
        kept: String,
        sum: String,
    },
    /// The committed attempt never ran to a good end, says the witness.
    CommitWithoutRun { id: String, attempt: u32 },
    /// A run of an id that was never given.
    NeverAsked { id: String },
    /// One claim of a task was run twice.
    FenceRanTwice { id: String, fence: i64 },
    /// A later attempt was handed a fence that is not greater.
    FenceWentBack {
        id: String,
        attempt: u32,
        fence: i64,
    },
    /// A task was handed out again after its outcome was committed.
    RanAfterCommit { id: String, fence: i64 },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdGivenTwice { id } => write!(f, "{id} was given to two files"),
            Self::Lost { id } => write!(f, "{id} was accepted and is not known any more"),
            Self::NotSucceeded { id, state } => write!(f, "{id} ended as {state}"),
            Self::Commits { id, number } => write!(f, "{id} has {number} committed outcomes"),
            Self::WrongSum { id, kept, sum } => write!(f, "{id} kept {kept:?}, the sum is {sum}"),
            Self::CommitWithoutRun { id, attempt } => {
                write!(
                    f,
                    "{id} committed attempt {attempt}, which the witness did not see end well"
                )
            }
            Self::NeverAsked { id } => write!(f, "{id} ran and was never asked for"),
            Self::FenceRanTwice { id, fence } => write!(f, "{id} ran twice under fence {fence}"),
            Self::FenceWentBack { id, attempt, fence } => {
                write!(
                    f,
                    "{id} was handed fence {fence} for attempt {attempt}, not greater than one before"
                )
            }
            Self::RanAfterCommit { id, fence } => {
                write!(
                    f,
                    "{id} was run under fence {fence}, after its outcome was committed"
                )
            }
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Empty when every claim held.
    pub(crate) violations: Vec<Violation>,
    /// Starts that the witness saw, all together.
    pub(crate) starts: usize,
    /// Starts beyond the first of each task.
    pub(crate) repeats: usize,
    /// Tasks that have an attempt on record as lost with its node.
    pub(crate) reclaimed: Vec<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every claim held, and the faults had met work.
    Pass,
    /// A claim was broken.
    Violated,
    /// Nothing was broken, and nothing proved either: a kill was not done, or none took a task with it.
    NotExercised,
}

impl Verdict {
    /// What to make of it, where so many kills were `wanted` and so many `done`.
    pub(crate) fn ending(&self, wanted: usize, done: usize) -> Ending {
        if !self.violations.is_empty() {
            Ending::Violated
        } else if self.reclaimed.is_empty() || done < wanted {
            Ending::NotExercised
        } else {
            Ending::Pass
        }
    }
}

/// Judges a whole history. `tasks` holds, by id, what the cluster knows in the end.
pub(crate) fn judge(asked: &[Asked], notes: &[Note], tasks: &BTreeMap<String, Task>) -> Verdict {
    let witness = Witness::new(notes);
    let mut verdict = Verdict {
        starts: witness.starts,
        ..Verdict::default()
    };
    let mut ids = BTreeSet::new();
    for one in asked {
        if !ids.insert(one.id.as_str()) {
            verdict
                .violations
                .push(Violation::IdGivenTwice { id: one.id.clone() });
        }
        match tasks.get(&one.id) {
            Some(task) => verdict
                .violations
                .extend(task_violations(one, task, &witness)),
            None => verdict
                .violations
                .push(Violation::Lost { id: one.id.clone() }),
        }
    }
    for (id, runs) in &witness.runs {
        verdict.repeats += runs.len() - 1;
        if !ids.contains(id) {
            verdict.violations.push(Violation::NeverAsked {
                id: (*id).to_owned(),
            });
        }
        verdict.violations.extend(fence_violations(id, runs));
    }
    let lost = |task: &&Task| task.attempts.iter().any(Attempt::is_lost);
    verdict.reclaimed = tasks
        .values()
        .filter(lost)
        .map(|task| task.id.clone())
        .collect();
    verdict
}

/// The notes, by task.
struct Witness<'a> {
    starts: usize,
    runs: BTreeMap<&'a str, Vec<&'a Run>>,
    ended_well: HashSet<&'a Run>,
}

impl<'a> Witness<'a> {
    fn new(notes: &'a [Note]) -> Self {
        let mut witness = Self {
            starts: 0,
            runs: BTreeMap::new(),
            ended_well: HashSet::new(),
        };
        for note in notes {
            match note {
                Note::Started { run, .. } => {
                    witness.starts += 1;
                    witness.runs.entry(&run.task).or_default().push(run);
                }
                Note::Ended { run, exit: 0, .. } => {
                    witness.ended_well.insert(run);
                }
                Note::Ended { .. } | Note::Acted { .. } => {}
            }
        }
        witness
    }
}

/// The claims about one task that the cluster knows.
fn task_violations(asked: &Asked, task: &Task, witness: &Witness<'_>) -> Vec<Violation> {
    let id = || asked.id.clone();
    let mut violations = Vec::new();
    if task.state != "succeeded" {
        violations.push(Violation::NotSucceeded {
            id: id(),
            state: task.state.clone(),
        });
    }
    let commits: Vec<&Attempt> = task
        .attempts
        .iter()
        .filter(|attempt| attempt.is_committed())
        .collect();
    let [commit] = commits.as_slice() else {
        violations.push(Violation::Commits {
            id: id(),
            number: commits.len(),
        });
        return violations;
    };
    let kept = commit
        .stdout()
        .split_whitespace()
        .next()
        .unwrap_or_default();
    if kept != asked.sum {
        violations.push(Violation::WrongSum {
            id: id(),
            kept: kept.to_owned(),
            sum: asked.sum.clone(),
        });
    }
    let run = Run {
        task: id(),
        attempt: commit.number,
        fence: commit.fence,
    };
    if !witness.ended_well.contains(&run) {
        violations.push(Violation::CommitWithoutRun {
            id: id(),
            attempt: commit.number,
        });
    }
    for later in witness
        .runs
        .get(asked.id.as_str())
        .into_iter()
        .flatten()
        .filter(|run| run.fence > commit.fence)
    {
        violations.push(Violation::RanAfterCommit {
            id: id(),
            fence: later.fence,
        });
    }
    violations
}

/// Each start has a fence of its own, and a greater attempt a greater fence. The order in which starts were written
/// down decides nothing: a run of a killed node may be slow to write.
fn fence_violations(id: &str, runs: &[&Run]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen: HashMap<i64, u32> = HashMap::new();
    for run in runs {
        if seen.insert(run.fence, run.attempt).is_some() {
            violations.push(Violation::FenceRanTwice {
                id: id.to_owned(),
                fence: run.fence,
            });
        }
    }
    let mut by_attempt: Vec<(u32, i64)> = seen
        .into_iter()
        .map(|(fence, attempt)| (attempt, fence))
        .collect();
    by_attempt.sort_unstable();
    for pair in by_attempt.windows(2) {
        if pair[1].1 <= pair[0].1 {
            let (attempt, fence) = pair[1];
            violations.push(Violation::FenceWentBack {
                id: id.to_owned(),
                attempt,
                fence,
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests;
