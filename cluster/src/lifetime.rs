//! How long a lease may be relied on, from when its last answered keepalive was sent. Pure: never reads a clock.

use std::time::Duration;

use tokio::time::Instant;

/// What a lease was granted with, and how much earlier than etcd we give it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) ttl: Duration,
    pub(crate) margin: Duration,
}

/// How a lease stands at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Live { until: Instant },
    Suspect { until: Instant },
    Over,
}

impl Lifetime {
    /// How it stands. `acked` is the instant before the last keepalive that was answered was sent: etcd's clock
    /// for the lease started later than that, so ours runs out first.
    pub(crate) fn standing(self, acked: Instant, now: Instant) -> Standing {
        let until = self.until(acked);
        if now >= until {
            Standing::Over
        } else if now >= self.suspect_from(acked) {
            Standing::Suspect { until }
        } else {
            Standing::Live { until }
        }
    }

    /// When it next stands otherwise, if nothing is answered.
    pub(crate) fn next_change(self, acked: Instant, now: Instant) -> Instant {
        let suspect = self.suspect_from(acked);
        if now < suspect {
            suspect
        } else {
            self.until(acked)
        }
    }

    /// When the next keepalive is sent.
    pub(crate) fn renew_at(self, acked: Instant) -> Instant {
        acked + self.ttl / 3
    }

    /// How long one keepalive may take, so that several members can be asked before it is over.
    pub(crate) fn renew_limit(self) -> Duration {
        (self.ttl / 4).clamp(Duration::from_millis(250), Duration::from_secs(2))
    }

    fn until(self, acked: Instant) -> Instant {
        acked + self.ttl.saturating_sub(self.margin)
    }

    fn suspect_from(self, acked: Instant) -> Instant {
        (acked + self.ttl * 2 / 3).min(self.until(acked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_suspect_after_two_thirds_and_over_a_margin_before_etcd_ends_it() {
        let acked = Instant::now();
        let at = |ms: u64| acked + Duration::from_millis(ms);
        let lifetime = |margin| Lifetime {
            ttl: Duration::from_secs(6),
            margin: Duration::from_millis(margin),
        };
        let table = [
            (500, 0, Standing::Live { until: at(5_500) }, 4_000),
            (500, 3_999, Standing::Live { until: at(5_500) }, 4_000),
            (500, 4_000, Standing::Suspect { until: at(5_500) }, 5_500),
            (500, 5_499, Standing::Suspect { until: at(5_500) }, 5_500),
            (500, 5_500, Standing::Over, 5_500),
            (500, 60_000, Standing::Over, 5_500),
            (0, 5_999, Standing::Suspect { until: at(6_000) }, 6_000),
            (0, 6_000, Standing::Over, 6_000),
            // A margin above a third leaves no time to be suspect.
            (3_000, 2_999, Standing::Live { until: at(3_000) }, 3_000),
            (3_000, 3_000, Standing::Over, 3_000),
            (6_000, 0, Standing::Over, 0),
        ];

        for (margin, now, standing, next) in table {
            let lifetime = lifetime(margin);
            assert_eq!(
                lifetime.standing(acked, at(now)),
                standing,
                "margin {margin} at {now}"
            );
            assert_eq!(
                lifetime.next_change(acked, at(now)),
                at(next),
                "margin {margin} at {now}"
            );
        }
    }

    #[test]
    fn a_later_answer_to_an_earlier_send_moves_nothing_forward() {
        let lifetime = Lifetime {
            ttl: Duration::from_secs(6),
            margin: Duration::from_millis(500),
        };
        let sent = Instant::now();
        // Answered after a long pause: the deadline counts from the send, so it is already over.
        let answered = sent + Duration::from_secs(10);
        assert_eq!(lifetime.standing(sent, answered), Standing::Over);
    }

    #[test]
    fn keepalives_leave_time_for_other_members() {
        for ttl_secs in [2, 5, 10, 60] {
            let ttl = Duration::from_secs(ttl_secs);
            let lifetime = Lifetime {
                ttl,
                margin: Duration::ZERO,
            };
            let acked = Instant::now();
            let second = lifetime.renew_at(acked) + lifetime.renew_limit();
            assert!(
                second + lifetime.renew_limit() < acked + ttl,
                "ttl {ttl_secs}"
            );
        }
    }
}
