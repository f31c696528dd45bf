//! Nodes taken out of service and put back into it; hands no work back itself: the node does.

use std::sync::Arc;

use axum::extract::{Path, Request, State};

use super::answer::Answer;
use super::body;
use super::cluster::time;
use super::error::ApiError;
use super::limits::{EDIT, checked, read};
use super::state::Room;
use super::wire::{Drain, DrainRequest, NodeDrain};
use crate::store::{self, Drained};
use crate::task::{Name, NameError};

/// Drains a node: it hands back what has not started, lets what runs end within its grace, hands back the rest, takes nothing new and
/// leads only where nobody else can. That lasts until it is undrained, also where its process starts anew. Again, it changes nothing but
/// the reason.
#[utoipa::path(post, path = "/v1/nodes/{id}/drain", tag = "nodes",
    params(("id" = String, Path, description = "Its name")), request_body = DrainRequest,
    responses((status = 200, body = NodeDrain), (status = 404, description = "`no_such_node`"),
        (status = 422, description = "`invalid_request`"), (status = 504, description = "`outcome_unknown`")))]
pub(super) async fn drain(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Answer<NodeDrain>, ApiError> {
    let (parts, sent) = request.into_parts();
    body::may_come(&parts.headers, EDIT)?;
    let asked: DrainRequest = read(&body::read(sent, EDIT, |_| Ok(())).await?)?;
    checked(asked.check())?;
    let name = node(&id)?;
    let store = &room.door.store;
    let drained = store.drain(&name, &asked.reason, room.now_ms()).await?;
    Ok(told(&name, drained))
}

/// Undrains a node: it takes work and stands for leadership again, at once. Takes a name as well that is drained and has no node.
#[utoipa::path(post, path = "/v1/nodes/{id}/undrain", tag = "nodes",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, body = NodeDrain), (status = 404, description = "`no_such_node`"),
        (status = 504, description = "`outcome_unknown`")))]
pub(super) async fn undrain(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
) -> Result<Answer<NodeDrain>, ApiError> {
    let name = node(&id)?;
    let drained = room.door.store.undrain(&name).await?;
    Ok(told(&name, drained))
}

fn node(id: &str) -> Result<Name, ApiError> {
    id.parse()
        .map_err(|wrong: NameError| body::parameter("id", wrong.to_string()))
}

/// A drain on the wire.
pub(super) fn wire(drain: store::Drain) -> Drain {
    Drain {
        since: time(drain.since_ms),
        reason: drain.reason,
    }
}

fn told(node: &Name, drained: Drained) -> Answer<NodeDrain> {
    let Drained {
        now,
        already,
        revision,
    } = drained;
    let told = NodeDrain {
        node: node.to_string(),
        drain: now.map(wire),
        already,
        revision,
    };
    Answer::at(revision, told)
}
