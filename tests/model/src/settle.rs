//! What the end of some runs means for their tasks: which outcomes are written and what goes on.

use crate::etcd::{Attempt, Outcome, Place, Record, Run, Tally, Which};

/// How often a task may fail, and how often it may be the only one on a node that dies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    pub(crate) failures: u8,
    pub(crate) deaths: u8,
}

/// How a claim's runs ended, and what was known of the claim.
#[derive(Clone, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) run: Run,
    pub(crate) stopped: Which,
    pub(crate) endings: &'a [(Outcome, Which)],
    /// The node's process is gone: pieces go on alone, and a single task is charged.
    pub(crate) died: bool,
}

/// What a transaction on a claim writes besides the claim.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) records: Vec<(Place, u8, Record)>,
    pub(crate) mark: bool,
}

/// The claim afterwards, and what is written.
pub(crate) fn settle(ended: &Ended<'_>, budgets: Budgets) -> (Option<Run>, Settled) {
    let run = ended.run;
    let mut settled = Settled::default();
    let mut n = run.n + 1;
    let mut told = 0;
    for (outcome, which) in ended.endings {
        told |= which;
        let stopped = which & ended.stopped;
        let kept = if *outcome == Outcome::Succeeded {
            *which
        } else {
            which & !stopped
        };
        for (outcome, which) in [(*outcome, kept), (Outcome::Cancelled, which & !kept)] {
            if which != 0 {
                one(ended, budgets, (outcome, which), &mut n, &mut settled);
            }
        }
    }
    let left = run.which & !told;
    let finals = settled.attempts.iter().any(|attempt| !attempt.goes_on);
    settled.mark = finals && (left == 0 || !run.covers);
    let rest = (left != 0).then_some(Run {
        which: left,
        n,
        ..run
    });
    (rest, settled)
}

fn one(
    ended: &Ended<'_>,
    budgets: Budgets,
    (outcome, which): (Outcome, Which),
    n: &mut u8,
    settled: &mut Settled,
) {
    let before = ended.run.tally;
    let single = ended.run.which.is_power_of_two();
    let tally = match outcome {
        Outcome::Failed => Tally {
            failures: before.failures + 1,
            ..before
        },
        Outcome::Lost => Tally {
            deaths: before.deaths + u8::from(ended.died && single),
            ..before
        },
        Outcome::Succeeded | Outcome::Cancelled | Outcome::Returned | Outcome::Revived => before,
    };
    let place = match outcome {
        Outcome::Succeeded | Outcome::Cancelled => None,
        Outcome::Failed if tally.failures >= budgets.failures => Some(Place::Dead),
        Outcome::Failed => Some(Place::Due),
        Outcome::Lost if tally.deaths >= budgets.deaths => Some(Place::Dead),
        Outcome::Lost | Outcome::Returned | Outcome::Revived => Some(Place::Ready),
    };
    let alone = outcome == Outcome::Lost && ended.died && place == Some(Place::Ready);
    let pieces: Vec<Which> = if alone { singles(which) } else { vec![which] };
    for which in pieces {
        settled.attempts.push(Attempt {
            which,
            outcome,
            goes_on: place.is_some(),
        });
        let Some(place) = place else { continue };
        let record = Record {
            pack: ended.run.pack,
            which,
            tally,
        };
        let same = settled.records.iter_mut().find(|(there, _, other)| {
            outcome != Outcome::Lost && *there == place && other.tally == tally
        });
        if let Some((_, _, other)) = same {
            other.which |= which;
        } else {
            settled.records.push((place, *n, record));
            *n += 1;
        }
    }
}

/// Each task of a set by itself.
pub(crate) fn singles(which: Which) -> Vec<Which> {
    let bits = (0..8).map(|bit| 1 << bit);
    bits.filter(|bit| which & bit != 0).collect()
}
