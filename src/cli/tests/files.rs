//! `tenure apply`, `diff` and `export` against a server that answers what it is told to.

use tempfile::TempDir;

use super::*;

const FILE: &str = "[semaphores.db]\nlimit = 3\n[queues.mail]\nweight = 2\n[schedules.poll]\nevery_ms = 1000\n[schedules.poll.task]\nkind = 'noop'";

fn file(text: &str) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

/// A cluster with the semaphore at another limit, the queue as it is declared, no such schedule, and another semaphore.
fn cluster(line: &str) -> (u16, Value) {
    let row = |name: &str, limit: u32, version: i64| json!({"name": name, "limit": limit, "version": version, "held": 0, "holders": 0, "waiters": 0, "parked": 0, "exact": true});
    match line {
        "GET /v1/semaphores" => (
            200,
            json!({"items": [row("db", 2, 7), row("old", 1, 8)], "next_cursor": null, "revision": 9}),
        ),
        "GET /v1/queues/mail/rules" => (
            200,
            json!({"name": "mail", "weight": 2, "paused_at": null, "version": 5, "revision": 9}),
        ),
        "GET /v1/schedules/poll" => (404, json!({})),
        line if line.starts_with("POST /v1/schedules/preview") => (200, json!({})),
        line if line.starts_with("GET") => (500, Value::Null),
        _ => (200, json!({})),
    }
}

fn writes(stub: &Stub) -> Vec<(String, Option<String>)> {
    let seen = stub
        .seen()
        .into_iter()
        .filter(|seen| !seen.line.starts_with("GET"));
    seen.map(|seen| (seen.line, seen.version)).collect()
}

#[tokio::test]
async fn only_what_differs_is_sent_each_with_the_version_it_was_compared_with() {
    let stub = Stub::start(cluster).await;
    let (_dir, path) = file(FILE);

    assert_eq!(stub.run(&["apply", "-f", &path]).await, 0);

    let version = |version: &str| Some(version.to_owned());
    assert_eq!(
        writes(&stub),
        [
            ("PUT /v1/semaphores/db".to_owned(), version("7")),
            ("PUT /v1/schedules/poll".to_owned(), version("0")),
        ]
    );
}

#[tokio::test]
async fn what_no_file_has_goes_only_where_its_section_is_there_and_somebody_said_so() {
    let (_dir, path) = file(FILE);
    let (_none, queues) = file("[queues.mail]\nweight = 2");
    let pruned = |line: &str| match line {
        "GET /v1/queues" | "GET /v1/schedules?limit=1000" => (
            200,
            json!({"items": [], "next_cursor": null, "revision": 9}),
        ),
        line => cluster(line),
    };
    let stub = Stub::start(pruned).await;

    assert_eq!(
        stub.run(&["apply", "-f", &queues, "--prune", "-y"]).await,
        0
    );
    assert_eq!(writes(&stub), []);
    assert_eq!(stub.run(&["apply", "-f", &path, "--prune", "-y"]).await, 0);
    let last = writes(&stub).pop().unwrap();
    assert_eq!(
        last,
        ("DELETE /v1/semaphores/old".to_owned(), Some("8".to_owned()))
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_asks_whether_it_would_be_taken() {
    let (_dir, path) = file(FILE);
    let stub = Stub::start(cluster).await;
    let refused =
        json!({"title": "Invalid request", "status": 422, "code": "invalid_request", "type": "x"});
    let strict = Stub::start(move |line| {
        if line.starts_with("POST") {
            (422, refused.clone())
        } else {
            cluster(line)
        }
    })
    .await;

    assert_eq!(stub.run(&["apply", "-f", &path, "--dry-run"]).await, 0);
    assert_eq!(strict.run(&["apply", "-f", &path, "--dry-run"]).await, 2);

    let preview = "POST /v1/schedules/preview?name=poll".to_owned();
    assert_eq!(writes(&stub), [(preview, None)]);
    assert_eq!(stub.run(&["diff", "-f", &path]).await, 1);
    let (_same, same) = file("[queues.mail]\nweight = 2");
    assert_eq!(stub.run(&["diff", "-f", &same, "-o", "json"]).await, 0);
}

#[tokio::test]
async fn what_was_edited_meanwhile_is_told_and_the_rest_is_done() {
    let edited = |all: bool| {
        move |line: &str| {
            if line.starts_with("PUT") && (all || line.contains("semaphores")) {
                let changed =
                    json!({"title": "Changed", "status": 412, "code": "changed", "type": "x"});
                (412, changed)
            } else {
                cluster(line)
            }
        }
    };
    let (_dir, path) = file(FILE);

    let one = Stub::start(edited(false)).await;
    assert_eq!(one.run(&["apply", "-f", &path]).await, 8);
    assert_eq!(writes(&one).len(), 2);
    let both = Stub::start(edited(true)).await;
    assert_eq!(both.run(&["apply", "-f", &path]).await, 4);
}

#[tokio::test]
async fn an_apply_that_cannot_go_on_stops_there_and_says_that_some_of_it_is_done() {
    let failing = |at: &'static str, status: u16| {
        move |line: &str| match line {
            line if line.starts_with("PUT") && line.contains(at) => (status, Value::Null),
            line => cluster(line),
        }
    };
    let (_dir, path) = file(FILE);

    for (at, status, exit, sent) in [
        ("schedules", 500, 8, 2),
        ("schedules", 503, 8, 2),
        ("semaphores", 500, 1, 1),
        ("semaphores", 503, 6, 1),
    ] {
        let stub = Stub::start(failing(at, status)).await;
        let code = stub.run(&["apply", "-f", &path]).await;
        assert_eq!((code, writes(&stub).len()), (exit, sent), "{at} {status}");
    }
}

#[tokio::test]
async fn a_diff_that_cannot_be_made_does_not_say_that_they_differ() {
    let (_dir, path) = file(FILE);
    for (status, exit) in [(429, 9), (500, 9), (401, 5), (503, 6)] {
        let stub = Stub::start(move |_| (status, Value::Null)).await;
        let code = stub.run(&["diff", "-f", &path]).await;
        assert_eq!(code, exit, "{status}");
    }
}

#[tokio::test]
async fn a_file_with_a_fault_or_none_at_all_asks_nobody() {
    let stub = Stub::start(|_| (500, Value::Null)).await;
    let (_dir, path) = file("[semaphores.db]\nlimit = -1");
    for words in [
        ["apply", "-f", &path],
        ["diff", "-f", &path],
        ["apply", "-f", "not-there"],
    ] {
        assert_eq!(stub.run(&words).await, 2);
    }
    assert!(stub.seen().is_empty());
}
