//! `H` and jitter: the same for ever, and even.

use std::collections::BTreeMap;

use super::super::expression::{self, Item, Read};
use super::*;

/// The values that an `H` takes for many schedules.
fn picked(part: Part, text: &str) -> Vec<u8> {
    let item = |nth: u32| {
        let Ok(Read::Cron(expression)) = expression::read(&format!("schedule-{nth}"), text) else {
            panic!("{text} is an expression");
        };
        match expression.parts[part as usize][..] {
            [Item::Range { low, .. }] => low,
            [Item::Steps { first, .. }] => first,
            ref other => panic!("{other:?}"),
        }
    };
    (0..6_000).map(item).collect()
}

#[test]
fn a_hash_takes_every_value_about_as_often() {
    for (part, text, values) in [
        (Part::Second, "H 0 0 * * *", 0..=59),
        (Part::Minute, "H * * * *", 0..=59),
        (Part::Hour, "0 H * * *", 0..=23),
        (Part::DayOfMonth, "0 0 H * *", 1..=28),
        (Part::Month, "0 0 1 H *", 1..=12),
        (Part::DayOfWeek, "0 0 * * H", 0..=6),
        (Part::Minute, "H(10-19) * * * *", 10..=19),
        (Part::Minute, "H/15 * * * *", 0..=14),
        (Part::Minute, "H(0-29)/10 * * * *", 0..=9),
    ] {
        let picked = picked(part, text);
        let even = picked.len() / values.clone().count();
        let mut counts = BTreeMap::<u8, usize>::new();
        for value in picked {
            *counts.entry(value).or_default() += 1;
        }
        assert!(counts.keys().copied().eq(values), "{text}: {counts:?}");
        // Of 100 expected, 60 to 140 are four standard deviations.
        let uneven = |count: &usize| count.abs_diff(even) > even * 2 / 5;
        assert!(!counts.values().any(uneven), "{text}: {counts:?}");
    }
}

/// Changing this moves the schedules of everyone who updates.
#[test]
fn a_hash_stays_what_it_is() {
    let english = |name: &str, text: &str| {
        let timing = Timing::new(name, &When::Cron(text.into()), None, None, None, 0).unwrap();
        timing.english()
    };

    assert_eq!(english("backup", "H H * * *"), "at 08:34 (UTC)");
    assert_eq!(english("report", "H H * * *"), "at 07:31 (UTC)");
    assert_eq!(
        english("backup", "H/15 * * * *"),
        "at minutes 4, 19, 34 and 49 of every hour (UTC)"
    );
    assert_eq!(
        english("backup", "H(0-29)/10 * * * *"),
        "at minutes 4, 14 and 24 of every hour (UTC)"
    );
    assert_eq!(jitter("backup", 1_800_000_000_000, 30_000), 7_832);
}

#[test]
fn jitter_is_even_and_within_its_bound() {
    const MAX_MS: u64 = 9_999;
    let mut tenths = [0_u64; 10];
    for due in 0..20_000 {
        let late = jitter("a", due * 1_000, MAX_MS);
        assert!(late <= MAX_MS);
        tenths[usize::try_from(late / 1_000).unwrap()] += 1;
    }
    assert!(
        tenths.iter().all(|count| count.abs_diff(2_000) < 200),
        "{tenths:?}"
    );
    assert_eq!(jitter("a", 5, 0), 0);
    assert!(jitter("a", 5, u64::MAX) > 0);
}
