//! What is refused, with the field, the place and what would be right.

use super::super::expression::EXPRESSION_BYTES_MAX;
use super::*;

const NOW: u64 = 1_800_000_000_000;

fn refused(when: &When, zone: Option<&str>, start: Option<u64>, end: Option<u64>) -> String {
    let error = Timing::new("x", when, zone, start, end, NOW).expect_err("it was taken");
    format!("{}: {error}", error.field)
}

#[test]
fn a_fault_of_an_expression_has_a_place_and_says_what_would_be_right() {
    for (text, said) in FAULTS {
        let refused = refused(&When::Cron((*text).to_owned()), None, None, None);
        assert_eq!(refused, format!("cron: {said}"), "{text}");
    }
}

/// Expressions and what is said of them.
const FAULTS: &[(&str, &str)] = &[
    ("60 * * * *", "minute, character 1: 60 is not in 0 to 59"),
    ("* 24 * * *", "hour, character 3: 24 is not in 0 to 23"),
    (
        "*  *   0 * *",
        "day of month, character 8: 0 is not in 1 to 31",
    ),
    ("* * * 13 *", "month, character 7: 13 is not in 1 to 12"),
    ("* * * * 8", "day of week, character 9: 8 is not in 0 to 7"),
    ("61 0 0 * * *", "second, character 1: 61 is not in 0 to 59"),
    (
        "99999999999999999999 * * * *",
        "minute, character 1: 99999999999999999999 is not in 0 to 59",
    ),
    (
        "1,,2 * * * *",
        "minute, character 3: `,` where 0 to 59, `*` or `H` is expected",
    ),
    (
        "1, * * * *",
        "minute, character 3: ends where 0 to 59, `*` or `H` is expected",
    ),
    (
        "MON * * * *",
        "minute, character 1: `M` where 0 to 59, `*` or `H` is expected",
    ),
    (
        "ä * * * *",
        "minute, character 1: `ä` where 0 to 59, `*` or `H` is expected",
    ),
    (
        "0 0 * FOO *",
        "month, character 7: `F` where 1 to 12, JAN to DEC, `*` or `H` is expected",
    ),
    (
        "* * * * MONDAY",
        "day of week, character 12: `D` where a comma between items is expected",
    ),
    (
        "* * * * 1.5",
        "day of week, character 10: `.` where a comma between items is expected",
    ),
    (
        "0 0 L-3 * *",
        "day of month, character 6: `-` where a comma between items is expected",
    ),
    (
        "? * * * *",
        "minute, character 1: `?` where 0 to 59, `*` or `H` is expected",
    ),
    (
        "*,5 * * * *",
        "minute, character 1: `*` and `?` stand alone: they name everything",
    ),
    (
        "*/0 * * * *",
        "minute, character 3: a step of 0 is not in 1 to 59; for a period of its own there is `every`",
    ),
    (
        "*/90 * * * *",
        "minute, character 3: a step of 90 is not in 1 to 59; for a period of its own there is `every`",
    ),
    (
        "5/10 * * * *",
        "minute, character 2: a step needs a range: `5-59/n`, or `*/n`",
    ),
    (
        "*/ * * * *",
        "minute, character 3: ends where a number, the step, is expected",
    ),
    (
        "0 22-2 * * *",
        "hour, character 3: the range runs backwards: 22-23,0-2 is meant?",
    ),
    (
        "* * * * FRI-MON",
        "day of week, character 9: the range runs backwards: 5-6,0-1 is meant?",
    ),
    (
        "* * * * L",
        "day of week, character 9: `L` follows a weekday: `FRIL` is the last Friday of a month",
    ),
    (
        "* * * * FRI#6",
        "day of week, character 13: 1 to 5, or L, follows `#`: `FRI#2` is the second Friday",
    ),
    (
        "* * W * *",
        "day of month, character 5: `W` follows a day: `15W` is the weekday nearest the 15th",
    ),
    (
        "H(5 * * * *",
        "minute, character 4: ends where a range, as in `H(0-29)`, is expected",
    ),
    (
        "H(5-9 * * * *",
        "minute, character 6: ends where a parenthesis, as in `H(0-29)`, is expected",
    ),
    (
        "H(40-20) * * * *",
        "minute, character 6: `H` of a minute ends at 40 to 59",
    ),
    (
        "TZ=UTC * * * * *",
        "character 1: a time zone does not belong here: use the field `timezone`",
    ),
    (
        " cron_tz=UTC 0 0 * * *",
        "character 2: a time zone does not belong here: use the field `timezone`",
    ),
    (
        "@reboot",
        "character 1: `@reboot` is not known here: a cluster does not boot: submit a task, or use `at`",
    ),
    (
        "@fortnightly",
        "character 1: `@fortnightly` is not one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @every",
    ),
    (
        "@daily 5",
        "character 1: `@daily` stands alone; `5` follows it",
    ),
    (
        "@every",
        "character 1: `@every` needs a duration, as in `@every 90s`",
    ),
    (
        "@every soon",
        "`soon` is not a duration, such as 90s, 5m or 1h30m",
    ),
    (
        "@every -5s",
        "`-5s` is not a duration, such as 90s, 5m or 1h30m",
    ),
    ("@every 10ms", "10 ms is not in 1 s to 366 d"),
    (
        "",
        "is empty; 5 parts (minute, hour, day of month, month, day of week) or 6 (second first) are allowed",
    ),
    (
        "*",
        "has 1 part; 5 parts (minute, hour, day of month, month, day of week) or 6 (second first) are allowed",
    ),
    (
        "* * * * * * 2027",
        "character 13: a seventh part, the year, is not known here: use `start` and `end`",
    ),
];

#[test]
fn an_expression_that_is_too_long_is_not_looked_into() {
    let fits = format!("{} 0 * * FRI", vec!["1"; 123].join(","));
    assert_eq!(fits.len(), EXPRESSION_BYTES_MAX - 1);
    assert_eq!(cron("UTC", &fits).english(), "at 00:01 on Friday (UTC)");

    // Anything that looked into it would say that `x` is no minute.
    let long = "x".repeat(400 * 1_024);
    let said = refused(&When::Cron(long), Some("Nowhere"), None, None);

    assert_eq!(said, "cron: has 409600 bytes; at most 256 are allowed");
}

#[test]
fn what_would_never_be_due_is_refused() {
    let day = 24 * 60 * 60 * 1_000;
    let never = "cron: would never be due: nothing fits within 50 years";
    let daily = When::Cron("0 0 * * *".into());
    for (when, start, end, said) in [
        (When::Cron("0 0 30 2 *".into()), None, None, never),
        (When::Cron("0 0 31 4,6,9,11 *".into()), None, None, never),
        (When::Cron("0 0 1-7 2 +MON#5".into()), None, None, never),
        (
            daily.clone(),
            Some(NOW),
            Some(NOW - 1),
            "end: is before `start`",
        ),
        (
            daily.clone(),
            None,
            Some(NOW - 1),
            "end: is in the past: it would never be due",
        ),
        (
            daily,
            Some(NOW + 1),
            Some(NOW + 2),
            "end: is before it is due for the first time, 2027-01-16T00:00:00+00:00[UTC]",
        ),
        (
            When::Every(day),
            Some(NOW - 1),
            Some(NOW + 1),
            "end: is before it is due for the first time, 2027-01-16T07:59:59.999+00:00[UTC]",
        ),
        (
            When::At(NOW),
            None,
            None,
            "at: is in the past: it would never be due",
        ),
        (
            When::At(NOW + 5),
            Some(NOW + 6),
            None,
            "at: is before `start`: it would never be due",
        ),
        (
            When::At(NOW + 5),
            None,
            Some(NOW + 4),
            "end: is before it is due for the first time, 2027-01-15T08:00:00.005+00:00[UTC]",
        ),
    ] {
        assert_eq!(refused(&when, None, start, end), said, "{when:?}");
    }
}

#[test]
fn what_was_checked_once_is_read_again_without_a_now() {
    let past = Some(millis("2020-06-01T00:00:00Z"));
    for when in [
        When::Cron("0 0 * * *".into()),
        When::Every(1_000),
        When::At(1_000),
    ] {
        assert!(
            Timing::new("x", &when, None, None, past, 0).is_ok(),
            "{when:?}"
        );
    }
}

#[test]
fn the_longest_wait_is_searched_for() {
    let timing = cron("America/New_York", "0 0 29 2 +THU");

    let dues: Vec<u64> = timing.dues(millis("2080-01-01T00:00:00Z"), u64::MAX, 2).0;

    assert_eq!(
        timing.local(dues[0]),
        "2080-02-29T00:00:00-05:00[America/New_York]"
    );
    assert_eq!(
        timing.local(dues[1]),
        "2120-02-29T00:00:00-05:00[America/New_York]"
    );
}

#[test]
fn a_period_has_bounds() {
    for (ms, good) in [
        (999, false),
        (1_000, true),
        (EVERY_MS_MAX, true),
        (EVERY_MS_MAX + 1, false),
    ] {
        let timing = Timing::new("x", &When::Every(ms), None, None, None, NOW);
        assert_eq!(timing.is_ok(), good, "{ms}");
    }
    let said = refused(&When::Every(5), None, None, None);
    assert_eq!(said, "every_ms: 5 ms is not in 1 s to 366 d");
}

#[test]
fn an_unknown_zone_is_refused_with_those_that_are_spelled_alike() {
    let daily = When::Cron("@daily".into());
    for (zone, said) in [
        (
            "Europe/Berln",
            "`Europe/Berln` is not a time zone; is Europe/Berlin or Europe/Dublin or Europe/Jersey meant?",
        ),
        (
            "New York",
            "`New York` is not a time zone; is America/New_York meant?",
        ),
        ("Tokio", "`Tokio` is not a time zone; is Asia/Tokyo meant?"),
        (
            "UTC+2",
            "`UTC+2` is not a time zone; a name such as Europe/Berlin is meant",
        ),
        (
            "",
            "`` is not a time zone; a name such as Europe/Berlin is meant",
        ),
        (
            "EST5EDT,M3.2.0,M11.1.0",
            "`EST5EDT,M3.2.0,M11.1.0` is not a time zone; a name such as Europe/Berlin is meant",
        ),
        (
            "Etc/Unknown",
            "`Etc/Unknown` is not a time zone; a name such as Europe/Berlin is meant",
        ),
        (
            "../../etc/localtime",
            "`../../etc/localtime` is not a time zone; a name such as Europe/Berlin is meant",
        ),
    ] {
        assert_eq!(
            refused(&daily, Some(zone), None, None),
            format!("timezone: {said}")
        );
    }
    let long = refused(&daily, Some(&"x".repeat(65)), None, None);
    assert_eq!(long, "timezone: has 65 bytes; at most 64 are allowed");
}

#[test]
fn only_expressions_have_a_zone() {
    for when in [
        When::Every(1_000),
        When::At(NOW + 1),
        When::Cron("@every 5s".into()),
    ] {
        let said = refused(&when, Some("UTC"), None, None);
        assert_eq!(
            said,
            "timezone: is for cron expressions: a period or an instant has none"
        );
    }
}

#[test]
fn a_zone_is_found_in_any_case_and_called_by_its_name() {
    let when = When::Cron("@daily".into());
    let timing = Timing::new("x", &when, Some("europe/BERLIN"), None, None, NOW).unwrap();

    assert_eq!(timing.zone(), "Europe/Berlin");
}
