//! The schedules, made by a seed: many that are due often, with every rule for overlaps and runs that are longer than their periods;
//! and those that are to be missed, with every rule for that. Pure.

use crate::workload::SplitMix;
use serde_json::{Value, json};

/// What the names of those begin with that are due often, and of those that are to be missed.
pub(super) const OFTEN: &str = "often";
pub(super) const MISSED: &str = "missed";
/// Rules for overlaps, by their words.
const OVERLAPS: [&str; 4] = ["allow", "skip", "queue_one", "replace"];
/// Rules for missed ones, by their words.
const MISFIRES: [&str; 3] = ["skip", "fire_once", "fire_all"];
/// Of missed ones so many are fired by the last rule.
const FIRED_MAX: u64 = 4;
/// Periods of 1 to 10 s.
const PERIODS: std::ops::RangeInclusive<u64> = 1..=10;
/// 35 s of missed ones are caught up on where a window is given: 5 s of them are missed by more than 30 s.
const WINDOW_MS: u64 = 35_000;
/// 20 s: where a deadline is given, what is later is skipped before it counts as missed.
const DEADLINE_MS: u64 = 20_000;

/// A schedule to declare: its name, and the body of the request.
pub(super) type Schedule = (String, Value);

/// So many that are due every 1 to 10 s. Of three one has runs longer than its period, of five one is spread by a jitter.
pub(super) fn often(dice: &mut SplitMix, count: usize) -> Vec<Schedule> {
    let one = |nth: usize| {
        let overlap = OVERLAPS[nth % OVERLAPS.len()];
        let period_ms = 1_000 * dice.within(PERIODS);
        let long = nth.is_multiple_of(3);
        let run_ms = if long {
            dice.within(period_ms * 5 / 4..=period_ms * 3)
        } else {
            dice.within(1..=period_ms / 5)
        };
        let jitter_ms = if nth % 5 == 4 { period_ms / 2 } else { 0 };
        let mut body = schedule(overlap, period_ms, run_ms);
        body["jitter_ms"] = json!(jitter_ms);
        (format!("{OFTEN}-{overlap}-{nth:03}"), body)
    };
    (0..count).map(one).collect()
}

/// Those that are to be missed: each rule for that with each for overlaps, then windows and deadlines.
pub(super) fn missed() -> Vec<Schedule> {
    let mut all = Vec::new();
    for misfire in MISFIRES {
        for overlap in OVERLAPS {
            for period_ms in [2_000, 5_000] {
                let mut body = schedule(overlap, period_ms, period_ms * 3 / 2);
                rule(&mut body, misfire);
                let secs = period_ms / 1_000;
                all.push((format!("{MISSED}-{misfire}-{overlap}-{secs}s"), body));
            }
        }
        let mut window = schedule("allow", 1_000, 10);
        rule(&mut window, misfire);
        window["catch_up_ms"] = json!(WINDOW_MS);
        all.push((format!("{MISSED}-{misfire}-window"), window));
        let mut deadline = schedule("allow", 3_000, 10);
        rule(&mut deadline, misfire);
        deadline["start_deadline_ms"] = json!(DEADLINE_MS);
        all.push((format!("{MISSED}-{misfire}-deadline"), deadline));
    }
    all
}

fn rule(body: &mut Value, misfire: &str) {
    body["misfire"] = json!(misfire);
    if misfire == "fire_all" {
        body["misfire_max"] = json!(FIRED_MAX);
    }
}

fn schedule(overlap: &str, period_ms: u64, run_ms: u64) -> Value {
    json!({
        "every_ms": period_ms,
        "overlap": overlap,
        "task": {"kind": "sleep", "queue": "schedules", "payload": {"ms": run_ms}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_makes_the_same_schedules_twice_and_another_seed_others() {
        let made = |seed| often(&mut SplitMix(seed), 40);
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn every_rule_is_among_them_under_names_of_their_own() {
        let mut all = often(&mut SplitMix(1), 200);
        all.extend(missed());
        let names: BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        for overlap in OVERLAPS {
            let longer = all.iter().any(|(_, body)| {
                let run_ms = body["task"]["payload"]["ms"].as_u64();
                body["overlap"] == overlap && run_ms > body["every_ms"].as_u64()
            });
            assert!(longer, "{overlap}");
            for misfire in MISFIRES {
                let both = |body: &Value| body["overlap"] == overlap && body["misfire"] == misfire;
                assert!(
                    all.iter().any(|(_, body)| both(body)),
                    "{overlap} {misfire}"
                );
            }
        }
    }
}
