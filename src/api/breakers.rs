//! Circuit breakers: lists those that nodes tell of, and passes resets on to them; any node answers for all.

use std::sync::Arc;

use axum::extract::{Request, State};

use super::answer::Answer;
use super::body::{self, AtMost};
use super::cluster::time;
use super::error::ApiError;
use super::state::Room;
use super::wire::{Breaker, BreakerPage, BreakerState, FieldError, ResetAsked, ResetRequest};
use crate::store::{self, BreakerRecord, Reset};
use crate::task::Name;

/// 4 KiB: a reset names a node, a kind and a host.
const RESET: AtMost = AtMost {
    max: 4 << 10,
    what: "a reset",
};

/// The circuit breakers that are not closed, on all nodes.
#[utoipa::path(get, path = "/v1/breakers", tag = "breakers", responses((status = 200, body = BreakerPage)))]
pub(super) async fn list(State(room): State<Arc<Room>>) -> Result<Answer<BreakerPage>, ApiError> {
    let (told, revision) = room.door.store.breakers().await?;
    let of_node = |(node, all): (Name, Vec<BreakerRecord>)| {
        let one = move |record| breaker(&node, record);
        all.into_iter().map(one)
    };
    let items = told.into_iter().flat_map(of_node).collect();
    Ok(Answer::at(
        revision,
        BreakerPage {
            items,
            next_cursor: None,
            revision,
        },
    ))
}

/// Closes breakers of a kind, on one node or all. Tasks that were deferred keep their time. Needs the role admin where tokens are
/// configured.
#[utoipa::path(post, path = "/v1/breakers/reset", tag = "breakers", request_body = ResetRequest,
    responses((status = 200, description = "The nodes are told", body = ResetAsked),
        (status = 404, description = "`no_such_node`"), (status = 504, description = "`outcome_unknown`")))]
pub(super) async fn reset(
    State(room): State<Arc<Room>>,
    request: Request,
) -> Result<Answer<ResetAsked>, ApiError> {
    let (parts, sent) = request.into_parts();
    body::may_come(&parts.headers, RESET)?;
    let bytes = body::read(sent, RESET, |_| Ok(())).await?;
    let asked: ResetRequest = serde_json::from_slice(&bytes).map_err(|error| unread(&error))?;
    let faults = asked.check();
    let node = asked.node.as_deref().map(str::parse::<Name>).transpose();
    let (Ok(node), Ok(kind), []) = (node, asked.kind.parse(), faults.as_slice()) else {
        return Err(ApiError::Invalid(faults));
    };
    let reset = Reset {
        kind,
        host: asked.host,
    };
    let (nodes, revision) = room
        .door
        .store
        .reset_breakers(node.as_ref(), &reset)
        .await?;
    match node {
        Some(node) if nodes.is_empty() => Err(ApiError::NoNode(node.to_string())),
        Some(_) | None => Ok(Answer::at(
            revision,
            ResetAsked {
                nodes: nodes.iter().map(ToString::to_string).collect(),
                revision,
            },
        )),
    }
}

fn breaker(node: &Name, record: BreakerRecord) -> Breaker {
    Breaker {
        node: node.to_string(),
        kind: record.kind.to_string(),
        host: record.host,
        state: match record.state {
            store::BreakerState::Open => BreakerState::Open,
            store::BreakerState::HalfOpen => BreakerState::HalfOpen,
        },
        since: time(record.since_ms),
        until: record.until_ms.map(time),
        failures: record.failures,
        runs: record.runs,
        reason: record.reason,
    }
}

/// A body that is no reset: what is not even JSON is told apart.
fn unread(error: &serde_json::Error) -> ApiError {
    let fault = FieldError {
        pointer: String::new(),
        field: "reset".to_owned(),
        detail: error.to_string(),
    };
    match error.classify() {
        serde_json::error::Category::Data => ApiError::Invalid(vec![fault]),
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => ApiError::Malformed(vec![fault]),
    }
}
