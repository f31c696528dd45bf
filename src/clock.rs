//! The one place where the wall clock is read. Pure rooms take `now` as an argument instead.

/// The wall clock, to the nanosecond, in UTC. It may jump; never measure a duration with it.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The wall clock in milliseconds since 1970, as records keep it; 0 for a clock set before that.
pub fn now_ms() -> u64 {
    u64::try_from(now().as_millisecond()).unwrap_or(0)
}
