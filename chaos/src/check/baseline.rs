//! Where the recorder began in the middle of a cluster's life: what was there before is known as it stood then, and not how it came, so
//! nothing is held against it. A violation counts where all that it names was made afterwards.

use super::Facts;
use super::ids::{PackId, TaskId};
use super::verdict::{Finding, Verdict, Violation};
use crate::history::{Entry, History, Marker};

/// Up to which revision; 0 where the log begins with the store itself.
pub(super) fn of(history: &History) -> i64 {
    let records = history.records().iter();
    let begun = records.filter_map(|record| {
        if let Entry::Marker(Marker::Baseline { revision }) = &record.entry {
            return Some(*revision);
        }
        None
    });
    begun.max().unwrap_or(0)
}

/// The verdict on what came afterwards. Violations are counted as far as their evidence is kept then.
pub(super) fn since(facts: &Facts<'_>, verdict: Verdict) -> Verdict {
    let Finding::Violated { evidence, .. } = verdict.finding else {
        return verdict;
    };
    let evidence: Vec<Violation> = evidence
        .into_iter()
        .filter(|one| counts(facts, one))
        .collect();
    let count = u64::try_from(evidence.len()).unwrap_or(u64::MAX);
    let finding = match (count, verdict.exercised) {
        (0, 0) => Finding::NotExercised,
        (0, _) => Finding::Ok,
        (count, _) => Finding::Violated { count, evidence },
    };
    Verdict { finding, ..verdict }
}

fn counts(facts: &Facts<'_>, violation: &Violation) -> bool {
    let later = violation
        .revisions
        .iter()
        .all(|revision| *revision > facts.baseline);
    later && violation.ids.iter().all(|id| !was_there(facts, id))
}

/// Whether an id or a key names something of a pack that was there before. One that the store does not know was, unless a client was
/// told of it since.
fn was_there(facts: &Facts<'_>, id: &str) -> bool {
    let old = |pack: PackId| match facts.lives.packs.get(&pack) {
        Some(life) => life.created.0 <= facts.baseline,
        None => !told(facts, pack),
    };
    id.split(['/', '.']).any(|part| {
        let task: Option<TaskId> = part.parse().ok();
        task.is_some_and(|task| old(task.pack()))
    })
}

fn told(facts: &Facts<'_>, pack: PackId) -> bool {
    let mut answers = facts.acknowledged().flat_map(|(_, answer)| &answer.tasks);
    answers.any(|task| {
        let task: Option<TaskId> = task.parse().ok();
        task.is_some_and(|task| task.pack() == pack)
    })
}
