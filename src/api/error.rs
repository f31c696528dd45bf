//! The one mapping from what can go wrong to what users are told; every case is written out.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tenure_cluster::{Failure, Room};

use super::wire::{FieldError, Problem};
use crate::config::Role;
use crate::task::{Illegal, TaskId};

mod causes;

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
    /// The idempotency key was used for another request.
    #[error(
        "idempotency key `{0}` was used for another request; use a new key, or repeat that request unchanged"
    )]
    KeyReused(String),
    /// Too many submits are in flight.
    #[error("as many submits are in flight as this node takes; nothing was accepted")]
    Busy,
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
    /// A panic.
    #[error("the node failed to answer; its log says more")]
    Panicked,
}

impl ApiError {
    /// Status, stable code, title.
    pub fn told(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "no_such_path", "No such path"),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
            ),
            Self::MediaType(_) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Not JSON by its header",
            ),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Too large"),
            Self::Body(_) => (
                StatusCode::BAD_REQUEST,
                "incomplete_body",
                "Incomplete body",
            ),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed_json", "Malformed JSON"),
            Self::Invalid(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_request",
                "Invalid request",
            ),
            Self::Parameter(_) => (
                StatusCode::BAD_REQUEST,
                "invalid_parameter",
                "Invalid parameter",
            ),
            Self::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::Foreign { .. } => (StatusCode::FORBIDDEN, "foreign_origin", "Foreign origin"),
            Self::NoTask(_) => (StatusCode::NOT_FOUND, "no_such_task", "No such task"),
            Self::NoNode(_) => (StatusCode::NOT_FOUND, "no_such_node", "No such node"),
            Self::WrongState(_) => (StatusCode::CONFLICT, "wrong_state", "Wrong state"),
            Self::Moving(_) => (StatusCode::CONFLICT, "task_moving", "The task kept moving"),
            Self::NoLeader { .. } => (StatusCode::SERVICE_UNAVAILABLE, "no_leader", "Nobody leads"),
            Self::LeaderChanged => (StatusCode::CONFLICT, "leader_changed", "The leader changed"),
            Self::CursorExpired => (StatusCode::GONE, "cursor_expired", "Cursor expired"),
            Self::Outpaced { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "history_compacted",
                "History compacted",
            ),
            Self::KeyReused(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency key reused",
            ),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy", "Busy"),
            Self::NearlyFull(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "etcd_nearly_full",
                "etcd is nearly full",
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "etcd_unavailable",
                "etcd is unavailable",
            ),
            Self::Unknown(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "outcome_unknown",
                "Outcome unknown",
            ),
            Self::ClockBehind => (
                StatusCode::SERVICE_UNAVAILABLE,
                "clock_behind",
                "Clock behind",
            ),
            Self::Closing => (
                StatusCode::SERVICE_UNAVAILABLE,
                "shutting_down",
                "Shutting down",
            ),
            Self::Corrupt(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "corrupt_record",
                "Corrupt record",
            ),
            Self::Panicked => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
            ),
        }
    }

    /// In how many seconds to come again, where that makes sense.
    fn retry_after(&self) -> Option<u16> {
        match self {
            Self::Busy
            | Self::Outpaced { .. }
            | Self::Unavailable(_)
            | Self::NoLeader { .. }
            | Self::Closing
            | Self::Unknown(_) => Some(1),
            Self::NearlyFull(_) => Some(60),
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
            | Self::WrongState(_)
            | Self::Moving(_)
            | Self::LeaderChanged
            | Self::CursorExpired
            | Self::KeyReused(_)
            | Self::ClockBehind
            | Self::Corrupt(_)
            | Self::Panicked => None,
        }
    }

    fn faults(&self) -> Vec<FieldError> {
        match self {
            Self::Malformed(faults) | Self::Invalid(faults) | Self::Parameter(faults) => {
                faults.iter().take(FAULTS_MAX).cloned().collect()
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
            | Self::WrongState(_)
            | Self::Moving(_)
            | Self::NoLeader { .. }
            | Self::LeaderChanged
            | Self::CursorExpired
            | Self::Outpaced { .. }
            | Self::KeyReused(_)
            | Self::Busy
            | Self::NearlyFull(_)
            | Self::Unavailable(_)
            | Self::Unknown(_)
            | Self::ClockBehind
            | Self::Closing
            | Self::Corrupt(_)
            | Self::Panicked => Vec::new(),
        }
    }

    fn problem(&self) -> Problem {
        let (status, code, title) = self.told();
        Problem {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: Some(self.to_string()),
            instance: None,
            code: code.to_owned(),
            errors: self.faults(),
        }
    }
}

/// The body is left to `super::front`, which knows the request.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.told().0.into_response();
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::Unauthorized { .. } = self {
            let scheme = HeaderValue::from_static("Bearer realm=\"tenure\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Self::NoLeader { revision } = self {
            response
                .headers_mut()
                .insert(super::answer::REVISION, HeaderValue::from(revision));
        }
        response.extensions_mut().insert(self.problem());
        response
    }
}

fn counted(faults: &[FieldError]) -> String {
    match faults {
        [one] if one.field.is_empty() => one.detail.clone(),
        [one] => format!("{}: {}", one.field, one.detail),
        [first, ..] if faults.len() > FAULTS_MAX => {
            format!(
                "{} faults, the first {FAULTS_MAX} are listed; {}: {}",
                faults.len(),
                first.field,
                first.detail
            )
        }
        [first, ..] => format!("{} faults; {}: {}", faults.len(), first.field, first.detail),
        [] => "invalid".to_owned(),
    }
}

fn full(room: &Room) -> String {
    let Room { in_use, quota, .. } = room;
    let until = if room.no_space {
        "etcd has raised its alarm NOSPACE: new work is refused until it has room and the alarm is disarmed; a node's own etcd disarms it itself, and `etcd-quota` gives it more room"
    } else {
        "new work is refused until ended tasks are collected or the quota is raised"
    };
    format!("etcd has {in_use} bytes of its quota of {quota} in use; {until}")
}

/// A role's name.
pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Submit => "submit",
        Role::Admin => "admin",
    }
}
