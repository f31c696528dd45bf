//! Nodes drained and undrained over the API. There is no node that hands anything back: what would be is written.

use tenure_cluster::Txn;
use tenure_testkit::{Backend, on_each_backend};

use super::etcd::open;
use super::*;

on_each_backend!(
    a_drain_is_told_lasts_and_ends,
    who_cannot_be_drained_is_told_why,
    a_pending_task_says_which_nodes_are_drained,
);

async fn a_drain_is_told_lasts_and_ends(backend: Backend) {
    let stage = open(backend).await;
    stage.node("n1", &["noop"]).await;
    let why = json!({"reason": "a new kernel"});

    let drained = stage.post("/v1/nodes/n1/drain", &why).await;

    assert_eq!(drained.status, StatusCode::OK, "{}", drained.body);
    assert_eq!(drained.body["already"], false);
    let drain = drained.body["drain"].clone();
    assert_eq!(drain["reason"], "a new kernel");
    let node = stage.get("/v1/nodes/n1").await.body;
    assert_eq!(
        (&node["state"], &node["tasks"]),
        (&json!("drained"), &json!(0))
    );
    assert_eq!(node["drain"], drain);

    let again = stage.post("/v1/nodes/n1/drain", &json!({})).await;
    assert_eq!(
        (again.status, &again.body["already"]),
        (StatusCode::OK, &json!(true))
    );
    assert_eq!(again.body["drain"], drain);

    let gone = Txn::new().delete(stage.store.keys().node(&"n1".parse().unwrap()));
    stage.write(&gone).await;
    let page = stage.get("/v1/nodes").await.body;
    assert_eq!(page["items"], json!([]));
    assert_eq!(page["drained_names"][0]["node"], "n1");
    assert_eq!(page["drained_names"][0]["reason"], "a new kernel");
    stage.node("n1", &["noop"]).await;
    assert_eq!(stage.get("/v1/nodes/n1").await.body["state"], "drained");

    let back = stage.post("/v1/nodes/n1/undrain", &json!({})).await;
    assert_eq!(
        (&back.body["already"], &back.body["drain"]),
        (&json!(false), &Value::Null)
    );
    let node = stage.get("/v1/nodes/n1").await.body;
    assert_eq!((&node["state"], node.get("drain")), (&json!("live"), None));
    let back = stage.post("/v1/nodes/n1/undrain", &json!({})).await;
    assert_eq!(
        (back.status, &back.body["already"]),
        (StatusCode::OK, &json!(true))
    );
}

async fn who_cannot_be_drained_is_told_why(backend: Backend) {
    let stage = open(backend).await;
    for act in ["drain", "undrain"] {
        let heard = stage.post(&format!("/v1/nodes/n1/{act}"), &json!({})).await;
        assert_eq!(heard.status, StatusCode::NOT_FOUND);
        assert_eq!(heard.body["code"], "no_such_node");
        assert_eq!(heard.body["detail"], "no live node is named `n1`");
        let heard = stage.post(&format!("/v1/nodes/-/{act}"), &json!({})).await;
        assert_eq!(heard.body["errors"][0]["field"], "id", "{}", heard.body);
    }
    stage.node("n1", &["noop"]).await;
    let long = json!({"reason": "x".repeat(201)});
    let heard = stage.post("/v1/nodes/n1/drain", &long).await;
    assert_eq!(heard.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(heard.body["errors"][0]["field"], "reason");
    assert_eq!(stage.get("/v1/stats").await.body["nodes"], 1);
    let heard = stage.post("/v1/nodes/n1/drain", &json!({"why": "x"})).await;
    assert_eq!(heard.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(stage.get("/v1/nodes/n1").await.body["state"], "live");
}

async fn a_pending_task_says_which_nodes_are_drained(backend: Backend) {
    let stage = open(backend).await;
    stage.lead("n1").await;
    stage.node("n1", &["noop"]).await;
    stage.node("n2", &["sleep"]).await;
    let why = json!({"reason": "a new kernel"});
    stage.post("/v1/nodes/n1/drain", &why).await;
    stage.post("/v1/nodes/n2/drain", &json!({})).await;
    let stats = stage.get("/v1/stats").await.body;
    assert_eq!(
        (&stats["nodes"], &stats["slots"]["total"]),
        (&json!(0), &json!(0))
    );
    let task = stage.post("/v1/tasks", &json!({"kind": "noop"})).await;
    let id = task.body["id"].as_str().unwrap().to_owned();

    let told = stage.get(&format!("/v1/tasks/{id}")).await;

    assert_eq!(
        told.body["waiting_for"],
        "a node that runs `noop`: each that does is draining; `n1` is drained (a new kernel)"
    );
    stage.post("/v1/nodes/n1/undrain", &json!({})).await;
    let told = stage.get(&format!("/v1/tasks/{id}")).await;
    assert_eq!(told.body["waiting_for"], Value::Null);
}
