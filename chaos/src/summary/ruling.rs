//! What chapters together come to: for each property, for each promise, and for all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::promises::{PROMISES, Promise};
use super::{Chapter, Expected};
use crate::check::{Finding, Overall, Property, Violation};

/// 5 violations of a property are kept; all are counted.
const EVIDENCE_MAX: usize = 5;

/// What is said of a property or a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It held wherever it was put to the test.
    Held,
    /// It did not hold.
    Violated,
    /// It was not put to the test.
    NotExercised,
    /// A log has a gap, so neither can be said.
    Unknown,
}

/// A promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    /// `P1` to `P10`.
    pub name: String,
    /// In a few words.
    pub title: String,
    /// What is promised.
    pub sentence: String,
    /// Violated where a property of it was; not exercised where one was to be exercised and was not, or none was.
    pub ruling: Ruling,
    /// How often its properties were put to the test.
    pub exercised: u64,
    /// What it is judged by.
    pub properties: Vec<Judged>,
}

/// A property over all chapters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Which.
    pub property: Property,
    /// What it says.
    pub sentence: String,
    /// What was found.
    pub ruling: Ruling,
    /// How often it was put to the test.
    pub exercised: u64,
    /// How often it was violated.
    pub violated: u64,
    /// What was measured besides: sums, and the greatest of times.
    pub measured: BTreeMap<String, u64>,
    /// The first violations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The chapter, from 1.
    pub chapter: u64,
    /// What was violated and where.
    #[serde(flatten)]
    pub violation: Violation,
}

/// All promises over these chapters; properties that are missing were to be exercised and were not.
pub(super) fn promises(chapters: &[Chapter], missing: &[Property]) -> Vec<Promised> {
    let all = PROMISES.iter();
    all.map(|promise| one(promise, chapters, missing)).collect()
}

fn one(promise: &Promise, chapters: &[Chapter], missing: &[Property]) -> Promised {
    let properties = promise.properties.iter();
    let properties: Vec<Judged> = properties.map(|one| judged(*one, chapters)).collect();
    let any = |ruling| properties.iter().any(|judged| judged.ruling == ruling);
    let lacks = promise.properties.iter().any(|own| missing.contains(own));
    let ruling = if any(Ruling::Violated) {
        Ruling::Violated
    } else if any(Ruling::Unknown) {
        Ruling::Unknown
    } else if lacks || !any(Ruling::Held) {
        Ruling::NotExercised
    } else {
        Ruling::Held
    };
    Promised {
        name: promise.name.to_owned(),
        title: promise.title.to_owned(),
        sentence: promise.sentence.to_owned(),
        ruling,
        exercised: properties.iter().map(|judged| judged.exercised).sum(),
        properties,
    }
}

fn judged(property: Property, chapters: &[Chapter]) -> Judged {
    let mut judged = Judged {
        property,
        sentence: property.sentence().to_owned(),
        ruling: Ruling::NotExercised,
        exercised: 0,
        violated: 0,
        measured: BTreeMap::new(),
        evidence: Vec::new(),
    };
    for (chapter, number) in chapters.iter().zip(1..) {
        judged.add(chapter, number);
    }
    let gap = chapters.iter().any(|chapter| chapter.gap.is_some());
    judged.ruling = if judged.violated > 0 {
        Ruling::Violated
    } else if gap {
        Ruling::Unknown
    } else if judged.exercised > 0 {
        Ruling::Held
    } else {
        Ruling::NotExercised
    };
    judged
}

impl Judged {
    /// Adds a chapter. What a log with a gap seems to violate is no violation: the recorder may have missed the cause.
    fn add(&mut self, chapter: &Chapter, number: u64) {
        let own = |verdict: &&crate::check::Verdict| verdict.property == self.property;
        let Some(verdict) = chapter.verdicts.iter().find(own) else {
            return;
        };
        self.exercised += verdict.exercised;
        for (name, value) in &verdict.measured {
            let all = self.measured.entry(name.clone()).or_default();
            *all = if greatest(name) {
                (*all).max(*value)
            } else {
                all.saturating_add(*value)
            };
        }
        if let (Finding::Violated { count, evidence }, None) = (&verdict.finding, &chapter.gap) {
            self.violated += count;
            let room = EVIDENCE_MAX - self.evidence.len().min(EVIDENCE_MAX);
            let more = evidence.iter().take(room).map(|violation| Evidence {
                chapter: number,
                violation: violation.clone(),
            });
            self.evidence.extend(more);
        }
    }
}

/// Whether a measure of several chapters is the greatest of theirs; else it is their sum.
fn greatest(name: &str) -> bool {
    name.contains("_ms") || name.starts_with("most") || name == "attempts"
}

/// Properties that were to be exercised and were not, in any chapter.
pub(super) fn missing(chapters: &[Chapter], expected: &Expected) -> Vec<Property> {
    let exercised = |property: &Property| {
        let mut verdicts = chapters.iter().flat_map(|chapter| &chapter.verdicts);
        verdicts.any(|verdict| verdict.property == *property && verdict.exercised > 0)
    };
    let wanted = |property: &Property| match &expected.properties {
        Some(properties) => properties.contains(property),
        None => chapters.iter().any(|one| one.vacuous.contains(property)),
    };
    let all = Property::ALL.into_iter();
    all.filter(|property| wanted(property) && !exercised(property))
        .collect()
}

/// What all come to, and why it is no pass.
pub(super) fn overall(
    chapters: &[Chapter],
    missing: &[Property],
    short: Vec<String>,
) -> (Overall, Vec<String>) {
    let mut failed = Vec::new();
    for (chapter, number) in chapters.iter().zip(1..) {
        if chapter.overall == Overall::Fail {
            let violated = |verdict: &&crate::check::Verdict| {
                matches!(verdict.finding, Finding::Violated { .. })
            };
            let names = chapter.verdicts.iter().filter(violated);
            let names: Vec<&str> = names.map(|verdict| verdict.property.name()).collect();
            failed.push(format!("chapter {number} violates {}", names.join(", ")));
        }
    }
    if !failed.is_empty() {
        return (Overall::Fail, failed);
    }
    let gaps = chapters.iter().zip(1..).filter_map(|(chapter, number)| {
        let gap = chapter.gap.as_ref()?;
        Some(format!("chapter {number}: {gap}"))
    });
    let gaps: Vec<String> = gaps.collect();
    if !gaps.is_empty() {
        return (Overall::Unknown, gaps);
    }
    let lacks = missing
        .iter()
        .map(|property| format!("{property} was not put to the test"));
    let mut lacks: Vec<String> = lacks.collect();
    lacks.extend(short);
    if chapters.is_empty() {
        lacks.push("no history was judged".to_owned());
    }
    let overall = if lacks.is_empty() {
        Overall::Pass
    } else {
        Overall::NotExercised
    };
    (overall, lacks)
}
