//! Rates, quantiles and how numbers are written. It measures nothing.

use std::time::Duration;

/// So many in that time, per second.
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    float(count) / took.as_secs_f64().max(1e-9)
}

/// A count as a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes here are far below 2^52"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Bytes in megabytes of a million, as section headings of the docs count them.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    float(bytes) / 1e6
}

/// Milliseconds with their fraction.
pub(crate) fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// The value below which this percentage of them lie, nearest rank; not a number where there are none.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// A whole number with its thousands apart, as `12,345`.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=500).rev().map(f64::from).collect();

        assert!((percentile(&values, 50) - 250.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 99) - 495.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 100) - 500.0).abs() < f64::EPSILON);
        assert!((percentile(&[7.0], 50) - 7.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(12_345.6), "12,346");
        assert_eq!(grouped(1_000_000.0), "1,000,000");
    }
}
