//! Locks and semaphores without a leader: everyone queues by a key of its own, and revisions say whose turn it is.
//! Never knows what a task is, and never decides by a read alone.
//!
//! ```text
//!   acquire ─ enqueue ─▶ queue/<entry> ── its turn? ─ enter ─▶ Hold            Mutex
//!                             │            no: watch one key   its own entry is the hold
//!                             └───────────────────── grant ─▶ permits/<entry>  Semaphore
//! ```

use std::time::Duration;

use crate::failure::Failure;
use crate::read::ReadError;

mod entry;
#[cfg(test)]
mod grant_tests;
mod hold;
mod limit;
mod listing;
mod mutex;
mod rule;
#[cfg(test)]
mod rule_tests;
mod semaphore;
mod txns;
#[cfg(test)]
mod txns_tests;

pub use entry::Released;
pub use hold::Hold;
pub use limit::LimitError;
pub use listing::{Listed, Listing};
pub use mutex::Mutex;
pub use semaphore::{AcquireError, Semaphore};

use crate::janitor::PLACES_MAX;

/// 200 ms between attempts that were not answered well.
const RETRY: Duration = Duration::from_millis(200);
/// 30 s between looks of who waits, besides what its watch tells: released versions of etcd have lost events, and who is next
/// may be paused.
const RECHECK: Duration = Duration::from_secs(30);
/// 10,000 waiters on one name: each reads them all once, in one answer below gRPC's 4 MiB.
const WAITERS_MAX: usize = 10_000;

/// Why there is no hold. Nothing is left in the queue: what was sent is deleted in the background, as long as the session lives,
/// and with its lease where it does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The session is over; open a new one.
    #[error("the session is lost")]
    SessionLost,
    /// Somebody else deleted the entry while it waited.
    #[error("the entry in the queue was deleted by somebody else")]
    EntryDeleted,
    /// More wait than are let in.
    #[error("{waiting} wait already, the most are {WAITERS_MAX}")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// The session holds or waits for as much as one lease should carry.
    #[error("the session has {PLACES_MAX} holds, waits and candidacies, the most there are")]
    SessionFull,
    /// etcd refuses: it has no space left, or denies it.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Whether asking again may do better; the session's end bounds how often.
fn try_again(error: ReadError) -> Result<(), Failure> {
    match error {
        ReadError::Unavailable(failure) => {
            tracing::debug!(%failure, "reading a queue again");
            Ok(())
        }
        // The newest revision is read, which is never compacted.
        ReadError::Compacted { .. } => Ok(()),
        ReadError::Definite(failure) => Err(failure),
    }
}

/// Whether an entry may wait behind so many.
fn within_bound(ahead: usize) -> Result<(), QueueError> {
    if ahead < WAITERS_MAX {
        return Ok(());
    }
    Err(QueueError::QueueFull { waiting: ahead })
}
