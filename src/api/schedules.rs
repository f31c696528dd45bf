//! Schedules over HTTP: declared, edited by whoever saw what is there, paused, and wanted beside their due times. Fires nothing itself,
//! but for who asks for it: the leader does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};

use super::answer::Answer;
use super::body::{self, AtMost, parameter};
use super::error::ApiError;
use super::limits::{checked, read, version};
use super::state::Room;
use super::submit::{BESIDE_PAYLOAD_BYTES, fits, has_room, refused, spec, unread};
use super::wire::{
    self, FieldError, PauseRequest, ScheduleDeleted, ScheduleRequest, SubmitRequest, schedule_name,
};
use crate::store::{Declared, NewTask, Unfit};
use crate::task::{LIMIT_MAX, Name, Paused, Routing, Schedule};

pub(super) mod fires;
pub(super) mod list;
mod stored;
mod told;

/// 4 KiB to what is said of a schedule beside what it is declared to be: some times, or a reason.
const SAID: AtMost = AtMost {
    max: 4 << 10,
    what: "the body of what is done to a schedule",
};

/// Shows a schedule.
#[utoipa::path(get, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = wire::Schedule), (status = 404, description = "`no_such_schedule`")))]
pub(super) async fn get(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
) -> Result<Answer<wire::Schedule>, ApiError> {
    let declared = there(&room, &named(&name)?).await?;
    let last = room.door.store.ledger(&declared, 1).await?;
    Ok(answer(&declared, last.first()))
}

/// Declares a schedule, or all of it anew; a pause is kept. What was due before it was declared never is.
#[utoipa::path(put, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name: 1 to 54 of `a-z A-Z 0-9 . _ -`, a letter or digit first"),
        ("If-Match" = Option<String>, Header, description = "Only at this version; 0: only where there is none"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only where there is none")),
    request_body(content = ScheduleRequest, example = json!({
        "cron": "30 2 * * MON-FRI", "timezone": "Europe/Berlin", "jitter_ms": 60000, "overlap": "skip",
        "task": {"queue": "reports", "kind": "command", "payload": {"argv": ["make-report", "--daily"]}}})),
    responses((status = 200, body = wire::Schedule), (status = 412, description = "`changed`: it is at another version"),
        (status = 413, description = "`too_large`"),
        (status = 422, description = "`invalid_request`: also a task that would be refused, or what is never due; `too_many`"),
        (status = 503, description = "`etcd_nearly_full`, `service_reduced`: nothing new is declared")))]
pub(super) async fn set(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<wire::Schedule>, ApiError> {
    let name = named(&name)?;
    let expected = expected(request.headers())?;
    let asked = asked(&room, request).await?;
    let new = accepted(&room, &name, &asked)?;
    within_limits(&room, &new.routing).await?;
    let store = &room.door.store;
    if let Err(refused) = has_room(&room)
        && store.schedule(&name).await?.is_none()
    {
        return Err(refused);
    }
    // Before it is declared: what is fired into a lane without a mark would not be found.
    room.door.submitter.mark(&new.routing(&name)).await?;
    let make = |was: Option<&Schedule>| {
        Some(Schedule {
            paused: was.and_then(|was| was.paused.clone()),
            created_ms: was.map_or(new.created_ms, |was| was.created_ms),
            ..new.clone()
        })
    };
    let edited = store.edit_schedule(&name, expected, make).await?;
    shown(&name, edited)
}

/// Takes a schedule away with its history; its tasks stay.
#[utoipa::path(delete, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only at this version")),
    responses((status = 200, body = ScheduleDeleted), (status = 404, description = "`no_such_schedule`"),
        (status = 412, description = "`changed`: it is at another version")))]
pub(super) async fn delete(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Answer<ScheduleDeleted>, ApiError> {
    let (name, expected) = (named(&name)?, version(&headers)?);
    there(&room, &name).await?;
    let store = &room.door.store;
    store.edit_schedule(&name, expected, |_| None).await?;
    let revision = store.connection().seen_revision();
    let name = name.to_string();
    Ok(Answer::at(revision, ScheduleDeleted { name, revision }))
}

/// Pauses a schedule: what has begun goes on, nothing of it is fired. What is due meanwhile is on record as skipped.
#[utoipa::path(post, path = "/v1/schedules/{name}/pause", tag = "schedules",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only at this version")),
    request_body = PauseRequest,
    responses((status = 200, body = wire::Schedule), (status = 404, description = "`no_such_schedule`"),
        (status = 412, description = "`changed`: it is at another version"), (status = 422, description = "`invalid_request`")))]
pub(super) async fn pause(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<wire::Schedule>, ApiError> {
    let (name, expected) = (named(&name)?, version(request.headers())?);
    let asked: PauseRequest = said(request).await?;
    checked(asked.check())?;
    let now_ms = room.now_ms();
    let make = |was: Option<&Schedule>| {
        let was = was?;
        let since_ms = was.paused.as_ref().map_or(now_ms, |paused| paused.since_ms);
        let reason = match &was.paused {
            Some(paused) if asked.reason.is_empty() => paused.reason.clone(),
            Some(_) | None => asked.reason.clone(),
        };
        Some(Schedule {
            paused: Some(Paused { since_ms, reason }),
            ..was.clone()
        })
    };
    let edited = room.door.store.edit_schedule(&name, expected, make).await?;
    shown(&name, edited)
}

/// Lets a paused schedule go on with its next due time.
#[utoipa::path(post, path = "/v1/schedules/{name}/resume", tag = "schedules",
    params(("name" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only at this version")),
    responses((status = 200, body = wire::Schedule), (status = 404, description = "`no_such_schedule`"),
        (status = 412, description = "`changed`: it is at another version")))]
pub(super) async fn resume(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Answer<wire::Schedule>, ApiError> {
    let (name, expected) = (named(&name)?, version(&headers)?);
    let make = |was: Option<&Schedule>| {
        Some(Schedule {
            paused: None,
            ..was?.clone()
        })
    };
    let edited = room.door.store.edit_schedule(&name, expected, make).await?;
    shown(&name, edited)
}

/// A schedule as it is stored, of a request with which nothing is wrong.
fn accepted(room: &Room, name: &Name, asked: &ScheduleRequest) -> Result<Schedule, ApiError> {
    let (now_ms, payload_max) = (room.now_ms(), room.payload_bytes_max());
    let (task, mut faults) = examined(asked, payload_max)?;
    if task.is_none() {
        let detail = "is missing: what is made when it is due";
        faults.push(FieldError::new("task", detail));
    }
    faults.extend(
        asked
            .timing(name.as_str(), now_ms)
            .err()
            .into_iter()
            .flatten(),
    );
    let task = task.filter(|_| faults.is_empty());
    let task = task.ok_or(ApiError::Invalid(faults))?;
    let task = spec::built(task, now_ms);
    let NewTask {
        routing,
        policy,
        spec,
        ..
    } = task;
    Ok(stored::schedule(asked, now_ms, routing, policy, spec))
}

/// Refuses a task that asks for more of a semaphore than there is. What this node knows may be of a moment ago, and whoever applies files
/// has just raised the limit: then it is looked up.
async fn within_limits(room: &Room, routing: &Routing) -> Result<(), ApiError> {
    if room.door.rulebook.admit(routing, 0).is_ok() {
        return Ok(());
    }
    let permits = routing.needs.iter().flat_map(|needs| &needs.permits);
    for (nth, permit) in permits.enumerate() {
        let seen = room.door.store.semaphore(&permit.semaphore).await?;
        let limit = seen.map_or(LIMIT_MAX, |seen| seen.value.limit);
        if permit.weight > limit {
            let semaphore = permit.semaphore.clone();
            let unfit = Unfit::Weight {
                nth,
                semaphore,
                limit,
            };
            return Err(refused(unfit, "/task"));
        }
    }
    Ok(())
}

/// What is wrong with a request, but for when it is due, and its task.
fn examined(
    asked: &ScheduleRequest,
    payload_max: usize,
) -> Result<(Option<SubmitRequest>, Vec<FieldError>), ApiError> {
    let task = asked.task.clone();
    if let Some(task) = &task {
        fits(task, payload_max, "/task/payload")?;
    }
    let mut faults = asked.check(payload_max);
    if let Some(task) = &task {
        // It may have no time of its own, which is said already, so that it does not matter when it is looked at.
        let untimed = SubmitRequest {
            run_at: None,
            ..task.clone()
        };
        let late = spec::late(&untimed, 0).into_iter();
        faults.extend(late.map(|fault| fault.under("/task")));
    }
    Ok((task, faults))
}

/// What is to be declared, read.
async fn asked(room: &Room, request: Request<Body>) -> Result<ScheduleRequest, ApiError> {
    let at_most = AtMost {
        max: room.payload_bytes_max() + BESIDE_PAYLOAD_BYTES,
        what: "the body of a schedule",
    };
    let (parts, sent) = request.into_parts();
    body::may_come(&parts.headers, at_most)?;
    let mut space = room.door.submitter.space(0)?;
    let bytes = body::read(sent, at_most, |came| Ok(space.grow(came)?)).await?;
    ScheduleRequest::read(&bytes).map_err(|faults| unread(&bytes, faults))
}

/// What is said of a schedule, read.
async fn said<T: serde::de::DeserializeOwned>(request: Request<Body>) -> Result<T, ApiError> {
    let (parts, sent) = request.into_parts();
    body::may_come(&parts.headers, SAID)?;
    read(&body::read(sent, SAID, |_| Ok(())).await?)
}

/// The version that has to be there, by `If-Match` or `If-None-Match`.
fn expected(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(none) = headers.get(header::IF_NONE_MATCH) else {
        return version(headers);
    };
    if headers.contains_key(header::IF_MATCH) {
        let detail = "excludes If-Match: give one of them";
        return Err(parameter("If-None-Match", detail));
    }
    if none.as_bytes().trim_ascii() != b"*" {
        let detail = "is not `*`, the one that is understood: only where there is none";
        return Err(parameter("If-None-Match", detail));
    }
    Ok(Some(0))
}

/// A schedule that has to be there.
async fn there(room: &Room, name: &Name) -> Result<Declared, ApiError> {
    let declared = room.door.store.schedule(name).await?;
    declared.ok_or_else(|| ApiError::NoSchedule(name.clone()))
}

/// What an edit has made of it. The last line of its ledger is told by a look, for it may have to be read.
fn shown(name: &Name, edited: Option<Declared>) -> Result<Answer<wire::Schedule>, ApiError> {
    let declared = edited.ok_or_else(|| ApiError::NoSchedule(name.clone()))?;
    Ok(answer(&declared, declared.progress.value.recent.last()))
}

fn answer(declared: &Declared, last: Option<&crate::task::Occurrence>) -> Answer<wire::Schedule> {
    let told = told::schedule(declared, last);
    Answer::at(told.revision, told).version(declared.schedule.modified)
}

/// The name in a path.
fn named(text: &str) -> Result<Name, ApiError> {
    schedule_name(text).map_err(|wrong| parameter("name", wrong))
}
