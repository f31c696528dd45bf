//! A semaphore's limit, stored with it: declared where absent, changed by compare and swap, never assumed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::semaphore::Semaphore;
use super::{RETRY, txns};
use crate::connection::Connection;
use crate::failure::{Failure, FailureKind};
use crate::read::{KeyValue, Range, ReadError};
use crate::txn::{Outcome, Refused, Txn};

/// Why a limit was not declared, read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Another limit is stored.
    #[error("the limit stored at {key} is {stored}, not {expected}")]
    Differs {
        /// Where it is stored.
        key: String,
        /// The limit that is stored.
        stored: u32,
        /// The limit that was given.
        expected: u32,
    },
    /// 0 lets nobody in.
    #[error("a limit is at least 1")]
    Zero,
    /// No limit is stored: nobody opened the semaphore, or its key was deleted.
    #[error("no limit is stored at {key}")]
    Missing {
        /// Where it would be.
        key: String,
    },
    /// What is stored is no limit.
    #[error("{key} holds no limit")]
    Malformed {
        /// Where it is stored.
        key: String,
    },
    /// etcd did not answer well; unless the failure is definite, the change may still happen.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A limit as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) value: u32,
    /// The mod revision of its key, by which a grant compares it.
    pub(super) modified: i64,
}

/// The value of a limit's key.
#[derive(Serialize, Deserialize)]
struct Card {
    limit: u32,
}

impl Limit {
    /// What the limit's key says.
    pub(super) fn read(kv: &KeyValue) -> Result<Self, LimitError> {
        match serde_json::from_slice(&kv.value) {
            Ok(Card { limit }) if limit > 0 => Ok(Self {
                value: limit,
                modified: kv.mod_revision,
            }),
            Ok(_) | Err(_) => Err(LimitError::Malformed {
                key: kv.key.clone(),
            }),
        }
    }
}

fn card(limit: u32) -> Result<Bytes, LimitError> {
    if limit == 0 {
        return Err(LimitError::Zero);
    }
    let card = serde_json::to_vec(&Card { limit });
    Ok(card.expect("a number is JSON").into())
}

impl Semaphore {
    /// Opens a semaphore with this limit, which is stored where none is yet.
    ///
    /// # Errors
    /// Another limit is stored; the limit is 0; etcd does not answer within twice the request timeout, or has no space.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use tenure_cluster::{Connection, LimitError, Semaphore};
    /// # async fn example(connection: &Connection) -> Result<(), LimitError> {
    /// let semaphore = match Semaphore::open(connection, "/app/semaphores/db", 3).await {
    ///     Err(LimitError::Differs { stored, .. }) => {
    ///         Semaphore::open(connection, "/app/semaphores/db", stored).await?
    ///     }
    ///     opened => opened?,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(
        connection: &Connection,
        prefix: &str,
        limit: u32,
    ) -> Result<Self, LimitError> {
        let semaphore = Self::at(connection, prefix);
        let txn = txns::declare(&semaphore.limit_key, card(limit)?);
        semaphore.store(&txn, limit).await?;
        Ok(semaphore)
    }

    /// The limit that is stored.
    ///
    /// # Errors
    /// None is stored, or etcd does not answer well.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(semaphore: tenure_cluster::Semaphore) -> Result<(), tenure_cluster::LimitError> {
    /// println!("at most {}", semaphore.limit().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn limit(&self) -> Result<u32, LimitError> {
        Ok(self.stored().await?.value)
    }

    /// Changes the limit, where it is as expected. Lowering takes nothing away from who holds, and lets nobody in until it fits;
    /// who asked for more than the new limit is refused.
    ///
    /// # Errors
    /// The stored limit is another; the new one is 0; etcd does not answer within twice the request timeout, or has no space.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(semaphore: tenure_cluster::Semaphore) -> Result<(), tenure_cluster::LimitError> {
    /// semaphore.change_limit(3, 5).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn change_limit(&self, from: u32, to: u32) -> Result<(), LimitError> {
        let value = card(to)?;
        let stored = self.stored().await?;
        if stored.value != from {
            return Err(self.differs(stored.value, from));
        }
        let txn = txns::change(&self.limit_key, stored.modified, value);
        match self.store(&txn, to).await {
            // Told by what the caller expected, not by what it wanted.
            Err(LimitError::Differs { stored, .. }) => Err(self.differs(stored, from)),
            stored => stored,
        }
    }

    pub(super) async fn stored(&self) -> Result<Limit, LimitError> {
        match self.connection.range(&Range::key(&self.limit_key)).await {
            Ok(page) => page.kvs.first().map_or(Err(self.missing()), Limit::read),
            Err(ReadError::Unavailable(failure) | ReadError::Definite(failure)) => {
                Err(failure.into())
            }
            Err(ReadError::Compacted { at }) => {
                unreachable!("read without a revision, not at {at}")
            }
        }
    }

    pub(super) fn missing(&self) -> LimitError {
        let key = self.limit_key.clone();
        LimitError::Missing { key }
    }

    fn differs(&self, stored: u32, expected: u32) -> LimitError {
        let key = self.limit_key.clone();
        LimitError::Differs {
            key,
            stored,
            expected,
        }
    }

    /// Commits until it is known that the limit is stored, or that another is; for twice the request timeout.
    async fn store(&self, txn: &Txn, limit: u32) -> Result<(), LimitError> {
        let deadline = Instant::now() + self.connection.request_timeout() * 2;
        loop {
            let failure = match self.connection.commit(txn).await {
                Outcome::Committed(_) => return Ok(()),
                Outcome::Refused(refused) => return self.agrees(refused, limit),
                Outcome::Unknown(failure) | Outcome::Unavailable(failure) => failure,
            };
            let hopeless = failure.kind == FailureKind::Space
                || failure.kind.definite() && !failure.kind.blames_member();
            if hopeless || Instant::now() + RETRY >= deadline {
                return Err(failure.into());
            }
            sleep(RETRY).await;
        }
    }

    /// Whoever stored it: the limit is as wanted, or told.
    fn agrees(&self, refused: Refused, limit: u32) -> Result<(), LimitError> {
        let found = refused.found().ok_or_else(|| self.missing())?;
        let stored = Limit::read(&found)?.value;
        if stored == limit {
            return Ok(());
        }
        Err(self.differs(stored, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reads_as_it_was_written_and_nothing_else_is_one() {
        let kv = |value: Bytes| KeyValue {
            key: "/s/permits/limit".into(),
            value,
            create_revision: 7,
            mod_revision: 9,
            version: 2,
            lease: 0,
        };
        assert_eq!(card(3).unwrap(), r#"{"limit":3}"#.as_bytes());
        assert_eq!(card(0), Err(LimitError::Zero));
        let read = Limit::read(&kv(card(3).unwrap()));
        assert_eq!(
            read,
            Ok(Limit {
                value: 3,
                modified: 9
            })
        );
        for nonsense in [
            "",
            "3",
            r#"{"limit":0}"#,
            r#"{"limit":-1}"#,
            r#"{"limit":4294967296}"#,
        ] {
            let read = Limit::read(&kv(nonsense.into()));
            assert!(
                matches!(read, Err(LimitError::Malformed { .. })),
                "{read:?}"
            );
        }
    }
}
