//! What the end of some runs means for their tasks: which outcomes are written and what goes on; never draws or reads a clock.
//!
//! Both ways a claim ends come here: a node's report on its own runs, and the leader's reclaim of a dead node's.

use std::collections::BTreeMap;

use crate::store::{Attempt, Next, Place, Record, Run, Settled};
use crate::task::{After, Name, Outcome, Output, Policy, Tally, Which, after_death, after_failure};

/// How runs of a claim ended; tasks that share everything share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// When they started, in milliseconds since 1970; none where that is not known or they did not.
    pub started_ms: Option<u64>,
    /// When they ended.
    pub finished_ms: u64,
    /// What went wrong.
    pub error: Option<String>,
    /// What they left behind.
    pub output: Option<Output>,
}

/// What is known about the claim whose runs ended.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The claim as it was seen.
    pub run: &'a Run,
    /// Its create revision.
    pub fence: i64,
    /// Its node.
    pub node: &'a Name,
    /// The retry policy; only a report knows it, and only a report needs it.
    pub policy: Option<&'a Policy>,
    /// What a user wants stopped: it does not go on, whatever its outcome says.
    pub stopped: Which,
    /// How many node deaths a task survives.
    pub deaths_max: u32,
    /// Whether a death is charged: the claim holds a single task, and its node's process is gone.
    pub blame: bool,
    /// In how many pieces at most what is lost goes on, so that one killer does not condemn its companions.
    pub split: usize,
    /// A draw in 0..1 for the backoff's jitter; one for all of a report, since they share a record.
    pub draw: f64,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// The claim after these endings (none when nothing is left of it) and what its transaction writes.
pub fn settle(of: Of<'_>, endings: &BTreeMap<Ending, Which>) -> (Option<Run>, Settled) {
    let mut settled = Settled {
        n: of.run.n,
        ..Settled::default()
    };
    let mut n = of.run.n + 1;
    let mut ended = Which::NONE;
    for (ending, which) in endings {
        ended = ended.or(*which);
        let stopped = which.and(of.stopped);
        let kept = if ending.outcome == Outcome::Succeeded {
            *which
        } else {
            which.minus(stopped)
        };
        for (outcome, which) in [
            (ending.outcome, kept),
            (Outcome::Cancelled, which.minus(kept)),
        ] {
            if !which.is_empty() {
                let ending = Ending {
                    outcome,
                    ..ending.clone()
                };
                one(of, &ending, which, &mut n, &mut settled);
            }
        }
    }
    let left = of.run.which.minus(ended);
    let finals = settled
        .attempts
        .iter()
        .any(|attempt| attempt.next.is_none());
    settled.mark = finals && (left.is_empty() || !of.run.covers);
    let rest = (!left.is_empty()).then(|| Run {
        which: left,
        n,
        ..of.run.clone()
    });
    (rest, settled)
}

/// One outcome: its line in the results, and a record where its tasks go on.
fn one(of: Of<'_>, ending: &Ending, which: Which, n: &mut u32, settled: &mut Settled) {
    let before = of.run.tally;
    let tally = counted(before, ending.outcome, of.blame);
    let after = match ending.outcome {
        Outcome::Succeeded | Outcome::Cancelled => None,
        Outcome::Failed | Outcome::Timeout => {
            let policy = of
                .policy
                .expect("only a report has failures, and it knows the policy");
            Some(after_failure(policy, tally, of.draw))
        }
        Outcome::Lost => Some(after_death(of.deaths_max, tally)),
        Outcome::Returned | Outcome::Revived => Some(After::Again(std::time::Duration::ZERO)),
    };
    let pieces = match after {
        Some(After::Again(_)) if ending.outcome == Outcome::Lost => {
            which.split(piece(which, of.split))
        }
        Some(After::Again(_) | After::Dead) | None => vec![which],
    };
    for which in pieces {
        let next = after.map(|after| {
            let place = whereto(after, of.now_ms);
            if let Some(n) = joined(settled, place, ending.outcome, which, tally) {
                return lead(place, n);
            }
            settled
                .records
                .push((place, *n, goes_on(of, which, tally, ending)));
            *n += 1;
            lead(place, *n - 1)
        });
        settled.attempts.push(Attempt {
            which,
            outcome: ending.outcome,
            number: tally.attempts,
            deaths: tally.deaths,
            node: Some(of.node.clone()),
            fence: of.fence,
            started_ms: ending.started_ms,
            finished_ms: ending.finished_ms,
            error: ending.error.clone(),
            output: ending.output.clone(),
            next,
        });
    }
}

fn counted(before: Tally, outcome: Outcome, blame: bool) -> Tally {
    let ran = Tally {
        attempts: before.attempts + 1,
        ..before
    };
    match outcome {
        Outcome::Succeeded | Outcome::Cancelled => ran,
        Outcome::Failed | Outcome::Timeout => Tally {
            failures: ran.failures + 1,
            ..ran
        },
        Outcome::Lost => Tally {
            deaths: ran.deaths + u32::from(blame),
            ..ran
        },
        Outcome::Returned | Outcome::Revived => before,
    }
}

fn piece(which: Which, pieces: usize) -> usize {
    which.len().div_ceil(pieces.max(1)).max(1)
}

fn whereto(after: After, now_ms: u64) -> Place {
    match after {
        After::Dead => Place::Dead,
        After::Again(wait) if wait.is_zero() => Place::Ready,
        After::Again(wait) => {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            Place::Due(now_ms.saturating_add(wait_ms))
        }
    }
}

fn lead(place: Place, n: u32) -> Next {
    match place {
        Place::Ready => Next::Ready { n },
        Place::Due(ms) => Next::Due { ms, n },
        Place::Dead => Next::Dead { n },
    }
}

/// Adds tasks to a record that this transaction writes anyway: 256 failures with 256 error texts are one record, else they would
/// pass etcd's 128 operations. What is lost stays apart, because it was split on purpose.
fn joined(
    settled: &mut Settled,
    place: Place,
    outcome: Outcome,
    which: Which,
    tally: Tally,
) -> Option<u32> {
    if outcome == Outcome::Lost {
        return None;
    }
    let same =
        |(there, _, record): &&mut (Place, u32, Record)| *there == place && record.tally == tally;
    let (_, n, record) = settled.records.iter_mut().find(same)?;
    record.which = record.which.or(which);
    Some(*n)
}

fn goes_on(of: Of<'_>, which: Which, tally: Tally, ending: &Ending) -> Record {
    Record {
        routing: of.run.routing.clone(),
        which,
        size: of.run.size,
        tally,
        since_ms: of.now_ms,
        why: ending.error.clone(),
        inline: of.run.inline.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Backoff, PackId};

    fn run(which: Which, tally: Tally) -> Run {
        Run {
            pack: PackId::floor(1),
            routing: crate::task::Routing {
                queue: "q".parse().unwrap(),
                kind: "k".parse().unwrap(),
                priority: crate::task::Priority::default(),
            },
            which,
            size: 256,
            covers: which.len() == 256,
            tally,
            session: 3,
            term: 2,
            decided: 9,
            n: 0,
            ready_ms: 0,
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
}
