//! Stories of due times that were missed: each rule for them does exactly what it says, and what breaks it.

use serde_json::{Value as Json, json};

use super::scheduled::{Scheduled, caught_up, fired, run, skipped};
use super::{accepts, rejects};
use crate::check::Property;
use crate::history::NodeEvent;

const FIRES: Property = Property::SchedulesFireOnce;

/// A cluster that nobody leads until 300,100 ms; what is due every 10 s is decided then.
fn missed(spec: &Json, lines: &[Json], done: u64, made: &[(u8, u64)]) -> Scheduled {
    let mut story = Scheduled::new(10_000, spec);
    let node = |node: &str| NodeEvent::Crashed {
        node: node.to_owned(),
        incarnation: 1,
    };
    story.story.saw(node("a"));
    story.story.gone("a");
    story.story.gone("b");
    story.at(300_098).story.node("b");
    let term = story.story.stand("b");
    story.story.opens(term);
    story.decides(300_100, lines, done, made);
    story
}

#[test]
fn missed_ones_are_fired_as_their_rule_says() {
    // 10 to 270 s were missed, 280 s and later are late only.
    let late = [
        fired(280_000, 20_100),
        fired(290_000, 10_100),
        fired(300_000, 100),
    ];
    let now = [(7, 280_000), (8, 290_000), (9, 300_000)];
    let with = |lines: &[Json]| [lines, &late].concat();
    let also = |made: &[(u8, u64)]| [made, &now].concat();
    let told = |spec: Json, lines: &[Json], made: &[(u8, u64)]| {
        missed(&spec, &with(lines), 300_000, &also(made))
    };
    let skip = json!({"misfire": "skip"});
    let once = json!({"misfire": "fire_once"});
    let all = json!({"misfire": {"fire_all": 3}});
    let none = [run(10_000, 270_000, 27, 290_100, "misfire")];
    let latest = [
        run(10_000, 260_000, 26, 290_100, "misfire"),
        caught_up(270_000, 30_100),
    ];
    let three = [
        run(10_000, 240_000, 24, 290_100, "misfire"),
        caught_up(250_000, 50_100),
        caught_up(260_000, 40_100),
        caught_up(270_000, 30_100),
    ];
    let three_made = [(1, 250_000), (2, 260_000), (3, 270_000)];
    accepts(FIRES, told(skip.clone(), &none, &[]).ends(301_000));
    accepts(
        FIRES,
        told(once.clone(), &latest, &[(1, 270_000)]).ends(301_000),
    );
    accepts(FIRES, told(all.clone(), &three, &three_made).ends(301_000));

    let wrong = told(skip, &latest, &[(1, 270_000)]);
    rejects(FIRES, &wrong.story, "against the rule for missed ones");
    rejects(FIRES, &told(once.clone(), &none, &[]).story, "has it fired");
    rejects(
        FIRES,
        &told(all.clone(), &latest, &[(1, 270_000)]).story,
        "has it fired",
    );
    let wrong = told(once.clone(), &three, &three_made);
    rejects(FIRES, &wrong.story, "against the rule for missed ones");
    let early = [
        run(10_000, 250_000, 25, 290_100, "misfire"),
        caught_up(260_000, 40_100),
        skipped(270_000, 30_100, "misfire"),
    ];
    let wrong = told(once.clone(), &early, &[(1, 260_000)]);
    rejects(
        FIRES,
        &wrong.story,
        "due 260000, decided 40100 ms after it, is caught up on against",
    );

    // By the clock, though it was missed; as missed, though it was late only; and a run that counts one too few.
    let clock = [
        run(10_000, 260_000, 26, 290_100, "misfire"),
        fired(270_000, 30_100),
    ];
    let wrong = told(once.clone(), &clock, &[(1, 270_000)]);
    rejects(FIRES, &wrong.story, "is fired though it was missed");
    let mut lines = [none.as_slice(), &late].concat();
    lines[1] = skipped(280_000, 20_100, "misfire");
    let wrong = missed(&all, &lines, 300_000, &now[1..]);
    rejects(FIRES, &wrong.story, "though it was not missed");
    let few = [
        run(10_000, 260_000, 25, 290_100, "misfire"),
        caught_up(270_000, 30_100),
    ];
    rejects(
        FIRES,
        &told(once, &few, &[(1, 270_000)]).story,
        "about 25 due times, and there are 26",
    );

    // Two minutes are caught up on: what is older is beyond the window, and not within it.
    let window = json!({"misfire": {"fire_all": 100}, "catch_up_ms": 45_000});
    let lines = [
        run(10_000, 250_000, 25, 290_100, "window"),
        three[2].clone(),
        three[3].clone(),
    ];
    accepts(
        FIRES,
        told(window.clone(), &lines, &three_made[1..]).ends(301_000),
    );
    let lines = [
        run(10_000, 260_000, 26, 290_100, "window"),
        three[3].clone(),
    ];
    let wrong = told(window.clone(), &lines, &three_made[2..]);
    rejects(FIRES, &wrong.story, "though it could be caught up on");
    let wrong = told(window, &three, &three_made);
    rejects(
        FIRES,
        &wrong.story,
        "due 250000, decided 50100 ms after it, is caught up on against",
    );
}

#[test]
fn a_deadline_goes_first_and_by_its_number() {
    let spec = json!({"misfire": {"fire_all": 100}, "start_deadline_ms": 15_000});
    let told = |until: u64, times: u64, rest: &[Json], made: &[(u8, u64)]| {
        let mut lines = vec![run(10_000, until, times, 290_100, "deadline")];
        lines.extend_from_slice(rest);
        missed(&spec, &lines, 300_000, made)
    };
    let (one, two) = (fired(290_000, 10_100), fired(300_000, 100));
    accepts(
        FIRES,
        told(
            280_000,
            28,
            &[one.clone(), two.clone()],
            &[(1, 290_000), (2, 300_000)],
        )
        .ends(301_000),
    );
    let wrong = told(290_000, 29, std::slice::from_ref(&two), &[(2, 300_000)]);
    rejects(FIRES, &wrong.story, "is skipped before its deadline");
    let wrong = told(
        270_000,
        27,
        &[fired(280_000, 20_100), one, two],
        &[(3, 280_000), (1, 290_000), (2, 300_000)],
    );
    rejects(FIRES, &wrong.story, "is fired after its deadline");
}

#[test]
fn what_is_owed_is_fired_by_the_next_transaction() {
    let all = json!({"misfire": {"fire_all": 3}});
    let part = |owed: u64, until: u64, times: u64| {
        let lines = [run(10_000, until, times, 290_100, "misfire")];
        let mut after = missed(&all, &[], 1_500, &[]);
        after.owed = Some(owed);
        after.decides(300_100, &lines, until, &[]);
        after.owed = None;
        let rest = [
            caught_up(250_000, 51_100),
            caught_up(260_000, 41_100),
            caught_up(270_000, 31_100),
        ];
        let made = [(1, 250_000), (2, 260_000), (3, 270_000)];
        after.decides(301_100, &rest, 270_000, &made);
        after
    };
    accepts(FIRES, part(270_000, 240_000, 24).ends(302_000));
    let mut wrong = missed(&all, &[], 1_500, &[]);
    wrong.owed = Some(270_000);
    wrong.decides(
        300_100,
        &[run(10_000, 200_000, 20, 290_100, "misfire")],
        200_000,
        &[],
    );
    rejects(
        FIRES,
        &wrong.story,
        "owes what the rule for missed ones passes over",
    );
}
