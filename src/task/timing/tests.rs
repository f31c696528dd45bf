//! When schedules are due: by tables for what people write, against an oracle where clocks change, and at random.

use serde_json::json;

use super::*;

mod clocks;
mod compared;
mod oracle;
mod pages;
mod random;
mod refused;
mod says;
mod spreads;

/// An expression in a zone, as of 1970.
fn cron(zone: &str, text: &str) -> Timing {
    Timing::new("x", &When::Cron(text.to_owned()), Some(zone), None, None, 0).unwrap()
}

/// Seconds since 1970.
fn seconds(at: &str) -> i64 {
    at.parse::<Timestamp>().unwrap().as_second()
}

/// Milliseconds since 1970.
fn millis(at: &str) -> u64 {
    u64::try_from(at.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
}

/// Due times in an interval, as the zone's clock shows them, without the zone's name.
fn shown(timing: &Timing, after: &str, until: &str) -> Vec<String> {
    let (dues, more) = timing.dues(millis(after), millis(until), 1_000);
    assert!(!more, "more than are looked at");
    let local = |due| timing.local(due).split('[').next().map(str::to_owned);
    dues.into_iter().filter_map(local).collect()
}

#[test]
fn a_declaration_is_one_field() {
    for (when, stored) in [
        (When::Cron("@daily".into()), json!({"cron": "@daily"})),
        (When::Every(90_000), json!({"every_ms": 90_000})),
        (When::At(5), json!({"at_ms": 5})),
    ] {
        assert_eq!(serde_json::to_value(&when).unwrap(), stored);
        assert_eq!(serde_json::from_value::<When>(stored).unwrap(), when);
    }
}

#[test]
fn a_period_counts_from_its_start_and_from_1970_without_one() {
    let every = |start| Timing::new("x", &When::Every(90_000), None, start, None, 0).unwrap();

    assert_eq!(
        every(None).dues(0, 300_000, 9).0,
        [90_000, 180_000, 270_000]
    );
    assert_eq!(every(None).after(89_999), Some(90_000));
    assert_eq!(
        every(Some(5_500)).dues(0, 200_000, 9).0,
        [5_500, 95_500, 185_500]
    );
    assert_eq!(every(Some(5_500)).after(5_500), Some(95_500));
}

#[test]
fn every_as_an_expression_is_the_period() {
    let when = When::Cron("@every 1m30s".into());
    let timing = Timing::new("x", &when, None, Some(5_500), None, 0).unwrap();

    assert_eq!(timing.dues(0, 200_000, 9).0, [5_500, 95_500, 185_500]);
}

#[test]
fn only_what_speaks_of_a_clock_has_a_zone() {
    let cron = |text: &str| When::Cron(text.into());
    for (when, has_zone) in [
        (cron("@daily"), true),
        (cron("30 2 * * *"), true),
        (cron(" @EVERY 90s"), false),
        (cron("@every\t90s"), false),
        (When::Every(90_000), false),
        (When::At(5_500), false),
    ] {
        assert_eq!(when.has_zone(), has_zone, "{when:?}");
        let timing = Timing::new("x", &when, Some("UTC"), None, None, 0);
        assert_eq!(timing.is_ok(), has_zone, "{when:?}");
    }
}

#[test]
fn an_instant_is_due_once() {
    let timing = Timing::new("x", &When::At(5_500), None, None, None, 5_499).unwrap();

    assert_eq!(timing.dues(0, u64::MAX, 9), (vec![5_500], false));
    assert_eq!(timing.after(5_500), None);
}

#[test]
fn nothing_is_due_before_the_start_or_after_the_end_and_both_are_within() {
    let (start, end) = (
        millis("2027-01-01T03:00:00Z"),
        millis("2027-01-03T03:00:00Z"),
    );
    let when = When::Cron("0 3 * * *".into());
    let timing = Timing::new("x", &when, None, Some(start), Some(end), 0).unwrap();

    let (dues, more) = timing.dues(0, u64::MAX, 10);

    assert_eq!((dues.len(), more), (3, false));
    assert_eq!((dues[0], dues[2]), (start, end));
}

#[test]
fn dues_say_whether_there_are_more_and_a_count_stops_where_it_is_told() {
    let timing = cron("UTC", "* * * * *");

    assert_eq!(
        timing.dues(0, 180_000, 3),
        (vec![60_000, 120_000, 180_000], false)
    );
    assert_eq!(timing.dues(0, 180_000, 2), (vec![60_000, 120_000], true));
    assert_eq!(timing.dues(0, 180_000, 0), (vec![], true));
    assert_eq!(timing.count(0, 180_000, 100), 3);
    assert_eq!(timing.count(60_000, 180_000, 100), 2);
    assert_eq!(timing.count(0, u64::MAX, 7), 7);
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for text in ["* * * * * *", "0 0 29 2 +1", "@every 1h"] {
        let timing = Timing::new("x", &When::Cron(text.into()), None, None, None, 0).unwrap();
        for ms in [0, 1, 253_402_300_799_999, 1 << 62, u64::MAX - 1, u64::MAX] {
            assert!(timing.after(ms).is_none_or(|due| due > ms));
            assert!(!timing.local(ms).is_empty());
            assert_eq!(timing.note(ms), None);
        }
    }
}
