//! Which faults were made, which were not and why, and how long they lasted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{Entry, History, Injection, Stage};

/// 1,000 faults of a chapter are drawn; all are counted.
const DRAWN_MAX: usize = 1_000;
/// 5 reasons of one kind are kept, of 200 characters each; all are counted.
const REASONS_MAX: usize = 5;
const REASON_CHARS: usize = 200;

/// What became of the faults of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts {
    /// So many were made.
    pub installed: u64,
    /// So many could not be made.
    pub skipped: u64,
    /// Of so many nobody knows whether they were there, in part or as a whole.
    pub indeterminate: u64,
    /// How long all of them lasted, from installed to healed, in milliseconds.
    pub lasted_ms: u64,
    /// So many were never healed.
    pub unhealed: u64,
    /// Why some were skipped or are indeterminate, and how often.
    pub reasons: BTreeMap<String, u64>,
}

/// One fault's time in a chapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Its kind.
    pub kind: String,
    /// When it was installed, in milliseconds from the begin of the chapter.
    pub from_ms: u64,
    /// When it was healed, or the chapter ended.
    pub to_ms: u64,
    /// Whether it is known to have been there.
    pub certain: bool,
}

/// All faults of a chapter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) counts: BTreeMap<String, FaultCounts>,
    pub(super) bars: Vec<Bar>,
}

impl Faults {
    /// Of a history that began and ended at these instants.
    pub(super) fn of(history: &History, start_ms: u64, end_ms: u64) -> Self {
        let mut faults = Self::default();
        let mut open: BTreeMap<u64, Bar> = BTreeMap::new();
        for (at_ms, injection) in injections(history) {
            let at_ms = at_ms.saturating_sub(start_ms);
            faults.stage(at_ms, &injection, &mut open);
        }
        for (_, bar) in open {
            let counts = faults.counts.entry(bar.kind.clone()).or_default();
            counts.unhealed += 1;
            faults.over(bar, end_ms.saturating_sub(start_ms));
        }
        faults.bars.sort_by_key(|bar| bar.from_ms);
        faults.bars.truncate(DRAWN_MAX);
        faults
    }

    fn stage(&mut self, at_ms: u64, injection: &Injection, open: &mut BTreeMap<u64, Bar>) {
        let counts = self.counts.entry(injection.kind.clone()).or_default();
        if let (Stage::Skipped | Stage::Indeterminate, Some(why)) =
            (injection.stage, &injection.why)
        {
            counts.reason(why);
        }
        let certain = match injection.stage {
            Stage::Installed => {
                counts.installed += 1;
                true
            }
            Stage::Skipped => {
                counts.skipped += 1;
                return;
            }
            Stage::Indeterminate => {
                counts.indeterminate += 1;
                false
            }
            Stage::Healed => {
                if let Some(bar) = open.remove(&injection.number) {
                    self.over(bar, at_ms);
                }
                return;
            }
        };
        let bar = Bar {
            kind: injection.kind.clone(),
            from_ms: at_ms,
            to_ms: at_ms,
            certain,
        };
        open.insert(injection.number, bar);
    }

    fn over(&mut self, mut bar: Bar, at_ms: u64) {
        bar.to_ms = at_ms.max(bar.from_ms);
        let counts = self.counts.entry(bar.kind.clone()).or_default();
        counts.lasted_ms += bar.to_ms - bar.from_ms;
        self.bars.push(bar);
    }
}

/// The injections; where a history has none, its faults told as such.
fn injections(history: &History) -> Vec<(u64, Injection)> {
    let records = history.records().iter();
    let own = records.filter_map(|record| {
        if let Entry::Injection(injection) = &record.entry {
            return Some((record.at_ms, injection.clone()));
        }
        None
    });
    let own: Vec<(u64, Injection)> = own.collect();
    if own.is_empty() { told(history) } else { own }
}

fn told(history: &History) -> Vec<(u64, Injection)> {
    let mut all: Vec<(u64, Injection)> = Vec::new();
    let mut open: BTreeMap<u64, String> = BTreeMap::new();
    let step = |number, kind, stage| Injection {
        number,
        kind,
        stage,
        targets: Vec::new(),
        why: None,
    };
    for record in history.records() {
        let at_ms = record.at_ms;
        if let Entry::Fault(fault) = &record.entry {
            let kind = serde_json::to_value(fault.kind).ok();
            let kind = kind.as_ref().and_then(|kind| kind.as_str());
            let kind = kind.unwrap_or_default().replace('_', "-");
            all.push((at_ms, step(fault.id, kind.clone(), Stage::Installed)));
            open.insert(fault.id, kind);
        } else if let Entry::Healed { id } = &record.entry {
            let healed = open.remove(id);
            all.extend(healed.map(|kind| (at_ms, step(*id, kind, Stage::Healed))));
        } else if let Entry::AllHealed = &record.entry {
            let healed = std::mem::take(&mut open).into_iter();
            all.extend(healed.map(|(id, kind)| (at_ms, step(id, kind, Stage::Healed))));
        }
    }
    all
}

impl FaultCounts {
    fn reason(&mut self, why: &str) {
        let why: String = why.chars().take(REASON_CHARS).collect();
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&why) {
            *self.reasons.entry(why).or_default() += 1;
        }
    }

    /// Adds those of another chapter.
    pub(super) fn add(&mut self, other: &Self) {
        self.installed += other.installed;
        self.skipped += other.skipped;
        self.indeterminate += other.indeterminate;
        self.lasted_ms += other.lasted_ms;
        self.unhealed += other.unhealed;
        for (why, times) in &other.reasons {
            if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(why) {
                *self.reasons.entry(why.clone()).or_default() += times;
            }
        }
    }
}
