//! Limits and the rules of queues: read, set, taken away, each edit by whoever saw what it changes; gives no permit itself.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::answer::Answer;
use super::body::{self, AtMost};
use super::cluster::time;
use super::error::ApiError;
use super::state::Room;
use super::wire::{
    self, FieldError, PauseRequest, QueueRulesRequest, SemaphoreLimit, SemaphoreRequest,
};
use crate::store::{Edited, Importance, Limit, QueueRules, Rate};
use crate::task::{Name, Paused};

/// 4 KiB to an edit: some numbers and a reason.
pub(super) const EDIT: AtMost = AtMost {
    max: 4 << 10,
    what: "the body of an edit",
};

/// Declares a semaphore, or sets its limit. A lower limit takes nothing away, and gives nothing until it fits.
#[utoipa::path(put, path = "/v1/semaphores/{name}", tag = "limits",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only at this version; 0: only where it is not declared")),
    request_body = SemaphoreRequest,
    responses((status = 200, body = SemaphoreLimit), (status = 412, description = "`changed`: it is at another version"),
        (status = 422, description = "`invalid_request`")))]
pub(super) async fn set_semaphore(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<SemaphoreLimit>, ApiError> {
    let (expected, body) = asked(request).await?;
    let asked: SemaphoreRequest = read(&body)?;
    checked(asked.check())?;
    let limit = Limit {
        limit: u32::try_from(asked.limit).expect("checked"),
    };
    let store = &room.door.store;
    let name = named(&name)?;
    let edited = store.edit_semaphore(&name, Some(limit), expected).await?;
    Ok(semaphore(&room, &name, &edited))
}

/// Takes a semaphore away: what is held stays held, and nothing more is given.
#[utoipa::path(delete, path = "/v1/semaphores/{name}", tag = "limits",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only at this version")),
    responses((status = 200, body = SemaphoreLimit), (status = 412, description = "`changed`: it is at another version")))]
pub(super) async fn drop_semaphore(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Answer<SemaphoreLimit>, ApiError> {
    let name = named(&name)?;
    let expected = version(&headers)?;
    let edited = room
        .door
        .store
        .edit_semaphore(&name, None, expected)
        .await?;
    Ok(semaphore(&room, &name, &edited))
}

/// The rules of a queue.
#[utoipa::path(get, path = "/v1/queues/{name}/rules", tag = "limits",
    params(("name" = String, Path, description = "The queue")), responses((status = 200, body = wire::QueueRules)))]
pub(super) async fn queue_rules(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
) -> Result<Answer<wire::QueueRules>, ApiError> {
    let name = named(&name)?;
    let seen = room.door.store.queue_rules(&name).await?;
    let edited = Edited {
        version: seen.as_ref().map_or(0, |seen| seen.modified),
        value: seen.map(|seen| seen.value),
    };
    Ok(rules(&room, &name, edited))
}

/// Sets all rules of a queue; its pause is kept.
#[utoipa::path(put, path = "/v1/queues/{name}/rules", tag = "limits",
    params(("name" = String, Path, description = "The queue"),
        ("If-Match" = Option<String>, Header, description = "Only at this version; 0: only where it has none")),
    request_body = QueueRulesRequest,
    responses((status = 200, body = wire::QueueRules), (status = 412, description = "`changed`: they are at another version"),
        (status = 422, description = "`invalid_request`")))]
pub(super) async fn set_queue_rules(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<wire::QueueRules>, ApiError> {
    let (expected, body) = asked(request).await?;
    let asked: QueueRulesRequest = read(&body)?;
    checked(asked.check())?;
    let name = named(&name)?;
    let new = stored(&asked);
    let make = |now: QueueRules| QueueRules {
        paused: now.paused,
        ..new.clone()
    };
    let edited = room.door.store.edit_queue(&name, expected, make).await?;
    Ok(rules(&room, &name, edited))
}

/// Pauses a queue: what runs goes on, nothing of it starts.
#[utoipa::path(post, path = "/v1/queues/{name}/pause", tag = "limits",
    params(("name" = String, Path, description = "The queue")), request_body = PauseRequest,
    responses((status = 200, body = wire::QueueRules), (status = 422, description = "`invalid_request`")))]
pub(super) async fn pause(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<wire::QueueRules>, ApiError> {
    let (expected, body) = asked(request).await?;
    let PauseRequest { reason } = read(&body)?;
    checked(
        PauseRequest {
            reason: reason.clone(),
        }
        .check(),
    )?;
    let since_ms = room.now_ms();
    let make = |now: QueueRules| {
        let since_ms = now.paused.map_or(since_ms, |paused| paused.since_ms);
        let reason = reason.clone();
        QueueRules {
            paused: Some(Paused { since_ms, reason }),
            ..now
        }
    };
    let name = named(&name)?;
    let edited = room.door.store.edit_queue(&name, expected, make).await?;
    Ok(rules(&room, &name, edited))
}

/// Lets a paused queue go on.
#[utoipa::path(post, path = "/v1/queues/{name}/resume", tag = "limits",
    params(("name" = String, Path, description = "The queue")), responses((status = 200, body = wire::QueueRules)))]
pub(super) async fn resume(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Answer<wire::QueueRules>, ApiError> {
    let name = named(&name)?;
    let make = |now: QueueRules| QueueRules {
        paused: None,
        ..now
    };
    let expected = version(&headers)?;
    let edited = room.door.store.edit_queue(&name, expected, make).await?;
    Ok(rules(&room, &name, edited))
}

fn semaphore(room: &Room, name: &Name, edited: &Edited<Limit>) -> Answer<SemaphoreLimit> {
    let revision = room.door.store.connection().seen_revision();
    let told = SemaphoreLimit {
        name: name.to_string(),
        limit: edited.value.map(|limit| limit.limit),
        version: edited.version,
        revision,
    };
    Answer::at(revision, told)
}

fn rules(room: &Room, name: &Name, edited: Edited<QueueRules>) -> Answer<wire::QueueRules> {
    let revision = room.door.store.connection().seen_revision();
    let rules = edited.value.unwrap_or_default();
    let (paused_at, paused_for) = paused(&rules);
    let told = wire::QueueRules {
        name: name.to_string(),
        paused_at,
        paused_for,
        rules: told(&rules),
        version: edited.version,
        revision,
    };
    Answer::at(revision, told)
}

/// Rules as they are stored, of a request that was checked.
fn stored(asked: &QueueRulesRequest) -> QueueRules {
    let small = |value: i64| u32::try_from(value).expect("checked");
    let rate = |rate: wire::Rate| Rate {
        tasks: small(rate.tasks),
        per_ms: small(rate.per_ms),
        burst: small(rate.burst.unwrap_or(rate.tasks)),
    };
    QueueRules {
        weight: asked.weight.map(small),
        concurrency: asked.concurrency.map(small),
        per_key: asked.per_key.map(small),
        rate: asked.rate.map(rate),
        backlog_max: asked.backlog_max.map(i64::unsigned_abs),
        importance: asked.importance.map(|importance| match importance {
            wire::Importance::Low => Importance::Low,
            wire::Importance::Normal => Importance::Normal,
            wire::Importance::High => Importance::High,
        }),
        paused: None,
    }
}

/// Since when a queue is paused, and why.
pub(super) fn paused(rules: &QueueRules) -> (Option<wire::Time>, Option<String>) {
    let paused = rules.paused.as_ref();
    let reason = paused.map(|paused| paused.reason.clone());
    (
        paused.map(|paused| time(paused.since_ms)),
        reason.filter(|reason| !reason.is_empty()),
    )
}

/// Rules as they are told.
pub(super) fn told(rules: &QueueRules) -> QueueRulesRequest {
    let rate = |rate: Rate| wire::Rate {
        tasks: i64::from(rate.tasks),
        per_ms: i64::from(rate.per_ms),
        burst: Some(i64::from(rate.burst)),
    };
    QueueRulesRequest {
        weight: rules.weight.map(i64::from),
        concurrency: rules.concurrency.map(i64::from),
        per_key: rules.per_key.map(i64::from),
        rate: rules.rate.map(rate),
        importance: rules.importance.map(|importance| match importance {
            Importance::Low => wire::Importance::Low,
            Importance::Normal => wire::Importance::Normal,
            Importance::High => wire::Importance::High,
        }),
        backlog_max: rules
            .backlog_max
            .map(|max| i64::try_from(max).unwrap_or(i64::MAX)),
    }
}

/// The version that is expected, and the body.
async fn asked(request: Request<Body>) -> Result<(Option<i64>, bytes::Bytes), ApiError> {
    let (parts, sent) = request.into_parts();
    body::may_come(&parts.headers, EDIT)?;
    let expected = version(&parts.headers)?;
    Ok((expected, body::read(sent, EDIT, |_| Ok(())).await?))
}

/// What `If-Match` says: a version, in quotes or not.
pub(super) fn version(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(given) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = given.to_str().unwrap_or_default().trim().trim_matches('"');
    let version = text.parse().map_err(|_| {
        body::parameter(
            "If-Match",
            "is not a version: take `version` of an answer, or 0",
        )
    })?;
    Ok(Some(version))
}

/// A body as what it has to be.
pub(super) fn read<T: DeserializeOwned>(body: &bytes::Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    let mut json = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut json).map_err(|wrong| {
        let (path, problem) = (wrong.path().to_string(), wrong.inner().to_string());
        let fault = match path.as_str() {
            "." => FieldError {
                pointer: String::new(),
                field: String::new(),
                detail: problem,
            },
            path => FieldError::new(path, problem),
        };
        match serde_json::from_slice::<IgnoredAny>(text) {
            Ok(IgnoredAny) => ApiError::Invalid(vec![fault]),
            Err(_) => ApiError::Malformed(vec![fault]),
        }
    })
}

/// Refuses what has a fault.
pub(super) fn checked(faults: Vec<FieldError>) -> Result<(), ApiError> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(ApiError::Invalid(faults))
}

/// The name in a path.
pub(super) fn named(text: &str) -> Result<Name, ApiError> {
    text.parse()
        .map_err(|wrong: crate::task::NameError| body::parameter("name", wrong.to_string()))
}
