//! Assignment under limits, on hand-made views: what holds up what, who goes first, and that limits hold whatever happens.

use std::collections::BTreeMap;

use super::world::{World, name, routing};
use super::{Bounds, Numbers, Reserved, assign};
use crate::store::{Assign, Change, Lane, QueueRules};
use crate::task::{ClaimId, Gate, Name, Needs, PackId, Permit};

const BOUNDS: Bounds = Bounds {
    records_max: 60,
    claims_max: 120,
};

pub(super) fn permits(of: &[(&str, u32)]) -> Needs {
    let permit = |(semaphore, weight): &(&str, u32)| Permit {
        semaphore: name(semaphore),
        weight: *weight,
    };
    Needs {
        permits: of.iter().map(permit).collect(),
        ..Needs::default()
    }
}

pub(super) fn locks(of: &[&str]) -> Needs {
    Needs {
        locks: of.iter().map(|lock| name(lock)).collect(),
        ..Needs::default()
    }
}

pub(super) fn semaphore(of: &str) -> Gate {
    Gate::Semaphore(name(of))
}

/// A node with room for everything.
pub(super) fn world() -> World {
    let mut world = World::new();
    world.node("n", 1_000, &["k"]);
    world
}

/// A leader that sees at once what it did.
pub(super) struct Leader {
    pub(super) world: World,
    pub(super) numbers: Numbers,
    /// Claims and what they run, in order.
    pub(super) running: Vec<(Name, ClaimId)>,
    pub(super) parks: usize,
}

impl Leader {
    pub(super) fn of(world: World) -> Self {
        Self {
            world,
            numbers: Numbers::of_term(9),
            running: Vec::new(),
            parks: 0,
        }
    }

    /// Decides until nothing is left to be decided; the packs that were started, and how many tasks of each.
    pub(super) fn lead(&mut self, now_ms: u64) -> Vec<(PackId, usize)> {
        let mut started = Vec::new();
        self.numbers.turns.at(now_ms);
        for _ in 0..200 {
            let (view, none) = (&self.world.view, Reserved::default());
            let plan = assign(view, &none, &mut self.numbers, BOUNDS, now_ms);
            if plan.is_empty() {
                return started;
            }
            for change in plan {
                if let Change::Assign(assign) = change {
                    started.push(self.start(&assign));
                } else if let Change::Park(park) = change {
                    self.parks += 1;
                    self.world.parked(&park);
                } else if let Change::Grant(grant) = change {
                    self.world.granted(&grant);
                } else if let Change::DropLane(empty) = change {
                    self.world.dropped(&empty);
                } else {
                    panic!("not of assign: {change:?}");
                }
            }
        }
        panic!("it goes on for ever");
    }

    fn start(&mut self, assign: &Assign) -> (PackId, usize) {
        let tasks = assign.takes.iter().map(|take| take.which.len()).sum();
        let claims = self.world.assigned(assign);
        let claims = claims.into_iter().map(|(node, claim, _)| (node, claim));
        self.running.extend(claims);
        (assign.from.id.pack, tasks)
    }

    /// The claim that has run longest ends.
    pub(super) fn end(&mut self) {
        let (node, claim) = self.running.remove(0);
        self.world.ended(node.as_str(), claim);
    }
}

#[test]
fn a_full_semaphore_holds_up_nothing_else() {
    let mut world = world();
    world.limit("db", 3);
    let full = world.asks(permits(&[("db", 1)]), 9, 1, 200);
    let free = world.ready("q", "k", 1, 2, 5);
    let mut leader = Leader::of(world);

    assert_eq!(leader.lead(0), [(full, 3), (free, 5)]);
    assert_eq!(leader.parks, 0, "it is filed where it waits");
    leader.end();
    assert_eq!(leader.lead(0), [(full, 3)]);
}

#[test]
fn work_behind_a_held_lock_is_moved_out_of_the_way_and_woken_by_priority_then_age() {
    let mut world = world();
    let first = world.asks(locks(&["x"]), 5, 1, 1);
    let second = world.asks(locks(&["x"]), 5, 2, 1);
    let free = world.ready("q", "k", 5, 3, 1);
    let mut leader = Leader::of(world);

    assert_eq!(leader.lead(0), [(first, 1), (free, 1)]);
    assert_eq!(leader.parks, 1);
    // What comes later and is more urgent goes first, and what comes behind waits behind.
    let urgent = leader.world.asks(locks(&["x"]), 9, 4, 1);
    let third = leader.world.asks(locks(&["x"]), 5, 5, 1);
    assert_eq!(leader.lead(0), []);
    for next in [urgent, second, third] {
        leader.end();
        leader.running.clear();
        assert_eq!(leader.lead(0), [(next, 1)]);
    }
    leader.end();
    assert_eq!(leader.lead(0), []);
    assert!(
        leader.world.view.passing.is_empty(),
        "empty lanes are forgotten"
    );
    assert!(
        leader
            .world
            .view
            .lanes
            .keys()
            .all(|lane| !lane.is_passing())
    );
}

#[test]
fn a_claim_with_a_lock_holds_one_task() {
    let mut world = world();
    let pack = world.asks(locks(&["x"]), 5, 1, 40);
    let mut leader = Leader::of(world);
    for _ in 0..40 {
        assert_eq!(leader.lead(0), [(pack, 1)]);
        leader.end();
    }
    assert_eq!(leader.lead(0), []);
}

#[test]
fn all_is_taken_at_once_or_nothing() {
    let mut world = world();
    world.limit("a", 1);
    world.limit("b", 1);
    let both = world.asks(permits(&[("a", 1), ("b", 1)]), 5, 1, 2);
    let only_b = world.asks(permits(&[("b", 1)]), 5, 2, 1);
    let only_a = world.asks(permits(&[("a", 1)]), 5, 3, 1);
    let mut leader = Leader::of(world);

    assert_eq!(leader.lead(0), [(both, 1)]);
    leader.end();
    assert_eq!(leader.lead(0), [(both, 1)]);
    leader.end();
    let mut last = leader.lead(0);
    last.sort();
    assert_eq!(last, [(only_b, 1), (only_a, 1)]);
}

#[test]
fn who_asks_for_much_is_not_passed_by_who_asks_for_little() {
    let mut world = world();
    world.limit("db", 4);
    let little = world.asks(permits(&[("db", 1)]), 5, 1, 4);
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(little, 4)]);
    leader.end();
    // Four permits again, one of them held by what is more urgent.
    let urgent = leader.world.asks(permits(&[("db", 1)]), 9, 2, 1);
    let much = leader.world.asks(permits(&[("db", 4)]), 5, 3, 1);
    let behind = leader.world.asks(permits(&[("db", 1)]), 5, 4, 3);
    let other = leader.world.ready("q", "k", 1, 5, 1);
    assert_eq!(leader.lead(0), [(urgent, 1), (other, 1)]);
    leader.end();
    assert_eq!(leader.lead(0), [(much, 1)]);
    leader.end();
    leader.end();
    assert_eq!(leader.lead(0), [(behind, 3)]);
}

#[test]
fn a_lowered_limit_takes_nothing_away_and_gives_nothing_until_it_fits() {
    let mut world = world();
    world.limit("db", 3);
    let pack = world.asks(permits(&[("db", 1)]), 5, 1, 1);
    for made_ms in 2..=5 {
        world.asks(permits(&[("db", 1)]), 5, made_ms, 1);
    }
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0).len(), 3);
    assert_eq!(leader.running.len(), 3, "{pack}");
    leader.world.limit("db", 1);
    for left in [2, 1] {
        leader.end();
        assert_eq!(leader.lead(0), [], "{left} hold it still");
    }
    leader.end();
    assert_eq!(leader.lead(0).len(), 1);
    leader.world.limit("db", 9);
    assert_eq!(leader.lead(0).len(), 1);
}

#[test]
fn a_semaphore_that_nobody_declared_gives_nothing() {
    let mut world = world();
    world.asks(permits(&[("nowhere", 1)]), 5, 1, 1);
    assert_eq!(Leader::of(world).lead(0), []);
}

#[test]
fn a_queue_runs_so_many_at_once_and_so_many_of_one_key() {
    let mut world = world();
    let rules = QueueRules {
        concurrency: Some(5),
        per_key: Some(2),
        ..QueueRules::default()
    };
    world.rules("q", &rules);
    let of = |key: &str| Needs {
        key: Some(name(key)),
        ..Needs::default()
    };
    let a = world.asks(of("a"), 5, 1, 100);
    let b = world.asks(of("b"), 5, 2, 100);
    let none = world.ready("q", "k", 5, 3, 100);
    let other = world.ready("other", "k", 5, 4, 7);
    let mut leader = Leader::of(world);

    let mut started: BTreeMap<PackId, usize> = BTreeMap::new();
    for (pack, tasks) in leader.lead(0) {
        *started.entry(pack).or_default() += tasks;
    }
    assert_eq!(
        started,
        BTreeMap::from([(a, 2), (b, 2), (none, 1), (other, 7)])
    );
}

#[test]
fn a_paused_queue_waits_and_holds_up_no_other() {
    let mut world = world();
    let paused = QueueRules {
        paused: Some(crate::task::Paused {
            since_ms: 1,
            reason: "maintenance".to_owned(),
        }),
        ..QueueRules::default()
    };
    world.rules("q", &paused);
    let waits = world.ready("q", "k", 9, 1, 1);
    let other = world.ready("other", "k", 1, 2, 1);
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(other, 1)]);
    leader.world.rules("q", &QueueRules::default());
    assert_eq!(leader.lead(0), [(waits, 1)]);
}

#[test]
fn a_rate_is_kept_from_the_first_decision_on() {
    let mut world = world();
    let rated = QueueRules {
        rate: Some(crate::store::Rate {
            tasks: 10,
            per_ms: 1_000,
            burst: 5,
        }),
        ..QueueRules::default()
    };
    world.rules("q", &rated);
    world.ready("q", "k", 5, 1, 200);
    let mut leader = Leader::of(world);
    let mut started =
        |now_ms| -> usize { leader.lead(now_ms).iter().map(|(_, tasks)| tasks).sum() };
    assert_eq!(started(0), 0, "a new leader's bucket is empty");
    assert_eq!((started(99), started(100), started(350)), (0, 1, 2));
    assert_eq!(started(60_000), 5, "no more than the burst");
}

#[test]
fn what_needs_a_label_waits_for_a_node_that_has_it() {
    let mut world = world();
    let needs = |zone: &str| Needs {
        require: [("zone".to_owned(), zone.to_owned())].into(),
        ..Needs::default()
    };
    world.asks(needs("b"), 9, 1, 1);
    let here = world.asks(needs("a"), 5, 2, 1);
    let free = world.ready("q", "k", 1, 3, 1);
    world.labelled("m", &[("zone", "a")]);
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(here, 1), (free, 1)]);
    assert_eq!(leader.running[0].0, name("m"));
}

#[test]
fn of_two_nodes_the_one_with_the_preferred_label_takes_it() {
    let mut world = world();
    world.labelled("a", &[]);
    world.labelled("m", &[("disk", "ssd")]);
    let needs = Needs {
        prefer: [("disk".to_owned(), "ssd".to_owned())].into(),
        ..Needs::default()
    };
    world.asks(needs, 5, 1, 1);
    let mut leader = Leader::of(world);
    leader.lead(0);
    assert_eq!(leader.running[0].0, name("m"));
}

#[test]
fn the_oldest_is_reached_however_much_comes_above_it() {
    let mut world = world();
    let one = QueueRules {
        concurrency: Some(1),
        ..QueueRules::default()
    };
    world.rules("q", &one);
    let lowest = world.ready("q", "k", 1, 1, 1);
    let mut leader = Leader::of(world);
    for nth in 0..100_u64 {
        let now_ms = 60_001 + nth;
        leader.world.ready("q", "k", 9, now_ms, 1);
        let started = leader.lead(now_ms);
        if started.contains(&(lowest, 1)) {
            assert!(nth >= 15, "not before its turn");
            return;
        }
        while !leader.running.is_empty() {
            leader.end();
        }
    }
    panic!("it starved");
}

#[test]
fn outsiders_and_tasks_take_turns_at_a_lock() {
    let mut world = world();
    let lock = Gate::Lock(name("x"));
    let (one, two) = (
        world.asks(locks(&["x"]), 5, 1, 1),
        world.asks(locks(&["x"]), 5, 2, 1),
    );
    world.wants(&lock, 1, 1);
    world.wants(&lock, 2, 1);
    let mut leader = Leader::of(world);

    assert_eq!(leader.lead(0), [], "who waits outside is looked at first");
    leader.world.released(&lock, 1);
    assert_eq!(leader.lead(0), [(one, 1)]);
    leader.end();
    assert_eq!(leader.lead(0), []);
    leader.world.released(&lock, 2);
    assert_eq!(leader.lead(0), [(two, 1)]);
}

#[test]
fn an_outsider_who_asks_for_much_is_not_passed_by_tasks() {
    let mut world = world();
    world.limit("db", 3);
    let running = world.asks(permits(&[("db", 1)]), 5, 1, 1);
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(running, 1)]);
    leader.world.wants(&semaphore("db"), 7, 3);
    leader.world.asks(permits(&[("db", 1)]), 9, 2, 1);
    assert_eq!(leader.lead(0), []);
    leader.end();
    assert_eq!(leader.lead(0), []);
    assert_eq!(leader.world.view.limits.wants.len(), 0, "it has them all");
}

#[test]
fn a_lane_of_another_semaphore_keeps_its_mark() {
    let mut world = world();
    world.limit("a", 2);
    world.limit("b", 1);
    world.asks(permits(&[("b", 1)]), 5, 1, 1);
    world.asks(permits(&[("a", 1), ("b", 1)]), 5, 2, 1);
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0).len(), 1);
    assert_eq!(leader.parks, 1, "it waits where the others wait for b");
    leader.end();
    assert_eq!(leader.lead(0).len(), 1);
}

#[test]
fn a_record_is_filed_under_its_first_semaphore() {
    let mut routing = routing("q", "k", 5);
    assert_eq!(Lane::of(&routing).gate, None);
    routing.needs = Some(permits(&[("a", 1), ("b", 1)]).into());
    assert_eq!(Lane::of(&routing).gate, Some(semaphore("a")));
    routing.needs = Some(locks(&["x"]).into());
    assert_eq!(Lane::of(&routing).gate, None);
}
