//! Assignment on hand-made views.

use proptest::prelude::*;

use super::super::world::{World, name};
use super::*;
use crate::task::PackId;

const BOUNDS: Bounds = Bounds {
    records_max: 60,
    claims_max: 120,
};

fn plan(world: &World) -> Vec<Assign> {
    let mut numbers = Numbers::of_term(9);
    assign(&world.view, &Reserved::default(), &mut numbers, BOUNDS, 0)
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
fn higher_priority_goes_first_across_kinds_then_age() {
    let mut world = World::new();
    world.node("a", 10, &["x", "y"]);
    let old = world.ready("q", "x", 5, 1, 1);
    let high = world.ready("q", "y", 9, 3, 1);
    let young = world.ready("q", "y", 5, 2, 1);
    assert_eq!(packs(&plan(&world)), [high, old, young]);
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
    reserved.records.insert(key);
    reserved.tasks.insert((name("a"), name("k")), 1);
    let plan = assign(&world.view, &reserved, &mut Numbers::of_term(9), BOUNDS, 0);
    assert_eq!(packs(&plan), [second]);
    assert_eq!(plan[0].takes[0].which.len(), 1);
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
}
