//! Which status and code each problem has; every case is written out.

use axum::http::StatusCode;

use super::ApiError;
use crate::api::level::Cause;
use crate::telemetry::profile::Unable;

impl ApiError {
    /// Status, stable code, title.
    #[expect(clippy::too_many_lines, reason = "a table: one row for each case")]
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
            Self::NoFailover(_) => (
                StatusCode::NOT_FOUND,
                "no_such_failover",
                "No such failover",
            ),
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
            Self::Changed { .. } => (StatusCode::PRECONDITION_FAILED, "changed", "Changed"),
            Self::TooMany { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "too_many", "Too many"),
            Self::Contended => (StatusCode::CONFLICT, "contended", "Contended"),
            Self::NoSchedule(_) => (
                StatusCode::NOT_FOUND,
                "no_such_schedule",
                "No such schedule",
            ),
            Self::Overlap { .. } => (StatusCode::CONFLICT, "overlap", "Overlap"),
            Self::KeyReused(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency key reused",
            ),
            Self::NoHold => (StatusCode::NOT_FOUND, "no_such_hold", "No such hold"),
            Self::WrongFence { .. } => (StatusCode::CONFLICT, "wrong_fence", "Wrong fence"),
            Self::AmbiguousFence { .. } => {
                (StatusCode::CONFLICT, "ambiguous_fence", "Ambiguous fence")
            }
            Self::HoldReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "hold_id_reused",
                "Id of a hold reused",
            ),
            Self::HeldByTask { .. } => (StatusCode::CONFLICT, "held_by_task", "Held by a task"),
            Self::NoSemaphore(_) => (
                StatusCode::NOT_FOUND,
                "no_such_semaphore",
                "No such semaphore",
            ),
            Self::LimitDiffers { .. } => (StatusCode::CONFLICT, "limit_differs", "Limit differs"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy", "Busy"),
            Self::Shed { why, .. } => (shed(*why), "service_reduced", "Service reduced"),
            Self::Backlog { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "backlog_full",
                "Backlog full",
            ),
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
            Self::Profile(why) => profile(why),
            Self::Panicked => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
            ),
        }
    }
}

fn profile(why: &Unable) -> (StatusCode, &'static str, &'static str) {
    match why {
        Unable::NotBuilt => (
            StatusCode::NOT_IMPLEMENTED,
            "no_profiler",
            "No profiler in this build",
        ),
        Unable::NotSampled => (StatusCode::CONFLICT, "not_sampled", "Not sampled"),
        Unable::Busy => (StatusCode::CONFLICT, "profile_running", "Profile running"),
        Unable::Failed(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "profiler_failed",
            "Profiler failed",
        ),
    }
}

/// A node that is loaded lets others of its kind do it; without etcd, or without room in it, no node can.
fn shed(why: Cause) -> StatusCode {
    match why {
        Cause::Load(_) | Cause::Backlog(_) | Cause::Cpu(_) | Cause::Memory(_) => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Cause::Etcd(_) | Cause::NoSpace | Cause::Silent => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// In how many seconds to come again: as often as it is looked at; an etcd that is short of room stays so for a while.
pub(super) fn again_after_secs(why: Cause) -> u16 {
    match why {
        Cause::Load(_) | Cause::Backlog(_) | Cause::Silent => 1,
        Cause::Cpu(_) | Cause::Memory(_) => 5,
        Cause::Etcd(_) | Cause::NoSpace => 60,
    }
}
