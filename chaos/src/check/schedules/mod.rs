//! Schedules fire once: each due time of a schedule, from its declaration until it is deleted, has one line in its ledger, and
//! each line that says it was fired has one task, made at that revision; nothing is fired before its time; what is skipped is
//! skipped for a reason that is true, missed ones exactly as the rule for them says; and tasks that must not overlap never do.
//! Due times are reckoned anew ([`dues`]), early is what the history's own clock saw early. Exercised by each due time that has
//! a line.

mod dues;
mod ledger;
mod lines;
mod pace;
mod rules;
mod tasks;
mod watched;

use std::collections::BTreeMap;

use super::Facts;
use super::calm::Calm;
use super::fold::{Change, Step};
use super::ids::PackId;
use super::keyspace::{Key, Value};
use super::verdict::{Case, Property, Verdict};

pub use pace::{Lateness, Pace};

use tasks::Claims;
use watched::Watched;

/// What one revision did to one schedule.
#[derive(Debug, Default)]
struct Touch<'a> {
    schedule: Option<&'a Change>,
    progress: Option<&'a Change>,
    pages: Vec<(u64, &'a Change)>,
    ticks: Vec<(u64, &'a Change)>,
    /// Tasks that were made: their packs, with the due times.
    made: Vec<(PackId, u64)>,
}

/// What all schedules are judged with.
struct Bench<'f, 'h> {
    facts: &'f Facts<'h>,
    case: Case,
    /// When somebody led and nothing stood in the way.
    calm: Calm,
    pace: Pace,
}

pub(super) fn check(facts: &Facts<'_>) -> Verdict {
    let (mut case, pace) = judged(facts);
    pace.tell(&mut case);
    case.close()
}

/// What became of due times, and how late.
pub(super) fn pace(facts: &Facts<'_>) -> Pace {
    judged(facts).1
}

fn judged(facts: &Facts<'_>) -> (Case, Pace) {
    let calm = Calm::of(facts.history, &facts.reigns, facts.end_ms);
    let mut bench = Bench {
        facts,
        case: facts.case(Property::SchedulesFireOnce),
        calm: calm.while_led(&facts.reigns, facts.end_ms),
        pace: Pace::default(),
    };
    let mut all: BTreeMap<String, Watched> = BTreeMap::new();
    let mut claims = Claims::default();
    for step in &facts.steps {
        for (name, touch) in touched(step) {
            bench.touched(&mut all, step, name, &touch);
        }
        claims.take(&mut bench.case, &all, step);
    }
    for (name, watched) in &all {
        watched.close(&mut bench, name, facts.end_ms);
    }
    (bench.case, bench.pace)
}

impl Bench<'_, '_> {
    fn touched(
        &mut self,
        all: &mut BTreeMap<String, Watched>,
        step: &Step,
        name: &str,
        touch: &Touch<'_>,
    ) {
        let gone = touch.schedule.is_some_and(|change| change.is.is_none());
        let new = touch.schedule.is_some_and(|change| change.was.is_none());
        if gone {
            if let Some(watched) = all.remove(name) {
                watched.close(self, name, step.at_ms);
            }
            if touch.progress.is_none_or(|change| change.is.is_some()) {
                self.wrong(step, name, "was deleted, and its progress was not");
            }
        } else if new {
            match Watched::declared(self, step, name, touch) {
                Some(watched) => {
                    all.insert(name.to_owned(), watched);
                }
                None => self.wrong(step, name, "was declared without its progress"),
            }
        } else if let Some(watched) = all.get_mut(name) {
            watched.moves(self, step, name, touch);
            return;
        } else if touch.progress.is_some() {
            self.wrong(step, name, "is not there, and goes on");
        }
        for (pack, due) in &touch.made {
            let what = format!("is not there, and fired {pack} for {due}");
            self.wrong(step, name, &what);
        }
    }

    /// Notes what is wrong with a schedule.
    fn wrong(&mut self, step: &Step, name: &str, what: &str) {
        let what = format!("schedule {name} {what}");
        self.case.violated(what, &[step.revision], &[name]);
    }

    /// An instant of the history, in milliseconds since 1970.
    fn clock_ms(&self, at_ms: u64) -> u64 {
        self.facts.setup.epoch_ms + at_ms
    }

    /// An instant since 1970, in milliseconds of the history.
    fn at_ms(&self, clock_ms: u64) -> u64 {
        clock_ms.saturating_sub(self.facts.setup.epoch_ms)
    }

    /// Whether there was all the time to do what was to be done at this instant, until another.
    fn had_time(&self, from_clock_ms: u64, to_at_ms: u64) -> bool {
        let limits = &self.facts.setup.limits;
        let calm_ms = self.calm.longest(self.at_ms(from_clock_ms), to_at_ms);
        calm_ms > limits.fire_ms + limits.skew_ms
    }
}

/// Which schedules a revision is about.
fn touched(step: &Step) -> BTreeMap<&str, Touch<'_>> {
    let mut all: BTreeMap<&str, Touch<'_>> = BTreeMap::new();
    for change in &step.changes {
        match (&change.key, change.is.as_deref()) {
            (Key::Schedule(name), _) => all.entry(name).or_default().schedule = Some(change),
            (Key::Progress(name), _) => all.entry(name).or_default().progress = Some(change),
            (Key::Page { schedule, number }, _) => {
                let touch = all.entry(schedule).or_default();
                touch.pages.push((*number, change));
            }
            (Key::Tick { ms, schedule }, _) => {
                all.entry(schedule).or_default().ticks.push((*ms, change));
            }
            (Key::Pack(id), Some(Value::Pack(pack))) => {
                if let Some(fired) = &pack.fired {
                    let touch = all.entry(&fired.schedule).or_default();
                    touch.made.push((*id, fired.due_ms));
                }
            }
            _ => {}
        }
    }
    for touch in all.values_mut() {
        touch.pages.sort_unstable_by_key(|(number, _)| *number);
    }
    all
}
