//! What was decided and is on its way: nothing of it may be given away again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::task::{ClaimId, Gate, Name};

/// What has been decided and sent but is not yet in the view.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// Records that a transaction in flight, or of unknown outcome, may change, and the mod revision that it compares: one that
    /// the view has at another is free, for what compares the old one has happened or never will.
    pub records: BTreeMap<String, i64>,
    /// Tasks on their way to nodes, by node and kind.
    pub tasks: BTreeMap<(Name, Name), u64>,
    /// Claims that a transaction in flight may take away.
    pub claims: BTreeSet<(Name, ClaimId)>,
    /// What is on its way to holders of gates.
    pub gates: BTreeMap<Gate, u64>,
    /// Schedules that a transaction in flight may move on.
    pub schedules: BTreeSet<Name>,
    /// Tasks on their way to nodes, by queue.
    pub queues: BTreeMap<Name, u64>,
}

impl Reserved {
    /// Whether a record is free as the view has it.
    pub fn frees(&self, key: &str, modified: i64) -> bool {
        self.records.get(key) != Some(&modified)
    }

    /// Tasks on their way to a node, by kind.
    pub fn tasks_of<'a>(&'a self, node: &Name) -> impl Iterator<Item = (&'a Name, u64)> {
        of_node(&self.tasks, node)
    }
}

/// Takes from a count; at 0 it goes.
pub fn less<K: Ord + Clone>(counts: &mut BTreeMap<K, u64>, of: &K, by: u64) {
    if let Entry::Occupied(mut count) = counts.entry(of.clone()) {
        *count.get_mut() = count.get().saturating_sub(by);
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// The part of a map by (node, kind) that is one node's.
pub(super) fn of_node<'a>(
    map: &'a BTreeMap<(Name, Name), u64>,
    node: &Name,
) -> impl Iterator<Item = (&'a Name, u64)> + use<'a> {
    let node = node.clone();
    map.iter()
        .filter(move |((of, _), _)| *of == node)
        .map(|((_, kind), tasks)| (kind, *tasks))
}
