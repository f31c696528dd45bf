use std::collections::BTreeMap;

use tenure_testkit::{Backend, on_each_backend};

use super::etcd::open;
use super::*;
use crate::store::{
    Change, Evidence, Failover, Gone, How, LastSeen, Moved, Sign, Started, Succession, Teller,
    Telling, Verdict,
};
use crate::task::PackId;

on_each_backend!(
    failovers_are_listed_begun_last_first_and_page_by_page,
    one_failover_is_told_whole,
    a_term_that_is_over_names_its_failover,
);

fn record(id: i64, term: Option<i64>) -> Failover {
    let teller = Teller {
        node: "n2".parse().unwrap(),
        term: 90,
        from_ms: 1_020,
    };
    Failover {
        node: "n1".parse().unwrap(),
        instance: Some("i1".to_owned()),
        session: Some(id),
        died: true,
        term,
        evidence: Some(Evidence::Refused),
        by: Some("n2".parse().unwrap()),
        noticed_ms: Some(1_005),
        last_seen: Some(LastSeen {
            at_ms: 1_000,
            sign: Sign::Link,
        }),
        gone: Gone {
            at_ms: 1_010,
            how: How::Watched,
            revision: Some(50),
        },
        succession: term.map(|_| Succession {
            node: "n2".parse().unwrap(),
            term: 90,
            oldest_ms: 1,
            activated_ms: 4,
            view_ms: Some(6),
            assigned_ms: None,
        }),
        moved: Moved {
            tasks: 3,
            started: 2,
            ended: 0,
            waits: BTreeMap::from([(7, 1), (30, 1)]),
            first: vec![Started {
                task: PackId::floor(5).task(1),
                node: "n3".parse().unwrap(),
                wait_ms: 7,
            }],
            reclaimed_ms: Some(6),
        },
        told_by: vec![teller],
        complete_ms: None,
    }
}

async fn told(stage: &Stage, id: i64, term: Option<i64>) {
    let tell = Change::Tell(Telling {
        id,
        record: record(id, term).into(),
        seen: 0,
        forget: Vec::new(),
        swept: Vec::new(),
    });
    let verdict = stage.store.commit(&tell).await;
    assert!(matches!(verdict, Verdict::Committed { .. }), "{verdict:?}");
}

fn ids(heard: &Heard) -> Vec<i64> {
    let items = heard.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect()
}

async fn failovers_are_listed_begun_last_first_and_page_by_page(backend: Backend) {
    let stage = open(backend).await;
    assert_eq!(ids(&stage.get("/v1/failovers").await), Vec::<i64>::new());
    for id in [30, 10, 20] {
        told(&stage, id, None).await;
    }

    let all = stage.get("/v1/failovers").await;
    assert_eq!(ids(&all), [20, 10, 30]);
    assert_eq!(all.body["next_cursor"], Value::Null);
    assert!(
        all.body["items"][0]["tasks"].get("list").is_none(),
        "{}",
        all.body
    );
    let first = stage.get("/v1/failovers?limit=2").await;
    assert_eq!(ids(&first), [20, 10]);
    told(&stage, 40, None).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = stage
        .get(&format!("/v1/failovers?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(
        (ids(&second), &second.body["next_cursor"]),
        (vec![30], &Value::Null)
    );
    assert_eq!(
        second.body["revision"], first.body["revision"],
        "at one revision"
    );
    for wrong in [
        "limit=0",
        "limit=101",
        "cursor=x",
        "cursor=1.2",
        "cursor=0.1.1",
        "page=2",
    ] {
        let heard = stage.get(&format!("/v1/failovers?{wrong}")).await;
        assert_eq!(
            heard.body["code"], "invalid_parameter",
            "{wrong}: {}",
            heard.body
        );
    }
    let now = stage.store.revision().await.unwrap();
    stage.store.connection().compact(now).await.unwrap();
    let late = stage.get(&format!("/v1/failovers?cursor={cursor}")).await;
    assert_eq!(
        (late.status, &late.body["code"]),
        (StatusCode::GONE, &json!("cursor_expired"))
    );
}

async fn one_failover_is_told_whole(backend: Backend) {
    let stage = open(backend).await;
    told(&stage, 30, Some(31)).await;

    let heard = stage.get("/v1/failovers/30").await;

    let revision = heard.headers["tenure-revision"]
        .to_str()
        .unwrap()
        .to_owned();
    let expected = json!({
        "id": 30, "of": "leader", "node": "n1", "instance": "i1", "session": 30, "died": true, "term": 31, "evidence": "refused",
        "by": "n2", "last_seen_at": "1970-01-01T00:00:01.000Z", "last_seen_by": "link", "noticed_at": "1970-01-01T00:00:01.005Z",
        "gone_at": "1970-01-01T00:00:01.010Z", "gone_how": "watched", "gone_revision": 50, "detection_ms": 10,
        "succession": {"node": "n2", "term": 90, "oldest_ms": 1, "leaderless_ms": 4, "view_ms": 6, "assigned_ms": null},
        "tasks": {"held": 3, "started": 2, "ended": 0, "open": 1, "reclaimed_ms": 6, "wait_p50_ms": 7, "wait_max_ms": 30,
            "list": [{"task": PackId::floor(5).task(1).uuid(), "node": "n3", "wait_ms": 7}]},
        "told_by": [{"node": "n2", "term": 90, "from": "1970-01-01T00:00:01.020Z"}],
        "complete_at": null, "revision": revision.parse::<i64>().unwrap(),
    });
    assert_eq!(heard.body, expected);
    for unknown in ["31", "0", "-3", "n1"] {
        let heard = stage.get(&format!("/v1/failovers/{unknown}")).await;
        assert_eq!(
            (heard.status, &heard.body["code"]),
            (StatusCode::NOT_FOUND, &json!("no_such_failover"))
        );
    }
}

async fn a_term_that_is_over_names_its_failover(backend: Backend) {
    let stage = open(backend).await;
    stage.lead("n1").await;
    let term = stage.store.leader().await.unwrap().0.unwrap().term;
    let history = stage.get("/v1/leader/history").await;
    assert_eq!(history.body["items"][0]["failover"], Value::Null);

    told(&stage, 30, Some(term)).await;

    let history = stage.get("/v1/leader/history").await;
    assert_eq!(history.body["items"][0]["failover"], 30, "{}", history.body);

    let key = stage.store.keys().failover(30);
    let torn = tenure_cluster::Txn::new().put(key, "{");
    stage.write(&torn).await;

    let history = stage.get("/v1/leader/history").await;
    assert_eq!(history.status, StatusCode::OK, "terms are told without it");
    assert_eq!(history.body["items"][0]["term"], term);
    assert_eq!(history.body["items"][0]["failover"], Value::Null);
}
