//! A semaphore: who fits gets its permit by a transaction that compares the limit. Who waits watches the one entry directly
//! ahead, and only the first of them what is held. Never counts before it has a place, and never admits by a read alone.

use std::pin::pin;

use tokio::time::sleep;

use super::entry::Entry;
use super::hold::{Hold, Taken};
use super::limit::{Limit, LimitError};
use super::listing::{self, Listed, Listing};
use super::rule::{Turn, View, turn};
use super::txns::{self, Grant};
use super::{QueueError, RECHECK, RETRY, within_bound};
use crate::connection::Connection;
use crate::ended::{Life, ended};
use crate::failure::FailureKind;
use crate::read::{KeyValue, ReadError};
use crate::session::Session;
use crate::txn::{Answer, Outcome};
use crate::watch::{Delivery, Event, EventKind, WatchSpec};

/// Why there are no permits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// More was asked for than the limit; also where it was lowered below that while waiting.
    #[error("a weight of {weight} is above the limit of {limit}")]
    AboveLimit {
        /// What was asked for.
        weight: u32,
        /// The limit that is stored.
        limit: u32,
    },
    /// 0 is nothing to hold.
    #[error("a weight is at least 1")]
    ZeroWeight,
    /// What is stored under a key of the semaphore cannot be read, so nobody knows how much is held.
    #[error("{key} holds no entry of a semaphore")]
    Malformed {
        /// The key.
        key: String,
    },
    /// The limit cannot be told.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It has no place in the queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// A semaphore across processes, by the name of a prefix: no grant makes the weight of all [`Hold`]s exceed the limit that is in
/// force at its revision.
///
/// Who asks has a key under `<prefix>/queue/`, leased, whose create revision is its place. Its turn is when all that is held,
/// all that waits ahead of it and itself are within the limit: a small request behind a wide one waits. It then trades its place
/// for a key under `<prefix>/permits/`, whose create revision is the token: it rises from grant to grant, which the places do not,
/// since who fits may ask later than one behind it. The limit is stored at `<prefix>/permits/limit`.
///
/// A waiter that is paused when its turn comes keeps those directly behind it until its session ends, or 30 s.
///
/// # Examples
///
/// ```no_run
/// use tenure_cluster::{Connection, Semaphore, Session};
///
/// # async fn example(connection: Connection, session: Session) -> Result<(), Box<dyn std::error::Error>> {
/// let semaphore = Semaphore::open(&connection, "/app/semaphores/db", 3).await?;
/// let hold = semaphore.acquire(&session, "node a", 2).await?;
/// println!("2 of 3 with token {}", hold.token());
/// hold.release().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Semaphore {
    pub(super) connection: Connection,
    pub(super) limit_key: String,
    pub(super) queue: String,
    pub(super) permits: String,
}

impl Semaphore {
    pub(super) fn at(connection: &Connection, prefix: &str) -> Self {
        let prefix = prefix.trim_end_matches('/');
        Self {
            connection: connection.clone(),
            // No entry is named so: theirs are hexadecimal.
            limit_key: format!("{prefix}/permits/limit"),
            queue: format!("{prefix}/queue/"),
            permits: format!("{prefix}/permits/"),
        }
    }

    /// Waits until it fits, as long as the session lives. `holder` is what [`holders`](Self::holders) and
    /// [`waiters`](Self::waiters) show.
    ///
    /// May be dropped at any time: what it wrote is then deleted in the background.
    ///
    /// # Errors
    /// The weight is above the limit, now or after a change; the session is lost; the entry was deleted; the queue or the session
    /// is full; the limit or an entry cannot be read; or etcd refuses.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use tenure_cluster::{AcquireError, Semaphore, Session};
    /// # async fn example(semaphore: Semaphore, session: Session) {
    /// match semaphore.acquire(&session, "node a", 2).await {
    ///     Ok(hold) => println!("{} held with token {}", hold.weight(), hold.token()),
    ///     Err(AcquireError::AboveLimit { limit, .. }) => println!("never: at most {limit}"),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # }
    /// ```
    pub async fn acquire(
        &self,
        session: &Session,
        holder: &str,
        weight: u32,
    ) -> Result<Hold, AcquireError> {
        if weight == 0 {
            return Err(AcquireError::ZeroWeight);
        }
        let lost = session.lost();
        tokio::select! {
            biased;
            () = lost.cancelled() => Err(QueueError::SessionLost.into()),
            hold = self.queue_up(session, holder, weight) => hold,
        }
    }

    /// Who holds permits, and how many, oldest first.
    ///
    /// # Errors
    /// Nobody answered in time, or the read is refused.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(semaphore: tenure_cluster::Semaphore) -> Result<(), tenure_cluster::ReadError> {
    /// for entry in semaphore.holders().await?.entries {
    ///     println!("{} holds {} with token {}", entry.holder, entry.weight, entry.revision);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn holders(&self) -> Result<Listing, ReadError> {
        listing::list(&self.connection, &self.permits, &self.limit_key).await
    }

    /// Who waits, and for how many, in order.
    ///
    /// # Errors
    /// Nobody answered in time, or the read is refused.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(semaphore: tenure_cluster::Semaphore) -> Result<(), tenure_cluster::ReadError> {
    /// let waiters = semaphore.waiters().await?;
    /// for entry in &waiters.entries {
    ///     println!("{} since {} revisions", entry.holder, waiters.age(entry));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn waiters(&self) -> Result<Listing, ReadError> {
        listing::list(&self.connection, &self.queue, "").await
    }

    async fn queue_up(
        &self,
        session: &Session,
        holder: &str,
        weight: u32,
    ) -> Result<Hold, AcquireError> {
        // Before there is an entry that others would wait for.
        let limit = self.stored().await?.value;
        if weight > limit {
            return Err(AcquireError::AboveLimit { weight, limit });
        }
        let mut entry = Entry::choose(session, &self.queue, Some(&self.permits))?;
        let card = listing::card(holder, weight);
        let created = entry.put(&self.connection, session, card.clone()).await?;
        let (key, permit) = (entry.key().to_owned(), entry.held_key().to_owned());
        let own = entry.life(&key, created);
        let mut deleted = pin!(ended(self.connection.clone(), own, created));
        loop {
            let (view, limit, seen) = self.look(created).await?;
            let ahead = match turn(&view, created, weight) {
                Turn::Ours => {
                    let ask = Grant {
                        entry: &key,
                        created,
                        limit: &self.limit_key,
                        modified: limit.modified,
                        permit: &permit,
                        value: card.clone(),
                        lease: entry.lease(),
                    };
                    let Some((token, seen)) = self.grant(&mut entry, &ask).await? else {
                        continue;
                    };
                    let how = Taken {
                        token,
                        weight,
                        seen,
                    };
                    return Ok(Hold::start(&self.connection, session, entry, how));
                }
                Turn::Never => {
                    entry.leave(&self.connection).await;
                    let limit = limit.value;
                    return Err(AcquireError::AboveLimit { weight, limit });
                }
                Turn::After(ahead) => Some(ahead),
                Turn::First => None,
            };
            tokio::select! {
                biased;
                () = &mut deleted => return Err(QueueError::EntryDeleted.into()),
                () = self.changed(ahead, seen) => {}
                () = sleep(RECHECK) => {}
            }
        }
    }

    /// Reads who waits, who holds and the limit, at one revision.
    async fn look(&self, created: i64) -> Result<(View, Limit, i64), AcquireError> {
        let txn = txns::look(&self.queue, &self.permits);
        loop {
            match self.connection.commit(&txn).await {
                Outcome::Committed(committed) => {
                    let mut results = committed.results.into_iter().map(kvs);
                    let mut next = || results.next().unwrap_or_default();
                    let (view, limit) = self.view(&next(), &next())?;
                    let ahead = view.waiting.iter().filter(|it| it.revision < created);
                    within_bound(ahead.count())?;
                    return Ok((view, limit, committed.revision));
                }
                Outcome::Unavailable(failure) | Outcome::Unknown(failure)
                    if failure.kind.definite() && !failure.kind.blames_member() =>
                {
                    return Err(QueueError::Failed(failure).into());
                }
                Outcome::Refused(_) | Outcome::Unavailable(_) | Outcome::Unknown(_) => {
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn view(
        &self,
        queue: &[KeyValue],
        permits: &[KeyValue],
    ) -> Result<(View, Limit), AcquireError> {
        let (limit, holding): (Vec<_>, Vec<_>) =
            permits.iter().partition(|kv| kv.key == self.limit_key);
        let limit = limit.first().ok_or_else(|| self.missing())?;
        let limit = Limit::read(limit)?;
        let view = View {
            limit: limit.value,
            holding: holding.into_iter().map(listed).collect::<Result<_, _>>()?,
            waiting: queue.iter().map(listed).collect::<Result<_, _>>()?,
        };
        Ok((view, limit))
    }

    /// Trades the entry for its permit, and answers the token and a revision at which it was there; nothing where the limit was
    /// changed. Sent again where the outcome is unknown: both guards are monotone.
    pub(super) async fn grant(
        &self,
        entry: &mut Entry,
        ask: &Grant<'_>,
    ) -> Result<Option<(i64, i64)>, QueueError> {
        let txn = txns::grant(ask);
        entry.granting();
        loop {
            match self.connection.commit(&txn).await {
                Outcome::Committed(committed) => {
                    entry.permitted(committed.revision);
                    return Ok(Some((committed.revision, committed.revision)));
                }
                Outcome::Refused(refused) if refused.lost.contains(&"entry") => {
                    let seen = refused.revision;
                    let ours = refused.found().filter(|kv| kv.lease == ask.lease);
                    let permit = ours.ok_or(QueueError::EntryDeleted)?;
                    entry.permitted(permit.create_revision);
                    return Ok(Some((permit.create_revision, seen)));
                }
                Outcome::Refused(_) => {
                    // The entry is there, so nothing was granted, and under the old limit nothing will be.
                    entry.not_granted(ask.created);
                    return Ok(None);
                }
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

    /// Waits for what can change the turn after this revision: the end of the entry ahead, or, for who is first, a permit that goes
    /// or the limit.
    async fn changed(&self, ahead: Option<Listed>, seen: i64) {
        if let Some(ahead) = ahead {
            let life = Life {
                key: ahead.key,
                lease: ahead.lease,
                created: ahead.revision,
            };
            return ended(self.connection.clone(), life, seen).await;
        }
        let spec = WatchSpec::prefix(&self.permits).from(seen + 1);
        let mut watch = self.connection.watch(spec);
        let matters =
            |event: &Event| event.kind == EventKind::Delete || event.kv.key == self.limit_key;
        loop {
            match watch.next().await {
                Delivery::Events { events, .. } if events.iter().any(matters) => return,
                Delivery::Events { .. } | Delivery::Progress { .. } => {}
                // Look again.
                Delivery::Compacted { .. } => return,
            }
        }
    }
}

fn kvs(answer: Answer) -> Vec<KeyValue> {
    match answer {
        Answer::Kvs(kvs) => kvs,
        Answer::Put | Answer::Deleted(_) | Answer::Nested(_) => Vec::new(),
    }
}

fn listed(kv: &KeyValue) -> Result<Listed, AcquireError> {
    listing::read(kv).ok_or_else(|| AcquireError::Malformed {
        key: kv.key.clone(),
    })
}
