//! Stories of clients: what they cancelled, and what they asked for twice.

use serde_json::json;

use super::build::{Claim, Story, pack, task};
use super::{accepts, rejects};
use crate::check::Property;
use crate::history::{Entry, Op};

/// A claimed task whose cancel is stored and acknowledged.
fn stopped() -> (Story, Claim) {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    let call = story.call(Op::Cancel { task: task(1, 0) });
    let stop = format!("live/stop/b/{}", claim.id);
    let revision = story.txn(vec![(stop, Some(json!({"which": "0"})))]);
    story.answered(call, revision, &[]);
    (story, claim)
}

#[test]
fn what_was_cancelled_does_not_run_again() {
    let property = Property::CancelHolds;
    for outcome in ["cancelled", "succeeded"] {
        let (mut good, claim) = stopped();
        good.ends(&claim, outcome, None);
        accepts(property, &good);
    }

    let (mut revived, claim) = stopped();
    revived.ends(&claim, "lost", Some("ready"));
    rejects(property, &revived, "goes on after its cancel");

    let mut nothing = Story::led();
    nothing.submit(1);
    let call = nothing.call(Op::Cancel { task: task(1, 0) });
    let revision = nothing.revision;
    nothing.answered(call, revision, &[]);
    rejects(property, &nothing, "the store knows of none");

    let claim = nothing.claim(1, "b");
    nothing.ends(&claim, "cancelled", None);
    rejects(property, &nothing, "acknowledged before it was stored");
}

/// One key, two calls; the second is answered with this task.
fn keyed(second: &str) -> Story {
    let mut story = Story::led();
    let first = story.call(Story::submit_op(1, Some("once")));
    let mut ops = Story::accepts(1, 5);
    ops.push((
        "idem/once".to_owned(),
        Some(json!({"tasks": [task(1, 0)], "digest": ""})),
    ));
    let revision = story.txn(ops);
    story.answered(first, revision, &[task(1, 0)]);
    let call = story.call(Story::submit_op(1, Some("once")));
    story.answered(call, revision, &[second.to_owned()]);
    story
}

#[test]
fn one_key_is_one_submit() {
    let property = Property::Idempotency;
    accepts(property, &keyed(&task(1, 0)));
    rejects(
        property,
        &keyed(&task(2, 0)),
        "not those that the key holds",
    );

    // The same request, once more; and another one under that key.
    let refused = |count| {
        let mut story = keyed(&task(1, 0));
        let call = story.call(Story::submit_op(count, Some("once")));
        let why = "422 idempotency_key_reused: once".to_owned();
        story.saw(Entry::Fail { call, why });
        story
    };
    rejects(property, &refused(1), "refused as another one");
    accepts(property, &refused(2));

    let mut given = keyed(&task(1, 0));
    given.txn(vec![(
        "idem/once".to_owned(),
        Some(json!({"tasks": [task(2, 0)]})),
    )]);
    rejects(property, &given, "given to another");

    let mut early = keyed(&task(1, 0));
    early.txn(vec![("idem/once".to_owned(), None)]);
    rejects(property, &early, "went before its pack");

    let mut whole = keyed(&task(1, 0));
    whole.txn(vec![
        (format!("pack/{}", pack(1)), None),
        ("idem/once".to_owned(), None),
    ]);
    accepts(property, &whole);
}
