//! How failovers are shown.

use serde_json::json;

use super::*;

fn of(told: serde_json::Value) -> Failover {
    serde_json::from_value(told).unwrap()
}

fn leader() -> Failover {
    of(json!({
        "id": 12, "of": "leader", "node": "n1", "instance": "i", "session": 12, "died": true, "term": 13,
        "evidence": "refused", "by": "n2", "last_seen_at": "2026-01-31T12:00:00.000Z", "last_seen_by": "link",
        "noticed_at": "2026-01-31T12:00:00.012Z", "gone_at": "2026-01-31T12:00:00.020Z", "gone_how": "watched",
        "gone_revision": 90, "detection_ms": 20,
        "succession": {"node": "n2", "term": 15, "oldest_ms": 0, "leaderless_ms": 4, "view_ms": 9, "assigned_ms": 17},
        "tasks": {"held": 3, "started": 2, "ended": 1, "open": 0, "reclaimed_ms": 12, "wait_p50_ms": 17, "wait_max_ms": 31,
            "list": [{"task": "0192f0c1-6c00-7abc-8def-012345678900", "node": "n3", "wait_ms": 17}]},
        "told_by": [{"node": "n2", "term": 15, "from": "2026-01-31T12:00:00.024Z"}],
        "complete_at": "2026-01-31T12:00:00.060Z", "revision": 100,
    }))
}

#[test]
fn a_leaders_end_is_told_from_the_last_word_to_the_last_task() {
    let told = one(&leader());

    for line in [
        "failover 12: leader n1 died; it led term 13",
        "12:00:00.000 last word over the link to n2",
        "12:00:00.012 n2 noticed: the link broke and connecting anew was refused; it put that on record",
        "12:00:00.020 +0 ms n2 saw its key gone",
        "12:00:00.024 +4 ms n2 was answered that it leads, term 15; nobody had led for 4ms",
        "12:00:00.037 +17 ms the first assignment of its term was committed",
        "12:00:00.051 +31 ms the last of its tasks was started elsewhere; median wait 17 ms",
        "it held 3 tasks: 2 started elsewhere, 1 ended or wait for a time or a decision",
        "and 1 more",
    ] {
        let mut shown = told.lines().map(words);
        assert!(shown.any(|shown| shown == line), "{line} is not in\n{told}");
    }
}

/// With one space between words, whatever the columns' widths.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_heading_says_what_is_over_and_what_lives() {
    let stepped_down = Failover {
        died: false,
        session: None,
        evidence: Some(FailoverEvidence::Left),
        ..leader()
    };
    for (told, head) in [
        (
            stepped_down.clone(),
            "leader n1 stepped down; it had led term 13, its node lives",
        ),
        (
            Failover {
                evidence: Some(FailoverEvidence::Key),
                ..stepped_down
            },
            "leader n1 lost its term; it had led term 13, its node lives",
        ),
        (
            Failover {
                of: FailoverOf::Node,
                term: None,
                ..leader()
            },
            "node n1 died",
        ),
        (
            Failover {
                evidence: Some(FailoverEvidence::Lease),
                ..leader()
            },
            "leader n1 lost its session; it led term 13",
        ),
    ] {
        let shown = one(&told);
        let first = shown.lines().next().unwrap();
        assert_eq!(first, format!("failover 12: {head}"));
    }
}

#[test]
fn what_is_said_to_be_the_last_is_the_last() {
    for (open, complete_at, which) in [
        (0, None, "the last of its tasks was"),
        (1, None, "the latest so far of its tasks was"),
        (
            1,
            leader().complete_at,
            "the last that was seen of its tasks was",
        ),
    ] {
        let mut told = leader();
        told.tasks.open = open;
        told.complete_at = complete_at;
        let shown = one(&told);
        assert!(shown.contains(which), "{which} is not in\n{shown}");
    }
}

#[test]
fn what_nobody_saw_is_not_told() {
    let unknown = of(json!({
        "id": 12, "of": "node", "node": "n1", "instance": null, "session": 12, "died": true, "term": null, "evidence": null,
        "by": null, "last_seen_at": null, "last_seen_by": null, "noticed_at": null, "gone_at": "2026-01-31T12:00:00.020Z",
        "gone_how": "found", "gone_revision": null, "detection_ms": null, "succession": null,
        "tasks": {"held": 2, "started": 1, "ended": 0, "open": 1, "reclaimed_ms": null, "wait_p50_ms": 7, "wait_max_ms": 7},
        "told_by": [], "complete_at": null, "revision": 100,
    }));

    let told = one(&unknown);

    assert!(told.contains("node n1 lost its session\n"), "{told}");
    assert!(
        told.contains("the leader looked, and its key was gone already"),
        "{told}"
    );
    assert!(told.contains("1 started elsewhere, 1 wait"), "{told}");
    for word in ["link", "led", "instance", "noticed"] {
        assert!(!told.contains(word), "{word} is in\n{told}");
    }
}

#[test]
fn the_list_has_a_line_for_each() {
    let page = FailoverPage {
        items: vec![leader()],
        next_cursor: None,
        revision: 100,
    };
    let shown = list(&page);
    let row = shown.lines().nth(1).unwrap();
    for word in [
        "12 ",
        "n1",
        "leader",
        "refused, by n2",
        "20ms",
        "4ms",
        "2 of 3",
        "17ms",
        "31ms",
    ] {
        assert!(row.contains(word), "{word} is not in {row}");
    }
}
