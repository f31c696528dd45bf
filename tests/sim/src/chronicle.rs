//! The history of a run as it is made: who saw what, on the one clock of the simulation. Judges nothing.

use std::sync::{Arc, Mutex};

use tenure_chaos::check::Limits;
use tenure_chaos::history::{Entry, History};
use tokio::time::Instant;

/// Where everybody writes what they saw; clones are the same.
#[derive(Clone)]
pub(crate) struct Chronicle {
    began: Instant,
    history: Arc<Mutex<History>>,
}

impl Chronicle {
    /// An empty one, whose clock starts now.
    pub(crate) fn begin(seed: u64, root: &str, epoch_ms: u64, limits: Limits) -> Self {
        let history = History::new(root, limits).with_setup(|setup| {
            setup.seed = Some(seed);
            setup.epoch_ms = epoch_ms;
        });
        Self {
            began: Instant::now(),
            history: Arc::new(Mutex::new(history)),
        }
    }

    /// Writes down what was seen just now.
    pub(crate) fn saw(&self, entry: impl Into<Entry>) {
        let at_ms = u64::try_from(self.began.elapsed().as_millis())
            .expect("a run is shorter than eternity");
        self.history
            .lock()
            .expect("no writer panics")
            .push(at_ms, entry);
    }

    /// All of it, in order.
    pub(crate) fn close(&self) -> History {
        let history = self.history.lock().expect("no writer panics");
        history.records().iter().cloned().collect()
    }
}
