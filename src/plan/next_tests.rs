//! The order of what is urgent, case by case.

use super::super::world::{World, name};
use super::*;

const RULES: Rules = Rules {
    deaths_max: 3,
    reclaims_max: 2,
    promotions_max: 2,
    assigns: Bounds {
        records_max: 2,
        claims_max: 9,
    },
};

/// What is done at time 100 in a world of this many lost claims, due and ready records; what the last look left of orphans.
fn done(lost: usize, due: usize, ready: usize, orphans: Orphans) -> Vec<&'static str> {
    let mut world = World::new();
    world.node("live", 9, &["k"]);
    world.session("dead", "x", false);
    for _ in 0..lost {
        world.claim("dead", 2);
    }
    world.gone("dead");
    for at_ms in 0..due {
        world.due(at_ms as u64 + 1);
    }
    world.due(101);
    for made_ms in 0..ready {
        world.ready("q", "k", 5, made_ms as u64 + 1, 1);
    }
    words(&world, &Reserved::default(), orphans)
}

fn words(world: &World, reserved: &Reserved, orphans: Orphans) -> Vec<&'static str> {
    let mut numbers = Numbers::of_term(9);
    let changes = next(&world.view, reserved, &mut numbers, &RULES, orphans, 100);
    changes.iter().map(Change::word).collect()
}

/// How many lost, due and ready; what the last look left; what is done.
type Case = ((usize, usize, usize), Orphans, &'static [&'static str]);

#[test]
fn what_is_lost_goes_before_what_is_due_and_that_before_what_is_ready() {
    use Orphans::{Look, NoneLeft};
    let cases: &[Case] = &[
        ((0, 0, 0), Look, &[]),
        ((0, 0, 1), Look, &["assign"]),
        ((0, 1, 1), Look, &["promote"]),
        ((1, 1, 1), Look, &["reclaim"]),
        ((1, 0, 0), NoneLeft, &[]),
        ((1, 1, 1), NoneLeft, &["promote"]),
        ((1, 0, 1), NoneLeft, &["assign"]),
        ((3, 3, 3), Look, &["reclaim", "reclaim"]),
        ((0, 3, 3), Look, &["promote", "promote"]),
        ((0, 0, 3), Look, &["assign", "assign"]),
    ];
    for ((lost, due, ready), orphans, expected) in cases {
        let what = format!("{lost} lost, {due} due, {ready} ready, {orphans:?}");
        assert_eq!(done(*lost, *due, *ready, *orphans), *expected, "{what}");
    }
}

#[test]
fn what_is_on_its_way_makes_room_for_what_is_less_urgent() {
    let mut world = World::new();
    world.node("live", 9, &["k"]);
    world.session("dead", "x", false);
    let claim = world.claim("dead", 2);
    world.gone("dead");
    world.due(1);
    world.ready("q", "k", 5, 1, 1);

    let mut reserved = Reserved::default();
    reserved.claims.insert((name("dead"), claim));
    assert_eq!(words(&world, &reserved, Orphans::Look), ["promote"]);
    let (key, (_, _, seen)) = world.view.due.iter().next().expect("one is due");
    reserved.records.insert(key.clone(), seen.modified);
    assert_eq!(words(&world, &reserved, Orphans::Look), ["assign"]);
}
