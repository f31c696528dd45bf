//! Who asks for more than a limit, or for several semaphores at once, holds up nobody; on hand-made views.

use super::limits_hold::{Leader, permits, semaphore, world};

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
