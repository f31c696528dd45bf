//! Locks and permits for whoever is no task: asked for, waited for, renewed, given back; who holds and who waits. Gives nothing away
//! itself: the leader does.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::answer::Answer;
use super::body::{self, AtMost, parameter, query};
use super::cluster::time;
use super::error::ApiError;
use super::limits::{checked, named, read};
use super::state::Room;
use super::wire::FieldError;
use super::wire::holds::{
    ForceReleased, Hold, HoldEnded, Holder, Holding, HoldingPage, HoldingRow, ReleaseRequest,
    ReleasedHold,
};
use crate::store::{GateSeen, OutsideError, OutsideHold, Released, Sort, Taking, TaskHold};
use crate::task::{Gate, Name};

mod ask;
pub(super) mod locks;
pub(super) mod semaphores;

/// 4 KiB to a request: some numbers and a name.
const ASKED: AtMost = AtMost {
    max: 4 << 10,
    what: "the body of a request for a hold",
};

/// 1,000 who hold or wait are told one by one, and 1,000 names to a page.
const TOLD_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fenced {
    fence: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paged {
    cursor: Option<String>,
}

/// The body of a request, read.
async fn asked<T: DeserializeOwned>(request: Request<Body>) -> Result<T, ApiError> {
    let (parts, sent) = request.into_parts();
    body::may_come(&parts.headers, ASKED)?;
    read(&body::read(sent, ASKED, |_| Ok(())).await?)
}

async fn renew(room: &Room, gate: Gate, id: &str) -> Result<Answer<Hold>, ApiError> {
    let of = (&gate, hold_id(id)?.as_u128());
    let seen = room.door.store.renew(of.0, of.1).await?;
    let left = seen.ttl();
    Ok(ask::answer(of, &seen, left, None))
}

async fn end(room: &Room, gate: Gate, id: &str, uri: &Uri) -> Result<Answer<HoldEnded>, ApiError> {
    let asked: Fenced = query(uri)?;
    let wrong = |_| {
        parameter(
            "fence",
            "is not the fence of a hold: take `fence` of an answer",
        )
    };
    let fence = asked.fence.map(|text| text.parse().map_err(wrong));
    let (id, fence) = (hold_id(id)?, fence.transpose()?);
    let store = &room.door.store;
    let revision = store.release(&gate, id.as_u128(), fence).await?;
    let name = name(&gate);
    Ok(Answer::at(revision, HoldEnded { id, name, revision }))
}

async fn force(
    room: &Room,
    gate: Gate,
    request: Request<Body>,
) -> Result<Answer<ForceReleased>, ApiError> {
    let asked: ReleaseRequest = asked(request).await?;
    checked(asked.check())?;
    let store = &room.door.store;
    let taking = Taking {
        fence: asked.fence,
        id: asked.id.map(|id| id.as_u128()),
    };
    let (taken, revision) = store.force_release(&gate, taking, &asked.reason).await?;
    let told = ForceReleased {
        name: name(&gate),
        released: released(taken),
        revision,
    };
    Ok(Answer::at(revision, told))
}

async fn page(room: &Room, sort: Sort, uri: &Uri) -> Result<Answer<HoldingPage>, ApiError> {
    let asked: Paged = query(uri)?;
    let after = asked.cursor.as_deref().map(named).transpose()?;
    let after = after.map(|name| name.to_string());
    let (gates, revision) = room.door.store.gates(sort).await?;
    let rows = gates.iter().map(|(gate, seen)| row(gate, seen));
    let mut rows = rows.filter(|row| after.as_ref().is_none_or(|after| row.name > *after));
    let items: Vec<HoldingRow> = rows.by_ref().take(TOLD_MAX).collect();
    let more = rows.next().is_some();
    let last = items.last().map(|row| row.name.clone());
    let told = HoldingPage {
        next_cursor: last.filter(|_| more),
        items,
        revision,
    };
    Ok(Answer::at(revision, told))
}

async fn one(room: &Room, gate: Gate) -> Result<Answer<Holding>, ApiError> {
    let (seen, revision) = room.door.store.gate(&gate).await?;
    let row = row(&gate, &seen);
    let tasks = seen.tasks.iter().map(task);
    let outside = seen
        .outside
        .into_iter()
        .map(|hold| holder(hold, Turns::Held));
    let waits = seen
        .waiting
        .into_iter()
        .map(|want| holder(want, Turns::Waits));
    let told = Holding {
        row,
        holds: outside.chain(tasks).take(TOLD_MAX).collect(),
        waits: waits.take(TOLD_MAX).collect(),
        released: seen.released.into_iter().map(released).collect(),
        revision,
    };
    Ok(Answer::at(revision, told))
}

fn row(gate: &Gate, seen: &GateSeen) -> HoldingRow {
    let limit = match gate {
        Gate::Lock(_) => Some(1),
        Gate::Semaphore(_) | Gate::Key(..) => seen.limit,
    };
    HoldingRow {
        name: name(gate),
        limit,
        version: seen.version,
        held: seen.held,
        holders: (seen.tasks.len() + seen.outside.len()) as u64,
        waiters: seen.waiting.len() as u64,
        parked: seen.parked.tasks,
        exact: !seen.parked.estimated,
    }
}

fn task(hold: &TaskHold) -> Holder {
    Holder {
        id: hold.task.uuid(),
        task: true,
        weight: hold.weight,
        fence: Some(hold.fence),
        node: Some(hold.node.to_string()),
        attempt: Some(hold.attempt),
        holder: None,
        since: (hold.since_ms > 0).then(|| time(hold.since_ms)),
        ttl_ms: None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turns {
    Held,
    Waits,
}

fn holder(hold: OutsideHold, turn: Turns) -> Holder {
    let outside = hold.seen.value;
    Holder {
        id: hold.id,
        task: false,
        weight: outside.weight,
        fence: (turn == Turns::Held).then_some(hold.seen.created),
        node: None,
        attempt: None,
        holder: Some(outside.holder),
        since: Some(time(outside.since_ms)),
        ttl_ms: Some(outside.ttl_ms),
    }
}

fn released(taken: Released) -> ReleasedHold {
    ReleasedHold {
        id: taken.id,
        fence: taken.fence,
        weight: taken.hold.weight,
        holder: taken.hold.holder,
        released_at: time(taken.at_ms),
        reason: taken.reason,
    }
}

fn hold_id(text: &str) -> Result<Uuid, ApiError> {
    let wrong = |_| parameter("id", "is not the id of a hold: a UUID, as it was answered");
    Uuid::try_parse(text).map_err(wrong)
}

fn length(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

fn name(gate: &Gate) -> String {
    match gate {
        Gate::Lock(name) | Gate::Semaphore(name) | Gate::Key(_, name) => name.to_string(),
    }
}

fn path(gate: &Gate) -> String {
    match gate {
        Gate::Lock(name) => format!("/v1/locks/{name}"),
        Gate::Semaphore(name) | Gate::Key(_, name) => format!("/v1/semaphores/{name}"),
    }
}

fn lock(text: &str) -> Result<Gate, ApiError> {
    Ok(Gate::Lock(named(text)?))
}

fn semaphore(text: &str) -> Result<(Gate, Name), ApiError> {
    let name = named(text)?;
    Ok((Gate::Semaphore(name.clone()), name))
}

/// Which problem each failure is; every case is written out.
impl From<OutsideError> for ApiError {
    fn from(error: OutsideError) -> Self {
        match error {
            OutsideError::Gone => Self::NoHold,
            OutsideError::WrongFence { now } => Self::WrongFence { now },
            OutsideError::Ambiguous { fence, ids } => Self::AmbiguousFence { fence, ids },
            OutsideError::Reused => Self::HoldReused,
            OutsideError::Busy => Self::Busy,
            OutsideError::NoSemaphore(name) => Self::NoSemaphore(name),
            OutsideError::LimitDiffers {
                semaphore,
                asked,
                stored,
            } => Self::LimitDiffers {
                semaphore,
                asked,
                stored,
            },
            OutsideError::TooHeavy {
                semaphore,
                weight,
                limit,
            } => Self::Invalid(vec![FieldError::new(
                "weight",
                format!("{weight} is more than the limit of semaphore `{semaphore}`, {limit}"),
            )]),
            OutsideError::OfTask { task, node } => Self::HeldByTask { task, node },
            OutsideError::Edit(error) => error.into(),
            OutsideError::Look(error) => error.into(),
            OutsideError::Unknown(failure) => Self::Unknown(failure),
            OutsideError::Unavailable(failure) => Self::Unavailable(failure),
        }
    }
}
