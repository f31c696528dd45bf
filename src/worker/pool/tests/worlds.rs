//! Nodes and their work, looked at each second for an hour.

use tokio::time::Instant;

use super::super::history::History;
use super::*;

/// A node and its work, looked at each second.
struct World {
    slots: u32,
    history: History,
    now: Instant,
    changes: Vec<(u64, u32, Reason)>,
    second: u64,
}

impl World {
    fn new(bounds: &Bounds) -> Self {
        let now = Instant::now();
        Self {
            slots: bounds.min,
            history: History::new(now),
            now,
            changes: Vec::new(),
            second: 0,
        }
    }

    /// Goes on for so many seconds with so many long tasks that want to run; the machine is as so many runs make it.
    fn go(&mut self, seconds: u64, wanted: u32, bounds: &Bounds, machine: impl Fn(u32) -> Reading) {
        for _ in 0..seconds {
            let busy = wanted.min(self.slots);
            self.history.runs(busy, self.now);
            if wanted > busy {
                self.history.came(secs(2));
            }
            self.now += secs(1);
            self.second += 1;
            let look = self
                .history
                .look(self.slots, 0, machine(busy), bounds, self.now);
            let decision = resize(&look, bounds);
            self.history.decided(&look, decision, self.now);
            if decision.slots != self.slots {
                self.changes
                    .push((self.second, decision.slots, decision.reason));
                self.slots = decision.slots;
            }
        }
    }
}

#[test]
fn a_node_grows_while_work_waits_and_shrinks_when_idle() {
    let mut world = World::new(&BOUNDS);
    world.go(20, 1_000, &BOUNDS, |_| CALM);
    assert_eq!(world.slots, 32, "{:?}", world.changes);
    world.go(35, 0, &BOUNDS, |_| CALM);
    assert_eq!(world.slots, 2, "{:?}", world.changes);
}

#[test]
fn long_work_that_fits_keeps_its_slots_and_a_free_one() {
    for wanted in 1..=30 {
        let mut world = World::new(&BOUNDS);
        world.go(120, wanted, &BOUNDS, |_| CALM);
        let (settled, before) = (world.slots, world.changes.len());
        assert!(settled > wanted, "nothing says that none waits: {wanted}");
        world.go(3_600, wanted, &BOUNDS, |_| CALM);
        assert_eq!(world.changes.len(), before, "{wanted}: {:?}", world.changes);
    }
}

/// So many processors, on which each run computes without end.
fn computing(processors: u32, pressure: bool) -> impl Fn(u32) -> Reading {
    move |runs| Reading {
        cpu: Some((f64::from(runs) / f64::from(processors)).min(1.0)),
        cpu_stalled: pressure.then_some(if runs > processors { 1.0 } else { 0.1 }),
        ..CALM
    }
}

#[test]
fn work_that_computes_ends_near_as_many_runs_as_processors() {
    let bounds = Bounds { min: 1, ..BOUNDS };
    for processors in [2, 4, 8, 16] {
        let mut world = World::new(&bounds);
        world.go(600, 1_000, &bounds, computing(processors, true));
        let range = processors / 2..=processors;
        assert!(range.contains(&world.slots), "{:?}", world.changes);
        let before = world.changes.len();
        world.go(3_000, 1_000, &bounds, computing(processors, true));
        assert_eq!(world.changes.len(), before, "{:?}", world.changes);
    }
}

#[test]
fn where_nobody_says_who_waits_it_changes_no_more_than_twice_a_minute() {
    let bounds = Bounds { min: 1, ..BOUNDS };
    for processors in [1, 2, 3, 8] {
        let mut world = World::new(&bounds);
        world.go(3_600, 1_000, &bounds, computing(processors, false));
        assert!(world.changes.len() <= 120, "{:?}", world.changes);
    }
}

#[test]
fn a_machine_short_of_memory_is_left_alone_for_a_minute() {
    let mut world = World::new(&BOUNDS);
    world.go(20, 1_000, &BOUNDS, |_| CALM);
    let full = |_: u32| Reading {
        memory: Some(0.95),
        ..CALM
    };
    world.go(60, 1_000, &BOUNDS, full);
    assert_eq!(world.slots, 2, "{:?}", world.changes);
    let since = world.second;
    world.go(120, 1_000, &BOUNDS, |_| CALM);
    let again = world.changes.iter().find(|change| change.0 > since);
    assert!(
        again.is_some_and(|change| change.0 >= since + 60),
        "{:?}",
        world.changes
    );
    assert_eq!(world.slots, 32);
}
