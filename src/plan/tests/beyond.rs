//! Who asks for more than a limit, for what no node has, or for several things at once, holds up nobody; on hand-made views.

use super::limits_hold::{Leader, locks, permits, semaphore, world};
use super::world::{World, name};
use crate::store::{QueueRules, Rate};
use crate::task::Paused;
use crate::task::{Gate, Needs};

#[test]
fn a_task_that_asks_for_more_than_a_lowered_limit_holds_up_nobody() {
    let mut world = world();
    world.limit("db", 5);
    let first = world.asks(permits(&[("db", 5)]), 9, 1, 1);
    let much = world.asks(permits(&[("db", 4)]), 9, 2, 1);
    let behind = world.asks(permits(&[("db", 1)]), 9, 3, 3);
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(first, 1)]);
    leader.world.limit("db", 3);
    leader.end();

    assert_eq!(leader.lead(0), [(behind, 3)]);
    // It is first again as soon as it may ever fit.
    leader.world.limit("db", 4);
    let late = leader.world.asks(permits(&[("db", 1)]), 9, 4, 1);
    assert_eq!(leader.lead(0), []);
    leader.end();
    assert_eq!(leader.lead(0), [(much, 1)]);
    leader.end();
    assert_eq!(leader.lead(0), [(late, 1)]);
}

#[test]
fn an_outsider_who_asks_for_more_than_a_lowered_limit_holds_up_nobody() {
    let mut world = world();
    world.limit("db", 3);
    world.wants(&semaphore("db"), 7, 4);
    world.wants(&semaphore("db"), 8, 2);
    let task = world.asks(permits(&[("db", 1)]), 5, 1, 1);
    let mut leader = Leader::of(world);

    assert_eq!(leader.lead(0), [(task, 1)]);
    let waits: Vec<u128> = leader
        .world
        .view
        .limits
        .wants
        .keys()
        .map(|(_, id)| *id)
        .collect();
    assert_eq!(waits, [7]);
    // A limit that it fits under is kept for it, once there is so much.
    leader.world.limit("db", 4);
    leader.world.asks(permits(&[("db", 1)]), 5, 2, 1);
    assert_eq!(leader.lead(0), []);
}

#[test]
fn a_task_parked_behind_a_second_semaphore_that_never_fits_frees_the_first() {
    let mut world = world();
    world.limit("a", 1);
    world.limit("b", 2);
    let both = world.asks(permits(&[("a", 1), ("b", 3)]), 9, 1, 1);
    let one = world.asks(permits(&[("a", 1)]), 5, 2, 1);
    let other = world.asks(permits(&[("b", 2)]), 5, 3, 1);
    let mut leader = Leader::of(world);

    assert_eq!(leader.lead(0), [(one, 1), (other, 1)]);
    leader.world.limit("b", 3);
    leader.end();
    leader.end();
    assert_eq!(leader.lead(0), [(both, 1)]);
}

#[test]
fn what_waits_for_two_half_full_semaphores_stops_no_other_lane_however_much_of_it_there_is() {
    let mut world = world();
    world.limit("a", 2);
    world.limit("b", 2);
    let half = [("a", 1), ("b", 1)];
    let first = world.asks(permits(&half), 9, 1, 1);
    for made_ms in 2..=5 {
        world.asks(permits(&[("a", 2), ("b", 2)]), 8, made_ms, 1);
    }
    let low = world.ready("q", "k", 1, 6, 1);
    // Only two of the four are known, and all that is known waits where it is.
    let windows = world.view.lanes.values_mut();
    windows.for_each(|window| window.resize(2));

    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(first, 1), (low, 1)]);
}

#[test]
fn what_is_behind_a_window_of_which_all_is_started_is_not_overtaken() {
    let mut world = world();
    let first = world.ready("q", "k", 9, 1, 1);
    let second = world.ready("q", "k", 9, 2, 1);
    let hidden = world.ready("q", "k", 9, 3, 1);
    world.ready("q", "k", 1, 4, 1);
    let windows = world.view.lanes.values_mut();
    windows.for_each(|window| window.resize(2));

    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(first, 1), (second, 1)], "{hidden}");
}

#[test]
fn nothing_is_kept_for_a_task_that_no_node_has_room_for() {
    let mut world = world();
    world.limit("db", 5);
    let running = world.asks(permits(&[("db", 1)]), 9, 1, 1);
    let labelled = Needs {
        require: [("gpu".to_owned(), "a".to_owned())].into(),
        ..permits(&[("db", 5)])
    };
    world.asks(labelled, 9, 2, 1);
    let other = world.asks(permits(&[("db", 1)]), 5, 3, 1);
    let mut leader = Leader::of(world);
    assert_eq!(leader.lead(0), [(running, 1), (other, 1)]);
}

#[test]
fn a_backlog_that_needs_two_is_not_moved_to_and_fro_as_they_change() {
    let mut world = world();
    world.limit("db", 2);
    let both = Needs {
        locks: locks(&["x"]).locks,
        ..permits(&[("db", 1)])
    };
    for made_ms in 1..=200 {
        world.asks(both.clone(), 5, made_ms, 1);
    }
    let mut leader = Leader::of(world);
    // One runs, and the semaphore has room: the others are moved to the lane of the lock.
    leader.lead(0);
    assert_eq!((leader.running.len(), leader.parks), (1, 199));
    let urgent = |leader: &mut Leader, made_ms| {
        leader.world.asks(permits(&[("db", 1)]), 9, made_ms, 1);
        leader.lead(0)
    };
    // What is behind the windows is read until that changes nothing.
    let lead = |leader: &mut Leader| {
        let mut started = Vec::new();
        loop {
            let before = leader.parks;
            let world = std::mem::replace(&mut leader.world, World::new());
            leader.world = world.reloaded();
            started.extend(leader.lead(0));
            if leader.parks == before {
                return started;
            }
        }
    };
    urgent(&mut leader, 400);
    for made_ms in 201..=210 {
        let before = leader.parks;
        // The lock is free and the semaphore full, then both are taken, then the semaphore has room.
        urgent(&mut leader, made_ms);
        leader.end();
        lead(&mut leader);
        leader.end();
        let next = lead(&mut leader);
        assert_eq!(
            next.len(),
            1,
            "the next with the lock, {:?}",
            leader.running
        );
        let lock = leader.running.pop().unwrap();
        leader.end();
        leader.running.insert(0, lock);
        lead(&mut leader);
        urgent(&mut leader, made_ms + 100);
        let moved = leader.parks - before;
        assert!(
            moved <= 20,
            "{moved} records moved for one task with the lock"
        );
    }
}

#[test]
fn a_paused_queue_waits_for_no_token() {
    let mut world = world();
    let rate = Some(Rate {
        tasks: 1,
        per_ms: 1_000,
        burst: 1,
    });
    let rules = |paused| QueueRules {
        rate,
        paused,
        ..QueueRules::default()
    };
    world.rules("q", &rules(None));
    world.ready("q", "k", 5, 1, 5);
    let mut leader = Leader::of(world);
    leader.lead(0);
    let next = |leader: &Leader| leader.numbers.turns.next_token_in_ms(&leader.world.view);
    assert_eq!(next(&leader), Some(1_000));
    leader.world.rules(
        "q",
        &rules(Some(Paused {
            since_ms: 0,
            reason: String::new(),
        })),
    );
    leader.lead(400);
    assert_eq!(next(&leader), None);
    // Nobody who runs its work either, and it is not looked at for long: no time that has passed is waited for.
    leader.world.rules("q", &rules(None));
    leader.world.gone("n");
    leader.lead(5_000);
    assert_eq!(next(&leader), None);
}

#[test]
fn those_outside_are_served_by_when_they_asked_whatever_their_clocks_say() {
    let mut world = world();
    let lock = Gate::Lock(name("x"));
    // The second's id comes before the first's: it was made by a clock that is behind.
    world.wants(&lock, 9, 1);
    world.wants(&lock, 2, 1);
    let mut leader = Leader::of(world);
    leader.lead(0);
    let waits: Vec<u128> = leader
        .world
        .view
        .limits
        .in_line()
        .map(|(_, id, _)| id)
        .collect();
    assert_eq!(waits, [2]);
    leader.world.released(&lock, 9);
    leader.lead(0);
    assert_eq!(leader.world.view.limits.in_line().count(), 0);
}

#[test]
fn outsiders_who_come_one_after_the_other_do_not_starve_a_task_that_asks_for_more() {
    let mut world = world();
    world.limit("db", 2);
    let db = semaphore("db");
    let mut leader = Leader::of(world);
    // Two of them hold one each, in turns: none waits at the instant in which the other is served.
    leader.world.wants(&db, 1, 1);
    leader.lead(0);
    let much = leader.world.asks(permits(&[("db", 2)]), 5, 1, 1);
    let mut started = Vec::new();
    for id in 2..12 {
        leader.world.wants(&db, id, 1);
        started.extend(leader.lead(0));
        let holds = leader
            .world
            .view
            .limits
            .in_line()
            .all(|(_, waits, _)| waits != id);
        leader.world.released(&db, id - 1);
        started.extend(leader.lead(0));
        if !holds {
            break;
        }
    }
    assert_eq!(started, [(much, 1)], "after one more of them at most");
}
