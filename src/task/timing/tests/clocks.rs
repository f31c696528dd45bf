//! What happens where clocks change, by class; and that croner alone would do otherwise.

use croner::Cron;
use croner::parser::CronParser;
use jiff::Timestamp;

use super::{cron, millis, shown};

const SPRING: [&str; 2] = ["2027-03-14T05:00:00Z", "2027-03-14T09:00:00Z"];
const AUTUMN: [&str; 2] = ["2027-11-07T03:59:59Z", "2027-11-07T08:00:00Z"];

/// Expressions with what is due in New York around a change of its clocks.
fn due_in_new_york(between: [&str; 2], table: &[(&str, &[&str])]) {
    for (text, wanted) in table {
        let timing = cron("America/New_York", text);
        let date = &between[0][..11];
        let wanted: Vec<String> = wanted.iter().map(|time| format!("{date}{time}")).collect();
        assert_eq!(shown(&timing, between[0], between[1]), wanted, "{text}");
        for due in wanted.iter().map(|due| millis(due)) {
            assert_eq!(
                timing.after(due - 1),
                Some(due),
                "{text}, from right before"
            );
        }
    }
}

#[test]
fn times_that_do_not_exist_fire_together_right_after() {
    due_in_new_york(
        SPRING,
        &[
            ("30 2 * * *", &["03:00:00-04:00"]),
            ("0,15,30 2 * * *", &["03:00:00-04:00"]),
            (
                "30 1,2,3 * * *",
                &["01:30:00-05:00", "03:00:00-04:00", "03:30:00-04:00"],
            ),
            ("0 */2 * * *", &["03:00:00-04:00", "04:00:00-04:00"]),
            ("20-50/10 2 * * *", &["03:00:00-04:00"]),
            ("59 59 2 * * *", &["03:00:00-04:00"]),
            ("30 2 * * MON", &[]),
        ],
    );
}

#[test]
fn a_window_that_does_not_exist_fires_once_right_after() {
    due_in_new_york(
        SPRING,
        &[
            ("*/15 2 * * *", &["03:00:00-04:00"]),
            ("*/30 2,3 * * *", &["03:00:00-04:00", "03:30:00-04:00"]),
            ("* 30 2 * * *", &["03:00:00-04:00"]),
        ],
    );
}

#[test]
fn what_is_due_every_hour_passes_over_an_hour_that_does_not_exist() {
    due_in_new_york(
        SPRING,
        &[
            (
                "30 * * * *",
                &[
                    "00:30:00-05:00",
                    "01:30:00-05:00",
                    "03:30:00-04:00",
                    "04:30:00-04:00",
                ],
            ),
            (
                "@hourly",
                &[
                    "01:00:00-05:00",
                    "03:00:00-04:00",
                    "04:00:00-04:00",
                    "05:00:00-04:00",
                ],
            ),
        ],
    );
}

#[test]
fn times_that_come_twice_fire_at_the_first() {
    due_in_new_york(
        AUTUMN,
        &[
            ("30 1 * * *", &["01:30:00-04:00"]),
            ("0,30 1 * * *", &["01:00:00-04:00", "01:30:00-04:00"]),
            ("30 1,2 * * *", &["01:30:00-04:00", "02:30:00-05:00"]),
            ("59 59 1 * * *", &["01:59:59-04:00"]),
        ],
    );
}

#[test]
fn windows_and_what_is_due_every_hour_fire_both_times() {
    due_in_new_york(
        AUTUMN,
        &[
            (
                "*/30 1 * * *",
                &[
                    "01:00:00-04:00",
                    "01:30:00-04:00",
                    "01:00:00-05:00",
                    "01:30:00-05:00",
                ],
            ),
            (
                "30 * * * *",
                &[
                    "00:30:00-04:00",
                    "01:30:00-04:00",
                    "01:30:00-05:00",
                    "02:30:00-05:00",
                ],
            ),
        ],
    );
}

#[test]
fn a_search_from_within_the_second_time_goes_on_from_there() {
    let second = millis("2027-11-07T06:10:00Z");
    let next = |text: &str| {
        let timing = cron("America/New_York", text);
        timing.local(timing.after(second).unwrap())
    };

    assert_eq!(
        next("30 1 * * *"),
        "2027-11-08T01:30:00-05:00[America/New_York]"
    );
    assert_eq!(
        next("*/30 1 * * *"),
        "2027-11-07T01:30:00-05:00[America/New_York]"
    );
}

#[test]
fn a_day_that_does_not_exist_fires_when_the_next_one_begins() {
    let between = ["2011-12-29T00:00:00Z", "2012-01-01T12:00:00Z"];
    for (text, wanted) in [
        (
            "0 12 * * *",
            &[
                "2011-12-29T12:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2011-12-31T12:00:00+14:00",
                "2012-01-01T12:00:00+14:00",
            ][..],
        ),
        ("0 12 30 12 *", &["2011-12-31T00:00:00+14:00"]),
        ("0 12 * * FRI", &["2011-12-31T00:00:00+14:00"]),
    ] {
        let shown = shown(&cron("Pacific/Apia", text), between[0], between[1]);
        assert_eq!(shown, wanted, "{text}");
    }
}

#[test]
fn a_time_that_does_not_exist_is_made_up_for_on_the_next_day_where_that_comes_right_after() {
    let shown = shown(
        &cron("America/Nuuk", "30 23 * * SAT"),
        "2027-03-26T00:00:00Z",
        "2027-04-01T00:00:00Z",
    );

    assert_eq!(shown, ["2027-03-28T00:00:00-01:00"]);
}

/// Croner's own next time.
fn croners(zone: &str, text: &str, after: &str) -> Option<String> {
    let cron: Cron = CronParser::new().parse(text).unwrap();
    let after: Timestamp = after.parse().unwrap();
    let after = after.to_zoned(super::super::zone::find(zone).unwrap());
    let next = cron.find_next_occurrence(&after, false).ok()?;
    Some(next.timestamp().to_string())
}

/// Why croner says which times fit, and not when they are. A difference that goes away can leave this table.
#[test]
fn croner_alone_loses_and_doubles() {
    let york = "America/New_York";
    for (zone, text, after, croner, ours) in [
        // One of two times is lost in a gap, or doubled in a repeat.
        (
            york,
            "30 2,14 * * *",
            "2027-03-14T00:00:00Z",
            Some("2027-03-14T18:30:00Z"),
            "2027-03-14T07:00:00Z",
        ),
        (
            york,
            "30 1,13 * * *",
            "2027-11-07T05:30:00Z",
            Some("2027-11-07T06:30:00Z"),
            "2027-11-07T18:30:00Z",
        ),
        // A gap ends on another day than it begins.
        (
            "America/Nuuk",
            "30 23 * * SAT",
            "2027-03-27T00:00:00Z",
            Some("2027-04-04T00:30:00Z"),
            "2027-03-28T01:00:00Z",
        ),
        // A gap of a day.
        (
            "Pacific/Apia",
            "0 12 * * *",
            "2011-12-30T00:00:00Z",
            None,
            "2011-12-30T10:00:00Z",
        ),
    ] {
        let timing = cron(zone, text);
        assert_eq!(croners(zone, text, after).as_deref(), croner, "{text}");
        assert_eq!(timing.after(millis(after)), Some(millis(ours)), "{text}");
    }
}
