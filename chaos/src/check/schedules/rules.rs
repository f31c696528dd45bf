//! What a schedule's own rules say of a due time at the instant at which it was decided: whether it may be fired, and whether the
//! reason is true for which it was not. A due time that was spread by a jitter nobody tells gets the benefit of the doubt.

use super::dues::Dues;
use crate::check::keyspace::{By, Line, Overlap, Schedule, Skipped};

/// 30,000 ms: what is fired so much later is late; beyond, it was missed.
const LATE_MS_MAX: u64 = 30_000;

/// 10,000 due times are counted of a line; more are told as this many.
const TIMES_MAX: u64 = 10_000;

/// The rules at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) schedule: &'a Schedule,
    /// Its due times, where they can be told.
    pub(super) dues: Option<Dues>,
    /// When it was decided, by the clock of who did.
    pub(super) now_ms: u64,
    /// Up to here it was decided before that missed ones are fired.
    pub(super) owed_ms: u64,
}

/// A due time, and the least and most that it is spread by.
#[derive(Clone, Copy, Debug)]
struct Due {
    ms: u64,
    jitter_ms: (u64, u64),
}

impl Rules<'_> {
    /// Whether a line of the clock is right.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn right(&self, line: &Line) -> Result<(), String> {
        if line.jitter > self.schedule.jitter_ms {
            return Err(format!(
                "due {} is spread by more than is declared",
                line.due
            ));
        }
        let told = Due {
            ms: line.due,
            jitter_ms: (line.jitter, line.jitter),
        };
        match line.until {
            None => self.one(line, told),
            Some(until) => {
                let last = self.dues.map_or(Some(until), |dues| dues.before(until));
                let last = last.filter(|last| *last >= line.due);
                let last =
                    last.ok_or_else(|| format!("line {} ends before it begins", line.due))?;
                self.times(line, last)?;
                // A run of them that was passed over tells no jitter.
                self.one(line, self.spread(line.due))?;
                self.one(line, self.spread(last))
            }
        }
    }

    /// Whether missed ones up to this may be owed when all up to `done_ms` is decided.
    pub(super) fn may_owe(&self, done_ms: u64, owed_ms: u64) -> bool {
        let first = self.dues.map(|dues| dues.after(done_ms));
        owed_ms <= self.now_ms
            && match first {
                Some(Some(first)) => owed_ms < first || self.may_fire(self.spread(first)),
                Some(None) | None => true,
            }
    }

    fn times(&self, line: &Line, last: u64) -> Result<(), String> {
        let Some(dues) = self.dues else { return Ok(()) };
        let times = dues.count(line.due - 1, last);
        if line.times == times.min(TIMES_MAX) {
            return Ok(());
        }
        let told = line.times;
        Err(format!(
            "line {} is about {told} due times, and there are {times}",
            line.due
        ))
    }

    fn one(&self, line: &Line, due: Due) -> Result<(), String> {
        let ms = due.ms;
        let at = self.now_ms.saturating_sub(ms);
        let wrong = |what: &str| Err(format!("due {ms}, decided {at} ms after it, {what}"));
        match (line.skipped, line.by) {
            (None, _) if line.until.is_some() => wrong("is fired together with others"),
            (None, By::Clock) if self.beyond_deadline(ms) => wrong("is fired after its deadline"),
            (None, By::Clock) if !self.may_be_in_time(due) => {
                wrong("is fired though it was missed")
            }
            (None, By::CatchUp) if !self.may_be_missed(due) => {
                wrong("is caught up on though it was not missed")
            }
            (None, By::CatchUp) if !self.may_fire(due) => {
                wrong("is caught up on against the rule for missed ones")
            }
            (Some(Skipped::Deadline), _) if !self.beyond_deadline(ms) => {
                wrong("is skipped before its deadline")
            }
            (Some(Skipped::Window), _) if !self.beyond_window(ms) || !self.may_be_missed(due) => {
                wrong("is skipped though it could be caught up on")
            }
            (Some(Skipped::Misfire), _) if !self.may_be_missed(due) => {
                wrong("is skipped as a misfire though it was not missed")
            }
            (Some(Skipped::Misfire), _) if !self.may_be_passed_over(due) => {
                wrong("is skipped though the rule for missed ones has it fired")
            }
            (Some(Skipped::Overlap), _) if self.schedule.overlap == Overlap::Allow => {
                wrong("is skipped for an overlap that is allowed")
            }
            (Some(Skipped::Overlap), _) if !self.may_fire(due) => {
                wrong("is skipped for an overlap though it was missed")
            }
            (None | Some(_), _) => Ok(()),
        }
    }

    /// Whether it is fired, but for tasks that have not ended.
    fn may_fire(&self, due: Due) -> bool {
        if self.beyond_deadline(due.ms) {
            return false;
        }
        let latest =
            self.later_missed(due.ms, self.schedule.jitter_ms) < self.schedule.misfire.fires();
        self.may_be_in_time(due)
            || due.ms <= self.owed_ms
            || (!self.beyond_window(due.ms) && latest)
    }

    /// Whether it may be one of the missed ones that are not fired.
    fn may_be_passed_over(&self, due: Due) -> bool {
        let fires = self.schedule.misfire.fires();
        let latest = self.dues.is_some() && self.later_missed(due.ms, 0) < fires;
        let window = fires == 0 || !self.beyond_window(due.ms);
        window && !latest && due.ms > self.owed_ms
    }

    /// How many later ones were missed, of which each is spread by so much.
    fn later_missed(&self, due_ms: u64, jitter_ms: u64) -> u64 {
        let missed_ms = self.now_ms.saturating_sub(LATE_MS_MAX + jitter_ms + 1);
        self.dues.map_or(0, |dues| dues.count(due_ms, missed_ms))
    }

    fn beyond_deadline(&self, due_ms: u64) -> bool {
        let since_ms = self.now_ms.saturating_sub(due_ms);
        self.schedule
            .start_deadline_ms
            .is_some_and(|max| since_ms > max)
    }

    fn beyond_window(&self, due_ms: u64) -> bool {
        self.now_ms.saturating_sub(due_ms) > self.schedule.catch_up_ms
    }

    fn may_be_in_time(&self, due: Due) -> bool {
        self.now_ms.saturating_sub(due.ms + due.jitter_ms.1) <= LATE_MS_MAX
    }

    fn may_be_missed(&self, due: Due) -> bool {
        self.now_ms.saturating_sub(due.ms + due.jitter_ms.0) > LATE_MS_MAX
    }

    fn spread(&self, ms: u64) -> Due {
        Due {
            ms,
            jitter_ms: (0, self.schedule.jitter_ms),
        }
    }
}
