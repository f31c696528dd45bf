//! Holds that are taken by force: which of several, on record, and never a task's.

use tenure_testkit::{Backend, on_each_backend};

use super::etcd::{Open, open};
use super::holds::{LOCK, gate, id, name};
use super::*;
use crate::store::{Run, encode};
use crate::task::{ClaimId, Gate, Needs, PackId, Priority, Routing, Tally, Which};

on_each_backend!(
    a_hold_is_taken_by_its_fence_on_record_and_a_task_is_not,
    a_fence_of_several_takes_none_until_one_is_named_and_asked_again_no_other,
);

async fn a_hold_is_taken_by_its_fence_on_record_and_a_task_is_not(backend: Backend) {
    let stage = open(backend).await;
    let asked = stage
        .post(&format!("{LOCK}/holds"), &json!({"holder": "me"}))
        .await;
    stage.grant(&gate(), id(&asked)).await.unwrap();
    let held = stage.get(LOCK).await.body["holds"][0].clone();
    let path = format!("{LOCK}/release");

    let wrong = stage
        .post(&path, &json!({"fence": 1, "reason": "stuck"}))
        .await;
    assert_eq!(
        (wrong.status, &wrong.body["code"]),
        (StatusCode::CONFLICT, &json!("wrong_fence"))
    );
    let taken = stage
        .post(&path, &json!({"fence": held["fence"], "reason": "stuck"}))
        .await;

    assert_eq!(
        (taken.status, &taken.body["released"]["holder"]),
        (StatusCode::OK, &json!("me"))
    );
    let after = stage.get(LOCK).await;
    assert_eq!(
        (&after.body["held"], &after.body["released"][0]["reason"]),
        (&json!(0), &json!("stuck"))
    );
    let renew = format!("{LOCK}/holds/{}/renew", id(&asked));
    assert_eq!(
        stage.post(&renew, &json!({})).await.body["code"],
        "no_such_hold"
    );

    let fence = stage.claim_with_lock().await;
    let tasks = stage
        .post(&path, &json!({"fence": fence, "reason": "stuck"}))
        .await;
    assert_eq!(
        (tasks.status, &tasks.body["code"]),
        (StatusCode::CONFLICT, &json!("held_by_task"))
    );
    assert!(
        tasks.body["detail"]
            .as_str()
            .unwrap()
            .contains("cancel the task")
    );
    let seen = stage.get(LOCK).await;
    let told = ["node", "attempt", "since"].map(|part| seen.body["holds"][0][part].clone());
    let should = [json!("a"), json!(1), json!("2023-11-14T22:13:20.000Z")];
    assert_eq!(told, should);
}

async fn a_fence_of_several_takes_none_until_one_is_named_and_asked_again_no_other(
    backend: Backend,
) {
    let stage = open(backend).await;
    let (gate, path) = (Gate::Semaphore(name("db")), "/v1/semaphores/db");
    let mut grants = Vec::new();
    let mut ids = Vec::new();
    for holder in ["me", "you"] {
        let asked = json!({"holder": holder, "limit": 3});
        let id = id(&stage.post(&format!("{path}/holds"), &asked).await);
        grants.push(stage.granting(&gate, id).await.unwrap());
        ids.push(id);
    }
    stage.store.commit_batch(None, &grants).await;
    let held = stage.get(path).await.body["holds"].clone();
    let fence = &held[0]["fence"];
    assert!(fence.is_i64() && *fence == held[1]["fence"], "{held}");
    let release = format!("{path}/release");
    let by_fence = json!({"fence": fence, "reason": "stuck"});

    let both = stage.post(&release, &by_fence).await;
    let detail = both.body["detail"].as_str().unwrap().to_owned();
    let told = (both.status, &both.body["code"]);
    assert_eq!(told, (StatusCode::CONFLICT, &json!("ambiguous_fence")));
    assert!(ids.iter().all(|id| detail.contains(&id.to_string())) && detail.contains("--id"));

    let by_id = json!({"fence": fence, "id": ids[1], "reason": "stuck"});
    for _copy in 0..2 {
        let taken = stage.post(&release, &by_id).await;
        assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
        assert_eq!(taken.body["released"]["holder"], "you");
    }
    let fence_alone = stage.post(&release, &by_fence).await;
    assert_eq!(fence_alone.body["code"], "ambiguous_fence", "it was of two");
    let seen = stage.get(path).await.body;
    let left = (&seen["held"], &seen["holds"][0]["holder"]);
    assert_eq!(left, (&json!(1), &json!("me")));
    let wrong = json!({"fence": 1, "id": ids[0], "reason": "stuck"});
    let wrong = stage.post(&release, &wrong).await;
    assert!(
        wrong.body["detail"]
            .as_str()
            .unwrap()
            .contains(&fence.to_string())
    );
}

impl Open {
    /// A task that holds the lock on node a; its fence.
    async fn claim_with_lock(&self) -> i64 {
        let needs = Needs {
            locks: vec![name("deploy")],
            ..Needs::default()
        };
        let run = Run {
            pack: PackId::floor(5),
            routing: Routing {
                queue: name("q"),
                kind: name("k"),
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
            ready_ms: 0,
            claimed_ms: 1_700_000_000_000,
            inline: None,
        };
        let claim = ClaimId { term: 1, number: 1 };
        let key = self.store.keys().run(&name("a"), claim);
        let put = tenure_cluster::Txn::new().put(&key, encode(&run));
        self.write(&put).await;
        let page = self
            .store
            .connection()
            .range(&tenure_cluster::Range::key(key))
            .await;
        page.unwrap().kvs[0].create_revision
    }
}
