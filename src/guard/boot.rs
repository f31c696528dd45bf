//! Times on a clock that goes on while processes are stopped and machines sleep.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

/// 100 ms between looks at the clock: timers stand still while a machine sleeps, this clock does not.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A time, counted from the boot of this machine: the same for all its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boot(Duration);

impl Boot {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let whole = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
        Self(whole + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// A time that another process told.
    pub(crate) fn at(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }

    /// For another process: more than 500 years fit.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0 + time)
    }

    pub(crate) fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    /// Waits for this time.
    pub(crate) async fn come(self) {
        while !self.left().is_zero() {
            sleep(self.left().min(LOOK_EVERY)).await;
        }
    }
}
