//! Stories of a cluster that others use too: what they do is theirs, and nothing of it is held against the run.

use super::build::{Story, task};
use super::log::begun_after;
use crate::check::{Finding, Property, judge};
use crate::history::{Entry, History};

/// Ours is run before the witness, as the recorder sees it that begins after the first few revisions; others' tasks of the same queue and
/// kind come besides. One succeeds, the other one still runs long after the last fault.
fn shared() -> Story {
    let mut story = Story::led();
    story.submit(1);
    let ours = story.claim(1, "b");
    story.succeeds(&ours);
    for n in [2, 3] {
        story.txn(Story::accepts(n, 5));
    }
    let theirs = story.claim(2, "b");
    story.ends(&theirs, "succeeded", None);
    story.claim(3, "b");
    story.wait(100).saw(Entry::AllHealed);
    story.wait(6_000).sealed();
    story
}

fn found(history: &History, property: Property) -> (Finding, Option<u64>) {
    let judged = judge(history);
    let verdict = judged.of(property).unwrap();
    (
        verdict.finding.clone(),
        verdict.measured.get("of others").copied(),
    )
}

#[test]
fn what_others_submit_to_a_cluster_that_was_there_is_counted_and_not_judged() {
    let story = shared();
    let begun = begun_after(&story.history, 5);
    assert_eq!(
        found(&begun, Property::NothingFromNowhere),
        (Finding::Ok, Some(2))
    );
    let (healed, _) = found(&begun, Property::Heals);
    assert_eq!(healed, Finding::NotExercised);

    // A cluster of the run's own has nobody else.
    let (own, _) = found(&story.history, Property::NothingFromNowhere);
    let Finding::Violated { count: 3, evidence } = own else {
        panic!("{own:?}");
    };
    assert!(evidence[0].to_string().starts_with("nobody asked for it"));
    let (healed, _) = found(&story.history, Property::Heals);
    assert!(matches!(healed, Finding::Violated { count: 1, .. }));
}

#[test]
fn ours_is_judged_also_where_others_are() {
    let mut story = Story::led();
    story.submit(1);
    let seen = story.claim(1, "b");
    story.succeeds(&seen);
    story.submit(2);
    let unseen = story.claim(2, "b");
    story.ends(&unseen, "succeeded", None);
    story.sealed();
    let begun = begun_after(&story.history, 5);
    let (finding, _) = found(&begun, Property::NothingFromNowhere);
    let Finding::Violated { count: 1, evidence } = finding else {
        panic!("{finding:?}");
    };
    assert!(
        evidence[0]
            .to_string()
            .contains("without a run that ended well")
    );
    assert_eq!(evidence[0].ids, [task(2, 0)]);
}
