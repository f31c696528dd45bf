//! All verdicts on one history, and what they come to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::verdict::{Finding, Property, Verdict, Violation};
use crate::history::Setup;

/// 3 violations of one property are printed; all that are kept are in the JSON.
const PRINTED_MAX: usize = 3;

/// What came of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What makes the history again, where it has a seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What it comes to.
    pub overall: Overall,
    /// Why the log is not whole, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<String>,
    /// Properties that were to be exercised and were not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vacuous: Vec<Property>,
    /// One of each property.
    pub verdicts: Vec<Verdict>,
}

/// What verdicts come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// Each property held, and each that was to be was put to the test.
    Pass,
    /// A property was violated.
    Fail,
    /// Nothing was violated, and not all was put to the test.
    NotExercised,
    /// The log has a gap, so neither can be said.
    Unknown,
}

impl Judgement {
    pub(super) fn new(setup: Option<&Setup>, verdicts: Vec<Verdict>, gap: Option<String>) -> Self {
        let expects = setup.map_or(&[][..], |setup| &setup.expects);
        let expected = |property: &Property| expects.is_empty() || expects.contains(property);
        let vacuous: Vec<Property> = verdicts
            .iter()
            .filter(|verdict| {
                verdict.finding == Finding::NotExercised && expected(&verdict.property)
            })
            .map(|verdict| verdict.property)
            .collect();
        let violated = |verdict: &Verdict| matches!(verdict.finding, Finding::Violated { .. });
        let overall = if gap.is_some() {
            Overall::Unknown
        } else if verdicts.iter().any(violated) {
            Overall::Fail
        } else if vacuous.is_empty() {
            Overall::Pass
        } else {
            Overall::NotExercised
        };
        Self {
            seed: setup.and_then(|setup| setup.seed),
            overall,
            gap,
            vacuous,
            verdicts,
        }
    }

    /// The verdict on one property.
    pub fn of(&self, property: Property) -> Option<&Verdict> {
        let mut verdicts = self.verdicts.iter();
        verdicts.find(|verdict| verdict.property == property)
    }

    /// The properties that were violated, with their first evidence.
    pub fn violated(&self) -> impl Iterator<Item = (Property, &[Violation])> {
        self.verdicts.iter().filter_map(|verdict| {
            if let Finding::Violated { evidence, .. } = &verdict.finding {
                return Some((verdict.property, evidence.as_slice()));
            }
            None
        })
    }
}

/// The table for people.
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            let said = match &verdict.finding {
                Finding::Ok => "ok".to_owned(),
                Finding::NotExercised => "not exercised".to_owned(),
                Finding::Violated { count, .. } => format!("VIOLATED {count}"),
            };
            let measured: Vec<String> = verdict
                .measured
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            let row = format!(
                "{:<22} {said:<14} {:>8}  {}",
                verdict.property,
                verdict.exercised,
                measured.join(", ")
            );
            writeln!(f, "{}", row.trim_end())?;
            if let Finding::Violated { evidence, .. } = &verdict.finding {
                for violation in evidence.iter().take(PRINTED_MAX) {
                    writeln!(f, "    {violation}")?;
                }
            }
        }
        write!(f, "{:<22} {}", "overall", self.overall)?;
        if let Some(gap) = &self.gap {
            write!(f, ": {gap}")?;
        } else if self.overall == Overall::NotExercised {
            let names: Vec<&str> = self
                .vacuous
                .iter()
                .map(|property| property.name())
                .collect();
            write!(f, ": {}", names.join(", "))?;
        }
        if let Some(seed) = self.seed {
            write!(f, " (seed {seed})")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Overall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotExercised => "not exercised",
            Self::Unknown => "unknown",
        })
    }
}
