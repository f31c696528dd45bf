//! The store's log as steps, one for each revision, with keys and values read and each change's before and after. It also
//! holds the log to itself: an event that does not follow from those before it means that the recorder missed some.

use std::collections::HashMap;
use std::sync::Arc;

use super::keyspace::{self, Key, Value};
use crate::history::{Entry, History, Marker, StoreEvent};

/// One revision.
#[derive(Debug)]
pub(super) struct Step {
    /// The revision.
    pub(super) revision: i64,
    /// When it was seen, in milliseconds.
    pub(super) at_ms: u64,
    /// What it changed.
    pub(super) changes: Vec<Change>,
}

/// One key's change.
#[derive(Debug)]
pub(super) struct Change {
    /// The key.
    pub(super) key: Key,
    /// As it is spelled.
    pub(super) text: Arc<str>,
    /// What it held before; none where it was absent.
    pub(super) was: Option<Arc<Value>>,
    /// What it holds; none where it is gone.
    pub(super) is: Option<Arc<Value>>,
    /// When the key was created (the one that is gone, for a delete).
    pub(super) created: i64,
    /// Its lease (the one that it had, for a delete); 0 for none.
    pub(super) lease: i64,
    /// The node that wrote it, where that is known.
    pub(super) by: Option<String>,
}

struct Kept<'h> {
    value: Arc<Value>,
    bytes: &'h [u8],
    created: i64,
    version: i64,
}

/// The steps of a log, and why it is not whole, where it is not.
pub(super) fn steps(root: &str, history: &History) -> (Vec<Step>, Option<String>) {
    let mut fold = Fold {
        root,
        kept: HashMap::new(),
        steps: Vec::new(),
        gap: None,
        sealed: None,
        baseline: 0,
    };
    // What the first member that was asked has at a revision.
    let mut hashes: HashMap<i64, (&String, u32)> = HashMap::new();
    for record in history.records() {
        if let Entry::Store(event) = &record.entry {
            fold.event(record.at_ms, event);
        } else if let Entry::Marker(Marker::Gap { after }) = &record.entry {
            fold.missed(format!(
                "the recorder missed what followed revision {after}"
            ));
        } else if let Entry::Marker(Marker::Spoilt { why }) = &record.entry {
            fold.missed(why.clone());
        } else if let Entry::Marker(Marker::Sealed { revision }) = &record.entry {
            fold.sealed = Some(*revision);
        } else if let Entry::Marker(Marker::Baseline { revision }) = &record.entry {
            fold.baseline = *revision;
        } else if let Entry::Marker(Marker::Differs { member, revision }) = &record.entry {
            fold.missed(format!(
                "{member} told something else of revision {revision} than another member of etcd"
            ));
        } else if let Entry::Marker(Marker::Hash {
            member,
            revision,
            hash,
        }) = &record.entry
        {
            let first = hashes.entry(*revision).or_insert((member, *hash));
            if first.1 != *hash {
                fold.missed(format!(
                    "{member} has something else at revision {revision} than {}",
                    first.0
                ));
            }
        }
    }
    let last = fold.steps.last().map_or(0, |step| step.revision);
    match fold.sealed {
        None => fold.missed("the log has no end: it was never sealed".to_owned()),
        Some(sealed) if sealed < last => {
            fold.missed(format!(
                "the log was sealed at {sealed} and goes on to {last}"
            ));
        }
        Some(_) => {}
    }
    (fold.steps, fold.gap)
}

struct Fold<'h> {
    root: &'h str,
    kept: HashMap<&'h str, Kept<'h>>,
    steps: Vec<Step>,
    gap: Option<String>,
    sealed: Option<i64>,
    /// Up to which revision events say what was there, and not how it came.
    baseline: i64,
}

impl<'h> Fold<'h> {
    fn missed(&mut self, why: String) {
        self.gap.get_or_insert(why);
    }

    fn event(&mut self, at_ms: u64, event: &'h StoreEvent) {
        let Some(key) = keyspace::key(self.root, &event.key) else {
            return;
        };
        let before = self.kept.remove(event.key.as_str());
        let was_there = event.revision <= self.baseline && before.is_none();
        if let Some(why) = unlikely(before.as_ref(), event).filter(|_| !was_there) {
            self.missed(format!(
                "revision {}, key {}: {why}",
                event.revision, event.key
            ));
        }
        let is = event
            .value
            .as_ref()
            .map(|bytes| Arc::new(keyspace::value(&key, &bytes.0)));
        let created = match (&is, &before) {
            (None, Some(gone)) => gone.created,
            (Some(_) | None, _) => event.create_revision,
        };
        if let (Some(value), Some(bytes)) = (&is, &event.value) {
            let kept = Kept {
                value: Arc::clone(value),
                bytes: &bytes.0,
                created: event.create_revision,
                version: event.version,
            };
            self.kept.insert(&event.key, kept);
        }
        let change = Change {
            key,
            text: event.key.as_str().into(),
            was: before.map(|kept| kept.value),
            is,
            created,
            lease: event.lease,
            by: event.by.clone(),
        };
        self.changed(event.revision, at_ms, change);
    }

    fn changed(&mut self, revision: i64, at_ms: u64, change: Change) {
        match self.steps.last_mut() {
            Some(step) if step.revision == revision => step.changes.push(change),
            last => {
                if let Some(step) = last
                    && step.revision > revision
                {
                    let why = format!("revision {revision} follows {}", step.revision);
                    self.missed(why);
                }
                self.steps.push(Step {
                    revision,
                    at_ms,
                    changes: vec![change],
                });
            }
        }
    }
}

/// Why an event cannot follow what is known of its key.
fn unlikely(before: Option<&Kept<'_>>, event: &StoreEvent) -> Option<String> {
    let version = before.map_or(0, |kept| kept.version);
    if event.value.is_some() && event.version != version + 1 {
        return Some(format!(
            "version {} follows version {version}",
            event.version
        ));
    }
    let created = before.map_or(event.revision, |kept| kept.created);
    if event.value.is_some() && event.create_revision != created {
        return Some(format!(
            "created at {}, known to be created at {created}",
            event.create_revision
        ));
    }
    if event.value.is_none() && before.is_none() {
        return Some("deleted, and not known to be there".to_owned());
    }
    match (&event.prev, before) {
        (Some(prev), Some(kept)) if prev.0 != kept.bytes => {
            Some("its previous value is another than the one known".to_owned())
        }
        (Some(_), None) => Some("it has a previous value that is not known".to_owned()),
        (Some(_) | None, _) => None,
    }
}
