//! Who is charged with a death, case by case.

use super::super::world::{World, name};
use super::*;
use crate::store::EvidenceKind;

/// What happens to node `n` after a leader began to watch it.
enum Step {
    /// An instance takes the name.
    Joins(&'static str),
    /// It says that it will leave.
    Leaves,
    /// Its present session is on record as ended, by this evidence.
    Declared(EvidenceKind),
    /// Its key goes.
    Goes,
    /// Its present session is given so many tasks.
    Claims(usize),
    /// The leader is another one: it loads what there is.
    Succeeded,
}

use EvidenceKind::{Left, Refused, Replaced};
use Step::{Claims, Declared, Goes, Joins, Leaves, Succeeded};

/// Why the claims of gone sessions are taken back, this long after the last step; and the deaths charged with each.
fn taken_back(steps: &[Step], after_ms: u64) -> Vec<(String, u32)> {
    let mut world = World::new();
    let mut instance = "";
    for step in steps {
        match step {
            Joins(joins) => {
                instance = *joins;
                world.session("n", instance, false);
            }
            Leaves => world.session("n", instance, true),
            Declared(evidence) => world.declared("n", *evidence),
            Goes => world.gone("n"),
            Claims(tasks) => {
                world.claim("n", *tasks);
            }
            Succeeded => world = world.reloaded(),
        }
    }
    let lost = reclaim(&world.view, &Reserved::default(), 3, after_ms, 9);
    let told = |lost: &Reclaim| {
        let (_, _, record) = &lost.settled.records[0];
        (record.why.clone().unwrap(), record.tally.deaths)
    };
    lost.iter().map(told).collect()
}

/// In words, what happened, how long ago the last of it, and what is taken back for which reason and charge.
type Case = (
    &'static str,
    &'static [Step],
    u64,
    &'static [(&'static str, u32)],
);

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_death_is_charged_to_a_single_whose_instance_is_not_back() {
    let cases: &[Case] = &[
        (
            "it may come back",
            &[Joins("x"), Claims(1), Goes],
            BENEFIT_MS - 1,
            &[],
        ),
        (
            "it did not come back",
            &[Joins("x"), Claims(1), Goes],
            BENEFIT_MS,
            &[("the node died", 1)],
        ),
        (
            "it came back",
            &[Joins("x"), Claims(1), Goes, Joins("x")],
            0,
            &[("the node lost its session", 0)],
        ),
        (
            "it came back for the second time",
            &[Joins("x"), Goes, Joins("x"), Claims(1), Goes, Joins("x")],
            0,
            &[("the node lost its session", 0)],
        ),
        (
            "another process came",
            &[Joins("x"), Claims(1), Goes, Joins("y")],
            0,
            &[("the node died", 1)],
        ),
        (
            "it came back, and a leader took over",
            &[Joins("x"), Claims(1), Goes, Joins("x"), Succeeded],
            0,
            &[("the node lost its session", 0)],
        ),
        (
            "another process came, and a leader took over",
            &[Joins("x"), Claims(1), Goes, Joins("y"), Succeeded],
            0,
            &[("the node died", 1)],
        ),
        (
            "a leader took over and does not know since when it is gone",
            &[Joins("x"), Claims(1), Goes, Succeeded],
            BENEFIT_MS - 1,
            &[],
        ),
        (
            "a leader took over and has missed it long enough",
            &[Joins("x"), Claims(1), Goes, Succeeded],
            BENEFIT_MS,
            &[("the node died", 1)],
        ),
        (
            "more than one task waits for nobody and is not charged",
            &[Joins("x"), Claims(2), Goes],
            0,
            &[("the node died", 0)],
        ),
        (
            "it had said that it would leave",
            &[Joins("x"), Leaves, Claims(1), Goes],
            0,
            &[("the node left", 0)],
        ),
        (
            "it had said so, and its successor is there",
            &[Joins("x"), Leaves, Claims(1), Goes, Joins("y")],
            0,
            &[("the node left", 0)],
        ),
        (
            "a session before had said so",
            &[Joins("x"), Leaves, Goes, Joins("x"), Claims(1), Goes],
            BENEFIT_MS,
            &[("the node died", 1)],
        ),
        (
            "its process is known to be gone",
            &[Joins("x"), Claims(1), Declared(Refused), Goes],
            0,
            &[("the node died", 1)],
        ),
        (
            "it is known to be replaced, and a leader took over",
            &[Joins("x"), Claims(1), Declared(Replaced), Goes, Succeeded],
            0,
            &[("the node died", 1)],
        ),
        (
            "a session before is known to be gone",
            &[
                Joins("w"),
                Declared(Refused),
                Goes,
                Joins("x"),
                Claims(1),
                Goes,
            ],
            BENEFIT_MS - 1,
            &[],
        ),
        (
            "it is known to be gone, and is back after all",
            &[Joins("x"), Claims(1), Declared(Refused), Goes, Joins("x")],
            0,
            &[("the node lost its session", 0)],
        ),
        (
            "it left and its lease stayed",
            &[Joins("x"), Claims(1), Declared(Left), Goes],
            BENEFIT_MS - 1,
            &[],
        ),
        ("it lives", &[Joins("x"), Claims(1)], BENEFIT_MS, &[]),
    ];
    for (what, steps, after_ms, expected) in cases {
        let expected: Vec<_> = expected
            .iter()
            .map(|(why, deaths)| ((*why).to_owned(), *deaths))
            .collect();
        assert_eq!(taken_back(steps, *after_ms), expected, "{what}");
    }
}

#[test]
fn what_is_lost_with_a_session_stays_together_and_what_may_have_killed_is_split() {
    let pieces = |back: &str| {
        let mut world = World::new();
        world.session("n", "x", false);
        world.claim("n", 256);
        world.gone("n");
        world.session("n", back, false);
        let lost = reclaim(&world.view, &Reserved::default(), 3, 0, 9);
        lost[0].settled.records.len()
    };
    assert_eq!((pieces("x"), pieces("y")), (1, 16));
}

#[test]
fn a_claim_on_its_way_back_is_left_alone_and_a_round_is_bounded() {
    let mut world = World::new();
    world.session("n", "x", false);
    let first = world.claim("n", 2);
    world.claim("n", 2);
    world.claim("n", 2);
    world.gone("n");
    let mut reserved = Reserved::default();
    reserved.claims.insert((name("n"), first));
    let lost = reclaim(&world.view, &reserved, 3, 0, 9);
    assert_eq!(lost.len(), 2);
    assert!(lost.iter().all(|lost| lost.claim != first));
    assert_eq!(reclaim(&world.view, &reserved, 3, 0, 1).len(), 1);
}

#[test]
fn a_clock_that_was_set_back_does_not_put_off_that_a_death_is_noticed() {
    let mut world = World::new();
    world.now_ms = 3_600_000;
    world.session("n", "x", false);
    world.claim("n", 1);
    world.gone("n");

    let lost = |now_ms| reclaim(&world.view, &Reserved::default(), 3, now_ms, 9).len();

    assert_eq!(lost(3_600_000), 0, "it may come back");
    assert_eq!(lost(3_600_000 + BENEFIT_MS), 1);
    assert_eq!(lost(1_000), 1, "not an hour later");
}
