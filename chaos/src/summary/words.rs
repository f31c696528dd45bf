//! Times, numbers and verdicts in words, the same in all reports.

use super::{Counts, FaultCounts, Ruling, Summary};
use crate::check::Overall;

/// A time for people: `740 ms`, `4.4 s`, `1 min 30 s`, `1 h 2 min`.
pub(super) fn duration(ms: u64) -> String {
    let secs = ms / 1_000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{secs}.{} s", ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3_600, secs / 60 % 60),
    }
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut spaced = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            spaced.push(',');
        }
        spaced.push(digit);
    }
    spaced
}

/// A number of things: `1 fault`, `2 faults`.
pub(super) fn of(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", number(count))
}

/// The verdict, large.
pub(super) fn verdict(overall: Overall) -> &'static str {
    match overall {
        Overall::Pass => "PASS",
        Overall::Fail => "FAIL",
        Overall::NotExercised => "NOT EXERCISED",
        Overall::Unknown => "UNKNOWN",
    }
}

/// What the verdict means.
pub(super) fn meaning(overall: Overall) -> &'static str {
    match overall {
        Overall::Pass => "No promise was broken, and each that had to be was put to the test.",
        Overall::Fail => "A promise was broken.",
        Overall::NotExercised => {
            "No promise was broken, but not all that had to be was put to the test."
        }
        Overall::Unknown => "The record of what happened is not whole, so nothing can be said.",
    }
}

/// What was found of a promise or a property.
pub(super) fn ruling(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Held => "held",
        Ruling::Violated => "VIOLATED",
        Ruling::NotExercised => "not exercised",
        Ruling::Unknown => "unknown",
    }
}

/// What was run, in one line.
pub(super) fn run(summary: &Summary) -> String {
    let run = &summary.run;
    let nodes = of(run.nodes.into(), "node");
    let members = of(run.members.into(), "member");
    let chapters = of(
        u64::try_from(summary.tracks.len()).unwrap_or(u64::MAX),
        "chapter",
    );
    let took = duration(summary.length_ms);
    let cut = match run.cut_short {
        0 => String::new(),
        some => format!("; {some} more cut short, and not judged"),
    };
    format!("{nodes}, etcd of {members}, {took} in {chapters}{cut}")
}

/// What was asked for and done, each with what it counts.
pub(super) fn work(counts: &Counts) -> Vec<(String, String)> {
    let mut rows = vec![("tasks accepted".to_owned(), number(counts.accepted))];
    for how in ["succeeded", "cancelled", "dead"] {
        let ended = counts.ended.get(how).copied().unwrap_or(0);
        rows.push((format!("tasks {how}"), number(ended)));
    }
    rows.push(("tasks open in the end".to_owned(), number(counts.open())));
    for (name, count) in [
        ("runs witnessed", counts.runs.begun),
        ("runs that ended well", counts.runs.well),
        ("runs that ended badly", counts.runs.badly),
        ("runs that never ended", counts.runs.unended()),
        ("effects accepted", counts.effects_accepted),
        ("effects refused by their fence", counts.effects_refused),
    ] {
        rows.push((name.to_owned(), number(count)));
    }
    rows
}

/// Why faults of a kind were skipped or are uncertain.
pub(super) fn reasons(counts: &FaultCounts) -> String {
    let reasons = counts.reasons.iter();
    let told: Vec<String> = reasons
        .map(|(why, times)| {
            if *times > 1 {
                format!("{why} ({times} times)")
            } else {
                why.clone()
            }
        })
        .collect();
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_read_well() {
        let told = [0, 999, 4_449, 90_000, 3_725_000].map(duration);
        assert_eq!(told, ["0 ms", "999 ms", "4.4 s", "1 min 30 s", "1 h 2 min"]);
        assert_eq!(
            [7, 1_000, 1_234_567].map(number),
            ["7", "1,000", "1,234,567"]
        );
        assert_eq!(
            (of(1, "fault"), of(0, "fault")),
            ("1 fault".into(), "0 faults".into())
        );
    }
}
