//! One cluster through several endpoints: requests with deadlines, a sticky primary, failover.
//! Never repeats a write that may have been sent.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::endpoint::{Endpoint, Unary};
use crate::failure::{Failure, FailureKind};
use crate::meter;
use crate::options::{Options, OptionsError};
use crate::read::{Page, Range, ReadError};
use crate::txn::{Outcome, Txn};
use crate::wire;

/// 50 ms, doubled up to 400 ms: the pause after all endpoints refused in turn.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// A handle to an etcd cluster; clones share everything. Connects when first used, so it is made inside a
/// tokio runtime or before, but used inside one.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    endpoints: Vec<Endpoint>,
    options: Options,
    /// The endpoint in use, by index; everyone leaves it when one request finds it failing.
    primary: AtomicUsize,
    /// The highest revision in any answer.
    seen: AtomicI64,
}

/// Why history was not compacted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// It was already, up to this revision or a later one.
    #[error("already compacted")]
    AlreadyCompacted,
    /// It may still happen, unless the failure is definite.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Connection {
    /// Prepares a connection; nothing is sent before the first request.
    ///
    /// # Errors
    /// Names the option that cannot be used.
    pub fn open(options: Options) -> Result<Self, OptionsError> {
        options.validate()?;
        let by_url = options.endpoints.iter().map(|url| Endpoint::new(url));
        let in_process = options.in_process.iter();
        let in_process = in_process.map(|(name, channel)| Endpoint::in_process(name, channel));
        let endpoints = by_url.chain(in_process).collect();
        let (primary, seen) = (AtomicUsize::new(0), AtomicI64::new(0));
        Ok(Self {
            inner: Arc::new(Inner {
                endpoints,
                options,
                primary,
                seen,
            }),
        })
    }

    /// Commits a transaction, once. Other endpoints are tried only while nothing was sent, until the
    /// request timeout; a transaction that fails its [`check`](Txn::check) is not sent.
    pub async fn commit(&self, txn: &Txn) -> Outcome {
        if let Err(violation) = txn.check() {
            return Outcome::Unavailable(Failure::new(
                FailureKind::Invalid,
                "not sent",
                violation.to_string(),
            ));
        }
        let request = wire::txn(txn);
        // Without a write etcd serves it as a read, and such answers have been stale.
        let floor = if txn.reads_only() {
            self.seen_revision()
        } else {
            0
        };
        let answered = self
            .with_failover("txn", FailureKind::definite, |unary| {
                let (mut kv, request) = (unary.kv.clone(), request.clone());
                async move { kv.txn(request).await }
            })
            .await;
        match answered {
            Ok(response) => {
                let revision = response
                    .header()
                    .map_or(0, etcd_client::ResponseHeader::revision);
                if revision < floor {
                    return Outcome::Unavailable(self.stale(revision, floor));
                }
                self.saw(revision);
                wire::outcome(txn, &response)
            }
            Err(failure) if failure.kind.definite() => Outcome::Unavailable(failure),
            Err(failure) => Outcome::Unknown(failure),
        }
    }

    /// Reads a range. An answer older than what this connection had seen when it asked is refused and asked
    /// for elsewhere, until the request timeout; linearizable reads have been stale in released versions.
    ///
    /// # Errors
    /// The revision is compacted, nobody answered well in time, or the request is refused.
    pub async fn range(&self, range: &Range) -> Result<Page, ReadError> {
        let deadline = Instant::now() + self.request_timeout();
        if range.serializable
            && let Ok(page) = self.range_once(range, true, deadline).await
            && page.revision >= range.at_least
        {
            return Ok(page);
        }
        let floor = self.seen_revision().max(range.at_least);
        let mut failed = 0;
        loop {
            let failure = match self.range_once(range, false, deadline).await {
                Ok(page) if page.revision >= floor => {
                    self.saw(page.revision);
                    return Ok(page);
                }
                Ok(page) => {
                    self.leave(self.primary());
                    self.stale(page.revision, floor)
                }
                Err(failure) => failure,
            };
            let error = ReadError::from_failure(failure, range.revision);
            match error {
                ReadError::Compacted { .. } | ReadError::Definite(_) => return Err(error),
                ReadError::Unavailable(_) => {
                    failed += 1;
                    self.pause(failed).await;
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Drops history before this revision. Ranges and watches from before it then answer `Compacted`.
    ///
    /// # Errors
    /// Already done, or not known to be done.
    pub async fn compact(&self, revision: i64) -> Result<(), CompactError> {
        let answered = self
            .with_failover("compact", FailureKind::definite, |unary| {
                let mut kv = unary.kv.clone();
                async move { kv.compact(revision, None).await }
            })
            .await;
        match answered {
            Ok(_) => Ok(()),
            Err(failure) if failure.kind == FailureKind::Compacted => {
                Err(CompactError::AlreadyCompacted)
            }
            Err(failure) => Err(CompactError::Failed(failure)),
        }
    }

    /// The highest revision in any answer so far.
    pub fn seen_revision(&self) -> i64 {
        self.inner.seen.load(Ordering::Acquire)
    }

    /// How long one request may take.
    pub fn request_timeout(&self) -> Duration {
        self.inner.options.request_timeout
    }

    pub(crate) fn saw(&self, revision: i64) {
        self.inner.seen.fetch_max(revision, Ordering::AcqRel);
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.inner.endpoints
    }

    pub(crate) fn endpoint(&self, member: usize) -> &Endpoint {
        &self.inner.endpoints[member]
    }

    pub(crate) fn primary(&self) -> usize {
        self.inner.primary.load(Ordering::Acquire)
    }

    /// Makes the next endpoint the primary, unless someone already left this one.
    pub(crate) fn leave(&self, member: usize) {
        let next = (member + 1) % self.inner.endpoints.len();
        let primary = &self.inner.primary;
        if primary
            .compare_exchange(member, next, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
            && next != member
        {
            tracing::debug!(from = %self.endpoint(member).url, to = %self.endpoint(next).url, "left an etcd endpoint");
        }
    }

    async fn range_once(
        &self,
        range: &Range,
        serializable: bool,
        deadline: Instant,
    ) -> Result<Page, Failure> {
        let op = if serializable {
            "range_serializable"
        } else {
            "range"
        };
        // Half the time, so that a member that hangs leaves time for another one.
        let share = if self.inner.endpoints.len() > 1 { 2 } else { 1 };
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = (self.request_timeout() / share).min(left);
        let response = self
            .ask(self.primary(), op, limit, |unary| {
                let mut kv = unary.kv.clone();
                let options = wire::range(range, serializable);
                let key = range.key.clone();
                async move { kv.get(key, Some(options)).await }
            })
            .await?;
        Ok(wire::page(response))
    }

    /// Asks the primary, and where the failure blames the member and `repeatable` allows, the others in turn,
    /// until the request timeout.
    pub(crate) async fn with_failover<T, F, A>(
        &self,
        op: &'static str,
        repeatable: impl Fn(FailureKind) -> bool,
        call: F,
    ) -> Result<T, Failure>
    where
        F: Fn(&Unary) -> A,
        A: Future<Output = Result<T, etcd_client::Error>>,
    {
        let deadline = Instant::now() + self.request_timeout();
        let mut failed = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.ask(self.primary(), op, left, &call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.kind.blames_member() && repeatable(failure.kind) => {
                    failed += 1;
                    self.pause(failed).await;
                    // Another attempt without time to connect would make an unknown of what is certain.
                    if deadline.saturating_duration_since(Instant::now()) < ROUND_PAUSE {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// One request to one member, measured, with a deadline; leaves the member where it is to blame.
    pub(crate) async fn ask<T, F, A>(
        &self,
        member: usize,
        op: &'static str,
        limit: Duration,
        call: F,
    ) -> Result<T, Failure>
    where
        F: FnOnce(&Unary) -> A,
        A: Future<Output = Result<T, etcd_client::Error>>,
    {
        let started = Instant::now();
        let endpoint = self.endpoint(member);
        let answered = async {
            let connecting = timeout(limit, endpoint.unary(self.options())).await;
            let unary = connecting.unwrap_or_else(|_| {
                Err(Failure::new(
                    FailureKind::NotSent,
                    &endpoint.url,
                    "connecting timed out",
                ))
            })?;
            let left = limit.saturating_sub(started.elapsed());
            // Boxed, because etcd-client's futures are kilobytes, and every caller's would be.
            match timeout(left, Box::pin(call(unary))).await {
                Ok(answered) => {
                    answered.map_err(|error| Failure::from_client(&error, &endpoint.url))
                }
                Err(_) => Err(Failure::new(
                    FailureKind::Timeout,
                    &endpoint.url,
                    format!("no answer to {op} within {} ms", limit.as_millis()),
                )),
            }
        }
        .await;
        meter::request(op, started.elapsed(), answered.as_ref().err());
        if let Err(failure) = &answered
            && failure.kind.blames_member()
        {
            self.leave(member);
        }
        answered
    }

    /// Waits a little after each full round of failures.
    async fn pause(&self, failed: usize) {
        let members = self.inner.endpoints.len();
        if failed.is_multiple_of(members) {
            let rounds = u32::try_from(failed / members).unwrap_or(u32::MAX);
            sleep(ROUND_PAUSE * (1 << rounds.saturating_sub(1).min(3))).await;
        }
    }

    fn stale(&self, revision: i64, floor: i64) -> Failure {
        Failure::new(
            FailureKind::Transport,
            &self.endpoint(self.primary()).url,
            format!("answered at revision {revision}, after {floor} was seen"),
        )
    }
}
