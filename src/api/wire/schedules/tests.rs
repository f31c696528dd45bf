use serde_json::json;

use super::*;

fn read(json: &str) -> Result<ScheduleRequest, Vec<FieldError>> {
    ScheduleRequest::read(json.as_bytes())
}

fn fields(faults: &[FieldError]) -> Vec<&str> {
    faults.iter().map(|fault| fault.field.as_str()).collect()
}

#[test]
fn a_plain_schedule_is_good_and_its_payload_survives_as_it_was_written() {
    let read = read(
        r#"{"cron":"@daily","task":{"kind":"x","payload":{"b":123456789012345678901,"a":1}}}"#,
    );
    let asked = read.unwrap();

    assert_eq!(asked.check(100), []);
    assert!(asked.timing("a", 0).is_ok());
    let payload = asked.task.unwrap().payload;
    assert_eq!(payload.get(), r#"{"b":123456789012345678901,"a":1}"#);
}

#[test]
fn what_is_no_schedule_says_where() {
    let table = [
        ("", "schedule"),
        ("{", "schedule"),
        ("[]", "schedule"),
        (r#"["@daily"]"#, "schedule"),
        ("{} {}", "schedule"),
        (r#"{"cron":1}"#, "cron"),
        (r#"{"colour":1}"#, "colour"),
        (r#"{"misfire":"never"}"#, "misfire"),
        (r#"{"labels":{"a":1}}"#, "labels.a"),
        (r#"{"task":1}"#, "task"),
        (r#"{"task":{"kind":"x","priority":"high"}}"#, "priority"),
        (r#"{"task":{"kind":"x","kind":"x"}}"#, "task"),
    ];
    for (json, field) in table {
        let faults = read(json).unwrap_err();
        assert_eq!(fields(&faults), [field], "{json}: {faults:?}");
    }
}

#[test]
fn each_field_out_of_its_bound_is_named_with_it() {
    let task = json!({"kind": "x"});
    let locks: Vec<String> = (0..8).map(|nth| format!("l{nth}")).collect();
    let table = [
        (json!({"jitter_ms": -1}), "jitter_ms", "0 to 86400000"),
        (
            json!({"catch_up_ms": 2_592_000_001_i64}),
            "catch_up_ms",
            "0 to 2592000000",
        ),
        (
            json!({"start_deadline_ms": 999}),
            "start_deadline_ms",
            "1000 to",
        ),
        (
            json!({"misfire": "fire_all", "misfire_max": 1_001}),
            "misfire_max",
            "1 to 1000",
        ),
        (json!({"misfire_max": 5}), "misfire_max", "fire_all"),
        (json!({"labels": {"": "v"}}), "labels", "1 to 64"),
        (
            json!({"task": {"kind": "x", "run_at": "2030-01-01T00:00:00Z"}}),
            "run_at",
            "schedule",
        ),
        (
            json!({"task": {"kind": "x", "locks": locks}}),
            "locks",
            "at most 7",
        ),
        (
            json!({"task": {"kind": "x", "on_lost": "finish"}}),
            "on_lost",
            "`allow`",
        ),
        (json!({"task": {"kind": "a b"}}), "kind", "1 to 64"),
    ];
    for (change, field, bound) in table {
        let mut body = json!({"cron": "@daily", "task": task});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let faults = read(&body.to_string()).unwrap().check(100);
        assert_eq!(fields(&faults), [field], "{change}");
        assert!(faults[0].detail.contains(bound), "{:?}", faults[0]);
    }
    let many = json!({"cron": "@daily", "overlap": "allow", "task": {"kind": "x", "locks": locks}});
    assert_eq!(read(&many.to_string()).unwrap().check(100), []);
}

#[test]
fn a_period_that_is_negative_is_told_as_it_is() {
    let asked = read(r#"{"every_ms":-5}"#).unwrap();

    let faults = asked.timing("a", 0).unwrap_err();

    assert_eq!(fields(&faults), ["every_ms"]);
    assert_eq!(faults[0].detail, "-5 is not in 1000 to 31622400000");
    assert_eq!(asked.stored_when(), None);
}

#[test]
fn a_name_leaves_room_for_that_of_the_lock_and_is_no_word_of_a_path() {
    for (name, good) in [
        ("nightly", true),
        ("previews", true),
        ("preview", false),
        ("a b", false),
        ("", false),
    ] {
        assert_eq!(schedule_name(name).is_ok(), good, "{name}");
    }
    assert!(schedule_name(&"n".repeat(54)).is_ok());
    assert!(schedule_name(&"n".repeat(55)).is_err());
}

#[test]
fn a_span_of_the_past_is_read_and_any_other_is_refused() {
    let span = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        let asked = BackfillRequest {
            from,
            to,
            dry_run: true,
        };
        asked.span(10_000).map_err(|faults| faults[0].field.clone())
    };
    let second = "1970-01-01T00:00:01Z";
    assert_eq!(span(second, "1970-01-01T00:00:10Z"), Ok((1_000, 10_000)));
    assert_eq!(span(second, second), Ok((1_000, 1_000)));
    for (from, to, field) in [
        (second, "1970-01-01T00:00:11Z", "to"),
        (second, "1970-01-01T00:00:00Z", "to"),
        ("once", second, "from"),
        ("1969-12-31T00:00:00Z", second, "from"),
    ] {
        assert_eq!(span(from, to), Err(field.to_owned()), "{from} {to}");
    }
}
