//! The command line against a server that answers what it is told to.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use clap::Parser as _;
use reqwest::StatusCode as Status;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::health::degraded;
use super::{Cli, Exit, run};
use crate::api::wire::{Stats, Task};

mod files;
mod parse;
mod schedules;

#[test]
fn statuses_become_exits() {
    for (status, code) in [
        (200, 0),
        (201, 0),
        (400, 2),
        (413, 2),
        (422, 2),
        (401, 5),
        (403, 5),
        (404, 3),
        (409, 4),
        (412, 4),
        (410, 4),
        (429, 1),
        (500, 1),
        (503, 6),
        (507, 1),
    ] {
        assert_eq!(
            Exit::of_status(Status::from_u16(status).unwrap()).code(),
            code,
            "{status}"
        );
    }
}

fn task(state: &str, outcomes: &[&str]) -> Value {
    let attempts: Vec<_> = (1..)
        .zip(outcomes)
        .map(|(number, outcome)| {
            json!({"number": number, "node": "a", "fence": 7, "started_at": null,
                   "finished_at": null, "outcome": outcome, "error": "no", "output": null})
        })
        .collect();
    json!({"id": "018f0000-0000-7000-8000-000000000000", "state": state, "queue": "default",
           "kind": "noop", "priority": 5, "payload": null, "labels": {}, "metadata": {},
           "created_at": "2026-01-31T12:00:00.000Z", "run_at": null, "max_attempts": 5,
           "failures": 0, "deaths": 0, "timeout_ms": null, "attempts": attempts, "revision": 9})
}

#[test]
fn ends_of_tasks_become_exits() {
    for (state, outcomes, exit) in [
        ("pending", &[][..], None),
        ("running", &["running"], None),
        ("succeeded", &["failed", "succeeded"], Some(0)),
        ("dead", &["lost", "failed"], Some(10)),
        ("dead", &["timeout"], Some(10)),
        ("cancelled", &["cancelled"], Some(11)),
        ("dead", &["failed", "lost"], Some(12)),
    ] {
        let task: Task = serde_json::from_value(task(state, outcomes)).unwrap();
        assert_eq!(
            Exit::of_task(&task).map(Exit::code),
            exit,
            "{state} {outcomes:?}"
        );
    }
}

#[test]
fn a_cluster_without_leader_or_nodes_or_room_is_degraded() {
    let stats = |leader: Value, nodes: u32, full: bool| -> Stats {
        serde_json::from_value(json!({
            "tasks": {"scheduled": 0, "pending": 0, "running": 0, "succeeded": 0, "dead": 0,
                      "cancelled": 0, "exact": true},
            "nodes": nodes, "slots": {"total": 4, "busy": 0}, "leader": leader, "revision": 1,
            "etcd": {"version": null, "db_size": 90, "db_size_in_use": 10, "quota": 100, "full": full},
        }))
        .unwrap()
    };
    let leader = json!({"node": "a", "term": 1, "since": "2026-01-31T12:00:00Z", "address": "x",
                        "revision": 1});
    assert!(degraded(&stats(leader.clone(), 1, false)).is_empty());
    assert_eq!(degraded(&stats(Value::Null, 0, true)).len(), 3);
}

/// A request that the stub saw.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    key: Option<String>,
    version: Option<String>,
    body: Value,
}

/// A server that answers each request with what `answer` makes of its method and path.
struct Stub {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _server: JoinSet<()>,
}

impl Stub {
    async fn start(answer: impl Fn(&str) -> (u16, Value) + Clone + Send + Sync + 'static) -> Self {
        // Held only to push or to clone.
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let line = format!("{method} {uri}");
            let header = |name| {
                let value = headers.get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            let (key, version) = (header("idempotency-key"), header("if-match"));
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let (status, answer) = answer(&line);
            log.lock().unwrap().push(Seen {
                line,
                key,
                version,
                body,
            });
            async move { (StatusCode::from_u16(status).unwrap(), answer.to_string()) }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        let router = Router::new().fallback(handler);
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            seen,
            _server: server,
        }
    }

    async fn run(&self, words: &[&str]) -> u8 {
        run_at(&self.url, words).await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn run_at(url: &str, words: &[&str]) -> u8 {
    let words = ["tenure", "--server", url]
        .into_iter()
        .chain(words.iter().copied());
    let cli = Cli::try_parse_from(words).unwrap();
    run(cli, |_start| async { Ok(()) }).await.code()
}

const ID: &str = "018f0000-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_submit_sends_what_was_asked_and_leaves_the_rest_at_its_default() {
    let stub = Stub::start(|_| (201, json!({"id": ID, "state": "pending", "revision": 5}))).await;

    let exit = stub
        .run(&["task", "submit", "--priority", "9", "--", "echo", "a b"])
        .await;

    assert_eq!(exit, 0);
    let seen = &stub.seen()[0];
    assert_eq!(seen.line, "POST /v1/tasks");
    assert_eq!(seen.body["kind"], "command");
    assert_eq!(seen.body["payload"], json!({"argv": ["echo", "a b"]}));
    assert_eq!(
        (&seen.body["priority"], &seen.body["queue"]),
        (&json!(9), &json!("default"))
    );
}

#[tokio::test]
async fn a_value_out_of_range_is_refused_before_anything_is_sent() {
    let stub = Stub::start(|_| (500, Value::Null)).await;
    assert_eq!(
        stub.run(&["task", "submit", "--priority", "10", "--", "true"])
            .await,
        2
    );
    assert_eq!(stub.run(&["task", "submit"]).await, 2);
    let prefix = ["task", "submit", "--idempotency-prefix", "p", "--", "true"];
    assert_eq!(stub.run(&prefix).await, 2);
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_run_waits_until_the_task_is_settled_and_ends_as_it_did() {
    let asked = Arc::new(Mutex::new(0));
    let stub = Stub::start(move |line| {
        if line.starts_with("POST") {
            return (201, json!({"id": ID, "state": "pending", "revision": 5}));
        }
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let answers = [(200, task("running", &["running"])), (503, json!({}))];
        answers
            .get(*asked - 1)
            .cloned()
            .unwrap_or((200, task("dead", &["failed"])))
    })
    .await;

    let exit = stub.run(&["task", "run", "--", "false"]).await;

    assert_eq!(exit, 10);
    assert_eq!(stub.seen().len(), 4);
    assert_eq!(
        stub.seen()[1].line,
        format!("GET /v1/tasks/{ID}?wait=30000ms")
    );
}

#[tokio::test]
async fn a_wait_ends_when_its_time_is_over() {
    let stub = Stub::start(|_| (200, task("pending", &[]))).await;
    assert_eq!(
        stub.run(&["task", "wait", ID, "--timeout", "30ms"]).await,
        7
    );
}

#[tokio::test]
async fn a_problem_becomes_its_exit() {
    let stub = Stub::start(|line| {
        let status = if line.contains("leader") { 503 } else { 404 };
        (status, json!({"title": "t", "status": status, "code": "c"}))
    })
    .await;
    assert_eq!(stub.run(&["task", "get", ID]).await, 3);
    assert_eq!(stub.run(&["leader", "get"]).await, 6);
    assert_eq!(run_at("http://127.0.0.1:1", &["node", "list"]).await, 6);
    assert_eq!(run_at("nonsense", &["node", "list"]).await, 2);
}

#[tokio::test]
async fn several_tasks_are_cancelled_as_far_as_they_can_be() {
    let other = "018f0000-0000-7000-8000-000000000001";
    let stub = Stub::start(move |line| {
        if line.contains(other) {
            (409, json!({"title": "t", "status": 409, "code": "c"}))
        } else {
            (200, json!({"id": ID, "state": "cancelled", "revision": 5}))
        }
    })
    .await;
    assert_eq!(stub.run(&["task", "cancel", other, ID]).await, 8);
    assert_eq!(stub.run(&["task", "cancel", other]).await, 4);
    assert_eq!(stub.run(&["task", "cancel", ID]).await, 0);
}

fn batch_answer(line: &str) -> (u16, Value) {
    match line {
        "GET /version" => (200, json!({"version": "0", "payload_limit": 100})),
        _ => (201, json!({"ids": [ID], "revision": 5})),
    }
}

#[tokio::test]
async fn a_file_is_sent_in_batches_under_keys_that_a_second_run_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tasks.jsonl");
    std::fs::write(&path, "{\"kind\":\"noop\"}\n".repeat(1_500)).unwrap();
    let stub = Stub::start(batch_answer).await;
    let words = [
        "task",
        "submit",
        "--idempotency-prefix",
        "p",
        "--file",
        path.to_str().unwrap(),
    ];

    assert_eq!(stub.run(&words).await, 0);
    assert_eq!(stub.run(&words).await, 0);

    let posts: Vec<_> = stub
        .seen()
        .into_iter()
        .filter(|s| s.line.starts_with("POST"))
        .collect();
    let keys: Vec<_> = posts.iter().map(|seen| seen.key.clone().unwrap()).collect();
    assert_eq!(keys, ["p-0", "p-1", "p-0", "p-1"]);
    assert_eq!(posts[1].body["tasks"].as_array().unwrap().len(), 500);
    assert_eq!(posts[0].body, posts[2].body);
}

#[tokio::test]
async fn a_file_with_one_bad_line_sends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tasks.jsonl");
    let large = format!("{{\"kind\":\"noop\",\"payload\":\"{}\"}}", "x".repeat(200));
    for bad in ["{\"kind\":\"noop\",\"priority\":0}", "{", &large] {
        std::fs::write(
            &path,
            format!("{}{bad}\n", "{\"kind\":\"noop\"}\n".repeat(1_500)),
        )
        .unwrap();
        let stub = Stub::start(batch_answer).await;

        let exit = stub
            .run(&["task", "submit", "--file", path.to_str().unwrap()])
            .await;

        assert_eq!(exit, 2, "{bad}");
        assert!(
            stub.seen().iter().all(|seen| seen.line == "GET /version"),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_file_that_stops_halfway_is_a_partial_success() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tasks.jsonl");
    std::fs::write(&path, "{\"kind\":\"noop\"}\n".repeat(1_500)).unwrap();
    let posts = Arc::new(Mutex::new(0));
    let stub = Stub::start(move |line| {
        let mut posts = posts.lock().unwrap();
        *posts += usize::from(line.starts_with("POST"));
        if *posts < 2 {
            batch_answer(line)
        } else {
            (507, json!({"title": "t", "status": 507, "code": "c"}))
        }
    })
    .await;
    assert_eq!(
        stub.run(&["task", "submit", "--file", path.to_str().unwrap()])
            .await,
        8
    );
}

#[tokio::test]
async fn a_healthcheck_says_whether_the_node_can_do_its_part() {
    let stub = Stub::start(|line| match line {
        "GET /livez" => (200, json!({})),
        _ => (
            503,
            json!({"checks": [{"name": "etcd", "ok": false, "detail": "gone"}]}),
        ),
    })
    .await;
    assert_eq!(stub.run(&["healthcheck", "--live"]).await, 0);
    assert_eq!(stub.run(&["healthcheck"]).await, 1);
    assert_eq!(run_at("http://127.0.0.1:1", &["healthcheck"]).await, 6);
}

#[tokio::test]
async fn a_check_of_an_etcd_that_is_not_there_says_so() {
    let words = ["check", "--etcd-endpoints", "http://127.0.0.1:1"];
    assert_eq!(run_at("http://127.0.0.1:1", &words).await, 6);
}

#[tokio::test]
async fn a_server_is_not_started_with_settings_that_are_not_safe() {
    assert_eq!(
        run_at("http://127.0.0.1:1", &["server", "--listen", "0.0.0.0:0"]).await,
        2
    );
}

#[tokio::test]
async fn a_reset_asks_for_what_was_named_and_no_more() {
    let stub = Stub::start(|_| (200, json!({"nodes": ["n1"], "revision": 5}))).await;
    let words = ["breaker", "reset", "http", "--host", "a:80"];
    assert_eq!(stub.run(&words).await, 0);
    let seen = &stub.seen()[0];
    assert_eq!(seen.line, "POST /v1/breakers/reset");
    assert_eq!(seen.body, json!({"kind": "http", "host": "a:80"}));
}

#[tokio::test]
async fn whoever_is_turned_away_from_a_full_line_asks_again() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server =
        Stub::start(
            move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 | 1 => (429, json!({"title": "Busy", "status": 429, "code": "busy"})),
                _ => (422, json!({"title": "Invalid request", "status": 422})),
            },
        )
        .await;

    let exit = server.run(&["lock", "run", "deploy", "--", "true"]).await;

    assert_eq!(exit, 2, "the third answer ends it");
    let asks = server
        .seen()
        .iter()
        .filter(|seen| seen.line.starts_with("POST"))
        .count();
    assert_eq!(asks, 3);
}

#[tokio::test]
async fn a_line_that_stays_full_is_given_up_when_the_time_is_over() {
    let busy = json!({"title": "Busy", "status": 429, "code": "busy"});
    let server = Stub::start(move |_| (429, busy.clone())).await;

    let words = ["lock", "run", "deploy", "--wait", "1s", "--", "true"];
    assert_eq!(server.run(&words).await, 7);
}

/// A queue's rules at a version, and what was put; the first put loses to another edit.
async fn ruled() -> Stub {
    let puts = Arc::new(std::sync::atomic::AtomicI64::new(0));
    Stub::start(move |line| {
        let put = line.starts_with("PUT");
        let lost = put && puts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let version = 7 + puts.load(std::sync::atomic::Ordering::Relaxed);
        let rules = json!({"name": "mail", "weight": 3, "rate": {"tasks": 50, "per_ms": 1000, "burst": 50}, "paused_at": null,
            "version": version, "revision": 9});
        let changed = json!({"title": "Changed", "status": 412, "code": "changed"});
        if lost { (412, changed) } else { (200, rules) }
    })
    .await
}

#[tokio::test]
async fn rules_that_are_not_given_stay_and_an_edit_that_lost_is_made_anew() {
    let server = ruled().await;

    let words = [
        "queue",
        "set",
        "mail",
        "--concurrency",
        "5",
        "--clear",
        "rate",
    ];
    assert_eq!(server.run(&words).await, 0);

    let seen = server.seen();
    let lines: Vec<&str> = seen.iter().map(|seen| &*seen.line).collect();
    let [get, put] = ["GET /v1/queues/mail/rules", "PUT /v1/queues/mail/rules"];
    assert_eq!(lines, [get, put, get, put]);
    assert_eq!(seen[3].body, json!({"weight": 3, "concurrency": 5}));
    let versions = seen.iter().map(|seen| seen.version.as_deref());
    assert_eq!(
        versions.collect::<Vec<_>>(),
        [None, Some("7"), None, Some("8")]
    );
}

#[tokio::test]
async fn rules_are_set_at_a_version_only_or_not_at_all() {
    let server = ruled().await;
    for (words, exit, requests) in [
        (&["--version", "6", "--weight", "1"][..], 4, 1),
        (&["--version", "7", "--weight", "1"], 4, 3),
        (&[], 2, 3),
        (&["--weight", "0"], 2, 3),
    ] {
        let words = [&["queue", "set", "mail"], words].concat();
        assert_eq!(server.run(&words).await, exit, "{words:?}");
        assert_eq!(server.seen().len(), requests, "{words:?}");
    }
}
