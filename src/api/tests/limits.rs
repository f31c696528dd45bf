//! Limits and rules over HTTP: each edit by whoever saw what it changes, each fault named, and why a task waits.

use tenure_cluster::Txn;
use tenure_testkit::{Backend, on_each_backend};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::etcd::open;
use super::*;
use crate::store::{Outside, Run, encode};
use crate::task::{ClaimId, Gate, Name, Needs, PackId, Priority, Routing, Tally, Which};

on_each_backend!(
    a_semaphore_is_set_edited_by_version_and_taken_away,
    the_rules_of_a_queue_are_set_and_a_pause_is_kept,
    a_queue_is_listed_with_its_rules_also_where_it_has_no_work,
    a_pending_task_says_exactly_what_it_waits_for,
    a_submit_that_could_never_run_or_has_no_room_is_refused,
    a_schedule_that_asks_for_more_than_there_is_is_refused_by_the_limit_that_is_set_now,
);

async fn a_semaphore_is_set_edited_by_version_and_taken_away(backend: Backend) {
    let stage = open(backend).await;
    let path = "/v1/semaphores/db";
    let absent = stage
        .put(path, &[("if-match", "7")], &json!({"limit": 1}))
        .await;
    assert_eq!(absent.status, StatusCode::PRECONDITION_FAILED);
    let set = stage
        .put(path, &[("if-match", "0")], &json!({"limit": 3}))
        .await;
    assert_eq!(
        (set.status, &set.body["limit"]),
        (StatusCode::OK, &json!(3))
    );
    let version = set.body["version"].as_i64().unwrap();
    let again = stage
        .put(path, &[("if-match", "0")], &json!({"limit": 4}))
        .await;
    assert_eq!(again.body["code"], "changed");
    let same = stage.put(path, &[], &json!({"limit": 3})).await;
    assert_eq!(
        same.body["version"], version,
        "the same limit changes nothing"
    );
    let quoted = format!("\"{version}\"");
    let edited = stage
        .put(path, &[("if-match", &quoted)], &json!({"limit": 0}))
        .await;
    assert_eq!(
        (edited.status, &edited.body["limit"]),
        (StatusCode::OK, &json!(0))
    );

    for (body, field) in [
        (json!({"limit": -1}), "limit"),
        (json!({"limit": 1_000_001}), "limit"),
        (json!({"limit": "many"}), "limit"),
        (json!({}), ""),
        (json!({"limit": 1, "colour": 1}), "colour"),
    ] {
        let refused = stage.put(path, &[], &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    let bad = stage
        .put("/v1/semaphores/a%20b", &[], &json!({"limit": 1}))
        .await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    let odd = stage
        .put(path, &[("if-match", "new")], &json!({"limit": 1}))
        .await;
    assert_eq!(odd.body["code"], "invalid_parameter");

    let delete = Request::delete(path).body(Body::empty()).unwrap();
    let gone = stage.send(delete).await;
    assert_eq!(
        (gone.status, &gone.body["limit"]),
        (StatusCode::OK, &Value::Null)
    );
    assert_eq!(
        stage
            .store
            .semaphore(&name("db"))
            .await
            .unwrap()
            .map(|seen| seen.value),
        None
    );
}

async fn the_rules_of_a_queue_are_set_and_a_pause_is_kept(backend: Backend) {
    let stage = open(backend).await;
    let path = "/v1/queues/mail/rules";
    let none = stage.get(path).await;
    assert_eq!(
        (none.status, &none.body["version"]),
        (StatusCode::OK, &json!(0))
    );
    let rules = json!({"weight": 3, "concurrency": 5, "per_key": 2, "rate": {"tasks": 50}, "backlog_max": 1000});
    let set = stage.put(path, &[], &rules).await;
    assert_eq!(set.status, StatusCode::OK);
    assert_eq!(
        set.body["rate"],
        json!({"tasks": 50, "per_ms": 1000, "burst": 50})
    );
    let paused = stage
        .post("/v1/queues/mail/pause", &json!({"reason": "moving"}))
        .await;
    assert_eq!(paused.body["paused_for"], "moving");
    let edited = stage.put(path, &[], &json!({"weight": 1})).await;
    assert_eq!(
        (&edited.body["paused_for"], &edited.body["concurrency"]),
        (&json!("moving"), &Value::Null)
    );
    let resumed = stage
        .post_with("/v1/queues/mail/resume", &[], String::new())
        .await;
    assert_eq!(
        (resumed.status, &resumed.body["paused_at"]),
        (StatusCode::OK, &Value::Null)
    );

    for (body, field) in [
        (json!({"weight": 0}), "weight"),
        (json!({"concurrency": 0}), "concurrency"),
        (json!({"rate": {"tasks": 0}}), "rate.tasks"),
        (
            json!({"rate": {"tasks": 1, "per_ms": 86_400_001}}),
            "rate.per_ms",
        ),
        (json!({"rate": {"per_ms": 1}}), "rate"),
        (json!({"backlog_max": 0}), "backlog_max"),
    ] {
        let refused = stage.put(path, &[], &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    let long = json!({"reason": "x".repeat(201)});
    let refused = stage.post("/v1/queues/mail/pause", &long).await;
    assert_eq!(refused.body["errors"][0]["field"], "reason");
}

async fn a_queue_is_listed_with_its_rules_also_where_it_has_no_work(backend: Backend) {
    let stage = open(backend).await;
    let rules = json!({"weight": 3, "concurrency": 5});
    stage.put("/v1/queues/idle/rules", &[], &rules).await;
    let reason = json!({"reason": "moving"});
    stage.post("/v1/queues/mail/pause", &reason).await;
    stage
        .post("/v1/tasks", &json!({"kind": "noop", "queue": "mail"}))
        .await;
    stage.post("/v1/tasks", &json!({"kind": "noop"})).await;

    let heard = stage.get("/v1/queues").await;

    let row = |of: &Value| {
        let fields = ["name", "pending", "rules", "paused_for"];
        fields.map(|field| of[field].clone())
    };
    let rows: Vec<_> = heard.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(row)
        .collect();
    assert_eq!(
        rows,
        [
            [json!("default"), json!(1), Value::Null, Value::Null],
            [json!("idle"), json!(0), rules, Value::Null],
            [json!("mail"), json!(1), Value::Null, json!("moving")],
        ]
    );
    assert!(heard.body["items"][2]["paused_at"].is_string());
}

async fn a_pending_task_says_exactly_what_it_waits_for(backend: Backend) {
    let stage = open(backend).await;
    stage.node("n1", &["noop"]).await;
    stage.lead("n1").await;
    let submitted = stage
        .post(
            "/v1/tasks",
            &json!({"kind": "noop", "queue": "mail", "permits": [{"semaphore": "db", "weight": 2}], "locks": ["x"],
                "concurrency_key": "tenant", "node_labels": {"require": {"zone": "a"}}}),
        )
        .await;
    assert_eq!(submitted.status, StatusCode::CREATED);
    let id = submitted.body["id"].as_str().unwrap().to_owned();
    let waits = async |part: &str| {
        let task = stage.get(&format!("/v1/tasks/{id}")).await;
        let why = task.body["waiting_for"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(why.contains(part), "{part}: {why}");
    };
    waits("has the labels zone=a").await;
    stage.labelled("n1", &["noop"], &[("zone", "a")]).await;
    waits("semaphore `db`, which nobody declared").await;
    stage
        .put("/v1/semaphores/db", &[], &json!({"limit": 1}))
        .await;
    waits("it asks for 2, and the limit is 1").await;
    stage
        .put("/v1/semaphores/db", &[], &json!({"limit": 3}))
        .await;
    let keys = stage.store.keys();
    let outside = Outside {
        weight: 2,
        holder: "a migration".to_owned(),
        since_ms: 1,
        ttl_ms: 9,
    };
    let (db, x) = (Gate::Semaphore(name("db")), Gate::Lock(name("x")));
    stage
        .write(&Txn::new().put(keys.hold(&db, 1), encode(&outside)))
        .await;
    waits("semaphore `db`: 2 of 3 are held, it asks for 2").await;
    stage
        .write(
            &Txn::new()
                .delete(keys.hold(&db, 1))
                .put(keys.hold(&x, 1), encode(&outside)),
        )
        .await;
    waits("lock `x`, held by a migration").await;
    stage.write(&Txn::new().delete(keys.hold(&x, 1))).await;
    stage
        .put(
            "/v1/queues/mail/rules",
            &[],
            &json!({"per_key": 1, "concurrency": 1, "rate": {"tasks": 1}}),
        )
        .await;
    waits("the rate of queue `mail`, at most 1 in 1000 ms").await;
    let run = run();
    let key = keys.run(&name("n1"), ClaimId { term: 1, number: 1 });
    stage.write(&Txn::new().put(key, encode(&run))).await;
    waits("queue `mail`: 1 of 1 run").await;
    stage
        .put("/v1/queues/mail/rules", &[], &json!({"per_key": 1}))
        .await;
    waits("its concurrency key `tenant`: 1 of 1 run in queue `mail`").await;
    stage
        .post("/v1/queues/mail/pause", &json!({"reason": "moving"}))
        .await;
    waits("queue `mail`, which is paused: moving").await;
}

/// A claim of a task of the same queue and key.
fn run() -> Run {
    let needs = Needs {
        key: Some(name("tenant")),
        ..Needs::default()
    };
    Run {
        pack: PackId::floor(9),
        routing: Routing {
            queue: name("mail"),
            kind: name("noop"),
            priority: Priority::default(),
            needs: Some(needs.into()),
        },
        which: Which::only(0),
        size: 1,
        covers: true,
        tally: Tally::default(),
        session: 1,
        instance: "i".to_owned(),
        term: 1,
        decided: 1,
        n: 0,
        ready_ms: 1,
        claimed_ms: 1,
        inline: None,
    }
}

async fn a_submit_that_could_never_run_or_has_no_room_is_refused(backend: Backend) {
    let stage = open(backend).await;
    stage
        .put("/v1/semaphores/db", &[], &json!({"limit": 3}))
        .await;
    stage
        .put("/v1/queues/small/rules", &[], &json!({"backlog_max": 2}))
        .await;
    let closing = CancellationToken::new();
    let kept = stage
        .door
        .rulebook
        .clone()
        .keep(stage.store.clone(), closing.clone());
    let mut driver = JoinSet::new();
    driver.spawn(kept);
    let wide = json!({"kind": "noop", "permits": [{"semaphore": "db", "weight": 4}]});
    let refused = loop {
        let heard = stage.post("/v1/tasks", &wide).await;
        if heard.status != StatusCode::CREATED {
            break heard;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.pointers(), ["/permits/0/weight"]);
    let batch = stage
        .post(
            "/v1/tasks/batch",
            &json!({"tasks": [{"kind": "noop"}, wide]}),
        )
        .await;
    assert_eq!(batch.pointers(), ["/tasks/1/permits/0/weight"]);

    let one = json!({"kind": "noop", "queue": "small"});
    for _ in 0..2 {
        assert_eq!(
            stage.post("/v1/tasks", &one).await.status,
            StatusCode::CREATED
        );
    }
    let full = stage.post("/v1/tasks", &one).await;
    assert_eq!(
        (full.status, &full.body["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("backlog_full"))
    );
    assert!(full.headers.contains_key("retry-after"));
    assert_eq!(
        stage
            .post("/v1/tasks", &json!({"kind": "noop"}))
            .await
            .status,
        StatusCode::CREATED
    );
    closing.cancel();
    while driver.join_next().await.is_some() {}
}

async fn a_schedule_that_asks_for_more_than_there_is_is_refused_by_the_limit_that_is_set_now(
    backend: Backend,
) {
    let stage = open(backend).await;
    let set = async |limit: u32| {
        let limit = json!({"limit": limit});
        stage.put("/v1/semaphores/db", &[], &limit).await
    };
    set(3).await;
    let closing = CancellationToken::new();
    let rulebook = stage.door.rulebook.clone();
    let mut driver = JoinSet::new();
    driver.spawn(rulebook.keep(stage.store.clone(), closing.clone()));
    let wide = json!({"kind": "noop", "permits": [{"semaphore": "db", "weight": 4}]});
    let path = "/v1/schedules/wide";
    let asked = json!({"every_ms": 60_000, "task": wide});
    let refused = loop {
        let heard = stage.put(path, &[], &asked).await;
        if heard.status != StatusCode::OK {
            break heard;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.pointers(), ["/task/permits/0/weight"]);

    set(4).await;

    let taken = stage.put(path, &[], &asked).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    closing.cancel();
    while driver.join_next().await.is_some() {}
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
