//! The one place where the wall clock is read. Pure rooms take `now` as an argument instead.

/// The wall clock, to the nanosecond, in UTC. It may jump; never measure a duration with it.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
