use super::*;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

type Seen = Arc<Mutex<Vec<Value>>>;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A server that takes everything and remembers it.
async fn stub(serving: &mut JoinSet<()>) -> (SocketAddr, Seen) {
    async fn one(
        State(seen): State<Seen>,
        Json(task): Json<Value>,
    ) -> (axum::http::StatusCode, Json<Value>) {
        seen.lock().unwrap().push(task);
        let answer = json!({ "id": ID, "state": "pending", "revision": 7 });
        (axum::http::StatusCode::CREATED, Json(answer))
    }
    async fn many(
        State(seen): State<Seen>,
        Json(batch): Json<Value>,
    ) -> (axum::http::StatusCode, Json<Value>) {
        let tasks = batch["tasks"].as_array().unwrap().clone();
        let answer = json!({ "ids": vec![ID; tasks.len()], "revision": 7 });
        seen.lock().unwrap().extend(tasks);
        (axum::http::StatusCode::CREATED, Json(answer))
    }
    let seen = Seen::default();
    let router = Router::new()
        .route("/v1/tasks", post(one))
        .route("/v1/tasks/batch", post(many))
        .with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, seen)
}

async fn sent(load: &Load) -> (Submitted, Vec<Value>) {
    let mut serving = JoinSet::new();
    let (address, seen) = stub(&mut serving).await;
    let (path, body) = load.body();
    let request = crate::http::request("POST", path, "t", &body);
    let submitted = load.send(request, &[address]).await.unwrap();
    let tasks = std::mem::take(&mut *seen.lock().unwrap());
    (submitted, tasks)
}

#[tokio::test]
async fn as_many_tasks_arrive_as_were_asked_for_one_by_one_and_in_batches() {
    for (packing, tasks) in [(Packing::Singles, 500), (Packing::Batches, 5_000)] {
        let (submitted, arrived) = sent(&Load::noops(packing, tasks)).await;

        assert_eq!(u64::try_from(arrived.len()).unwrap(), tasks);
        assert_eq!(submitted.ids.len(), arrived.len());
        assert!(submitted.ids.iter().all(|id| id == ID.as_bytes()));
        assert_eq!(arrived[0]["payload"].to_string().len(), PAYLOAD_BYTES);
    }
}

#[tokio::test]
async fn tasks_to_be_kept_apart_have_time_limits_of_their_own() {
    let (_, arrived) = sent(&Load::noops(Packing::Apart, 300)).await;

    let limits: BTreeSet<u64> = arrived
        .iter()
        .map(|task| task["timeout_ms"].as_u64().unwrap())
        .collect();
    assert_eq!(limits.len(), 300);
}

#[tokio::test]
async fn every_task_asks_for_its_permit_however_it_is_handed_in() {
    for packing in [Packing::Batches, Packing::Singles, Packing::Apart] {
        let load = Load {
            needs: Needs::Permit("wide"),
            ..Load::noops(packing, 2_000)
        };

        let (_, arrived) = sent(&load).await;

        let permits = json!([{ "semaphore": "wide", "weight": 1 }]);
        assert_eq!(arrived.len(), 2_000);
        assert!(arrived.iter().all(|task| task["permits"] == permits));
        assert!(arrived.iter().all(|task| task["locks"].is_null()));
    }
    let (_, arrived) = sent(&Load::noops(Packing::Batches, 2_000)).await;
    assert!(arrived.iter().all(|task| task["permits"].is_null()));
}

#[tokio::test]
async fn every_lock_is_named_equally_often_and_by_tasks_that_follow_each_other() {
    for (packing, tasks, names) in [
        (Packing::Batches, 5_000, 1_000),
        (Packing::Batches, 20_000, 100),
        (Packing::Batches, 300, 1),
        (Packing::Singles, 400, 20),
        (Packing::Apart, 400, 20),
    ] {
        let load = Load {
            needs: Needs::Lock { names },
            ..Load::noops(packing, tasks)
        };

        let (_, arrived) = sent(&load).await;

        let locks: Vec<String> = arrived
            .iter()
            .map(|task| task["locks"].to_string())
            .collect();
        let each = usize::try_from(tasks / names).unwrap();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for lock in &locks {
            *counts.entry(lock).or_default() += 1;
        }
        assert_eq!(u64::try_from(counts.len()).unwrap(), names);
        assert!(counts.values().all(|count| *count == each), "{counts:?}");
        if packing == Packing::Batches {
            // Requests arrive in any order, tasks within one do not.
            let alike = locks.windows(2).filter(|two| two[0] == two[1]).count();
            assert_eq!(alike, locks.len() - counts.len());
        }
        assert_eq!(arrived[0]["payload"].to_string().len(), PAYLOAD_BYTES);
    }
}

#[tokio::test]
async fn a_brake_that_nobody_releases_lets_its_bound_through_and_no_more() {
    let brake = Arc::new(Brake {
        open_max: 100,
        submitted: AtomicU64::new(0),
        finished: AtomicU64::new(0),
    });
    let load = Load {
        until: Some(Instant::now() + Duration::from_millis(300)),
        brake: Some(Arc::clone(&brake)),
        ..Load::noops(Packing::Singles, 10_000)
    };

    let (_, arrived) = sent(&load).await;

    // The check and the count of one connection are not parted by an await.
    assert_eq!(arrived.len(), 100);
}

#[tokio::test]
async fn a_refusal_ends_the_load_with_what_the_server_said() {
    let mut serving = JoinSet::new();
    let (address, _) = stub(&mut serving).await;
    let request = crate::http::request("POST", "/v1/elsewhere", "t", "{}");

    let refused = Load::noops(Packing::Singles, 10)
        .send(request, &[address])
        .await;

    assert!(refused.unwrap_err().to_string().contains("404"));
}
