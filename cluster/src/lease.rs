//! Leases as etcd has them: granted, kept alive, looked at, revoked. Never says whether a session lives;
//! [`Session`](crate::Session) does.

use std::time::Duration;

use crate::connection::Connection;
use crate::failure::{Failure, FailureKind};
use crate::planted;
use crate::read::ReadError;

/// The bug that is planted here, and in what looks at a session's key: where only one of them fails, the other ends the session.
pub(crate) const TTL_IGNORED: &str = "ttl-ignored";

/// What became of a lease that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// It is gone now, with all its keys.
    Done,
    /// There was no such lease.
    WasGone,
}

impl Connection {
    /// Whether etcd knows this lease and it has time left. A hint: it may be gone when you read this.
    ///
    /// # Errors
    /// Nobody answered in time, or the request is refused.
    pub async fn lease_alive(&self, lease: i64) -> Result<bool, ReadError> {
        Ok(self.lease_remaining(lease).await?.is_some())
    }

    /// How long a lease lives without another keepalive; `None` where there is no such lease.
    ///
    /// # Errors
    /// Nobody answered in time, or the request is refused.
    pub async fn lease_remaining(&self, lease: i64) -> Result<Option<Duration>, ReadError> {
        let answered = self
            .with_failover(
                "lease_time_to_live",
                |_| true,
                |unary| {
                    let mut client = unary.lease.clone();
                    async move { client.time_to_live(lease, None).await }
                },
            )
            .await;
        match answered {
            Ok(response) => Ok(seconds(response.ttl()).filter(|left| !left.is_zero())),
            Err(failure) if failure.kind == FailureKind::LeaseNotFound => Ok(None),
            Err(failure) => Err(ReadError::from_failure(failure, 0)),
        }
    }

    /// Ends a lease: its keys are deleted in one revision. Repeated until answered or out of time.
    ///
    /// # Errors
    /// It may still happen, unless the failure is definite.
    pub async fn revoke(&self, lease: i64) -> Result<Revoked, Failure> {
        let answered = self
            .with_failover(
                "lease_revoke",
                |_| true,
                |unary| {
                    let mut client = unary.lease.clone();
                    async move { client.revoke(lease).await }
                },
            )
            .await;
        match answered {
            Ok(_) => Ok(Revoked::Done),
            Err(failure) if failure.kind == FailureKind::LeaseNotFound => Ok(Revoked::WasGone),
            Err(failure) => Err(failure),
        }
    }

    /// Grants a lease that the server names, for so many seconds at least; one that is lost on the way expires by itself. Answers the
    /// lease and its time to live as granted, which may be longer than asked.
    ///
    /// # Errors
    /// Nobody answered in time, or the request is refused.
    pub async fn grant(&self, ttl_secs: i64) -> Result<(i64, Duration), Failure> {
        let granted = self
            .with_failover(
                "lease_grant",
                |_| true,
                |unary| {
                    let mut client = unary.lease.clone();
                    async move { client.grant(ttl_secs, None).await }
                },
            )
            .await?;
        Ok((granted.id(), seconds(granted.ttl()).unwrap_or_default()))
    }

    /// One keepalive for whoever keeps its deadline itself, at one member after the other until answered or out of time: the lease has
    /// its full time to live again, counted from after this call began. False where there is no such lease.
    ///
    /// # Errors
    /// Nobody answered in time, or the request is refused.
    pub async fn renew(&self, lease: i64) -> Result<bool, Failure> {
        let answered = self
            .with_failover(
                "lease_keep_alive",
                |_| true,
                |unary| {
                    let mut client = unary.lease.clone();
                    // The first answer of the stream is checked for a time to live above zero.
                    async move { client.keep_alive(lease).await.map(|_| ()) }
                },
            )
            .await;
        match answered {
            Ok(()) => Ok(true),
            Err(failure) if is_ignored(&failure) => Ok(true),
            Err(failure) if failure.kind == FailureKind::LeaseNotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// One keepalive, at the primary; a member that does not answer within `limit` is left.
    pub(crate) async fn keep_alive(&self, lease: i64, limit: Duration) -> Result<(), Failure> {
        let member = self.primary();
        let answered = self
            .ask(member, "lease_keep_alive", limit, |unary| {
                let mut client = unary.lease.clone();
                // The first answer of the stream is checked for a time to live above zero.
                async move { client.keep_alive(lease).await.map(|_| ()) }
            })
            .await;
        if let Err(failure) = &answered
            && failure.kind == FailureKind::Denied
        {
            self.endpoint(member).log_in_again(limit).await;
        }
        match answered {
            Err(failure) if is_ignored(&failure) => Ok(()),
            answered => answered,
        }
    }
}

/// Whether it says that a lease is gone, and nobody listens.
fn is_ignored(failure: &Failure) -> bool {
    planted::is(TTL_IGNORED) && failure.kind == FailureKind::LeaseNotFound
}

/// Seconds as etcd counts them; negative means there is nothing.
fn seconds(ttl: i64) -> Option<Duration> {
    u64::try_from(ttl).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use tenure_testkit::{Backend, Etcd, on_each_backend};

    use super::*;
    use crate::options::Options;

    on_each_backend!(a_lease_that_is_gone_is_not_renewed);

    async fn a_lease_that_is_gone_is_not_renewed(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let connection = Connection::open(Options::new(etcd.endpoints())).unwrap();
        let (lease, ttl) = connection.grant(10).await.unwrap();
        assert!(connection.renew(lease).await.unwrap());
        assert_eq!(connection.keep_alive(lease, ttl).await, Ok(()));

        assert_eq!(connection.revoke(lease).await, Ok(Revoked::Done));

        assert!(!connection.renew(lease).await.unwrap());
        let answered = connection.keep_alive(lease, ttl).await;
        assert_eq!(answered.unwrap_err().kind, FailureKind::LeaseNotFound);
    }
}
