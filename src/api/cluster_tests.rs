//! What is told of nodes, terms and queues, from what the store says.

use super::*;

fn record() -> store::NodeRecord {
    store::NodeRecord {
        instance: "i".to_owned(),
        address: String::new(),
        slots: 4,
        kinds: Vec::new(),
        labels: BTreeMap::new(),
        version: String::new(),
        started_ms: 0,
        draining: false,
        peer: None,
        network: None,
        adaptive: None,
    }
}

#[test]
fn a_node_with_adaptive_slots_tells_what_its_record_says_of_them() {
    let record = store::NodeRecord {
        adaptive: Some(store::Adaptive {
            min: 2,
            max: 32,
            why: "memory".to_owned(),
            busy_percent: 75,
            in_hand: 3,
            waited_ms: 1_200,
            cpu_percent: None,
            cpu_stalled_percent: None,
            memory_percent: Some(93),
            memory_stalled_percent: Some(21),
        }),
        ..record()
    };
    let seen = NodeSeen {
        id: "a".parse().unwrap(),
        seen: store::Seen {
            value: record,
            created: 1,
            modified: 2,
        },
        tasks: 9,
        drain: None,
    };

    let node = serde_json::to_value(told_node(false, seen, 3)).unwrap();

    assert_eq!(node["slots"], serde_json::json!({"total": 4, "busy": 4}));
    let adaptive = serde_json::json!({
        "min": 2, "max": 32, "why": "memory", "busy_percent": 75, "in_hand": 3, "waited_ms": 1_200,
        "cpu_percent": null, "cpu_stalled_percent": null, "memory_percent": 93, "memory_stalled_percent": 21
    });
    assert_eq!(node["adaptive"], adaptive);
}

#[test]
fn a_node_is_drained_once_it_has_nothing_left() {
    let rows = [
        (false, false, 3, NodeState::Live),
        (false, true, 3, NodeState::Draining),
        (false, true, 0, NodeState::Drained),
        (true, false, 0, NodeState::Draining),
        (true, true, 0, NodeState::Draining),
    ];
    for (draining, drained, tasks, expected) in rows {
        let record = store::NodeRecord {
            draining,
            ..record()
        };
        assert_eq!(state(record.stand(drained, tasks > 0)), expected);
    }
}

#[test]
fn a_gap_is_told_at_the_term_that_ended() {
    let record = |from_ms, gap_ms| TermRecord {
        node: "a".parse().unwrap(),
        address: String::new(),
        from_ms,
        until_ms: None,
        ended_by: None,
        gap_ms,
    };
    let terms = vec![
        (9, record(3, Some(30))),
        (7, record(2, Some(20))),
        (5, record(1, None)),
    ];
    let items = told(terms, &BTreeMap::from([(5, 4), (7, 7)]));
    let told = |term: &Term| (term.term, term.leaderless_ms, term.failover);
    let told: Vec<_> = items.iter().map(told).collect();
    let expected = [
        (9, None, None),
        (7, Some(30), Some(7)),
        (5, Some(20), Some(4)),
    ];
    assert_eq!(told, expected);
}
