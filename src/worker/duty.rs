//! What a node's hands are to do, and how far they are with handing over; pure: reads no clock.

use std::time::Duration;

use tokio::time::Instant;

/// 5 s for the last reports of a node that stops.
pub(super) const LAST_REPORTS: Duration = Duration::from_secs(5);

/// What a node's hands are to do. What is further down weighs more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Run what comes.
    #[default]
    Work,
    /// Hand back what has not started, let the rest end within the grace, hand back what has not, and wait for another duty.
    Drain,
    /// The same, and then end.
    Leave,
}

/// How far a worker is with its duty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Handover {
    duty: Duty,
    next: Option<(Instant, Due)>,
}

/// What is due at the end of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The grace is over: give up what still runs.
    GiveUp,
    /// So is the time for the last reports.
    End,
}

impl Handover {
    /// Takes up a duty; its grace begins now. False where it had that duty.
    pub(super) fn take(&mut self, duty: Duty, now: Instant, grace: Duration) -> bool {
        if self.duty == duty {
            return false;
        }
        self.duty = duty;
        self.next = match duty {
            Duty::Work => None,
            Duty::Drain | Duty::Leave => Some((now + grace, Due::GiveUp)),
        };
        true
    }

    /// Whether nothing is started any more.
    pub(super) fn starts_nothing(self) -> bool {
        match self.duty {
            Duty::Work => false,
            Duty::Drain | Duty::Leave => true,
        }
    }

    /// Whether it ends as soon as its hands are empty.
    pub(super) fn ends_when_empty(self) -> bool {
        match self.duty {
            Duty::Work | Duty::Drain => false,
            Duty::Leave => true,
        }
    }

    /// What is due next, and when.
    pub(super) fn next(self) -> Option<(Instant, Due)> {
        self.next
    }

    /// That was due, and is done.
    pub(super) fn did(&mut self, now: Instant) {
        let (duty, next) = (self.duty, self.next.take());
        self.next = match (duty, next) {
            (Duty::Leave, Some((_, Due::GiveUp))) => Some((now + LAST_REPORTS, Due::End)),
            (Duty::Work | Duty::Drain, _) | (Duty::Leave, Some((_, Due::End)) | None) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    #[test]
    fn who_leaves_has_its_grace_and_then_time_for_its_last_reports() {
        let now = Instant::now();
        let mut hands = Handover::default();
        assert!(!hands.starts_nothing() && hands.next().is_none());

        assert!(hands.take(Duty::Leave, now, GRACE));
        assert!(hands.starts_nothing() && hands.ends_when_empty());
        assert_eq!(hands.next(), Some((now + GRACE, Due::GiveUp)));
        assert!(
            !hands.take(Duty::Leave, now + GRACE, GRACE),
            "told again, it has no more time"
        );
        hands.did(now + GRACE);
        let last = now + GRACE + LAST_REPORTS;
        assert_eq!(hands.next(), Some((last, Due::End)));
    }

    #[test]
    fn who_is_drained_stays_and_takes_work_again_when_it_is_told_to() {
        let now = Instant::now();
        let mut hands = Handover::default();

        hands.take(Duty::Drain, now, GRACE);
        assert!(hands.starts_nothing() && !hands.ends_when_empty());
        assert_eq!(hands.next(), Some((now + GRACE, Due::GiveUp)));
        hands.did(now + GRACE);
        assert!(hands.starts_nothing() && hands.next().is_none());

        assert!(hands.take(Duty::Work, now, GRACE));
        assert!(!hands.starts_nothing() && hands.next().is_none());
    }

    #[test]
    fn who_is_told_to_leave_while_it_drains_has_its_grace_from_then_on() {
        let (now, later) = (Instant::now(), Instant::now() + GRACE / 2);
        let mut hands = Handover::default();
        hands.take(Duty::Drain, now, GRACE);
        hands.take(Duty::Leave, later, GRACE);
        assert_eq!(hands.next(), Some((later + GRACE, Due::GiveUp)));
    }
}
