//! Assignment on hand-made views.

use proptest::prelude::*;

use super::super::world::{World, name, routing};
use super::*;
use crate::store::Place;
use crate::task::{PackId, Which};

const BOUNDS: Bounds = Bounds {
    records_max: 60,
    claims_max: 120,
};

fn plan(world: &World) -> Vec<Assign> {
    let mut numbers = Numbers::of_term(9);
    assign(&world.view, &Reserved::default(), &mut numbers, BOUNDS, 0)
}

/// What is decided about a world in which nothing waits for anything but a slot.
fn assign(
    view: &View,
    reserved: &Reserved,
    numbers: &mut Numbers,
    bounds: Bounds,
    now_ms: u64,
) -> Vec<Assign> {
    let plan = super::assign(view, reserved, numbers, bounds, now_ms);
    let assign = |change| {
        let Change::Assign(assign) = change else {
            panic!("nothing is to be parked, granted or dropped: {change:?}");
        };
        assign
    };
    plan.into_iter().map(assign).collect()
}

fn packs(plan: &[Assign]) -> Vec<PackId> {
    plan.iter().map(|assign| assign.from.id.pack).collect()
}

#[test]
fn a_kind_without_a_live_taker_blocks_nothing() {
    let mut world = World::new();
    world.node("a", 4, &["noop"]);
    world.ready("q", "other", 9, 1, 256);
    let free = world.ready("q", "noop", 1, 2, 1);
    assert_eq!(packs(&plan(&world)), [free]);
}

#[test]
fn a_drained_node_is_given_nothing_until_it_is_undrained_whoever_has_its_name() {
    let mut world = World::new();
    world.node("a", 4, &["x"]);
    world.drained("a");
    let pack = world.ready("q", "x", 5, 1, 1);
    assert_eq!(packs(&plan(&world)), Vec::<PackId>::new());
    world.gone("a");
    world.node("a", 4, &["x"]);
    assert_eq!(packs(&plan(&world)), Vec::<PackId>::new());
    let mut world = world.reloaded();
    assert_eq!(packs(&plan(&world)), Vec::<PackId>::new());
    world.undrained("a");
    assert_eq!(packs(&plan(&world)), [pack]);
}

#[test]
fn higher_priority_goes_first_across_kinds_then_age() {
    let mut world = World::new();
    world.node("a", 10, &["x", "y"]);
    let old = world.ready("q", "x", 5, 1, 1);
    let high = world.ready("q", "y", 9, 3, 1);
    let young = world.ready("q", "y", 5, 2, 1);
    assert_eq!(packs(&plan(&world)), [high, old, young]);
}

#[test]
fn a_queue_waits_until_it_is_known_what_comes_first_in_each_of_its_lanes() {
    let mut world = World::new();
    world.node("a", 10, &["x", "y"]);
    let low = world.ready("q", "x", 1, 1, 1);
    let other = world.ready("r", "x", 1, 2, 1);
    let of = |kind| Lane::of(&routing("q", kind, 5));
    // Of one of its lanes, and of one of a kind that nobody runs, nothing has been read yet.
    world.view.unread(of("y"), 1);
    world.view.unread(of("nobody"), 1);
    assert_eq!(packs(&plan(&world)), [other]);

    world.view.lanes.get_mut(&of("y")).unwrap().abandon();
    assert_eq!(
        packs(&plan(&world)),
        [low, other],
        "what cannot be read holds up nothing"
    );
}

#[test]
fn queues_take_turns_whatever_their_priorities() {
    let mut world = World::new();
    world.node("a", 3, &["k"]);
    for made_ms in 1..=3 {
        world.ready("loud", "k", 9, made_ms, 1);
    }
    let quiet = world.ready("quiet", "k", 1, 9, 1);
    assert_eq!(packs(&plan(&world))[1], quiet);
}

/// Whom each of so many rounds serves: one record of one task has ended before the next, and another has come.
fn served(world: &mut World, numbers: &mut Numbers, rounds: usize) -> Vec<String> {
    let round = |_| {
        let plan = assign(&world.view, &Reserved::default(), numbers, BOUNDS, 0);
        assert_eq!(plan.len(), 1);
        again(world, &plan[0].from);
        plan[0].from.routing().queue.to_string()
    };
    (0..rounds).map(round).collect()
}

/// A record is done, and its like has come.
fn again(world: &mut World, from: &Waiting) {
    let routing = from.routing();
    let made_ms = u64::try_from(world.view.revision).unwrap();
    world.taken(from);
    world.ready(routing.queue.as_str(), routing.kind.as_str(), 5, made_ms, 1);
}

#[test]
fn queues_take_turns_over_rounds_with_one_slot() {
    let mut world = World::new();
    world.node("n", 1, &["k"]);
    for queue in ["a", "b", "c"] {
        world.ready(queue, "k", 5, 1, 1);
    }
    let rounds = served(&mut world, &mut Numbers::of_term(9), 6);
    assert_eq!(rounds, ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn a_queue_that_was_empty_meanwhile_does_not_come_first_again() {
    let mut world = World::new();
    world.node("n", 1, &["k"]);
    for made_ms in 1..=3 {
        world.ready("a", "k", 5, made_ms, 1);
    }
    let mut numbers = Numbers::of_term(9);
    for (expected, comes) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")] {
        let plan = assign(&world.view, &Reserved::default(), &mut numbers, BOUNDS, 0);
        assert_eq!(plan[0].from.routing().queue.as_str(), expected);
        world.taken(&plan[0].from);
        if comes == "b" {
            world.ready("b", "k", 9, 9, 1);
        }
    }
}

#[test]
fn no_more_queues_are_remembered_than_there_are() {
    let mut numbers = Numbers::of_term(9);
    for queues in [&["a", "b", "c"][..], &["d"]] {
        let mut world = World::new();
        world.node("n", 9, &["k"]);
        for queue in queues {
            world.ready(queue, "k", 5, 1, 1);
        }
        let _ = assign(&world.view, &Reserved::default(), &mut numbers, BOUNDS, 0);
        let remembered = numbers.turns.remembered().map(Name::as_str);
        assert!(remembered.eq(queues.iter().copied()));
    }
}

#[test]
fn slow_work_is_spread_and_stays_within_slots() {
    let mut world = World::new();
    world.node("a", 4, &["k"]);
    world.node("b", 4, &["k"]);
    world.ready("q", "k", 5, 1, 100);
    let plan = plan(&world);
    assert_eq!(plan.len(), 1);
    let mut shares: Vec<(String, usize)> = plan[0]
        .takes
        .iter()
        .map(|take| (take.node.to_string(), take.which.len()))
        .collect();
    shares.sort();
    assert_eq!(shares, [("a".to_owned(), 4), ("b".to_owned(), 4)]);
}

#[test]
fn what_is_reserved_is_left_alone_and_counts_against_the_slots() {
    let mut world = World::new();
    world.node("a", 2, &["k"]);
    world.ready("q", "k", 5, 1, 1);
    let second = world.ready("q", "k", 5, 2, 5);
    let mut reserved = Reserved::default();
    let first = &plan(&world)[0].from;
    let key = world
        .view
        .keys()
        .record(Place::Ready, first.routing(), &first.id);
    reserved.records.insert(key.clone(), first.seen.modified);
    reserved.tasks.insert((name("a"), name("k")), 1);
    let plan = assign(&world.view, &reserved, &mut Numbers::of_term(9), BOUNDS, 0);
    assert_eq!(packs(&plan), [second]);
    assert_eq!(plan[0].takes[0].which.len(), 1);

    // What was sent compares a revision that the view has passed: it has happened or never will, and the record is first again.
    reserved.records.insert(key, first.seen.modified - 1);
    let plan = assign(&world.view, &reserved, &mut Numbers::of_term(9), BOUNDS, 0);
    assert_ne!(packs(&plan)[0], second);
}

#[test]
fn claims_of_two_terms_never_share_an_id() {
    let mut world = World::new();
    world.node("a", 4, &["k"]);
    world.ready("q", "k", 5, 1, 1);
    let of = |term| {
        assign(
            &world.view,
            &Reserved::default(),
            &mut Numbers::of_term(term),
            BOUNDS,
            0,
        )[0]
        .takes[0]
            .claim
    };
    assert_ne!(of(9), of(10));
}

proptest! {
    /// No node is given more than its slots of unknown work, and no task is given twice.
    #[test]
    fn a_plan_is_disjoint_and_bounded(
        nodes in proptest::collection::vec(1_u32..20, 1..5),
        records in proptest::collection::vec((1_u8..=9, 1_usize..=256), 1..40),
    ) {
        let mut world = World::new();
        for (nth, slots) in nodes.iter().enumerate() {
            world.node(&format!("n{nth}"), *slots, &["k"]);
        }
        for (nth, (level, tasks)) in records.iter().enumerate() {
            world.ready("q", "k", *level, nth as u64 + 1, *tasks);
        }
        let plan = plan(&world);
        let mut held = std::collections::BTreeMap::new();
        for assign in &plan {
            let mut taken = Which::NONE;
            for take in &assign.takes {
                prop_assert!(taken.and(take.which).is_empty() && !take.which.is_empty());
                taken = taken.or(take.which);
                *held.entry(take.node.to_string()).or_insert(0) += take.which.len();
            }
            prop_assert!(taken.minus(assign.from.seen.value.which).is_empty());
        }
        for (nth, slots) in nodes.iter().enumerate() {
            let held = held.get(&format!("n{nth}")).copied().unwrap_or(0);
            prop_assert!(held <= *slots as usize);
        }
        let offered: usize = records.iter().map(|(_, tasks)| tasks).sum();
        let room: usize = nodes.iter().map(|slots| *slots as usize).sum();
        prop_assert_eq!(held.values().sum::<usize>(), offered.min(room));
    }

    /// Whatever slots are free in which round, and whoever runs what: no queue is passed over as often as there are queues.
    #[test]
    fn no_queue_waits_longer_than_there_are_queues(
        queues in proptest::collection::vec(1_usize..8, 1..6),
        nodes in proptest::collection::vec(1_usize..8, 1..4),
        rounds in proptest::collection::vec((1_usize..8, 1_usize..3), 1..40),
    ) {
        let mut world = World::new();
        for (nth, runs) in nodes.iter().enumerate() {
            world.node(&nth.to_string(), 1, &kinds(*runs));
        }
        for (nth, has) in queues.iter().enumerate() {
            for kind in kinds(*has) {
                world.ready(&nth.to_string(), kind, 5, 1, 1);
            }
        }
        let mut numbers = Numbers::of_term(9);
        let mut passed_over = vec![0; queues.len()];
        for (free, records_max) in rounds {
            let is_free = |node: &usize| free & (1 << node) != 0;
            let mut busy = Reserved::default();
            for node in (0..nodes.len()).filter(|node| !is_free(node)) {
                busy.tasks.insert((name(&node.to_string()), name("busy")), 1);
            }
            let taken = (0..nodes.len()).filter(is_free).fold(0, |kinds, node| kinds | nodes[node]);
            let bounds = Bounds { records_max, claims_max: 9 };
            let plan = assign(&world.view, &busy, &mut numbers, bounds, 0);
            for (nth, has) in queues.iter().enumerate() {
                let served = plan.iter().any(|assign| assign.from.routing().queue == name(&nth.to_string()));
                passed_over[nth] = match (served, has & taken) {
                    (true, _) => 0,
                    (false, 0) => passed_over[nth],
                    (false, _) => passed_over[nth] + 1,
                };
                prop_assert!(passed_over[nth] < queues.len(), "queue {nth}");
            }
            for assign in &plan {
                again(&mut world, &assign.from);
            }
        }
    }
}

/// The kinds of a set of bits.
fn kinds(bits: usize) -> Vec<&'static str> {
    let all = ["x", "y", "z"].into_iter().enumerate();
    all.filter(|(nth, _)| bits & (1 << nth) != 0)
        .map(|(_, kind)| kind)
        .collect()
}
