//! Stories of locks, and of what those outside hold.

use serde_json::{Value as Json, json};

use super::build::{Claim, Ops, Story, born, pack, packed, ready, record};
use super::scarce::held;
use super::{accepts, rejects};
use crate::check::Property;
use crate::history::{Fault, FaultKind, Marker, Op};

fn lock() -> Json {
    json!({"locks": ["x"]})
}

fn release(gate: &str, token: i64) -> Op {
    Op::Release {
        gate: gate.to_owned(),
        token,
    }
}

#[test]
fn a_lock_has_one_holder_and_its_tokens_rise() {
    let property = Property::LocksExclude;
    let mut good = Story::led();
    good.takes(1, "0", &lock());
    good.gives_back(1);
    let token = good.holds("l.x", "h", 1, 7);
    good.txn(vec![("live/hold/l.x/h".to_owned(), None)]);
    good.takes(2, "0", &lock());
    accepts(property, &good);

    let mut two = Story::led();
    two.takes(1, "0", &lock());
    two.takes(2, "0", &lock());
    rejects(property, &two, "2 hold lock x");

    let mut outside = Story::led();
    outside.holds("l.x", "h", 1, 7);
    outside.takes(2, "0", &lock());
    rejects(property, &outside, "2 hold lock x");

    let mut together = Story::led();
    together.takes(1, "0-1", &lock());
    rejects(property, &together, "a claim with a lock has 2 tasks");

    // A claim that was there before takes the lock: its fence is older than that of the holder before it.
    let mut older = Story::led();
    older.takes(1, "0", &json!({}));
    older.takes(2, "0", &lock());
    older.gives_back(2);
    older.takes(1, "0", &lock());
    rejects(property, &older, "follows");

    let mut told = good;
    let call = told.call(Op::Acquire {
        gate: "l.x".to_owned(),
        weight: 1,
        ttl_ms: None,
    });
    told.answered(call, token + 1, &[]);
    rejects(property, &told, "which no hold of it has");
}

#[test]
fn those_outside_hold_by_lease_what_they_were_granted() {
    let property = Property::OutsideHolds;
    let mut good = Story::led();
    let token = good.holds("l.x", "h", 1, 7);
    good.call(release("l.x", token));
    good.drops("l.x", "h");
    good.holds("s.db", "h", 2, 8);
    good.txn(vec![("live/hold/s.db/h".to_owned(), None)]);
    accepts(property, &good);

    let mut for_ever = Story::led();
    for_ever.wants("s.db", "h", 1, 7);
    for_ever.grants("s.db", "h", 1, 0);
    rejects(property, &for_ever, "a hold without a lease");

    let mut other = Story::led();
    other.wants("s.db", "h", 1, 7);
    other.grants("s.db", "h", 1, 8);
    rejects(property, &other, "another lease than its want");

    let mut heavier = Story::led();
    heavier.wants("s.db", "h", 1, 7);
    heavier.grants("s.db", "h", 2, 7);
    rejects(property, &heavier, "another weight than its want");

    // A late grant of what was given up, and one of another's want.
    for want in [None, Some("other")] {
        let mut unasked = Story::led();
        if let Some(id) = want {
            unasked.wants("s.db", id, 1, 7);
        }
        unasked.lease = 7;
        unasked.txn(vec![("live/hold/s.db/h".to_owned(), Some(held(1)))]);
        rejects(property, &unasked, "that nobody waited for");
    }

    let mut again = Story::led();
    again.holds("l.x", "h", 1, 7);
    again.lease = 8;
    again.txn(vec![("live/hold/l.x/h".to_owned(), Some(held(1)))]);
    rejects(property, &again, "a hold was written again");
}

#[test]
fn nobody_releases_what_another_holds() {
    let property = Property::OutsideHolds;
    // The first holder's lease ended; its release, by the lock's name, meets the second's hold.
    let mut story = Story::led();
    let first = story.holds("l.x", "one", 1, 7);
    story.txn(vec![("live/hold/l.x/one".to_owned(), None)]);
    story.holds("l.x", "two", 1, 8);
    story.call(release("l.x", first));
    story.drops("l.x", "two");
    rejects(property, &story, "its holder did not ask for that");
}

/// Somebody is told that it holds this; the call, whose hold lives for 5 s, was made 1 s before the hold that it is told of.
fn told(gate: &str, token: impl FnOnce(&mut Story) -> i64) -> Story {
    let mut story = Story::led();
    let call = story.call(Op::Acquire {
        gate: gate.to_owned(),
        weight: 1,
        ttl_ms: Some(5_000),
    });
    story.wait(1_000);
    story.wants_as(gate, "h", 1, 7);
    let token = token(&mut story);
    story.answered(call, token, &[]);
    story
}

#[test]
fn who_is_told_of_permits_has_them() {
    let property = Property::OutsideHolds;
    accepts(
        property,
        &told("s.db", |story| story.grants("s.db", "h", 1, 7)),
    );

    let never = told("s.db", |story| {
        story.grants("s.db", "h", 1, 7);
        3
    });
    rejects(
        property,
        &never,
        "told token 3 of s.db, which no hold of it has",
    );

    let anothers = told("s.db", |story| {
        let value = json!({"weight": 1, "holder": "somebody else"});
        story.txn(vec![("live/hold/s.db/h".to_owned(), Some(value))])
    });
    rejects(property, &anothers, "of s.db, which no hold of it has");
}

#[test]
fn a_hold_is_its_holder_s_for_its_time_to_live() {
    let property = Property::OutsideHolds;
    for gate in ["l.x", "s.db"] {
        let key = format!("live/hold/{gate}/h");
        let (mut token, gone) = (0, vec![(key, None)]);
        let story = told(gate, |story| {
            token = story.grants(gate, "h", 1, 7);
            token
        });
        let ended = |after_ms: u64, before: &dyn Fn(&mut Story), more: Ops| {
            let mut story = story.clone();
            story.wait(after_ms);
            before(&mut story);
            story.txn([gone.clone(), more].concat());
            story
        };
        let nobody = |_: &mut Story| {};
        let early = ended(3_900, &nobody, Vec::new());
        rejects(property, &early, "nobody asked for that");
        // Its lease ran out.
        accepts(property, &ended(4_000, &nobody, Vec::new()));
        // Or etcd itself was down: then nobody says how long a lease lives.
        let down = |story: &mut Story| {
            story.saw(Fault {
                id: 1,
                kind: FaultKind::StoreDown,
                target: None,
                from: None,
                to: None,
            });
        };
        accepts(property, &ended(10, &down, Vec::new()));

        let released = |story: &mut Story| drop(story.call(release(gate, token)));
        accepts(property, &ended(10, &released, Vec::new()));
        let another = |story: &mut Story| drop(story.call(release(gate, token + 1)));
        rejects(property, &ended(10, &another, Vec::new()), "nobody asked");
        let late = |story: &mut Story| {
            story.txn(gone.clone());
            story.wait(1).call(release(gate, token));
        };
        rejects(property, &ended(10, &late, Vec::new()), "nobody asked");

        let record = |fence: i64| {
            let key = format!("released/{fence:020}/{gate}/h");
            vec![(key, Some(json!({})))]
        };
        accepts(property, &ended(10, &nobody, record(token)));
        rejects(property, &ended(10, &nobody, record(3)), "nobody asked");
        let revoked = |story: &mut Story| story.saw(Marker::LeaseRevoked { lease: 7 });
        accepts(property, &ended(10, &revoked, Vec::new()));
    }
}

/// Two tasks, one after the other, have the lock `x`, by claims that do not overlap; the older one's run goes on acting for so many
/// milliseconds beside the younger one's, and is refused by then.
fn beside(kind: &str, fault: Option<FaultKind>, both_ms: u64) -> Story {
    let mut story = Story::led();
    let mut claims = Vec::new();
    for (n, node) in [(1, "b"), (2, "a")] {
        let mut packed = packed(5, &[0]);
        packed["routing"]["kind"] = json!(kind);
        let mut record = record(5, "0", [0; 3]);
        record["routing"]["kind"] = json!(kind);
        story.txn(vec![
            (format!("pack/{}", pack(n)), Some(packed)),
            (ready(5, &born(n)), Some(record)),
        ]);
        let claim = story.claim(n, node);
        story.acts(&claim, Some("x"), true);
        if let (1, Some(kind)) = (n, fault) {
            story.saw(Fault {
                id: 1,
                kind,
                target: Some("b".to_owned()),
                from: None,
                to: None,
            });
        }
        if n == 1 {
            story.ends(&claim, "lost", None);
        }
        claims.push(claim);
    }
    story.wait(both_ms - 1).acts(&claims[0], Some("x"), false);
    story.takes(3, "0", &lock());
    story.gives_back(3);
    story.takes(4, "0", &lock());
    story
}

#[test]
fn two_runs_do_not_act_under_one_lock_at_a_time() {
    let property = Property::LocksExclude;
    accepts(property, &beside("k", None, 100));
    rejects(
        property,
        &beside("k", None, 101),
        "two had x at once for 101 ms",
    );
    // Its process stood still, or died; a request whose node is cut off is not heard of any more.
    for fault in [FaultKind::Pause, FaultKind::Crash] {
        accepts(property, &beside("k", Some(fault), 900));
    }
    let cut = Some(FaultKind::Partition);
    rejects(property, &beside("k", cut, 900), "two had x at once");
    accepts(property, &beside("http", cut, 900));

    let mut passed = beside("k", None, 10);
    let first = Claim {
        node: "b".to_owned(),
        id: "4-1".to_owned(),
        pack: 1,
        fence: 3,
        tally: [0; 3],
    };
    passed.acts(&first, Some("x"), true);
    rejects(
        property,
        &passed,
        "x took an act under fence 3 after one under",
    );
}
