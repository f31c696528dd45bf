//! The report of a run: what judged histories come to, as JSON, `JUnit`, a picture, a page and text for a terminal. Pure but
//! for [`write_all`]; it never judges by itself and never reads a clock.
//!
//! A run has chapters, each the life of one cluster with a history of its own. A history may be large, so each becomes a
//! small [`Chapter`] as soon as it is judged, and the [`Summary`] is made of these.
//!
//! ```
//! use tenure_chaos::check::{self, Limits, Overall};
//! use tenure_chaos::history::{History, Marker};
//! use tenure_chaos::summary::{self, Chapter, RunFacts, Summary};
//!
//! let mut history = History::new("/tenure/default/", Limits::default());
//! history.push(7, Marker::Sealed { revision: 1 });
//! let chapter = Chapter::of(&history, &check::judge(&history));
//! drop(history);
//!
//! let summary = Summary::of(RunFacts::default(), &[chapter]);
//! assert_eq!(summary.overall, Overall::NotExercised);
//! assert!(summary::text(&summary).starts_with("NOT EXERCISED"));
//! ```

mod chapter;
mod draw;
mod explain;
mod facts;
mod faults;
mod files;
mod html;
mod junit;
mod plot;
mod png;
mod promises;
mod ruling;
mod samples;
mod text;
mod times;
mod words;
mod xml;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::check::{Limits, Overall};

pub use chapter::{Calls, Chapter, Counts, Reign, Runs, Track};
pub use explain::{Explained, Moment};
pub use facts::{Expected, RunFacts};
pub use faults::{Bar, FaultCounts};
pub use files::{Error, write_all};
pub use html::html;
pub use junit::junit;
pub use plot::plot;
pub use png::{PngError, png};
pub use ruling::{Evidence, Judged, Promised, Ruling};
pub use samples::{Percentiles, Samples, Series};
pub use text::text;
pub use times::{Leadership, Timing};

/// 1,000 times of one sort and chapter are drawn.
const DRAWN_MAX: usize = 1_000;

/// All that is told of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What it comes to.
    pub overall: Overall,
    /// Why that is no pass, where it is none.
    pub because: Vec<String>,
    /// What was run.
    pub run: RunFacts,
    /// How long all chapters lasted, in milliseconds.
    pub length_ms: u64,
    /// The promises.
    pub promises: Vec<Promised>,
    /// The first violation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_violation: Option<Explained>,
    /// What was asked for and done.
    pub counts: Counts,
    /// Faults by kind; those that were asked for and never tried have zeros.
    pub faults: BTreeMap<String, FaultCounts>,
    /// How long things took that are bounded.
    pub times: Vec<Timing>,
    /// Who led.
    pub leadership: Leadership,
    /// The bounds that histories were held to.
    pub limits: Limits,
    /// What is drawn, by chapter.
    pub tracks: Vec<Track>,
}

impl Summary {
    /// Of a run and all its chapters, in order.
    pub fn of(run: RunFacts, chapters: &[Chapter]) -> Self {
        let faults = faults(&run, chapters);
        let missing = ruling::missing(chapters, &run.expected);
        let short = short(&run.expected, &faults);
        let (overall, because) = ruling::overall(chapters, &missing, short);
        let mut counts = Counts::default();
        for chapter in chapters {
            counts.add(&chapter.counts);
        }
        let limits = chapters.first();
        let limits = limits.map_or_else(Limits::default, |first| first.limits.clone());
        Self {
            overall,
            because,
            length_ms: chapters.iter().map(|one| one.track.length_ms).sum(),
            promises: ruling::promises(chapters, &missing),
            first_violation: first_violation(chapters),
            counts,
            faults,
            times: times::times(chapters, &limits),
            leadership: Leadership::of(chapters.iter().map(|chapter| &chapter.track)),
            limits,
            tracks: chapters.iter().map(drawn).collect(),
            run,
        }
    }

    /// Every property once, in the order of the promises.
    pub fn properties(&self) -> impl Iterator<Item = &Judged> {
        let mut told = BTreeSet::new();
        let all = self.promises.iter().flat_map(|promise| &promise.properties);
        all.filter(move |judged| told.insert(judged.property.name()))
    }
}

/// The report for programs.
///
/// # Panics
/// Never: all of it can be said in JSON.
pub fn json(summary: &Summary) -> String {
    serde_json::to_string_pretty(summary).expect("keys are strings, and no number is a float")
}

fn faults(run: &RunFacts, chapters: &[Chapter]) -> BTreeMap<String, FaultCounts> {
    let asked = run.faults.iter();
    let mut faults: BTreeMap<String, FaultCounts> = asked
        .map(|kind| (kind.clone(), FaultCounts::default()))
        .collect();
    for (kind, counts) in chapters.iter().flat_map(|chapter| &chapter.faults) {
        faults.entry(kind.clone()).or_default().add(counts);
    }
    faults
}

/// What a run has too little of.
fn short(expected: &Expected, faults: &BTreeMap<String, FaultCounts>) -> Vec<String> {
    let made: u64 = faults.values().map(|one| one.installed).sum();
    let kinds = faults.values().filter(|one| one.installed > 0).count();
    let kinds = u64::try_from(kinds).unwrap_or(u64::MAX);
    let mut short = Vec::new();
    if made < expected.faults {
        short.push(format!(
            "{made} faults were made, {} are needed",
            expected.faults
        ));
    }
    if kinds < expected.kinds {
        short.push(format!(
            "{kinds} kinds of faults were made, {} are needed",
            expected.kinds
        ));
    }
    short
}

/// That of the first chapter that fails; where only a log with a gap seems to violate something, nothing is told.
fn first_violation(chapters: &[Chapter]) -> Option<Explained> {
    let mut failing = chapters.iter().zip(1..);
    let (chapter, number) = failing.find(|(chapter, _)| chapter.overall == Overall::Fail)?;
    let explained = chapter.explained.clone()?;
    Some(Explained {
        chapter: number,
        ..explained
    })
}

fn drawn(chapter: &Chapter) -> Track {
    let track = chapter.track.clone();
    Track {
        failovers: track.failovers.thinned(DRAWN_MAX),
        failovers_from_crash: track.failovers_from_crash.thinned(DRAWN_MAX),
        ..track
    }
}
