//! What has a depth: one table, and where each is read. A new one is a line in [`depths!`] and one where it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a depth is of, and so what is unusual about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// What waits: near its bound, something is about to be refused.
    Queue,
    /// What is taken and given back: near its bound as a queue, and what only grows is not given back.
    Held,
    /// Work under way: full is as it should be.
    Pipe,
    /// What has no bound of its own: what only grows is a leak.
    Count,
}

impl Sort {
    /// Whether a person is told where it is nearly full.
    pub fn fills(self) -> bool {
        match self {
            Self::Queue | Self::Held => true,
            Self::Pipe | Self::Count => false,
        }
    }

    /// Whether a person is told where it only grows.
    pub fn leaks(self) -> bool {
        match self {
            Self::Held | Self::Count => true,
            Self::Queue | Self::Pipe => false,
        }
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is.
    pub of: Of,
    /// As the label of metrics, and to people.
    pub word: &'static str,
    /// What sort.
    pub sort: Sort,
    /// What it counts.
    pub what: &'static str,
}

macro_rules! depths {
    ($($of:ident $word:literal $sort:ident $what:literal;)+) => {
        /// What has a depth.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Of {
            $(#[doc = $what] $of,)+
        }

        /// All of them, in the order of [`Of`].
        pub const TABLE: &[Row] = &[
            $(Row { of: Of::$of, word: $word, sort: Sort::$sort, what: $what },)+
        ];

        impl Of {
            /// Its line.
            pub fn row(self) -> Row {
                match self {
                    $(Self::$of => Row {
                        of: Self::$of, word: $word, sort: Sort::$sort, what: $what,
                    },)+
                }
            }
        }
    };
}

depths! {
    Submits "submits" Queue "single submits that wait for their commit";
    SubmitBytes "submit_bytes" Queue "bytes of submits that are read or wait";
    Connections "connections" Held "connections to the API";
    TaskWaiters "task_waiters" Held "requests that wait for a task's end";
    HoldWaiters "hold_waiters" Held "requests that wait for a lock or permits";
    Breakers "breakers" Queue "circuit breakers that are kept";
    Runs "runs" Pipe "runs in hand";
    Claims "claims" Count "claims in hand";
    StopsEarly "stops_early" Count "stops whose claims have not been seen";
    Reports "reports" Pipe "batches of reports on their way";
    PacksReading "packs_reading" Count "packs being read";
    PacksKept "packs_kept" Pipe "packs kept for their next claim";
    Flights "flights" Pipe "the leader's batches on their way";
    FlightsWaiting "flights_waiting" Count "the leader's batches that wait for one to land";
    Unsettled "unsettled" Count "changes the leader sent and has not seen the end of";
    Refills "refills" Pipe "the leader's reads of what waits behind its windows";
    Fires "fires" Pipe "schedules that the leader is firing";
    LinkWords "link_words" Queue "words of links to other nodes that wait to be heard";
    Cases "cases" Queue "processes that seem gone, until that is settled";
    RuntimeQueue "runtime_queue" Count "tasks of the runtime that no worker has taken up";
    RuntimeTasks "runtime_tasks" Count "tasks of the runtime that have not ended";
    OpenFiles "open_files" Held "files and sockets that the process has open";
    ResidentKib "resident_kib" Count "memory of the process that is resident, in KiB";
}

/// One depth as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Of what.
    pub of: Of,
    /// How much.
    pub depth: usize,
    /// What it cannot pass, where something bounds it.
    pub bound: Option<usize>,
}

/// A depth that its owner tells.
#[derive(Debug)]
pub struct Level(Arc<Told>);

#[derive(Debug)]
pub(super) struct Told {
    depth: AtomicUsize,
    /// `usize::MAX` for none.
    bound: AtomicUsize,
}

/// Where a depth comes from.
pub(super) enum Entry {
    Read(Option<usize>, Box<dyn Fn() -> usize + Send + Sync>),
    Told(Arc<Told>),
}

impl Level {
    pub(super) fn new(bound: Option<usize>) -> Self {
        Self(Arc::new(Told {
            depth: AtomicUsize::new(0),
            bound: AtomicUsize::new(bound.unwrap_or(usize::MAX)),
        }))
    }

    /// It is so much now.
    pub fn set(&self, depth: usize) {
        self.0.depth.store(depth, Ordering::Relaxed);
    }

    /// It cannot pass this from now on.
    pub fn bound(&self, bound: usize) {
        self.0.bound.store(bound, Ordering::Relaxed);
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Entry {
    pub(super) fn read(
        bound: Option<usize>,
        depth: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        Self::Read(bound, Box::new(depth))
    }

    pub(super) fn told(level: &Level) -> Self {
        Self::Told(Arc::clone(&level.0))
    }

    pub(super) fn depth(&self, of: Of) -> Depth {
        let (depth, bound) = match self {
            Self::Read(bound, depth) => (depth(), *bound),
            Self::Told(told) => {
                let bound = told.bound.load(Ordering::Relaxed);
                let bound = (bound != usize::MAX).then_some(bound);
                (told.depth.load(Ordering::Relaxed), bound)
            }
        };
        Depth { of, depth, bound }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_is_in_order_and_each_word_is_one_things() {
        assert!(TABLE.windows(2).all(|pair| pair[0].of < pair[1].of));
        assert!(TABLE.iter().all(|row| row.of.row().word == row.word));
        let words: BTreeSet<_> = TABLE.iter().map(|row| row.word).collect();
        assert_eq!(words.len(), TABLE.len());
    }

    #[test]
    fn the_page_lists_them_all() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/debugging.md");
        let page = std::fs::read_to_string(path).unwrap();
        for row in TABLE {
            let line = format!("| `{}` | {} |", row.word, row.what);
            assert!(page.contains(&line), "docs/debugging.md lacks: {line}");
        }
    }
}
