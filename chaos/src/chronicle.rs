//! The history of a run as it is made: who saw what, on this machine's clock. Judges nothing.

use crate::witness::now_us;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tenure_chaos::check::{Limits, Property};
use tenure_chaos::history::{Entry, History};

/// Where everybody writes what they saw; clones are the same.
#[derive(Clone)]
pub(crate) struct Chronicle {
    began: Instant,
    history: Arc<Mutex<History>>,
}

/// What a run is judged by.
pub(crate) struct Terms {
    /// What makes it again.
    pub(crate) seed: u64,
    /// What all keys of its cluster begin with.
    pub(crate) root: String,
    /// The bounds that it is held to.
    pub(crate) limits: Limits,
    /// What it is to put to the test.
    pub(crate) expects: Vec<Property>,
}

impl Chronicle {
    /// An empty one, whose clock starts now. It goes on though the machine's clock is set.
    pub(crate) fn begin(terms: Terms) -> Self {
        let epoch_ms = now_us() / 1_000;
        let history = History::new(&terms.root, terms.limits).with_setup(|setup| {
            setup.seed = Some(terms.seed);
            setup.epoch_ms = epoch_ms;
            setup.expects = terms.expects;
        });
        Self {
            began: Instant::now(),
            history: Arc::new(Mutex::new(history)),
        }
    }

    /// Writes down what was seen just now.
    pub(crate) fn saw(&self, entry: impl Into<Entry>) {
        // Short: a push. The instant is taken inside, so that records are in the order of their instants.
        let mut history = self.history.lock().expect("no writer panics");
        let at_ms = self.began.elapsed().as_millis();
        let at_ms = u64::try_from(at_ms).expect("a run is shorter than eternity");
        history.push(at_ms, entry);
    }

    /// All of it, in order; what is written afterwards is written to nobody.
    pub(crate) fn close(&self) -> History {
        std::mem::take(&mut *self.history.lock().expect("no writer panics"))
    }
}
