//! What is no property: logs with gaps, histories as files, and what verdicts come to.

use super::build::{ROOT, Story, born, ready, task};
use crate::check::{Finding, Overall, Property, judge};
use crate::history::{Entry, History, Marker, Record, StoreEvent, Value};
use std::collections::BTreeMap;

fn small() -> Story {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    story.succeeds(&claim);
    story.sealed();
    story
}

/// The history with one record changed, or taken out.
fn changed(history: &History, mut change: impl FnMut(usize, &mut StoreEvent) -> bool) -> History {
    let mut nth = 0;
    let kept = history.records().iter().cloned().filter_map(|mut record| {
        if let Entry::Store(event) = &mut record.entry {
            nth += 1;
            return change(nth, event).then_some(record);
        }
        Some(record)
    });
    kept.collect()
}

fn with(history: &History, marker: Marker) -> History {
    let mut history = history.clone();
    history.push(u64::MAX, marker);
    history
}

fn hash(member: &str, hash: u32) -> Marker {
    Marker::Hash {
        member: member.to_owned(),
        revision: 9,
        hash,
    }
}

#[test]
fn members_that_have_the_same_leave_the_log_as_it_is() {
    let history = with(&with(&small().history, hash("e1", 7)), hash("e2", 7));
    assert_eq!(judge(&history).gap, None);
}

#[test]
fn a_log_with_a_gap_is_neither_good_nor_bad() {
    let whole = small().history;
    assert_eq!(judge(&whole).gap, None);

    let rows = [
        ("never sealed", Story::led().history),
        (
            "e2 told something else of revision 4",
            with(
                &whole,
                Marker::Differs {
                    member: "e2".to_owned(),
                    revision: 4,
                },
            ),
        ),
        (
            "e2 has something else at revision 9 than e1",
            with(&with(&whole, hash("e1", 1)), hash("e2", 2)),
        ),
        ("not known to be there", changed(&whole, |nth, _| nth != 7)),
        (
            "version",
            changed(&whole, |nth, event| {
                event.version += i64::from(nth == 3 && event.value.is_some());
                true
            }),
        ),
        (
            "previous value",
            changed(&whole, |_, event| {
                event.prev = event.prev.take().map(|_| Value(Vec::new()));
                true
            }),
        ),
        (
            "follows",
            changed(&whole, |nth, event| {
                if nth == 4 {
                    event.revision = 1;
                    event.create_revision = 1;
                }
                true
            }),
        ),
    ];
    for (words, history) in rows {
        let judgement = judge(&history);
        assert_eq!(judgement.overall, Overall::Unknown, "{words}");
        let gap = judgement.gap.unwrap();
        assert!(gap.contains(words), "{gap}");
    }

    let mut told = small();
    told.saw(Marker::Gap { after: 5 });
    assert_eq!(judge(&told.history).overall, Overall::Unknown);
    assert_eq!(judge(&History::default()).overall, Overall::Unknown);
}

#[test]
fn a_saved_history_is_judged_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history");
    let mut story = small();
    story.saw(StoreEvent {
        revision: story.revision,
        key: "another's".to_owned(),
        value: Some(Value(vec![0xff, 0, 0x10])),
        ..StoreEvent::default()
    });

    story.history.save(&path).unwrap();
    let loaded = History::load(&path).unwrap();

    assert_eq!(loaded, story.history);
    assert_eq!(judge(&loaded), judge(&story.history));
    std::fs::write(&path, "{\"at_ms\":1}\n").unwrap();
    assert!(
        History::load(&path)
            .unwrap_err()
            .to_string()
            .contains("line 1")
    );
}

#[test]
fn a_judgement_passes_only_what_was_put_to_the_test() {
    let story = small();
    let all = judge(&story.history);
    assert_eq!(all.overall, Overall::NotExercised);
    assert!(all.vacuous.contains(&Property::CancelHolds));
    assert!(
        all.to_string().contains("not exercised: one-acting-leader"),
        "{all}"
    );

    let expects = vec![Property::AcceptedNeverLost, Property::OneTerminalState];
    let some = story.history.with_setup(|setup| setup.expects = expects);
    assert_eq!(judge(&some).overall, Overall::Pass);

    let mut bad = small();
    bad.submit(2);
    bad.txn(vec![(super::build::ready(5, &super::build::born(2)), None)]);
    bad.sealed();
    let fails = judge(&bad.history);
    assert_eq!(fails.overall, Overall::Fail);
    let (property, evidence) = fails.violated().next().unwrap();
    assert_eq!(property, Property::AcceptedNeverLost);
    assert_eq!(evidence[0].ids, [task(2, 0)]);
}

fn stored(record: &Record) -> Option<&StoreEvent> {
    if let Entry::Store(event) = &record.entry {
        return Some(event);
    }
    None
}

fn sealed(story: &Story) -> History {
    let revision = story.revision;
    let mut history = story.history.clone();
    let last = history.records().last().map_or(0, |record| record.at_ms);
    history.push(last, Marker::Sealed { revision });
    history
}

/// The same as a recorder has it that began after this revision: of each key its last value, then what came.
pub(super) fn begun_after(history: &History, revision: i64) -> History {
    let mut last: BTreeMap<String, Record> = BTreeMap::new();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for record in history.records() {
        match &record.entry {
            Entry::Store(event) if event.revision <= revision => {
                last.remove(&event.key);
                if event.value.is_some() {
                    last.insert(event.key.clone(), record.clone());
                }
            }
            Entry::Setup(_) => before.push(record.clone()),
            Entry::Store(_)
            | Entry::Invoke { .. }
            | Entry::Ok { .. }
            | Entry::Fail { .. }
            | Entry::Info { .. }
            | Entry::Marker(_)
            | Entry::RunStarted(_)
            | Entry::RunEnded { .. }
            | Entry::Effect(_)
            | Entry::Trial(_)
            | Entry::Injection(_)
            | Entry::Fault(_)
            | Entry::Healed { .. }
            | Entry::AllHealed
            | Entry::Node(_) => after.push(record.clone()),
        }
    }
    let mut history: History = before.into_iter().collect();
    history.push(0, Marker::Baseline { revision });
    let mut there: Vec<Record> = last.into_values().collect();
    there.sort_by_key(|record| stored(record).map_or(0, |event| event.revision));
    for record in there.into_iter().chain(after) {
        history.push(record.at_ms, record.entry);
    }
    history
}

#[test]
fn a_recorder_that_begins_in_the_middle_holds_nothing_against_what_was_there() {
    let mut story = Story::led();
    story.submit(1);
    let claim = story.claim(1, "b");
    let middle = story.revision;
    story.succeeds(&claim);
    story.submit(2);
    let claim = story.claim(2, "b");
    story.succeeds(&claim);
    let good = sealed(&story);
    let judged = judge(&begun_after(&good, middle));
    assert_eq!(judged.gap, None, "{judged}");
    assert_eq!(judged.violated().count(), 0, "{judged}");

    // Of a task that came afterwards: it goes without a trace.
    story.submit(3);
    let lost = story
        .history
        .records()
        .iter()
        .rev()
        .filter_map(stored)
        .find(|event| event.key.contains("/ready/"))
        .map(|event| event.key.clone());
    let lost = lost.unwrap();
    story.txn(vec![(lost.trim_start_matches(ROOT).to_owned(), None)]);
    let bad = sealed(&story);
    let judged = judge(&begun_after(&bad, middle));
    let broken: Vec<Property> = judged.violated().map(|(property, _)| property).collect();
    assert!(broken.contains(&Property::AcceptedNeverLost), "{judged}");
}

#[test]
fn however_many_were_there_before_what_comes_afterwards_is_judged() {
    let mut story = Story::led();
    for n in 1..=60 {
        story.submit(n);
        story.claim(n, "b");
    }
    let middle = story.revision;
    story.submit(100);
    let good = judge(&begun_after(&sealed(&story), middle));
    assert_eq!(good.violated().count(), 0, "{good}");

    story.txn(vec![(ready(5, &born(100)), None)]);
    let bad = judge(&begun_after(&sealed(&story), middle));
    let verdict = bad.of(Property::AcceptedNeverLost).unwrap();
    let Finding::Violated { count: 1, evidence } = &verdict.finding else {
        panic!("{bad}");
    };
    assert!(evidence[0].ids[0] == task(100, 0), "{evidence:#?}");
    assert_eq!(verdict.measured["of before the recorder"], 60);
}

#[test]
fn what_is_not_right_beside_the_log_lets_nothing_be_said() {
    let mut story = Story::led();
    story.sealed();
    assert_eq!(judge(&story.history).gap, None);

    story.saw(Marker::Spoilt {
        why: "the witness lost a note".to_owned(),
    });

    let judgement = judge(&story.history);
    assert_eq!(judgement.overall, Overall::Unknown);
    assert_eq!(judgement.gap.unwrap(), "the witness lost a note");
}
