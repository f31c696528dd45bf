//! Writes reports of made histories, to look at: `cargo run -p tenure-chaos --example summary -- DIRECTORY`. There is a run of 90 s
//! with 15 faults, one of an hour with 300 in 12 chapters, and one that fails.

#[path = "../tests/summary/made.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod made;

use made::Plan;
use std::path::Path;
use tenure_chaos::check::{Property, judge};
use tenure_chaos::summary::{Chapter, Expected, RunFacts, Summary, write_all};

/// What made histories put to the test.
const TESTED: [Property; 9] = [
    Property::AcceptedNeverLost,
    Property::OneTerminalState,
    Property::OneActingLeader,
    Property::AttemptsBounded,
    Property::ConcurrentRuns,
    Property::ReclaimBounded,
    Property::FailoverBounded,
    Property::NothingFromNowhere,
    Property::Heals,
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("a directory is missing")?;
    let plan = Plan {
        seed: 7,
        secs: 90,
        faults: 15,
        broken: false,
    };
    let broken = Plan {
        broken: true,
        ..plan
    };
    for (name, plan, chapters) in [
        ("short", plan, 1),
        ("failing", broken, 1),
        (
            "hour",
            Plan {
                secs: 300,
                faults: 25,
                ..plan
            },
            12,
        ),
    ] {
        let chapters = (0..chapters).map(|nth| {
            let history = made::history(Plan {
                seed: plan.seed + nth,
                ..plan
            });
            Chapter::of(&history, &judge(&history))
        });
        let chapters: Vec<Chapter> = chapters.collect();
        let own = Path::new(&directory).join(name);
        std::fs::create_dir_all(&own)?;
        let summary = Summary::of(facts(name, &own, &plan), &chapters);
        write_all(&own, &summary)?;
    }
    Ok(())
}

fn facts(name: &str, directory: &Path, plan: &Plan) -> RunFacts {
    RunFacts {
        cut_short: 0,
        scenario: name.to_owned(),
        about: "A made history, to look at a report.".to_owned(),
        seed: plan.seed,
        target: "processes on this machine".to_owned(),
        version: "0.1.0".to_owned(),
        nodes: 3,
        members: 3,
        started: "2026-11-22 03:00:00 UTC".to_owned(),
        duration_ms: plan.secs * 1_000,
        faults: made::KINDS.map(str::to_owned).into(),
        expected: Expected {
            properties: Some(TESTED.into()),
            faults: 5,
            kinds: 3,
        },
        command: format!("tenure-chaos run --scenario {name} --seed {}", plan.seed),
        directory: directory.display().to_string(),
        histories: vec!["chapter-1.jsonl".to_owned()],
    }
}
