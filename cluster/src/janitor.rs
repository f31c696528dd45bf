//! Deletes keys whose owner went away without saying so, until that is certain.
//! Never deletes a key that its name or its create revision does not make ours.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::txn::{Guard, Outcome, Txn};

/// 1,024 keys left behind at once; more means a caller drops handles in a loop.
const ORPHANS_MAX: usize = 1024;
/// 500 ms between attempts that were not answered well.
const RETRY: Duration = Duration::from_millis(500);
/// Pauses before each sweep for a put that may still commit; etcd gives up a request after 7 s, and 31 s in
/// all leave room for what is stuck on the way to it.
const SWEEPS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// A key without an owner. Its name was used once, so deleting it by name harms nobody.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) key: String,
    /// Its create revision; `None` where its put was sent and not answered.
    pub(crate) created: Option<i64>,
}

/// Where orphans are handed in.
#[derive(Clone)]
pub(crate) struct Janitor {
    orphans: mpsc::Sender<Orphan>,
}

impl Janitor {
    /// A janitor, and its work, to be run by the owner until the session ends.
    pub(crate) fn new(
        connection: Connection,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (orphans, receiver) = mpsc::channel(ORPHANS_MAX);
        (Self { orphans }, run(connection, receiver, stop))
    }

    /// Takes a key over; it goes at the latest with its lease.
    pub(crate) fn take(&self, orphan: Orphan) {
        if let Err(error) = self.orphans.try_send(orphan) {
            tracing::debug!(%error, "an abandoned key waits for the end of its lease");
        }
    }
}

async fn run(
    connection: Connection,
    mut receiver: mpsc::Receiver<Orphan>,
    stop: CancellationToken,
) {
    let mut sweeps = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(orphan) = receiver.recv() => sweeps.push(sweep(&connection, orphan)),
            Some(()) = sweeps.next(), if !sweeps.is_empty() => {}
            else => return,
        }
    }
}

async fn sweep(connection: &Connection, orphan: Orphan) {
    let delete = Txn::new().delete(&orphan.key);
    match orphan.created {
        Some(revision) => {
            settle(
                connection,
                &delete.guard(Guard::created_at("own", &orphan.key, revision)),
            )
            .await;
        }
        // Its guard is that the key is absent, which can become true again: only time settles it.
        None => {
            for pause in SWEEPS {
                sleep(pause).await;
                settle(connection, &delete).await;
            }
        }
    }
}

async fn settle(connection: &Connection, txn: &Txn) {
    loop {
        match connection.commit(txn).await {
            Outcome::Committed(_) | Outcome::Refused(_) => return,
            Outcome::Unknown(_) | Outcome::Unavailable(_) => sleep(RETRY).await,
        }
    }
}
