//! A mutex: the oldest entry in the queue holds it. Who waits watches the one entry directly ahead.
//! Never takes a read or an event for its turn.

use std::pin::pin;

use tokio::time::sleep;

use super::entry::Entry;
use super::hold::{Hold, Taken};
use super::listing::{self, Listing};
use super::{QueueError, RECHECK, RETRY, try_again, txns, within_bound};
use crate::connection::Connection;
use crate::ended::{Life, ended};
use crate::failure::FailureKind;
use crate::read::{KeyValue, Range, ReadError};
use crate::session::Session;
use crate::txn::Outcome;

/// A lock across processes, by the name of a prefix: at most one [`Hold`] at any revision, granted in the order of asking.
///
/// Who asks has a key under `<prefix>/queue/`, leased, whose create revision is its place; the oldest holds. So the token,
/// which is that create revision, rises from hold to hold, also where an operator deletes keys or makes some by hand: one made
/// by hand stands last in the queue, and keeps the others out when it has become the oldest, until it is deleted.
///
/// A holder that is paused does not know that it lost its lease. What must not happen then carries [`Hold::guard`] or
/// [`Hold::token`]; [`Hold::lost`] is for stopping in good time.
///
/// # Examples
///
/// ```no_run
/// use tenure_cluster::{Connection, Mutex, QueueError, Session, Txn};
///
/// # async fn example(connection: Connection, session: Session) -> Result<(), QueueError> {
/// let mutex = Mutex::new(&connection, "/app/locks/reindex");
/// let hold = mutex.acquire(&session, "node a").await?;
/// let write = Txn::new().guard(hold.guard()).put("/app/index", "built");
/// println!("{:?} with token {}", connection.commit(&write).await, hold.token());
/// hold.release().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Mutex {
    connection: Connection,
    queue: String,
}

impl Mutex {
    /// Names a mutex; nothing is sent. No other recipe's prefix may lie below it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(connection: &tenure_cluster::Connection) {
    /// let mutex = tenure_cluster::Mutex::new(connection, "/app/locks/reindex");
    /// # }
    /// ```
    pub fn new(connection: &Connection, prefix: &str) -> Self {
        Self {
            connection: connection.clone(),
            queue: format!("{}/queue/", prefix.trim_end_matches('/')),
        }
    }

    /// Waits its turn, as long as the session lives. `holder` is what `holders` shows.
    ///
    /// May be dropped at any time: its entry is then deleted in the background. Asking twice from one session is two entries,
    /// and the second waits for the first.
    ///
    /// # Errors
    /// The session is lost, the entry was deleted, the queue or the session is full, or etcd refuses.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(mutex: tenure_cluster::Mutex, session: tenure_cluster::Session) {
    /// match tokio::time::timeout(Duration::from_secs(10), mutex.acquire(&session, "node a")).await {
    ///     Ok(Ok(hold)) => println!("held with token {}", hold.token()),
    ///     Ok(Err(error)) => println!("{error}"),
    ///     Err(_) => println!("not within 10 s"),
    /// }
    /// # }
    /// ```
    pub async fn acquire(&self, session: &Session, holder: &str) -> Result<Hold, QueueError> {
        let lost = session.lost();
        tokio::select! {
            biased;
            () = lost.cancelled() => Err(QueueError::SessionLost),
            hold = self.queue_up(session, holder) => hold,
        }
    }

    /// Who holds it: the oldest entry, which may be about to notice.
    ///
    /// # Errors
    /// Nobody answered in time, or the read is refused.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(mutex: tenure_cluster::Mutex) -> Result<(), tenure_cluster::ReadError> {
    /// for entry in mutex.holders().await?.entries {
    ///     println!("{} with token {}", entry.holder, entry.revision);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn holders(&self) -> Result<Listing, ReadError> {
        let mut listing = self.list().await?;
        listing.entries.truncate(1);
        Ok(listing)
    }

    /// Who waits for it, in order.
    ///
    /// # Errors
    /// Nobody answered in time, or the read is refused.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(mutex: tenure_cluster::Mutex) -> Result<(), tenure_cluster::ReadError> {
    /// let waiters = mutex.waiters().await?;
    /// for entry in &waiters.entries {
    ///     println!("{} since {} revisions", entry.holder, waiters.age(entry));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn waiters(&self) -> Result<Listing, ReadError> {
        let mut listing = self.list().await?;
        listing.entries.drain(..listing.entries.len().min(1));
        Ok(listing)
    }

    async fn list(&self) -> Result<Listing, ReadError> {
        listing::list(&self.connection, &self.queue, "").await
    }

    async fn queue_up(&self, session: &Session, holder: &str) -> Result<Hold, QueueError> {
        let mut entry = Entry::choose(session, &self.queue, None)?;
        let card = listing::card(holder, 1);
        let created = entry.put(&self.connection, session, card).await?;
        let own = entry.life(entry.key(), created);
        let mut deleted = pin!(ended(self.connection.clone(), own, created));
        loop {
            if let Some(seen) = self.enter(&entry, created).await? {
                let taken = Taken {
                    token: created,
                    weight: 1,
                    seen,
                };
                return Ok(Hold::start(&self.connection, session, entry, taken));
            }
            let (ahead, seen) = self.ahead(created).await?;
            // Nobody: who was ahead went just now.
            let Some(ahead) = ahead else { continue };
            tokio::select! {
                biased;
                () = &mut deleted => return Err(QueueError::EntryDeleted),
                () = ended(self.connection.clone(), ahead, seen) => {}
                () = sleep(RECHECK) => {}
            }
        }
    }

    /// Enters where nobody is ahead, and answers the revision. Entering again is harmless, so that settles what is unknown.
    async fn enter(&self, entry: &Entry, created: i64) -> Result<Option<i64>, QueueError> {
        let txn = txns::enter(&self.queue, entry.key(), created);
        loop {
            match self.connection.commit(&txn).await {
                Outcome::Committed(committed) => return Ok(Some(committed.revision)),
                Outcome::Refused(refused) if refused.lost.contains(&"entry") => {
                    return Err(QueueError::EntryDeleted);
                }
                Outcome::Refused(_) => return Ok(None),
                Outcome::Unknown(failure) if failure.kind == FailureKind::Space => {
                    return Err(failure.into());
                }
                Outcome::Unavailable(failure) if !failure.kind.blames_member() => {
                    return Err(failure.into());
                }
                Outcome::Unknown(_) | Outcome::Unavailable(_) => sleep(RETRY).await,
            }
        }
    }

    /// The entry directly ahead, and the revision at which it was.
    async fn ahead(&self, created: i64) -> Result<(Option<Life>, i64), QueueError> {
        let queue = Range::prefix(&self.queue).keys_only();
        loop {
            match self.connection.range(&queue).await {
                Ok(page) => {
                    let older = page.kvs.iter().filter(|kv| kv.create_revision < created);
                    within_bound(older.count())?;
                    return Ok((directly_ahead(&page.kvs, created), page.revision));
                }
                Err(error) => try_again(error)?,
            }
            sleep(RETRY).await;
        }
    }
}

fn directly_ahead(queue: &[KeyValue], created: i64) -> Option<Life> {
    let ahead = queue.iter().filter(|kv| kv.create_revision < created);
    ahead.max_by_key(|kv| kv.create_revision).map(Life::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directly_ahead_is_the_youngest_of_those_that_are_older() {
        let kv = |created: &i64| KeyValue {
            key: created.to_string(),
            value: bytes::Bytes::new(),
            create_revision: *created,
            mod_revision: *created,
            version: 1,
            lease: 1,
        };
        let table = [
            (&[][..], None),
            (&[7], None),
            (&[9, 7, 8], None),
            (&[3, 7], Some(3)),
            (&[3, 6, 5, 7, 9], Some(6)),
        ];

        for (queue, expected) in table {
            let queue: Vec<KeyValue> = queue.iter().map(kv).collect();
            let ahead = directly_ahead(&queue, 7).map(|life| life.created);
            assert_eq!(ahead, expected, "{queue:?}");
        }
    }
}
