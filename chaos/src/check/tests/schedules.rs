//! Stories of schedules: what is due is fired once or skipped for a reason that is true, and what breaks that.

use serde_json::{Value as Json, json};

use super::build::{Story, pack};
use super::scheduled::{Scheduled, fired, run, skipped};
use super::{accepts, rejects};
use crate::check::{Finding, Property, check};
use crate::history::Entry;

const FIRES: Property = Property::SchedulesFireOnce;

/// Every two seconds, by default fired as soon as it is due.
fn every(period: u64) -> Scheduled {
    Scheduled::new(period, &json!({}))
}

fn ruled(period: u64, spec: &Json) -> Scheduled {
    Scheduled::new(period, spec)
}

#[test]
fn what_is_due_is_fired_once_and_in_time() {
    let mut good = every(2_000);
    good.fires(1, 2_000).fires(2, 4_000).fires(3, 6_000);
    accepts(FIRES, good.ends(7_999));
    let verdict = check(&good.story.history, FIRES).unwrap();
    assert_eq!((verdict.exercised, verdict.measured["fired"]), (3, 3));
    assert_eq!(verdict.measured["late_ms max"], 2);
    // What a schedule made is a task like any other, and was asked for by it.
    good.runs(3, 8_000);
    accepts(Property::OneTerminalState, &good.story);
    let story = &good.story.history;
    let verdict = check(story, Property::NothingFromNowhere).unwrap();
    assert_eq!(verdict.finding, Finding::NotExercised, "{verdict:#?}");
}

#[test]
fn a_due_time_has_one_task() {
    let mut twice = every(2_000);
    twice.decides(2_002, &[fired(2_000, 2)], 2_000, &[(1, 2_000), (2, 2_000)]);
    rejects(FIRES, twice.ends(3_000), "fired due 2000 twice");

    // The leader that was passed over commits what it decided by an older progress.
    let mut late = every(2_000);
    let before = (late.done, late.count, late.recent.clone());
    late.fires(1, 2_000);
    (late.done, late.count, late.recent) = before;
    late.decides(2_010, &[fired(2_000, 10)], 2_000, &[(2, 2_000)]);
    rejects(FIRES, late.ends(3_000), "its ledger lost some");

    let mut again = every(2_000);
    again.fires(1, 2_000);
    again.decides(2_010, &[fired(2_000, 10)], 2_000, &[(2, 2_000)]);
    rejects(FIRES, again.ends(3_000), "has a second line for due 2000");
    rejects(FIRES, &again.story, "fired due 2000 twice");

    let mut none = every(2_000);
    none.decides(2_002, &[fired(2_000, 2)], 2_000, &[]);
    rejects(FIRES, none.ends(3_000), "and made no task");

    let mut silent = every(2_000);
    silent.fires(1, 2_000);
    let ops = silent.makes(2, 3_000);
    silent.at(3_000).story.txn(ops);
    rejects(FIRES, silent.ends(3_500), "moved without its progress");
    let mut beside = every(2_000);
    beside.decides(2_002, &[fired(2_000, 2)], 2_000, &[(1, 2_000), (2, 2_001)]);
    rejects(FIRES, beside.ends(3_000), "has no line for it");
}

#[test]
fn a_due_time_without_a_line_is_found() {
    let mut passed = every(2_000);
    passed.fires(1, 2_000);
    passed.decides(6_002, &[fired(6_000, 2)], 6_000, &[(2, 6_000)]);
    rejects(FIRES, passed.ends(7_000), "has no line for due 4000");

    let mut forgotten = every(2_000);
    forgotten.decides(4_100, &[], 4_000, &[]);
    rejects(FIRES, forgotten.ends(5_000), "and is done up to 4000");

    let mut ahead = every(2_000);
    ahead.decides(2_000, &[fired(2_000, 0)], 3_900, &[(1, 2_000)]);
    rejects(FIRES, ahead.ends(3_000), "which is still to come");

    let mut skewed = every(2_000);
    skewed.period = 3_000;
    skewed.fires(1, 2_000);
    rejects(FIRES, skewed.ends(3_000), "goes on with Some(3000)");

    let mut unlooked = every(2_000);
    let mut ops = unlooked.lines(&[fired(2_000, 2)], 2_000);
    ops.extend(unlooked.makes(1, 2_000));
    ops.retain(|(key, _)| !key.starts_with("live/tick"));
    unlooked.at(2_002).story.txn(ops);
    rejects(FIRES, unlooked.ends(3_000), "not looked at when it is due");

    // Nobody looks at it while somebody leads; while nobody does, nothing is late.
    let mut stuck = every(2_000);
    stuck.fires(1, 2_000);
    accepts(FIRES, stuck.ends(6_900));
    rejects(
        FIRES,
        stuck.ends(8_000),
        "due 4000 has no line 4000 ms after it",
    );
    let mut late = every(2_000);
    late.decides(
        6_002,
        &[fired(2_000, 4_002), fired(4_000, 2_002), fired(6_000, 2)],
        6_000,
        &[(1, 2_000), (2, 4_000), (3, 6_000)],
    );
    rejects(
        FIRES,
        late.ends(7_000),
        "decides due 2000 only 4002 ms after its time",
    );
    let mut nobody = every(2_000);
    nobody.fires(1, 2_000);
    nobody.story.gone("a");
    nobody.story.gone("b");
    accepts(FIRES, nobody.ends(20_000));
    let mut deleted = every(2_000);
    deleted.fires(1, 2_000);
    let ops = ["sched/s", "schedstate/s", "live/tick/0000000004000/s"];
    deleted
        .at(9_000)
        .story
        .txn(ops.map(|key| (key.to_owned(), None)).into());
    rejects(
        FIRES,
        deleted.ends(9_500),
        "due 4000 has no line 5000 ms after it",
    );
}

#[test]
fn nothing_is_fired_before_its_time() {
    let mut early = every(2_000);
    early.decides(1_900, &[fired(2_000, 0)], 2_000, &[(1, 2_000)]);
    rejects(
        FIRES,
        early.ends(3_000),
        "decides due 2000 100 ms before its time",
    );

    let mut jitter = ruled(2_000, &json!({"jitter_ms": 500}));
    let line = json!({"due": 2_000, "jitter": 600, "late": 1});
    jitter.decides(2_601, &[line], 2_000, &[(1, 2_000)]);
    rejects(FIRES, jitter.ends(3_000), "spread by more than is declared");
}

#[test]
fn a_ledger_loses_nothing() {
    let mut good = every(2_000);
    for n in 1..20 {
        good.fires(n, 2_000 * u64::from(n));
    }
    accepts(FIRES, good.ends(39_000));

    let lost = |lost: &str| {
        let mut story = every(2_000);
        for n in 1..8 {
            story.fires(n, 2_000 * u64::from(n));
        }
        let mut ops = story.lines(&[fired(16_000, 2)], 16_000);
        ops.extend(story.makes(8, 16_000));
        ops.retain(|(key, _)| !key.starts_with(lost));
        story.at(16_002).story.txn(ops);
        story
    };
    accepts(FIRES, lost("nothing").ends(17_000));
    rejects(
        FIRES,
        lost("ledger").ends(17_000),
        "its ledger lost some of the last 7 lines",
    );

    let mut gone = lost("nothing");
    gone.at(17_000)
        .story
        .txn(vec![("ledger/s/00000000".to_owned(), None)]);
    rejects(FIRES, gone.ends(17_500), "moved without its progress");
    let mut early = lost("nothing");
    let mut ops = early.lines(&[fired(18_000, 2)], 18_000);
    ops.extend(early.makes(9, 18_000));
    ops.push(("ledger/s/00000000".to_owned(), None));
    early.at(18_002).story.txn(ops);
    rejects(
        FIRES,
        early.ends(18_500),
        "page 0 of its ledger went too early",
    );

    let mut counted = every(2_000);
    counted.count = 1;
    counted.fires(1, 2_000);
    rejects(FIRES, counted.ends(3_000), "and counts 2");
}

#[test]
fn an_overlap_is_true_and_never_two_run_at_once() {
    let skip = json!({"overlap": "skip"});
    let told = |ended_ms: Option<u64>, line: Json, made: &[(u8, u64)]| {
        let mut story = ruled(10_000, &skip);
        story.fires(1, 10_000);
        let claim = story.claims(1, 10_005);
        if let Some(ms) = ended_ms {
            story.at(ms).story.ends(&claim, "succeeded", None);
        }
        story.decides(20_002, &[line], 20_000, made);
        story
    };
    let overlap = skipped(20_000, 2, "overlap");
    accepts(FIRES, told(None, overlap.clone(), &[]).ends(21_000));
    accepts(
        FIRES,
        told(Some(15_000), fired(20_000, 2), &[(2, 20_000)]).ends(21_000),
    );
    let wrong = told(Some(15_000), overlap.clone(), &[]);
    rejects(
        FIRES,
        &wrong.story,
        "skips due 20000 for an overlap with 0 tasks",
    );
    let wrong = told(None, fired(20_000, 2), &[(2, 20_000)]);
    rejects(
        FIRES,
        &wrong.story,
        "fires 20000 though 1 tasks have not ended",
    );
    let mut allowed = every(10_000);
    allowed
        .fires(1, 10_000)
        .decides(20_002, &[overlap], 20_000, &[]);
    rejects(FIRES, &allowed.story, "for an overlap that is allowed");

    for overlap in ["skip", "queue_one", "replace", "allow"] {
        let mut two = ruled(10_000, &json!({"overlap": overlap}));
        two.fires(1, 10_000).fires(2, 20_000);
        two.claims(1, 20_010);
        two.claims(2, 20_020);
        if overlap == "allow" {
            accepts(FIRES, two.ends(21_000));
        } else {
            rejects(FIRES, two.ends(21_000), "2 tasks of schedule s run at once");
        }
    }

    // One may wait, and a third is too many.
    let queue = json!({"overlap": "queue_one"});
    let mut one = ruled(10_000, &queue);
    one.fires(1, 10_000).fires(2, 20_000);
    one.decides(30_002, &[skipped(30_000, 2, "overlap")], 30_000, &[]);
    accepts(FIRES, one.ends(31_000));
    one.fires(3, 40_000);
    rejects(FIRES, one.ends(41_000), "fires 40000 though 2 tasks");

    // Of several at once only the last replaces what was before.
    let replace = |line: Json, made: &[(u8, u64)]| {
        let mut story = ruled(10_000, &json!({"overlap": "replace"}));
        story.story.gone("a");
        story.story.gone("b");
        let term = story.at(25_000).story.stand("b");
        story.story.opens(term);
        story.decides(
            25_010,
            &[skipped(10_000, 15_010, "overlap"), line],
            20_000,
            made,
        );
        story
    };
    accepts(
        FIRES,
        replace(fired(20_000, 5_010), &[(1, 20_000)]).ends(26_000),
    );
    let wrong = replace(skipped(20_000, 5_010, "overlap"), &[]);
    rejects(FIRES, &wrong.story, "for an overlap with 0 tasks");

    let mut unlocked = ruled(10_000, &skip);
    unlocked.spec["overlap"] = json!("allow");
    unlocked.fires(1, 10_000);
    rejects(FIRES, unlocked.ends(11_000), "takes no lock");
}

#[test]
fn pauses_and_edits_leave_what_they_passed_on_record() {
    let paused = json!({"paused": {"since_ms": 5_000}});
    let resumed = json!({"paused": null});
    let told = |line: Json, done: u64| {
        let mut story = every(10_000);
        story.edits(5_000, &paused, &[], 1_500);
        story.edits(35_000, &resumed, &[line], done);
        story
    };
    let line = run(10_000, 35_000, 3, 25_000, "paused");
    accepts(
        FIRES,
        told(line, 35_000).fires(1, 40_000).story.sealed_here(),
    );
    let wrong = told(run(10_000, 25_000, 2, 25_000, "paused"), 35_000);
    rejects(FIRES, &wrong.story, "has no line for due 30000");
    let wrong = told(run(10_000, 35_000, 3, 25_000, "edited"), 35_000);
    rejects(FIRES, &wrong.story, "says that it was edited, and was not");

    let other = json!({"when": {"every_ms": 7_000}});
    let mut edited = every(10_000);
    edited.edits(10_500, &other, &[skipped(10_000, 500, "edited")], 10_500);
    edited.fires(1, 14_000);
    accepts(FIRES, edited.ends(15_000));
    let mut silent = every(10_000);
    silent.edits(10_500, &other, &[], 10_500);
    rejects(FIRES, &silent.story, "has no line for due 10000");
    let mut never = every(10_000);
    never.decides(10_500, &[skipped(10_000, 500, "paused")], 10_000, &[]);
    rejects(FIRES, &never.story, "says that it was paused, and was not");
}

#[test]
fn triggers_and_backfills_are_beside_due_times() {
    let trigger = |n: u8, due: u64| json!({"due": due, "by": "trigger", "pack": pack(n)});
    let backfill = |due: u64| json!({"due": due, "late": 9, "by": "backfill"});
    let mut good = every(10_000);
    good.decides(4_000, &[trigger(1, 4_000)], 1_500, &[(1, 4_000)]);
    good.decides(5_000, &[backfill(1_000)], 1_500, &[(2, 1_000)]);
    good.fires(3, 10_000);
    // One that is there is not made again.
    good.decides(11_000, &[backfill(10_000)], 10_000, &[]);
    accepts(FIRES, good.ends(12_000));

    let mut twice = every(10_000);
    twice.fires(1, 10_000);
    twice.decides(11_000, &[backfill(10_000)], 10_000, &[(2, 10_000)]);
    rejects(FIRES, twice.ends(12_000), "fired due 10000 twice");
    let mut other = every(10_000);
    other.decides(4_000, &[trigger(1, 4_000)], 1_500, &[(2, 4_000)]);
    rejects(FIRES, other.ends(5_000), "and made no task");
}

#[test]
fn expressions_that_count_seconds_and_single_instants_are_reckoned_too() {
    let mut cron = ruled(5_000, &json!({"when": {"cron": "*/5 * * * * *"}}));
    cron.fires(1, 5_000).fires(2, 10_000);
    accepts(FIRES, cron.ends(12_000));
    cron.decides(20_002, &[fired(20_000, 2)], 20_000, &[(3, 20_000)]);
    rejects(FIRES, cron.ends(21_000), "has no line for due 15000");

    let others = ruled(5_000, &json!({"when": {"cron": "17 3 * * *"}}));
    let verdict = check(&others.story.history, FIRES).unwrap();
    assert_eq!(verdict.measured["without a reckoning"], 1);
}

#[test]
fn only_a_leader_fires_what_is_due() {
    let property = Property::OneActingLeader;
    let by = |node: &str, line: Json, done: u64| {
        let mut story = every(10_000);
        story.story.gone("a");
        story.story.opens(5);
        story.story.by = Some(node.to_owned());
        story.decides(10_002, &[line], done, &[(1, 10_000)]);
        story
    };
    // After a's key went, b's is the oldest.
    accepts(property, &by("b", fired(10_000, 2), 10_000).story);
    let other = by("c", fired(10_000, 2), 10_000);
    rejects(property, &other.story, "a fire by c while b led");
    // What somebody asks for is anybody's.
    let asked = json!({"due": 10_000, "by": "trigger", "pack": pack(1)});
    let verdict = check(&by("c", asked, 1_500).story.history, property).unwrap();
    assert_ne!(verdict.exercised, 0);
    assert_eq!(verdict.finding, Finding::Ok, "{verdict:#?}");
}

#[test]
fn a_schedule_that_is_not_there_fires_nothing() {
    let mut gone = every(2_000);
    let ops = ["sched/s", "schedstate/s", "live/tick/0000000002000/s"];
    gone.at(1_900)
        .story
        .txn(ops.map(|key| (key.to_owned(), None)).into());
    accepts_nothing(&gone.story);
    let ops = gone.makes(1, 2_000);
    gone.at(2_002).story.txn(ops);
    rejects(FIRES, gone.ends(3_000), "is not there, and fired");
}

fn accepts_nothing(story: &Story) {
    let verdict = check(&story.history, FIRES).unwrap();
    assert_eq!(verdict.finding, Finding::NotExercised, "{verdict:#?}");
}

impl Story {
    fn sealed_here(&mut self) -> &Self {
        self.saw(Entry::AllHealed);
        self.sealed();
        self
    }
}
