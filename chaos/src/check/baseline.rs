//! Where the recorder began in the middle of a cluster's life: what was there before is known as it stood then, and not how it came, so
//! nothing is held against it. A violation counts where all that it names was made afterwards.

use std::collections::HashSet;

use super::calls::{Asked, End};
use super::ids::{PackId, TaskId};
use super::tasks::Lives;
use crate::history::{Entry, History, Marker, Op};

/// What was made since the recorder began.
#[derive(Debug)]
pub(super) struct Since {
    /// The revision that it began at.
    revision: i64,
    /// Packs that were stored since, and those that the store does not know and a client was told of.
    made: HashSet<PackId>,
    /// Packs that a client was told of: the others are somebody else's, who uses the cluster too.
    told: HashSet<PackId>,
}

impl Since {
    /// None where the log begins with the store itself.
    pub(super) fn of(history: &History, lives: &Lives, calls: &[Asked<'_>]) -> Option<Self> {
        let records = history.records().iter();
        let begun = records.filter_map(|record| {
            if let Entry::Marker(Marker::Baseline { revision }) = &record.entry {
                return Some(*revision);
            }
            None
        });
        let revision = begun.max().filter(|revision| *revision > 0)?;
        let later = lives.packs.iter();
        let later = later.filter(|(_, life)| life.created.0 > revision);
        let told: HashSet<PackId> = told(calls).collect();
        let unknown = told.iter().filter(|pack| !lives.packs.contains_key(pack));
        let made = later.map(|(pack, _)| pack).chain(unknown);
        Some(Self {
            revision,
            made: made.copied().collect(),
            told,
        })
    }

    /// Whether all that a violation names was made since. Ids and keys that name nothing of a pack say nothing.
    pub(super) fn counts(&self, revisions: &[i64], ids: &[String]) -> bool {
        let later = revisions.iter().all(|revision| *revision > self.revision);
        later && ids.iter().all(|id| !self.was_there(id))
    }

    /// Whether a task is nothing that a client was told of.
    pub(super) fn of_others(&self, task: TaskId) -> bool {
        !self.told.contains(&task.pack())
    }

    fn was_there(&self, id: &str) -> bool {
        id.split(['/', '.']).any(|part| {
            let task: Option<TaskId> = part.parse().ok();
            task.is_some_and(|task| !self.made.contains(&task.pack()))
        })
    }
}

/// The packs that clients were told of.
fn told(calls: &[Asked<'_>]) -> impl Iterator<Item = PackId> {
    let tasks = calls
        .iter()
        .filter_map(|asked| match (asked.op, asked.end) {
            (Op::Submit(_), End::Ok(answer)) => Some(&answer.tasks),
            _ => None,
        });
    let tasks = tasks.flatten();
    tasks.filter_map(|task| task.parse().ok().map(|task: TaskId| task.pack()))
}
