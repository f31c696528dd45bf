//! The paths of semaphores; what they do is said in `super`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::Uri;

use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::limits::checked;
use super::super::state::Room;
use super::super::wire::holds::{
    ForceReleased, Hold, HoldEnded, Holding, HoldingPage, PermitHoldRequest, ReleaseRequest,
};
use super::ask::{self, Wanted};
use super::{length, semaphore};
use crate::store::Sort;

/// Lists the semaphores that are declared, held or waited for.
#[utoipa::path(get, path = "/v1/semaphores", tag = "holds",
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = HoldingPage)))]
pub(in crate::api) async fn semaphore_list(
    State(room): State<Arc<Room>>,
    uri: Uri,
) -> Result<Answer<HoldingPage>, ApiError> {
    super::page(&room, Sort::Semaphores, &uri).await
}

/// Who holds a semaphore and who waits for it; nobody where the name was never used.
#[utoipa::path(get, path = "/v1/semaphores/{name}", tag = "holds",
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = Holding)))]
pub(in crate::api) async fn semaphore_get(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
) -> Result<Answer<Holding>, ApiError> {
    super::one(&room, semaphore(&name)?.0).await
}

/// Asks for permits, and waits for its turn as long as `wait_ms` says. What is neither waited for nor renewed within `ttl_ms` is over.
#[utoipa::path(post, path = "/v1/semaphores/{name}/holds", tag = "holds",
    params(("name" = String, Path, description = "Its name")),
    request_body = PermitHoldRequest,
    responses((status = 201, description = "It waits, or holds", body = Hold), (status = 200, description = "The id had asked before", body = Hold),
        (status = 404, description = "`no_such_semaphore`: it is not declared, and no limit was given"),
        (status = 409, description = "`limit_differs`"), (status = 422, description = "`invalid_request`: also a weight above the limit; `hold_id_reused`"),
        (status = 429, description = "`busy`: as many wait as the cluster takes; nothing stands"),
        (status = 503, description = "`etcd_nearly_full`, `service_reduced`, `etcd_unavailable`: nothing stands"),
        (status = 504, description = "`outcome_unknown`: repeat it with the same id")))]
pub(in crate::api) async fn semaphore_ask(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<Hold>, ApiError> {
    let asked: PermitHoldRequest = super::asked(request).await?;
    checked(asked.check())?;
    let small = |value: i64| u32::try_from(value).expect("checked");
    let (gate, name) = semaphore(&name)?;
    let (weight, limit) = (small(asked.weight), asked.limit.map(small));
    room.door.store.limit_for(&name, limit, weight).await?;
    let wanted = Wanted {
        id: asked.id,
        weight,
        holder: asked.holder,
        ttl: length(asked.ttl_ms),
        wait: length(asked.wait_ms),
    };
    ask::ask(&room, gate, wanted).await
}

/// How a request stands; with `wait`, once it holds. It is renewed while it waits, and not by a look.
#[utoipa::path(get, path = "/v1/semaphores/{name}/holds/{id}", tag = "holds",
    params(("name" = String, Path, description = "Its name"), ("id" = String, Path, description = "The id that asked"),
        ("wait" = Option<String>, Query, description = "How long to wait until it holds: up to 30s", example = "30s")),
    responses((status = 200, body = Hold), (status = 404, description = "`no_such_hold`: it is over")))]
pub(in crate::api) async fn semaphore_look(
    State(room): State<Arc<Room>>,
    Path((name, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Answer<Hold>, ApiError> {
    ask::look(&room, semaphore(&name)?.0, &id, &uri).await
}

/// Renews it: it is believed for its whole time to live again, counted from before this request was sent.
#[utoipa::path(post, path = "/v1/semaphores/{name}/holds/{id}/renew", tag = "holds",
    params(("name" = String, Path, description = "Its name"), ("id" = String, Path, description = "The id that asked")),
    responses((status = 200, body = Hold), (status = 404, description = "`no_such_hold`: it is over")))]
pub(in crate::api) async fn semaphore_renew(
    State(room): State<Arc<Room>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Answer<Hold>, ApiError> {
    super::renew(&room, semaphore(&name)?.0, &id).await
}

/// Gives it back by its fence; a request that waits is given up without one.
#[utoipa::path(delete, path = "/v1/semaphores/{name}/holds/{id}", tag = "holds",
    params(("name" = String, Path, description = "Its name"), ("id" = String, Path, description = "The id that asked"),
        ("fence" = Option<i64>, Query, description = "The fence of the hold")),
    responses((status = 200, body = HoldEnded), (status = 404, description = "`no_such_hold`: it is over"),
        (status = 409, description = "`wrong_fence`")))]
pub(in crate::api) async fn semaphore_end(
    State(room): State<Arc<Room>>,
    Path((name, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Answer<HoldEnded>, ApiError> {
    super::end(&room, semaphore(&name)?.0, &id, &uri).await
}

/// Takes a hold from its holder, on record. What it guards may still be in use: its fence has to be refused there. Needs the role admin.
#[utoipa::path(post, path = "/v1/semaphores/{name}/release", tag = "holds",
    params(("name" = String, Path, description = "Its name")), request_body = ReleaseRequest,
    responses((status = 200, body = ForceReleased),
        (status = 409, description = "`wrong_fence`: nobody holds it with this fence; `ambiguous_fence`: several do, give `id` too; \
            `held_by_task`: cancel the task")))]
pub(in crate::api) async fn semaphore_force(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<ForceReleased>, ApiError> {
    super::force(&room, semaphore(&name)?.0, request).await
}
