use tenure_testkit::{Backend, Mode, Proxy, on_each_backend};

use super::etcd::open;
use super::*;
use crate::store::{Assign, Change, Take, Verdict, Waiting};
use crate::task::{ClaimId, TaskId, Which};

on_each_backend!(
    only_the_leader_that_was_read_is_dismissed,
    a_dismissal_whose_answer_was_lost_is_told_as_unknown,
    a_page_of_running_tasks_reads_the_claims_once,
);

async fn only_the_leader_that_was_read_is_dismissed(backend: Backend) {
    let api = open(backend).await;
    api.lead("n1").await;
    let first = api.store.leader().await.unwrap().0.unwrap();
    let gone = tenure_cluster::Txn::new().delete(&first.key);
    api.write(&gone).await;
    api.lead("n2").await;

    let (ended, revision) = api.store.dismiss(&first, 9).await.unwrap();

    assert!(!ended, "another term was ended than the one that was read");
    let second = api.store.leader_at(revision).await.unwrap().unwrap();
    assert_eq!(second.candidate.node.as_str(), "n2");
    assert!(api.store.dismiss(&second, 9).await.unwrap().0);
}

/// Told as a failed read, it would say that nothing was changed, and the term may have ended.
async fn a_dismissal_whose_answer_was_lost_is_told_as_unknown(backend: Backend) {
    let api = open(backend).await;
    api.lead("n1").await;
    let leader = api.store.leader().await.unwrap().0.unwrap();
    let proxy = Proxy::start(api.etcd.address(0)).await;
    let mut options = Options::new([proxy.endpoint()]);
    options.request_timeout = Duration::from_millis(300);
    let keys = api.store.keys().clone();
    let lossy = Store::new(Connection::open(options).unwrap(), keys);
    // Connecting may take longer than a request on a loaded machine.
    while lossy.leader().await.is_err() {}

    proxy.set(Mode::CutAnswers);
    let lost = lossy.dismiss(&leader, 9).await.unwrap_err();

    let (status, code, _) = ApiError::from(lost).told();
    assert_eq!(
        (status, code),
        (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown")
    );
}

fn ranges(recorder: &metrics_exporter_prometheus::PrometheusRecorder) -> usize {
    let page = recorder.handle().render();
    let of_ranges = page.lines().filter(|line| {
        line.starts_with("tenure_etcd_requests_total{") && line.contains(r#"op="range""#)
    });
    of_ranges
        .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        .sum()
}

async fn a_page_of_running_tasks_reads_the_claims_once(backend: Backend) {
    const TASKS: u64 = 12;
    let api = open(backend).await;
    api.node("n1", &["noop"]).await;
    let session = api.store.nodes().await.unwrap().0[0].seen.created;
    for number in 0..TASKS {
        let submitted = api.post("/v1/tasks", &json!({"kind": "noop"})).await;
        let id: TaskId = submitted.body["id"].as_str().unwrap().parse().unwrap();
        let (place, record, seen) = api
            .store
            .task(id)
            .await
            .unwrap()
            .0
            .unwrap()
            .waiting
            .unwrap();
        let assign = Change::Assign(Assign {
            from: Waiting {
                id: record,
                place,
                seen,
                now_ms: 1,
            },
            takes: vec![Take {
                claim: ClaimId { term: 1, number },
                node: "n1".parse().unwrap(),
                instance: "i1".to_owned(),
                session,
                which: Which::only(id.index()),
            }],
            term: 1,
            decided: 1,
            rules: 0,
        });
        let verdict = api.store.commit(&assign).await;
        assert!(matches!(verdict, Verdict::Committed { .. }), "{verdict:?}");
    }
    let recorder = crate::telemetry::recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);

    let page = api.get("/v1/tasks?state=running").await;

    let items = page.body["items"].as_array().unwrap();
    assert_eq!(items.len() as u64, TASKS);
    assert!(items.iter().all(|task| task["attempts"][0]["node"] == "n1"));
    // The page and the claims; for each task its pack, its outcomes, its record and its stop.
    assert_eq!(ranges(&recorder) as u64, 2 + 4 * TASKS);

    let before = ranges(&recorder);
    let stats = api.get("/v1/stats").await;
    assert_eq!(
        (&stats.body["tasks"]["running"], &stats.body["slots"]),
        (&json!(TASKS), &json!({"total": 2, "busy": 2}))
    );
    // Nodes, drains, candidates, lanes of both sorts and the one of them, claims, due and dead; the revision is asked for by another call.
    assert!(ranges(&recorder) - before <= 10, "claims are read again");
}
