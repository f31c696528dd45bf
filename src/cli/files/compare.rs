//! What would have to be done so that a cluster is as files say; pure.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Field, Fields};

/// A sort of thing, in the order in which they are made: a schedule's task may ask for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    Semaphore,
    Queue,
    Schedule,
}

/// A thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) sort: Sort,
    pub(super) name: String,
}

/// A thing as the cluster has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// None where it has none of this name.
    pub(super) fields: Option<Fields>,
    /// What an edit has to compare; 0 where there is none.
    pub(super) version: i64,
}

/// What is to be done to a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) id: &'a Id,
    pub(super) what: What<'a>,
    /// What the cluster had when it was compared.
    pub(super) version: i64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// It is not there.
    Create,
    /// These fields are others: name, as it is, as it is to be.
    Edit(Vec<(&'a str, Option<&'a Field>, Option<&'a Field>)>),
    /// Nothing.
    Same,
    /// No file has it.
    Prune,
}

impl Sort {
    /// All, in order.
    pub(super) const ALL: [Self; 3] = [Self::Semaphore, Self::Queue, Self::Schedule];

    /// The word for one.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Semaphore => "semaphore",
            Self::Queue => "queue",
            Self::Schedule => "schedule",
        }
    }

    /// The section of a file.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Semaphore => "semaphores",
            Self::Queue => "queues",
            Self::Schedule => "schedules",
        }
    }
}

/// What is to be done, in the order in which it may be. Of sorts in `prune`, what no file has is taken away, last and in the other order.
pub(super) fn compare<'a>(
    wanted: &'a BTreeMap<Id, Fields>,
    stored: &'a BTreeMap<Id, Stored>,
    prune: &BTreeSet<Sort>,
) -> Vec<Change<'a>> {
    let mut changes: Vec<Change<'a>> = wanted
        .iter()
        .map(|(id, fields)| one(id, fields, stored.get(id)))
        .collect();
    let gone = stored.iter().rev().filter(|(id, stored)| {
        prune.contains(&id.sort) && stored.fields.is_some() && !wanted.contains_key(id)
    });
    changes.extend(gone.map(|(id, stored)| Change {
        id,
        what: What::Prune,
        version: stored.version,
    }));
    changes
}

fn one<'a>(id: &'a Id, wanted: &'a Fields, stored: Option<&'a Stored>) -> Change<'a> {
    let version = stored.map_or(0, |stored| stored.version);
    let what = match stored.and_then(|stored| stored.fields.as_ref()) {
        // A queue without rules is there already.
        None if wanted.is_empty() => What::Same,
        None => What::Create,
        Some(fields) if fields == wanted => What::Same,
        Some(fields) => What::Edit(fields.differ(wanted)),
    };
    Change { id, what, version }
}
