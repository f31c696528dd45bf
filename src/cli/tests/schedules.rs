//! `tenure schedule` against a server that answers what it is told to.

use super::*;

fn schedule() -> Value {
    json!({"name": "nightly", "cron": "30 2 * * *", "timezone": "UTC", "jitter_ms": 0, "overlap": "skip", "misfire": "fire_once",
           "catch_up_ms": 3_600_000, "labels": {}, "task": {"kind": "noop"}, "english": "at 02:30 (UTC)", "paused_at": null,
           "next": "2030-01-01T02:30:00.000Z", "next_fire": "2030-01-01T02:30:00.000Z", "last": null, "open": [],
           "created_at": "2026-01-31T12:00:00.000Z", "version": 7, "revision": 9})
}

fn answers(line: &str) -> (u16, Value) {
    if line.contains("/next") {
        return (200, json!({"english": "", "timezone": "UTC", "items": []}));
    }
    if line.contains("/backfill") {
        let item = json!({"due": "2026-01-01T02:30:00Z", "task": ID, "outcome": "made"});
        return (
            200,
            json!({"name": "nightly", "dry_run": true, "count": 1, "items": [item], "revision": 9}),
        );
    }
    (200, schedule())
}

#[tokio::test]
async fn a_set_sends_what_was_asked_and_the_version_it_was_made_from() {
    let stub = Stub::start(answers).await;
    let words = [
        "schedule",
        "set",
        "nightly",
        "--every",
        "90s",
        "--overlap",
        "replace",
        "--catch-up",
        "2h",
        "--jitter",
        "1m",
        "-l",
        "team=a",
        "--version",
        "7",
        "--task-label",
        "x=y",
        "--",
        "date",
    ];

    assert_eq!(stub.run(&words).await, 0);

    let seen = &stub.seen()[0];
    assert_eq!(seen.line, "PUT /v1/schedules/nightly");
    assert_eq!(seen.version.as_deref(), Some("7"));
    let task = &seen.body["task"];
    assert_eq!(task["payload"], json!({"argv": ["date"]}));
    assert_eq!(task["labels"], json!({"x": "y"}));
    let fields = ["every_ms", "overlap", "catch_up_ms", "jitter_ms", "labels"];
    assert_eq!(
        fields.map(|field| seen.body[field].clone()),
        [
            json!(90_000),
            json!("replace"),
            json!(7_200_000),
            json!(60_000),
            json!({"team": "a"})
        ]
    );
    assert_eq!(stub.seen()[1].line, "GET /v1/schedules/nightly/next?n=3");
}

#[tokio::test]
async fn what_is_wrong_with_a_schedule_is_said_before_anything_is_sent() {
    let stub = Stub::start(|_| (500, Value::Null)).await;
    for words in [
        &["nightly", "--cron", "30 25 * * *", "--", "date"][..],
        &[
            "nightly", "--cron", "@daily", "--tz", "Berlin", "--", "date",
        ],
        &["nightly", "--at", "2001-01-01T00:00:00Z", "--", "date"],
        &[
            "nightly",
            "--cron",
            "@daily",
            "--misfire-max",
            "3",
            "--",
            "date",
        ],
        &["preview", "--cron", "@daily", "--", "date"],
        &["nightly", "--cron", "@daily"],
        &[
            "nightly",
            "--cron",
            "@daily",
            "--priority",
            "10",
            "--",
            "date",
        ],
    ] {
        let words = [&["schedule", "set"], words].concat();
        assert_eq!(stub.run(&words).await, 2, "{words:?}");
    }
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_backfill_says_how_many_first_and_a_script_has_to_say_yes() {
    let stub = Stub::start(answers).await;
    let words = [
        "schedule",
        "backfill",
        "nightly",
        "2026-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
    ];

    let dry = stub.run(&[&words[..], &["--dry-run"]].concat()).await;
    let sure = stub.run(&[&words[..], &["--yes"]].concat()).await;

    assert_eq!((dry, sure), (0, 0));
    let dry_runs: Vec<Value> = stub
        .seen()
        .iter()
        .map(|seen| seen.body["dry_run"].clone())
        .collect();
    assert_eq!(dry_runs, [json!(true), json!(true), json!(false)]);
}

#[tokio::test]
async fn what_is_done_to_a_schedule_asks_its_path() {
    let stub = Stub::start(|line| match line.split(' ').next_back() {
        Some("/v1/schedules/nightly/trigger") => {
            (201, json!({"name": "nightly", "task": ID, "revision": 9}))
        }
        Some("/v1/schedules/nightly/history?limit=50") => {
            (200, json!({"name": "nightly", "items": [], "revision": 9}))
        }
        Some("/v1/schedules/gone") => (404, json!({})),
        Some("/v1/schedules/nightly") if line.starts_with("DELETE") => {
            (200, json!({"name": "nightly", "revision": 9}))
        }
        Some("/v1/schedules?label=a%3Db%2Cc%3Dd&limit=100") => (
            200,
            json!({"items": [schedule()], "next_cursor": null, "revision": 9}),
        ),
        _ => answers(line),
    })
    .await;
    for (words, line, exit) in [
        (&["get", "nightly"][..], "GET /v1/schedules/nightly", 0),
        (&["get", "gone"], "GET /v1/schedules/gone", 3),
        (
            &["trigger", "nightly"],
            "POST /v1/schedules/nightly/trigger",
            0,
        ),
        (
            &["pause", "nightly", "--reason", "r", "--version", "7"],
            "POST /v1/schedules/nightly/pause",
            0,
        ),
        (
            &["resume", "nightly", "--version", "7"],
            "POST /v1/schedules/nightly/resume",
            0,
        ),
        (
            &["next", "nightly"],
            "GET /v1/schedules/nightly/next?n=5",
            0,
        ),
        (
            &["history", "nightly"],
            "GET /v1/schedules/nightly/history?limit=50",
            0,
        ),
        (
            &["delete", "nightly", "--version", "7"],
            "DELETE /v1/schedules/nightly",
            0,
        ),
        (
            &["list", "-l", "a=b", "-l", "c=d"],
            "GET /v1/schedules?label=a%3Db%2Cc%3Dd&limit=100",
            0,
        ),
    ] {
        let words = [&["schedule"], words].concat();
        assert_eq!(stub.run(&words).await, exit, "{words:?}");
        assert_eq!(stub.seen().last().unwrap().line, line);
    }
    for what in ["/pause", "/resume", "DELETE"] {
        let seen = stub.seen();
        let seen = seen.iter().rfind(|seen| seen.line.contains(what));
        assert_eq!(seen.unwrap().version.as_deref(), Some("7"), "{what}");
    }
}
