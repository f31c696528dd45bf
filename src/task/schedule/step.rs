//! What becomes of the due times that have come: fired or skipped, by rules that know nothing but what they are given.

use std::collections::BTreeSet;

use super::progress::{By, OPEN_MAX, Occurrence, Page, Progress, Skipped, TIMES_MAX};
use super::{Misfire, Overlap, Schedule, pack_of};
use crate::task::id::PackId;
use crate::task::name::Name;
use crate::task::spec::Pack;
use crate::task::timing::Timing;

/// 30 s: a due time that is fired so much later at most is late; beyond, it was missed, and the rule for missed ones decides. An
/// election takes a lease's TTL and a second, 6 s by default, so that a leader's death alone misses nothing.
pub const LATE_MS_MAX: u64 = 30_000;

/// 16 tasks are fired by one transaction; a schedule that has more to catch up on takes several.
pub const FIRES_MAX: usize = 16;

/// 256 KiB of payload are fired by one transaction, or one task: a small payload is in its pack and in its record.
const FIRES_BYTES_MAX: usize = 256 << 10;

/// 4,096 due times are looked at for one decision: a schedule that is due every second has as many in its window of catching up of an
/// hour, and some.
const LOOK_MAX: usize = 4_096;

/// All there is to know about a schedule.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Create revision of its key.
    pub incarnation: i64,
    /// What it is declared to be.
    pub schedule: &'a Schedule,
    /// Its due times.
    pub timing: &'a Timing,
    /// How far it has got.
    pub progress: &'a Progress,
    /// Those of its open tasks that have ended: a dead letter has.
    pub ended: &'a BTreeSet<PackId>,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What one transaction does to a schedule.
#[derive(Clone, Debug)]
pub struct Step {
    /// How far it has got by that.
    pub progress: Progress,
    /// Pages of its ledger that are full by that, with their numbers.
    pub pages: Vec<(u64, Page)>,
    /// The tasks that it makes.
    pub fires: Vec<(PackId, Pack)>,
    /// Tasks that are to be cancelled first.
    pub cancels: Vec<PackId>,
    /// What is new in the ledger, before lines were put together.
    pub lines: Vec<Occurrence>,
}

/// What may become of one due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fire(By),
    Missed,
    Skip(Skipped),
}

/// One due time and what may become of it.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    due_ms: u64,
    jitter_ms: u64,
    fate: Fate,
}

/// Decides about due times that have come, as many as one transaction takes; none where none has. What is left is due at once.
pub fn step(of: Known<'_>) -> Option<Step> {
    let mut draft = Draft::of(of);
    draft.pass_over_late();
    draft.pass_over_stale();
    let (mut dues, more) = draft.dues();
    choose(&mut dues, of.schedule.misfire.fires(), more);
    draft.owe(&dues);
    draft.decide(&dues);
    draft.finished()
}

/// A decision that is being made.
pub(super) struct Draft<'a> {
    of: Known<'a>,
    progress: Progress,
    lines: Vec<Occurrence>,
    fires: Vec<(PackId, Pack)>,
    cancels: Vec<PackId>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(of: Known<'a>) -> Self {
        let mut progress = of.progress.clone();
        progress.open.retain(|pack| !of.ended.contains(pack));
        Self {
            of,
            progress,
            lines: Vec::new(),
            fires: Vec::new(),
            cancels: Vec::new(),
        }
    }

    /// One line for all that is beyond its deadline, however many that are: no other rule is asked about those.
    fn pass_over_late(&mut self) {
        let Known {
            schedule, now_ms, ..
        } = self.of;
        if let Some(deadline_ms) = schedule.start_deadline_ms {
            // Those whose jitter is longer have not come yet.
            let since_ms = deadline_ms.max(schedule.jitter_ms) + 1;
            self.pass_over(now_ms.saturating_sub(since_ms), Skipped::Deadline);
        }
    }

    /// One line for all that was missed and is not caught up on for sure, however many that are.
    fn pass_over_stale(&mut self) {
        let Known {
            schedule, now_ms, ..
        } = self.of;
        let missed_ms = now_ms.saturating_sub(LATE_MS_MAX + 1 + schedule.jitter_ms);
        let from_ms = match schedule.misfire {
            Misfire::Skip => missed_ms,
            Misfire::FireOnce | Misfire::FireAll(_) => {
                missed_ms.min(now_ms.saturating_sub(schedule.catch_up_ms))
            }
        };
        let why = match schedule.misfire {
            Misfire::Skip => Skipped::Misfire,
            Misfire::FireOnce | Misfire::FireAll(_) => Skipped::Window,
        };
        if self.progress.owed_ms.is_none() {
            self.pass_over(from_ms.saturating_sub(1), why);
        }
    }

    /// One line for all that is due up to this time.
    pub(super) fn pass_over(&mut self, until_ms: u64, why: Skipped) {
        let Known { timing, now_ms, .. } = self.of;
        let done_ms = self.progress.done_ms;
        self.progress.done_ms = done_ms.max(until_ms);
        let first = timing.after(done_ms).filter(|first| *first <= until_ms);
        let Some(first) = first else {
            return;
        };
        let last = timing.last(first, until_ms);
        let times = timing.count(done_ms, last, u64::from(TIMES_MAX));
        let line = Occurrence::skipped(first, 0, now_ms, why);
        self.lines.push(Occurrence {
            until_ms: (last > first).then_some(last),
            times: u32::try_from(times).unwrap_or(TIMES_MAX),
            ..line
        });
    }

    /// The due times whose time for being fired has come, and whether there are more than were looked at.
    fn dues(&self) -> (Vec<Candidate>, bool) {
        let Known {
            name,
            schedule,
            timing,
            now_ms,
            ..
        } = self.of;
        let (dues, more) = timing.dues(self.progress.done_ms, now_ms, LOOK_MAX);
        let looked_at = dues.len();
        // One whose jitter is shorter than that of the one before waits for it, and is not late for that.
        let mut fire_ms = 0;
        let due = |due_ms: u64| {
            fire_ms = fire_ms.max(due_ms + schedule.jitter(name, due_ms));
            let jitter_ms = fire_ms - due_ms;
            (fire_ms <= now_ms).then(|| Candidate {
                due_ms,
                jitter_ms,
                fate: self.fate(due_ms, jitter_ms),
            })
        };
        let come: Vec<Candidate> = dues.into_iter().map_while(due).collect();
        let more = more && come.len() == looked_at;
        (come, more)
    }

    fn fate(&self, due_ms: u64, jitter_ms: u64) -> Fate {
        let Known {
            schedule, now_ms, ..
        } = self.of;
        let since_ms = now_ms.saturating_sub(due_ms);
        if schedule.start_deadline_ms.is_some_and(|max| since_ms > max) {
            return Fate::Skip(Skipped::Deadline);
        }
        if since_ms.saturating_sub(jitter_ms) <= LATE_MS_MAX {
            return Fate::Fire(By::Clock);
        }
        if self.progress.owed_ms.is_some_and(|owed| due_ms <= owed) {
            return Fate::Fire(By::CatchUp);
        }
        if since_ms > schedule.catch_up_ms && schedule.misfire != Misfire::Skip {
            return Fate::Skip(Skipped::Window);
        }
        Fate::Missed
    }

    /// Notes up to where due times are fired, where one transaction does not take all of them: none becomes a missed one meanwhile.
    fn owe(&mut self, dues: &[Candidate]) {
        let fires = |due: &&Candidate| matches!(due.fate, Fate::Fire(_));
        self.progress.owed_ms = dues.iter().rfind(fires).map(|due| due.due_ms);
    }

    fn decide(&mut self, dues: &[Candidate]) {
        let Known {
            schedule, now_ms, ..
        } = self.of;
        let fires = |due: &&Candidate| matches!(due.fate, Fate::Fire(_));
        let last = dues.iter().rfind(fires).map(|due| due.due_ms);
        for due in dues {
            let Candidate {
                due_ms, jitter_ms, ..
            } = *due;
            let line = match due.fate {
                Fate::Fire(by) => {
                    // Of several at once that would replace each other only the last is of use.
                    let replaced = schedule.overlap == Overlap::Replace && last != Some(due_ms);
                    if replaced || !self.may_fire() {
                        Occurrence::skipped(due_ms, jitter_ms, now_ms, Skipped::Overlap)
                    } else if self.is_full() {
                        break;
                    } else {
                        self.fire(pack_of(self.of.name, self.of.incarnation, due_ms), due_ms);
                        Occurrence::fired(due_ms, jitter_ms, now_ms, by)
                    }
                }
                Fate::Skip(why) => Occurrence::skipped(due_ms, jitter_ms, now_ms, why),
                Fate::Missed => Occurrence::skipped(due_ms, jitter_ms, now_ms, Skipped::Misfire),
            };
            self.lines.push(line);
            self.progress.done_ms = due_ms;
        }
    }

    /// Whether what has not ended lets another one be fired.
    pub(super) fn may_fire(&self) -> bool {
        match self.of.schedule.overlap {
            Overlap::Allow => true,
            Overlap::Skip => self.progress.open.is_empty(),
            Overlap::Replace => self.progress.open.len() < OPEN_MAX,
            Overlap::QueueOne => self.progress.open.len() < 2,
        }
    }

    /// Whether one transaction takes no more tasks.
    pub(super) fn is_full(&self) -> bool {
        let bytes = self.of.schedule.spec.payload.get().len();
        let fit = FIRES_MAX.min(FIRES_BYTES_MAX / bytes.max(1)).max(1);
        self.fires.len() >= fit
    }

    pub(super) fn fire(&mut self, id: PackId, due_ms: u64) {
        let Known {
            name,
            schedule,
            now_ms,
            ..
        } = self.of;
        if schedule.overlap == Overlap::Replace {
            self.cancels.extend(&self.progress.open);
        }
        if schedule.overlap != Overlap::Allow {
            self.progress.open.push(id);
        }
        self.fires.push((id, schedule.pack(name, due_ms, now_ms)));
    }

    /// A task of somebody who asks for it, whatever has not ended: its lock, where it takes one, keeps it apart from others.
    pub(super) fn fire_beside(&mut self, id: PackId, due_ms: u64) {
        let Known {
            name,
            schedule,
            now_ms,
            ..
        } = self.of;
        self.fires.push((id, schedule.pack(name, due_ms, now_ms)));
    }

    pub(super) fn tell(&mut self, line: Occurrence) {
        self.lines.push(line);
    }

    /// The step, where there is anything to do.
    pub(super) fn finished(self) -> Option<Step> {
        if self.lines.is_empty() {
            return None;
        }
        let Known {
            name,
            schedule,
            timing,
            ..
        } = self.of;
        Some(self.aimed(name, schedule, timing))
    }

    /// The step, with the next due time of this schedule, which may be an edited one.
    pub(super) fn aimed(mut self, name: &Name, schedule: &Schedule, timing: &Timing) -> Step {
        let done_ms = self.progress.done_ms;
        if self.progress.owed_ms.is_some_and(|owed| owed <= done_ms) {
            self.progress.owed_ms = None;
        }
        self.progress.aim(name, schedule, timing);
        let pages = self.progress.append(self.lines.clone());
        Step {
            progress: self.progress,
            pages,
            fires: self.fires,
            cancels: self.cancels,
            lines: self.lines,
        }
    }
}

impl Progress {
    /// Sets the next due time, and when it is fired.
    pub(super) fn aim(&mut self, name: &Name, schedule: &Schedule, timing: &Timing) {
        let active = schedule.paused.is_none();
        self.next_ms = timing.after(self.done_ms).filter(|_| active);
        let tick = |next: u64| next + schedule.jitter(name, next);
        self.tick_ms = self.next_ms.map(tick);
    }
}

/// Says of the missed ones which are fired: the latest. Where there are more behind those that were looked at, which those are is not
/// known yet; all but the latest that were looked at are none of them, and only those stay.
fn choose(dues: &mut Vec<Candidate>, keep: usize, more: bool) {
    let more = more && dues.last().is_some_and(|last| last.fate == Fate::Missed);
    let missed = dues.iter().enumerate();
    let missed = missed.filter(|(_, due)| due.fate == Fate::Missed);
    let missed: Vec<usize> = missed.map(|(nth, _)| nth).collect();
    let passed_over = missed.len().saturating_sub(keep);
    let known = missed.get(passed_over).copied().unwrap_or(dues.len());
    if more && known > 0 {
        return dues.truncate(known);
    }
    for nth in &missed[passed_over..] {
        dues[*nth].fate = Fate::Fire(By::CatchUp);
    }
}
