//! Stories of readers: what they were told, by whichever node, and what was so.

use serde_json::json;

use super::build::{Story, task};
use super::{accepts, rejects};
use crate::check::{Finding, Property, check};
use crate::history::{Answer, Entry, NodeEvent, Op};

/// A task that was acknowledged at the revision that is given back.
fn submitted() -> (Story, i64) {
    let mut story = Story::led();
    let call = story.call(Story::submit_op(1, None));
    let revision = story.txn(Story::accepts(1, 5));
    story.answered(call, revision, &[task(1, 0)]);
    (story, revision)
}

fn get() -> Op {
    Op::Get { task: task(1, 0) }
}

fn said(revision: i64, state: &str) -> Answer {
    Answer {
        revision: Some(revision),
        state: Some(state.to_owned()),
        ..Answer::default()
    }
}

#[test]
fn what_was_acknowledged_is_seen_by_whoever_asks_later() {
    let property = Property::ReadYourWrites;
    let (mut good, revision) = submitted();
    let call = good.call(get());
    good.told(call, said(revision, "pending"));
    accepts(property, &good);

    let (mut old, revision) = submitted();
    let call = old.call(get());
    old.told(call, said(revision - 1, "pending"));
    rejects(property, &old, "was acknowledged before");

    let (mut gone, _) = submitted();
    let call = gone.call(get());
    let why = "404 no_such_task".to_owned();
    gone.saw(Entry::Fail { call, why });
    rejects(property, &gone, "is not known");

    // Who asks before the answer came may be told anything.
    let mut early = Story::led();
    let submit = early.call(Story::submit_op(1, None));
    let revision = early.txn(Story::accepts(1, 5));
    let call = early.call(get());
    early.answered(submit, revision, &[task(1, 0)]);
    let why = "404 no_such_task".to_owned();
    early.saw(Entry::Fail { call, why });
    let call = early.call(get());
    early.told(call, said(revision, "pending"));
    accepts(property, &early);
}

#[test]
fn a_task_stands_where_it_is_said_to_at_its_revision() {
    let property = Property::AnswersTrue;
    let (mut story, ready) = submitted();
    let claim = story.claim(1, "b");
    let claimed = story.revision;
    let ended = story.succeeds(&claim);
    for (revision, state) in [
        (ready, "pending"),
        (claimed, "running"),
        (ended, "succeeded"),
    ] {
        let call = story.call(get());
        story.told(call, said(revision, state));
    }
    accepts(property, &story);

    let call = story.call(get());
    story.told(call, said(claimed, "succeeded"));
    rejects(property, &story, "said to be succeeded, and was running");
}

#[test]
fn who_is_said_to_lead_does() {
    let property = Property::AnswersTrue;
    let told = |node: &str, ahead: i64| {
        let mut story = Story::led();
        let (revision, term) = (story.revision, story.term);
        let call = story.call(Op::Leader);
        let answer = Answer {
            revision: Some(revision),
            leads: Some((node.to_owned(), term + ahead)),
            ..Answer::default()
        };
        story.told(call, answer);
        story
    };
    accepts(property, &told("a", 0));
    rejects(property, &told("b", 0), "said to lead");
    rejects(property, &told("a", 1), "said to lead");
}

#[test]
fn a_semaphore_is_as_it_is_said_to_be() {
    let property = Property::AnswersTrue;
    let told = |limit: u64, held: u64| {
        let mut story = Story::led();
        let revision = story.txn(vec![
            ("live/sem/narrow".to_owned(), Some(json!({"limit": 3}))),
            ("live/rules".to_owned(), Some(json!({}))),
        ]);
        let call = story.call(Op::Semaphore {
            name: "narrow".to_owned(),
        });
        let answer = Answer {
            revision: Some(revision),
            limit: Some(limit),
            held: Some(held),
            ..Answer::default()
        };
        story.told(call, answer);
        story
    };
    accepts(property, &told(3, 0));
    rejects(
        property,
        &told(4, 0),
        "its limit is said to be 4, and was 3",
    );
    rejects(property, &told(3, 1), "1 of it are said to be held");
}

#[test]
fn a_node_that_runs_and_has_no_session_is_no_healing() {
    // Its lease is over; its process goes on, or not; it has another session, or not.
    let after = |ms: u64, stops: bool, returns: bool| {
        let mut story = Story::led();
        let node = "b".to_owned();
        let incarnation = 1;
        story.saw(NodeEvent::Started {
            node: node.clone(),
            incarnation,
        });
        story.gone("b");
        if stops {
            story.saw(NodeEvent::Stopped { node, incarnation });
        }
        story.wait(ms);
        if returns {
            story.node("b");
        }
        story.opens(story.term);
        story
    };
    let property = Property::Heals;
    let lease_ms = Story::new().history.setup().unwrap().limits.lease_ms;
    let words = "a node that runs has had no session for";
    rejects(property, &after(3 * lease_ms, false, false), words);
    let broken = |story: &Story| {
        let verdict = check(&story.history, property).unwrap();
        matches!(verdict.finding, Finding::Violated { .. })
    };
    assert!(!broken(&after(lease_ms, false, false)));
    assert!(!broken(&after(3 * lease_ms, true, false)));
    assert!(!broken(&after(3 * lease_ms, false, true)));
}

#[test]
fn a_node_that_does_not_come_back_is_no_healing() {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    story.saw(Entry::AllHealed);
    story.succeeds(&claim);
    story.wait(6_000);
    story.opens(story.term);
    accepts(Property::Heals, &story);

    let node = "b".to_owned();
    story.saw(NodeEvent::NotReady {
        node,
        after_ms: 60_000,
    });
    rejects(
        Property::Heals,
        &story,
        "is not ready 60000 ms after its fault",
    );
}
