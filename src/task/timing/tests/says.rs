//! What an expression means: which days, in English, and what is noted of a due time.

use super::*;

#[test]
fn either_day_fits_and_with_a_plus_both_have_to() {
    let september = ["2027-08-31T23:59:59Z", "2027-09-30T23:59:59Z"];
    for (text, days) in [
        ("0 0 13 * *", &[13][..]),
        ("0 0 * * FRI", &[3, 10, 17, 24]),
        ("0 0 13 * FRI", &[3, 10, 13, 17, 24]),
        ("0 0 13 * +MON", &[13]),
        ("0 0 13 * +FRI", &[]),
        ("0 0 ? * FRI", &[3, 10, 17, 24]),
        ("0 0 13 * ?", &[13]),
        // A step restricts, as any list does; only `*` and `?` do not.
        ("0 0 */10 * FRI", &[1, 3, 10, 11, 17, 21, 24]),
        ("0 0 L * *", &[30]),
        ("0 0 LW * *", &[30]),
        ("0 0 4W,12W * *", &[3, 13]),
        ("0 0 * * 7#1,1#2", &[5, 13]),
        ("0 0 * * 5L,6#L", &[24, 25]),
        ("0 0 * * SAT-SUN", &[4, 5, 11, 12, 18, 19, 25, 26]),
        ("0 0 * * sun-tue#1", &[5, 6, 7]),
    ] {
        let timing = cron("UTC", text);
        let (dues, _) = timing.dues(millis(september[0]), millis(september[1]), 99);
        let day = |due: &u64| timing.local(*due)[8..10].parse::<u8>().unwrap();
        assert_eq!(dues.iter().map(day).collect::<Vec<_>>(), days, "{text}");
    }
}

#[test]
fn a_nickname_is_its_expression() {
    for (nickname, text) in [
        ("@yearly", "0 0 1 1 *"),
        ("@ANNUALLY", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * SUN"),
        ("@daily", "0 0 * * *"),
        (" @midnight ", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ] {
        let dues = |text| cron("Europe/Berlin", text).dues(0, u64::MAX, 30);
        assert_eq!(dues(nickname), dues(text), "{nickname}");
    }
}

#[test]
fn seconds_come_first_where_there_are_six_parts() {
    let dues = shown(
        &cron("UTC", "*/20 30 9 * * *"),
        "2027-01-01T00:00:00Z",
        "2027-01-02T00:00:00Z",
    );

    assert_eq!(
        dues,
        [
            "2027-01-01T09:30:00+00:00",
            "2027-01-01T09:30:20+00:00",
            "2027-01-01T09:30:40+00:00"
        ]
    );
}

#[test]
fn an_expression_is_told_in_english_by_what_it_means() {
    for (text, said) in [
        ("* * * * *", "every minute"),
        ("* * * * * *", "every second"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("5,10 * * * * *", "at seconds 5 and 10 of every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0,15,30,45 * * * *", "every 15 minutes"),
        (
            "0-30/10 * * * *",
            "at minutes 0, 10, 20 and 30 of every hour",
        ),
        ("*/20,7 * * * *", "at minutes 0, 7, 20 and 40 of every hour"),
        ("@hourly", "at minute 0 of every hour"),
        ("30 2 * * *", "at 02:30"),
        ("15 30 2 * * *", "at 02:30:15"),
        ("0,30 2,14 * * *", "at 02:00, 02:30, 14:00 and 14:30"),
        (
            "* 9-17 * * MON-FRI",
            "every minute of hours 9 to 17 on Monday to Friday",
        ),
        (
            "0 */3 * * *",
            "at minute 0 of hours 0, 3, 6, 9, 12, 15, 18 and 21",
        ),
        ("* 5 * * * *", "every second of minute 5 of every hour"),
        (
            "*/30 * 4 * * *",
            "every 30 seconds of every minute of hour 4",
        ),
        ("0 0 1,15 * *", "at 00:00 on days 1 and 15"),
        (
            "0 0 1 1,JUL-SEP *",
            "at 00:00 on day 1 in January and July to September",
        ),
        ("0 0 * * SUN,MON", "at 00:00 on Monday and Sunday"),
        ("0 0 13 * FRI", "at 00:00 on day 13 or on Friday"),
        ("0 0 13 * +FRI", "at 00:00 on day 13 if it is Friday"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        (
            "0 0 LW * *",
            "at 00:00 on the last weekday (Monday to Friday) of the month",
        ),
        (
            "0 0 15W * *",
            "at 00:00 on the weekday (Monday to Friday) nearest day 15",
        ),
        (
            "0 0 * * TUE#2,FRIL",
            "at 00:00 on the second Tuesday of the month and the last Friday of the month",
        ),
    ] {
        assert_eq!(
            cron("UTC", text).english(),
            format!("{said} (UTC)"),
            "{text}"
        );
    }
    let of = |when| {
        Timing::new("x", &when, None, None, None, 0)
            .unwrap()
            .english()
    };
    assert_eq!(
        of(When::Every(90_000)),
        "every 1m 30s, counted from 1970-01-01T00:00:00+00:00[UTC]"
    );
    assert_eq!(
        of(When::At(1_000)),
        "once, at 1970-01-01T00:00:01+00:00[UTC]"
    );
}

#[test]
fn a_due_time_where_clocks_change_is_noted() {
    let york = "America/New_York";
    for (zone, text, due, note) in [
        (
            york,
            "30 2 * * *",
            "2027-03-14T07:00:00Z",
            "clocks go forward that day, 02:30 does not exist: fires at 03:00 EDT",
        ),
        (
            york,
            "0 2,3 * * *",
            "2027-03-14T07:00:00Z",
            "clocks go forward that day, 02:00 does not exist: fires at 03:00 EDT, once for both",
        ),
        (
            york,
            "*/15 2 * * *",
            "2027-03-14T07:00:00Z",
            "clocks go forward that day, 02:00 and others before 03:00 do not exist: fires at 03:00 EDT",
        ),
        (
            york,
            "30 * * * *",
            "2027-03-14T07:30:00Z",
            "clocks go forward just before, 02:30 does not exist: passed over",
        ),
        (
            york,
            "30 1 * * *",
            "2027-11-07T05:30:00Z",
            "clocks go back that day, 01:30 comes twice: fires at the first, EDT",
        ),
        (
            york,
            "*/30 1 * * *",
            "2027-11-07T05:30:00Z",
            "clocks go back that day, 01:30 comes twice: fires at both, this is the first, EDT",
        ),
        (
            york,
            "30 * * * *",
            "2027-11-07T06:30:00Z",
            "clocks go back that day, 01:30 comes twice: fires at both, this is the second, EST",
        ),
        (
            "America/Nuuk",
            "30 23 * * SAT",
            "2027-03-28T01:00:00Z",
            "clocks go forward that day, 23:30 of 2027-03-27 does not exist: fires at 00:00 -01",
        ),
    ] {
        let timing = cron(zone, text);
        let due = millis(due);
        assert_eq!(timing.after(due - 1), Some(due), "{text}");
        assert_eq!(
            timing.note(due).map(|note| note.to_string()).as_deref(),
            Some(note)
        );
    }
}

#[test]
fn most_due_times_have_no_note() {
    for text in ["30 2 * * *", "*/15 2 * * *", "30 * * * *"] {
        let timing = cron("America/New_York", text);
        let mut at = millis("2027-01-01T00:00:00Z");
        let mut noted = 0;
        while let Some(due) = timing
            .after(at)
            .filter(|due| *due < millis("2028-01-01T00:00:00Z"))
        {
            noted += usize::from(timing.note(due).is_some());
            at = due;
        }
        let expected = [("30 2 * * *", 1), ("*/15 2 * * *", 1), ("30 * * * *", 3)];
        assert!(expected.contains(&(text, noted)), "{text}: {noted}");
    }
}
