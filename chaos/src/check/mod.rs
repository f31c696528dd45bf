//! Judges histories: one file for each property, each a function of what is known of a history. Nothing here asks anyone,
//! and nothing of the product is used: keys and values are read from bytes by [`keyspace`].
//!
//! ```text
//!   History ──▶ Facts ──┬─▶ accepted, terminal, leader, stale, attempts, …   one Verdict each
//!                       │      (what, where, how often put to the test)
//!                       └─▶ gap? ──▶ Judgement: pass | fail | not exercised | unknown
//! ```
//!
//! The order is given, by the store's revisions, so judging is one pass and some sorting, never a search.

pub mod course;
pub mod figures;
pub mod ids;
pub mod keyspace;
pub mod shows;

mod accepted;
mod acts;
mod answers;
mod attempts;
mod baseline;
mod bounded;
mod calls;
mod calm;
mod cancel;
mod concurrent;
mod effects;
mod failover;
mod fold;
mod gates;
mod heals;
mod holds;
mod idempotency;
mod judgement;
mod leader;
mod limits;
mod lives;
mod locks;
mod nowhere;
mod outside;
mod permits;
mod priority;
mod queues;
mod rates;
mod reads;
mod reclaim;
mod runs;
mod schedules;
mod stale;
mod tasks;
mod terminal;
mod tokens;
mod verdict;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::history::{Answer, History, Op, Refusal, Setup, Submit};

pub use judgement::{Judgement, Overall};
pub use limits::Limits;
pub use verdict::{Finding, Property, Verdict, Violation};

/// What is known of a history: what all checks start from.
#[derive(Debug)]
struct Facts<'h> {
    history: &'h History,
    setup: &'h Setup,
    steps: Vec<fold::Step>,
    lives: tasks::Lives,
    sessions: BTreeMap<i64, lives::Lifetime>,
    reigns: Vec<lives::Reign>,
    calls: Vec<calls::Asked<'h>>,
    runs: Vec<runs::Ran<'h>>,
    /// When the last thing was seen, in milliseconds.
    end_ms: u64,
    /// What counts, where the store's events say up to some revision what was there, and not how it came.
    since: Option<Arc<baseline::Since>>,
}

/// Judges a whole history by all properties.
pub fn judge(history: &History) -> Judgement {
    let Some(setup) = history.setup() else {
        let why = "the history does not begin with its setup";
        return Judgement::new(None, Vec::new(), Some(why.to_owned()));
    };
    let (facts, gap) = Facts::of(history, setup);
    let verdicts = Property::ALL.map(|property| one(property, &facts));
    Judgement::new(Some(setup), verdicts.into(), gap)
}

/// Judges a history by one property. A log with gaps is judged as if it had none; [`judge`] says so.
pub fn check(history: &History, property: Property) -> Option<Verdict> {
    let (facts, _) = Facts::of(history, history.setup()?);
    Some(one(property, &facts))
}

fn one(property: Property, facts: &Facts<'_>) -> Verdict {
    match property {
        Property::AcceptedNeverLost => accepted::check(facts),
        Property::OneTerminalState => terminal::check(facts),
        Property::OneActingLeader => leader::check(facts),
        Property::StaleReportRefused => stale::check(facts),
        Property::AttemptsBounded => attempts::check(facts),
        Property::ConcurrentRuns => concurrent::check(facts),
        Property::ReclaimBounded => reclaim::check(facts),
        Property::FailoverBounded => failover::check(facts),
        Property::CancelHolds => cancel::check(facts),
        Property::Idempotency => idempotency::check(facts),
        Property::ReadYourWrites => reads::check(facts),
        Property::AnswersTrue => answers::check(facts),
        Property::NothingFromNowhere => nowhere::check(facts),
        Property::PriorityOrder => priority::check(facts),
        Property::SemaphoreLimits => permits::check(facts),
        Property::LocksExclude => locks::check(facts),
        Property::OutsideHolds => outside::check(facts),
        Property::QueueLimits => queues::check(facts),
        Property::RateLimits => rates::check(facts),
        Property::SchedulesFireOnce => schedules::check(facts),
        Property::Heals => heals::check(facts),
        Property::Bounded => bounded::check(facts),
    }
}

impl<'h> Facts<'h> {
    fn of(history: &'h History, setup: &'h Setup) -> (Self, Option<String>) {
        let (steps, gap) = fold::steps(&setup.root, history);
        let (lives, calls) = (tasks::Lives::of(&steps), calls::calls(history));
        let facts = Self {
            history,
            setup,
            since: baseline::Since::of(history, &lives, &calls).map(Arc::new),
            lives,
            sessions: lives::sessions(&steps),
            reigns: lives::reigns(&steps),
            calls,
            runs: runs::runs(history),
            end_ms: history
                .records()
                .iter()
                .map(|one| one.at_ms)
                .max()
                .unwrap_or(0),
            steps,
        };
        (facts, gap)
    }

    /// A verdict in the making.
    fn case(&self, property: Property) -> verdict::Case {
        verdict::Case::new(property, self.since.clone())
    }

    /// Whether a task belongs to others who use the cluster too; nobody does where the log begins with the store itself.
    fn of_others(&self, task: ids::TaskId) -> bool {
        let since = self.since.as_ref();
        since.is_some_and(|since| since.of_others(task))
    }

    /// Submits, with how they ended.
    fn submits(&self) -> impl Iterator<Item = (&'h Submit, calls::End<'h>)> {
        self.calls.iter().filter_map(|asked| {
            if let Op::Submit(submit) = asked.op {
                return Some((submit, asked.end));
            }
            None
        })
    }

    /// Submits that were done, with their answers.
    fn acknowledged(&self) -> impl Iterator<Item = (&'h Submit, &'h Answer)> {
        self.submits().filter_map(|(submit, end)| {
            if let calls::End::Ok(answer) = end {
                return Some((submit, answer));
            }
            None
        })
    }

    /// The kinds of which the witness saw a run.
    fn witnessed(&self) -> HashSet<&str> {
        let tasks = self.runs.iter().filter_map(|ran| ran.task);
        let packs = tasks.filter_map(|task| self.lives.packs.get(&task.pack()));
        packs.map(|pack| pack.pack.routing.kind.as_str()).collect()
    }

    /// How many writes were refused for this reason, all nodes together.
    fn refused(&self, why: Refusal) -> u64 {
        use crate::history::{Entry, NodeEvent};
        let count = |entry: &Entry| {
            if let Entry::Node(NodeEvent::Refused { what, count, .. }) = entry
                && *what == why
            {
                return *count;
            }
            0
        };
        let records = self.history.records().iter();
        records.map(|record| count(&record.entry)).sum()
    }
}
