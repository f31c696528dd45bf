//! How far a log is, and what of work is open by it.

use std::collections::BTreeMap;
use tenure_chaos::check::keyspace::{self, Key};
use tenure_chaos::history::StoreEvent;

/// How far the log is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Every event up to this revision is in it.
    pub(crate) revision: i64,
    /// Every source has told all up to this one: what is compacted below it is missed by none.
    pub(crate) least: i64,
    /// Records of work that is ready, due or claimed.
    pub(crate) open: i64,
    /// The latest term that made a claim.
    pub(crate) term: i64,
    /// How many claims each node has.
    pub(crate) claims: BTreeMap<String, i64>,
}

impl Seen {
    pub(super) fn counts(&mut self, root: &str, event: &StoreEvent) {
        let more = match (&event.value, event.version) {
            (None, _) => -1,
            (Some(_), 1) => 1,
            (Some(_), _) => return,
        };
        self.add(root, event, more);
    }

    /// What was there when it began.
    pub(super) fn holds(&mut self, root: &str, event: &StoreEvent) {
        self.add(root, event, 1);
    }

    fn add(&mut self, root: &str, event: &StoreEvent, more: i64) {
        let key = keyspace::key(root, &event.key);
        if matches!(
            key,
            Some(Key::Ready { .. } | Key::Due { .. } | Key::Run { .. })
        ) {
            self.open += more;
        }
        if let Some(Key::Run { node, claim }) = key {
            *self.claims.entry(node).or_default() += more;
            if more > 0 {
                self.term = self.term.max(claim.term);
            }
        }
    }
}
