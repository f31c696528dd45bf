//! Accepts tasks: single ones coalesced, batches whole; never acknowledges before the commit.

mod budget;
mod coalescer;
mod fate;
mod lanes;
mod packing;

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_cluster::{Failure, FailureKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

pub use budget::{IN_FLIGHT_BYTES_MAX, Space};
pub use coalescer::Coalescer;
pub use lanes::LANES_MAX;

use super::change::{Change, Submit};
use super::commit::Store;
use super::guard::GuardName;
use super::keys::Lane;
use super::records::Idem;
use super::txns;
use crate::planted::{self, Bug};
use crate::task::{PACK_TASKS_MAX, Policy, Routing, Spec, TaskId};
use crate::vitals::Of;
use budget::{Budget, weight};
use fate::{Fate, fate};
use lanes::Lanes;
use packing::{packed, replayed};

/// 8,192 submits wait for a commit at most: a quarter of a second of them at 32,000/s; beyond, callers are told to come again.
const WAITING_MAX: usize = 8_192;

/// 10 s from a submit's arrival, whatever it waits for: then its outcome is reported as unknown where it may have been sent. Nobody
/// waits longer, which is a part of why a late twin is refused (the leader's `collect`).
const SUBMIT_DEADLINE: Duration = Duration::from_secs(10);

/// 100 ms before a submit of unknown outcome is repeated: a full etcd answers at once, and would be asked without end.
const REPEAT: Duration = Duration::from_millis(100);

/// 1,500,000 bytes to a submit, by our count, which is rounded up: etcd's request limit is 1,572,864 (`--max-request-bytes`). A batch
/// of 1 MiB whose tasks share no policy passes it, for each is a pack with names of its own.
pub const SUBMIT_BYTES_MAX: usize = 1_500_000;

/// A submit whose answer did not come in time.
fn late() -> Failure {
    Failure {
        kind: FailureKind::Timeout,
        endpoint: "etcd".to_owned(),
        message: "no answer before the submit's deadline, or before this node stopped".to_owned(),
    }
}

/// A task to be accepted.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Where it goes.
    pub routing: Routing,
    /// What happens around its runs.
    pub policy: Policy,
    /// When it may start, in milliseconds since 1970; none means at once.
    pub run_at_ms: Option<u64>,
    /// Its own part.
    pub spec: Spec,
}

/// An idempotency key and the digest of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdemKey {
    /// What the user calls the request: 1 to 200 visible ASCII characters.
    pub key: String,
    /// SHA-256 of the request, in hexadecimal.
    pub digest: String,
}

/// Tasks that are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Their ids, in order of submission.
    pub tasks: Vec<TaskId>,
    /// The revision they were accepted at, or found at.
    pub revision: i64,
    /// Whether the idempotency key had been used for them before.
    pub repeated: bool,
}

/// Why tasks were not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The idempotency key was used for another request.
    #[error("idempotency key `{0}` was used for another request")]
    KeyTaken(String),
    /// As many submits are in flight as this node takes.
    #[error("{WAITING_MAX} submits or {IN_FLIGHT_BYTES_MAX} bytes of them are in flight already")]
    Busy,
    /// A batch is larger than etcd takes in one transaction.
    #[error(
        "the batch takes {0} bytes as it would be stored, at most {SUBMIT_BYTES_MAX} are taken"
    )]
    TooLarge(usize),
    /// It was not accepted.
    #[error("not accepted: {0}")]
    Unavailable(Failure),
    /// It may have been accepted.
    #[error("it is not known whether the submit was accepted: {0}")]
    Unknown(Failure),
    /// The store was asked with a time so far back that collection had passed it.
    #[error("this node's clock is behind the retention horizon")]
    ClockBehind,
    /// The cluster has as many lanes as it takes, and this would be one more.
    #[error(
        "queue `{}` has had no work of kind `{}` with this priority, first semaphore and set of required labels yet, and the cluster \
         has {LANES_MAX} such lanes already, as many as it takes: use one of those", .0.queue, .0.kind
    )]
    TooManyLanes(Lane),
    /// A guard refused it that says nothing of its idempotency key.
    #[error("not accepted: refused by the guard `{0}`")]
    Refused(GuardName),
    /// A value is not what its key promises.
    #[error(transparent)]
    Corrupt(#[from] super::records::Corrupt),
    /// The node is shutting down.
    #[error("this node is shutting down")]
    Closing,
}

/// Where submits are handed in. A cheap handle; single ones are committed by [`Coalescer::run`].
#[derive(Clone)]
pub struct Submitter {
    store: Store,
    line: mpsc::Sender<Waiter>,
    lanes: Lanes,
    budget: Budget,
}

/// One submit that waits for its commit.
#[derive(Debug)]
struct Waiter {
    task: NewTask,
    idem: Option<IdemKey>,
    now_ms: u64,
    /// Nothing of it is sent after this, and its caller waits no longer.
    deadline: Instant,
    answer: oneshot::Sender<Result<Accepted, SubmitError>>,
    /// Those after it in the line that have its idempotency key: its fate answers them too.
    twins: Vec<Waiter>,
    /// Held until it is answered, also where its caller went away.
    _space: Space,
}

/// The two ends of a line of single submits.
pub fn line(store: &Store) -> (Submitter, Coalescer) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let lanes = Lanes::default();
    let submitter = Submitter {
        store: store.clone(),
        line: sender,
        lanes: lanes.clone(),
        budget: Budget::new(),
    };
    submitter.watched(store);
    (submitter, Coalescer::new(store.clone(), receiver, lanes))
}

impl Submitter {
    /// Has its depths watched. The line ends with its last sender, which the watch must not be.
    fn watched(&self, store: &Store) {
        let (line, budget) = (self.line.downgrade(), self.budget.clone());
        let waiting = move || {
            let free = line.upgrade().map_or(WAITING_MAX, |line| line.capacity());
            WAITING_MAX - free.min(WAITING_MAX)
        };
        let vitals = store.vitals();
        vitals.watch(Of::Submits, Some(WAITING_MAX), waiting);
        let bytes = Some(IN_FLIGHT_BYTES_MAX);
        vitals.watch(Of::SubmitBytes, bytes, move || budget.taken());
    }

    /// Room for so many bytes of a submit that is still being read; [`Self::one`] and [`Self::batch`] take their own.
    ///
    /// # Errors
    /// [`SubmitError::Busy`].
    pub fn space(&self, bytes: usize) -> Result<Space, SubmitError> {
        self.budget.take(bytes)
    }

    /// Marks the lane of what somebody else will file there.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`], [`SubmitError::TooManyLanes`].
    pub async fn mark(&self, routing: &Routing) -> Result<(), SubmitError> {
        let lanes = BTreeSet::from([Lane::of(routing)]);
        let until = Instant::now() + SUBMIT_DEADLINE;
        self.lanes.mark(&self.store, lanes, until).await
    }

    /// How much of what this node takes at once is in flight, 0 to 1: of the bytes or of the line, whichever is more.
    #[expect(
        clippy::cast_precision_loss,
        reason = "some thousands of submits and some millions of bytes"
    )]
    pub fn load(&self) -> f64 {
        let waiting = WAITING_MAX - self.line.capacity().min(WAITING_MAX);
        let line = waiting as f64 / WAITING_MAX as f64;
        line.max(self.budget.taken() as f64 / IN_FLIGHT_BYTES_MAX as f64)
    }

    /// Accepts one task.
    ///
    /// # Errors
    /// [`SubmitError`]; only [`SubmitError::Unknown`] leaves open whether it was accepted.
    pub async fn one(
        &self,
        task: NewTask,
        idem: Option<IdemKey>,
        now_ms: u64,
    ) -> Result<Accepted, SubmitError> {
        let space = self.budget.take(weight(&task))?;
        let deadline = Instant::now() + SUBMIT_DEADLINE;
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter {
            task,
            idem,
            now_ms,
            deadline,
            answer,
            twins: Vec::new(),
            _space: space,
        };
        self.line
            .try_send(waiter)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
                mpsc::error::TrySendError::Closed(_) => SubmitError::Closing,
            })?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            // Late, or dropped with its commit in flight because the node stops: nobody knows.
            Ok(Err(_)) | Err(_) => Err(SubmitError::Unknown(late())),
        }
    }

    /// Accepts a batch whole or not at all, in one transaction.
    ///
    /// # Errors
    /// As [`Self::one`].
    ///
    /// # Panics
    /// When there is no task.
    pub async fn batch(
        &self,
        tasks: Vec<NewTask>,
        idem: Option<IdemKey>,
        now_ms: u64,
    ) -> Result<Accepted, SubmitError> {
        let _space = self.budget.take(tasks.iter().map(weight).sum())?;
        let (packs, ids) = packed(tasks, idem.as_ref(), now_ms);
        let lanes: BTreeSet<Lane> = packs
            .iter()
            .map(|(_, pack)| Lane::of(&pack.routing))
            .collect();
        let deadline = Instant::now() + SUBMIT_DEADLINE;
        let inline = packs.len() <= PACK_TASKS_MAX;
        let entry = idem.iter().map(|idem| {
            (
                idem.key.clone(),
                Idem {
                    tasks: ids.clone(),
                    digest: idem.digest.clone(),
                },
            )
        });
        let change = Change::Submit(Submit {
            packs,
            idem: entry.collect(),
            inline,
        });
        let bytes = txns::txn(self.store.keys(), &change).bytes();
        if bytes > SUBMIT_BYTES_MAX {
            return Err(SubmitError::TooLarge(bytes));
        }
        self.lanes.mark(&self.store, lanes, deadline).await?;
        let sent = timeout_at(deadline, self.send(change, idem, ids)).await;
        sent.unwrap_or_else(|_| Err(SubmitError::Unknown(late())))
    }

    /// Sends a batch until its fate is known.
    async fn send(
        &self,
        change: Change,
        idem: Option<IdemKey>,
        ids: Vec<TaskId>,
    ) -> Result<Accepted, SubmitError> {
        let change = [change];
        let accepted = |revision| Accepted {
            tasks: ids,
            revision,
            repeated: false,
        };
        let mut sent_before = false;
        if planted::is(Bug::AcknowledgedFirst) {
            let seen = self.store.connection().seen_revision();
            let sent = self.store.commit_batch(None, &change);
            let _ = tokio::time::timeout(REPEAT, sent).await;
            return Ok(accepted(seen));
        }
        loop {
            let verdict = self.store.commit_batch(None, &change).await.pop();
            let verdict = verdict.expect("one change, one verdict");
            match fate(verdict, sent_before) {
                Fate::Accepted { revision } => return Ok(accepted(revision)),
                Fate::Taken { reads, revision } => {
                    return replayed(self.store.keys(), idem.as_ref(), &reads, revision);
                }
                Fate::Failed(error) => return Err(error),
                Fate::Unsure if planted::is(Bug::SubmitUnknownIsDone) => {
                    return Ok(accepted(self.store.connection().seen_revision()));
                }
                Fate::Unsure => sent_before = true,
            }
            tokio::time::sleep(REPEAT).await;
        }
    }
}
