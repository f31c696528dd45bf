//! The history of a run as it is made: who saw what, on this machine's clock. Judges nothing.

use crate::witness::{monotonic_us, wall_us};
use anyhow::Context as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tenure_chaos::check::{Limits, Property};
use tenure_chaos::history::{Entry, History, Record};

/// Where everybody writes what they saw; clones are the same.
#[derive(Clone)]
pub(crate) struct Chronicle {
    began: Instant,
    /// The same instant on the monotonic and on the wall clock, in microseconds.
    began_us: (u64, u64),
    paper: Arc<Mutex<Paper>>,
}

/// What it is written on.
enum Paper {
    /// Memory: all of it, until it is closed.
    Kept(History),
    /// A file: nothing is kept. The first error ends it, and is told when it is closed.
    File(BufWriter<File>),
    Spoilt(std::io::Error),
    Closed,
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

impl Terms {
    /// A history that says no more than this.
    fn history(self) -> History {
        let epoch_ms = wall_us() / 1_000;
        History::new(&self.root, self.limits).with_setup(|setup| {
            setup.seed = Some(self.seed);
            setup.epoch_ms = epoch_ms;
            setup.expects = self.expects;
        })
    }
}

impl Chronicle {
    /// An empty one, whose clock starts now. It goes on though the machine's clock is set.
    pub(crate) fn begin(terms: Terms) -> Self {
        Self::on(Paper::Kept(terms.history()))
    }

    /// The same, written to this file as it is seen, so that it needs no memory and outlives this program.
    pub(crate) fn begin_at(path: &Path, terms: Terms) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let mut file = BufWriter::new(file);
        for record in terms.history().records() {
            write(&mut file, record)?;
        }
        Ok(Self::on(Paper::File(file)))
    }

    fn on(paper: Paper) -> Self {
        Self {
            began: Instant::now(),
            began_us: (monotonic_us(), wall_us()),
            paper: Arc::new(Mutex::new(paper)),
        }
    }

    /// Writes down what was seen just now.
    pub(crate) fn saw(&self, entry: impl Into<Entry>) {
        let entry = entry.into();
        // Short: a push, or a write to a buffer. The instant is taken inside, so that records are in the order of their instants.
        let mut paper = self.paper.lock().expect("no writer panics");
        let at_ms = self.began.elapsed().as_millis();
        let at_ms = u64::try_from(at_ms).expect("a run is shorter than eternity");
        match &mut *paper {
            Paper::Kept(history) => history.push(at_ms, entry),
            Paper::File(file) => {
                if let Err(error) = write(file, &Record { at_ms, entry }) {
                    *paper = Paper::Spoilt(error);
                }
            }
            Paper::Spoilt(_) | Paper::Closed => {}
        }
    }

    /// When it began, in microseconds of the machine's monotonic clock.
    pub(crate) fn began_us(&self) -> u64 {
        self.began_us.0
    }

    /// By how many milliseconds the wall clock went further or less far than the other since: somebody set it.
    pub(crate) fn clock_set_by_ms(&self) -> u64 {
        let went = |now: u64, began: u64| now.saturating_sub(began);
        let monotonic = went(monotonic_us(), self.began_us.0);
        went(wall_us(), self.began_us.1).abs_diff(monotonic) / 1_000
    }

    /// All of one that is kept in memory, in order; what is written afterwards is written to nobody.
    pub(crate) fn close(&self) -> History {
        match self.take() {
            Paper::Kept(history) => history,
            Paper::File(_) | Paper::Spoilt(_) | Paper::Closed => History::default(),
        }
    }

    /// The end of one in a file; what is written afterwards is written to nobody.
    ///
    /// # Errors
    /// Something could not be written.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        match self.take() {
            Paper::File(mut file) => file.flush(),
            Paper::Spoilt(error) => Err(error),
            Paper::Kept(_) | Paper::Closed => Ok(()),
        }
    }

    fn take(&self) -> Paper {
        std::mem::replace(
            &mut *self.paper.lock().expect("no writer panics"),
            Paper::Closed,
        )
    }
}

fn write(file: &mut BufWriter<File>, record: &Record) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, record)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_a_file_is_a_history_of_the_same_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let terms = Terms {
            seed: 3,
            root: "/t/".to_owned(),
            limits: Limits::default(),
            expects: Vec::new(),
        };
        let chronicle = Chronicle::begin_at(&path, terms).unwrap();
        chronicle.saw(Entry::AllHealed);
        chronicle.finish().unwrap();
        chronicle.saw(Entry::AllHealed);

        let history = History::load(&path).unwrap();

        assert_eq!(history.setup().unwrap().seed, Some(3));
        assert_eq!(history.records().len(), 2);
        assert_eq!(history.records()[1].entry, Entry::AllHealed);
    }
}
