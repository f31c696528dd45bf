//! Locks and permits over HTTP for whoever is no task. There is no leader: the tests grant what it would.

use tenure_testkit::{Backend, on_each_backend};
use uuid::Uuid;

use super::etcd::{Open, open};
use super::*;
use crate::store::{Change, Grant, OUTSIDE_MAX, Outside, Seen, Verdict};
use crate::task::{Gate, Name, PackId};

on_each_backend!(
    a_request_waits_is_granted_renewed_and_given_back_by_its_fence,
    whoever_waits_is_told_when_it_holds,
    whoever_is_one_too_many_for_a_node_is_told_at_once_that_it_waits,
    what_its_owner_never_heard_of_does_not_stand,
    a_semaphore_is_declared_by_a_limit_and_never_by_a_name_alone,
    who_asked_first_comes_first_whatever_its_id_and_clock_and_may_repeat_that,
    as_many_hold_and_wait_as_there_may_be_and_no_more,
);

pub(super) const LOCK: &str = "/v1/locks/deploy";

pub(super) fn gate() -> Gate {
    Gate::Lock(name("deploy"))
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn id(heard: &Heard) -> Uuid {
    heard.body["id"].as_str().unwrap().parse().unwrap()
}

impl Open {
    /// What a leader does; nothing where it does not wait yet.
    pub(super) async fn grant(&self, gate: &Gate, id: Uuid) -> Option<()> {
        let grant = self.granting(gate, id).await?;
        let verdict = self.store.commit(&grant).await;
        assert!(matches!(verdict, Verdict::Committed { .. }), "{verdict:?}");
        Some(())
    }

    /// What a leader would do.
    pub(super) async fn granting(&self, gate: &Gate, id: Uuid) -> Option<Change> {
        let range = tenure_cluster::Range::key(self.store.keys().want(gate, id.as_u128()));
        let kv = self.store.connection().range(&range).await.unwrap();
        let kv = kv.kvs.into_iter().next()?;
        let grant = Change::Grant(Grant {
            gate: gate.clone(),
            id: id.as_u128(),
            want: Seen::<Outside>::of(&kv).unwrap(),
            lease: kv.lease,
            rules: self.rules().await,
            now_ms: 7,
        });
        Some(grant)
    }

    async fn rules(&self) -> i64 {
        let range = tenure_cluster::Range::key(self.store.keys().rules());
        let page = self.store.connection().range(&range).await.unwrap();
        page.kvs.first().map_or(0, |kv| kv.mod_revision)
    }

    async fn delete(&self, path: &str) -> Heard {
        self.send(Request::delete(path).body(Body::empty()).unwrap())
            .await
    }
}

async fn a_request_waits_is_granted_renewed_and_given_back_by_its_fence(backend: Backend) {
    let stage = open(backend).await;
    let asked = json!({"id": Uuid::now_v7(), "holder": "me", "ttl_ms": 4_500});
    let path = format!("{LOCK}/holds");

    let first = stage.post(&path, &asked).await;
    let again = stage.post(&path, &asked).await;
    let second = stage.post(&path, &json!({"holder": "you"})).await;

    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(
        (&first.body["state"], &first.body["ahead"]),
        (&json!("waiting"), &json!(0))
    );
    assert_eq!(first.headers["location"], format!("{path}/{}", id(&first)));
    assert_eq!((again.status, id(&again)), (StatusCode::OK, id(&first)));
    assert_eq!(second.body["ahead"], 1);
    let other = json!({"id": id(&first), "holder": "another"});
    assert_eq!(
        stage.post(&path, &other).await.body["code"],
        "hold_id_reused"
    );
    let renewed = stage
        .post(&format!("{path}/{}/renew", id(&first)), &json!({}))
        .await;
    assert_eq!(
        renewed.body["expires_in_ms"], 5_000,
        "whole seconds, as etcd has them"
    );

    stage.grant(&gate(), id(&first)).await.unwrap();
    let own = format!("{path}/{}", id(&first));
    let held = stage.get(&own).await;
    let fence = held.body["fence"].as_i64().unwrap();
    assert_eq!(
        (&held.body["state"], &held.body["ahead"]),
        (&json!("held"), &Value::Null)
    );
    assert!(held.body["expires_in_ms"].as_u64().unwrap() <= 5_000);
    assert_eq!(stage.post(&path, &asked).await.body["fence"], fence);
    let all = stage.get(LOCK).await;
    assert_eq!(
        (&all.body["held"], &all.body["waiters"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(all.body["holds"][0]["holder"], "me");
    assert_eq!(all.body["waits"][0]["holder"], "you");
    let list = stage.get("/v1/locks").await;
    assert_eq!(list.body["items"][0]["name"], "deploy");

    for wrong in [own.clone(), format!("{own}?fence={}", fence - 1)] {
        let refused = stage.delete(&wrong).await;
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (StatusCode::CONFLICT, &json!("wrong_fence"))
        );
        assert!(
            refused.body["detail"]
                .as_str()
                .unwrap()
                .contains(&fence.to_string())
        );
    }
    let odd = stage.delete(&format!("{own}?fence=x")).await;
    assert_eq!(odd.body["errors"][0]["field"], "fence");
    assert_eq!(stage.get(&own).await.body["state"], "held");
    assert_eq!(
        stage.delete(&format!("{own}?fence={fence}")).await.status,
        StatusCode::OK
    );
    assert_eq!(stage.get(&own).await.body["code"], "no_such_hold");
    assert_eq!(
        stage.post(&format!("{own}/renew"), &json!({})).await.status,
        StatusCode::NOT_FOUND
    );
    let given_up = stage.delete(&format!("{path}/{}", id(&second))).await;
    assert_eq!(given_up.status, StatusCode::OK, "{}", given_up.body);
    assert_eq!(stage.get("/v1/locks").await.body["items"], json!([]));
}

async fn who_asked_first_comes_first_whatever_its_id_and_clock_and_may_repeat_that(
    backend: Backend,
) {
    let stage = open(backend).await;
    let path = format!("{LOCK}/holds");
    let last = Uuid::from_u128(u128::MAX);
    // Made by a clock that stands at the beginning of time, as after more than a minute.
    let old = PackId::floor(1).task(0).uuid();
    let asked = |id: Uuid| json!({"id": id, "holder": "me"});

    let first = stage.post(&path, &asked(last)).await;
    let second = stage.post(&path, &asked(old)).await;
    let again = stage.post(&path, &asked(old)).await;

    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(second.status, StatusCode::CREATED, "{}", second.body);
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    let ahead = [&first, &second, &again].map(|heard| heard.body["ahead"].as_u64());
    assert_eq!(ahead, [Some(0), Some(1), Some(1)]);
    let waits = stage.get(LOCK).await.body["waits"].clone();
    assert_eq!(
        (&waits[0]["id"], &waits[1]["id"]),
        (&json!(last), &json!(old))
    );
}

async fn as_many_hold_and_wait_as_there_may_be_and_no_more(backend: Backend) {
    let stage = open(backend).await;
    let (keys, gate) = (stage.store.keys(), Gate::Semaphore(name("db")));
    // What is in them does not matter here. One place is left; etcd takes 128 operations in a list.
    let held: Vec<u128> = (2..OUTSIDE_MAX.unsigned_abs().into()).collect();
    for some in held.chunks(128) {
        let txn = some.iter().fold(tenure_cluster::Txn::new(), |txn, id| {
            txn.put(keys.hold(&gate, *id), "")
        });
        stage.write(&txn).await;
    }
    let waits = tenure_cluster::Txn::new().put(keys.want(&gate, 1), "");
    stage.write(&waits).await;
    let path = format!("{LOCK}/holds");
    let last = json!({"holder": "me", "id": Uuid::now_v7()});

    let taken = stage.post(&path, &last).await;
    let refused = stage.post(&path, &json!({"holder": "you"})).await;

    assert_eq!(taken.status, StatusCode::CREATED, "{}", taken.body);
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("busy"))
    );
    assert_eq!(stage.post(&path, &last).await.status, StatusCode::OK);
}

async fn whoever_waits_is_told_when_it_holds(backend: Backend) {
    let stage = open(backend).await;
    let id = Uuid::now_v7();
    let path = format!("{LOCK}/holds");
    let asked = json!({"id": id, "holder": "me", "wait_ms": 30_000});

    let granting = async {
        while stage.grant(&gate(), id).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    let (held, ()) = tokio::join!(stage.post(&path, &asked), granting);

    assert_eq!(
        (held.status, &held.body["state"]),
        (StatusCode::CREATED, &json!("held"))
    );
    let patient = stage.get(&format!("{path}/{id}?wait=30s")).await;
    assert_eq!(patient.body["fence"], held.body["fence"]);
    let impatient = json!({"holder": "you", "wait_ms": 1});
    assert_eq!(stage.post(&path, &impatient).await.body["state"], "waiting");
}

/// Told as a refusal, what was asked for would stand, and come to hold for nobody.
async fn whoever_is_one_too_many_for_a_node_is_told_at_once_that_it_waits(backend: Backend) {
    let stage = open(backend).await;
    let crowd = stage.door.grants.crowd();
    let patient = json!({"holder": "me", "wait_ms": 30_000});

    let asked = stage.post(&format!("{LOCK}/holds"), &patient).await;
    let own = format!("{LOCK}/holds/{}", id(&asked));
    let looked = stage.get(&format!("{own}?wait=30s")).await;

    for heard in [&asked, &looked] {
        assert_eq!(heard.body["state"], "waiting", "{}", heard.body);
    }
    drop(crowd);
    stage.grant(&gate(), id(&asked)).await.unwrap();
    assert_eq!(stage.get(&own).await.body["state"], "held");
}

/// What waits for the lock: its key's value and lease.
async fn want(stage: &Open) -> Option<tenure_cluster::KeyValue> {
    let wants = tenure_cluster::Range::prefix(stage.store.keys().wants_of(&gate()));
    let page = stage.store.connection().range(&wants).await.unwrap();
    page.kvs.into_iter().next()
}

async fn what_its_owner_never_heard_of_does_not_stand(backend: Backend) {
    let stage = open(backend).await;
    let path = format!("{LOCK}/holds");
    for id in [None, Some(Uuid::now_v7())] {
        let asked = json!({"id": id, "holder": "me", "wait_ms": 300});
        // Only once it waits: taken before the request was read back, nobody could be told of it, and its lease is given back.
        let taking = async {
            while stage.door.grants.waiters() == 0 {
                tokio::task::yield_now().await;
            }
            let kv = want(&stage).await.unwrap();
            stage
                .write(&tenure_cluster::Txn::new().delete(&kv.key))
                .await;
            kv.lease
        };

        let (heard, lease) = tokio::join!(stage.post(&path, &asked), taking);

        assert_eq!(heard.body["code"], "no_such_hold", "{}", heard.body);
        let left = stage.store.connection().lease_remaining(lease).await;
        assert_eq!(left.unwrap().is_some(), id.is_some(), "{id:?}");
    }
}

async fn a_semaphore_is_declared_by_a_limit_and_never_by_a_name_alone(backend: Backend) {
    let stage = open(backend).await;
    let path = "/v1/semaphores/db/holds";

    let unknown = stage.post(path, &json!({"holder": "me"})).await;
    let heavy = json!({"holder": "me", "limit": 3, "weight": 4});
    let too_heavy = stage.post(path, &heavy).await;
    assert_eq!(
        (unknown.status, &unknown.body["code"]),
        (StatusCode::NOT_FOUND, &json!("no_such_semaphore"))
    );
    assert!(
        unknown.body["detail"]
            .as_str()
            .unwrap()
            .contains("tenure semaphore set db")
    );
    assert_eq!(
        too_heavy.body["errors"][0]["field"], "weight",
        "{}",
        too_heavy.body
    );
    assert_eq!(
        stage.get("/v1/semaphores").await.body["items"],
        json!([]),
        "refused, so not declared"
    );

    let declared = stage
        .post(path, &json!({"holder": "me", "limit": 3, "weight": 3}))
        .await;
    assert_eq!(declared.status, StatusCode::CREATED, "{}", declared.body);
    let differs = stage
        .post(path, &json!({"holder": "you", "limit": 4}))
        .await;
    assert_eq!(
        (differs.status, &differs.body["code"]),
        (StatusCode::CONFLICT, &json!("limit_differs"))
    );
    let detail = differs.body["detail"].as_str().unwrap();
    assert!(detail.contains('3') && detail.contains('4'), "{detail}");
    assert_eq!(
        stage.post(path, &json!({"holder": "you"})).await.status,
        StatusCode::CREATED
    );
    let seen = stage.get("/v1/semaphores/db").await;
    assert_eq!(
        (&seen.body["limit"], &seen.body["waiters"]),
        (&json!(3), &json!(2))
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_field_by_field() {
    let stage = closed();
    for (body, field) in [
        (json!({"holder": "me", "ttl_ms": 1_999}), "ttl_ms"),
        (json!({"holder": "me", "ttl_ms": 300_001}), "ttl_ms"),
        (json!({"holder": "me", "wait_ms": 30_001}), "wait_ms"),
        (json!({"holder": ""}), "holder"),
        (json!({"holder": "m".repeat(201)}), "holder"),
        (json!({"holder": "me", "weight": 1}), "weight"),
        (json!({"holder": "me", "id": "7"}), "id"),
    ] {
        let refused = stage.post(&format!("{LOCK}/holds"), &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    for (body, field) in [
        (json!({"holder": "me", "weight": 0}), "weight"),
        (json!({"holder": "me", "limit": 1_000_001}), "limit"),
    ] {
        let refused = stage.post("/v1/semaphores/db/holds", &body).await;
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    let reason = json!({"fence": 1, "reason": ""});
    let refused = stage.post(&format!("{LOCK}/release"), &reason).await;
    assert_eq!(refused.body["errors"][0]["field"], "reason");
    let name = stage
        .post("/v1/locks/a%20b/holds", &json!({"holder": "me"}))
        .await;
    assert_eq!(name.body["errors"][0]["field"], "name");
    let without = stage
        .post(&format!("{LOCK}/holds"), &json!({"holder": "me"}))
        .await;
    assert_eq!(
        without.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        without.body
    );
}
