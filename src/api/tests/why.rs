//! Why pending tasks wait behind others, and what those outside wait for. There is no leader that grants: what would be is written.

use tenure_cluster::Txn;
use tenure_testkit::{Backend, on_each_backend};
use uuid::Uuid;

use super::etcd::{Open, open};
use super::*;
use crate::store::{NodeRecord, Outside, encode};
use crate::task::{Gate, Name};

on_each_backend!(
    a_task_says_for_whom_the_rest_of_a_semaphore_is_kept,
    a_task_whose_nodes_are_all_draining_says_so,
    whoever_waits_outside_is_told_what_for,
    a_task_is_told_with_all_that_it_asks_for_and_nothing_that_it_does_not,
);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn outside(holder: &str, weight: u32) -> Vec<u8> {
    encode(&Outside {
        weight,
        holder: holder.to_owned(),
        since_ms: 1,
        ttl_ms: 9,
    })
}

impl Open {
    /// A task that asks for so much of `db`; its id.
    async fn asks(&self, weight: u32) -> String {
        let permits = json!([{"semaphore": "db", "weight": weight}]);
        let body = json!({"kind": "noop", "permits": permits});
        let heard = self.post("/v1/tasks", &body).await;
        heard.body["id"].as_str().unwrap().to_owned()
    }

    async fn why(&self, task: &str) -> Value {
        let task = self.get(&format!("/v1/tasks/{task}")).await;
        task.body["waiting_for"].clone()
    }

    async fn limit(&self, limit: u32) {
        let set = json!({"limit": limit});
        let set = self.put("/v1/semaphores/db", &[], &set).await;
        assert_eq!(set.status, StatusCode::OK);
    }
}

async fn a_task_says_for_whom_the_rest_of_a_semaphore_is_kept(backend: Backend) {
    let stage = open(backend).await;
    stage.node("n1", &["noop"]).await;
    stage.lead("n1").await;
    stage.limit(3).await;
    let (keys, db) = (stage.store.keys().clone(), Gate::Semaphore(name("db")));
    let held = Txn::new().put(keys.hold(&db, 1), outside("me", 1));
    stage.write(&held).await;
    let light = stage.asks(1).await;
    assert_eq!(stage.why(&light).await, Value::Null, "it only has to start");

    let wants = Txn::new()
        .put(keys.want(&db, 2), outside("a migration", 3))
        .put(keys.want(&db, 3), outside("another", 2));
    stage.write(&wants).await;

    assert_eq!(
        stage.why(&light).await,
        "semaphore `db`: what is left of it, 2 of 3, is kept for a migration, who asks for 3"
    );

    let none = Txn::new()
        .delete(keys.want(&db, 2))
        .delete(keys.want(&db, 3));
    stage.write(&none).await;
    let heavy = stage.asks(3).await;
    let behind = stage.asks(1).await;
    assert_eq!(stage.why(&light).await, Value::Null, "it comes first");
    assert_eq!(
        stage.why(&heavy).await,
        "semaphore `db`: 1 of 3 are held, it asks for 3"
    );
    assert_eq!(
        stage.why(&behind).await,
        Value::Null,
        "so does what it is behind"
    );

    let cancelled = stage
        .post(&format!("/v1/tasks/{light}/cancel"), &json!({}))
        .await;
    assert_eq!(cancelled.status, StatusCode::OK, "{}", cancelled.body);

    assert_eq!(
        stage.why(&behind).await,
        format!(
            "semaphore `db`: what is left of it, 2 of 3, is kept for task {heavy}, who asks for 3"
        )
    );
    stage.limit(2).await;
    assert_eq!(
        stage.why(&heavy).await,
        "semaphore `db`: it asks for 3, and the limit is 2"
    );
}

async fn a_task_whose_nodes_are_all_draining_says_so(backend: Backend) {
    let stage = open(backend).await;
    stage.lead("n1").await;
    let record = NodeRecord {
        instance: "i".to_owned(),
        address: String::new(),
        slots: 2,
        kinds: vec![name("noop")],
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        version: String::new(),
        started_ms: 1,
        draining: true,
        peer: None,
        network: None,
        adaptive: None,
    };
    let leaves = Txn::new().put(stage.store.keys().node(&name("n1")), encode(&record));
    stage.write(&leaves).await;
    let task = stage.asks(1).await;
    let there = json!({"kind": "noop", "node_labels": {"require": {"zone": "a"}}});
    let there = stage.post("/v1/tasks", &there).await.body["id"].clone();
    let there = there.as_str().unwrap();

    assert_eq!(
        stage.why(&task).await,
        "a node that runs `noop`: each that does is draining"
    );
    stage.node("n2", &["noop"]).await;
    assert_eq!(
        stage.why(there).await,
        "a node that runs `noop` and has the labels zone=a: each that does is draining"
    );
}

async fn whoever_waits_outside_is_told_what_for(backend: Backend) {
    let stage = open(backend).await;
    let path = "/v1/semaphores/db/holds";
    let asked = json!({"id": Uuid::now_v7(), "holder": "me", "limit": 3, "weight": 3});
    let heavy = stage.post(path, &asked).await;
    assert_eq!(heavy.body["waiting_for"], "a leader", "{}", heavy.body);
    let asked = json!({"id": Uuid::now_v7(), "holder": "you", "weight": 1});
    let light = stage.post(path, &asked).await;
    let own = |heard: &Heard| format!("{path}/{}", heard.body["id"].as_str().unwrap());
    // What is told may be a second old.
    let told = async |heard: &Heard, expected: &Value| loop {
        let why = stage.get(&own(heard)).await.body["waiting_for"].take();
        if why == *expected {
            return;
        }
        tokio::task::yield_now().await;
    };

    stage.lead("n1").await;
    told(&heavy, &Value::Null).await;
    let (keys, db) = (stage.store.keys(), Gate::Semaphore(name("db")));
    let held = Txn::new().put(keys.hold(&db, 1), outside("a migration", 1));
    stage.write(&held).await;
    told(
        &heavy,
        &json!("semaphore `db`: 1 of 3 are held, it asks for 3"),
    )
    .await;
    told(
        &light,
        &json!("semaphore `db`: what is left of it, 2 of 3, is kept for me, who asks for 3"),
    )
    .await;
    stage.limit(2).await;
    told(
        &heavy,
        &json!("semaphore `db`: it asks for 3, and the limit is 2"),
    )
    .await;
    let kept =
        "semaphore `db`: what is left of it, 1 of 2, is kept for me, who asks for 3, above that";
    told(&light, &json!(kept)).await;

    let deploy = Gate::Lock(name("deploy"));
    let held = Txn::new().put(keys.hold(&deploy, 1), outside("a migration", 1));
    stage.write(&held).await;
    let path = "/v1/locks/deploy/holds";
    let waits = json!({"id": Uuid::now_v7(), "holder": "me"});
    loop {
        let heard = stage.post(path, &waits).await;
        let why = heard.body["waiting_for"].as_str().unwrap_or_default();
        if why.starts_with("lock `deploy`, held by a migration, since fence ") {
            break;
        }
        tokio::task::yield_now().await;
    }
}

async fn a_task_is_told_with_all_that_it_asks_for_and_nothing_that_it_does_not(backend: Backend) {
    let stage = open(backend).await;
    let asked = json!({
        "permits": [{"semaphore": "db", "weight": 2}],
        "locks": ["ledger"],
        "concurrency_key": "tenant-42",
        "node_labels": {"require": {"gpu": "yes"}, "prefer": {"zone": "a"}},
    });
    let mut body = asked.clone();
    body["kind"] = json!("noop");
    let id = stage.post("/v1/tasks", &body).await.body["id"].clone();
    let told = stage
        .get(&format!("/v1/tasks/{}", id.as_str().unwrap()))
        .await;
    for (part, asked) in asked.as_object().unwrap() {
        assert_eq!(told.body[part], *asked, "{part}");
    }
    let id = stage.post("/v1/tasks", &json!({"kind": "noop"})).await.body["id"].clone();
    let told = stage
        .get(&format!("/v1/tasks/{}", id.as_str().unwrap()))
        .await;
    let told = told.body.as_object().unwrap();
    assert!(
        asked
            .as_object()
            .unwrap()
            .keys()
            .all(|part| !told.contains_key(part)),
        "{told:?}"
    );
}
