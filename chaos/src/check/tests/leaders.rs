//! Stories of leaders: who may write, how long nobody leads, in which order work goes.

use serde_json::json;

use super::build::{Story, born, ready, record};
use super::{accepts, rejects};
use crate::check::{Property, check};
use crate::history::{Fault, FaultKind, Marker, NodeEvent};

/// A led until it was gone; so many milliseconds later b opened its term.
fn succession(after_ms: u64) -> Story {
    let mut story = Story::led();
    story.gone("a");
    story.wait(after_ms);
    story.term = 5;
    story.opens(5);
    story
}

#[test]
fn only_the_oldest_candidate_writes_as_a_leader() {
    let property = Property::OneActingLeader;
    let mut good = succession(10);
    good.submit(1);
    good.claim(1, "b");
    accepts(property, &good);

    // The old term assigns after its end; a candidate that is not the oldest does; nobody leads at all.
    let mut late = succession(10);
    late.submit(1);
    late.term = 4;
    late.claim(1, "b");
    rejects(property, &late, "a claim by term 4 while term 5 led");

    let mut early = Story::led();
    early.submit(1);
    early.term = 5;
    early.claim(1, "b");
    rejects(property, &early, "a claim by term 5 while term 4 led");

    let mut none = succession(10);
    none.submit(1);
    none.txn(vec![("elect/b".to_owned(), None)]);
    none.claim(1, "b");
    rejects(property, &none, "a claim while nobody led");

    // What carries no term is judged by its writer.
    let mut promoted = succession(10);
    let due = format!("live/due/0000000000009/{}", born(1));
    promoted.txn(vec![(due.clone(), Some(record(5, "0", [0; 3])))]);
    promoted.by = Some("a".to_owned());
    promoted.txn(vec![
        (due, None),
        (ready(5, &born(1)), Some(record(5, "0", [0; 3]))),
    ]);
    rejects(property, &promoted, "a promotion by a while b led");

    // Nothing is said of it where nobody knows who wrote.
    let mut unknown = Story::led();
    unknown.gone("a");
    for by in [None, Some("b".to_owned())] {
        unknown.by.clone_from(&by);
        unknown.txn(vec![("horizon".to_owned(), Some(json!("")))]);
        unknown.txn(vec![("horizon".to_owned(), Some(json!("0")))]);
        let verdict = check(&unknown.history, property).unwrap();
        assert_eq!(verdict.exercised, if by.is_some() { 2 } else { 0 });
        assert_eq!(verdict.measured["writes of nobody known"], 1);
    }

    let mut opened = succession(10);
    opened.opens(4);
    opened.txn(vec![("horizon".to_owned(), Some(json!("")))]);
    rejects(
        property,
        &opened,
        "an opened term by term 4 while term 5 led",
    );
}

#[test]
fn somebody_leads_again_in_time() {
    let property = Property::FailoverBounded;
    accepts(property, &succession(900));
    rejects(property, &succession(1_100), "nobody led for 1101 ms");

    // While the only candidate is cut off, the bound does not run.
    let mut cut = Story::led();
    cut.gone("a");
    cut.saw(Fault {
        id: 1,
        kind: FaultKind::Partition,
        target: None,
        from: Some("b".to_owned()),
        to: Some("store".to_owned()),
    });
    cut.wait(5_000).saw(crate::history::Entry::Healed { id: 1 });
    cut.wait(900).opens(5);
    accepts(property, &cut);

    // A dead leader's key has to go with its lease.
    let mut dead = Story::led();
    dead.saw(NodeEvent::Crashed {
        node: "a".to_owned(),
        incarnation: 1,
    });
    dead.wait(2_100);
    dead.gone("a");
    dead.opens(5);
    rejects(property, &dead, "a dead leader's key was there for 2101 ms");

    // Another leader of the store renews every lease: then the key may be there a second longer.
    let mut renewed = Story::led();
    renewed.saw(NodeEvent::Crashed {
        node: "a".to_owned(),
        incarnation: 1,
    });
    renewed.wait(100).saw(Marker::LeaderChanged {
        member: "m".to_owned(),
    });
    renewed.wait(2_900);
    renewed.gone("a");
    renewed.opens(5);
    accepts(property, &renewed);
}

#[test]
fn somebody_has_to_lead_while_a_node_could() {
    let property = Property::FailoverBounded;
    let started = |node: &str| NodeEvent::Started {
        node: node.to_owned(),
        incarnation: 1,
    };
    let crashed = |node: &str| NodeEvent::Crashed {
        node: node.to_owned(),
        incarnation: 1,
    };
    let mut idle = Story::led();
    idle.saw(started("a"));
    idle.saw(started("b"));
    idle.saw(crashed("a"));
    idle.gone("a");
    idle.wait(5_900).opens(5);
    rejects(property, &idle, "nobody led for 5901 ms");
}

/// Two records of one lane; the claims take them in this order of their priorities.
fn ordered(levels: [u8; 2]) -> Story {
    let mut story = Story::led();
    story.submit_at(1, 3);
    story.submit_at(2, 7);
    for level in levels {
        let n = if level == 3 { 1 } else { 2 };
        story.claim_of(n, &born(n), level, [0; 3], "b");
    }
    story
}

#[test]
fn the_higher_priority_goes_first() {
    let property = Property::PriorityOrder;
    accepts(property, &ordered([7, 3]));
    rejects(property, &ordered([3, 7]), "of a lower priority went first");

    // What has waited for about a minute may go first for its age.
    for (waited_ms, aged) in [(50_000, false), (55_000, true)] {
        let mut story = Story::led();
        story.submit_at(1, 3);
        story.wait(waited_ms);
        story.submit_at(2, 7);
        story.submit_at(3, 1);
        story.claim_of(1, &born(1), 3, [0; 3], "b");
        story.claim_of(2, &born(2), 7, [0; 3], "b");
        story.claim_of(3, &born(3), 1, [0; 3], "b");
        if aged {
            accepts(property, &story);
        } else {
            rejects(property, &story, "of a lower priority went first");
        }
    }

    // A node that went may have cost the higher one its assign.
    let mut excused = Story::led();
    excused.submit_at(1, 3);
    excused.submit_at(2, 7);
    excused.claim_of(1, &born(1), 3, [0; 3], "b");
    excused.gone("a");
    excused.claim_of(2, &born(2), 7, [0; 3], "b");
    let verdict = crate::check::check(&excused.history, property).unwrap();
    assert_eq!(verdict.finding, crate::check::Finding::NotExercised);
}
