//! One breaker, step by step and at random.

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    window: 10,
    runs_min: 4,
    share: 0.5,
    open: Duration::from_secs(10),
    open_max: Duration::from_mins(1),
    probes: 2,
};

fn at(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs that begin and end at once.
fn runs(breaker: &mut Breaker, secs: u64, how: &[Health]) {
    for health in how {
        assert_eq!(breaker.may(&RULES, at(secs)), Ok(()));
        breaker.begin(&RULES, at(secs));
        breaker.ended(&RULES, at(secs), at(secs), *health);
    }
}

fn opened(secs: u64) -> Breaker {
    let mut breaker = Breaker::default();
    runs(&mut breaker, secs, &[Health::Ill; 4]);
    assert_eq!(
        breaker.state(),
        State::Open {
            until: at(secs + 10)
        }
    );
    breaker
}

#[test]
fn it_opens_at_its_share_of_failures_among_enough_runs() {
    use Health::{Ill, Unknown, Well};
    let table: &[(&[Health], bool)] = &[
        (&[Ill, Ill, Ill], false),
        (&[Ill, Ill, Ill, Ill], true),
        (&[Well, Ill, Well, Ill], true),
        // Only a failure opens it.
        (&[Ill, Well, Ill, Well], false),
        (&[Ill, Well, Ill, Well, Ill], true),
        (&[Well, Well, Well, Ill], false),
        (&[Ill, Unknown, Ill, Unknown, Ill, Unknown], false),
        (&[Well, Well, Well, Well, Well, Ill, Ill, Ill, Ill], false),
        // The window slides: the first of these is no longer looked at.
        (
            &[Well, Well, Well, Well, Well, Well, Ill, Ill, Ill, Ill, Ill],
            true,
        ),
    ];
    for (how, opens) in table {
        let mut breaker = Breaker::default();
        for health in *how {
            breaker.ended(&RULES, at(1), at(1), *health);
        }
        assert_eq!(!breaker.is_closed(), *opens, "{how:?}");
    }
}

#[test]
fn what_failed_long_ago_does_not_count() {
    let mut breaker = Breaker::default();
    runs(&mut breaker, 0, &[Health::Ill; 3]);
    runs(&mut breaker, 700, &[Health::Ill; 3]);
    assert_eq!((breaker.counts(), breaker.is_closed()), ((3, 3), true));
    assert!(!breaker.is_idle(at(700)));
    assert!(breaker.is_idle(at(1_400)));
}

#[test]
fn open_defers_and_half_open_lets_a_few_in() {
    let mut breaker = opened(100);
    assert_eq!(breaker.may(&RULES, at(100)), Err(at(16)));
    assert_eq!(breaker.may(&RULES, at(109)), Err(at(8)));

    for _ in 0..2 {
        assert_eq!(breaker.may(&RULES, at(110)), Ok(()));
        breaker.begin(&RULES, at(110));
    }

    let round = at(110);
    assert_eq!(breaker.state(), State::HalfOpen { round, out: 2 });
    assert_eq!(breaker.may(&RULES, at(111)), Err(at(8)));
}

#[test]
fn a_probe_that_succeeds_closes_it_and_what_was_seen_is_forgotten() {
    let mut breaker = opened(100);
    breaker.begin(&RULES, at(110));
    assert!(breaker.ended(&RULES, at(111), at(110), Health::Well));
    assert_eq!((breaker.is_closed(), breaker.counts()), (true, (0, 0)));
    runs(&mut breaker, 112, &[Health::Ill; 3]);
    assert!(breaker.is_closed());
}

#[test]
fn each_probe_that_fails_opens_it_for_twice_as_long_up_to_the_bound() {
    let mut breaker = opened(0);
    let mut now = 10;
    for length in [20, 40, 60, 60] {
        breaker.begin(&RULES, at(now));
        assert!(breaker.ended(&RULES, at(now), at(now), Health::Ill));
        now += length;
        assert_eq!(breaker.state(), State::Open { until: at(now) });
    }
}

#[test]
fn a_run_that_began_before_the_last_change_says_nothing() {
    let mut breaker = opened(100);
    breaker.begin(&RULES, at(110));
    for health in [Health::Well, Health::Ill] {
        assert!(!breaker.ended(&RULES, at(111), at(99), health));
    }
    breaker.ended(&RULES, at(112), at(110), Health::Well);
    for _ in 0..9 {
        assert!(!breaker.ended(&RULES, at(113), at(99), Health::Ill));
    }
    assert!(breaker.is_closed());
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_another_and_one_that_never_ends_holds_nobody_up() {
    let mut breaker = opened(100);
    breaker.begin(&RULES, at(110));
    breaker.begin(&RULES, at(110));
    assert!(breaker.may(&RULES, at(110)).is_err());
    breaker.ended(&RULES, at(111), at(110), Health::Unknown);
    assert_eq!(breaker.may(&RULES, at(111)), Ok(()));
    breaker.begin(&RULES, at(111));
    assert!(breaker.may(&RULES, at(119)).is_err());
    assert_eq!(breaker.may(&RULES, at(120)), Ok(()));
}

#[test]
fn deferrals_grow_with_the_time_it_has_failed_and_are_few_in_a_day() {
    let mut breaker = opened(0);
    let (mut now, mut deferrals) = (0, 0);
    while now < 86_400 {
        if let Err(wait) = breaker.may(&RULES, at(now)) {
            deferrals += 1;
            now += wait.as_secs();
            continue;
        }
        // Another task is the probe, and this one comes a moment too late.
        breaker.begin(&RULES, at(now));
        breaker.begin(&RULES, at(now));
        if let Err(wait) = breaker.may(&RULES, at(now)) {
            deferrals += 1;
            breaker.ended(&RULES, at(now), at(now), Health::Ill);
            now += wait.as_secs();
        }
    }
    assert!((80..=100).contains(&deferrals), "{deferrals}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Later(u64),
    Begin,
    End(usize, Health),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let health = prop_oneof![
        1 => Just(Health::Well),
        3 => Just(Health::Ill),
        1 => Just(Health::Unknown),
    ];
    prop_oneof![
        3 => (0_u64..30).prop_map(Step::Later),
        4 => Just(Step::Begin),
        4 => (0_usize..8, health).prop_map(|(nth, health)| Step::End(nth, health)),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_lets_in_no_more_than_its_probes_and_always_lets_in_again(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let (mut breaker, mut now, mut going) = (Breaker::default(), Duration::ZERO, Vec::new());
        for step in steps {
            let before = breaker.state();
            match step {
                Step::Later(secs) => now += at(secs),
                Step::Close => breaker.close(now),
                Step::Begin => match breaker.may(&RULES, now) {
                    Ok(()) => {
                        breaker.begin(&RULES, now);
                        going.push(now);
                        let is_open = matches!(breaker.state(), State::Open { .. });
                        prop_assert!(!is_open);
                    }
                    Err(wait) => {
                        prop_assert!(!breaker.is_closed());
                        prop_assert!((DEFER_MIN..=DEFER_MAX).contains(&wait));
                        prop_assert!(wait.as_secs().is_power_of_two());
                    }
                },
                Step::End(nth, health) if !going.is_empty() => {
                    let began = going.swap_remove(nth % going.len());
                    let changed = breaker.ended(&RULES, now, began, health);
                    prop_assert_eq!(changed, std::mem::discriminant(&before) != std::mem::discriminant(&breaker.state()));
                }
                Step::End(..) => {}
            }
            let (failures, runs) = breaker.counts();
            prop_assert!(failures <= runs && runs <= RULES.window);
            if let State::HalfOpen { out, .. } = breaker.state() {
                prop_assert!(out <= RULES.probes);
            }
            if let State::Open { until } = breaker.state() {
                prop_assert!(until <= now.max(breaker.changed().unwrap()) + RULES.open_max);
            }
            // However long nobody hears of its probes, the next run is let in.
            prop_assert_eq!(breaker.may(&RULES, now + RULES.open_max), Ok(()));
        }
    }
}
