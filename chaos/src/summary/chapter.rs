//! What is kept of one judged history: small and bounded, whatever the history's size, so that a long run has one history in
//! memory at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::explain::{self, Explained};
use super::faults::{Bar, FaultCounts, Faults};
use super::samples::{Samples, Series};
use crate::check::course::{self, Course};
use crate::check::{Finding, Judgement, Limits, Overall, Property, Verdict};
use crate::history::{Effect, Entry, History, Run};

/// 5 violations of a property are kept of a chapter; all are counted.
const EVIDENCE_MAX: usize = 5;
/// 1,000 reigns of a chapter are drawn.
const REIGNS_MAX: usize = 1_000;

/// What is kept of one history and its judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// What it came to.
    pub overall: Overall,
    /// Why its log is not whole, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<String>,
    /// Properties that it was to exercise and did not.
    pub vacuous: Vec<Property>,
    /// Of each property, with the first violations.
    pub verdicts: Vec<Verdict>,
    /// The bounds that it was held to.
    pub limits: Limits,
    /// What was asked for and done.
    pub counts: Counts,
    /// Faults by kind.
    pub faults: BTreeMap<String, FaultCounts>,
    /// From the end of a session to the end of each of its claims.
    pub reclaims: Samples,
    /// From the death of a process to the end of each of its claims.
    pub reclaims_from_crash: Samples,
    /// What is drawn of it.
    pub track: Track,
    /// Its first violation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
}

/// What was asked for and done. All of it adds up over chapters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Calls by what they asked for.
    pub calls: BTreeMap<String, Calls>,
    /// Tasks that were accepted.
    pub accepted: u64,
    /// How they ended: `succeeded`, `cancelled` or `dead`. The others are open.
    pub ended: BTreeMap<String, u64>,
    /// Runs that the witness saw.
    pub runs: Runs,
    /// Acts on guarded resources that were accepted.
    pub effects_accepted: u64,
    /// Acts that were refused for their fence.
    pub effects_refused: u64,
}

/// How calls ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Done.
    pub ok: u64,
    /// Certainly not done.
    pub failed: u64,
    /// Nobody knows.
    pub unknown: u64,
}

/// How runs ended, says the witness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// They began.
    pub begun: u64,
    /// They did what they should.
    pub well: u64,
    /// They did not.
    pub badly: u64,
}

/// What is drawn of a chapter. Times are milliseconds from its begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// How long it lasted.
    pub length_ms: u64,
    /// Until when there was a node that could lead.
    pub nodes_until_ms: u64,
    /// Who led.
    pub reigns: Vec<Reign>,
    /// Which faults were there.
    pub bars: Vec<Bar>,
    /// Tasks that ended.
    pub ended: Series,
    /// From the end of a leader's key to the first act of the next term.
    pub failovers: Samples,
    /// From the death of a leader's process to the first act of the next term.
    pub failovers_from_crash: Samples,
}

/// One leader's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reign {
    /// Its node.
    pub node: String,
    /// When it first acted; none where it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted_ms: Option<u64>,
    /// When its process died or its key went.
    pub until_ms: u64,
}

impl Chapter {
    /// Of a history and what it was judged to be.
    pub fn of(history: &History, judgement: &Judgement) -> Self {
        let (start_ms, end_ms) = span(history);
        let course = course::course(history);
        let faults = Faults::of(history, start_ms, end_ms);
        Self {
            overall: judgement.overall,
            gap: judgement.gap.clone(),
            vacuous: judgement.vacuous.clone(),
            verdicts: judgement.verdicts.iter().map(cut).collect(),
            limits: history
                .setup()
                .map_or_else(Limits::default, |setup| setup.limits.clone()),
            counts: counts(history, &course),
            faults: faults.counts,
            reclaims: Samples::of(&course.reclaims, start_ms),
            reclaims_from_crash: Samples::of(&course.reclaims_from_crash, start_ms),
            track: track(&course, faults.bars, start_ms, end_ms),
            explained: explain::first(history, judgement, start_ms),
        }
    }
}

/// When the first and the last thing was seen. The setup is no such thing: it may be put down at 0 of any clock.
fn span(history: &History) -> (u64, u64) {
    let seen = history.records().iter();
    let seen = seen.filter(|record| !matches!(record.entry, Entry::Setup(_)));
    let (start, end) = seen.fold((u64::MAX, 0), |(start, end), record| {
        (record.at_ms.min(start), record.at_ms.max(end))
    });
    (start.min(end), end)
}

fn cut(verdict: &Verdict) -> Verdict {
    let mut verdict = verdict.clone();
    if let Finding::Violated { evidence, .. } = &mut verdict.finding {
        evidence.truncate(EVIDENCE_MAX);
    }
    verdict
}

fn track(course: &Course, bars: Vec<Bar>, start_ms: u64, end_ms: u64) -> Track {
    let length_ms = end_ms - start_ms;
    let since = |at_ms: u64| at_ms.saturating_sub(start_ms);
    let reigns = course.reigns.iter().take(REIGNS_MAX).map(|led| Reign {
        node: led.node.clone(),
        acted_ms: led.acted_ms.map(since),
        until_ms: since(led.until_ms),
    });
    Track {
        length_ms,
        nodes_until_ms: since(course.nodes_until_ms),
        reigns: reigns.collect(),
        bars,
        ended: Series::of(
            course.ended.iter().map(|(_, at_ms)| since(*at_ms)),
            length_ms,
        ),
        failovers: Samples::of(&course.failovers, start_ms),
        failovers_from_crash: Samples::of(&course.failovers_from_crash, start_ms),
    }
}

fn counts(history: &History, course: &Course) -> Counts {
    let mut counts = Counts {
        accepted: course.accepted,
        ..Counts::default()
    };
    for (op, called) in &course.calls {
        let calls = Calls {
            ok: called.ok,
            failed: called.failed,
            unknown: called.unknown,
        };
        counts.calls.insert((*op).to_owned(), calls);
    }
    for (how, _) in &course.ended {
        *counts.ended.entry((*how).to_owned()).or_default() += 1;
    }
    for record in history.records() {
        counts.witnessed(&record.entry);
    }
    counts
}

impl Runs {
    /// Those of which no end was seen: their process died.
    pub fn unended(&self) -> u64 {
        self.begun.saturating_sub(self.well + self.badly)
    }
}

impl Counts {
    fn witnessed(&mut self, entry: &Entry) {
        if let Entry::RunStarted(Run { .. }) = entry {
            self.runs.begun += 1;
        } else if let Entry::RunEnded { well, .. } = entry {
            self.runs.well += u64::from(*well);
            self.runs.badly += u64::from(!*well);
        } else if let Entry::Effect(Effect {
            gate: Some(_),
            done,
            ..
        }) = entry
        {
            self.effects_accepted += u64::from(*done);
            self.effects_refused += u64::from(!*done);
        }
    }

    /// Adds those of another chapter.
    pub(super) fn add(&mut self, other: &Self) {
        for (op, calls) in &other.calls {
            let own = self.calls.entry(op.clone()).or_default();
            own.ok += calls.ok;
            own.failed += calls.failed;
            own.unknown += calls.unknown;
        }
        self.accepted += other.accepted;
        for (how, times) in &other.ended {
            *self.ended.entry(how.clone()).or_default() += times;
        }
        self.runs.begun += other.runs.begun;
        self.runs.well += other.runs.well;
        self.runs.badly += other.runs.badly;
        self.effects_accepted += other.effects_accepted;
        self.effects_refused += other.effects_refused;
    }

    /// Tasks that were accepted and have not ended.
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.ended.values().sum())
    }
}
