//! Schedules for people: tables and lines; asks nobody.

use std::collections::BTreeMap;

use jiff::{Timestamp, Zoned};

use super::super::limits;
use super::super::table::{length_ms, pairs, relative, short, table};
use crate::api::wire::{
    Backfilled, BackfilledTask, Due, Filled, Happened, Misfire, Occurrence, Overlap, Preview,
    Schedule,
};
use crate::clock;

/// 48 characters of an expression in a list.
const WHEN_CHARS_MAX: usize = 48;
/// 72 characters of a task's payload.
const PAYLOAD_CHARS_MAX: usize = 72;

/// A line for each schedule.
pub(super) fn rows<'a>(schedules: impl IntoIterator<Item = &'a Schedule>) -> String {
    let now = clock::now();
    let row = |schedule: &Schedule| {
        vec![
            schedule.name.clone(),
            short(&when(schedule), WHEN_CHARS_MAX),
            next(schedule, now),
            schedule
                .last
                .as_ref()
                .map(|last| outcome(last, now))
                .unwrap_or_default(),
            schedule.task.queue.clone(),
            schedule.task.kind.clone(),
        ]
    };
    let heads = ["NAME", "DUE", "NEXT", "LAST", "QUEUE", "KIND"];
    table(&heads, schedules.into_iter().map(row))
}

/// All of a schedule.
pub(super) fn one(schedule: &Schedule) -> String {
    let now = clock::now();
    let time = |at: Option<crate::api::wire::Time>| {
        at.map(|at| format!("{at} ({})", relative(at, now)))
            .unwrap_or_default()
    };
    let length = |ms: i64| length_ms(ms.unsigned_abs());
    let open: Vec<String> = schedule.open.iter().map(ToString::to_string).collect();
    let payload = schedule.task.payload.get().replace('\n', " ");
    let misfire = match (schedule.misfire, schedule.misfire_max) {
        (Misfire::Skip, _) => "skip".to_owned(),
        (Misfire::FireOnce, _) => "fire_once".to_owned(),
        (Misfire::FireAll, max) => format!("fire_all, {} at most", max.unwrap_or_default()),
    };
    pairs(&[
        ("name", schedule.name.clone()),
        ("due", when(schedule)),
        ("in English", schedule.english.clone()),
        ("start", time(schedule.start)),
        ("end", time(schedule.end)),
        ("jitter", some(schedule.jitter_ms, length)),
        ("overlap", overlap(schedule.overlap).to_owned()),
        ("misfire", misfire),
        ("catch up", length(schedule.catch_up_ms)),
        (
            "start deadline",
            schedule.start_deadline_ms.map(length).unwrap_or_default(),
        ),
        ("labels", words(&schedule.labels)),
        ("paused", paused(schedule).unwrap_or_default()),
        ("next", time(schedule.next)),
        (
            "fires",
            time(schedule.next_fire.filter(|_| schedule.jitter_ms > 0)),
        ),
        (
            "last",
            schedule
                .last
                .as_ref()
                .map(|last| outcome(last, now))
                .unwrap_or_default(),
        ),
        ("open tasks", open.join(", ")),
        ("queue", schedule.task.queue.clone()),
        ("kind", schedule.task.kind.clone()),
        ("payload", short(&payload, PAYLOAD_CHARS_MAX)),
        ("created", time(Some(schedule.created_at))),
        ("version", schedule.version.to_string()),
    ])
}

/// Due times to come, with what has to be said of them.
pub(super) fn dues(of: &Preview) -> String {
    eprintln!("{}", of.english);
    if of.items.is_empty() {
        eprintln!("it is not due any more");
        return String::new();
    }
    let now = clock::now();
    let spread = of.items.iter().any(|due| due.fire != due.due);
    let row = |due: &Due| {
        let mut row = vec![local(&due.local), relative(due.due, now)];
        if spread {
            row.push(due.fire.to_string());
        }
        row.push(due.note.clone().unwrap_or_default());
        row
    };
    let heads: &[&str] = if spread {
        &["DUE", "IN", "FIRES", "NOTE"]
    } else {
        &["DUE", "IN", "NOTE"]
    };
    table(heads, of.items.iter().map(row))
}

/// `14:05:00 CET (in 3m), 14:10:00, 14:15:00`: the day is said where it is another than the one before, or today.
pub(super) fn next_line(of: &Preview, now: Timestamp) -> String {
    let mut words = Vec::new();
    let mut day = None;
    for (nth, due) in of.items.iter().enumerate() {
        let Ok(at) = due.local.parse::<Zoned>() else {
            words.push(due.local.clone());
            continue;
        };
        let before = day.unwrap_or_else(|| now.to_zoned(at.time_zone().clone()).date());
        let format = match (at.date() == before, nth) {
            (true, 0) => "%H:%M:%S %Z",
            (true, _) => "%H:%M:%S",
            (false, 0) => "%Y-%m-%d %H:%M:%S %Z",
            (false, _) => "%Y-%m-%d %H:%M:%S",
        };
        day = Some(at.date());
        let shown = at.strftime(format);
        words.push(match nth {
            0 => format!("{shown} ({})", relative(due.due, now)),
            _ => shown.to_string(),
        });
    }
    if words.is_empty() {
        return "it is not due any more".to_owned();
    }
    words.join(", ")
}

/// What became of due times.
pub(super) fn history(lines: &[Occurrence]) -> String {
    if lines.is_empty() {
        eprintln!("nothing was due yet");
        return String::new();
    }
    let row = |line: &Occurrence| {
        let until = line.until.map(|until| format!(" to {until}"));
        vec![
            format!("{}{}", line.due, until.unwrap_or_default()),
            line.times.to_string(),
            happened(line),
            line.by.map(|by| by.as_str().to_owned()).unwrap_or_default(),
            length_ms(line.late_ms),
            line.task.map(|task| task.to_string()).unwrap_or_default(),
        ]
    };
    let heads = ["DUE", ">TIMES", "OUTCOME", "BY", ">LATE", "TASK"];
    table(&heads, lines.iter().map(row))
}

/// Past due times and their tasks.
pub(super) fn backfilled(of: &Backfilled) -> String {
    if of.items.is_empty() {
        eprintln!("nothing was due in that time");
        return String::new();
    }
    let made = if of.dry_run { "would be made" } else { "made" };
    let there = of.items.iter().filter(|item| item.outcome == Filled::There);
    eprintln!("{} tasks {made}, {} were there", of.count, there.count());
    let row = |item: &BackfilledTask| {
        let outcome = match item.outcome {
            Filled::Made => made,
            Filled::There => "was there",
        };
        let (due, task) = (item.due.to_string(), item.task.to_string());
        vec![due, outcome.to_owned(), task]
    };
    table(&["DUE", "OUTCOME", "TASK"], of.items.iter().map(row))
}

/// Since when it is paused, and why.
pub(super) fn paused(schedule: &Schedule) -> Option<String> {
    limits::paused(schedule.paused_at, schedule.paused_for.as_deref())
}

fn when(schedule: &Schedule) -> String {
    match (&schedule.cron, schedule.every_ms, schedule.at) {
        (Some(cron), _, _) => match &schedule.timezone {
            Some(zone) => format!("{cron} ({zone})"),
            None => cron.clone(),
        },
        (None, Some(ms), _) => format!("every {}", length_ms(ms.unsigned_abs())),
        (None, None, Some(at)) => format!("at {at}"),
        (None, None, None) => String::new(),
    }
}

fn next(schedule: &Schedule, now: Timestamp) -> String {
    match (paused(schedule), schedule.next_fire) {
        (Some(since), _) => format!("paused {since}"),
        (None, Some(at)) => relative(at, now),
        (None, None) => "never".to_owned(),
    }
}

fn outcome(last: &Occurrence, now: Timestamp) -> String {
    format!("{} {}", happened(last), relative(last.decided_at, now))
}

fn happened(line: &Occurrence) -> String {
    match (line.outcome, line.reason) {
        (Happened::Fired, _) => "fired".to_owned(),
        (Happened::Skipped, Some(why)) => format!("skipped: {}", why.as_str()),
        (Happened::Skipped, None) => "skipped".to_owned(),
    }
}

fn overlap(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Allow => "allow",
        Overlap::Skip => "skip",
        Overlap::Replace => "replace",
        Overlap::QueueOne => "queue_one",
    }
}

fn some(ms: i64, words: impl Fn(i64) -> String) -> String {
    if ms == 0 {
        return String::new();
    }
    words(ms)
}

fn words(labels: &BTreeMap<String, String>) -> String {
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(", ")
}

/// `2027-03-14 03:00:00 EDT` of `2027-03-14T03:00:00-04:00[America/New_York]`.
fn local(text: &str) -> String {
    let zoned = text.parse::<Zoned>();
    zoned.map_or_else(
        |_| text.to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::Time;

    #[test]
    fn the_next_due_times_say_their_day_where_it_is_another() {
        let due = |local: &str| {
            let at: Zoned = local.parse().unwrap();
            let at = Time(at.timestamp());
            Due {
                due: at,
                fire: at,
                local: local.to_owned(),
                note: None,
            }
        };
        let of = |locals: &[&str]| {
            let preview = Preview {
                english: String::new(),
                timezone: "Europe/Berlin".to_owned(),
                items: locals.iter().map(|local| due(local)).collect(),
                revision: None,
            };
            next_line(&preview, "2026-01-31T13:02:00Z".parse().unwrap())
        };
        let table = [
            (
                &[
                    "2026-01-31T14:05:00+01:00[Europe/Berlin]",
                    "2026-01-31T14:10:00+01:00[Europe/Berlin]",
                ][..],
                "14:05:00 CET (in 3m), 14:10:00",
            ),
            (
                &[
                    "2026-01-31T23:55:00+01:00[Europe/Berlin]",
                    "2026-02-01T00:05:00+01:00[Europe/Berlin]",
                    "2026-02-01T00:15:00+01:00[Europe/Berlin]",
                ],
                "23:55:00 CET (in 9h 53m), 2026-02-01 00:05:00, 00:15:00",
            ),
            (
                &["2026-07-01T00:00:00+02:00[Europe/Berlin]"],
                "2026-07-01 00:00:00 CEST (in 150d 8h)",
            ),
            (&[], "it is not due any more"),
        ];
        for (locals, words) in table {
            assert_eq!(of(locals), words);
        }
    }
}
