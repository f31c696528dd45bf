use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::task::{Backoff, Needs, Priority};

#[path = "tests_any.rs"]
mod any;

/// 20 Nov 2026, 12:00 UTC: everything here is told from this instant on, in milliseconds.
const NOON: u64 = 1_795_176_000_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

fn name() -> Name {
    "nightly".parse().unwrap()
}

fn every(ms: u64) -> Schedule {
    let payload = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
    Schedule {
        when: When::Every(ms),
        zone: None,
        start_ms: None,
        end_ms: None,
        jitter_ms: 0,
        overlap: Overlap::Allow,
        misfire: Misfire::FireOnce,
        catch_up_ms: CATCH_UP_MS,
        start_deadline_ms: None,
        paused: None,
        labels: BTreeMap::new(),
        created_ms: NOON,
        routing: Routing {
            queue: "q".parse().unwrap(),
            kind: "noop".parse().unwrap(),
            priority: Priority::default(),
            needs: None,
        },
        policy: Policy {
            max_attempts: 1,
            backoff: Backoff::default(),
            timeout_ms: None,
            on_lost: crate::task::OnLost::Stop,
        },
        spec: Spec {
            payload: payload.into(),
            labels: BTreeMap::new(),
            metadata: None,
        },
    }
}

/// A schedule and how far it has got.
struct World {
    schedule: Schedule,
    timing: Timing,
    progress: Progress,
    ended: BTreeSet<PackId>,
}

impl World {
    /// Declared at noon.
    fn new(schedule: Schedule) -> Self {
        let timing = schedule.timing(&name()).unwrap();
        Self {
            progress: begun(&name(), &schedule, &timing, NOON),
            schedule,
            timing,
            ended: BTreeSet::new(),
        }
    }

    fn known<'a>(&'a self, name: &'a Name, after_noon_ms: u64) -> Known<'a> {
        Known {
            name,
            incarnation: 7,
            schedule: &self.schedule,
            timing: &self.timing,
            progress: &self.progress,
            ended: &self.ended,
            now_ms: NOON + after_noon_ms,
        }
    }

    /// One transaction, committed.
    fn step(&mut self, after_noon_ms: u64) -> Option<Step> {
        let step = step(self.known(&name(), after_noon_ms))?;
        self.progress = step.progress.clone();
        Some(step)
    }

    /// All that is due by then, as it is told: seconds after noon, and why not where it was not fired.
    fn all(&mut self, after_noon_ms: u64) -> Vec<(u64, u32, Option<Skipped>)> {
        let mut lines = Vec::new();
        while let Some(step) = self.step(after_noon_ms) {
            let fires = step
                .fires
                .iter()
                .map(|(id, pack)| (*id, pack.fired.clone()));
            let told = step.lines.iter().filter(|line| line.skipped.is_none());
            let told = told.map(|line| {
                let id = line.task(&name(), 7).unwrap();
                let (schedule, due_ms) = (name(), line.due_ms);
                (id, Some(Fired { schedule, due_ms }))
            });
            assert_eq!(fires.collect::<Vec<_>>(), told.collect::<Vec<_>>());
            lines.extend(step.lines);
        }
        let line = |line: &Occurrence| ((line.due_ms - NOON) / SECOND, line.times, line.skipped);
        lines.iter().map(line).collect()
    }
}

fn fired(seconds: impl IntoIterator<Item = u64>) -> Vec<(u64, u32, Option<Skipped>)> {
    seconds.into_iter().map(|at| (at, 1, None)).collect()
}

#[test]
fn what_is_due_is_fired_once_and_not_before_its_time() {
    let mut world = World::new(every(10 * SECOND));
    assert_eq!(world.progress.tick_ms, Some(NOON + 10 * SECOND));
    assert_eq!(world.all(9_999), []);
    assert_eq!(world.all(10_000), fired([10]));
    assert_eq!(world.all(10_000), []);
    assert_eq!(world.progress.tick_ms, Some(NOON + 20 * SECOND));
    assert_eq!(world.all(35_000), fired([20, 30]));
}

#[test]
fn each_misfire_rule_does_what_it_says_after_five_minutes_without_a_leader() {
    let missed = |misfire| {
        let mut world = World::new(Schedule {
            misfire,
            ..every(MINUTE)
        });
        // 1 to 4 minutes were missed for longer than 30 s; the one of 5 is late.
        world.all(5 * MINUTE + SECOND)
    };
    let skip = |at| (at, 1, Some(Skipped::Misfire));
    let of = |skipped: &[u64], at: &[u64]| {
        let skipped = skipped.iter().map(|at| skip(*at));
        skipped.chain(fired(at.iter().copied())).collect::<Vec<_>>()
    };
    // What is skipped by being older than all that may be caught up on is one line.
    let stale = |times| vec![(60, times, Some(Skipped::Misfire))];
    assert_eq!(missed(Misfire::Skip)[1..], of(&[], &[300])[..]);
    assert_eq!(missed(Misfire::Skip)[..1], stale(4)[..]);
    assert_eq!(missed(Misfire::FireOnce), of(&[60, 120, 180], &[240, 300]));
    assert_eq!(
        missed(Misfire::FireAll(2)),
        of(&[60, 120], &[180, 240, 300])
    );
    assert_eq!(
        missed(Misfire::FireAll(9)),
        of(&[], &[60, 120, 180, 240, 300])
    );
}

#[test]
fn what_is_older_than_the_window_is_one_line_however_much_it_is() {
    let mut world = World::new(Schedule {
        misfire: Misfire::FireAll(1_000),
        catch_up_ms: 2 * MINUTE,
        ..every(SECOND)
    });
    let day = 24 * 60 * MINUTE;

    let first = world.step(day).unwrap();

    let line = &first.lines[0];
    assert_eq!(line.skipped, Some(Skipped::Window));
    assert_eq!((line.due_ms, line.times), (NOON + SECOND, TIMES_MAX));
    let before = NOON + day - 2 * MINUTE;
    assert_eq!(line.until_ms, Some(before - SECOND));
    let rest: Vec<_> = first.lines[1..].iter().map(|line| line.due_ms).collect();
    assert_eq!(rest[0], before);
    assert_eq!(first.fires.len(), FIRES_MAX);
    // What is owed is fired though its turn comes later.
    let more = world.all(day + 10 * MINUTE);
    let caught_up = more.iter().filter(|(at, ..)| *at * SECOND <= day);
    assert!(caught_up.clone().all(|(.., skipped)| skipped.is_none()));
    assert_eq!(caught_up.count() + FIRES_MAX, 121);
}

#[test]
fn the_latest_missed_ones_are_fired_however_many_there_are_to_look_at() {
    // Just over as many as are looked at for one decision, and far more.
    for late_s in [4_000, 4_090, 4_100, 4_130, 7_000] {
        let mut world = World::new(Schedule {
            misfire: Misfire::FireAll(10),
            catch_up_ms: 2 * 60 * MINUTE,
            ..every(SECOND)
        });
        let lines = world.all(late_s * SECOND);
        let fires = lines.iter().filter(|(.., skipped)| skipped.is_none());
        let fires: Vec<u64> = fires.map(|(at, ..)| *at).collect();
        // Ten that were missed, and those of the last 30 s, both ends included.
        assert_eq!(
            fires,
            (late_s - 40..=late_s).collect::<Vec<_>>(),
            "{late_s}"
        );
    }
}

#[test]
fn no_more_are_caught_up_on_than_may_be_where_others_are_beyond_their_deadline() {
    let mut world = World::new(Schedule {
        misfire: Misfire::FireAll(1_000),
        start_deadline_ms: Some(60 * MINUTE),
        catch_up_ms: 180 * MINUTE,
        ..every(SECOND)
    });
    let lines = world.all(120 * MINUTE);
    let fires = lines.iter().filter(|(.., skipped)| skipped.is_none());
    assert_eq!(fires.count(), 1_000 + 31);
    assert_eq!(lines[0], (1, 3_599, Some(Skipped::Deadline)));
}

#[test]
fn what_is_beyond_its_deadline_is_told_so_before_any_other_rule() {
    for misfire in [Misfire::Skip, Misfire::FireOnce] {
        let mut world = World::new(Schedule {
            misfire,
            start_deadline_ms: Some(10 * MINUTE),
            catch_up_ms: 5 * MINUTE,
            ..every(MINUTE)
        });
        let first = world.step(30 * MINUTE).unwrap().lines.remove(0);
        assert_eq!(first.skipped, Some(Skipped::Deadline));
        assert_eq!(
            (first.times, first.until_ms),
            (19, Some(NOON + 19 * MINUTE))
        );
    }
}

#[test]
fn nothing_is_due_that_no_key_could_tell() {
    let at = |at| Schedule {
        when: When::At(at),
        ..every(SECOND)
    };
    let far = Timing::new("x", &at(10_413_792_000_000).when, None, None, None, NOON);
    assert!(far.is_err());
    let late = 9_998_999_999_999;
    let timing = at(late).timing(&name()).unwrap();
    let progress = begun(&name(), &at(late), &timing, NOON);
    assert_eq!(progress.tick_ms, Some(late));
}

#[test]
fn one_that_waits_for_the_jitter_of_the_one_before_was_not_missed() {
    let mut world = World::new(Schedule {
        jitter_ms: 60_000,
        misfire: Misfire::Skip,
        ..every(SECOND)
    });
    let mut lines = Vec::new();
    for second in 1..=300 {
        lines.extend(world.all(second * SECOND));
    }
    assert!(lines.len() > 200, "{}", lines.len());
    assert!(lines.iter().all(|(.., skipped)| skipped.is_none()));
}

#[test]
fn what_is_never_caught_up_on_was_missed_whatever_the_window() {
    let mut world = World::new(Schedule {
        misfire: Misfire::Skip,
        catch_up_ms: 0,
        jitter_ms: 1,
        ..every(MINUTE)
    });
    let lines = world.all(3 * MINUTE + 40 * SECOND);
    let mut why = lines.iter().filter_map(|(.., why)| *why);
    assert!(why.all(|why| why == Skipped::Misfire), "{lines:?}");
}

#[test]
fn a_start_deadline_goes_before_every_other_rule() {
    let mut world = World::new(Schedule {
        start_deadline_ms: Some(5 * SECOND),
        misfire: Misfire::FireAll(10),
        ..every(MINUTE)
    });
    let late = (60, 1, Some(Skipped::Deadline));
    assert_eq!(world.all(MINUTE + 5_001), [late]);
    assert_eq!(world.all(2 * MINUTE + 5_000), fired([120]));
}

#[test]
fn overlap_skips_waits_replaces_or_allows() {
    let at = |overlap| {
        World::new(Schedule {
            overlap,
            ..every(10 * SECOND)
        })
    };
    let skipped = |at| vec![(at, 1, Some(Skipped::Overlap))];

    let mut world = at(Overlap::Skip);
    assert_eq!(world.all(10_000), fired([10]));
    assert_eq!(world.all(20_000), skipped(20));
    world.ended.extend(world.progress.open.clone());
    assert_eq!(world.all(30_000), fired([30]));
    assert_eq!(world.progress.open.len(), 1, "the first is forgotten");

    let mut world = at(Overlap::QueueOne);
    assert_eq!(world.all(20_000), fired([10, 20]));
    assert_eq!(world.all(30_000), skipped(30));

    let mut world = at(Overlap::Replace);
    assert_eq!(world.all(10_000), fired([10]));
    let step = world.step(20_000).unwrap();
    assert_eq!(step.cancels, [pack_of(&name(), 7, NOON + 10_000)]);
    assert_eq!(step.fires.len(), 1);
    // Of several at once only the last is of use.
    assert_eq!(world.all(45_000), [skipped(30), fired([40])].concat());
    while world.progress.open.len() < progress::OPEN_MAX {
        let next = world.progress.next_ms.unwrap() - NOON;
        assert_eq!(world.all(next), fired([next / SECOND]));
    }
    let next = world.progress.next_ms.unwrap() - NOON;
    assert_eq!(world.all(next), skipped(next / SECOND));

    let mut world = at(Overlap::Allow);
    assert_eq!(world.all(30_000), fired([10, 20, 30]));
    assert_eq!(world.progress.open, []);
}

#[test]
fn tasks_that_may_not_overlap_share_a_lock_and_keep_those_of_their_own() {
    let needs = Needs {
        locks: vec!["z".parse().unwrap()],
        ..Needs::default()
    };
    let mut schedule = every(SECOND);
    schedule.routing.needs = Some(Arc::new(needs));
    let locks = |schedule: &Schedule| {
        let routing = schedule.routing(&name());
        let locks = routing.needs.unwrap().locks.clone();
        locks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(locks(&schedule), ["z"]);
    schedule.overlap = Overlap::Skip;
    assert_eq!(locks(&schedule), ["schedule.nightly", "z"]);
}

#[test]
fn a_pause_leaves_what_was_due_in_it_on_record_and_an_edit_what_nobody_fired() {
    let mut world = World::new(every(10 * SECOND));
    let paused = Schedule {
        paused: Some(Paused {
            since_ms: NOON + 15_000,
            reason: String::new(),
        }),
        ..every(10 * SECOND)
    };
    let edit = |world: &World, at, new: &Schedule| {
        edited(world.known(&name(), at), new, &new.timing(&name()).unwrap())
    };

    // Nobody fired the first before the pause began.
    let step = edit(&world, 15_000, &paused);
    assert_eq!((step.lines.len(), step.progress.tick_ms), (0, None));
    world.progress = step.progress;
    world.schedule = paused;
    let step = edit(&world, 47_000, &every(10 * SECOND));
    let line = &step.lines[0];
    assert_eq!(line.skipped, Some(Skipped::Paused));
    assert_eq!((line.due_ms - NOON, line.times), (10_000, 4));
    assert_eq!(step.progress.tick_ms, Some(NOON + 50_000));

    let world = World::new(every(10 * SECOND));
    let same = Schedule {
        jitter_ms: 1,
        ..every(10 * SECOND)
    };
    assert_eq!(edit(&world, 12_000, &same).lines, []);
    assert_eq!(edit(&world, 12_000, &same).progress.done_ms, NOON);
    let step = edit(&world, 12_000, &every(7 * SECOND));
    assert_eq!(step.lines[0].skipped, Some(Skipped::Edited));
    assert_eq!(step.progress.done_ms, NOON + 12_000);
}

#[test]
fn a_trigger_follows_the_rule_of_overlap_and_leaves_due_times_alone() {
    let mut world = World::new(Schedule {
        overlap: Overlap::Skip,
        ..every(10 * SECOND)
    });
    let id = PackId::new(NOON, 9 << 60);
    let step = triggered(world.known(&name(), 3_000), id).unwrap();
    assert_eq!(step.lines[0].task(&name(), 7), Some(id));
    assert_eq!(step.lines[0].by, By::Trigger);
    assert_eq!(step.progress.done_ms, NOON);
    world.progress = step.progress;
    assert!(triggered(world.known(&name(), 4_000), id).is_none());
    assert_eq!(world.all(10_000), [(10, 1, Some(Skipped::Overlap))]);
}

#[test]
fn a_backfill_is_taken_in_parts_and_its_tasks_have_the_ids_of_their_due_times() {
    let world = World::new(every(10 * SECOND));
    let dues: Vec<u64> = (1..=20).map(|nth| NOON - nth * SECOND).collect();
    let (step, taken) = backfilled(world.known(&name(), 0), &dues).unwrap();
    assert_eq!(taken, FIRES_MAX);
    let ids: Vec<_> = step.fires.iter().map(|(id, _)| *id).collect();
    let expected = dues[..taken].iter().map(|due| pack_of(&name(), 7, *due));
    assert_eq!(ids, expected.collect::<Vec<_>>());
    assert!(step.lines.iter().all(|line| line.by == By::Backfill));
    assert_eq!(step.progress.open, []);
    assert_eq!(backfilled(world.known(&name(), 0), &[]).map(|_| ()), None);
}

#[test]
fn ids_tell_names_incarnations_and_due_times_apart_and_grow_with_the_due_time() {
    let other: Name = "hourly".parse().unwrap();
    let ids = [
        pack_of(&name(), 7, NOON),
        pack_of(&name(), 8, NOON),
        pack_of(&other, 7, NOON),
        pack_of(&name(), 7, NOON + 1),
    ];
    let different: BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), 4);
    assert_eq!(pack_of(&name(), 7, NOON), ids[0]);
    assert!(ids[..3].iter().all(|id| *id < ids[3]));
}

#[test]
fn the_ledger_is_kept_in_full_pages_of_a_bounded_number() {
    let mut progress = Progress::default();
    let line = |due_ms| Occurrence::fired(due_ms, 0, due_ms, By::Clock);
    let mut pages = Vec::new();
    for due_ms in 0..PAGES_MAX * 8 + 20 {
        pages.extend(progress.append(vec![line(due_ms)]));
    }
    let numbers: Vec<u64> = pages.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..PAGES_MAX + 2).collect::<Vec<_>>());
    assert!(pages.iter().all(|(_, page)| page.lines.len() == 8));
    assert_eq!(progress.pages(), 2..PAGES_MAX + 2);
    assert_eq!(progress.recent.len(), 4);
}

#[test]
fn what_is_stored_is_short_and_comes_back() {
    let line = Occurrence::fired(NOON, 0, NOON + 12, By::Clock);
    let text = serde_json::to_string(&line).unwrap();
    assert_eq!(text, r#"{"due":1795176000000,"late":12}"#);
    assert_eq!(serde_json::from_str::<Occurrence>(&text).unwrap(), line);
    let skipped = Occurrence::skipped(NOON, 0, NOON, Skipped::Misfire);
    let text = serde_json::to_string(&skipped).unwrap();
    assert_eq!(text, r#"{"due":1795176000000,"skipped":"misfire"}"#);
    let schedule = Schedule {
        misfire: Misfire::FireAll(3),
        ..every(SECOND)
    };
    let text = serde_json::to_string(&schedule).unwrap();
    let back: Schedule = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}
