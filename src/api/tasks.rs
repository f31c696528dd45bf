//! Looks at tasks, waits for them, cancels and revives them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Deserialize;

use super::answer::Answer;
use super::body::{number, parameter, query};
use super::error::ApiError;
use super::state::Room;
use super::why::Surroundings;
use super::wire::{Acted, Task, TaskPage};
use crate::config::Value as _;
use crate::store::{self, Cursor, Filter};
use crate::task::{Name, State as TaskState, TaskId};

pub(super) mod view;
mod wait;

/// 1,000 tasks to a page at most, 100 where nothing is said.
const LIMIT_MAX: usize = 1_000;
const LIMIT: usize = 100;

/// 60 s: the longest that one request waits; ask again to wait on.
const WAIT_MAX: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    state: Option<String>,
    queue: Option<String>,
    kind: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waited {
    wait: Option<String>,
    until: Option<String>,
}

/// Lists tasks, page by page at one revision.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks",
    params(("state" = Option<String>, Query, description = "scheduled, pending, running, succeeded, dead or cancelled"),
        ("queue" = Option<String>, Query), ("kind" = Option<String>, Query),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filter"),
        ("limit" = Option<u32>, Query, description = "1 to 1,000; 100 where absent")),
    responses((status = 200, body = TaskPage), (status = 410, description = "`cursor_expired`: list again from the start")))]
pub(super) async fn list(
    State(room): State<Arc<Room>>,
    uri: Uri,
) -> Result<Answer<TaskPage>, ApiError> {
    let asked: Listed = query(&uri)?;
    let filter = Filter {
        state: asked.state.as_deref().map(state).transpose()?,
        queue: asked
            .queue
            .as_deref()
            .map(|text| name("queue", text))
            .transpose()?,
        kind: asked
            .kind
            .as_deref()
            .map(|text| name("kind", text))
            .transpose()?,
    };
    let limit = number("limit", asked.limit.as_deref(), LIMIT, LIMIT_MAX)?;
    let store = &room.door.store;
    let cursor = asked
        .cursor
        .as_deref()
        .map(str::parse::<Cursor>)
        .transpose();
    let cursor = cursor.ok().filter(|cursor| {
        cursor
            .as_ref()
            .is_none_or(|cursor| cursor.fits(store.keys(), &filter))
    });
    let cursor = cursor
        .ok_or_else(|| parameter("cursor", "is not a next_cursor of a list with this filter"))?;

    let pinned = cursor.is_some();
    let page = store.list(&filter, cursor, limit).await;
    let page = page.map_err(|problem| {
        if pinned && problem.is_compacted() {
            ApiError::CursorExpired
        } else {
            problem.into()
        }
    })?;

    let around = Surroundings::of(store, &page.tasks).await?;
    let items = page
        .tasks
        .iter()
        .map(|found| view::task(found, &around))
        .collect();
    let (next_cursor, revision) = (page.next.map(|next| next.to_string()), page.revision);
    Ok(Answer::at(
        revision,
        TaskPage {
            items,
            next_cursor,
            revision,
        },
    ))
}

/// Shows a task; with `wait`, once it has settled or the time is over.
#[utoipa::path(get, path = "/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "The task's id"),
        ("wait" = Option<String>, Query, description = "How long to wait for the task to succeed, be cancelled or be dead: up to 60s", example = "30s"),
        ("until" = Option<String>, Query, description = "`terminal`, as where absent")),
    responses((status = 200, body = Task), (status = 404, description = "`no_such_task`")))]
pub(super) async fn get(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Answer<Task>, ApiError> {
    let id = task_id(&id)?;
    let asked: Waited = query(&uri)?;
    if let Some(until) = asked.until.filter(|until| until != "terminal") {
        return Err(parameter("until", format!("`{until}` is not `terminal`")));
    }
    let wait = asked
        .wait
        .map_or(Ok(Duration::ZERO), |text| duration(&text))?;
    let found = wait::settled(&room, id, wait).await?;
    let around = Surroundings::of(&room.door.store, std::slice::from_ref(&found)).await?;
    Ok(Answer::at(found.revision, view::task(&found, &around)))
}

/// Cancels a task: at once where it waits; where it runs its node is told, and the answer is 202 with the state `running`.
#[utoipa::path(post, path = "/v1/tasks/{id}/cancel", tag = "tasks",
    params(("id" = String, Path, description = "The task's id")),
    responses((status = 200, description = "It is cancelled", body = Acted), (status = 202, description = "Its run is being stopped", body = Acted),
        (status = 404, description = "`no_such_task`"), (status = 409, description = "`wrong_state`: it has ended")))]
pub(super) async fn cancel(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
) -> Result<Answer<Acted>, ApiError> {
    let id = task_id(&id)?;
    let done = room.door.store.cancel(id, act(), room.now_ms()).await?;
    Ok(acted(id, done))
}

/// Makes a dead task pending again, with new budgets. Needs the role admin where tokens are configured.
#[utoipa::path(post, path = "/v1/tasks/{id}/retry", tag = "tasks",
    params(("id" = String, Path, description = "The task's id")),
    responses((status = 200, body = Acted), (status = 404, description = "`no_such_task`"),
        (status = 409, description = "`wrong_state`: it is not dead")))]
pub(super) async fn retry(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
) -> Result<Answer<Acted>, ApiError> {
    let id = task_id(&id)?;
    let done = room.door.store.revive(id, act(), room.now_ms()).await?;
    Ok(acted(id, done))
}

fn acted(id: TaskId, done: store::Acted) -> Answer<Acted> {
    let (state, revision) = (view::state(done.state), done.revision);
    let answer = Answer::at(
        revision,
        Acted {
            id: id.uuid(),
            state,
            revision,
        },
    );
    if done.state == TaskState::Running {
        answer.accepted()
    } else {
        answer
    }
}

/// A name for an act of a user, so that it is done once.
fn act() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

fn task_id(text: &str) -> Result<TaskId, ApiError> {
    text.parse()
        .map_err(|error: crate::task::IdError| parameter("id", error.to_string()))
}

fn state(text: &str) -> Result<TaskState, ApiError> {
    let known = TaskState::ALL
        .into_iter()
        .find(|state| state.to_string() == text);
    known.ok_or_else(|| {
        let words: Vec<String> = TaskState::ALL.iter().map(ToString::to_string).collect();
        let text: String = text.chars().take(32).collect();
        parameter(
            "state",
            format!("`{text}` is not one of {}", words.join(", ")),
        )
    })
}

fn name(field: &str, text: &str) -> Result<Name, ApiError> {
    text.parse()
        .map_err(|error: crate::task::NameError| parameter(field, error.to_string()))
}

/// A time to wait.
pub(super) fn duration(text: &str) -> Result<Duration, ApiError> {
    let wait = Duration::parse(&[text.to_owned()])
        .ok()
        .filter(|wait| *wait <= WAIT_MAX);
    let text: String = text.chars().take(32).collect();
    wait.ok_or_else(|| {
        parameter(
            "wait",
            format!("`{text}` is not a duration of 0s to 60s such as 30s or 500ms"),
        )
    })
}
