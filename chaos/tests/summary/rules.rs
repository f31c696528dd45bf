//! What chapters come to, and what is kept of them.

use tenure_chaos::check::{Limits, Overall, Property};
use tenure_chaos::history::{
    Entry, Fault, FaultKind, History, Injection, Marker, NodeEvent, Stage,
};
use tenure_chaos::summary::{Expected, Ruling, RunFacts, Summary};

use super::made::{KINDS, Plan};
use super::{PLAN, chapter, facts, failing, made, passing};

fn ruling(summary: &Summary, name: &str) -> Ruling {
    let mut promises = summary.promises.iter();
    promises
        .find(|promise| promise.name == name)
        .expect("each of P1 to P10 is told")
        .ruling
}

/// A history with this stretched at its end, and nothing judged by it.
fn quiet(entries: &[(u64, Entry)]) -> History {
    let mut history = History::new("/tenure/made/", Limits::default());
    for (at_ms, entry) in entries {
        history.push(*at_ms, entry.clone());
    }
    history
}

#[test]
fn a_run_that_breaks_nothing_and_tests_what_it_should_passes() {
    let summary = passing();
    assert_eq!(summary.overall, Overall::Pass, "{:?}", summary.because);
    assert_eq!(ruling(&summary, "P3"), Ruling::Held);
    assert_eq!(ruling(&summary, "P7"), Ruling::NotExercised);
    assert_eq!(summary.first_violation, None);
    assert_eq!(summary.properties().count(), Property::ALL.len());
}

#[test]
fn what_was_to_be_tested_and_was_not_is_named() {
    let asked = [Property::LocksExclude, Property::OneActingLeader];
    let expected = Expected {
        properties: Some(asked.into()),
        faults: 1_000,
        kinds: 50,
    };
    let run = RunFacts {
        expected,
        ..facts(&[])
    };
    let summary = Summary::of(run, &[made(PLAN)]);
    assert_eq!(summary.overall, Overall::NotExercised);
    assert_eq!(summary.because.len(), 3, "{:?}", summary.because);
    assert!(summary.because[0].starts_with("locks-exclude"));
    assert_eq!(ruling(&summary, "P5"), Ruling::NotExercised);
    assert_eq!(Summary::of(facts(&[]), &[]).overall, Overall::NotExercised);
}

#[test]
fn histories_say_what_is_to_be_tested_where_the_run_does_not() {
    let history = made::history(PLAN);
    let own = history.clone().with_setup(|setup| {
        setup.expects = vec![Property::OneActingLeader, Property::Heals];
    });
    let run = RunFacts::default;
    assert_eq!(Summary::of(run(), &[chapter(&own)]).overall, Overall::Pass);
    let all = Summary::of(run(), &[chapter(&history)]);
    assert_eq!(all.overall, Overall::NotExercised);
}

#[test]
fn a_property_is_exercised_where_one_chapter_exercised_it() {
    let calm = Plan { faults: 0, ..PLAN };
    let asked = [Property::FailoverBounded];
    let run = || RunFacts {
        expected: Expected {
            properties: Some(asked.into()),
            ..Expected::default()
        },
        ..RunFacts::default()
    };
    let (calm, stormy) = (made(calm), made(PLAN));
    let alone = Summary::of(run(), std::slice::from_ref(&calm));
    assert_eq!(alone.overall, Overall::NotExercised);
    assert_eq!(Summary::of(run(), &[calm, stormy]).overall, Overall::Pass);
}

#[test]
fn a_gap_makes_all_unknown_but_for_a_violation_in_a_whole_log() {
    let mut history = made::history(PLAN);
    history.push(99_000, Marker::Gap { after: 3 });
    let torn = chapter(&history);
    let mut broken = made::history(Plan {
        broken: true,
        ..PLAN
    });
    let whole = chapter(&broken);
    broken.push(99_000, Marker::Gap { after: 3 });

    let unknown = Summary::of(facts(&[]), &[made(PLAN), torn.clone()]);
    let failed = Summary::of(facts(&[]), &[torn, whole]);
    let doubtful = Summary::of(facts(&[]), &[chapter(&broken)]);

    assert_eq!(unknown.overall, Overall::Unknown);
    assert_eq!(ruling(&unknown, "P3"), Ruling::Unknown);
    assert!(
        unknown.because[0].starts_with("chapter 2: "),
        "{:?}",
        unknown.because
    );
    assert_eq!(failed.overall, Overall::Fail);
    assert_eq!(ruling(&failed, "P3"), Ruling::Violated);
    assert_eq!(failed.first_violation.unwrap().chapter, 2);
    assert_eq!(doubtful.overall, Overall::Unknown);
    assert_eq!(doubtful.first_violation, None);
}

#[test]
fn the_first_violation_is_told_with_what_was_written_and_broken_around_it() {
    let first = failing().first_violation.unwrap();

    assert_eq!(
        (first.chapter, first.property),
        (2, Property::OneActingLeader)
    );
    assert_eq!((first.promise.as_str(), first.times), ("P3", 1));
    assert!(first.seen.contains("a claim by term 4"), "{}", first.seen);
    assert!(!first.lines.is_empty() && first.lines.len() <= 12);
    let cited: Vec<_> = first.lines.iter().filter(|line| line.cited).collect();
    assert!(
        cited
            .iter()
            .all(|line| line.revision == Some(first.revisions[0]))
    );
    assert!(
        cited
            .iter()
            .any(|line| first.ids[0].ends_with(line.what.split(' ').nth(1).unwrap())),
        "{cited:?}"
    );
    assert!(first.lines.is_sorted_by_key(|line| line.at_ms));
    assert!(
        first
            .lines
            .iter()
            .all(|line| line.what.chars().count() < 300)
    );
}

#[test]
fn chapters_add_up() {
    let (one, two) = (made(PLAN), made(Plan { seed: 8, ..PLAN }));
    let alone = [&one, &two].map(|one| Summary::of(facts(&[]), std::slice::from_ref(one)));
    let both = Summary::of(facts(&[]), &[one, two]);

    let sum = |of: fn(&Summary) -> u64| alone.iter().map(of).sum::<u64>();
    assert_eq!(both.counts.accepted, sum(|one| one.counts.accepted));
    assert_eq!(both.length_ms, sum(|one| one.length_ms));
    assert_eq!(both.leadership.terms, sum(|one| one.leadership.terms));
    assert_eq!(
        both.counts.calls["submit"].ok,
        sum(|one| one.counts.calls["submit"].ok)
    );
    for kind in KINDS {
        let made = |one: &Summary| one.faults[kind].installed + one.faults[kind].skipped;
        assert_eq!(made(&both), alone.iter().map(made).sum::<u64>(), "{kind}");
    }
    for (nth, timing) in both.times.iter().enumerate() {
        let own = alone.iter().filter_map(|one| one.times[nth].measured);
        let measured = timing.measured.unwrap();
        assert_eq!(measured.n, own.clone().map(|one| one.n).sum::<u64>());
        assert_eq!(Some(measured.max_ms), own.map(|one| one.max_ms).max());
    }
    let exercised = |one: &Summary| one.promises[2].exercised;
    assert_eq!(exercised(&both), alone.iter().map(exercised).sum::<u64>());
}

#[test]
fn faults_are_counted_by_what_became_of_them() {
    let stage = |number, stage, why: Option<&str>| {
        Entry::Injection(Injection {
            number,
            kind: "k".to_owned(),
            stage,
            targets: Vec::new(),
            why: why.map(str::to_owned),
        })
    };
    let mut entries = vec![
        (1_000, stage(1, Stage::Installed, None)),
        (1_500, stage(1, Stage::Healed, None)),
        (2_000, stage(2, Stage::Indeterminate, Some("no answer"))),
        (2_100, stage(2, Stage::Healed, None)),
        (3_000, stage(3, Stage::Installed, None)),
    ];
    entries.extend((4..24).map(|n| (3_000, stage(n, Stage::Skipped, Some(&format!("why {n}"))))));
    entries.push((4_000, Entry::Marker(Marker::Sealed { revision: 1 })));

    let chapter = chapter(&quiet(&entries));

    let counts = &chapter.faults["k"];
    assert_eq!(
        (counts.installed, counts.skipped, counts.indeterminate),
        (2, 20, 1)
    );
    assert_eq!((counts.lasted_ms, counts.unhealed), (500 + 100 + 1_000, 1));
    assert_eq!(counts.reasons.len(), 5);
    let bars = chapter
        .track
        .bars
        .iter()
        .map(|bar| (bar.from_ms, bar.to_ms, bar.certain));
    let expected = [(0, 500, true), (1_000, 1_100, false), (2_000, 3_000, true)];
    assert_eq!(bars.collect::<Vec<_>>(), expected);
}

#[test]
fn a_history_without_injections_tells_its_faults() {
    let fault = |id, kind| {
        Entry::Fault(Fault {
            id,
            kind,
            target: None,
            from: None,
            to: None,
        })
    };
    let history = quiet(&[
        (10, fault(1, FaultKind::StoreDown)),
        (30, Entry::Healed { id: 1 }),
        (40, fault(2, FaultKind::Pause)),
        (90, Entry::AllHealed),
    ]);
    let faults = chapter(&history).faults;
    assert_eq!(
        (
            faults["store-down"].installed,
            faults["store-down"].lasted_ms
        ),
        (1, 20)
    );
    assert_eq!(
        (faults["pause"].lasted_ms, faults["pause"].unhealed),
        (50, 0)
    );
}

#[test]
fn a_crash_and_the_end_of_a_key_are_where_failover_is_measured_from() {
    let history = made::history(PLAN);
    let track = chapter(&history).track;
    let killed = history
        .records()
        .iter()
        .filter(|record| matches!(record.entry, Entry::Node(NodeEvent::Crashed { .. })));
    assert!(track.failovers.n > 0 && track.failovers_from_crash.n > 0);
    assert!(track.failovers_from_crash.n <= u64::try_from(killed.count()).unwrap());
    let after_key = track.failovers.kept.iter();
    for [at_ms, crash_ms] in &track.failovers_from_crash.kept {
        let own = after_key.clone().find(|[at, _]| at == at_ms).unwrap();
        assert!(own[1] < *crash_ms, "{own:?} {crash_ms}");
    }
}

#[test]
fn a_chapter_is_small() {
    let long = made(Plan {
        secs: 900,
        faults: 60,
        ..PLAN
    });
    let bytes = serde_json::to_string(&long).unwrap().len();
    assert!(long.counts.accepted > 4_000, "{}", long.counts.accepted);
    assert!(bytes < 50_000, "{bytes}");
}
