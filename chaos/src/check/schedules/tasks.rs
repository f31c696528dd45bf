//! The tasks of schedules: which of one have not ended, and that those which must not overlap never do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::watched::Watched;
use crate::check::Facts;
use crate::check::fold::Step;
use crate::check::ids::PackId;
use crate::check::keyspace::{Key, Overlap, Schedule, Value};
use crate::check::tasks::Place;
use crate::check::verdict::Case;

/// 8 tasks of a schedule that have not ended at most, where one replaces another.
const OPEN_MAX: usize = 8;

/// 60 s: so long a task is remembered that has ended; nobody decides by what is older.
const REMEMBERED_MS: u64 = 60_000;

/// Tasks that hold up others of their schedule until they end.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// When each ended for the first time, as a success, a cancel or a dead letter: revision and milliseconds.
    tasks: Vec<Option<(i64, u64)>>,
}

impl Open {
    /// One more.
    pub(super) fn push(&mut self, facts: &Facts<'_>, pack: PackId) {
        self.tasks.push(ended(facts, pack));
    }

    /// Forgets what ended long ago.
    pub(super) fn forget(&mut self, at_ms: u64) {
        let recent = |end: &Option<(i64, u64)>| end.is_none_or(|end| end.1 + REMEMBERED_MS > at_ms);
        self.tasks.retain(recent);
    }

    /// How many had not ended at a revision.
    pub(super) fn at(&self, revision: i64) -> usize {
        let open = |end: &&Option<(i64, u64)>| end.is_none_or(|end| end.0 > revision);
        self.tasks.iter().filter(open).count()
    }

    /// How many had not ended at an instant.
    pub(super) fn since(&self, at_ms: u64) -> usize {
        let open = |end: &&Option<(i64, u64)>| end.is_none_or(|end| end.1 >= at_ms);
        self.tasks.iter().filter(open).count()
    }
}

/// How many that have not ended forbid another one.
pub(super) fn forbids(overlap: Overlap) -> usize {
    match overlap {
        Overlap::Allow => usize::MAX,
        Overlap::Skip => 1,
        Overlap::QueueOne => 2,
        Overlap::Replace => OPEN_MAX,
    }
}

fn ended(facts: &Facts<'_>, pack: PackId) -> Option<(i64, u64)> {
    let life = facts.lives.tasks.get(&pack.task(0))?;
    let one = life.moves.iter().find(|one| {
        let dead = one.entered.iter().any(|spot| spot.place == Place::Dead);
        dead || one.said.iter().any(|told| told.outcome.is_final())
    })?;
    Some((one.revision, one.at_ms))
}

/// Claims of tasks that must not overlap, by schedule.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Which schedule a pack must not overlap with others of.
    alone: BTreeMap<PackId, String>,
    held: BTreeMap<String, BTreeSet<Arc<str>>>,
}

impl Claims {
    /// Takes in a revision.
    pub(super) fn take(&mut self, case: &mut Case, all: &BTreeMap<String, Watched>, step: &Step) {
        for change in &step.changes {
            if let (Key::Pack(id), Some(Value::Pack(pack))) = (&change.key, change.is.as_deref())
                && let Some(fired) = &pack.fired
                && let Some(watched) = all.get(&fired.schedule)
                && is_alone(watched.schedule())
            {
                let lock = format!("schedule.{}", fired.schedule);
                if !pack.routing.needs.locks.contains(&lock) {
                    let what = format!("a task of schedule {} takes no lock", fired.schedule);
                    case.violated(what, &[step.revision], &[id]);
                }
                self.alone.insert(*id, fired.schedule.clone());
            }
        }
        for change in &step.changes {
            if let Key::Run { .. } = &change.key {
                let of = change.is.as_deref().or(change.was.as_deref());
                let Some(Value::Run(held)) = of else { continue };
                let Some(name) = self.alone.get(&held.pack) else {
                    continue;
                };
                let claims = self.held.entry(name.clone()).or_default();
                if change.is.is_none() {
                    claims.remove(&change.text);
                } else {
                    claims.insert(Arc::clone(&change.text));
                }
            }
        }
        for name in step
            .changes
            .iter()
            .filter_map(|change| match change.is.as_deref() {
                Some(Value::Run(held)) => self.alone.get(&held.pack),
                _ => None,
            })
        {
            let claims = &self.held[name];
            if claims.len() > 1 {
                let what = format!("{} tasks of schedule {name} run at once", claims.len());
                let claims: Vec<&Arc<str>> = claims.iter().collect();
                case.violated(what, &[step.revision], &claims);
            }
        }
    }
}

fn is_alone(schedule: &Schedule) -> bool {
    schedule.overlap != Overlap::Allow
}
