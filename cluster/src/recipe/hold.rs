//! What is held: its token, its guard, and the knowledge that it is over.
//! Never fences by itself: what must not happen late carries the guard or the token.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::entry::{Entry, Released};
use crate::connection::Connection;
use crate::ended::ended;
use crate::session::Session;
use crate::txn::Guard;

/// A mutex or permits of a semaphore, held. Dropped without [`release`](Self::release), it is given back by the session in the
/// background, and with the session's lease at the latest.
///
/// # Examples
///
/// ```no_run
/// # use tenure_cluster::{Connection, Hold, Released, Txn};
/// # async fn example(connection: Connection, hold: Hold) {
/// let write = Txn::new().guard(hold.guard()).put("/app/state", "written by the holder");
/// tokio::select! {
///     () = hold.lost().cancelled_owned() => println!("stop: somebody else may hold it soon"),
///     outcome = connection.commit(&write) => println!("{outcome:?}"),
/// }
/// if let Released::Gone = hold.release().await {
///     println!("it was lost before");
/// }
/// # }
/// ```
pub struct Hold {
    connection: Connection,
    entry: Entry,
    token: i64,
    weight: u32,
    lost: CancellationToken,
    tasks: JoinSet<()>,
}

impl Hold {
    /// A hold whose key was seen at this revision.
    pub(super) fn start(
        connection: &Connection,
        session: &Session,
        entry: Entry,
        taken: Taken,
    ) -> Self {
        let lost = session.lost().child_token();
        let life = entry.life(entry.held_key(), taken.token);
        let (ending, over) = (ended(connection.clone(), life, taken.seen), lost.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Also where this panics, the hold is over: nobody would see its end any more.
            let _over = over.drop_guard();
            ending.await;
        });
        Self {
            connection: connection.clone(),
            entry,
            token: taken.token,
            weight: taken.weight,
            lost,
            tasks,
        }
    }

    /// The fencing token: the create revision of [`key`](Self::key), greater than that of every hold of this name before it.
    ///
    /// A resource outside of etcd refuses what comes with a token below the greatest it has seen. A key that an operator deletes
    /// and makes again has a later revision, and is no longer this hold. Revisions run backwards only where etcd is restored
    /// from a snapshot without `--bump-revision`.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// The key that is the hold.
    pub fn key(&self) -> &str {
        self.entry.held_key()
    }

    /// How much is held; 1 of a mutex.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The guard, named `hold`, that a write made under it carries.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(hold: &tenure_cluster::Hold) {
    /// let write = tenure_cluster::Txn::new().guard(hold.guard()).put("/app/state", "mine");
    /// # }
    /// ```
    pub fn guard(&self) -> Guard {
        Guard::created_at("hold", self.entry.held_key(), self.token)
    }

    /// Cancelled as soon as the hold is known to be over: its session is lost, its key was deleted, it was released or dropped.
    /// A session knows it lost a margin before its lease may end, so who stops by then has stopped before the next one holds;
    /// a deleted key is known only afterwards.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Gives it back, guarded by its create revision: never another's.
    pub async fn release(mut self) -> Released {
        self.lost.cancel();
        self.tasks.shutdown().await;
        self.entry.leave(&self.connection).await
    }
}

/// How it was taken.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) token: i64,
    pub(super) weight: u32,
    /// A revision at which it was held.
    pub(super) seen: i64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Who acts under this hold has only its token.
        self.lost.cancel();
    }
}
