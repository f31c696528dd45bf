//! A schedule as users see it: as it was declared, how far it has got, what became of its due times.

use std::collections::BTreeMap;

use crate::api::cluster::time;
use crate::api::submit::spec::asked;
use crate::api::wire::{self, Due, FiredBy, Happened, SkipReason};
use crate::store::Declared;
use crate::task::timing::{Timing, When};
use crate::task::{By, Misfire, Name, Occurrence, Overlap, Schedule, Skipped};

/// All of it; `last` is the last line of its ledger.
pub(super) fn schedule(declared: &Declared, last: Option<&Occurrence>) -> wire::Schedule {
    let schedule = &declared.schedule.value;
    let progress = &declared.progress.value;
    let (cron, every_ms, at) = when(&schedule.when);
    let (misfire, misfire_max) = misfire(schedule.misfire);
    let paused = schedule.paused.as_ref();
    let reason = paused.map(|paused| paused.reason.clone());
    let english = match schedule.timing(&declared.name) {
        Ok(timing) => timing.english(),
        Err(problem) => format!("never: {problem}"),
    };
    wire::Schedule {
        name: declared.name.to_string(),
        cron,
        every_ms,
        at,
        timezone: super::stored::zone(schedule),
        start: schedule.start_ms.map(time),
        end: schedule.end_ms.map(time),
        jitter_ms: schedule.jitter_ms.cast_signed(),
        overlap: overlap(schedule.overlap),
        misfire,
        misfire_max,
        catch_up_ms: schedule.catch_up_ms.cast_signed(),
        start_deadline_ms: schedule.start_deadline_ms.map(u64::cast_signed),
        labels: schedule.labels.clone(),
        task: asked(&schedule.routing, &schedule.policy, &schedule.spec),
        english,
        paused_at: paused.map(|paused| time(paused.since_ms)),
        paused_for: reason.filter(|reason| !reason.is_empty()),
        next: progress.next_ms.map(time),
        next_fire: progress.tick_ms.map(time),
        last: last.map(|line| occurrence(declared, line)),
        open: progress
            .open
            .iter()
            .map(|pack| pack.task(0).uuid())
            .collect(),
        created_at: time(schedule.created_ms),
        version: declared.schedule.modified,
        revision: declared.revision,
    }
}

/// A line of its ledger.
pub(super) fn occurrence(declared: &Declared, line: &Occurrence) -> wire::Occurrence {
    let task = line.task(&declared.name, declared.schedule.created);
    wire::Occurrence {
        due: time(line.due_ms),
        until: line.until_ms.map(time),
        times: line.times,
        outcome: if line.skipped.is_some() {
            Happened::Skipped
        } else {
            Happened::Fired
        },
        reason: line.skipped.map(reason),
        by: line.skipped.is_none().then(|| by(line.by)),
        task: task.map(|pack| pack.task(0).uuid()),
        decided_at: time(line.at_ms()),
        jitter_ms: line.jitter_ms,
        late_ms: line.late_ms,
    }
}

/// A due time to come.
pub(super) fn due(name: &Name, jitter_ms: u64, timing: &Timing, due_ms: u64) -> Due {
    let jitter_ms = crate::task::timing::jitter(name.as_str(), due_ms, jitter_ms);
    Due {
        due: time(due_ms),
        fire: time(due_ms.saturating_add(jitter_ms)),
        local: timing.local(due_ms),
        note: timing.note(due_ms).map(|note| note.to_string()),
    }
}

/// Whether a schedule has all of these labels.
pub(super) fn has(schedule: &Schedule, labels: &BTreeMap<String, String>) -> bool {
    let mut labels = labels.iter();
    labels.all(|(key, value)| schedule.labels.get(key) == Some(value))
}

fn when(when: &When) -> (Option<String>, Option<i64>, Option<wire::Time>) {
    match when {
        When::Cron(text) => (Some(text.clone()), None, None),
        When::Every(ms) => (None, Some(ms.cast_signed()), None),
        When::At(ms) => (None, None, Some(time(*ms))),
    }
}

fn overlap(overlap: Overlap) -> wire::Overlap {
    match overlap {
        Overlap::Allow => wire::Overlap::Allow,
        Overlap::Skip => wire::Overlap::Skip,
        Overlap::Replace => wire::Overlap::Replace,
        Overlap::QueueOne => wire::Overlap::QueueOne,
    }
}

fn misfire(misfire: Misfire) -> (wire::Misfire, Option<i64>) {
    match misfire {
        Misfire::Skip => (wire::Misfire::Skip, None),
        Misfire::FireOnce => (wire::Misfire::FireOnce, None),
        Misfire::FireAll(max) => (wire::Misfire::FireAll, Some(i64::from(max))),
    }
}

fn reason(skipped: Skipped) -> SkipReason {
    match skipped {
        Skipped::Overlap => SkipReason::Overlap,
        Skipped::Misfire => SkipReason::Misfire,
        Skipped::Window => SkipReason::Window,
        Skipped::Deadline => SkipReason::Deadline,
        Skipped::Paused => SkipReason::Paused,
        Skipped::Edited => SkipReason::Edited,
    }
}

fn by(by: By) -> FiredBy {
    match by {
        By::Clock => FiredBy::Clock,
        By::CatchUp => FiredBy::CatchUp,
        By::Trigger => FiredBy::Trigger,
        By::Backfill => FiredBy::Backfill,
    }
}
