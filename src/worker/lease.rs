//! Until when a worker's runs may go on: what its session says, as instants for the worker, and as a leash for those who end runs where
//! the worker cannot. Pure but for following the session; ends nothing itself.

use std::convert::Infallible;
use std::time::Duration;

use tenure_cluster::{Session, State};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::guard::{Boot, Leash};

/// A fifth of the TTL: so long before its lease can be given away a node takes its session for lost and asks its runs to end. More
/// would be too little time for keepalives where etcd elects a leader: with 5 s two fail before.
const MARGIN_OF_TTL: u32 = 5;

/// A tenth of the TTL before the lease can be given away what still runs is killed: 200 ms at the least TTL, for the kernel and a busy
/// machine.
const KILL_OF_TTL: u32 = 10;

/// A twentieth of the TTL before it the watchdog and the guard kill what the worker should have: 100 ms at the least TTL.
const LEASH_OF_TTL: u32 = 20;

/// How much earlier than etcd a node takes a session of this TTL for lost.
pub fn margin(ttl: Duration) -> Duration {
    ttl / MARGIN_OF_TTL
}

/// What a worker knows of its session's lease. Clones share the leash.
#[derive(Clone)]
pub struct Lease {
    state: watch::Receiver<State>,
    ttl: Duration,
    margin: Duration,
    leash: Leash,
    ends: Option<Ends>,
}

/// When runs have to end, if no keepalive is answered from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The session is lost, and runs are asked to end.
    pub(super) ask: Instant,
    /// They are killed.
    pub(super) kill: Instant,
    /// etcd may give the lease away.
    pub(super) lease: Instant,
}

/// How the runs of a lost session end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Asked, and killed at this instant.
    Ask {
        /// Before the lease can be given away.
        kill: Instant,
    },
    /// At once.
    Kill,
}

impl Lease {
    /// Of a session that was just opened.
    pub fn of(session: &Session) -> Self {
        Self::new(session.state(), session.ttl(), session.margin())
    }

    fn new(state: watch::Receiver<State>, ttl: Duration, margin: Duration) -> Self {
        let mut lease = Self {
            state,
            ttl,
            margin,
            leash: Leash::new(),
            ends: None,
        };
        lease.look();
        lease
    }

    /// What commands of its runs are on.
    pub(super) fn leash(&self) -> &Leash {
        &self.leash
    }

    /// As they were when the session was last seen to live.
    pub(super) fn ends(&self) -> Option<Ends> {
        self.ends
    }

    /// Follows the session as long as there is one. Safe to be dropped and called again.
    pub(super) async fn follow(&mut self) -> Infallible {
        while self.state.changed().await.is_ok() {
            self.look();
        }
        std::future::pending().await
    }

    fn look(&mut self) {
        let until = match *self.state.borrow_and_update() {
            State::Live { until } | State::Suspect { until } => until,
            // Nothing that is known of it ends later for that.
            State::Lost(_) => return,
        };
        let ends = Ends::of(until, self.ttl, self.margin);
        // Nothing was answered since: the leash was told by the clock that goes on while the machine sleeps, and stays.
        if self.ends.replace(ends) == Some(ends) {
            return;
        }
        let cut = ends.lease - self.ttl / LEASH_OF_TTL;
        let left = cut.saturating_duration_since(Instant::now());
        self.leash.until(Boot::now().after(left));
    }
}

impl Ends {
    fn of(until: Instant, ttl: Duration, margin: Duration) -> Self {
        let lease = until + margin;
        Self {
            ask: until,
            kill: (lease - ttl / KILL_OF_TTL).max(until),
            lease,
        }
    }

    /// How runs end whose session is found lost at this instant: one that is lost before its time was taken away, and what it protected
    /// may be another's already.
    pub(super) fn way(self, now: Instant) -> Way {
        if now >= self.ask && now < self.kill {
            Way::Ask { kill: self.kill }
        } else {
            Way::Kill
        }
    }
}

#[cfg(test)]
impl Lease {
    /// Of a session that nobody keeps.
    pub(super) fn of_nobody() -> Self {
        let until = Instant::now() + Duration::from_mins(1);
        let (_, state) = watch::channel(State::Live { until });
        Self::new(state, Duration::from_mins(1), Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use tenure_cluster::LostReason;

    use super::*;

    /// While a machine sleeps its clock since boot goes on, and the one of tokio's instants stands still: here that of tests is.
    #[tokio::test(start_paused = true)]
    async fn a_leash_keeps_its_end_through_a_sleep_until_a_keepalive_is_answered() {
        let ttl = Duration::from_secs(5);
        let until = Instant::now() + ttl - margin(ttl);
        let (tell, state) = watch::channel(State::Live { until });
        let mut lease = Lease::new(state, ttl, margin(ttl));
        let told = lease.leash().ends().expect("it was told an end");

        tell.send_replace(State::Suspect { until });
        lease.look();
        assert_eq!(lease.leash().ends(), Some(told), "nothing was answered");
        tell.send_replace(State::Live {
            until: until + Duration::from_secs(1),
        });
        lease.look();
        let renewed = lease.leash().ends().expect("it has one");
        assert!(renewed > told.after(Duration::from_secs(1)));
        tell.send_replace(State::Lost(LostReason::Deadline));
        lease.look();
        assert_eq!(lease.leash().ends(), Some(renewed));
    }

    #[test]
    fn runs_are_asked_then_killed_before_the_lease_can_be_given_away_or_killed_at_once() {
        for ttl_ms in [2_000, 5_000, 60_000] {
            let (ttl, answered) = (Duration::from_millis(ttl_ms), Instant::now());
            let ends = Ends::of(answered + ttl - margin(ttl), ttl, margin(ttl));
            assert_eq!(ends.lease, answered + ttl);
            assert!(ends.ask < ends.kill && ends.kill < ends.lease - ttl / LEASH_OF_TTL);
            let ms = Duration::from_millis(1);
            let asked = Way::Ask { kill: ends.kill };
            for (now, way) in [
                (answered, Way::Kill),
                (ends.ask - ms, Way::Kill),
                (ends.ask, asked),
                (ends.kill - ms, asked),
                (ends.kill, Way::Kill),
                (ends.lease + ttl, Way::Kill),
            ] {
                assert_eq!(ends.way(now), way);
            }
        }
    }
}
