//! What holds for any expression, zone and time.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::expression::{self, Read};
use super::super::zone;
use super::*;

/// Somewhere in 1970 to 2106.
fn instants() -> impl Strategy<Value = u64> {
    0..(1_u64 << 32) * 1_000
}

fn zones() -> impl Strategy<Value = String> {
    select(zone::names())
}

/// Parts that people write, and some that nobody does.
fn parts(part: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(part)
}

fn expressions() -> impl Strategy<Value = String> {
    let seconds = parts(&["", "0", "30", "*/20", "H", "5,59"]);
    let minutes = parts(&[
        "0",
        "30",
        "*",
        "*/7",
        "H",
        "H/15",
        "0,15,45",
        "H(0-29)/10",
        "59",
    ]);
    let hours = parts(&["*", "0", "2", "23", "0-3", "*/2", "1,13", "H", "0-23"]);
    let days = parts(&[
        "*", "?", "1", "13", "L", "LW", "15W", "31", "*/2", "H", "29",
    ]);
    let months = parts(&["*", "2", "3,10,11", "JAN-JUN", "*/5"]);
    let weekdays = parts(&[
        "*", "?", "SUN", "+SUN", "1-5", "SAT-SUN", "FRI#2", "FRIL", "H",
    ]);
    (seconds, minutes, hours, days, months, weekdays).prop_map(|(s, mi, h, d, mo, w)| {
        format!("{s} {mi} {h} {d} {mo} {w}").trim_start().to_owned()
    })
}

/// Texts of what expressions are made of, and of anything.
fn texts() -> impl Strategy<Value = String> {
    let usual: Vec<char> = "0123456789*,-/?#LWH()@+ \tMONJANEVRY".chars().collect();
    let character = prop_oneof![9 => select(usual), 1 => any::<char>()];
    proptest::collection::vec(character, 0..300).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn after_moves_forward_and_dues_are_its_steps(
        text in expressions(), zone in zones(), from in instants(), start in instants(), days in 0_u64..4_000,
    ) {
        let end = start + days * 86_400_000;
        let timing = Timing::new("x", &When::Cron(text), Some(&zone), Some(start), Some(end), 0);
        let Ok(timing) = timing else { return Ok(()) };
        let (dues, more) = timing.dues(from, u64::MAX, 40);
        let mut at = from;
        for due in &dues {
            prop_assert_eq!(timing.after(at), Some(*due));
            prop_assert!(*due > at && (start..=end).contains(due));
            prop_assert_eq!(timing.after(*due - 1), Some(*due));
            at = *due;
        }
        prop_assert_eq!(timing.after(at).is_some(), more);
        prop_assert_eq!(timing.count(from, at, 100), dues.len() as u64);
    }

    #[test]
    fn a_search_does_not_depend_on_where_it_begins(
        text in expressions(), zone in zones(), from in instants(), back in 1_u64..200_000_000,
    ) {
        let timing = Timing::new("x", &When::Cron(text), Some(&zone), None, None, 0);
        let Ok(timing) = timing else { return Ok(()) };
        let mut at = from.saturating_sub(back);
        // A search from earlier comes to the same, however many steps it takes; 3,000 are looked at.
        for _ in 0..3_000 {
            match timing.after(at) {
                Some(due) if due <= from => at = due,
                other => {
                    prop_assert_eq!(other, timing.after(from));
                    break;
                }
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in texts()) {
        if let Ok(timing) = Timing::new("x", &When::Cron(text.clone()), None, None, None, 0) {
            prop_assert!(text.len() <= EXPRESSION_BYTES_MAX);
            prop_assert!(timing.after(0).is_some());
            prop_assert!(!timing.english().is_empty());
        }
    }

    #[test]
    fn croner_reads_whatever_we_do_and_so_do_we_again(text in prop_oneof![expressions(), texts()]) {
        if let Ok(Read::Cron(expression)) = expression::read("x", &text) {
            let numbers = expression.numbers();
            let fields = fields::Fields::of(&numbers);
            prop_assert!(fields.is_ok(), "{} of {}: {:?}", numbers, text, fields);
            let again = expression::again(&numbers).map(|again| again.numbers());
            prop_assert!(again.is_some(), "{numbers} is not read again");
            prop_assert_eq!(again.map(|again| fields::Fields::of(&again)), Some(fields));
        }
    }

    #[test]
    fn any_zone_is_found_or_refused(text in texts()) {
        let when = When::Cron("@daily".into());
        let _ = Timing::new("x", &when, Some(&text), None, None, 0);
    }
}
