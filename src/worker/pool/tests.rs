//! Decisions about slots: a table, properties, and worlds that go on for an hour.

mod worlds;

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    min: 2,
    max: 32,
    blind_max: 16,
    cpu: 0.9,
    memory: 0.9,
    idle: Duration::from_secs(30),
};

/// Everything used is as it was, and the machine has a lot left.
const CALM: Reading = Reading {
    cpu: Some(0.2),
    cpu_stalled: Some(0.0),
    memory: Some(0.3),
    memory_stalled: Some(0.0),
};

/// 8 slots of which half are in use, for long.
const HALF: Look = Look {
    slots: 8,
    busy: 4,
    busy_peak: 4,
    busy_mean: 4.0,
    in_hand: 0,
    waited: Duration::ZERO,
    spare_for: Duration::from_secs(10),
    spare_peak: 4,
    since_change: Duration::from_secs(100),
    since_short: Duration::MAX,
    machine: CALM,
};

/// So many slots, all in use.
fn full(slots: u32) -> Look {
    Look {
        slots,
        busy: slots,
        busy_peak: slots,
        busy_mean: f64::from(slots),
        spare_for: Duration::ZERO,
        spare_peak: slots,
        ..HALF
    }
}

/// As many, on a machine that is so.
fn full_on(machine: Reading) -> Look {
    Look { machine, ..full(8) }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn cpu(cpu: f64, cpu_stalled: Option<f64>) -> Reading {
    Reading {
        cpu: Some(cpu),
        cpu_stalled,
        ..CALM
    }
}

fn memory(memory: f64, stalled: f64) -> Reading {
    Reading {
        memory: Some(memory),
        memory_stalled: Some(stalled),
        ..CALM
    }
}

#[track_caller]
fn decides(what: &str, look: Look, slots: u32, reason: Reason) {
    let decision = resize(&look, &BOUNDS);
    assert_eq!(decision, Decision { slots, reason }, "{what}");
}

#[test]
fn slots_that_are_all_taken_ask_for_more() {
    use Reason::{Busy, Steady, Waits};
    let waits = |slots| Look {
        in_hand: 1,
        ..full(slots)
    };
    decides("half is in use", HALF, 8, Steady);
    decides("one more is tried", full(8), 9, Busy);
    decides("an eighth more is tried", full(24), 27, Busy);
    decides("work in hand waits", waits(8), 16, Waits);
    decides("no more than the most", waits(24), 32, Waits);
    decides("nor beyond it", waits(32), 32, Waits);
    let mut look = full(8);
    look.waited = WAITED;
    decides("work had waited in the queue", look, 16, Waits);
    look = full(8);
    look.busy_mean = 5.0;
    decides("all were taken for a moment only", look, 8, Steady);
    look = waits(8);
    look.since_change = secs(1);
    decides("the last change is too recent", look, 8, Steady);
    look.since_change = secs(100);
    look.since_short = secs(59);
    decides("something was short a moment ago", look, 8, Steady);
    look.since_short = secs(60);
    decides("something was short some minutes ago", look, 9, Waits);
}

#[test]
fn slots_that_are_spare_for_long_go() {
    let mut look = HALF;
    decides("not for long", look, 8, Reason::Steady);
    look.spare_for = secs(30);
    decides("a quarter more than in use stays", look, 5, Reason::Idle);
    (look.busy, look.busy_peak, look.busy_mean, look.spare_peak) = (0, 0, 0.0, 0);
    decides("nothing to do", look, 2, Reason::Idle);
}

#[test]
fn a_machine_that_is_short_of_something_has_fewer_slots() {
    use Reason::{Busy, Cpu, Memory};
    let computes = "processors are in use, and work waits for them";
    decides(computes, full_on(cpu(0.95, Some(0.9))), 6, Cpu);
    let computes = "they are in use, and nothing waits for them";
    decides(computes, full_on(cpu(1.0, Some(0.1))), 8, Cpu);
    let computes = "they are in use, and whether work waits is not known";
    decides(computes, full_on(cpu(0.95, None)), 6, Cpu);
    let computes = "they are nearly in use";
    decides(computes, full_on(cpu(0.85, Some(0.0))), 8, Cpu);
    let computes = "work waits although they are not in use";
    decides(computes, full_on(cpu(0.5, Some(0.9))), 9, Busy);
    decides("memory is in use", full_on(memory(0.9, 0.0)), 6, Memory);
    decides("work waits for it", full_on(memory(0.5, 0.2)), 6, Memory);
    decides("it is nearly in use", full_on(memory(0.85, 0.0)), 8, Memory);
    let spare = Look {
        machine: memory(0.95, 0.0),
        ..HALF
    };
    decides("spare slots go first", spare, 3, Memory);
    let mut look = full_on(memory(0.95, 0.0));
    look.busy = 9;
    let what = "more runs than slots: the last step has not come to bear";
    decides(what, look, 8, Memory);
    look.busy = 8;
    look.since_change = secs(4);
    decides("the last step was a moment ago", look, 8, Memory);
}

#[test]
fn who_does_not_know_the_machine_grows_to_what_is_usual() {
    for blind in [
        Reading { cpu: None, ..CALM },
        Reading {
            memory: None,
            ..CALM
        },
        Reading::default(),
    ] {
        let on = |slots| Look {
            in_hand: 1,
            machine: blind,
            ..full(slots)
        };
        decides("up to it", on(8), 16, Reason::Waits);
        decides("not beyond", on(12), 16, Reason::Unknown);
        decides("what it has it keeps", on(20), 20, Reason::Unknown);
    }
}

fn share() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![1 => Just(None), 4 => (0.0..=1.0).prop_map(Some)]
}

prop_compose! {
    fn machine()(cpu in share(), cpu_stalled in share(), memory in share(), memory_stalled in share()) -> Reading {
        Reading { cpu, cpu_stalled, memory, memory_stalled }
    }
}

prop_compose! {
    fn look()(
        slots in 0_u32..5_000,
        busy_peak in 0_u32..5_000,
        busy in 0.0..=1.0,
        mean in 0.0..=1.0,
        in_hand in 0_u32..3,
        waited_ms in 0_u64..3_000,
        spare_secs in 0_u64..60,
        spare_more in 0_u32..10,
        changed_secs in 0_u64..10,
        short_secs in 0_u64..100,
        machine in machine(),
    ) -> Look {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small number")]
        let part = |share: f64| (f64::from(busy_peak) * share) as u32;
        Look {
            slots,
            busy: part(busy),
            busy_peak,
            busy_mean: f64::from(busy_peak) * mean,
            in_hand,
            waited: Duration::from_millis(waited_ms),
            spare_for: secs(spare_secs),
            spare_peak: busy_peak + spare_more,
            since_change: secs(changed_secs),
            since_short: secs(short_secs),
            machine,
        }
    }
}

prop_compose! {
    fn bounds()(min in 1_u32..4_097, more in 0_u32..4_096, blind_max in 4_u32..200, cpu in 0.2..=1.0, memory in 0.2..=1.0) -> Bounds {
        Bounds { min, max: (min + more).min(4_096), blind_max, cpu, memory, idle: secs(30) }
    }
}

/// Asks again and again with all else as it is, until nothing changes; the numbers it went through.
fn settle(mut look: Look, bounds: &Bounds) -> Vec<u32> {
    let mut seen = vec![look.slots.clamp(bounds.min, bounds.max)];
    for _ in 0..10_000 {
        look.slots = resize(&look, bounds).slots;
        if seen.last() == Some(&look.slots) {
            return seen;
        }
        seen.push(look.slots);
    }
    panic!("it does not settle: {seen:?}");
}

proptest! {
    #[test]
    fn slots_are_never_outside_of_their_bounds(look in look(), bounds in bounds()) {
        let slots = resize(&look, &bounds).slots;
        prop_assert!((bounds.min..=bounds.max).contains(&slots));
    }

    #[test]
    fn the_less_the_machine_has_left_the_fewer_slots(look in look(), bounds in bounds(), more in prop::array::uniform4(0.0..=1.0)) {
        let worse = |share: Option<f64>, more: f64| share.map(|share| (share + more).min(1.0));
        let Reading { cpu, cpu_stalled, memory, memory_stalled } = look.machine;
        let machine = Reading {
            cpu: worse(cpu, more[0]),
            cpu_stalled: worse(cpu_stalled, more[1]),
            memory: worse(memory, more[2]),
            memory_stalled: worse(memory_stalled, more[3]),
        };

        let with_less = resize(&Look { machine, ..look }, &bounds).slots;

        prop_assert!(with_less <= resize(&look, &bounds).slots);
    }

    #[test]
    fn what_does_not_change_is_decided_for_good(look in look(), bounds in bounds()) {
        let seen = settle(look, &bounds);
        let turns = seen
            .windows(3)
            .filter(|three| (three[0] < three[1]) != (three[1] < three[2]))
            .count();
        // Up until a slot stays free, then down to what is in use: never up again.
        prop_assert!(turns <= 1, "{:?}", seen);
        prop_assert!(turns == 0 || seen[0] < seen[1], "{:?}", seen);
    }

    #[test]
    fn work_that_waits_gets_all_there_is_in_few_steps(bounds in bounds(), proof in any::<bool>()) {
        let mut look = Look { slots: bounds.min, in_hand: u32::from(proof), ..full(8) };
        let bounds = Bounds { cpu: 0.9, memory: 0.9, ..bounds };
        let (mut steps, steps_max) = (0, if proof { 12 } else { 80 });
        while look.slots < bounds.max {
            look.busy = look.slots;
            (look.busy_peak, look.busy_mean) = (look.slots, f64::from(look.slots));
            look.slots = resize(&look, &bounds).slots;
            steps += 1;
            prop_assert!(steps <= steps_max);
        }
    }
}

fn decided(slots: u32) -> Decided {
    Decided {
        decision: Decision {
            slots,
            reason: Reason::Busy,
        },
        look: None,
    }
}

#[test]
fn more_slots_are_used_once_the_record_says_so_and_fewer_before() {
    let slots = Slots::adaptive(BOUNDS, super::super::Machine::default());
    assert_eq!(slots.now(), 2);

    slots.decide(decided(8));
    slots.telling(8);
    assert_eq!(slots.now(), 2, "the leader may not know yet");
    slots.told(8);
    assert_eq!(slots.now(), 8);

    slots.decide(decided(4));
    assert_eq!(slots.now(), 4, "nobody has to know");
    // Whether the record says 4 is not known when more are decided again.
    slots.telling(4);
    slots.decide(decided(8));
    slots.telling(8);
    assert_eq!(slots.now(), 4);
    slots.told(8);
    assert_eq!(slots.now(), 8);
}
