//! A history: everything that was recorded of one cluster, in one order, one JSON line each. It holds what was seen and
//! decides nothing, so that it can be kept and judged again.
//!
//! Four sources write into it: clients (what they asked and were answered), the store (every event of etcd, in the order of
//! revisions), the witness (what really ran) and whoever makes the faults. The first record is the [`Setup`].

mod entry;
mod file;
mod injection;
mod node;
mod trial;
mod value;

pub use entry::{
    Answer, Call, Entry, Fault, FaultKind, Marker, Op, Record, Run, Setup, StoreEvent, Submit,
};
pub use file::FileError;
pub use injection::{Injection, Stage};
pub use node::{NodeEvent, Refusal};
pub use trial::{Effect, Show, Trial};
pub use value::Value;

use crate::check::Limits;

/// All records of one cluster, in the order in which they were seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    records: Vec<Record>,
}

impl History {
    /// An empty history of the cluster whose keys begin with `root`, for example `/tenure/default/`.
    pub fn new(root: &str, limits: Limits) -> Self {
        let setup = Setup {
            root: root.to_owned(),
            seed: None,
            epoch_ms: 0,
            limits,
            expects: Vec::new(),
        };
        let mut history = Self::default();
        history.push(0, Entry::Setup(setup));
        history
    }

    /// Adds what was seen at this instant, in milliseconds of the history's one clock.
    pub fn push(&mut self, at_ms: u64, entry: impl Into<Entry>) {
        let entry = entry.into();
        self.records.push(Record { at_ms, entry });
    }

    /// The records in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What the first record says, where it is there.
    pub fn setup(&self) -> Option<&Setup> {
        if let Entry::Setup(setup) = &self.records.first()?.entry {
            return Some(setup);
        }
        None
    }

    /// Changes what the first record says: the seed, the epoch, what is expected.
    #[must_use]
    pub fn with_setup(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        if let Some(Record {
            entry: Entry::Setup(setup),
            ..
        }) = self.records.first_mut()
        {
            change(setup);
        }
        self
    }
}

impl FromIterator<Record> for History {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        Self {
            records: records.into_iter().collect(),
        }
    }
}
