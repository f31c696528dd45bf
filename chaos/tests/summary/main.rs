//! Reports of made histories: what they say, that they are well formed, and that chapters add up.

mod formats;
mod made;
mod rules;

use made::Plan;
use tenure_chaos::check::{Property, judge};
use tenure_chaos::history::History;
use tenure_chaos::summary::{Chapter, Expected, RunFacts, Summary};

/// A short plan that has faults of most kinds.
const PLAN: Plan = Plan {
    seed: 7,
    secs: 80,
    faults: 15,
    broken: false,
};

/// Names that have to be escaped wherever they are told.
const EVIL: &str = "<b>\"a\" & 'b'\u{1}</b>";

fn chapter(history: &History) -> Chapter {
    Chapter::of(history, &judge(history))
}

fn made(plan: Plan) -> Chapter {
    chapter(&made::history(plan))
}

/// Facts of a run that has to put only this to the test.
fn facts(properties: &[Property]) -> RunFacts {
    RunFacts {
        scenario: EVIL.to_owned(),
        about: EVIL.to_owned(),
        seed: 7,
        target: EVIL.to_owned(),
        nodes: 3,
        members: 3,
        duration_ms: 40_000,
        faults: made::KINDS.map(str::to_owned).into(),
        expected: Expected {
            properties: Some(properties.into()),
            faults: 3,
            kinds: 2,
        },
        command: format!("run {EVIL}"),
        directory: "/tmp/runs".to_owned(),
        histories: vec![EVIL.to_owned()],
        ..RunFacts::default()
    }
}

fn passing() -> Summary {
    Summary::of(facts(&[Property::OneActingLeader]), &[made(PLAN)])
}

fn failing() -> Summary {
    let broken = Plan {
        broken: true,
        ..PLAN
    };
    let properties = [Property::OneActingLeader];
    Summary::of(facts(&properties), &[made(PLAN), made(broken)])
}
