//! The first violation of a chapter, told so that a person can follow it: what was promised, what was seen, and what was
//! written and broken around it.

use serde::{Deserialize, Serialize};

use super::promises;
use crate::check::keyspace::{self, Key};
use crate::check::{Judgement, Property, Violation};
use crate::history::{Entry, History, Injection, NodeEvent, Record, Stage, StoreEvent};

/// 12 lines are told: more is not read.
const LINES_MAX: usize = 12;
/// 2 of them are faults and deaths, where there are so many.
const FAULT_LINES: usize = 2;
/// 3 of them are elections and terms.
const LEADER_LINES: usize = 3;
/// 10,000 ms before a violation a fault may still be its cause.
const CAUSE_MS: u64 = 10_000;
/// 72 characters of a value are told.
const VALUE_CHARS: usize = 72;
/// 6 revisions and ids are told.
const NAMED_MAX: usize = 6;

/// The first violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The chapter, from 1.
    pub chapter: u64,
    /// What was violated.
    pub property: Property,
    /// `P1` to `P10`.
    pub promise: String,
    /// What the property says.
    pub promised: String,
    /// What was seen instead.
    pub seen: String,
    /// How often the property was violated in that chapter.
    pub times: u64,
    /// Revisions of the store that show it.
    pub revisions: Vec<i64>,
    /// Tasks, keys or nodes that show it.
    pub ids: Vec<String>,
    /// What happened around, in order.
    pub lines: Vec<Moment>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, in milliseconds from the begin of the chapter.
    pub at_ms: u64,
    /// At which revision of the store, where it was a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// What.
    pub what: String,
    /// Whether it is the violation itself.
    pub cited: bool,
}

/// Explains the violation at the lowest revision; none where nothing was violated.
pub(super) fn first(history: &History, judgement: &Judgement, start_ms: u64) -> Option<Explained> {
    let firsts = judgement
        .violated()
        .filter_map(|(property, evidence)| Some((property, evidence.first()?)));
    let earliest = |(_, violation): &(Property, &Violation)| {
        violation
            .revisions
            .iter()
            .min()
            .copied()
            .unwrap_or(i64::MAX)
    };
    let (property, violation) = firsts.min_by_key(earliest)?;
    let promise = promises::promise_of(property)?;
    Some(Explained {
        chapter: 1,
        property,
        promise: promise.name.to_owned(),
        promised: property.sentence().to_owned(),
        seen: violation.what.clone(),
        times: times(judgement, property),
        revisions: violation
            .revisions
            .iter()
            .take(NAMED_MAX)
            .copied()
            .collect(),
        ids: violation.ids.iter().take(NAMED_MAX).cloned().collect(),
        lines: Around::of(history, violation).lines(start_ms),
    })
}

fn times(judgement: &Judgement, property: Property) -> u64 {
    let finding = judgement.of(property).map(|verdict| &verdict.finding);
    if let Some(crate::check::Finding::Violated { count, .. }) = finding {
        return *count;
    }
    0
}

/// Which records are told, by their place.
type Sort<'h> = fn(&Around<'h>, usize) -> bool;

/// The records near a violation.
struct Around<'h> {
    /// What all keys begin with; it is left out.
    root: &'h str,
    records: &'h [Record],
    violation: &'h Violation,
    /// The place of the violation among the records.
    place: usize,
}

impl<'h> Around<'h> {
    fn of(history: &'h History, violation: &'h Violation) -> Self {
        let records = history.records();
        let shows = |record: &Record| {
            written(record).is_some_and(|event| violation.revisions.contains(&event.revision))
        };
        let by_id = |record: &Record| touches(record, violation);
        let place = records.iter().position(shows);
        let place = place.or_else(|| records.iter().rposition(by_id));
        Self {
            root: history.setup().map_or("", |setup| &setup.root),
            records,
            violation,
            place: place.unwrap_or(records.len().saturating_sub(1)),
        }
    }

    fn lines(&self, start_ms: u64) -> Vec<Moment> {
        let mut chosen: Vec<usize> = self.faults();
        let sorts: [(Sort<'h>, usize); 4] = [
            (Self::cited, LINES_MAX),
            (Self::of_its_ids, LINES_MAX),
            (Self::of_leaders, LEADER_LINES),
            (Self::store, LINES_MAX),
        ];
        for (sort, most) in sorts {
            let mut nearest: Vec<usize> = (0..self.records.len())
                .filter(|nth| sort(self, *nth) && !chosen.contains(nth))
                .collect();
            nearest.sort_by_key(|nth| nth.abs_diff(self.place));
            nearest.truncate(most.min(LINES_MAX - chosen.len()));
            chosen.extend(nearest);
        }
        chosen.sort_unstable();
        let lines = chosen.iter().filter_map(|nth| {
            let record = self.records.get(*nth)?;
            Some(Moment {
                at_ms: record.at_ms.saturating_sub(start_ms),
                revision: written(record).map(|event| event.revision),
                what: told(&record.entry, self.root)?,
                cited: self.cited(*nth),
            })
        });
        lines.collect()
    }

    /// The last faults and deaths before the violation.
    fn faults(&self) -> Vec<usize> {
        let at_ms = self
            .records
            .get(self.place)
            .map_or(0, |record| record.at_ms);
        let recent = |record: &Record| {
            record.at_ms + CAUSE_MS >= at_ms && record.at_ms <= at_ms && breaks(&record.entry)
        };
        let own = (0..=self.place).rev();
        let own = own.filter(|nth| self.records.get(*nth).is_some_and(recent));
        own.take(FAULT_LINES).collect()
    }

    fn cited(&self, nth: usize) -> bool {
        let event = self.records.get(nth).and_then(written);
        event.is_some_and(|event| self.violation.revisions.contains(&event.revision))
    }

    fn of_its_ids(&self, nth: usize) -> bool {
        let record = self.records.get(nth);
        record.is_some_and(|record| touches(record, self.violation))
    }

    /// Who stood, left or began a term before.
    fn of_leaders(&self, nth: usize) -> bool {
        let event = self.records.get(nth).and_then(written);
        let key = event.and_then(|event| keyspace::key(self.root, &event.key));
        nth <= self.place && matches!(key, Some(Key::Elect(_) | Key::Term(_)))
    }

    /// Any write close by.
    fn store(&self, nth: usize) -> bool {
        nth.abs_diff(self.place) <= LINES_MAX && self.records.get(nth).and_then(written).is_some()
    }
}

fn written(record: &Record) -> Option<&StoreEvent> {
    if let Entry::Store(event) = &record.entry {
        return Some(event);
    }
    None
}

/// Whether a record is of a task or a key that shows the violation.
fn touches(record: &Record, violation: &Violation) -> bool {
    let mut ids = violation.ids.iter();
    match &record.entry {
        Entry::Store(event) => ids.any(|id| event.key == *id || of_task(&event.key, id)),
        Entry::RunStarted(run) | Entry::RunEnded { run, .. } => ids.any(|id| run.task == *id),
        Entry::Setup(_)
        | Entry::Invoke { .. }
        | Entry::Ok { .. }
        | Entry::Fail { .. }
        | Entry::Info { .. }
        | Entry::Marker(_)
        | Entry::Effect(_)
        | Entry::Trial(_)
        | Entry::Injection(_)
        | Entry::Fault(_)
        | Entry::Healed { .. }
        | Entry::AllHealed
        | Entry::Node(_) => false,
    }
}

/// Whether a key names the pack of a task: a task's id is its pack's but for the last two digits.
fn of_task(key: &str, id: &str) -> bool {
    /// 36 characters: a UUID as text.
    const ID_CHARS: usize = 36;
    let pack = id.get(..ID_CHARS - 2).filter(|_| id.len() == ID_CHARS);
    pack.is_some_and(|pack| key.contains(pack))
}

fn breaks(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Fault(_)
            | Entry::Node(NodeEvent::Crashed { .. })
            | Entry::Injection(Injection {
                stage: Stage::Installed | Stage::Indeterminate,
                ..
            })
    )
}

/// An entry in a few words; none for what is never told.
fn told(entry: &Entry, root: &str) -> Option<String> {
    Some(match entry {
        Entry::Store(event) => match &event.value {
            Some(value) => {
                let text = String::from_utf8_lossy(&value.0);
                format!("put {} {}", below(event, root), short(&text))
            }
            None => format!("delete {}", below(event, root)),
        },
        Entry::RunStarted(run) => {
            format!(
                "run of {} begins on {}, fence {}",
                run.task, run.node, run.fence
            )
        }
        Entry::RunEnded { run, .. } => {
            format!(
                "run of {} ends on {}, fence {}",
                run.task, run.node, run.fence
            )
        }
        Entry::Injection(injection) => {
            let targets = injection.targets.join(", ");
            format!("fault {} {targets}", injection.kind)
                .trim_end()
                .to_owned()
        }
        Entry::Fault(fault) => {
            let target = fault.target.as_deref().unwrap_or_default();
            let text = format!("fault {:?} {target}", fault.kind);
            text.trim_end().to_owned()
        }
        Entry::Node(NodeEvent::Crashed { node, .. }) => format!("{node} is killed"),
        Entry::Setup(_)
        | Entry::Invoke { .. }
        | Entry::Ok { .. }
        | Entry::Fail { .. }
        | Entry::Info { .. }
        | Entry::Marker(_)
        | Entry::Effect(_)
        | Entry::Trial(_)
        | Entry::Healed { .. }
        | Entry::AllHealed
        | Entry::Node(_) => return None,
    })
}

/// A key without what all keys begin with.
fn below<'e>(event: &'e StoreEvent, root: &str) -> &'e str {
    event.key.strip_prefix(root).unwrap_or(&event.key)
}

/// A value of bounded length.
fn short(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(VALUE_CHARS).collect();
    if chars.next().is_some() {
        return head + "…";
    }
    head
}
