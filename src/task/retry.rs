//! What follows a failure or a death: pure arithmetic on budgets; never draws a random number or reads a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spec::Policy;

/// Exponential backoff: `initial × factor^(failures - 1)`, at most `max`, spread by `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// Wait after the first failure, in milliseconds.
    pub initial_ms: u64,
    /// What each further failure multiplies it by.
    pub factor: f64,
    /// The longest wait, in milliseconds.
    pub max_ms: u64,
    /// 0 to 1: how much of the wait is drawn at random, downwards, so that failures of one cause do not return as one.
    pub jitter: f64,
}

/// What a task gets that asks for nothing else.
impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial_ms: 1_000,
            factor: 2.0,
            max_ms: 300_000,
            jitter: 0.2,
        }
    }
}

impl Backoff {
    /// The wait after so many failures; `draw` in 0..1 picks a point within the jitter.
    pub fn wait(&self, failures: u32, draw: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let full =
            Duration::from_millis(self.initial_ms).as_secs_f64() * self.factor.powi(exponent);
        let bounded = full.min(Duration::from_millis(self.max_ms).as_secs_f64());
        Duration::from_secs_f64(
            bounded * (1.0 - self.jitter.clamp(0.0, 1.0) * draw.clamp(0.0, 1.0)),
        )
    }
}

/// What a task has been through since it was submitted or revived; all tasks of one record share it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Tally {
    /// Runs so far: the next attempt's number is one more. Never goes down.
    pub attempts: u32,
    /// Runs that ended badly by themselves; bounded by [`Policy::max_attempts`].
    pub failures: u32,
    /// Node deaths that this task alone can be blamed for; bounded by the cluster's death budget.
    pub deaths: u32,
}

/// What follows a run that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Another run, after this wait.
    Again(Duration),
    /// Out of budget: to the dead letters.
    Dead,
}

/// What follows a failure, `tally` counting it already.
pub fn after_failure(policy: &Policy, tally: Tally, draw: f64) -> After {
    if tally.failures >= policy.max_attempts {
        return After::Dead;
    }
    After::Again(policy.backoff.wait(tally.failures, draw))
}

/// What follows the death of the node, `tally` counting it already where this task alone is to blame.
pub fn after_death(deaths_max: u32, tally: Tally) -> After {
    if tally.deaths >= deaths_max {
        After::Dead
    } else {
        After::Again(Duration::ZERO)
    }
}

/// A quarter of the wait: so much longer a deferral may be, so that what was deferred together does not come back as one.
const DEFERRAL_SPREAD: f64 = 0.25;

/// What follows a deferral of at least this wait; `draw` in 0..1 picks a point within the spread.
pub fn after_deferral(wait: Duration, draw: f64) -> After {
    let spread = wait.mul_f64(DEFERRAL_SPREAD * draw.clamp(0.0, 1.0));
    // What is deferred waits for its time, however short that is.
    After::Again((wait + spread).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(max_attempts: u32) -> Policy {
        let backoff = Backoff {
            initial_ms: 100,
            factor: 2.0,
            max_ms: 1_000,
            jitter: 0.5,
        };
        Policy {
            max_attempts,
            backoff,
            timeout_ms: None,
            on_lost: crate::task::OnLost::Stop,
        }
    }

    #[test]
    fn waits_double_up_to_the_maximum() {
        let waits: Vec<u128> = (1..=6)
            .map(|n| policy(9).backoff.wait(n, 0.0).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn by_default_no_wait_is_longer_than_five_minutes() {
        let longest = Backoff::default().wait(u32::MAX, 0.0);
        assert_eq!(longest, Duration::from_mins(5));
    }

    #[test]
    fn the_last_allowed_failure_is_dead_and_deaths_do_not_count_towards_it() {
        let failed = |failures| Tally {
            attempts: 9,
            failures,
            deaths: 7,
        };
        assert_eq!(
            after_failure(&policy(2), failed(1), 0.0),
            After::Again(Duration::from_millis(100))
        );
        assert_eq!(after_failure(&policy(2), failed(2), 0.0), After::Dead);
        assert_eq!(
            after_death(
                3,
                Tally {
                    attempts: 9,
                    failures: 9,
                    deaths: 2
                }
            ),
            After::Again(Duration::ZERO)
        );
        assert_eq!(
            after_death(
                3,
                Tally {
                    attempts: 3,
                    failures: 0,
                    deaths: 3
                }
            ),
            After::Dead
        );
    }

    proptest! {
        #[test]
        fn a_deferral_is_as_long_as_asked_and_at_most_a_quarter_longer(secs in 0_u64..2_000, draw in 0.0..1.0_f64) {
            let wait = Duration::from_secs(secs);
            let After::Again(deferral) = after_deferral(wait, draw) else { panic!() };
            prop_assert!(!deferral.is_zero() && deferral >= wait);
            prop_assert!(deferral <= (wait * 5 / 4).max(Duration::from_millis(1)));
        }

        #[test]
        fn jitter_only_shortens_and_never_below_its_share(failures in 1_u32..5_000, draw in 0.0..1.0_f64) {
            let full = policy(9).backoff.wait(failures, 0.0);
            let wait = policy(9).backoff.wait(failures, draw);
            prop_assert!(wait <= full && wait >= full / 2);
        }
    }
}
