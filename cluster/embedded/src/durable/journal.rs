//! The thread that makes effects durable: all that came while the last commit was on its way go into the
//! next one, so concurrent writes share an fsync.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use redb::Database;

use super::rows::commit;
use crate::engine::{Effect, RecordId};
use crate::server::Gate;

/// 64 MiB of effects that wait for the disk; more requests are refused until they have gone.
pub(super) const PENDING_BYTES_MAX: usize = 64 << 20;

/// Hands effects to the thread.
#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// A std mutex: a section moves a list.
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    effects: Vec<Effect>,
    bytes: usize,
    /// Counts what was handed over; what is on disk is counted by the gate.
    ticket: u64,
    /// The revision after all that was handed over.
    revision: i64,
    closed: bool,
}

impl Journal {
    /// Starts the thread. It owns the database and the lock of the directory, and frees both when it ends.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        database: Database,
        lock: Option<File>,
        dropped: Vec<RecordId>,
        gate: Arc<Gate>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            shared: Arc::clone(&shared),
            gate,
            database,
            dropped: dropped.into(),
            _lock: lock,
        };
        let thread = std::thread::Builder::new()
            .name("embedded-etcd".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Whether so much waits that no more is taken.
    pub(crate) fn full(&self) -> bool {
        self.shared.lock().bytes > PENDING_BYTES_MAX
    }

    /// Hands over effects and the revision after them. Returns the ticket to wait for at the gate; without
    /// effects that of what was handed over before.
    pub(crate) fn push(&self, effects: Vec<Effect>, revision: i64) -> u64 {
        let mut queue = self.shared.lock();
        if !effects.is_empty() {
            queue.bytes += effects.iter().map(bytes).sum::<usize>();
            queue.effects.extend(effects);
            queue.revision = revision;
            queue.ticket += 1;
            self.shared.wake.notify_one();
        }
        queue.ticket
    }

    /// Lets the thread end when all is written.
    pub(crate) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }

    /// Waits for the thread, after [`close`](Self::close). Blocks for as long as a commit takes.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().expect("no section panics").take();
        if let Some(thread) = thread {
            // Its panic was told by the gate.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no section panics")
    }
}

struct Writer {
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    database: Database,
    /// Compacted, and still in the file.
    dropped: VecDeque<RecordId>,
    _lock: Option<File>,
}

impl Writer {
    fn run(mut self) {
        // Also if redb should panic, nobody is left waiting for it.
        let fails = FailsOnDrop(Some(Arc::clone(&self.gate)));
        while let Some((effects, ticket, revision)) = self.next() {
            if let Err(error) = commit(&self.database, &effects, &mut self.dropped) {
                tracing::error!(%error, "the embedded etcd cannot write, and stops");
                self.gate.fail(&format!("cannot write: {error}"));
                return;
            }
            self.gate.release(ticket, revision);
        }
        fails.disarm();
    }

    /// The next batch, maybe empty while there is something to drop; none when closed and all is written.
    fn next(&self) -> Option<(Vec<Effect>, u64, i64)> {
        let mut queue = self.shared.lock();
        while queue.effects.is_empty() && self.dropped.is_empty() && !queue.closed {
            queue = self.shared.wake.wait(queue).expect("no section panics");
        }
        if queue.effects.is_empty() && queue.closed {
            return None;
        }
        queue.bytes = 0;
        Some((
            std::mem::take(&mut queue.effects),
            queue.ticket,
            queue.revision,
        ))
    }
}

/// Fails the gate unless disarmed; the first failure is the one that is told.
struct FailsOnDrop(Option<Arc<Gate>>);

impl FailsOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for FailsOnDrop {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.fail("the writing thread ended");
        }
    }
}

fn bytes(effect: &Effect) -> usize {
    match effect {
        Effect::Wrote(records) => records.iter().map(|record| record.bytes()).sum(),
        Effect::Compacted { dropped, .. } => size_of_val(dropped.as_slice()),
        Effect::Granted { .. } | Effect::Ended { .. } | Effect::NoSpace(_) => size_of::<Effect>(),
    }
}
