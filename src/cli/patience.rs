//! How long a command that waits goes on asking a server that is out of reach.

use std::time::Duration;

use tokio::time::Instant;

use super::{Exit, Failure};

/// 30 s: how long the server may be out of reach before waiting is given up.
const UNREACHABLE_MAX: Duration = Duration::from_secs(30);

/// Since when nobody has answered.
#[derive(Debug, Default)]
pub(super) struct Patience {
    lost_since: Option<Instant>,
}

impl Patience {
    /// Somebody answered.
    pub(super) fn answered(&mut self) {
        self.lost_since = None;
    }

    /// Bears that nobody can be reached, for a while.
    ///
    /// # Errors
    /// What failed: something else, or that for too long.
    pub(super) fn bear(&mut self, failure: Failure) -> Result<(), Failure> {
        self.bear_at(failure, Instant::now())
    }

    fn bear_at(&mut self, failure: Failure, now: Instant) -> Result<(), Failure> {
        if failure.exit != Exit::Unreachable {
            return Err(failure);
        }
        let since = *self.lost_since.get_or_insert(now);
        if now > since + UNREACHABLE_MAX {
            return Err(failure);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_out_of_reach_is_borne_for_a_while_after_each_answer() {
        let away = || Failure::new(Exit::Unreachable, "away");
        let (mut patience, now) = (Patience::default(), Instant::now());
        let at = |secs: u64| now + Duration::from_secs(secs);
        for (secs, answered, borne) in [
            (0, false, true),
            (30, false, true),
            (31, true, true),
            (61, false, true),
            (62, false, false),
        ] {
            if answered {
                patience.answered();
            }
            let result = patience.bear_at(away(), at(secs));
            assert_eq!(result.is_ok(), borne, "{secs} s");
        }
        let other = Failure::new(Exit::NotFound, "gone");
        assert!(Patience::default().bear(other).is_err());
    }
}
