//! What one revision tells of a schedule's due times, line by line.

use std::sync::Arc;

use super::Bench;
use super::rules::Rules;
use super::tasks::forbids;
use super::watched::Watched;
use crate::check::fold::Step;
use crate::check::ids::PackId;
use crate::check::keyspace::{By, Line, Overlap, Progress, Schedule, Skipped};

/// What a revision tells of a schedule.
#[derive(Debug)]
pub(super) struct Told<'a> {
    /// Lines of its ledger.
    pub(super) lines: Vec<Line>,
    /// How far it has got by them.
    pub(super) progress: &'a Progress,
    /// What it is edited to be.
    pub(super) edit: Option<&'a Schedule>,
    /// Packs that were made of it, with their due times.
    pub(super) made: &'a [(PackId, u64)],
}

impl Watched {
    /// Judges all lines of a revision, and the tasks that were made by it.
    pub(super) fn lines(
        &mut self,
        bench: &mut Bench<'_, '_>,
        step: &Step,
        name: &str,
        told: &Told<'_>,
    ) {
        let schedule = Arc::clone(&self.schedule);
        let first = told.lines.iter().find(|line| line.is_of_the_clock());
        let rules = first.map(|line| Rules {
            schedule: &schedule,
            dues: self.dues,
            now_ms: line.decided_ms(),
            owed_ms: self.owed_ms.unwrap_or(0),
        });
        let mut made = told.made.to_vec();
        for (nth, line) in told.lines.iter().enumerate() {
            bench.pace.told(name, line);
            if let Some(rules) = rules.filter(|_| line.is_of_the_clock()) {
                bench.case.exercised(line.times);
                self.follows(bench, step, name, line);
                self.in_time(bench, step, name, line);
                let right = match line.skipped {
                    Some(why @ (Skipped::Paused | Skipped::Edited)) => self.edited(why, told.edit),
                    _ if told.edit.is_some() => Err(format!("decides due {} by an edit", line.due)),
                    _ => rules.right(line),
                };
                if let Err(what) = right {
                    bench.wrong(step, name, &what);
                }
            }
            match line.skipped {
                None => {
                    self.may_fire(bench, step, name, line);
                    self.task(bench, step, name, line, &mut made);
                }
                Some(Skipped::Overlap) => {
                    let later = &told.lines[nth + 1..];
                    self.held_up(bench, step, name, line, told.replaces(line, later));
                }
                Some(_) => {}
            }
        }
        for (pack, due) in made {
            let what = match self.made.get(&due) {
                Some(before) => format!("fired due {due} twice, as {before} and {pack}"),
                None => format!("made {pack} for {due}, and has no line for it"),
            };
            bench.wrong(step, name, &what);
        }
        let owed = told
            .progress
            .owed
            .filter(|owed| self.owed_ms != Some(*owed));
        if let (Some(owed), Some(rules)) = (owed, rules)
            && !rules.may_owe(told.progress.done, owed)
        {
            bench.wrong(step, name, "owes what the rule for missed ones passes over");
        }
    }

    /// Each due time follows the one before.
    fn follows(&mut self, bench: &mut Bench<'_, '_>, step: &Step, name: &str, line: &Line) {
        let next = self.dues.and_then(|dues| dues.after(self.decided_ms));
        let due = line.due;
        if due <= self.decided_ms {
            let what = format!("has a second line for due {due}");
            bench.wrong(step, name, &what);
        } else if self.dues.is_some() && next != Some(due) {
            let what = match next.filter(|next| *next < due) {
                Some(next) => format!("has no line for due {next}, and goes on with {due}"),
                None => format!("has a line for {due}, when it is not due"),
            };
            bench.wrong(step, name, &what);
        }
        self.decided_ms = self.decided_ms.max(line.until.unwrap_or(due));
    }

    /// Nothing is decided before its time; nothing much later, while nothing stands in the way.
    fn in_time(&mut self, bench: &mut Bench<'_, '_>, step: &Step, name: &str, line: &Line) {
        let now_ms = bench.clock_ms(step.at_ms);
        let fire_ms = line.due + line.jitter;
        let told_ms = line.decided_ms().max(line.until.unwrap_or(0));
        let early_ms = told_ms.saturating_sub(now_ms);
        bench.case.most("early_ms", early_ms);
        if early_ms > bench.facts.setup.limits.ahead_ms {
            let what = format!("decides due {} {early_ms} ms before its time", line.due);
            bench.wrong(step, name, &what);
        }
        self.come_ms = self.come_ms.max(fire_ms);
        let late_ms = now_ms.saturating_sub(fire_ms);
        if line.skipped.is_none() && line.by == By::Clock {
            bench.pace.late(name, late_ms);
        }
        let paused = line.skipped == Some(Skipped::Paused);
        if !paused && bench.had_time(self.come_ms, step.at_ms) {
            let what = format!("decides due {} only {late_ms} ms after its time", line.due);
            bench.wrong(step, name, &what);
        }
    }

    fn edited(&self, why: Skipped, edit: Option<&Schedule>) -> Result<(), String> {
        let paused = self.schedule.paused.is_some();
        let resumed = paused && edit.is_some_and(|new| new.paused.is_none());
        let moved = edit.is_some_and(|new| !self.schedule.is_due_like(new));
        let is_true = match why {
            Skipped::Paused => resumed || (paused && moved),
            Skipped::Edited => !paused && moved,
            Skipped::Overlap | Skipped::Misfire | Skipped::Window | Skipped::Deadline => true,
        };
        let why = why.as_str();
        let what = format!("says that it was {why}, and was not");
        is_true.then_some(()).ok_or(what)
    }

    /// An overlap is said: earlier tasks had not ended when that was decided, or a later one replaces it.
    fn held_up(
        &self,
        bench: &mut Bench<'_, '_>,
        step: &Step,
        name: &str,
        line: &Line,
        replaced: bool,
    ) {
        let ahead_ms = bench.facts.setup.limits.ahead_ms;
        let decided_ms = bench.at_ms(line.decided_ms()).saturating_sub(ahead_ms);
        let open = self.open.since(decided_ms.min(step.at_ms));
        let replaced = replaced && self.schedule.overlap == Overlap::Replace;
        if open < forbids(self.schedule.overlap) && !replaced {
            let what = format!("skips due {} for an overlap with {open} tasks", line.due);
            bench.wrong(step, name, &what);
        }
    }

    /// One is fired: earlier tasks let it.
    fn may_fire(&self, bench: &mut Bench<'_, '_>, step: &Step, name: &str, line: &Line) {
        let open = self.open.at(step.revision);
        if line.by != By::Backfill && open >= forbids(self.schedule.overlap) {
            let what = format!("fires {} though {open} tasks have not ended", line.due);
            bench.wrong(step, name, &what);
        }
    }

    /// What was fired has its task: one, made by this revision, or before it where somebody wanted that of a past time.
    fn task(
        &mut self,
        bench: &mut Bench<'_, '_>,
        step: &Step,
        name: &str,
        line: &Line,
        made: &mut Vec<(PackId, u64)>,
    ) {
        let due = line.due;
        let is_its =
            |(pack, of): &(PackId, u64)| *of == due && line.pack.is_none_or(|told| told == *pack);
        let found = made.iter().position(is_its);
        let found = found.map(|nth| made.remove(nth).0);
        let beside = line.by == By::Trigger;
        match (found, self.made.get(&due).filter(|_| !beside)) {
            (Some(pack), Some(before)) => {
                let what = format!("fired due {due} twice, as {before} and {pack}");
                bench.wrong(step, name, &what);
            }
            (None, None) => {
                let what = format!("says that it fired {due}, and made no task");
                bench.wrong(step, name, &what);
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        // A past one that somebody wanted is not made again when it is decided.
        let there = || self.made.get(&due).copied().filter(|_| !beside);
        let Some(pack) = found.or_else(there) else {
            return;
        };
        if !beside {
            self.made.insert(due, pack);
        }
        if line.by != By::Backfill && self.schedule.overlap != Overlap::Allow {
            self.open.push(bench.facts, pack);
        }
    }
}

impl Told<'_> {
    /// Whether a later due time replaces that of this line.
    fn replaces(&self, line: &Line, later: &[Line]) -> bool {
        let fired = later.iter().any(|later| later.skipped.is_none());
        fired || self.progress.owed.is_some_and(|owed| owed > line.due)
    }
}
