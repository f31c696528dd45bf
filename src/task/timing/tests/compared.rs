//! Due times held against the oracle's, zone by zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::oracle::{Watched, look, watch};
use super::{Timing, When, seconds};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A zone, ten years of it, and why it is here.
pub(super) struct Zone {
    pub(super) name: &'static str,
    pub(super) from: &'static str,
    pub(super) why: &'static str,
}

pub(super) const ZONES: [Zone; 14] = [
    zone("America/New_York", "2024", "an hour, at 02:00"),
    zone("Europe/London", "2024", "an hour, at 01:00"),
    zone("Europe/Berlin", "2024", "an hour, at 02:00 and 03:00"),
    zone("Australia/Lord_Howe", "2024", "half an hour"),
    zone("Pacific/Apia", "2011", "30 December 2011 does not exist"),
    zone("America/Sao_Paulo", "2010", "at midnight, until 2019"),
    zone("America/Nuuk", "2024", "forward at 23:00 into the next day"),
    zone(
        "Africa/Casablanca",
        "2016",
        "back for Ramadan, forward after it: four times a year at first",
    ),
    zone("Africa/Cairo", "2024", "at midnight, since 2023"),
    zone("Asia/Kathmandu", "2024", "never; 5:45 ahead"),
    zone("America/St_Johns", "2024", "an hour; 3:30 behind"),
    zone("Pacific/Chatham", "2024", "at 02:45 and 03:45; 12:45 ahead"),
    zone("Asia/Gaza", "2024", "by the moon"),
    zone("Antarctica/Troll", "2024", "two hours"),
];

const fn zone(name: &'static str, from: &'static str, why: &'static str) -> Zone {
    Zone { name, from, why }
}

/// Compared for all ten years.
pub(super) const ALWAYS: [&str; 30] = [
    "30 2 * * *",
    "30 1 * * *",
    "0 0 * * *",
    "30 23 * * *",
    "45 2 * * *",
    "0 2,14 * * *",
    "30 1,13 * * *",
    "15 0,1,2,3 * * *",
    "0 */2 * * *",
    "59 59 1 * * *",
    "0 3 * * SUN",
    "30 23 * * SAT",
    "0 12 13 * FRI",
    "0 12 30 12 *",
    "0 0 1,15 * *",
    "0 1 L * *",
    "30 2 LW * *",
    "0 0 15W * *",
    "30 1 * * SUN#1",
    "30 2 * * SUNL",
    "0 0 29 2 *",
    "0 4 1-7 * +MON",
    "15,45 1-3 * 3,4,9-11 *",
    "0 0 */2 * MON-FRI",
    "*/30 2 * * *",
    "*/15 1 * * *",
    "*/20 30 2 * * *",
    "30 * * * *",
    "15,45 * * * SUN",
    "*/20 1 * * SUN",
];

/// Compared for a day before and after each change of clocks.
pub(super) const DAYS: [&str; 5] = [
    "* * * * *",
    "*/30 * * * *",
    "*/5 * * * *",
    "* 0-4 * * *",
    "*/7 1,2,23 * * *",
];

/// Compared for three hours before and after each change of clocks.
pub(super) const HOURS: [&str; 3] = [
    "*/10 * * * * *",
    "*/7 */7 0-3 * * *",
    "1-9/4 0-30 0-3,23 * * *",
];

/// What was compared of a zone without a difference.
pub(super) struct Compared {
    /// Changes of clocks in that time, in seconds since 1970.
    pub(super) changes: Vec<i64>,
    pub(super) dues: usize,
}

/// Expressions with what the oracle makes of them.
pub(super) struct Table(Vec<(&'static str, Watched)>);

impl Table {
    pub(super) fn of(expressions: &[&'static str]) -> Self {
        let watched = expressions.iter().map(|text| (*text, Watched::new(text)));
        Self(watched.collect())
    }

    /// Compares what is due from `from` to before `until`.
    ///
    /// # Panics
    /// There is a difference.
    pub(super) fn compare(&self, name: &str, zone: &TimeZone, from: i64, until: i64) -> usize {
        let offset = |at: i64| i64::from(zone.to_offset(instant(at)).seconds());
        // What the clock has shown before counts; this is longer than any change moves it.
        let clock = look(from - 3 * DAY, until, &offset);
        let mut count = 0;
        for (text, watched) in &self.0 {
            let mut wanted = watch(watched, &clock);
            wanted.retain(|due| *due >= millis(from));
            let when = When::Cron((*text).to_owned());
            let timing = Timing::new("x", &when, Some(name), None, None, 0).unwrap();
            let (dues, _) = timing.dues(millis(from) - 1, millis(until) - 1, usize::MAX);
            if let Some(at) =
                (0..wanted.len().max(dues.len())).find(|at| wanted.get(*at) != dues.get(*at))
            {
                let local = |due: Option<&u64>| due.map(|due| timing.local(*due));
                let (ours, oracles) = (local(dues.get(at)), local(wanted.get(at)));
                panic!("`{text}` in {name}: {ours:?}, the oracle says {oracles:?}");
            }
            count += dues.len();
        }
        count
    }
}

/// Holds everything of a zone against the oracle.
pub(super) fn compare(zone: &Zone, [always, days, hours]: [&Table; 3]) -> Compared {
    let tz = super::super::zone::find(zone.name).unwrap();
    let from = seconds(&format!("{}-01-01T00:00:00Z", zone.from));
    let until = from + 3_653 * DAY;
    let changes = changes(&tz, from, until);
    let mut dues = always.compare(zone.name, &tz, from, until);
    for at in &changes {
        dues += days.compare(zone.name, &tz, at - DAY, at + DAY);
        dues += hours.compare(zone.name, &tz, at - 3 * HOUR, at + 3 * HOUR);
    }
    Compared { changes, dues }
}

/// Seconds at which the clock of a zone is set, found by looking at it every hour.
pub(super) fn changes(zone: &TimeZone, from: i64, until: i64) -> Vec<i64> {
    let offset = |at: i64| zone.to_offset(instant(at));
    let mut changes = Vec::new();
    let mut at = from;
    while at < until {
        let next = at + HOUR;
        if offset(at) != offset(next) {
            changes.extend((at..=next).find(|second| offset(*second) != offset(at)));
        }
        at = next;
    }
    changes
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn millis(second: i64) -> u64 {
    u64::try_from(second * 1_000).unwrap()
}

#[test]
#[should_panic(expected = "the oracle says")]
fn a_difference_is_found() {
    let berlin = super::super::zone::find("Europe/Berlin").unwrap();
    let from = seconds("2027-01-01T00:00:00Z");

    // Both are an hour apart, all year.
    Table::of(&["30 2 * * *"]).compare("Europe/London", &berlin, from, from + 9 * DAY);
}

/// Every zone there is, two days around each change of its clocks from 2020 to 2037; those with the same changes are one.
#[test]
fn no_zone_differs_from_the_oracle_where_its_clocks_change() {
    let table = Table::of(&[
        "30 2 * * *",
        "0,15,30,45 0-3,22,23 * * SAT,SUN",
        "0 12 * * *",
        "*/20 0-3 * * *",
        "*/15 * * * *",
    ]);
    let (from, until) = (
        seconds("2020-01-01T00:00:00Z"),
        seconds("2037-01-01T00:00:00Z"),
    );
    let mut seen = std::collections::HashSet::new();
    for name in super::super::zone::names() {
        let zone = super::super::zone::find(&name).unwrap();
        let changes: Vec<_> = changes_of_table(&zone, from, until);
        if seen.insert(changes.clone()) {
            for (at, _) in changes {
                table.compare(&name, &zone, at - 2 * DAY, at + 2 * DAY);
            }
        }
    }
    assert!(seen.len() > 40, "{} sets of changes", seen.len());
}

fn changes_of_table(zone: &TimeZone, from: i64, until: i64) -> Vec<(i64, i32)> {
    let changes = zone
        .following(instant(from))
        .take_while(|change| change.timestamp() < instant(until));
    changes
        .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
        .collect()
}
