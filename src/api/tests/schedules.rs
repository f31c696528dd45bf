//! Schedules over HTTP: declared and edited by version, refused with the place of each fault, paused, triggered, backfilled, listed.

use tenure_testkit::{Backend, on_each_backend};

use super::etcd::open;
use super::*;

on_each_backend!(
    a_schedule_is_declared_edited_by_version_and_taken_away,
    what_is_told_of_a_period_declares_it_again,
    what_is_never_due_or_would_be_refused_as_a_task_is_refused_by_name,
    a_pause_is_kept_by_an_edit_and_ends_with_a_resume,
    a_trigger_makes_a_task_that_says_so_and_another_only_when_it_has_ended,
    a_backfill_makes_each_past_task_once,
    a_list_is_filtered_and_goes_on_where_its_page_ended,
    a_preview_says_when_it_would_be_due_and_declares_nothing,
    nothing_new_is_declared_where_etcd_has_no_room,
);

const PATH: &str = "/v1/schedules/nightly";

fn nightly() -> Value {
    json!({"cron": "30 2 * * *", "timezone": "Europe/Berlin", "task": {"kind": "noop", "locks": ["b", "a"], "labels": {"x": "y"}}})
}

fn etag(heard: &Heard) -> String {
    heard.headers["etag"].to_str().unwrap().to_owned()
}

async fn act(stage: &Stage, path: &str) -> Heard {
    stage.post_with(path, &[], String::new()).await
}

async fn a_schedule_is_declared_edited_by_version_and_taken_away(backend: Backend) {
    let stage = open(backend).await;
    let absent = stage.get(PATH).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert_eq!(absent.body["code"], "no_such_schedule");
    let early = stage.put(PATH, &[("if-match", "7")], &nightly()).await;
    assert_eq!(early.status, StatusCode::PRECONDITION_FAILED);

    let new = [("if-none-match", "*")];
    let set = stage.put(PATH, &new, &nightly()).await;

    assert_eq!(set.status, StatusCode::OK, "{}", set.body);
    assert_eq!(etag(&set), format!("\"{}\"", set.body["version"]));
    assert_eq!(set.body["english"], "at 02:30 (Europe/Berlin)");
    assert_eq!(set.body["task"]["locks"], json!(["a", "b"]));
    assert_eq!(
        (&set.body["catch_up_ms"], &set.body["overlap"]),
        (&json!(3_600_000), &json!("skip"))
    );
    assert!(set.body["next"].is_string() && set.body["last"].is_null());
    let found = stage.get(PATH).await;
    assert_eq!(found.body["version"], set.body["version"]);
    assert_eq!(
        (&found.body["next"], &found.body["next_fire"]),
        (&set.body["next"], &set.body["next"])
    );

    let twice = stage.put(PATH, &new, &nightly()).await;
    assert_eq!(twice.body["code"], "changed");
    let same = stage.put(PATH, &[], &nightly()).await;
    assert_eq!(
        same.body["version"], set.body["version"],
        "the same changes nothing"
    );
    let mut other = nightly();
    other["every_ms"] = json!(60_000);
    other["cron"] = Value::Null;
    other["timezone"] = Value::Null;
    other["jitter_ms"] = json!(5_000);
    let tag = etag(&set);
    let edited = stage.put(PATH, &[("if-match", &tag)], &other).await;
    assert_eq!(
        (edited.status, &edited.body["every_ms"]),
        (StatusCode::OK, &json!(60_000))
    );
    assert_eq!(edited.body["created_at"], set.body["created_at"]);
    let late = stage.put(PATH, &[("if-match", &tag)], &nightly()).await;
    assert_eq!(late.body["code"], "changed");
    for headers in [
        [("if-none-match", "\"3\"")].as_slice(),
        &[("if-none-match", "*"), ("if-match", "1")],
    ] {
        let odd = stage.put(PATH, headers, &nightly()).await;
        assert_eq!(odd.body["code"], "invalid_parameter");
    }

    let delete = |tag: &str| {
        Request::delete(PATH)
            .header("if-match", tag)
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(stage.send(delete(&tag)).await.body["code"], "changed");
    let gone = stage.send(delete(&etag(&edited))).await;
    assert_eq!(
        (gone.status, &gone.body["name"]),
        (StatusCode::OK, &json!("nightly"))
    );
    assert_eq!(
        stage.send(delete("1")).await.body["code"],
        "no_such_schedule"
    );
}

async fn what_is_told_of_a_period_declares_it_again(backend: Backend) {
    let stage = open(backend).await;
    let body = json!({"cron": "@every 90s", "task": {"kind": "noop"}});
    let set = stage.put(PATH, &[], &body).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.body);

    let found = stage.get(PATH).await;

    assert!(found.body["timezone"].is_null(), "{}", found.body);
    let told: crate::api::wire::Schedule = serde_json::from_value(found.body).unwrap();
    let again = serde_json::to_value(told.declared()).unwrap();
    let again = stage.put(PATH, &[], &again).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    assert_eq!(again.body["version"], set.body["version"]);
}

#[expect(clippy::too_many_lines, reason = "a table: one row for each fault")]
async fn what_is_never_due_or_would_be_refused_as_a_task_is_refused_by_name(backend: Backend) {
    let stage = open(backend).await;
    let locks: Vec<String> = (0..8).map(|nth| format!("l{nth}")).collect();
    let table = [
        (json!({"cron": "30 2 30 2 *"}), "/cron", ""),
        (json!({"cron": "30 25 * * *"}), "/cron", "hour, character 4"),
        (
            json!({"cron": format!("{} * * * *", "1,".repeat(40_000))}),
            "/cron",
            "",
        ),
        (json!({"timezone": "Europe/Berlim"}), "/timezone", "Berlin"),
        (
            json!({"at": "2199-01-01T00:00:00Z"}),
            "/cron",
            "exactly one",
        ),
        (json!({"cron": null}), "/cron", "one of"),
        (
            json!({"cron": null, "timezone": null, "every_ms": 10}),
            "/every_ms",
            "1 s",
        ),
        (
            json!({"cron": null, "timezone": null, "at": "yesterday"}),
            "/at",
            "RFC 3339",
        ),
        (
            json!({"cron": null, "timezone": null, "at": "2001-01-01T00:00:00Z"}),
            "/at",
            "past",
        ),
        (
            json!({"start": "2099-01-02T00:00:00Z", "end": "2099-01-01T00:00:00Z"}),
            "/end",
            "before",
        ),
        (json!({"jitter_ms": 86_400_001}), "/jitter_ms", "86400000"),
        (json!({"misfire_max": 3}), "/misfire_max", "fire_all"),
        (
            json!({"misfire": "fire_all", "misfire_max": 0}),
            "/misfire_max",
            "1 to 1000",
        ),
        (
            json!({"start_deadline_ms": 1}),
            "/start_deadline_ms",
            "1000",
        ),
        (json!({"overlap": "never"}), "/overlap", "queue_one"),
        (json!({"colour": 1}), "/colour", "unknown"),
        (json!({"task": null}), "/task", "missing"),
        (json!({"task": {}}), "/task/kind", "missing"),
        (
            json!({"task": {"kind": "noop", "colour": 1}}),
            "/task/colour",
            "unknown",
        ),
        (
            json!({"task": {"kind": "noop", "priority": 10}}),
            "/task/priority",
            "1 to 9",
        ),
        (
            json!({"task": {"kind": "noop", "delay_ms": 10}}),
            "/task/delay_ms",
            "schedule",
        ),
        (
            json!({"task": {"kind": "noop", "idempotency_key": "k"}}),
            "/task/idempotency_key",
            "schedule",
        ),
        (
            json!({"task": {"kind": "noop", "run_at": "2030-01-01T00:00:00Z"}}),
            "/task/run_at",
            "schedule",
        ),
        (
            json!({"task": {"kind": "noop", "locks": locks}}),
            "/task/locks",
            "at most 7",
        ),
        (
            json!({"task": {"kind": "command", "payload": {}}}),
            "/task/payload/argv",
            "",
        ),
    ];
    for (change, pointer, part) in table {
        let mut body = nightly();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let heard = stage.put(PATH, &[], &body).await;
        assert_eq!(heard.status.as_u16(), 422, "{change}: {}", heard.body);
        assert_eq!(heard.pointers(), [pointer], "{change}: {}", heard.body);
        let detail = heard.body["errors"][0]["detail"].as_str().unwrap();
        assert!(
            detail.contains(part) && detail.len() < 1_000,
            "{change}: {detail}"
        );
    }
    let long = format!("/v1/schedules/{}", "n".repeat(55));
    assert_eq!(
        stage.put(&long, &[], &nightly()).await.status,
        StatusCode::BAD_REQUEST
    );
    let preview = stage.put("/v1/schedules/preview", &[], &nightly()).await;
    assert_eq!(preview.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(stage.put(PATH, &[], &json!([])).await.pointers(), [""]);
    let large =
        json!({"cron": "@daily", "task": {"kind": "mine", "payload": "x".repeat(300 << 10)}});
    let large = stage.put(PATH, &[], &large).await;
    assert_eq!(
        (large.status, large.pointers()),
        (StatusCode::PAYLOAD_TOO_LARGE, vec!["/task/payload"])
    );
    assert_eq!(
        stage.get(PATH).await.status,
        StatusCode::NOT_FOUND,
        "nothing was declared"
    );
}

async fn a_pause_is_kept_by_an_edit_and_ends_with_a_resume(backend: Backend) {
    let stage = open(backend).await;
    let absent = act(&stage, "/v1/schedules/nightly/resume").await;
    assert_eq!(absent.body["code"], "no_such_schedule");
    stage.put(PATH, &[], &nightly()).await;
    let reason = json!({"reason": "moving"});

    let paused = stage.post("/v1/schedules/nightly/pause", &reason).await;

    assert_eq!(
        (paused.status, &paused.body["paused_for"]),
        (StatusCode::OK, &json!("moving"))
    );
    assert!(paused.body["paused_at"].is_string() && paused.body["next"].is_null());
    let mut other = nightly();
    other["jitter_ms"] = json!(10);
    let edited = stage.put(PATH, &[], &other).await;
    assert_eq!(edited.body["paused_for"], "moving");
    let again = stage.post("/v1/schedules/nightly/pause", &json!({})).await;
    assert_eq!(again.body["paused_for"], "moving", "not given again");
    let next = stage.get("/v1/schedules/nightly/next?n=2").await;
    assert_eq!(next.body["items"].as_array().unwrap().len(), 2);
    let resumed = act(&stage, "/v1/schedules/nightly/resume").await;
    assert!(resumed.body["paused_at"].is_null() && resumed.body["next"].is_string());
    let long = json!({"reason": "x".repeat(201)});
    let refused = stage.post("/v1/schedules/nightly/pause", &long).await;
    assert_eq!(refused.pointers(), ["/reason"]);
}

async fn a_trigger_makes_a_task_that_says_so_and_another_only_when_it_has_ended(backend: Backend) {
    let stage = open(backend).await;
    let path = "/v1/schedules/nightly/trigger";
    assert_eq!(act(&stage, path).await.body["code"], "no_such_schedule");
    stage.put(PATH, &[], &nightly()).await;

    let fired = act(&stage, path).await;

    assert_eq!(fired.status, StatusCode::CREATED, "{}", fired.body);
    let task = stage.get(fired.headers["location"].to_str().unwrap()).await;
    assert_eq!(
        (&task.body["schedule"], &task.body["state"]),
        (&json!("nightly"), &json!("pending"))
    );
    assert_eq!(task.body["locks"], json!(["a", "b", "schedule.nightly"]));
    assert!(task.body["due_at"].is_string());
    let pending = stage.get("/v1/tasks?state=pending").await;
    assert_eq!(
        pending.body["items"][0]["schedule"], "nightly",
        "its lane has its mark"
    );
    let again = act(&stage, path).await;
    assert_eq!(
        (again.status, &again.body["code"]),
        (StatusCode::CONFLICT, &json!("overlap"))
    );
    let id = fired.body["task"].as_str().unwrap();
    assert!(again.body["detail"].as_str().unwrap().contains(id));
    let history = stage.get("/v1/schedules/nightly/history").await;
    let line = &history.body["items"][0];
    assert_eq!(
        (&line["outcome"], &line["by"], &line["task"]),
        (&json!("fired"), &json!("trigger"), &json!(id))
    );
    let found = stage.get(PATH).await;
    assert_eq!(
        (&found.body["open"], &found.body["last"]["task"]),
        (&json!([id]), &json!(id))
    );

    act(&stage, &format!("/v1/tasks/{id}/cancel")).await;
    assert_eq!(act(&stage, path).await.status, StatusCode::CREATED);
    let two = stage.get("/v1/schedules/nightly/history?limit=1").await;
    assert_eq!(two.body["items"].as_array().unwrap().len(), 1);
    let odd = stage.get("/v1/schedules/nightly/history?limit=0").await;
    assert_eq!(odd.body["code"], "invalid_parameter");
}

async fn a_backfill_makes_each_past_task_once(backend: Backend) {
    let stage = open(backend).await;
    let path = "/v1/schedules/nightly/backfill";
    let mut daily = nightly();
    daily["timezone"] = json!("UTC");
    stage.put(PATH, &[], &daily).await;
    let span =
        |to: &str, dry: bool| json!({"from": "2026-01-01T02:30:00Z", "to": to, "dry_run": dry});

    let dry = stage.post(path, &span("2026-01-20T02:29:59Z", true)).await;
    assert_eq!(
        (dry.status, &dry.body["count"]),
        (StatusCode::OK, &json!(19)),
        "{}",
        dry.body
    );
    let none = stage.get("/v1/tasks").await;
    assert_eq!(none.body["items"], json!([]));

    let part = stage.post(path, &span("2026-01-03T02:30:00Z", false)).await;
    assert_eq!(part.body["count"], 3, "{}", part.body);
    for (dry, count, there) in [(true, 16, 3), (false, 16, 3), (false, 0, 19), (true, 0, 19)] {
        let made = stage.post(path, &span("2026-01-20T02:29:59Z", dry)).await;
        assert_eq!(made.body["count"], count, "{}", made.body);
        let items = made.body["items"].as_array().unwrap();
        let was_there = items.iter().map(|item| item["outcome"] == "there");
        let wanted = (0..19).map(|nth| nth < there);
        assert!(was_there.eq(wanted), "{}", made.body);
    }
    let tasks = stage.get("/v1/tasks").await;
    assert_eq!(tasks.body["items"].as_array().unwrap().len(), 19);
    let lines = stage.get("/v1/schedules/nightly/history").await;
    assert_eq!(lines.body["items"].as_array().unwrap().len(), 19);
    let item = &dry.body["items"][0];
    let first = stage
        .get(&format!("/v1/tasks/{}", item["task"].as_str().unwrap()))
        .await;
    assert_eq!(first.body["due_at"], "2026-01-01T02:30:00.000Z");

    for (body, pointer) in [
        (span("2025-01-20T00:00:00Z", true), "/to"),
        (span("2999-01-20T00:00:00Z", true), "/to"),
        (
            json!({"from": "once", "to": "2026-01-20T00:00:00Z"}),
            "/from",
        ),
        (
            json!({"from": "1990-01-20T00:00:00Z", "to": "2026-01-20T00:00:00Z"}),
            "/to",
        ),
    ] {
        let refused = stage.post(path, &body).await;
        assert_eq!(refused.pointers(), [pointer], "{body}: {}", refused.body);
    }
}

async fn a_list_is_filtered_and_goes_on_where_its_page_ended(backend: Backend) {
    let stage = open(backend).await;
    for nth in 0..40 {
        let mut body = json!({"every_ms": 60_000, "task": {"kind": "noop"}});
        if nth % 10 == 0 {
            body["labels"] = json!({"team": "a", "tier": "1"});
        }
        let set = stage
            .put(&format!("/v1/schedules/s{nth:02}"), &[], &body)
            .await;
        assert_eq!(set.status, StatusCode::OK);
    }
    act(&stage, "/v1/schedules/s07/trigger").await;
    stage.post("/v1/schedules/s05/pause", &json!({})).await;
    let names = async |query: &str| {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = stage.get(&format!("/v1/schedules?{query}{cursor}")).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            let items = page.body["items"].as_array().unwrap().clone();
            names.extend(
                items
                    .iter()
                    .map(|item| item["name"].as_str().unwrap().to_owned()),
            );
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names,
            }
        }
    };

    let all: Vec<String> = (0..40).map(|nth| format!("s{nth:02}")).collect();
    assert_eq!(names("limit=7").await, all);
    assert_eq!(names("limit=40").await, all);
    assert_eq!(
        names("label=team=a,tier=1&limit=3").await,
        ["s00", "s10", "s20", "s30"]
    );
    assert_eq!(names("paused=true").await, ["s05"]);
    assert_eq!(names("label=team=b").await, Vec::<String>::new());
    let page = stage.get("/v1/schedules?limit=8").await;
    assert_eq!(page.body["items"][7]["last"]["by"], "trigger");
    for query in [
        "limit=0",
        "cursor=7",
        "label=team",
        "paused=yes",
        "colour=1",
    ] {
        let odd = stage.get(&format!("/v1/schedules?{query}")).await;
        assert_eq!(odd.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

async fn a_preview_says_when_it_would_be_due_and_declares_nothing(backend: Backend) {
    let stage = open(backend).await;
    let asked = json!({"cron": "30 2 * * *", "timezone": "America/New_York",
        "start": "2199-03-09T12:00:00Z", "end": "2199-03-12T12:00:00Z"});

    let seen = stage.post("/v1/schedules/preview?n=3", &asked).await;

    assert_eq!(seen.status, StatusCode::OK, "{}", seen.body);
    assert_eq!(seen.body["english"], "at 02:30 (America/New_York)");
    let local = |nth: usize| {
        seen.body["items"][nth]["local"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(local(0), "2199-03-10T03:00:00-04:00[America/New_York]");
    let note = seen.body["items"][0]["note"].as_str().unwrap();
    assert!(note.contains("02:30 does not exist"), "{note}");
    assert!(seen.body["items"][1]["note"].is_null());
    assert_eq!(seen.body["items"].as_array().unwrap().len(), 3);
    let one = json!({"every_ms": 3_600_000, "jitter_ms": 60_000});
    let one = stage.post("/v1/schedules/preview?name=a", &one).await;
    assert_eq!(one.body["items"].as_array().unwrap().len(), 5);
    let wrong = json!({"cron": "30 2 * *", "task": {"kind": "noop", "priority": 0}});
    let wrong = stage.post("/v1/schedules/preview", &wrong).await;
    assert_eq!(wrong.pointers(), ["/task/priority", "/cron"]);
    let odd = stage
        .post("/v1/schedules/preview?n=101", &json!({"cron": "@daily"}))
        .await;
    assert_eq!(odd.body["code"], "invalid_parameter");
    assert_eq!(stage.get("/v1/schedules").await.body["items"], json!([]));
}

async fn nothing_new_is_declared_where_etcd_has_no_room(backend: Backend) {
    let stage = open(backend).await;
    stage.put(PATH, &[], &nightly()).await;
    let room = tenure_cluster::Room {
        in_use: 90,
        size: 90,
        quota: 100,
        no_space: false,
    };
    stage.usage.send_modify(|usage| usage.room = room);

    for path in ["/v1/schedules/other", "/v1/schedules/nightly/trigger"] {
        let refused = if path.ends_with("trigger") {
            act(&stage, path).await
        } else {
            stage.put(path, &[], &nightly()).await
        };
        assert_eq!(
            refused.body["code"], "etcd_nearly_full",
            "{path}: {}",
            refused.body
        );
    }
    let mut other = nightly();
    other["jitter_ms"] = json!(10);
    let edited = stage.put(PATH, &[], &other).await;
    assert_eq!(edited.status, StatusCode::OK, "what is there may be edited");
}
