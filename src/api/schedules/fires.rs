//! Due times of schedules: those to come, those that came, and tasks that users want beside them.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::{asked, examined, named, said, there, told};
use crate::api::answer::Answer;
use crate::api::body::{number, parameter, query};
use crate::api::cluster::time;
use crate::api::error::ApiError;
use crate::api::state::Room;
use crate::api::submit::has_room;
use crate::api::wire::{
    BackfillRequest, Backfilled, BackfilledTask, FieldError, Filled, LINES_MAX, NEXT_MAX, Preview,
    ScheduleHistory, ScheduleRequest, Triggered, schedule_name,
};
use crate::store::LookError;
use crate::task::timing::Timing;
use crate::task::{Name, pack_of};

/// 5 due times where no number is said.
const NEXT: usize = 5;

/// 50 lines of a ledger where no number is said.
const LINES: usize = 50;

/// 1,000 due times to a backfill: each is a task, and all of them wait at once.
const BACKFILL_MAX: usize = 1_000;

/// What a preview is spread by where no name is given.
const UNNAMED: &str = "unnamed";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Previewed {
    n: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Next {
    n: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    limit: Option<String>,
}

/// Says when a schedule would be due, and everything that is wrong with it; declares nothing.
#[utoipa::path(post, path = "/v1/schedules/preview", tag = "schedules",
    params(("n" = Option<u32>, Query, description = "How many due times, 1 to 100; 5 where absent"),
        ("name" = Option<String>, Query, description = "What `H` and the jitter are spread by")),
    request_body(content = ScheduleRequest, example = json!({"cron": "30 2 * * *", "timezone": "America/New_York"})),
    responses((status = 200, body = Preview), (status = 422, description = "`invalid_request`")))]
pub(in crate::api) async fn preview(
    State(room): State<Arc<Room>>,
    request: Request,
) -> Result<Answer<Preview>, ApiError> {
    let Previewed { n, name } = query(request.uri())?;
    let n = number("n", n.as_deref(), NEXT, NEXT_MAX)?;
    let name = schedule_name(name.as_deref().unwrap_or(UNNAMED));
    let name = name.map_err(|wrong| parameter("name", wrong))?;
    let asked = asked(&room, request).await?;
    let now_ms = room.now_ms();
    let (_, mut faults) = examined(&asked, room.payload_bytes_max())?;
    let timing = asked.timing(name.as_str(), now_ms);
    let timing = timing.map_err(|wrong| faults.extend(wrong));
    let Some(timing) = timing.ok().filter(|_| faults.is_empty()) else {
        return Err(ApiError::Invalid(faults));
    };
    let jitter_ms = u64::try_from(asked.jitter_ms).unwrap_or(0);
    let told = upcoming(&name, jitter_ms, &timing, now_ms, n);
    Ok(Answer::plain(StatusCode::OK, told))
}

/// Says when a schedule is due next; where it is paused, when it would be.
#[utoipa::path(get, path = "/v1/schedules/{name}/next", tag = "schedules",
    params(("name" = String, Path, description = "Its name"),
        ("n" = Option<u32>, Query, description = "How many due times, 1 to 100; 5 where absent")),
    responses((status = 200, body = Preview), (status = 404, description = "`no_such_schedule`")))]
pub(in crate::api) async fn next(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Answer<Preview>, ApiError> {
    let (name, Next { n }) = (named(&name)?, query(&uri)?);
    let n = number("n", n.as_deref(), NEXT, NEXT_MAX)?;
    let declared = there(&room, &name).await?;
    let timing = declared.timing(room.door.store.keys());
    let timing = timing.map_err(LookError::from)?;
    let (jitter_ms, now_ms) = (declared.schedule.value.jitter_ms, room.now_ms());
    // What is due already and not fired yet, for its jitter, is still to come.
    let after_ms = now_ms.saturating_sub(jitter_ms);
    let after_ms = after_ms.max(declared.progress.value.done_ms.min(now_ms));
    let told = upcoming(&name, jitter_ms, &timing, after_ms, n);
    let revision = declared.revision;
    Ok(Answer::at(
        revision,
        Preview {
            revision: Some(revision),
            ..told
        },
    ))
}

/// Says what became of the last due times of a schedule.
#[utoipa::path(get, path = "/v1/schedules/{name}/history", tag = "schedules",
    params(("name" = String, Path, description = "Its name"),
        ("limit" = Option<u32>, Query, description = "1 to 600 lines; 50 where absent")),
    responses((status = 200, body = ScheduleHistory), (status = 404, description = "`no_such_schedule`")))]
pub(in crate::api) async fn history(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Answer<ScheduleHistory>, ApiError> {
    let (name, Lines { limit }) = (named(&name)?, query(&uri)?);
    let limit = number("limit", limit.as_deref(), LINES, LINES_MAX)?;
    let declared = there(&room, &name).await?;
    let lines = room.door.store.ledger(&declared, limit).await?;
    let told = ScheduleHistory {
        name: name.to_string(),
        items: lines
            .iter()
            .map(|line| told::occurrence(&declared, line))
            .collect(),
        revision: declared.revision,
    };
    Ok(Answer::at(told.revision, told))
}

/// Makes a task of a schedule at once, also of a paused one. Who repeats this makes another.
#[utoipa::path(post, path = "/v1/schedules/{name}/trigger", tag = "schedules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 201, body = Triggered), (status = 404, description = "`no_such_schedule`"),
        (status = 409, description = "`overlap`: an earlier task has not ended; `contended`"),
        (status = 503, description = "`etcd_nearly_full`, `service_reduced`, `etcd_unavailable`: nothing was made"),
        (status = 504, description = "`outcome_unknown`: look at its history")))]
pub(in crate::api) async fn trigger(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
) -> Result<Answer<Triggered>, ApiError> {
    let name = named(&name)?;
    has_room(&room)?;
    let random = uuid::Uuid::new_v4().as_u128();
    let (task, revision) = room.door.store.trigger(&name, random).await?;
    let told = Triggered {
        name: name.to_string(),
        task: task.uuid(),
        revision,
    };
    let answer = Answer::at(revision, told).created(false);
    Ok(answer.location(&format!("/v1/tasks/{task}")))
}

/// Makes tasks of the due times of some time that is past, each once, also of a paused schedule. They wait for nothing but the lock that
/// keeps its tasks apart.
#[utoipa::path(post, path = "/v1/schedules/{name}/backfill", tag = "schedules",
    params(("name" = String, Path, description = "Its name")), request_body = BackfillRequest,
    responses((status = 200, body = Backfilled), (status = 404, description = "`no_such_schedule`"), (status = 409, description = "`contended`"),
        (status = 422, description = "`invalid_request`: also more than 1,000 due times"),
        (status = 503, description = "`etcd_nearly_full`, `service_reduced`, `etcd_unavailable`: repeat it, what was made stays"),
        (status = 504, description = "`outcome_unknown`: repeat it, none is made twice")))]
pub(in crate::api) async fn backfill(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer<Backfilled>, ApiError> {
    let name = named(&name)?;
    let asked: BackfillRequest = said(request).await?;
    let (from, to) = asked.span(room.now_ms()).map_err(ApiError::Invalid)?;
    let declared = there(&room, &name).await?;
    let store = &room.door.store;
    let timing = declared.timing(store.keys()).map_err(LookError::from)?;
    // What is due and not decided yet is the leader's to fire, unless there is a pause.
    let decided_ms = match declared.schedule.value.paused {
        Some(_) => to,
        None => declared.progress.value.done_ms,
    };
    let (dues, more) = timing.dues(from.saturating_sub(1), to.min(decided_ms), BACKFILL_MAX);
    if more {
        let detail = format!("there are more than {BACKFILL_MAX} due times until then");
        return Err(ApiError::Invalid(vec![FieldError::new("to", detail)]));
    }
    let (there, revision) = if asked.dry_run {
        (store.have_tasks(&declared, &dues).await?, 0)
    } else {
        has_room(&room)?;
        store.backfill(&name, &dues).await?
    };
    let revision = revision.max(declared.revision);
    let incarnation = declared.schedule.created;
    let task = |due_ms: &u64| BackfilledTask {
        due: time(*due_ms),
        task: pack_of(&name, incarnation, *due_ms).task(0).uuid(),
        outcome: if there.contains(due_ms) {
            Filled::There
        } else {
            Filled::Made
        },
    };
    let told = Backfilled {
        name: name.to_string(),
        dry_run: asked.dry_run,
        count: (dues.len() - there.len()) as u64,
        items: dues.iter().map(task).collect(),
        revision,
    };
    Ok(Answer::at(revision, told))
}

/// The due times after this one, so many at most.
fn upcoming(name: &Name, jitter_ms: u64, timing: &Timing, after_ms: u64, n: usize) -> Preview {
    let (dues, _) = timing.dues(after_ms, u64::MAX, n);
    let due = |due_ms: &u64| told::due(name, jitter_ms, timing, *due_ms);
    Preview {
        english: timing.english(),
        timezone: timing.zone().to_owned(),
        items: dues.iter().map(due).collect(),
        revision: None,
    }
}
