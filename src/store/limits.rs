//! Limits and queues' rules as admins edit them: each edit compares what it was made from; gives nothing away.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenure_cluster::{Failure, Outcome, Range, Txn};

use super::commit::Store;
use super::locate::{LookError, first};
use super::records::{Seen, encode};
use super::rules::{Limit, QueueRules};
use super::scan::looked;
use super::txns;
use crate::task::Name;

/// 4,096 semaphores, as many queues with rules, and as many drains: every leader holds all of them.
pub const EDITED_MAX: usize = 4_096;

/// 8 attempts of an edit that names no version: each lost to another edit in between.
pub(super) const TRIES_MAX: usize = 8;

/// Why an edit was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EditError {
    /// It is at another version than the caller saw.
    #[error("it is at version {now}, not {expected}")]
    Changed {
        /// The version that was asked for; 0 for one that does not exist.
        expected: i64,
        /// Its version now; 0 where it does not exist.
        now: i64,
    },
    /// There are as many as a cluster takes.
    #[error("the cluster has {max} {what} already, as many as it takes")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        max: usize,
    },
    /// Others edited it again and again.
    #[error("others edit it at the same time, try again")]
    Busy,
    /// It may have been done.
    #[error("it is not known whether it was done: {0}")]
    Unknown(Failure),
    /// It was not done.
    #[error("{0}")]
    Unavailable(Failure),
    /// It could not be read.
    #[error(transparent)]
    Look(#[from] LookError),
}

/// What an edit was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// When what is edited was last written; 0 where there is none.
    pub modified: i64,
    /// When anything was last edited, 0 for never; looked at no earlier than the other.
    pub rules: i64,
}

/// An edit that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited<T> {
    /// What it is now; none where it is gone.
    pub value: Option<T>,
    /// The version of it: the revision it was edited at.
    pub version: i64,
}

impl Store {
    /// A semaphore's limit; none where nobody declared it.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn semaphore(&self, name: &Name) -> Result<Option<Seen<Limit>>, LookError> {
        looked(|| self.edited(self.keys().semaphore(name))).await
    }

    /// A queue's rules; none where it has none.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn queue_rules(&self, name: &Name) -> Result<Option<Seen<QueueRules>>, LookError> {
        looked(|| self.edited(self.keys().queue(name))).await
    }

    /// Sets a semaphore's limit, or takes it away; where a version is expected, only what is at it.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn edit_semaphore(
        &self,
        name: &Name,
        limit: Option<Limit>,
        expected: Option<i64>,
    ) -> Result<Edited<Limit>, EditError> {
        let (key, prefix) = (self.keys().semaphore(name), self.keys().semaphore_prefix());
        self.edit((&key, &prefix, "semaphores"), expected, |_| limit)
            .await
    }

    /// Makes a queue's rules anew from what they are; where a version is expected, only what is at it.
    ///
    /// # Errors
    /// [`EditError`].
    pub async fn edit_queue(
        &self,
        name: &Name,
        expected: Option<i64>,
        make: impl Fn(QueueRules) -> QueueRules + Send + Sync,
    ) -> Result<Edited<QueueRules>, EditError> {
        let (key, prefix) = (self.keys().queue(name), self.keys().queue_prefix());
        let anew = |now: Option<QueueRules>| {
            let rules = make(now.unwrap_or_default());
            (rules != QueueRules::default()).then_some(rules)
        };
        self.edit((&key, &prefix, "queues with rules"), expected, anew)
            .await
    }

    pub(super) async fn edited<T: DeserializeOwned>(
        &self,
        key: String,
    ) -> Result<Option<Seen<T>>, LookError> {
        Ok(first(self.connection().range(&Range::key(key)).await?)?)
    }

    async fn edit<T>(
        &self,
        (key, prefix, what): (&str, &str, &'static str),
        expected: Option<i64>,
        make: impl Fn(Option<T>) -> Option<T> + Send + Sync,
    ) -> Result<Edited<T>, EditError>
    where
        T: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync,
    {
        for _ in 0..TRIES_MAX {
            let seen: Option<Seen<T>> = looked(|| self.edited(key.to_owned())).await?;
            let now = seen.as_ref().map_or(0, |seen| seen.modified);
            if let Some(expected) = expected.filter(|expected| *expected != now) {
                return Err(EditError::Changed { expected, now });
            }
            let was = seen.map(|seen| seen.value);
            let value = make(was.clone());
            if value == was {
                return Ok(Edited {
                    value,
                    version: now,
                });
            }
            if now == 0 && self.is_full(prefix).await? {
                return Err(EditError::TooMany {
                    what,
                    max: EDITED_MAX,
                });
            }
            let rules = match now {
                0 => looked(|| self.last_edit()).await?,
                _ => 0,
            };
            let basis = Basis {
                modified: now,
                rules,
            };
            let txn = txns::edit(self.keys(), key, value.as_ref().map(encode), basis);
            match self.once(&txn).await {
                Outcome::Committed(done) => {
                    let version = value.as_ref().map_or(0, |_| done.revision);
                    return Ok(Edited { value, version });
                }
                Outcome::Refused(_) => {}
                Outcome::Unknown(failure) => return Err(EditError::Unknown(failure)),
                Outcome::Unavailable(failure) => return Err(EditError::Unavailable(failure)),
            }
        }
        Err(EditError::Busy)
    }

    /// Sends an edit. What it compares never comes back: of unknown outcome, it is repeated as it is, and done once at most. Refused then,
    /// it may have been done before.
    pub(super) async fn once(&self, txn: &Txn) -> Outcome {
        match self.connection().commit(txn).await {
            Outcome::Unknown(failure) => match self.connection().commit(txn).await {
                Outcome::Refused(_) => Outcome::Unknown(failure),
                known @ (Outcome::Committed(_) | Outcome::Unknown(_) | Outcome::Unavailable(_)) => {
                    known
                }
            },
            known @ (Outcome::Committed(_) | Outcome::Refused(_) | Outcome::Unavailable(_)) => {
                known
            }
        }
    }

    /// When anything was last edited; 0 for never.
    pub(super) async fn last_edit(&self) -> Result<i64, LookError> {
        let mark = Range::key(self.keys().rules()).keys_only();
        let page = self.connection().range(&mark).await?;
        Ok(page.kvs.first().map_or(0, |kv| kv.mod_revision))
    }

    pub(super) async fn is_full(&self, prefix: &str) -> Result<bool, LookError> {
        let all = Range::prefix(prefix).count_only();
        let count = self.connection().range(&all).await?.count;
        Ok(usize::try_from(count).unwrap_or(0) >= EDITED_MAX)
    }
}
