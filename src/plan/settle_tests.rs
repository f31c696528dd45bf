//! What endings mean, case by case.

use super::*;
use crate::task::{Backoff, PackId};

fn run(which: Which, tally: Tally) -> Run {
    Run {
        pack: PackId::floor(1),
        routing: crate::task::Routing {
            queue: "q".parse().unwrap(),
            kind: "k".parse().unwrap(),
            priority: crate::task::Priority::default(),
            needs: None,
        },
        which,
        size: 256,
        covers: which.len() == 256,
        tally,
        session: 3,
        instance: "i".to_owned(),
        term: 2,
        decided: 9,
        n: 0,
        ready_ms: 0,
        claimed_ms: 0,
        inline: None,
    }
}

fn ending(outcome: Outcome) -> Ending {
    Ending {
        outcome,
        started_ms: Some(1),
        finished_ms: 2,
        error: None,
        output: None,
        wait: None,
    }
}

fn settled(
    run: &Run,
    blame: bool,
    stopped: Which,
    endings: &[(Outcome, Which)],
) -> (Option<Run>, Settled) {
    let policy = Policy {
        max_attempts: 2,
        backoff: Backoff::default(),
        timeout_ms: None,
        on_lost: crate::task::OnLost::Stop,
    };
    let node = "n".parse().unwrap();
    let of = Of {
        run,
        fence: 11,
        node: &node,
        policy: Some(&policy),
        stopped,
        deaths_max: 2,
        blame,
        split: 16,
        draw: 0.0,
        now_ms: 1_000,
    };
    let endings = endings
        .iter()
        .map(|(outcome, which)| (ending(*outcome), *which))
        .collect();
    settle(of, &endings)
}

#[test]
fn a_failure_waits_once_and_is_dead_the_second_time() {
    let one = Which::only(7);
    let (rest, first) = settled(
        &run(one, Tally::default()),
        false,
        Which::NONE,
        &[(Outcome::Failed, one)],
    );
    assert!(rest.is_none() && !first.mark);
    assert_eq!(first.records[0].0, Place::Due(2_000));
    let tally = first.records[0].2.tally;
    assert_eq!(
        tally,
        Tally {
            attempts: 1,
            failures: 1,
            deaths: 0
        }
    );
    let (_, second) = settled(
        &run(one, tally),
        false,
        Which::NONE,
        &[(Outcome::Failed, one)],
    );
    assert_eq!(second.records[0].0, Place::Dead);
    assert!(!second.mark, "dead is not final");
}

#[test]
fn a_death_splits_the_record_and_only_a_single_is_blamed() {
    let all = Which::first(256);
    let (_, lost) = settled(
        &run(all, Tally::default()),
        false,
        Which::NONE,
        &[(Outcome::Lost, all)],
    );
    assert_eq!(lost.records.len(), 16);
    assert!(lost.records.iter().all(|(place, _, record)| {
        *place == Place::Ready && record.which.len() == 16 && record.tally.deaths == 0
    }));
    let one = Which::only(0);
    let tally = Tally {
        attempts: 4,
        failures: 1,
        deaths: 1,
    };
    let (_, killed) = settled(&run(one, tally), true, Which::NONE, &[(Outcome::Lost, one)]);
    assert_eq!(killed.records[0].0, Place::Dead);
    assert_eq!(
        killed.records[0].2.tally,
        Tally {
            attempts: 5,
            failures: 1,
            deaths: 2
        }
    );
    assert_eq!(killed.attempts[0].deaths, 2);
    assert!(lost.attempts.iter().all(|attempt| attempt.deaths == 0));
}

#[test]
fn what_a_user_stopped_is_cancelled_unless_it_had_succeeded() {
    let (ok, bad) = (Which::only(1), Which::only(2));
    let stopped = ok.or(bad);
    let endings = [(Outcome::Succeeded, ok), (Outcome::Failed, bad)];
    let (_, settled) = settled(&run(stopped, Tally::default()), false, stopped, &endings);
    let of = |which| {
        settled
            .attempts
            .iter()
            .find(|a| a.which == which)
            .unwrap()
            .outcome
    };
    assert_eq!((of(ok), of(bad)), (Outcome::Succeeded, Outcome::Cancelled));
    assert!(settled.records.is_empty() && settled.mark);
}

#[test]
fn what_is_handed_back_is_no_attempt() {
    let one = Which::only(3);
    let tally = Tally {
        attempts: 2,
        failures: 1,
        deaths: 1,
    };
    let (_, settled) = settled(
        &run(one, tally),
        false,
        Which::NONE,
        &[(Outcome::Returned, one)],
    );
    assert_eq!(settled.records[0].0, Place::Ready);
    assert_eq!(settled.records[0].2.tally, tally);
}

#[test]
fn what_is_deferred_waits_and_is_no_attempt() {
    let (one, other) = (Which::only(3), Which::only(4));
    let tally = Tally {
        attempts: 2,
        failures: 1,
        deaths: 1,
    };
    let (rest, settled) = settled(
        &run(one.or(other), tally),
        false,
        other,
        &[(Outcome::Deferred, one.or(other))],
    );
    assert!(rest.is_none() && settled.mark, "the other is cancelled");
    let [(Place::Due(ms), _, record)] = settled.records.as_slice() else {
        panic!("{:?}", settled.records)
    };
    assert!(*ms > 1_000, "never ready at once");
    assert_eq!((record.which, record.tally), (one, tally));
    let number = |outcome| {
        let of = |attempt: &&Attempt| attempt.outcome == outcome;
        settled.attempts.iter().find(of).map(|told| told.number)
    };
    assert_eq!(number(Outcome::Deferred), Some(2));
    assert_eq!(number(Outcome::Cancelled), Some(3));
}

#[test]
fn failures_with_different_errors_share_one_record() {
    let endings: BTreeMap<Ending, Which> = (0..=255_u8)
        .map(|i| {
            (
                Ending {
                    error: Some(i.to_string()),
                    ..ending(Outcome::Failed)
                },
                Which::only(i),
            )
        })
        .collect();
    let policy = Policy {
        max_attempts: 2,
        backoff: Backoff::default(),
        timeout_ms: None,
        on_lost: crate::task::OnLost::Stop,
    };
    let (node, run) = (
        "n".parse().unwrap(),
        run(Which::first(256), Tally::default()),
    );
    let of = Of {
        run: &run,
        fence: 1,
        node: &node,
        policy: Some(&policy),
        stopped: Which::NONE,
        deaths_max: 3,
        blame: false,
        split: 1,
        draw: 0.5,
        now_ms: 5,
    };
    let (_, settled) = settle(of, &endings);
    assert_eq!((settled.records.len(), settled.attempts.len()), (1, 256));
    assert_eq!(settled.records[0].2.which, Which::first(256));
}

#[test]
fn numbers_never_repeat_within_a_claim() {
    let all = Which::first(256);
    let endings = [
        (Outcome::Failed, Which::only(0)),
        (Outcome::Succeeded, Which::only(1)),
    ];
    let (rest, first) = settled(&run(all, Tally::default()), false, Which::NONE, &endings);
    let rest = rest.unwrap();
    assert_eq!((first.n, first.records[0].1, rest.n), (0, 1, 2));
    assert!(
        !first.mark,
        "a claim of the whole pack marks it with its last report only"
    );
    let left = rest.which;
    let (_, last) = settled(&rest, false, Which::NONE, &[(Outcome::Succeeded, left)]);
    assert_eq!(last.n, 2);
    assert!(last.mark);
}

#[test]
#[should_panic(expected = "a running task cannot be revived")]
fn a_run_ends_only_as_the_state_machine_allows() {
    let one = Which::only(0);
    settled(
        &run(one, Tally::default()),
        false,
        Which::NONE,
        &[(Outcome::Revived, one)],
    );
}
