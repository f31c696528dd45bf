//! Stories of acts that were acknowledged: the store has them by then, or the answer was not true.

use serde_json::json;

use super::build::{Story, pack, ready, record, task};
use super::scarce::{limited, set};
use super::{accepts, rejects};
use crate::check::Property;
use crate::history::Op;

const TRUE: Property = Property::AnswersTrue;

/// A task among the dead letters, and its key there.
fn dead() -> (Story, String) {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    story.ends(&claim, "failed", Some("dead"));
    (story, format!("dead/q/{}", claim.next()))
}

/// A user's act makes it ready again.
fn revives(story: &mut Story, letter: &str) -> i64 {
    let act = format!("v{:032x}", 1);
    let name = format!("{}.{act}.1", pack(1));
    let said = json!({"of": [{"which": "0", "outcome": "revived", "number": 1, "fence": 0,
        "finished_ms": 0, "next": {"to": "ready", "n": 1, "ms": 9}}]});
    story.txn(vec![
        (letter.to_owned(), None),
        (format!("result/{}/{act}/0", pack(1)), Some(said)),
        (ready(5, &name), Some(record(5, "0", [0; 3]))),
    ])
}

#[test]
fn a_retry_that_was_acknowledged_is_stored_by_then() {
    let retry = || Op::Retry { task: task(1, 0) };
    let (mut good, letter) = dead();
    let call = good.call(retry());
    let revision = revives(&mut good, &letter);
    good.answered(call, revision, &[]);
    accepts(TRUE, &good);

    let (mut lost, letter) = dead();
    let call = lost.call(retry());
    lost.answered(call, 99, &[]);
    rejects(TRUE, &lost, "its retry was acknowledged, and not stored");

    let (mut later, _) = dead();
    let call = later.call(retry());
    let before = later.revision;
    later.answered(call, before, &[]);
    revives(&mut later, &letter);
    rejects(TRUE, &later, "its retry was acknowledged, and not stored");

    // The one before was of another call.
    let mut again = good;
    let call = again.wait(1).call(retry());
    again.answered(call, revision, &[]);
    rejects(TRUE, &again, "its retry was acknowledged, and not stored");
}

#[test]
fn a_limit_that_was_acknowledged_is_in_force_by_then() {
    let to = |limit| Op::Limit {
        name: "db".to_owned(),
        limit,
    };
    let mut good = limited(3);
    let call = good.wait(10).call(to(5));
    let revision = good.txn(set("sem/db", json!({"limit": 5})));
    good.answered(call, revision, &[]);
    // It is that already; and it is so as it is changed by another.
    let call = good.wait(10).call(to(5));
    good.answered(call, revision, &[]);
    let call = good.wait(10).call(to(5));
    let revision = good.txn(set("sem/db", json!({"limit": 7})));
    good.answered(call, revision, &[]);
    accepts(TRUE, &good);

    let mut lost = limited(3);
    let call = lost.wait(10).call(to(5));
    let revision = lost.revision;
    lost.answered(call, revision, &[]);
    rejects(TRUE, &lost, "a limit of 5 was acknowledged");
    lost.txn(set("sem/db", json!({"limit": 5})));
    rejects(TRUE, &lost, "a limit of 5 was acknowledged");

    let mut former = good;
    let call = former.wait(10).call(to(5));
    former.answered(call, revision + 9, &[]);
    rejects(TRUE, &former, "a limit of 5 was acknowledged");
}

/// A hold ends before its release is asked for, or then, or in neither; the release is acknowledged at this revision.
fn released(before: bool, then: bool, revision: i64) -> Story {
    let mut story = Story::led();
    let token = story.holds("l.x", "h", 1, 7);
    let gone = vec![("live/hold/l.x/h".to_owned(), None)];
    if before {
        story.txn(gone.clone());
    }
    let gate = "l.x".to_owned();
    let call = story.wait(1).call(Op::Release { gate, token });
    if then {
        story.txn(gone);
    }
    story.answered(call, revision, &[]);
    story
}

#[test]
fn a_release_that_was_acknowledged_is_stored_by_then() {
    let at = released(false, true, 99).revision;
    accepts(TRUE, &released(false, true, at));
    let words = "was acknowledged, and not stored by then";
    rejects(TRUE, &released(false, true, at - 1), words);
    rejects(TRUE, &released(false, false, at), words);
    // Its lease had ended it.
    rejects(TRUE, &released(true, false, at), words);
}
