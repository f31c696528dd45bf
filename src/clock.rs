//! The one place where the wall clock is read. Pure rooms take `now` as an argument instead; a node takes its clock with it, so
//! that a simulation can give each node one that is off.

use std::fmt;
use std::sync::Arc;

/// A node's wall clock; clones are the same. It may jump; never measure a duration with it.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Given(Arc<dyn Fn() -> u64 + Send + Sync>),
}

impl Clock {
    /// A clock that says what this says: milliseconds since 1970.
    pub fn of(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Source::Given(Arc::new(now_ms)))
    }

    /// Milliseconds since 1970, as records keep it.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => now_ms(),
            Source::Given(now_ms) => now_ms(),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock(system)",
            Source::Given(_) => "Clock(given)",
        })
    }
}

/// The system's wall clock, to the nanosecond, in UTC.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The same in milliseconds since 1970; 0 for a clock set before that.
pub fn now_ms() -> u64 {
    u64::try_from(now().as_millisecond()).unwrap_or(0)
}
