//! Takes tasks: reads, checks everything, then hands them in; nothing is written where anything is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use serde::de::IgnoredAny;

use super::answer::Answer;
use super::body::{self, AtMost};
use super::error::ApiError;
use super::level::{Cause, Level, Service};
use super::state::Room;
use super::wire::check::idempotency_key;
use super::wire::{
    BATCH_BYTES_MAX, BATCH_TASKS_MAX, BatchRequest, BatchSubmitted, FieldError, SubmitRequest,
    Submitted, TaskState,
};
use crate::metrics;
use crate::store::{Accepted, IdemKey, Lane, NewTask, Space, Unfit};
use crate::task::Name;

mod digest;
pub(super) mod spec;

/// The header that says the same as the field `idempotency_key`.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// 128 lanes to a batch: each may cost a mark of its own, 32 to a transaction, before the batch is sent.
const BATCH_LANES_MAX: usize = 128;

/// 64 KiB for what a single submit has beside its payload: 32 labels, 16 KiB of metadata, names and numbers.
pub(super) const BESIDE_PAYLOAD_BYTES: usize = 64 << 10;

/// Submits one task.
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks",
    params(("Idempotency-Key" = Option<String>, Header, description = "A second submit with the same key answers the first one's task")),
    request_body(content = SubmitRequest, example = json!({
        "queue": "mail", "kind": "http", "payload": {"url": "https://example.org/hook", "method": "POST"},
        "priority": 7, "max_attempts": 3, "labels": {"customer": "42"}})),
    responses((status = 201, body = Submitted), (status = 200, description = "The key was used for this request before", body = Submitted),
        (status = 413, description = "`too_large`"), (status = 422, description = "`invalid_request` (also a lane beyond the cluster's 4,096), `idempotency_key_reused`"),
        (status = 429, description = "`busy`, `backlog_full`, `service_reduced` (a loaded node or a backlog): come again after Retry-After"),
        (status = 503, description = "`etcd_nearly_full`, `service_reduced` (etcd is short of room, or does not answer), `etcd_unavailable`: nothing was accepted"),
        (status = 504, description = "`outcome_unknown`: repeat with the same Idempotency-Key")))]
pub(super) async fn one(
    State(room): State<Arc<Room>>,
    request: Request,
) -> Result<Answer<Submitted>, ApiError> {
    let payload_max = room.payload_bytes_max();
    let at_most = AtMost {
        max: payload_max + BESIDE_PAYLOAD_BYTES,
        what: "the body of a task",
    };
    let (headers, sent) = arrived(&room, request, at_most).await?;
    let mut asked =
        SubmitRequest::read(&sent.bytes).map_err(|faults| unread(&sent.bytes, faults))?;
    drop(sent);
    fits(&asked, payload_max, "/payload")?;
    let mut faults = asked.check(payload_max);
    let key = agreed(&headers, asked.idempotency_key.take(), &mut faults);
    let now_ms = room.now_ms();
    let idem = idem(key, &faults, || digest::of_one(&asked));
    let task = spec::new_task(asked, now_ms, faults)?;
    let (queue, kind) = (task.routing.queue.clone(), task.routing.kind.clone());
    let state = if task.run_at_ms.is_some() {
        TaskState::Scheduled
    } else {
        TaskState::Pending
    };

    admitted(&room, room.service(), &task, "")?;

    let accepted = room.door.submitter.one(task, idem, now_ms).await?;

    if !accepted.repeated {
        metrics::tasks_submitted(queue.as_str(), kind.as_str(), 1);
    }
    answered(&room, &accepted, state).await
}

/// Where a task of an earlier submit stands by now; where a new one does is known.
async fn answered(
    room: &Room,
    accepted: &Accepted,
    state: TaskState,
) -> Result<Answer<Submitted>, ApiError> {
    let id = *accepted
        .tasks
        .first()
        .expect("an accepted submit has a task");
    let (mut state, mut revision) = (state, accepted.revision);
    if accepted.repeated {
        let (found, at) = room.door.store.task(id).await?;
        let found = found.ok_or(ApiError::NoTask(id))?;
        (state, revision) = (super::tasks::view::state(found.state), at);
    }
    let submitted = Submitted {
        id: id.uuid(),
        state,
        revision,
    };
    let answer = Answer::at(revision, submitted).created(accepted.repeated);
    Ok(answer.location(&format!("/v1/tasks/{id}")))
}

/// Submits up to 1,000 tasks and 1 MiB, whole or not at all.
#[utoipa::path(post, path = "/v1/tasks/batch", tag = "tasks",
    params(("Idempotency-Key" = Option<String>, Header, description = "A second batch with the same key answers the first one's tasks")),
    request_body(content = BatchRequest, example = json!({
        "tasks": [{"kind": "noop"}, {"kind": "sleep", "payload": {"ms": 100}}]})),
    responses((status = 201, body = BatchSubmitted), (status = 200, description = "The key was used for this request before", body = BatchSubmitted),
        (status = 413, description = "`too_large`"), (status = 422, description = "`invalid_request` (also a lane beyond the cluster's 4,096), `idempotency_key_reused`"),
        (status = 429, description = "`busy`, `backlog_full`, `service_reduced` (a loaded node or a backlog): come again after Retry-After"),
        (status = 503, description = "`etcd_nearly_full`, `service_reduced` (etcd is short of room, or does not answer), `etcd_unavailable`: nothing was accepted"),
        (status = 504, description = "`outcome_unknown`: repeat with the same Idempotency-Key")))]
pub(super) async fn batch(
    State(room): State<Arc<Room>>,
    request: Request,
) -> Result<Answer<BatchSubmitted>, ApiError> {
    let at_most = AtMost {
        max: BATCH_BYTES_MAX,
        what: "the body of a batch",
    };
    let (headers, sent) = arrived(&room, request, at_most).await?;
    let mut asked =
        BatchRequest::read(&sent.bytes).map_err(|faults| unread(&sent.bytes, faults))?;
    drop(sent);
    let payload_max = room.payload_bytes_max();
    bounded(&asked, payload_max)?;
    let mut faults = asked.check(payload_max);
    let key = agreed(&headers, asked.idempotency_key.take(), &mut faults);
    let now_ms = room.now_ms();
    let idem = idem(key, &faults, || digest::of_batch(&asked));
    let tasks = spec::new_tasks(asked.tasks, now_ms, faults)?;
    let lanes = lanes(&tasks)?;
    let service = room.service();
    for (index, task) in tasks.iter().enumerate() {
        admitted(&room, service, task, &format!("/tasks/{index}"))?;
    }

    let accepted = room.door.submitter.batch(tasks, idem, now_ms).await?;

    if !accepted.repeated {
        for ((queue, kind), tasks) in lanes {
            metrics::tasks_submitted(queue.as_str(), kind.as_str(), tasks);
        }
    }
    let ids = accepted.tasks.iter().map(|id| id.uuid()).collect();
    let revision = accepted.revision;
    Ok(Answer::at(revision, BatchSubmitted { ids, revision }).created(accepted.repeated))
}

/// A body, and the space it takes until it has been read.
struct Sent {
    bytes: Bytes,
    _space: Space,
}

/// Whether the task can ever run, and its queue has room for it, as far as this node knows.
fn admitted(room: &Room, service: Service, task: &NewTask, under: &str) -> Result<(), ApiError> {
    let queue = &task.routing.queue;
    let Service { level, why } = service;
    if let Some(why) = why.filter(|_| level.sheds(room.door.rulebook.importance(queue))) {
        metrics::submits_shed(level.word());
        return Err(shed(room, Some(queue), level, why));
    }
    // Of a batch that is refused for a later task, the earlier ones stay counted until the next look, a second later.
    let now = u64::from(task.run_at_ms.is_none());
    let admitted = room.door.rulebook.admit(&task.routing, now);
    admitted.map_err(|unfit| refused(unfit, under))
}

/// What a task that does not fit its limits is told; `under` points to the task in the request.
pub(super) fn refused(unfit: Unfit, under: &str) -> ApiError {
    match unfit {
        Unfit::Weight {
            nth,
            semaphore,
            limit,
        } => {
            let detail = format!("the limit of semaphore `{semaphore}` is {limit}");
            let fault = FieldError::new(&format!("permits.{nth}.weight"), detail);
            ApiError::Invalid(vec![fault.under(under)])
        }
        Unfit::Backlog {
            queue,
            pending,
            max,
        } => ApiError::Backlog {
            queue,
            pending,
            max,
        },
    }
}

/// The headers and the body, where there is room for it: at the store, in this node, and within its bound.
async fn arrived(
    room: &Room,
    request: Request,
    at_most: AtMost,
) -> Result<(HeaderMap, Sent), ApiError> {
    has_room(room).inspect_err(|refused| {
        if !matches!(refused, ApiError::Closing) {
            metrics::submits_shed(Level::Emergency.word());
        }
    })?;
    let (parts, sent) = request.into_parts();
    body::may_come(&parts.headers, at_most)?;
    let mut space = room.door.submitter.space(0)?;
    // By what has come, not by what is announced: who announces much and sends nothing takes nothing from others.
    let bytes = body::read(sent, at_most, |came| Ok(space.grow(came)?)).await?;
    let sent = Sent {
        bytes,
        _space: space,
    };
    Ok((parts.headers, sent))
}

/// Whether the node takes new work of anybody: this is no emergency, and it stays.
pub(super) fn has_room(room: &Room) -> Result<(), ApiError> {
    let Service { level, why } = room.service();
    if let Some(why) = why.filter(|_| level == Level::Emergency) {
        return Err(shed(room, None, level, why));
    }
    if room.door.ready.borrow().draining {
        return Err(ApiError::Closing);
    }
    Ok(())
}

/// The one refusal at a level of service, wherever it is made.
fn shed(room: &Room, queue: Option<&Name>, level: Level, why: Cause) -> ApiError {
    match (level, why) {
        (Level::Emergency, Cause::Etcd(_) | Cause::NoSpace) => {
            ApiError::NearlyFull(room.door.usage.borrow().room)
        }
        (Level::Full | Level::Reduced | Level::Minimal | Level::Emergency, _) => ApiError::Shed {
            queue: queue.cloned(),
            level,
            why,
        },
    }
}

/// A body that is no request: what is not even JSON is told apart.
pub(super) fn unread(sent: &Bytes, faults: Vec<FieldError>) -> ApiError {
    match serde_json::from_slice::<IgnoredAny>(sent) {
        Ok(IgnoredAny) => ApiError::Invalid(faults),
        Err(_) => ApiError::Malformed(faults),
    }
}

/// The key of header and field, where they agree.
fn agreed(
    headers: &HeaderMap,
    field: Option<String>,
    faults: &mut Vec<FieldError>,
) -> Option<String> {
    let Some(header) = headers.get(IDEMPOTENCY_KEY) else {
        return field;
    };
    let header = String::from_utf8_lossy(header.as_bytes()).into_owned();
    if let Some(wrong) = idempotency_key(&header) {
        faults.push(FieldError {
            pointer: String::new(),
            field: "Idempotency-Key".to_owned(),
            detail: wrong,
        });
    }
    if field.as_ref().is_some_and(|field| *field != header) {
        let detail =
            "differs from the header Idempotency-Key: give one of them, or the same in both";
        faults.push(FieldError::new("idempotency_key", detail));
    }
    Some(header)
}

/// What the key stands for, where the request has no fault.
fn idem(
    key: Option<String>,
    faults: &[FieldError],
    digest: impl FnOnce() -> String,
) -> Option<IdemKey> {
    let key = key.filter(|_| faults.is_empty())?;
    Some(IdemKey {
        key,
        digest: digest(),
    })
}

pub(super) fn fits(asked: &SubmitRequest, max: usize, pointer: &str) -> Result<(), ApiError> {
    if asked.payload.get().len() <= max {
        return Ok(());
    }
    let what = format!("the payload has {} bytes", asked.payload.get().len());
    Err(ApiError::TooLarge {
        what,
        max,
        unit: "bytes",
        pointer: Some(pointer.to_owned()),
    })
}

/// The bounds of a batch beside the size of its body, which was read within its own.
fn bounded(asked: &BatchRequest, payload_max: usize) -> Result<(), ApiError> {
    let given = asked.tasks.len();
    if given > BATCH_TASKS_MAX {
        return Err(ApiError::TooLarge {
            what: format!("the batch has {given} tasks"),
            max: BATCH_TASKS_MAX,
            unit: "tasks",
            pointer: Some("/tasks".to_owned()),
        });
    }
    for (index, task) in asked.tasks.iter().enumerate() {
        fits(task, payload_max, &format!("/tasks/{index}/payload"))?;
    }
    Ok(())
}

/// How many tasks of each queue and kind, where they are in no more lanes than may be.
fn lanes(tasks: &[NewTask]) -> Result<BTreeMap<(Name, Name), u64>, ApiError> {
    let (mut of, mut lanes) = (BTreeMap::new(), BTreeSet::new());
    for NewTask { routing, .. } in tasks {
        *of.entry((routing.queue.clone(), routing.kind.clone()))
            .or_default() += 1;
        lanes.insert(Lane::of(routing));
    }
    if lanes.len() <= BATCH_LANES_MAX {
        return Ok(of);
    }
    let what = format!(
        "the batch has {} lanes, sets of tasks with one queue, kind, priority, first semaphore and set of required labels",
        lanes.len()
    );
    Err(ApiError::TooLarge {
        what,
        max: BATCH_LANES_MAX,
        unit: "lanes",
        pointer: Some("/tasks".to_owned()),
    })
}
