//! Schedules of a fixed period: how long it may be, and when it is due.

use jiff::SignedDuration;

use super::{TimingError, TimingField};

/// 1,000 ms, one second: the shortest period. What has to run more often is a loop inside of a task.
pub const EVERY_MS_MIN: u64 = 1_000;
/// 366 days, in milliseconds: the longest period.
pub const EVERY_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;

/// A period within its bounds.
///
/// # Errors
/// It is out of them.
pub(super) fn checked(field: TimingField, period_ms: u64) -> Result<u64, TimingError> {
    if (EVERY_MS_MIN..=EVERY_MS_MAX).contains(&period_ms) {
        return Ok(period_ms);
    }
    let detail = format!("{period_ms} ms is not in 1 s to 366 d");
    Err(TimingError::of(field, detail))
}

/// The milliseconds of what follows `@every`, such as `90s` or `1h30m`.
///
/// # Errors
/// It is no duration, or out of bounds.
pub(super) fn read(text: &str) -> Result<u64, TimingError> {
    let span = text.parse::<SignedDuration>().ok();
    let Some(ms) = span.and_then(|span| u64::try_from(span.as_millis()).ok()) else {
        let detail = format!("`{text}` is not a duration, such as 90s, 5m or 1h30m");
        return Err(TimingError::of(TimingField::Cron, detail));
    };
    checked(TimingField::Cron, ms)
}

/// The first due time at or after `from_ms`: the anchor and a multiple of the period.
pub(super) fn from(anchor_ms: u64, period_ms: u64, from_ms: u64) -> Option<u64> {
    let periods = from_ms.saturating_sub(anchor_ms).div_ceil(period_ms);
    anchor_ms.checked_add(periods.checked_mul(period_ms)?)
}

/// What a period says.
pub(super) fn english(period_ms: u64, anchor: &str) -> String {
    let ms = i64::try_from(period_ms).unwrap_or(i64::MAX);
    let length = SignedDuration::from_millis(ms);
    format!("every {length:#}, counted from {anchor}")
}
