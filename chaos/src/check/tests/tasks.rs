//! Stories of tasks: where they are, how they end, how often they are tried, what is collected.

use serde_json::json;

use super::build::{Ops, Story, born, pack, packed, ready, record, task};
use super::{accepts, rejects};
use crate::check::Property;
use crate::history::{NodeEvent, Refusal};

/// A task that failed once and then succeeded.
fn retried() -> Story {
    let mut story = Story::led();
    story.submit(1);
    let first = story.claim(1, "b");
    story.ends(&first, "failed", Some("ready"));
    let second = story.again(&first, "failed", "a");
    story.succeeds(&second);
    story
}

/// What one transaction does to a task that is ready.
type Spoil = fn() -> Ops;

#[test]
fn what_is_accepted_is_in_one_place_until_it_ends() {
    let property = Property::AcceptedNeverLost;
    accepts(property, &retried());

    // Acknowledged and not stored; stored later than acknowledged; answered with too few.
    let mut story = Story::led();
    let call = story.call(Story::submit_op(2, None));
    story.answered(call, 5, &[task(1, 0)]);
    rejects(property, &story, "never stored");
    rejects(property, &story, "2 tasks was answered with 1");
    story.txn(Story::accepts(1, 5));
    rejects(property, &story, "acknowledged before it was stored");

    let rows: [(&str, Spoil); 5] = [
        ("lost: in no place", || vec![(ready(5, &born(1)), None)]),
        ("in several places", || {
            vec![(ready(4, &born(1)), Some(record(4, "0", [0; 3])))]
        }),
        ("ended, and still in a place", || {
            let said = json!({"of": [{"which": "0", "outcome": "cancelled", "number": 0, "finished_ms": 0}]});
            vec![(format!("result/{}/v1/0", pack(1)), Some(said))]
        }),
        ("was collected, and it had not ended", || {
            vec![(format!("pack/{}", pack(1)), None)]
        }),
        ("nowhere when its pack was stored", || {
            vec![(format!("pack/{}", pack(2)), Some(packed(5, &[0])))]
        }),
    ];
    for (words, ops) in rows {
        let mut story = Story::led();
        story.submit(1);
        story.txn(ops());
        rejects(property, &story, words);
    }
}

#[test]
fn a_task_takes_legal_steps_and_ends_once() {
    let property = Property::OneTerminalState;
    accepts(property, &retried());

    let mut twice = retried();
    let said =
        json!({"of": [{"which": "0", "outcome": "cancelled", "number": 2, "finished_ms": 0}]});
    twice.txn(vec![(format!("result/{}/v1/0", pack(1)), Some(said))]);
    rejects(property, &twice, "goes on after its end");

    let mut back = Story::led();
    back.submit(1);
    let claim = back.claim(1, "b");
    back.txn(vec![
        (claim.key(), None),
        (ready(5, &claim.next()), Some(record(5, "0", [0; 3]))),
    ]);
    rejects(
        property,
        &back,
        "no such step: from [\"run\"] to [\"ready\"] by []",
    );

    // What failed waits, and becomes ready at its time or a millisecond before.
    for early_ms in [0, 1] {
        let mut story = Story::led();
        story.submit(1);
        let claim = story.claim(1, "b");
        let due = format!(
            "live/due/{:013}/{}",
            story.at_ms + 2 + early_ms,
            claim.next()
        );
        let mut ops = claim.ends("failed", Some("due"));
        ops[2].0.clone_from(&due);
        story.txn(ops);
        let again = (ready(5, &claim.next()), Some(record(5, "0", [1, 1, 0])));
        story.txn(vec![(due, None), again]);
        let second = story.again(&claim, "failed", "a");
        story.succeeds(&second);
        if early_ms > 0 {
            rejects(property, &story, "ready 1 ms before its time");
        } else {
            accepts(property, &story);
        }
    }

    // What is deferred waits for its time, and was not tried.
    for (to, legal) in [("due", true), ("ready", false), ("dead", false)] {
        let mut story = Story::led();
        story.submit(1);
        let claim = story.claim(1, "b");
        story.ends(&claim, "deferred", Some(to));
        if legal {
            let due = format!("live/due/0000000000009/{}", claim.next());
            let again = (ready(5, &claim.next()), Some(record(5, "0", [0; 3])));
            story.txn(vec![(due, None), again]);
            let second = story.again(&claim, "deferred", "a");
            story.succeeds(&second);
            accepts(property, &story);
        } else {
            rejects(property, &story, "by [\"deferred\"]");
        }
    }

    let mut astray = Story::led();
    astray.submit(1);
    let claim = astray.claim(1, "b");
    let mut ops = claim.ends("succeeded", Some("ready"));
    ops.truncate(3);
    astray.txn(ops);
    rejects(property, &astray, "no such step");
}

#[test]
fn a_report_needs_its_claim() {
    let property = Property::StaleReportRefused;
    let mut good = retried();
    good.refused(Refusal::StaleReport);
    accepts(property, &good);

    // The first run reports although its claim was taken away.
    let mut late = Story::led();
    late.submit(1);
    let first = late.claim(1, "b");
    late.ends(&first, "lost", Some("ready"));
    late.again(&first, "lost", "a");
    let key = format!("result/{}/{}/7", pack(1), first.id);
    late.txn(vec![(key, Some(first.said("succeeded", None)))]);
    rejects(property, &late, "of a claim that is not there");

    let mut over = Story::led();
    over.submit(1);
    let claim = over.claim(1, "b");
    over.ends(&claim, "succeeded", None);
    over.txn(vec![(claim.result(), Some(claim.said("failed", None)))]);
    rejects(property, &over, "written over others");

    let mut foreign = Story::led();
    foreign.submit(1);
    let mut claim = foreign.claim(1, "b");
    claim.fence -= 1;
    foreign.ends(&claim, "succeeded", None);
    rejects(property, &foreign, "another fence");
}

#[test]
fn attempts_are_counted_and_bounded() {
    let property = Property::AttemptsBounded;
    accepts(property, &retried());

    // A reclaim that does not count the attempt.
    let mut kept = Story::led();
    kept.submit(1);
    let claim = kept.claim(1, "b");
    let mut ops = claim.ends("lost", Some("ready"));
    ops[2].1 = Some(record(5, "0", [0, 0, 0]));
    kept.txn(ops);
    rejects(
        property,
        &kept,
        "goes on with 0 attempts and 0 failures, after 1 and 0",
    );

    // Two failures are allowed, and two deaths.
    for (outcome, words) in [("failed", "after 2 failures"), ("lost", "after 2 deaths")] {
        let mut story = Story::led();
        story.submit(1);
        let first = story.claim(1, "b");
        story.ends(&first, outcome, Some("ready"));
        let second = story.again(&first, outcome, "b");
        let mut dead = story.history.clone();
        story.ends(&second, outcome, Some("ready"));
        rejects(property, &story, words);

        std::mem::swap(&mut story.history, &mut dead);
        story.revision -= 1;
        story.ends(&second, outcome, Some("dead"));
        accepts(property, &story);
    }

    // The only task of a node whose process dies.
    for charged in [true, false] {
        let mut story = Story::led();
        story.submit(1);
        let claim = story.claim(1, "b");
        story.wait(1).saw(NodeEvent::Crashed {
            node: "b".to_owned(),
            incarnation: 1,
        });
        story.gone("b");
        let mut ops = claim.ends("lost", Some("ready"));
        ops[2].1 = Some(record(5, "0", [1, 0, u32::from(charged)]));
        story.txn(ops);
        if charged {
            accepts(property, &story);
        } else {
            rejects(property, &story, "was not charged");
        }
    }

    let mut number = Story::led();
    number.submit(1);
    let mut claim = number.claim(1, "b");
    claim.tally = [1, 0, 0];
    number.starts(&claim);
    rejects(property, &number, "told to be attempt 2 after 0 attempts");
}

/// One task that ended, and so many milliseconds later its pack is collected.
fn collected(after_ms: u64) -> Story {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    story.succeeds(&claim);
    story.wait(after_ms).txn(vec![
        (format!("pack/{}", pack(1)), None),
        (claim.result(), None),
        (format!("gc/00000000/{}", pack(1)), None),
    ]);
    story
}

#[test]
fn packs_are_collected_after_their_retention() {
    let property = Property::Bounded;
    accepts(property, &collected(10_500));
    rejects(
        property,
        &collected(9_000),
        "collected 9001 ms after its end",
    );

    let mut open = Story::led();
    open.submit(1);
    open.txn(vec![(format!("pack/{}", pack(1)), None)]);
    rejects(property, &open, "before its tasks ended");

    let mut kept = Story::led();
    kept.submit(1);
    let claim = kept.claim(1, "b");
    kept.succeeds(&claim);
    kept.wait(12_500).sealed();
    rejects(property, &kept, "still there");

    kept.txn(vec![(format!("gc/00000000/{}", pack(1)), None)]);
    rejects(property, &kept, "no mark says so");
    kept.txn(vec![(claim.result(), None)]);
    rejects(property, &kept, "without their pack");
}
