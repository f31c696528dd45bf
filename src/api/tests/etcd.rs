use tenure_cluster::{Outcome as Sent, Txn};
use tenure_testkit::{Backend, Etcd, on_each_backend};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::{Candidacy, NodeRecord, TermRecord, encode};
use crate::task::PackId;
use crate::vitals::Vitals;

on_each_backend!(
    a_task_is_accepted_found_and_says_what_it_waits_for,
    a_repeated_submit_answers_the_first_and_another_request_is_refused,
    a_batch_is_accepted_whole_or_not_at_all,
    pages_show_each_task_once_at_one_revision_and_an_old_cursor_is_gone,
    a_waiting_task_is_cancelled_once_and_whoever_waits_hears_of_it,
    a_wait_ends_with_its_time_and_with_its_node,
    nobody_leads_until_somebody_does_and_resigning_ends_it,
    a_node_without_etcd_says_that_nothing_was_accepted,
);

/// An API with an etcd behind it.
pub(super) struct Open {
    stage: Stage,
    pub(super) etcd: Etcd,
    driver: JoinSet<()>,
}

impl std::ops::Deref for Open {
    type Target = Stage;
    fn deref(&self) -> &Stage {
        &self.stage
    }
}

pub(super) async fn open(backend: Backend) -> Open {
    let start = move || Etcd::builder(1).on(backend).start();
    let etcd = tokio::task::spawn_blocking(start).await.unwrap();
    let (stage, coalescer, herald, usher) = stage(&etcd.endpoints()[0], &[]);
    let horizon = Txn::new().put(stage.store.keys().horizon(), PackId::floor(0).to_string());
    stage.write(&horizon).await;
    let mut driver = JoinSet::new();
    driver.spawn(coalescer.run());
    driver.spawn(herald.run(CancellationToken::new()));
    driver.spawn(usher.run(CancellationToken::new()));
    Open {
        stage,
        etcd,
        driver,
    }
}

impl Stage {
    pub(super) async fn write(&self, txn: &Txn) {
        let sent = self.store.connection().commit(txn).await;
        assert!(matches!(sent, Sent::Committed(_)), "{sent:?}");
    }

    /// A node under this name with two slots.
    pub(super) async fn node(&self, name: &str, kinds: &[&str]) {
        self.labelled(name, kinds, &[]).await;
    }

    /// The same with labels.
    pub(super) async fn labelled(&self, name: &str, kinds: &[&str], labels: &[(&str, &str)]) {
        let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let record = NodeRecord {
            instance: "i".to_owned(),
            address: format!("http://{name}:8700"),
            slots: 2,
            kinds: kinds.iter().map(|kind| kind.parse().unwrap()).collect(),
            labels: labels.iter().map(label).collect(),
            version: "0.1.0".to_owned(),
            started_ms: 1,
            draining: false,
            peer: None,
            network: None,
            adaptive: None,
        };
        let key = self.store.keys().node(&name.parse().unwrap());
        self.write(&Txn::new().put(key, encode(&record))).await;
    }

    /// This node leads.
    pub(super) async fn lead(&self, name: &str) {
        let (keys, node) = (
            self.store.keys(),
            name.parse::<crate::task::Name>().unwrap(),
        );
        let address = format!("http://{name}:8700");
        let key = format!("{}1", keys.elect_prefix());
        let candidacy = encode(&Candidacy {
            node: node.clone(),
            address: address.clone(),
            drained: false,
        });
        let sent = self
            .store
            .connection()
            .commit(&Txn::new().put(key, candidacy))
            .await;
        let Sent::Committed(done) = sent else {
            panic!("{sent:?}")
        };
        let record = TermRecord {
            node,
            address,
            from_ms: 1,
            until_ms: None,
            ended_by: None,
            gap_ms: None,
        };
        self.write(&Txn::new().put(keys.term(done.revision), encode(&record)))
            .await;
    }

    async fn state(&self, id: &str) -> Value {
        self.get(&format!("/v1/tasks/{id}")).await.body["state"].clone()
    }
}

fn true_at(heard: &Heard) -> i64 {
    let revision = heard.body["revision"].as_i64().unwrap();
    assert_eq!(
        heard.headers["tenure-revision"].to_str().unwrap(),
        revision.to_string()
    );
    revision
}

async fn a_task_is_accepted_found_and_says_what_it_waits_for(backend: Backend) {
    let api = open(backend).await;
    let body = r#"{"kind":"mine","payload":{"b":123456789012345678901234567890,"a":1},"labels":{"x":"y"},"metadata":{"m":1}}"#;
    let heard = api.post_with("/v1/tasks", &[], body.to_owned()).await;
    assert_eq!(
        (heard.status, &heard.body["state"]),
        (StatusCode::CREATED, &json!("pending")),
        "{}",
        heard.body
    );
    let accepted_at = true_at(&heard);
    let path = heard.headers["location"].to_str().unwrap().to_owned();

    let found = api.get(&path).await;
    assert!(true_at(&found) >= accepted_at);
    assert_eq!(found.body["waiting_for"], "no live node runs kind `mine`");
    assert_eq!(
        (&found.body["labels"], &found.body["metadata"]),
        (&json!({"x": "y"}), &json!({"m": 1}))
    );
    let request = Request::get(&*path).body(Body::empty()).unwrap();
    let raw = api.router.clone().oneshot(request).await.unwrap();
    let raw = axum::body::to_bytes(raw.into_body(), 1 << 20)
        .await
        .unwrap();
    let raw = String::from_utf8(raw.to_vec()).unwrap();
    assert!(
        raw.contains(r#""payload":{"b":123456789012345678901234567890,"a":1}"#),
        "{raw}"
    );

    api.node("n1", &["mine"]).await;
    assert_eq!(api.get(&path).await.body["waiting_for"], "a leader");
    api.lead("n1").await;
    assert_eq!(api.get(&path).await.body["waiting_for"], Value::Null);

    let later = api
        .post("/v1/tasks", &json!({"kind": "mine", "delay_ms": 3_600_000}))
        .await;
    assert_eq!(later.body["state"], "scheduled");
    let found = api.get(later.headers["location"].to_str().unwrap()).await;
    assert!(
        found.body["waiting_for"]
            .as_str()
            .unwrap()
            .starts_with("its time, 20"),
        "{}",
        found.body
    );

    let missing = api
        .get("/v1/tasks/0192f0c1-6c00-7abc-8def-0123456789ab")
        .await;
    assert_eq!(
        (missing.status, &missing.body["code"]),
        (StatusCode::NOT_FOUND, &json!("no_such_task"))
    );
}

async fn a_repeated_submit_answers_the_first_and_another_request_is_refused(backend: Backend) {
    let api = open(backend).await;
    let body = json!({"kind": "noop", "idempotency_key": "k1"});
    let first = api.post("/v1/tasks", &body).await;
    let again = api
        .post_with(
            "/v1/tasks",
            &[("idempotency-key", "k1")],
            json!({"kind": "noop"}).to_string(),
        )
        .await;
    assert_eq!(
        (again.status, &again.body["id"]),
        (StatusCode::OK, &first.body["id"]),
        "{}",
        again.body
    );
    assert_eq!(again.headers["tenure-idempotent-replay"], "true");
    assert!(!first.headers.contains_key("tenure-idempotent-replay"));

    let other = api
        .post(
            "/v1/tasks",
            &json!({"kind": "noop", "idempotency_key": "k1", "priority": 6}),
        )
        .await;
    assert_eq!(
        (other.status, &other.body["code"]),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!("idempotency_key_reused")
        )
    );

    let batch = json!({"tasks": [{"kind": "noop"}, {"kind": "noop"}], "idempotency_key": "k2"});
    let (first, again) = (
        api.post("/v1/tasks/batch", &batch).await,
        api.post("/v1/tasks/batch", &batch).await,
    );
    assert_eq!(
        (first.status, again.status),
        (StatusCode::CREATED, StatusCode::OK),
        "{}",
        again.body
    );
    assert_eq!(first.body["ids"], again.body["ids"]);
    let other = api
        .post(
            "/v1/tasks/batch",
            &json!({"tasks": [{"kind": "noop"}], "idempotency_key": "k2"}),
        )
        .await;
    assert_eq!(other.body["code"], "idempotency_key_reused");
}

async fn a_batch_is_accepted_whole_or_not_at_all(backend: Backend) {
    let api = open(backend).await;
    let mut tasks: Vec<Value> = (0..1_000)
        .map(|nth| json!({"kind": "noop", "priority": nth % 9 + 1}))
        .collect();
    tasks[999]["priority"] = json!(10);
    let before = api.store.nodes().await.unwrap().1;
    let refused = api.post("/v1/tasks/batch", &json!({"tasks": tasks})).await;
    assert_eq!(refused.pointers(), ["/tasks/999/priority"]);
    assert_eq!(
        api.store.nodes().await.unwrap().1,
        before,
        "something was written"
    );

    tasks[999]["priority"] = json!(9);
    let accepted = api.post("/v1/tasks/batch", &json!({"tasks": tasks})).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{}", accepted.body);
    assert_eq!(accepted.body["ids"].as_array().unwrap().len(), 1_000);
    let queues = api.get("/v1/queues").await;
    true_at(&queues);
    assert_eq!(queues.body["items"][0]["pending"], 1_000);
    let stats = api.get("/v1/stats").await;
    assert_eq!(
        (&stats.body["tasks"]["pending"], &stats.body["leader"]),
        (&json!(1_000), &Value::Null)
    );
}

async fn pages_show_each_task_once_at_one_revision_and_an_old_cursor_is_gone(backend: Backend) {
    let api = open(backend).await;
    let tasks = vec![json!({"kind": "noop"}); 25];
    let ids = api
        .post("/v1/tasks/batch", &json!({"tasks": tasks}))
        .await
        .body["ids"]
        .clone();
    let (mut seen, mut path, mut revision) = (
        Vec::new(),
        "/v1/tasks?state=pending&limit=10".to_owned(),
        None,
    );
    let cursor = loop {
        let page = api.get(&path).await;
        assert_eq!(*revision.get_or_insert(true_at(&page)), true_at(&page));
        seen.extend(
            page.body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|task| task["id"].clone()),
        );
        match page.body["next_cursor"].as_str() {
            Some(next) => path = format!("/v1/tasks?state=pending&limit=10&cursor={next}"),
            None => break path,
        }
        api.post("/v1/tasks", &json!({"kind": "noop"})).await;
    };
    assert_eq!(Value::Array(seen), ids);
    let foreign = api.get(&cursor.replace("pending", "dead")).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);

    let now = api.store.nodes().await.unwrap().1;
    api.store.connection().compact(now).await.unwrap();
    let gone = api.get(&cursor).await;
    assert_eq!(
        (gone.status, &gone.body["code"]),
        (StatusCode::GONE, &json!("cursor_expired")),
        "{}",
        gone.body
    );
}

async fn a_waiting_task_is_cancelled_once_and_whoever_waits_hears_of_it(backend: Backend) {
    let api = open(backend).await;
    let ids = api
        .post(
            "/v1/tasks/batch",
            &json!({"tasks": [{"kind": "noop"}, {"kind": "noop"}]}),
        )
        .await
        .body["ids"]
        .clone();
    let id = |nth: usize| ids[nth].as_str().unwrap();
    let path = format!("/v1/tasks/{}?wait=30s&until=terminal", id(0));
    let cancelled = async {
        for nth in [1, 0] {
            let done = api
                .post(&format!("/v1/tasks/{}/cancel", id(nth)), &json!(null))
                .await;
            assert_eq!(
                (done.status, &done.body["state"]),
                (StatusCode::OK, &json!("cancelled")),
                "{}",
                done.body
            );
        }
    };
    let both = async { tokio::join!(api.get(&path), cancelled) };
    let (waited, ()) = timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(
        (&waited.body["state"], &waited.body["attempts"]),
        (&json!("cancelled"), &json!([]))
    );

    let again = api
        .post(&format!("/v1/tasks/{}/cancel", id(0)), &json!(null))
        .await;
    assert_eq!(
        (again.status, &again.body["code"]),
        (StatusCode::CONFLICT, &json!("wrong_state"))
    );
    let retried = api
        .post(&format!("/v1/tasks/{}/retry", id(0)), &json!(null))
        .await;
    assert_eq!(retried.status, StatusCode::CONFLICT);
    assert_eq!(api.state(id(1)).await, "cancelled");
}

async fn a_wait_ends_with_its_time_and_with_its_node(backend: Backend) {
    let api = open(backend).await;
    let task = api.post("/v1/tasks", &json!({"kind": "noop"})).await;
    let path = |wait| {
        format!(
            "/v1/tasks/{}?wait={wait}",
            task.body["id"].as_str().unwrap()
        )
    };
    let (path_50, path_60) = (path("50ms"), path("60s"));
    let over = timeout(Duration::from_secs(20), api.get(&path_50))
        .await
        .unwrap();
    assert_eq!(
        (over.status, &over.body["state"]),
        (StatusCode::OK, &json!("pending"))
    );

    let leaving = async { api.ready.send_modify(|ready| ready.draining = true) };
    let both = async { tokio::join!(api.get(&path_60), leaving) };
    let (left, ()) = timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(left.body["state"], "pending");
}

async fn nobody_leads_until_somebody_does_and_resigning_ends_it(backend: Backend) {
    let api = open(backend).await;
    for heard in [
        api.get("/v1/leader").await,
        api.post("/v1/leader/resign", &json!(null)).await,
    ] {
        assert_eq!(
            (heard.status, &heard.body["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("no_leader"))
        );
        assert!(heard.headers.contains_key("tenure-revision"));
    }
    api.node("n1", &["noop"]).await;
    api.node("n2", &["noop"]).await;
    api.lead("n1").await;

    let leader = api.get("/v1/leader").await;
    true_at(&leader);
    assert_eq!(
        (&leader.body["node"], &leader.body["address"]),
        (&json!("n1"), &json!("http://n1:8700"))
    );
    let nodes = api.get("/v1/nodes").await;
    let leads: Vec<_> = nodes.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (&node["id"], &node["leader"]))
        .collect();
    assert_eq!(
        leads,
        [(&json!("n1"), &json!(true)), (&json!("n2"), &json!(false))]
    );
    assert_eq!(
        api.get("/v1/nodes/n2").await.body["slots"],
        json!({"total": 2, "busy": 0})
    );
    assert_eq!(api.get("/v1/nodes/n2").await.body["adaptive"], json!(null));
    assert_eq!(api.get("/v1/nodes/n3").await.body["code"], "no_such_node");

    let resigned = api.post("/v1/leader/resign", &json!(null)).await;
    assert_eq!(
        (resigned.status, &resigned.body["term"]),
        (StatusCode::OK, &leader.body["term"]),
        "{}",
        resigned.body
    );
    assert_eq!(
        api.get("/v1/leader").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let history = api.get("/v1/leader/history").await;
    assert_eq!(history.body["items"][0]["ended_by"], "resigned");
}

async fn a_node_without_etcd_says_that_nothing_was_accepted(backend: Backend) {
    let mut api = open(backend).await;
    api.etcd.kill(0);
    let heard = timeout(
        Duration::from_mins(1),
        api.post("/v1/tasks", &json!({"kind": "noop"})),
    )
    .await
    .unwrap();
    let told = (heard.status, heard.body["code"].as_str().unwrap());
    let unavailable = (StatusCode::SERVICE_UNAVAILABLE, "etcd_unavailable");
    // Where the connection broke under the request it is not known.
    let unknown = (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown");
    assert!([unavailable, unknown].contains(&told), "{told:?}");
    assert_eq!(heard.headers["retry-after"], "1");
    api.driver.abort_all();
}

/// Over a socket, as users come: the server ends when it is told to, and finishes what it has.
#[tokio::test]
async fn the_server_ends_when_it_is_told_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(serve(
        listener,
        closed().router,
        &Vitals::default(),
        stop.clone(),
    ));
    let url = format!("http://{address}/livez");
    let client = {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .tls_certs_only([])
            .build()
            .unwrap()
    };
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);

    stop.cancel();

    let ended = timeout(Duration::from_secs(20), server.join_next())
        .await
        .unwrap();
    ended.unwrap().unwrap().unwrap();
    assert!(client.get(&url).send().await.is_err());
}
