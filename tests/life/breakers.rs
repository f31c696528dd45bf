//! Circuit breakers of whole nodes: what keeps failing is deferred without using up attempts, until a probe succeeds or a reset.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tenure::store::{Found, NewTask, NodeRecord, decode};
use tenure::task::{Outcome, State, TaskId};
use tenure::worker::kinds::HandlerError;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::common::{Cluster, task, with_attempts};

/// A host that answers with a status that the test sets.
struct Host {
    address: String,
    answers: Arc<Answers>,
    _serving: JoinSet<()>,
}

struct Answers {
    status: AtomicU16,
    given: AtomicUsize,
}

async fn answer(Shared(answers): Shared<Arc<Answers>>) -> StatusCode {
    answers.given.fetch_add(1, Ordering::SeqCst);
    StatusCode::from_u16(answers.status.load(Ordering::SeqCst)).expect("a status of the test")
}

impl Host {
    async fn start(status: u16) -> Self {
        let answers = Arc::new(Answers {
            status: status.into(),
            given: AtomicUsize::new(0),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&answers));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self {
            address,
            answers,
            _serving: serving,
        }
    }

    fn becomes(&self, status: u16) {
        self.answers.status.store(status, Ordering::SeqCst);
    }

    fn given(&self) -> usize {
        self.answers.given.load(Ordering::SeqCst)
    }

    fn task(&self) -> NewTask {
        let payload = json!({"url": format!("http://{}/", self.address)});
        with_attempts(task("http", &payload.to_string()), 50)
    }
}

const SETTINGS: [(&str, &str); 4] = [
    ("TENURE_HTTP_ALLOW", "127.0.0.0/8"),
    ("TENURE_BREAKER_WINDOW", "4"),
    ("TENURE_BREAKER_RUNS", "4"),
    ("TENURE_BREAKER_OPEN_MAX", "1h"),
];

fn settings<'a>(open: &'a str, kinds: &'a str) -> Vec<(&'a str, &'a str)> {
    let more = [
        ("TENURE_BREAKER_OPEN", open),
        ("TENURE_BREAKER_KINDS", kinds),
    ];
    SETTINGS.into_iter().chain(more).collect()
}

/// Waits until the last thing that happened to a task is a deferral; as it is then.
async fn deferred(cluster: &Cluster, ids: &[TaskId]) -> Found {
    cluster
        .when("a task is deferred", async |store| {
            for id in ids {
                let found = store.task(*id).await.ok()?.0?;
                let last = found.attempts.last().map(|(_, last)| last.outcome);
                if found.state == State::Scheduled && last == Some(Outcome::Deferred) {
                    return Some(found);
                }
            }
            None
        })
        .await
}

fn attempts(found: &Found) -> usize {
    let told = found.attempts.iter();
    told.filter(|(_, told)| told.outcome.is_attempt()).count()
}

async fn all_closed(cluster: &Cluster) {
    cluster
        .when("all breakers are closed", async |store| {
            store.breakers().await.ok()?.0.is_empty().then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_host_that_fails_are_deferred_until_a_probe_succeeds_and_each_ends_once() {
    let mut cluster = Cluster::start().await;
    let host = Host::start(503).await;
    cluster.node("a", &settings("1s", ""), |kinds| kinds).await;
    let well = Host::start(200).await;

    let ids = cluster.batch(vec![host.task(); 20]).await;
    let found = deferred(&cluster, &ids).await;

    let record = &found.waiting.as_ref().unwrap().2.value;
    let made = u32::try_from(attempts(&found)).unwrap();
    assert_eq!((record.tally.attempts, record.tally.failures), (made, made));
    let why = format!("the breaker of http {} is open: status 503", host.address);
    assert!(record.why.as_ref().unwrap().starts_with(&why));
    let other = cluster.submit(well.task()).await;
    cluster.until(other, &[State::Succeeded]).await;

    host.becomes(200);
    let ended = cluster.until_all(&ids, State::Succeeded).await;

    let all: usize = ended.iter().map(attempts).sum();
    assert_eq!(all, host.given(), "each request is an attempt on record");
    for found in &ended {
        let fine = |told: &&(_, tenure::store::Attempt)| told.1.outcome == Outcome::Succeeded;
        assert_eq!(found.attempts.iter().filter(fine).count(), 1);
        let last = &found.attempts.last().unwrap().1;
        assert_eq!(last.number as usize, attempts(found));
        assert!(found.attempts.len() < 20, "{:?}", found.attempts);
    }
    all_closed(&cluster).await;
}

/// What the API of node `a` answers.
async fn asked(cluster: &Cluster, path: &str, body: Option<Value>) -> (u16, Value) {
    let kv = cluster.session("a").await;
    let node: NodeRecord = decode(&kv.key, &kv.value).expect("a node of ours");
    let url = format!("{}{path}", node.address);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .build()
        .expect("a client without certificates");
    let request = match body {
        Some(body) => client.post(url).json(&body),
        None => client.get(url),
    };
    let answer = request.send().await.expect("the node answers");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_is_listed_says_why_its_tasks_wait_and_is_reset() {
    let mut cluster = Cluster::start().await;
    let host = Host::start(500).await;
    cluster.node("a", &settings("1h", ""), |kinds| kinds).await;
    let ids = cluster.batch(vec![host.task(); 12]).await;
    let found = deferred(&cluster, &ids).await;
    cluster
        .when("the breaker is told", async |store| {
            (!store.breakers().await.ok()?.0.is_empty()).then_some(())
        })
        .await;

    let (_, page) = asked(&cluster, "/v1/breakers", None).await;
    let (_, waits) = asked(&cluster, &format!("/v1/tasks/{}", found.id), None).await;

    let item = &page["items"][0];
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    let told = (&item["node"], &item["kind"], &item["state"], &item["host"]);
    let host_name = json!(host.address);
    assert_eq!(
        told,
        (&json!("a"), &json!("http"), &json!("open"), &host_name)
    );
    let words = waits["waiting_for"].as_str().unwrap();
    assert!(
        words.contains("node a deferred it, the breaker of http"),
        "{words}"
    );

    host.becomes(200);
    let elsewhere = json!({"kind": "http", "node": "b"});
    let nobody = asked(&cluster, "/v1/breakers/reset", Some(elsewhere)).await;
    assert_eq!((nobody.0, &nobody.1["code"]), (404, &json!("no_such_node")));
    let reset = json!({"kind": "http", "host": host.address, "node": "a"});
    let (status, done) = asked(&cluster, "/v1/breakers/reset", Some(reset)).await;
    assert_eq!((status, &done["nodes"]), (200, &json!(["a"])));
    all_closed(&cluster).await;

    // What comes now runs; what was deferred keeps its time.
    let id = cluster.submit(host.task()).await;
    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(found.attempts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_the_settings_name_is_deferred_as_a_whole_and_others_are_not() {
    let mut cluster = Cluster::start().await;
    let fails = Arc::new(AtomicBool::new(true));
    let kind = {
        let fails = Arc::clone(&fails);
        move |kinds: tenure::worker::kinds::Builder| {
            kinds.handler_fn("flaky", move |_| {
                let fails = fails.load(Ordering::SeqCst);
                async move {
                    if fails {
                        return Err(HandlerError::new("down"));
                    }
                    Ok(())
                }
            })
        }
    };
    cluster.node("a", &settings("1s", "flaky"), kind).await;

    let flaky = with_attempts(task("flaky", "{}"), 50);
    let ids = cluster.batch(vec![flaky; 12]).await;
    let found = deferred(&cluster, &ids).await;
    let why = found.waiting.as_ref().unwrap().2.value.why.as_deref();
    assert_eq!(why, Some("the breaker of kind flaky is open: down"));
    let failing = cluster.submit(task("fail", r#"{"message":"no"}"#)).await;
    let dead = cluster.until(failing, &[State::Dead]).await;
    assert_eq!(dead.attempts.len(), 3);

    fails.store(false, Ordering::SeqCst);
    cluster.until_all(&ids, State::Succeeded).await;
    all_closed(&cluster).await;
}
