//! Levels of service over HTTP, by what the node's watchman and its look at limits tell: whose submits are refused, and that it is counted.

use tenure_testkit::{Backend, on_each_backend};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::etcd::{Open, open};
use super::*;
use crate::store::Importance;

on_each_backend!(
    the_lowest_queues_are_shed_first,
    a_machine_that_is_short_sheds_as_a_loaded_node_does,
    without_etcd_nothing_new_is_taken,
    a_backlog_near_its_bound_sheds_queues_of_low_importance,
);

const QUEUES: [&str; 3] = ["low", "default", "high"];

/// A queue of each importance, and what keeps the node's rules up to date until it is dropped.
async fn ranked(stage: &Open) -> JoinSet<()> {
    for importance in ["low", "high"] {
        let path = format!("/v1/queues/{importance}/rules");
        let set = stage
            .put(&path, &[], &json!({"importance": importance}))
            .await;
        assert_eq!(
            (set.status, &set.body["importance"]),
            (StatusCode::OK, &json!(importance))
        );
    }
    let rulebook = stage.door.rulebook.clone();
    let mut driver = JoinSet::new();
    driver.spawn(rulebook.keep(stage.store.clone(), CancellationToken::new()));
    let high: crate::task::Name = "high".parse().unwrap();
    while stage.door.rulebook.importance(&high) != Importance::High {
        tokio::task::yield_now().await;
    }
    driver
}

/// Which of the queues a submit is taken to; each refusal has this status and code.
async fn taken(stage: &Open, refusal: (StatusCode, &str)) -> Vec<&'static str> {
    let mut taken = Vec::new();
    for queue in QUEUES {
        let body = json!({"kind": "noop", "queue": queue});
        let heard = stage.post("/v1/tasks", &body).await;
        if heard.status == StatusCode::CREATED {
            taken.push(queue);
        } else {
            let told = (heard.status, heard.body["code"].as_str().unwrap());
            assert_eq!(told, refusal, "{}", heard.body);
            assert!(heard.headers.contains_key("retry-after"));
        }
    }
    taken
}

const SHORT: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "service_reduced");
const FULL: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "etcd_nearly_full");
const LOADED: (StatusCode, &str) = (StatusCode::TOO_MANY_REQUESTS, "service_reduced");

async fn the_lowest_queues_are_shed_first(backend: Backend) {
    let stage = open(backend).await;
    let _driver = ranked(&stage).await;
    let recorder = crate::telemetry::recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    for (in_use, level, served, refusal) in [
        (69, "full", QUEUES.as_slice(), SHORT),
        (70, "reduced", &["default", "high"], SHORT),
        (75, "minimal", &["high"], SHORT),
        (80, "emergency", &[], FULL),
    ] {
        stage.usage.send_modify(|usage| {
            (usage.room.in_use, usage.room.quota) = (in_use, 100);
        });
        let stats = stage.get("/v1/stats").await;
        assert_eq!(stats.body["service"]["level"], level);
        assert_eq!(stats.body["etcd"]["full"], level == "emergency");

        assert_eq!(taken(&stage, refusal).await, served, "{level}");
    }
    let page = recorder.handle().render();
    for (level, shed) in [("reduced", 1), ("minimal", 2), ("emergency", 3)] {
        let line = format!("tenure_submits_shed_total{{level=\"{level}\"}} {shed}");
        assert!(page.contains(&line), "{line}: {page}");
    }
}

async fn a_machine_that_is_short_sheds_as_a_loaded_node_does(backend: Backend) {
    let stage = open(backend).await;
    let _driver = ranked(&stage).await;
    for (memory, served) in [
        (0.94, QUEUES.as_slice()),
        (0.95, &["default", "high"]),
        (0.98, &["high"]),
        (1.0, &["high"]),
    ] {
        stage
            .usage
            .send_modify(|usage| usage.strain.memory = memory);
        assert_eq!(taken(&stage, LOADED).await, served, "{memory}");
    }
    stage.usage.send_modify(|usage| {
        (usage.strain.memory, usage.strain.cpu) = (0.0, 1.0);
    });
    assert_eq!(taken(&stage, LOADED).await, QUEUES, "it only works hard");
}

async fn without_etcd_nothing_new_is_taken(backend: Backend) {
    let stage = open(backend).await;
    stage.usage.send_modify(|usage| usage.silent = true);

    assert_eq!(taken(&stage, SHORT).await, [""; 0]);
    let hold = stage
        .post("/v1/locks/deploy/holds", &json!({"holder": "me"}))
        .await;
    assert_eq!(
        (hold.status, hold.body["code"].as_str()),
        (SHORT.0, Some(SHORT.1))
    );
    let why = hold.body["detail"].as_str().unwrap();
    assert!(
        why.contains("emergency") && why.contains("etcd does not answer"),
        "{why}"
    );
}

/// Backlogs are counted every second: within a minute this much of the fullest is known.
async fn counted(stage: &Open, part: f64) {
    let known = async {
        while stage.door.rulebook.fullest() < part {
            tokio::task::yield_now().await;
        }
    };
    let known = tokio::time::timeout(Duration::from_mins(1), known).await;
    known.expect("the backlog was not counted");
}

async fn a_backlog_near_its_bound_sheds_queues_of_low_importance(backend: Backend) {
    let stage = open(backend).await;
    let _driver = ranked(&stage).await;
    let bound = json!({"backlog_max": 10});
    stage.put("/v1/queues/bounded/rules", &[], &bound).await;
    let one = json!({"kind": "noop", "queue": "bounded"});
    for _ in 0..8 {
        assert_eq!(
            stage.post("/v1/tasks", &one).await.status,
            StatusCode::CREATED
        );
    }
    counted(&stage, 0.8).await;
    assert_eq!(taken(&stage, LOADED).await, QUEUES);
    assert_eq!(
        stage.post("/v1/tasks", &one).await.status,
        StatusCode::CREATED
    );
    counted(&stage, 0.9).await;

    assert_eq!(taken(&stage, LOADED).await, ["default", "high"]);

    let stats = stage.get("/v1/stats").await;
    let why = stats.body["service"]["why"].as_str().unwrap();
    assert!(why.contains("90 % of a queue's backlog_max"), "{why}");
}
