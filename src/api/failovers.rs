//! What became of sessions and terms that are over, as it is on record; any node answers.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Deserialize;

use super::answer::Answer;
use super::body::{number, parameter, query};
use super::cluster::time;
use super::error::ApiError;
use super::state::Room;
use super::wire::{
    Failover, FailoverEvidence, FailoverHow, FailoverOf, FailoverPage, FailoverSign,
    FailoverTeller, MovedTask, MovedTasks, Succession,
};
use crate::store::{self, Evidence, FAILOVERS_MAX, FailoverSeen, How, Moved, Sign};

/// 20 failovers to a page where no number is said.
const LIMIT: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    cursor: Option<String>,
    limit: Option<String>,
}

/// Lists what became of sessions and terms that are over, begun last first, page by page at one revision. The last 100 are on record.
#[utoipa::path(get, path = "/v1/failovers", tag = "leader",
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 100; 20 where absent")),
    responses((status = 200, body = FailoverPage), (status = 410, description = "`cursor_expired`: list again from the start")))]
pub(super) async fn list(
    State(room): State<Arc<Room>>,
    uri: Uri,
) -> Result<Answer<FailoverPage>, ApiError> {
    let asked: Listed = query(&uri)?;
    let limit = number("limit", asked.limit.as_deref(), LIMIT, FAILOVERS_MAX)?;
    let cursor = asked.cursor.as_deref().map(cursor).transpose()?;
    let (at, before) = cursor.unwrap_or((0, (i64::MAX, i64::MAX)));
    let all = room.door.store.failovers(at).await;
    let (all, revision) = all.map_err(|problem| {
        if at > 0 && problem.is_compacted() {
            ApiError::CursorExpired
        } else {
            problem.into()
        }
    })?;
    let place = |one: &FailoverSeen| (one.seen.created, one.id);
    let mut rest = all.iter().filter(|one| place(one) < before);
    let items: Vec<&FailoverSeen> = rest.by_ref().take(limit).collect();
    let last = items.last().map(|one| place(one));
    let last = last.filter(|_| rest.next().is_some());
    let page = FailoverPage {
        next_cursor: last.map(|(created, id)| format!("{revision}.{created}.{id}")),
        items: items.into_iter().map(|one| short(one, revision)).collect(),
        revision,
    };
    Ok(Answer::at(revision, page))
}

/// One of them, with the tasks that were started elsewhere.
#[utoipa::path(get, path = "/v1/failovers/{id}", tag = "leader",
    params(("id" = i64, Path, description = "The session, or the term where only that is over")),
    responses((status = 200, body = Failover), (status = 404, description = "`no_such_failover`")))]
pub(super) async fn get(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
) -> Result<Answer<Failover>, ApiError> {
    let unknown = || ApiError::NoFailover(id.chars().take(64).collect());
    let number = id.parse().ok().filter(|id| *id > 0);
    let (found, revision) = room
        .door
        .store
        .failover(number.ok_or_else(unknown)?)
        .await?;
    let found = found.ok_or_else(unknown)?;
    Ok(Answer::at(revision, told(&found, revision)))
}

/// Revision, and what the last item of the page before is placed by.
fn cursor(text: &str) -> Result<(i64, (i64, i64)), ApiError> {
    let parts: Option<Vec<i64>> = text.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some([revision, created, id]) if *revision > 0 => Ok((*revision, (*created, *id))),
        Some(_) | None => Err(parameter("cursor", "is not a next_cursor of this list")),
    }
}

/// Without the tasks one by one.
fn short(seen: &FailoverSeen, revision: i64) -> Failover {
    let mut told = told(seen, revision);
    told.tasks.list.clear();
    told
}

fn told(FailoverSeen { id, seen }: &FailoverSeen, revision: i64) -> Failover {
    let record = &seen.value;
    Failover {
        id: *id,
        of: match record.term {
            Some(_) => FailoverOf::Leader,
            None => FailoverOf::Node,
        },
        node: record.node.to_string(),
        instance: record.instance.clone(),
        session: record.session,
        died: record.died,
        term: record.term,
        evidence: record.evidence.map(evidence),
        by: record.by.as_ref().map(ToString::to_string),
        last_seen_at: record.last_seen.map(|seen| time(seen.at_ms)),
        last_seen_by: record.last_seen.map(|seen| match seen.sign {
            Sign::Link => FailoverSign::Link,
            Sign::Clock => FailoverSign::Clock,
        }),
        noticed_at: record.noticed_ms.map(time),
        gone_at: time(record.gone.at_ms),
        gone_how: match record.gone.how {
            How::Watched => FailoverHow::Watched,
            How::Found => FailoverHow::Found,
        },
        gone_revision: record.gone.revision,
        detection_ms: record.detection_ms(),
        succession: record.succession.as_ref().map(succession),
        tasks: tasks(&record.moved),
        told_by: record.told_by.iter().map(teller).collect(),
        complete_at: record.complete_ms.map(time),
        revision,
    }
}

fn evidence(evidence: Evidence) -> FailoverEvidence {
    match evidence {
        Evidence::Refused => FailoverEvidence::Refused,
        Evidence::Replaced => FailoverEvidence::Replaced,
        Evidence::Left => FailoverEvidence::Left,
        Evidence::Lease => FailoverEvidence::Lease,
        Evidence::Key => FailoverEvidence::Key,
    }
}

fn succession(to: &store::Succession) -> Succession {
    Succession {
        node: to.node.to_string(),
        term: to.term,
        oldest_ms: to.oldest_ms,
        leaderless_ms: to.activated_ms,
        view_ms: to.view_ms,
        assigned_ms: to.assigned_ms,
    }
}

fn tasks(moved: &Moved) -> MovedTasks {
    let list = moved.first.iter().map(|one| MovedTask {
        task: one.task.uuid(),
        node: one.node.to_string(),
        wait_ms: one.wait_ms,
    });
    MovedTasks {
        held: moved.tasks,
        started: moved.started,
        ended: moved.ended,
        open: moved.open(),
        reclaimed_ms: moved.reclaimed_ms,
        wait_p50_ms: moved.wait_ms(50),
        wait_max_ms: moved.wait_ms(100),
        list: list.collect(),
    }
}

fn teller(teller: &store::Teller) -> FailoverTeller {
    FailoverTeller {
        node: teller.node.to_string(),
        term: teller.term,
        from: time(teller.from_ms),
    }
}
