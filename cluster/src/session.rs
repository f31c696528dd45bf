//! One lease per process, a key that shows it, and the knowledge of whether it still lives.
//! Never resurrected: a lost session stays lost, its owner opens a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::failure::{Failure, FailureKind};
use crate::janitor::Janitor;
use crate::keeper::{Keeper, keep, over, unless_it_panics};
use crate::lifetime::Lifetime;
use crate::read::KeyValue;
use crate::txn::{Guard, Op, Outcome, Txn};

/// 200 ms between attempts to put the key where the outcome is not known.
const RETRY: Duration = Duration::from_millis(200);

/// What a session is opened with.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The key that shows the session, for example `…/node/<id>`.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// How long etcd waits for a keepalive; in whole seconds, and etcd's minimum is 2 s by default.
    pub ttl: Duration,
    /// How much earlier than etcd we take the session for lost. Default: a tenth of the TTL.
    pub margin: Duration,
}

/// A lease held by keepalives, and its key. Dropping it stops the keepalives; [`close`](Self::close) ends it.
pub struct Session {
    connection: Connection,
    key: String,
    lease: i64,
    revision: i64,
    ttl: Duration,
    margin: Duration,
    state: Arc<watch::Sender<State>>,
    lost: CancellationToken,
    stop: CancellationToken,
    janitor: Janitor,
    keys_used: AtomicU64,
    tasks: JoinSet<()>,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Keepalives are answered.
    Live {
        /// When it is lost if none is answered from now on.
        until: Instant,
    },
    /// None was answered for two thirds of the TTL: start nothing new.
    Suspect {
        /// When it is lost if none is answered.
        until: Instant,
    },
    /// It is over; what it held may be given to others from the TTL's end on.
    Lost(LostReason),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostReason {
    /// No keepalive was answered until a margin before the TTL's end.
    Deadline,
    /// etcd no longer knows the lease.
    LeaseGone,
    /// The session's key was deleted or taken from its lease, though the lease lives.
    KeyDeleted,
    /// [`Session::close`] was called, the session was dropped, or a task of it panicked.
    Closed,
}

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option cannot be used.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field that is wrong.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another session holds the key.
    #[error("{} is held by lease {:x}", holder.key, holder.lease)]
    Taken {
        /// The key as its holder wrote it.
        holder: KeyValue,
        /// How long its lease lives without another keepalive; `None`: not known, or no lease.
        remaining: Option<Duration>,
    },
    /// etcd did not answer well; nothing that was sent outlives the TTL.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl SessionOptions {
    /// Options with the default margin, a tenth of the TTL.
    pub fn new(key: impl Into<String>, value: impl Into<Vec<u8>>, ttl: Duration) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            ttl,
            margin: ttl / 10,
        }
    }

    fn validate(&self) -> Result<(), OpenError> {
        let wrong = |field, reason: &str| {
            Err(OpenError::Invalid {
                field,
                reason: reason.into(),
            })
        };
        if self.key.is_empty() {
            return wrong("key", "is empty");
        }
        if self.ttl < Duration::from_secs(1) {
            return wrong("ttl", "is below 1 s");
        }
        if self.ttl > Duration::from_hours(1) {
            return wrong("ttl", "is above 1 h");
        }
        if self.margin > self.ttl / 3 {
            return wrong("margin", "is above a third of the ttl");
        }
        Ok(())
    }
}

impl LostReason {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::LeaseGone => "lease_gone",
            Self::KeyDeleted => "key_deleted",
            Self::Closed => "closed",
        }
    }
}

impl Session {
    /// Grants a lease and puts the key with it, where the key is absent.
    ///
    /// # Errors
    /// The key is taken, or etcd does not answer; the lease is then given back.
    pub async fn open(
        connection: &Connection,
        options: SessionOptions,
    ) -> Result<Session, OpenError> {
        options.validate()?;
        let sent = Instant::now();
        let ttl_secs = options.ttl.as_millis().div_ceil(1000);
        let (lease, ttl) = connection
            .grant(i64::try_from(ttl_secs).unwrap_or(i64::MAX))
            .await?;
        match claim(connection, &options, lease, sent + ttl).await {
            Ok(revision) => {
                let lifetime = Lifetime {
                    ttl,
                    margin: options.margin.min(ttl / 3),
                };
                Ok(Self::start(
                    connection.clone(),
                    options.key,
                    lease,
                    revision,
                    lifetime,
                    sent,
                ))
            }
            Err(error) => {
                // It ends by itself after the TTL; giving it back is a courtesy.
                if let Err(failure) = connection.revoke(lease).await {
                    tracing::debug!(%failure, lease, "an unused lease waits for its end");
                }
                Err(error)
            }
        }
    }

    fn start(
        connection: Connection,
        key: String,
        lease: i64,
        revision: i64,
        lifetime: Lifetime,
        acked: Instant,
    ) -> Self {
        let until = acked + lifetime.ttl.saturating_sub(lifetime.margin);
        let state = Arc::new(watch::Sender::new(State::Live { until }));
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let (janitor, sweeping) = Janitor::new(connection.clone(), lost.clone());
        let keeping = keep(Keeper {
            connection: connection.clone(),
            key: key.clone(),
            lease,
            revision,
            lifetime,
            acked,
            state: Arc::clone(&state),
            lost: lost.clone(),
            stop: stop.clone(),
        });
        for task in [sweeping.boxed(), keeping.boxed()] {
            tasks.spawn(unless_it_panics(task, Arc::clone(&state), lost.clone()));
        }
        let Lifetime { ttl, margin } = lifetime;
        let keys_used = AtomicU64::new(0);
        Self {
            connection,
            key,
            lease,
            revision,
            ttl,
            margin,
            state,
            lost,
            stop,
            janitor,
            keys_used,
            tasks,
        }
    }

    /// The lease, to attach keys to.
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// S, the create revision of the session's key: it names the session.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The session's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The TTL as granted, which may be longer than asked.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How much earlier than etcd it is taken for lost: its lease can be given away so long after `until` of its [`State`].
    pub fn margin(&self) -> Duration {
        self.margin
    }

    /// The guard that this session's key still exists: then its lease does too.
    pub fn guard(&self) -> Guard {
        Guard::created_at("session", &self.key, self.revision)
    }

    /// How it stands, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Cancelled as soon as the session is lost.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Writes the session's value anew, guarded by S and by nobody having written it since `last`: the revision of the last write
    /// known, S before the first. So a copy whose answer was lost cannot land on top of a later value. Where the refusal finds the
    /// key of this session, that copy had landed, and its mod revision is the next `last`; otherwise the session is over.
    pub async fn publish(&self, value: Vec<u8>, last: i64) -> Outcome {
        self.publish_with(value, last, Vec::new()).await
    }

    /// The same, and does `also` in the same transaction.
    pub async fn publish_with(&self, value: Vec<u8>, last: i64, also: Vec<Op>) -> Outcome {
        let txn = Txn::new()
            .guard(self.guard())
            .guard(Guard::modified_at("value", &self.key, last))
            .put_leased(&self.key, value, self.lease)
            .or_get(&self.key);
        let txn = also.into_iter().fold(txn, Txn::op);
        self.connection.commit(&txn).await
    }

    /// Ends the session: revokes the lease, so that all its keys go at once, and awaits its own tasks.
    pub async fn close(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        if let Err(failure) = self.connection.revoke(self.lease).await {
            tracing::warn!(%failure, lease = self.lease, "a closed session waits for its lease to end");
        }
    }

    pub(crate) fn janitor(&self) -> Janitor {
        self.janitor.clone()
    }

    /// A key under the prefix that this session has not used before and no other session uses.
    pub(crate) fn fresh_key(&self, prefix: &str) -> String {
        match self.keys_used.fetch_add(1, Ordering::Relaxed) {
            0 => format!("{prefix}{:x}", self.lease),
            again => format!("{prefix}{:x}-{again}", self.lease),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The tasks are aborted with their set; who relies on the session must know.
        over(&self.state, &self.lost);
    }
}

/// Puts the key with the lease where it is absent, and answers its create revision. An unknown outcome is
/// settled by the same transaction: the key is then there, with our lease.
async fn claim(
    connection: &Connection,
    options: &SessionOptions,
    lease: i64,
    until: Instant,
) -> Result<i64, OpenError> {
    let txn = Txn::new()
        .guard(Guard::absent("session", &options.key))
        .put_leased(&options.key, Bytes::from(options.value.clone()), lease)
        .or_get(&options.key);
    loop {
        let failure = match connection.commit(&txn).await {
            Outcome::Committed(committed) => return Ok(committed.revision),
            Outcome::Refused(refused) => match refused.found() {
                Some(kv) if kv.lease == lease => return Ok(kv.create_revision),
                Some(holder) => return Err(taken(connection, holder).await),
                None => Failure::new(
                    FailureKind::Transport,
                    "etcd",
                    "a key is there and was not read",
                ),
            },
            Outcome::Unknown(failure) => failure,
            Outcome::Unavailable(failure) if failure.kind.blames_member() => failure,
            Outcome::Unavailable(failure) => return Err(failure.into()),
        };
        if Instant::now() + RETRY >= until {
            return Err(failure.into());
        }
        sleep(RETRY).await;
    }
}

async fn taken(connection: &Connection, holder: KeyValue) -> OpenError {
    let remaining = match holder.lease {
        0 => None,
        lease => connection.lease_remaining(lease).await.unwrap_or(None),
    };
    OpenError::Taken { holder, remaining }
}

#[cfg(test)]
mod tests {
    use tenure_testkit::{Backend, Etcd, on_each_backend};

    use super::*;
    use crate::options::Options;

    on_each_backend!(a_key_that_a_lost_answer_left_with_our_lease_is_ours);

    async fn a_key_that_a_lost_answer_left_with_our_lease_is_ours(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let connection = Connection::open(Options::new(etcd.endpoints())).unwrap();
        let options = SessionOptions::new("/node/a", "v", Duration::from_secs(10));
        let (lease, ttl) = connection.grant(10).await.unwrap();
        let until = Instant::now() + ttl;
        let first = Txn::new().put_leased("/node/a", "v", lease);
        let created = connection
            .commit(&first)
            .await
            .committed()
            .unwrap()
            .revision;

        let settled = claim(&connection, &options, lease, until).await;
        assert_eq!(settled.unwrap(), created);

        let (other, _) = connection.grant(10).await.unwrap();
        let taken = claim(&connection, &options, other, until).await;
        assert!(matches!(taken, Err(OpenError::Taken { .. })), "{taken:?}");
    }
}
