//! The one mapping from what can go wrong to what users are told; every case is written out.

use tenure_cluster::{Failure, Room};
use uuid::Uuid;

use super::level::{Cause, Level};
use super::wire::FieldError;
use crate::config::Role;
use crate::task::{Illegal, Name, TaskId};
use crate::telemetry::profile::Unable;

mod causes;
mod status;
mod told;
mod words;

pub(super) use words::word;
use words::{counted, full};

/// 20 faults of a request are told; the rest is counted.
pub(crate) const FAULTS_MAX: usize = 20;

/// Why a request was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// No such path.
    #[error("there is nothing at this path; GET /v1/openapi.json lists what there is")]
    NoRoute,
    /// The path takes other methods.
    #[error("this path takes other methods, see the header Allow")]
    Method,
    /// Not JSON by its header.
    #[error("a body must be sent with Content-Type: application/json, not `{0}`")]
    MediaType(String),
    /// More than a bound.
    #[error("{what}: at most {max} {unit} are allowed")]
    TooLarge {
        /// What of the request.
        what: String,
        /// The bound.
        max: usize,
        /// Of what.
        unit: &'static str,
        /// Where in the body, if in a field of it.
        pointer: Option<String>,
    },
    /// The body did not arrive whole.
    #[error("the body did not arrive whole: {0}")]
    Body(String),
    /// Not JSON.
    #[error("the body is not JSON")]
    Malformed(Vec<FieldError>),
    /// JSON, but not a good request.
    #[error("{}", counted(.0))]
    Invalid(Vec<FieldError>),
    /// A parameter of the path or query.
    #[error("{}", counted(.0))]
    Parameter(Vec<FieldError>),
    /// No token, or one that is not known.
    #[error("{}", if *.given { "this token is not known" } else { "a token is needed: Authorization: Bearer TOKEN" })]
    Unauthorized {
        /// Whether one was given.
        given: bool,
    },
    /// A token that does not allow this.
    #[error("this needs a token with the role {}, this one has {}", word(*.needs), word(*.has))]
    Forbidden {
        /// The least role that allows it.
        needs: Role,
        /// The token's.
        has: Role,
    },
    /// Sent by a web page of another origin, as far as its headers tell.
    #[error(
        "{header} is `{said}`: without tokens only this node's own pages and programs may call it, at loopback or at the \
         host of the setting `advertise`; set TENURE_TOKEN or --token-file to call it from elsewhere"
    )]
    Foreign {
        /// The header that tells.
        header: &'static str,
        /// What it says.
        said: String,
    },
    /// No such task.
    #[error("there is no task {0}, or it has been collected after its retention")]
    NoTask(TaskId),
    /// No such node.
    #[error("no live node is named `{0}`")]
    NoNode(String),
    /// No such failover.
    #[error(
        "no failover `{0}` is on record: a session or a term by its number, one of the last 100"
    )]
    NoFailover(String),
    /// The task's state forbids it.
    #[error(transparent)]
    WrongState(Illegal),
    /// The task kept moving.
    #[error("task {0} kept moving, try again")]
    Moving(TaskId),
    /// Nobody leads.
    #[error("nobody leads at revision {revision}")]
    NoLeader {
        /// The revision that is true at.
        revision: i64,
    },
    /// Somebody else leads by now.
    #[error("the leader changed meanwhile")]
    LeaderChanged,
    /// The pages' revision is compacted.
    #[error("the revision of this cursor has been compacted: list again without a cursor")]
    CursorExpired,
    /// Compaction overtook every look.
    #[error("etcd compacted revision {at} while it was read, again and again: try later")]
    Outpaced {
        /// The last revision that was read at.
        at: i64,
    },
    /// What was to be edited is at another version.
    #[error("it is at version {now}, not at {expected}: look again, and edit what is there now")]
    Changed {
        /// What `If-Match` said.
        expected: i64,
        /// What it is at.
        now: i64,
    },
    /// There are as many as a cluster takes.
    #[error(
        "the cluster has {max} {what} already, as many as it takes: take away what is not used"
    )]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        max: usize,
    },
    /// Others edit the same.
    #[error("others edit it at the same time, try again; nothing was changed")]
    Contended,
    /// No such schedule.
    #[error("there is no schedule `{0}`")]
    NoSchedule(Name),
    /// Earlier tasks of a schedule have not ended, and its rule forbids another.
    #[error("{}", words::overlap(schedule, open))]
    Overlap {
        /// The schedule.
        schedule: Name,
        /// Those tasks.
        open: Vec<TaskId>,
    },
    /// The idempotency key was used for another request.
    #[error(
        "idempotency key `{0}` was used for another request; use a new key, or repeat that request unchanged"
    )]
    KeyReused(String),
    /// No such request or hold.
    #[error("there is no such hold: {}", crate::store::OutsideError::Gone)]
    NoHold,
    /// Held with another fence.
    #[error("{}", words::fence(*.now))]
    WrongFence {
        /// The fence it is held with.
        now: Option<i64>,
    },
    /// Several holds have this fence.
    #[error("{}", words::ambiguous(*.fence, ids))]
    AmbiguousFence {
        /// The fence.
        fence: i64,
        /// The holds.
        ids: Vec<Uuid>,
    },
    /// The id of a hold is in use.
    #[error(
        "this id waits or holds with another weight or holder: use a new one, or repeat that request unchanged"
    )]
    HoldReused,
    /// A task has it.
    #[error("task {task} holds it on node {node}, and its claim is the hold: cancel the task")]
    HeldByTask {
        /// The task.
        task: TaskId,
        /// Where it runs.
        node: Name,
    },
    /// Nobody declared it.
    #[error(
        "semaphore `{0}` is not declared: give `limit`, or PUT /v1/semaphores/{0} (`tenure semaphore set {0} LIMIT`)"
    )]
    NoSemaphore(Name),
    /// It has another limit.
    #[error("the limit of semaphore `{semaphore}` is {stored}, and {asked} was given")]
    LimitDiffers {
        /// The semaphore.
        semaphore: Name,
        /// The limit that was given.
        asked: u32,
        /// The limit that it has.
        stored: u32,
    },
    /// Too many submits are in flight.
    #[error("as much is in flight or waits as this node takes; nothing was accepted")]
    Busy,
    /// A queue has as many pending tasks as it may have.
    #[error(
        "queue `{queue}` has about {pending} pending tasks, and its backlog_max is {max}; nothing was accepted"
    )]
    Backlog {
        /// The queue.
        queue: Name,
        /// About how many are pending.
        pending: u64,
        /// Its bound.
        max: u64,
    },
    /// There is not enough for all.
    #[error("{}", words::shed(.queue.as_ref(), *.level, *.why))]
    Shed {
        /// The queue, where not all that is new is refused.
        queue: Option<Name>,
        /// How much service there is.
        level: Level,
        /// Why.
        why: Cause,
    },
    /// etcd is nearly full.
    #[error("{}", full(.0))]
    NearlyFull(Room),
    /// Certainly not done.
    #[error("etcd does not answer as it should, and nothing was changed: {0}")]
    Unavailable(Failure),
    /// Perhaps done.
    #[error(
        "it is not known whether this was done: repeat it with the same Idempotency-Key, or look first ({0})"
    )]
    Unknown(Failure),
    /// This node's clock is far behind.
    #[error("this node's clock is behind what has been collected already; nothing was accepted")]
    ClockBehind,
    /// The node is leaving.
    #[error("this node is shutting down; ask another")]
    Closing,
    /// What is stored is not what it should be.
    #[error("{0}")]
    Corrupt(String),
    /// A profile cannot be taken.
    #[error("{0}")]
    Profile(Unable),
    /// A panic.
    #[error("the node failed to answer; its log says more")]
    Panicked,
}

impl ApiError {
    /// In how many seconds to come again, where that makes sense.
    fn retry_after(&self) -> Option<u16> {
        match self {
            Self::Busy
            | Self::Backlog { .. }
            | Self::Outpaced { .. }
            | Self::Unavailable(_)
            | Self::NoLeader { .. }
            | Self::Closing
            | Self::Unknown(_) => Some(1),
            Self::NearlyFull(_) => Some(60),
            Self::Shed { why, .. } => Some(status::again_after_secs(*why)),
            Self::NoRoute
            | Self::Method
            | Self::MediaType(_)
            | Self::TooLarge { .. }
            | Self::Body(_)
            | Self::Malformed(_)
            | Self::Invalid(_)
            | Self::Parameter(_)
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Foreign { .. }
            | Self::NoTask(_)
            | Self::NoNode(_)
            | Self::NoFailover(_)
            | Self::WrongState(_)
            | Self::Moving(_)
            | Self::LeaderChanged
            | Self::CursorExpired
            | Self::Changed { .. }
            | Self::TooMany { .. }
            | Self::Contended
            | Self::NoSchedule(_)
            | Self::Overlap { .. }
            | Self::KeyReused(_)
            | Self::NoHold
            | Self::WrongFence { .. }
            | Self::AmbiguousFence { .. }
            | Self::HoldReused
            | Self::HeldByTask { .. }
            | Self::NoSemaphore(_)
            | Self::LimitDiffers { .. }
            | Self::ClockBehind
            | Self::Corrupt(_)
            | Self::Profile(_)
            | Self::Panicked => None,
        }
    }

    fn faults(&self) -> Vec<FieldError> {
        match self {
            Self::Malformed(faults) | Self::Invalid(faults) | Self::Parameter(faults) => {
                faults.iter().take(FAULTS_MAX).cloned().collect()
            }
            Self::LimitDiffers { asked, stored, .. } => {
                let detail = format!("{asked} is not the limit that it has, {stored}");
                vec![FieldError::new("limit", detail)]
            }
            Self::TooLarge {
                pointer: Some(pointer),
                ..
            } => vec![FieldError {
                pointer: pointer.clone(),
                field: pointer.rsplit('/').next().unwrap_or_default().to_owned(),
                detail: self.to_string(),
            }],
            Self::TooLarge { pointer: None, .. }
            | Self::NoRoute
            | Self::Method
            | Self::MediaType(_)
            | Self::Body(_)
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Foreign { .. }
            | Self::NoTask(_)
            | Self::NoNode(_)
            | Self::NoFailover(_)
            | Self::WrongState(_)
            | Self::Moving(_)
            | Self::NoLeader { .. }
            | Self::LeaderChanged
            | Self::CursorExpired
            | Self::Outpaced { .. }
            | Self::Changed { .. }
            | Self::TooMany { .. }
            | Self::Contended
            | Self::NoSchedule(_)
            | Self::Overlap { .. }
            | Self::KeyReused(_)
            | Self::NoHold
            | Self::WrongFence { .. }
            | Self::AmbiguousFence { .. }
            | Self::HoldReused
            | Self::HeldByTask { .. }
            | Self::NoSemaphore(_)
            | Self::Busy
            | Self::Backlog { .. }
            | Self::Shed { .. }
            | Self::NearlyFull(_)
            | Self::Unavailable(_)
            | Self::Unknown(_)
            | Self::ClockBehind
            | Self::Closing
            | Self::Corrupt(_)
            | Self::Profile(_)
            | Self::Panicked => Vec::new(),
        }
    }
}
