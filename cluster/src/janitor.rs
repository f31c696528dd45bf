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

/// 1,024 places, reserved by what the session holds or waits for, or filled by what was left behind: more keys on one lease
/// make its end slow for etcd.
pub(crate) const PLACES_MAX: usize = 1024;
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

/// Keys without an owner, deleted together. Their names were used once, so deleting them by name harms nobody.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) keys: Vec<String>,
    /// The create revision of the first, as a guard; `None` where it is not known.
    pub(crate) created: Option<i64>,
    /// A put of one was sent and not answered, so that it may arrive later.
    pub(crate) late: bool,
}

/// Where orphans are handed in.
#[derive(Clone)]
pub(crate) struct Janitor {
    orphans: mpsc::Sender<Orphan>,
}

/// The certainty that an orphan will be taken, reserved before there is one.
pub(crate) struct Place(mpsc::OwnedPermit<Orphan>);

impl Place {
    /// Hands the orphan over; it goes at the latest with its lease.
    pub(crate) fn take(self, orphan: Orphan) {
        self.0.send(orphan);
    }
}

impl Janitor {
    /// A janitor, and its work, to be run by the owner until the session ends.
    pub(crate) fn new(
        connection: Connection,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (orphans, receiver) = mpsc::channel(PLACES_MAX);
        (Self { orphans }, run(connection, receiver, stop))
    }

    /// Reserves a place, unless as many are reserved or filled as there are.
    pub(crate) fn place(&self) -> Option<Place> {
        let permit = self.orphans.clone().try_reserve_owned();
        permit.ok().map(Place)
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
    let delete = orphan.keys.iter().fold(Txn::new(), Txn::delete);
    let (created, first) = (orphan.created, orphan.keys.first());
    let delete = match created.zip(first) {
        Some((revision, key)) => delete.guard(Guard::created_at("own", key, revision)),
        None => delete,
    };
    if !orphan.late {
        return settle(connection, &delete).await;
    }
    // The put's guard is that the key is absent, which can become true again: only time settles it.
    for pause in SWEEPS {
        sleep(pause).await;
        settle(connection, &delete).await;
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
