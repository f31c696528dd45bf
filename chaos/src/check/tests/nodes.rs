//! Stories of nodes: runs beside each other, claims of the dead, and what is left when faults end.

use super::build::{Claim, Story, task};
use super::{accepts, rejects};
use crate::check::{Finding, Property, check};
use crate::history::{Effect, Entry, Fault, FaultKind, Marker, NodeEvent};

/// B runs a task and is gone; a runs it again; b's run goes on for so many milliseconds beside it.
fn zombie(for_ms: u64) -> (Story, Claim, Claim) {
    let (mut story, first) = lost();
    let second = story.again(&first, "lost", "a");
    story.starts(&second);
    story.wait(for_ms);
    story.stops(&first);
    story.stops(&second);
    (story, first, second)
}

#[test]
fn runs_overlap_only_as_leftovers() {
    let property = Property::ConcurrentRuns;
    let (story, ..) = zombie(50);
    accepts(property, &story);
    let measured = check(&story.history, property).unwrap().measured;
    assert_eq!((measured["overlaps"], measured["overlap_ms"]), (1, 51));

    rejects(property, &zombie(200).0, "beside its successor");

    // A process that stood still could not end its run.
    let (mut paused, first, _) = zombie(0);
    paused.saw(Fault {
        id: 1,
        kind: FaultKind::Pause,
        target: Some("b".to_owned()),
        from: None,
        to: None,
    });
    paused.starts(&first);
    rejects(property, &paused, "ran twice under one fence");

    let mut two = Story::led();
    two.submit(1);
    let first = two.claim(1, "b");
    two.starts(&first);
    let second = two.claim_of(
        1,
        "01920000-0000-7000-8000-000000000100.0.1",
        5,
        [0; 3],
        "a",
    );
    two.starts(&second);
    rejects(property, &two, "both had a claim");
}

/// A run of b, whose session ends with its claim.
fn lost() -> (Story, Claim) {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    story.starts(&claim);
    story.gone("b");
    story.ends(&claim, "lost", Some("ready"));
    (story, claim)
}

/// A sign of life.
fn beats(story: &mut Story, claim: &Claim) {
    story.saw(Entry::Effect(Effect {
        run: Story::run_of(claim),
        gate: None,
        done: true,
    }));
}

/// A run that was killed has no end: its last sign of life is all there is.
#[test]
fn a_run_without_an_end_lasts_until_its_last_sign_of_life() {
    let killed = |beats_ms: u64| {
        let (mut story, first) = lost();
        beats(&mut story, &first);
        let second = story.again(&first, "lost", "a");
        story.starts(&second);
        if beats_ms > 0 {
            story.wait(beats_ms);
            beats(&mut story, &first);
        }
        story.wait(5_000);
        story.stops(&second);
        story
    };
    accepts(Property::ConcurrentRuns, &killed(0));
    rejects(
        Property::ConcurrentRuns,
        &killed(200),
        "beside its successor",
    );
}

/// A run that was killed may have had time for its begin only: then that is its last sign, where others of its kind give such.
#[test]
fn a_run_that_was_killed_before_its_first_sign_of_life_was_over_then() {
    let silent = |others_beat: bool| {
        let (mut story, first) = lost();
        let second = story.again(&first, "lost", "a");
        story.starts(&second);
        if others_beat {
            beats(&mut story, &second);
        }
        story.wait(300);
        story.stops(&second);
        story
    };
    accepts(Property::ConcurrentRuns, &silent(true));
    rejects(
        Property::ConcurrentRuns,
        &silent(false),
        "beside its successor",
    );
}

/// The session of b ends with a claim, which is taken after so many milliseconds.
fn orphan(after_ms: u64) -> Story {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    story.gone("b");
    story.wait(after_ms);
    story.ends(&claim, "lost", Some("ready"));
    story
}

#[test]
fn claims_of_the_dead_are_taken_in_time() {
    let property = Property::ReclaimBounded;
    accepts(property, &orphan(900));
    rejects(property, &orphan(1_100), "left for 1101 ms");

    // The bound begins anew after the store was down.
    let mut down = Story::led();
    down.submit(1);
    let claim = down.claim(1, "b");
    down.gone("b");
    down.wait(900).saw(Marker::Restarted {
        member: "m".to_owned(),
    });
    down.wait(900);
    down.ends(&claim, "lost", Some("ready"));
    accepts(property, &down);

    let mut ghost = Story::led();
    ghost.submit(1);
    ghost.gone("b");
    ghost.claim(1, "b");
    rejects(property, &ghost, "which is gone");

    let mut robbed = Story::led();
    robbed.submit(1);
    let claim = robbed.claim(1, "b");
    robbed.by = Some("a".to_owned());
    robbed.ends(&claim, "lost", Some("ready"));
    rejects(property, &robbed, "which is alive");
}

/// A task is claimed when the faults end, and ends where `well`; the history goes on for so many milliseconds.
fn healed(well: bool, for_ms: u64) -> Story {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    story.saw(Entry::AllHealed);
    if well {
        story.succeeds(&claim);
    }
    story.wait(for_ms).sealed();
    story
}

#[test]
fn what_was_open_drains_after_the_faults() {
    let property = Property::Heals;
    accepts(property, &healed(true, 6_000));
    rejects(
        property,
        &healed(false, 6_000),
        "still there 5000 ms after the last fault",
    );

    // A history that ends too soon says nothing.
    let short = check(&healed(false, 1_000).history, property).unwrap();
    assert_eq!(short.finding, Finding::NotExercised);

    let leaderless = |for_ms| {
        let mut story = healed(true, 100);
        story.txn(vec![
            ("elect/a".to_owned(), None),
            ("elect/b".to_owned(), None),
        ]);
        story.wait(for_ms).sealed();
        story
    };
    rejects(property, &leaderless(6_000), "nobody leads");
    let short = check(&leaderless(1_000).history, property).unwrap();
    assert_eq!(short.finding, Finding::NotExercised);
}

/// Makes a claim one that is not there.
type Spoil = fn(&mut Claim);

#[test]
fn nothing_comes_from_nowhere() {
    let property = Property::NothingFromNowhere;
    let mut good = Story::led();
    good.submit(1);
    let claim = good.claim(1, "b");
    good.succeeds(&claim);
    accepts(property, &good);

    let mut unasked = Story::led();
    unasked.txn(Story::accepts(1, 5));
    rejects(property, &unasked, "nobody asked for it");

    // A submit of unknown outcome may have been accepted, once.
    let mut unknown = Story::led();
    unknown.call(Story::submit_op(1, None));
    unknown.txn(Story::accepts(1, 5));
    let claim = unknown.claim(1, "b");
    unknown.starts(&claim);
    accepts(property, &unknown);
    unknown.txn(Story::accepts(2, 5));
    rejects(property, &unknown, &task(2, 0));

    let mut runs = Story::led();
    runs.submit(1);
    let claim = runs.claim(1, "b");
    let rows: [(&str, Spoil); 3] = [
        ("that was never stored", |claim| claim.pack = 9),
        ("that no claim of its task has", |claim| claim.fence += 1),
        ("on another node", |claim| claim.node = "a".to_owned()),
    ];
    for (words, change) in rows {
        let mut other = claim.clone();
        change(&mut other);
        runs.starts(&other);
        rejects(property, &runs, words);
    }
    runs.ends(&claim, "succeeded", None);
    rejects(property, &runs, "without a run that ended well");
    runs.txn(vec![
        ("live/run/x".to_owned(), None),
        ("packs".to_owned(), None),
    ]);
    rejects(property, &runs, "a key that nobody can read");
}

#[test]
fn a_run_of_a_process_that_died_ends_there() {
    let mut story = Story::led();
    story.submit(1);
    let first = story.claim(1, "b");
    story.starts(&first);
    story.saw(NodeEvent::Crashed {
        node: "b".to_owned(),
        incarnation: 1,
    });
    story.gone("b");
    story.ends(&first, "lost", Some("ready"));
    let second = story.again(&first, "lost", "a");
    story.starts(&second);
    story.wait(900);
    story.stops(&second);

    let verdict = check(&story.history, Property::ConcurrentRuns).unwrap();

    assert_eq!(verdict.measured.get("overlaps"), None);
}
