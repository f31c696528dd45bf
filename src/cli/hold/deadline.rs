//! Until when what is held may be relied on.

use std::str::FromStr;
use std::time::Duration;

use crate::guard::Boot;

/// When the command is asked to end, and when it is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    pub(super) term: Boot,
    pub(super) kill: Boot,
}

impl Deadline {
    /// Of a hold that is believed for this long after a renewal that was sent then. The kill is a tenth of that before the hold can be
    /// given away, so that a busy machine is in time; a sixth before the kill it is asked.
    pub(super) fn of(sent: Boot, ttl: Duration) -> Self {
        let kill = ttl.saturating_sub(ttl / 10);
        Self {
            term: sent.after(kill.saturating_sub(ttl / 6)),
            kill: sent.after(kill),
        }
    }

    /// The same, but it begins now and is no longer than this.
    pub(super) fn at_once(self, grace: Duration) -> Self {
        let now = Boot::now();
        Self {
            term: now,
            kill: self.kill.min(now.after(grace)),
        }
    }

    /// One line, for the guard.
    pub(super) fn line(self) -> String {
        format!("{} {}\n", self.term.nanos(), self.kill.nanos())
    }
}

impl FromStr for Deadline {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (term, kill) = line.trim().split_once(' ').ok_or(())?;
        let boot = |text: &str| text.parse().map(Boot::at);
        Ok(Self {
            term: boot(term).map_err(drop)?,
            kill: boot(kill).map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_asked_and_killed_before_its_hold_can_be_given_away() {
        for ttl_ms in [2_000, 15_000, 300_000] {
            let (sent, ttl) = (Boot::now(), Duration::from_millis(ttl_ms));
            let deadline = Deadline::of(sent, ttl);
            assert!(sent < deadline.term && deadline.term < deadline.kill);
            assert!(deadline.kill < sent.after(ttl));
            // Two renewals have failed by then, the first a third of the time after the last good one.
            assert!(sent.after(ttl * 2 / 3) < deadline.term);
            assert_eq!(deadline.line().parse(), Ok(deadline));
        }
    }

    #[test]
    fn at_once_is_never_later_than_before() {
        let deadline = Deadline::of(Boot::now(), Duration::from_secs(15));
        let once = deadline.at_once(Duration::from_mins(1));
        assert!(once.term < deadline.term);
        assert_eq!(once.kill, deadline.kill);
        assert!(deadline.at_once(Duration::from_secs(1)).kill < deadline.kill);
    }
}
