//! What may be shown, and whether anything may: moved on by whoever makes writes durable, waited on by
//! requests and streams.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tonic::Status;

use super::status::{failed, stopped};

/// Set in the generation when the server is closed for good.
const CLOSED: u64 = 1 << 63;

/// Shared by all that answer and the thread that writes.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The revision up to which watches may show.
    visible: AtomicI64,
    /// The last ticket that is on disk.
    settled: AtomicU64,
    /// Counts crashes: streams opened in another generation end.
    generation: AtomicU64,
    /// Why nothing is answered any more.
    failure: OnceLock<String>,
    /// Any of the above changed.
    changed: Notify,
}

impl Gate {
    pub(crate) fn new(visible: i64) -> Self {
        Self {
            visible: AtomicI64::new(visible),
            settled: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            failure: OnceLock::new(),
            changed: Notify::new(),
        }
    }

    /// The revision up to which watches may show.
    pub(crate) fn visible(&self) -> i64 {
        self.visible.load(Ordering::Acquire)
    }

    /// Shows a revision.
    pub(crate) fn show(&self, revision: i64) {
        if self.visible.swap(revision, Ordering::AcqRel) != revision {
            self.changed.notify_waiters();
        }
    }

    /// All up to a ticket is on disk, and so the revision may be shown.
    pub(crate) fn release(&self, ticket: u64, revision: i64) {
        self.visible.fetch_max(revision, Ordering::AcqRel);
        self.settled.store(ticket, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits until all up to a ticket is on disk.
    ///
    /// # Errors
    /// Nothing can be written any more; it may be there after a restart, or not.
    pub(crate) async fn settled(&self, ticket: u64) -> Result<(), Status> {
        loop {
            let changed = self.changed();
            if self.settled.load(Ordering::Acquire) >= ticket {
                return Ok(());
            }
            if let Some(reason) = self.failure.get() {
                return Err(failed(reason));
            }
            changed.await;
        }
    }

    /// What a stream remembers when it is opened.
    ///
    /// # Errors
    /// The server is closed.
    pub(crate) fn generation(&self) -> Result<u64, Status> {
        self.refuse_closed()?;
        Ok(self.generation.load(Ordering::Acquire))
    }

    /// Whether streams of this generation go on.
    pub(crate) fn goes_on(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// To wait on for a change; what is checked after this call and before the wait is not missed.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Why the server has failed, when it has.
    pub(crate) async fn failure(&self) -> String {
        loop {
            let changed = self.changed();
            if let Some(reason) = self.failure.get() {
                return reason.clone();
            }
            changed.await;
        }
    }

    /// Ends all streams.
    pub(crate) fn crash(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Ends all streams and refuses all requests from now on.
    pub(crate) fn close(&self) {
        self.generation.fetch_or(CLOSED, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Closes, because nothing can be written or answered any more. Only the first reason is told.
    pub(crate) fn fail(&self, reason: &str) {
        self.failure.get_or_init(|| reason.to_owned());
        self.close();
    }

    /// # Errors
    /// The server is closed, or has failed.
    pub(crate) fn refuse_closed(&self) -> Result<(), Status> {
        if self.generation.load(Ordering::Acquire) & CLOSED == 0 {
            return Ok(());
        }
        Err(self
            .failure
            .get()
            .map_or_else(stopped, |reason| failed(reason)))
    }
}
