//! The history of a run as it is made: who saw what, on the one clock of the simulation. Judges nothing.

use std::sync::{Arc, Mutex};

use tenure_chaos::history::{Entry, Record};
use tokio::time::Instant;

/// Where everybody writes what they saw; clones are the same.
#[derive(Clone)]
pub(crate) struct Chronicle {
    began: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Chronicle {
    /// An empty one, whose clock starts now.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), records: Arc::default() }
    }

    /// Milliseconds since the start.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).expect("a run is shorter than eternity")
    }

    /// Writes down what was seen just now.
    pub(crate) fn saw(&self, entry: Entry) {
        let record = Record { at_ms: self.now_ms(), entry };
        self.records.lock().expect("no writer panics").push(record);
    }

    /// All of it, in order.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.lock().expect("no writer panics").clone()
    }
}
