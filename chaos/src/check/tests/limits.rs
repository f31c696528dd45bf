//! Stories of limits: permits, queues and rates, and work that is parked until they let it go on.

use serde_json::{Value as Json, json};

use super::build::{Story, born, pack};
use super::scarce::{limited, parked, permits, queued, routed, run, run_key, set};
use super::{accepts, rejects};
use crate::check::{Finding, Property, check};
use crate::history::{Entry, Fault, FaultKind};

#[test]
fn no_grant_exceeds_a_semaphore() {
    let property = Property::SemaphoreLimits;
    let mut good = limited(4);
    good.takes(1, "0-1", &permits(1));
    good.takes(2, "0", &permits(2));
    good.txn(vec![(run_key(1), Some(run(1, "1", &permits(1))))]);
    good.holds("s.db", "h", 1, 7);
    accepts(property, &good);

    // Two who each counted, and then put: two claims, a claim and somebody outside.
    let mut claims = limited(3);
    claims.takes(1, "0-1", &permits(1));
    claims.takes(2, "0", &permits(2));
    rejects(property, &claims, "4 of 3 of semaphore db are held");
    let mut outside = limited(1);
    outside.holds("s.db", "h", 1, 7);
    outside.takes(1, "0", &permits(1));
    rejects(property, &outside, "2 of 1 of semaphore db are held");

    let mut adders = limited(1);
    adders.wants("s.db", "one", 1, 7);
    adders.wants("s.db", "two", 1, 8);
    adders.grants("s.db", "one", 1, 7);
    adders.grants("s.db", "two", 1, 8);
    rejects(property, &adders, "2 of 1 of semaphore db are held");

    let mut unknown = Story::led();
    unknown.takes(1, "0", &permits(1));
    rejects(property, &unknown, "1 of 0 of semaphore db are held");

    // Each task of a claim holds its weight, and a claim that grows is a grant.
    let mut grows = limited(1);
    grows.takes(1, "0", &permits(1));
    grows.takes(1, "0-1", &permits(1));
    rejects(property, &grows, "2 of 1 of semaphore db are held");
}

#[test]
fn the_limit_that_counts_is_the_one_at_the_grant() {
    let property = Property::SemaphoreLimits;
    // What is held stays when a limit is lowered; nothing more is granted until it fits.
    let mut lowered = limited(2);
    lowered.takes(1, "0-1", &permits(1));
    lowered.txn(set("sem/db", json!({"limit": 1})));
    lowered.gives_back(1);
    lowered.takes(2, "0", &permits(1));
    accepts(property, &lowered);

    let mut swapped = limited(2);
    swapped.takes(1, "0-1", &permits(1));
    swapped.txn(set("sem/db", json!({"limit": 1})));
    swapped.txn(vec![
        (run_key(1), Some(run(1, "0", &permits(1)))),
        (run_key(2), Some(run(2, "0", &permits(1)))),
    ]);
    rejects(property, &swapped, "2 of 1 of semaphore db are held");

    let mut after = limited(1);
    after.takes(1, "0-1", &permits(1));
    after.txn(set("sem/db", json!({"limit": 2})));
    rejects(property, &after, "2 of 1 of semaphore db are held");

    let mut with = limited(1);
    let mut ops = set("sem/db", json!({"limit": 2}));
    ops.push((run_key(1), Some(run(1, "0-1", &permits(1)))));
    with.txn(ops);
    rejects(property, &with, "2 of 1 of semaphore db are held");

    let mut unruled = limited(1);
    unruled.txn(vec![("live/sem/db".to_owned(), Some(json!({"limit": 2})))]);
    rejects(property, &unruled, "changed without the rules");
}

#[test]
fn permits_go_with_their_claim_and_come_back() {
    let property = Property::SemaphoreLimits;
    let mut forgot = limited(1);
    forgot.needs(1, &permits(1), "s.db");
    forgot.takes(1, "0", &json!({}));
    rejects(property, &forgot, "needs other permits");

    // A reclaim that puts the tasks back and leaves the claim: its permit is gone for ever.
    let reclaimed = |kept: bool| {
        let mut story = limited(1);
        story.needs(1, &permits(1), "s.db");
        story.takes(1, "0", &permits(1));
        story.gone("b");
        story.saw(Entry::AllHealed);
        let run = kept.then(|| run(1, "0", &permits(1)));
        let next = format!("live/ready/q/k/-/-/4/{}.4-1.1", pack(1));
        let record = json!({"routing": routed(&permits(1)), "which": "0"});
        story.txn(vec![(run_key(1), run), (next, Some(record))]);
        story.wait(6_000).sealed();
        story
    };
    accepts(property, &reclaimed(false));
    rejects(property, &reclaimed(true), "when all should be back");
}

#[test]
fn queues_keep_their_limits() {
    let property = Property::QueueLimits;
    let keyed = |key: &str| json!({"key": key});
    let mut good = queued(json!({"concurrency": 3, "per_key": 1}));
    good.takes(1, "0", &keyed("a"));
    good.takes(2, "0", &keyed("b"));
    good.gives_back(1);
    good.takes(3, "0", &keyed("a"));
    good.takes(4, "0", &json!({}));
    accepts(property, &good);

    let mut queue = queued(json!({"concurrency": 3}));
    queue.takes(1, "0-1", &json!({}));
    queue.takes(2, "0-1", &json!({}));
    rejects(property, &queue, "4 of 3 tasks of queue q");

    let mut key = queued(json!({"per_key": 1}));
    key.takes(1, "0", &keyed("a"));
    key.takes(2, "0", &keyed("a"));
    rejects(property, &key, "2 of 1 tasks of key a in queue q");

    let mut paused = queued(json!({"paused": {"by": "me"}}));
    paused.takes(1, "0", &json!({}));
    rejects(property, &paused, "while it was paused");

    let mut resumed = queued(json!({"paused": {"by": "me"}, "concurrency": 1}));
    resumed.txn(set("queue/q", json!({"concurrency": 1})));
    resumed.takes(1, "0", &json!({}));
    accepts(property, &resumed);

    let mut unruled = queued(json!({"concurrency": 1}));
    unruled.txn(vec![("live/queue/q".to_owned(), Some(json!({})))]);
    rejects(property, &unruled, "changed without the rules");
}

/// A queue of 10 a second with a burst of 2; claims of two tasks each come after these milliseconds.
fn paced(after_ms: &[u64]) -> Story {
    let mut story = queued(json!({"rate": {"tasks": 10, "per_ms": 1000, "burst": 2}}));
    for (n, ms) in (1..).zip(after_ms) {
        story.wait(*ms).takes(n, "0-1", &json!({}));
    }
    story
}

#[test]
fn a_queue_is_claimed_no_faster_than_its_rate() {
    let property = Property::RateLimits;
    accepts(property, &paced(&[0, 200, 200]));
    rejects(property, &paced(&[0, 200, 190]), "beyond the rate");
    // What was not used is not saved up beyond the burst.
    rejects(property, &paced(&[5_000, 0]), "4 tasks beyond the rate");

    // A fault may hold claims up, which then come at once; and another term starts anew.
    let mut held_up = paced(&[0]);
    held_up.saw(Fault {
        id: 1,
        kind: FaultKind::Delay,
        target: Some("a".to_owned()),
        from: None,
        to: None,
    });
    held_up.takes(2, "0-1", &json!({}));
    held_up.saw(Entry::Healed { id: 1 });
    accepts(property, &held_up);
    let mut next = paced(&[0]);
    next.txn(vec![(
        "live/run/b/5-1".to_owned(),
        Some(run(2, "0-1", &json!({}))),
    )]);
    accepts(property, &next);
}

/// A pack is parked under a semaphore whose limit and outside holder are these; the faults end, and time goes on.
fn waiting(limit: u64, outside: u64) -> Story {
    let mut story = limited(limit);
    story.needs(1, &permits(1), "s.db");
    if outside > 0 {
        story.holds("s.db", "h", outside, 7);
    }
    story.saw(Entry::AllHealed);
    story.wait(6_000).sealed();
    story
}

#[test]
fn what_is_parked_goes_on_when_its_gate_is_open() {
    let property = Property::Heals;
    rejects(property, &waiting(1, 0), "still there");
    rejects(property, &waiting(3, 2), "still there");

    // Nobody gives what these wait for.
    for story in [waiting(0, 0), waiting(2, 2)] {
        let verdict = check(&story.history, property).unwrap();
        assert_eq!(verdict.finding, Finding::NotExercised, "{verdict:#?}");
    }

    // Nobody outside waits for what is free, nor for a lock that a task gave back.
    let mut want = limited(1);
    want.wants("s.db", "h", 1, 7);
    want.wants("l.x", "h", 1, 7);
    want.saw(Entry::AllHealed);
    want.wait(6_000).sealed();
    rejects(property, &want, "live/want/s.db/h");
    rejects(property, &want, "live/want/l.x/h");
}

#[test]
fn parked_work_moves_as_ready_work_does() {
    let mut story = limited(1);
    story.needs(1, &permits(1), "-");
    let record = json!({"routing": routed(&permits(1)), "which": "0-1"});
    story.txn(vec![
        (parked("-", 1), None),
        (parked("s.db", 1), Some(record)),
    ]);
    let left = json!({"routing": routed(&permits(1)), "which": "1"});
    story.txn(vec![
        (parked("s.db", 1), Some(left)),
        (run_key(1), Some(run(1, "0", &permits(1)))),
    ]);
    let said = json!({"of": [{"which": "0", "outcome": "succeeded", "number": 1, "node": "b",
        "fence": story.revision}]});
    story.txn(vec![
        (run_key(1), None),
        (format!("result/{}/4-1/0", pack(1)), Some(said)),
    ]);
    for property in [
        Property::AcceptedNeverLost,
        Property::OneTerminalState,
        Property::SemaphoreLimits,
    ] {
        accepts(property, &story);
    }

    // A move, or a grant, is the leader's.
    for key in [parked("-", 1), "live/hold/s.db/h".to_owned()] {
        let mut other = limited(1);
        other.needs(1, &permits(1), "s.db");
        other.by = Some("b".to_owned());
        let record = json!({"routing": routed(&permits(1)), "which": "0-1", "weight": 1});
        let mut ops = vec![(key.clone(), Some(record))];
        ops.extend(key.contains("ready").then(|| (parked("s.db", 1), None)));
        other.txn(ops);
        rejects(Property::OneActingLeader, &other, "by b while a led");
    }
}

#[test]
fn the_keys_of_limits_can_be_read() {
    let property = Property::NothingFromNowhere;
    let mut good = limited(1);
    good.holds("s.db", "h", 1, 7);
    good.txn(set(
        "queue/q",
        json!({"weight": 1, "rate": {"tasks": 1, "per_ms": 2000, "burst": 1}}),
    ));
    good.txn(vec![("live/lane/q/k/9f/l.x/4".to_owned(), Some(json!("")))]);
    let taken = format!("released/{:020}/s.db/h", good.revision);
    good.txn(vec![(taken, Some(json!({})))]);
    let verdict = check(&good.history, property).unwrap();
    assert_eq!(verdict.finding, Finding::NotExercised, "{verdict:#?}");

    // Of former layouts, of no gate, and of one that nobody outside can hold.
    for key in [
        "live/lane/q/k",
        "live/lane/q/k/-/x.db/4",
        "live/hold/k.tenant/h",
        "live/want/-/h",
        "released/7/k.tenant/h",
    ] {
        let mut bad = limited(1);
        bad.txn(vec![(key.to_owned(), Some(json!({})))]);
        rejects(property, &bad, "a key that nobody can read");
    }
}

/// Two records of one lane, of priorities 3 and 7, which need these; the lower one is claimed first.
fn overtaken(lower: &Json, higher: &Json) -> Story {
    let mut story = limited(9);
    let place = |level: u8, n: u8| format!("live/ready/q/k/-/s.db/{}/{}", 9 - level, born(n));
    let routed = |level: u8, needs: &Json| json!({"queue": "q", "kind": "k", "priority": level, "needs": needs});
    for (n, level, needs) in [(1, 3, lower), (2, 7, higher)] {
        let record = json!({"routing": routed(level, needs), "which": "0"});
        story.txn(vec![(place(level, n), Some(record))]);
    }
    for (n, level, needs) in [(1, 3, lower), (2, 7, higher)] {
        let run = json!({"pack": pack(n), "routing": routed(level, needs), "which": "0",
            "session": 3, "term": 4, "decided": story.revision});
        story.txn(vec![(place(level, n), None), (run_key(n), Some(run))]);
    }
    story
}

#[test]
fn only_what_needs_the_same_is_overtaken() {
    let property = Property::PriorityOrder;
    let same = overtaken(&permits(1), &permits(1));
    rejects(property, &same, "of a lower priority went first");

    // It may have waited for one permit more.
    let other = overtaken(&permits(1), &permits(2));
    let verdict = check(&other.history, property).unwrap();
    assert_eq!(verdict.finding, Finding::NotExercised, "{verdict:#?}");
}
