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
    let turn = Turn::default();
    let changes = next(
        &world.view,
        reserved,
        &mut numbers,
        &RULES,
        orphans,
        turn,
        100,
    );
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

/// How many lost, due and ready; the first change of each round.
type Rounds = ((usize, usize, usize), &'static [&'static str]);

#[test]
fn what_is_due_and_what_is_ready_take_turns_and_what_is_lost_goes_before_both() {
    let cases: &[Rounds] = &[
        ((0, 9, 9), &["promote", "assign", "promote", "assign"]),
        ((0, 9, 0), &["promote", "promote", "promote", "promote"]),
        ((0, 0, 9), &["assign", "assign", "assign", "assign"]),
        ((1, 9, 9), &["reclaim", "promote", "assign", "promote"]),
    ];
    for ((lost, due, ready), expected) in cases {
        let mut world = World::new();
        world.node("live", 99, &["k"]);
        world.session("dead", "x", false);
        let claims: Vec<_> = (0..*lost).map(|_| world.claim("dead", 2)).collect();
        world.gone("dead");
        for at_ms in 0..*due {
            world.due(at_ms as u64 + 1);
        }
        for made_ms in 0..*ready {
            world.ready("q", "k", 5, made_ms as u64 + 1, 1);
        }
        let (view, mut reserved) = (&world.view, Reserved::default());
        let (mut numbers, mut turn, mut told) = (Numbers::of_term(9), Turn::default(), Vec::new());
        for _ in 0..expected.len() {
            let look = Orphans::Look;
            let changes = next(view, &reserved, &mut numbers, &RULES, look, turn, 100);
            turn = turn.after(&changes);
            told.extend(changes.first().map(Change::word));
            let claims = claims.iter().map(|claim| (name("dead"), *claim));
            reserved.claims.extend(claims);
        }
        assert_eq!(told, *expected, "{lost} lost, {due} due, {ready} ready");
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
