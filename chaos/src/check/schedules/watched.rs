//! One schedule from its declaration to its end, revision by revision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dues::Dues;
use super::ledger::Ledger;
use super::lines::Told;
use super::tasks::Open;
use super::{Bench, Touch};
use crate::check::fold::Step;
use crate::check::ids::PackId;
use crate::check::keyspace::{Progress, Schedule, Value};

/// What is known of a schedule.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) schedule: Arc<Schedule>,
    pub(super) dues: Option<Dues>,
    /// All due times up to this one have a line.
    pub(super) decided_ms: u64,
    /// No due time that is decided next could be fired before this.
    pub(super) come_ms: u64,
    pub(super) owed_ms: Option<u64>,
    ledger: Ledger,
    ticks: BTreeSet<u64>,
    /// The packs of due times.
    pub(super) made: BTreeMap<u64, PackId>,
    pub(super) open: Open,
}

impl Watched {
    /// One that was declared; none where it has no progress.
    pub(super) fn declared(
        bench: &mut Bench<'_, '_>,
        step: &Step,
        name: &str,
        touch: &Touch<'_>,
    ) -> Option<Self> {
        let Some(Value::Schedule(schedule)) = touch.schedule?.is.as_deref() else {
            return None;
        };
        let Some(Value::Progress(progress)) = touch.progress?.is.as_deref() else {
            return None;
        };
        let mut watched = Self {
            schedule: Arc::new(schedule.clone()),
            dues: Dues::of(schedule),
            decided_ms: progress.done,
            come_ms: bench.clock_ms(step.at_ms),
            owed_ms: None,
            ledger: Ledger::default(),
            ticks: BTreeSet::new(),
            made: BTreeMap::new(),
            open: Open::default(),
        };
        bench.case.add("schedules", 1);
        if watched.dues.is_none() {
            bench.case.add("without a reckoning", 1);
        }
        watched.goes_on(bench, step, name, touch, progress);
        Some(watched)
    }

    /// What it is declared to be.
    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// A revision that is about it.
    pub(super) fn moves(
        &mut self,
        bench: &mut Bench<'_, '_>,
        step: &Step,
        name: &str,
        touch: &Touch<'_>,
    ) {
        let progress = touch.progress.and_then(|change| change.is.as_deref());
        let Some(Value::Progress(progress)) = progress else {
            bench.wrong(step, name, "moved without its progress");
            return;
        };
        let edit = match touch.schedule.and_then(|change| change.is.as_deref()) {
            Some(Value::Schedule(new)) => Some(new.clone()),
            Some(_) | None => None,
        };
        self.open.forget(step.at_ms);
        match self.ledger.take(progress, touch) {
            Ok(lines) => self.lines(
                bench,
                step,
                name,
                &Told {
                    lines,
                    progress,
                    edit: edit.as_ref(),
                    made: &touch.made,
                },
            ),
            Err(what) => bench.wrong(step, name, &what),
        }
        self.passed(bench, step, name, progress.done);
        if let Some(new) = edit {
            self.dues = Dues::of(&new);
            self.schedule = Arc::new(new);
            self.come_ms = bench.clock_ms(step.at_ms);
        }
        self.owed_ms = progress.owed;
        self.goes_on(bench, step, name, touch, progress);
    }

    /// Its end, or the history's: what should have been decided by then is.
    pub(super) fn close(&self, bench: &mut Bench<'_, '_>, name: &str, at_ms: u64) {
        let due = self.dues.and_then(|dues| dues.after(self.decided_ms));
        let Some(due) = due.filter(|_| self.schedule.paused.is_none()) else {
            return;
        };
        let come_ms = self.come_ms.max(due + self.schedule.jitter_ms);
        if bench.had_time(come_ms, at_ms) {
            let late_ms = bench.clock_ms(at_ms).saturating_sub(due);
            let what = format!("schedule {name}: due {due} has no line {late_ms} ms after it");
            bench.case.violated(what, &[], &[name]);
        }
    }

    /// Whatever is said to be decided has a line.
    fn passed(&mut self, bench: &mut Bench<'_, '_>, step: &Step, name: &str, done_ms: u64) {
        let next = self.dues.and_then(|dues| dues.after(self.decided_ms));
        if let Some(due) = next.filter(|due| *due <= done_ms) {
            let what = format!("has no line for due {due}, and is done up to {done_ms}");
            bench.wrong(step, name, &what);
        }
        self.decided_ms = self.decided_ms.max(done_ms);
    }

    /// It goes on where it should, and is looked at when that is due.
    fn goes_on(
        &mut self,
        bench: &mut Bench<'_, '_>,
        step: &Step,
        name: &str,
        touch: &Touch<'_>,
        progress: &Progress,
    ) {
        for (ms, change) in &touch.ticks {
            if change.is.is_some() {
                self.ticks.insert(*ms);
            } else {
                self.ticks.remove(ms);
            }
        }
        let ahead_ms = bench.facts.setup.limits.ahead_ms;
        if progress.done > bench.clock_ms(step.at_ms) + ahead_ms {
            let what = format!("is done up to {}, which is still to come", progress.done);
            bench.wrong(step, name, &what);
        }
        let next = self.dues.map(|dues| dues.after(progress.done));
        let next = next.map(|next| next.filter(|_| self.schedule.paused.is_none()));
        if next.is_some_and(|next| next != progress.next) {
            let what = format!("goes on with {:?}, and is due at {next:?}", progress.next);
            bench.wrong(step, name, &what);
        }
        let spread = |next: u64| next..=next + self.schedule.jitter_ms;
        let fits = match (progress.next, progress.tick) {
            (Some(next), Some(tick)) => spread(next).contains(&tick),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let ticks = self.ticks.iter().copied();
        if !fits || !ticks.eq(progress.tick) {
            bench.wrong(step, name, "is not looked at when it is due, and once");
        }
    }
}
