//! A request for a lock or permits: made, waited for, looked at; what is known to nobody afterwards does not stand.

use std::time::Duration;

use axum::http::Uri;
use serde::Deserialize;
use uuid::Uuid;

use super::super::answer::Answer;
use super::super::body::query;
use super::super::error::ApiError;
use super::super::state::Room;
use super::super::submit::has_room;
use super::super::tasks::duration;
use super::super::wire::holds::{Hold, HoldState, WAIT_MS_MAX};
use super::{hold_id, length, name, path};
use crate::store::{Asked, OutsideSeen, Turn};
use crate::task::{Gate, millis};

/// What a request for a lock and one for permits have in common, checked.
pub(super) struct Wanted {
    pub(super) id: Option<Uuid>,
    pub(super) weight: u32,
    pub(super) holder: String,
    pub(super) ttl: Duration,
    pub(super) wait: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waited {
    wait: Option<String>,
}

/// Asks, and waits for its turn as long as was asked.
pub(super) async fn ask(room: &Room, gate: Gate, wanted: Wanted) -> Result<Answer<Hold>, ApiError> {
    has_room(room)?;
    let asked = Asked {
        id: wanted.id.unwrap_or_else(|| made(room.now_ms())).as_u128(),
        gate,
        weight: wanted.weight,
        holder: wanted.holder,
        ttl: wanted.ttl,
    };
    let store = &room.door.store;
    let (seen, repeated) = store.ask(&asked).await?;
    let of = (&asked.gate, asked.id);
    match stands(room, of, &seen, wanted.wait).await {
        Ok(answer) => {
            let path = format!("{}/holds/{}", path(&asked.gate), Uuid::from_u128(asked.id));
            Ok(answer.created(repeated).location(&path))
        }
        Err(problem) => {
            // Who gave no id hears of none, and could neither use what is granted later nor give it back.
            if wanted.id.is_none() {
                store.abandon(&seen).await;
            }
            Err(problem)
        }
    }
}

/// How what was asked for stands once it holds, or the time to wait is over.
async fn stands(
    room: &Room,
    of: (&Gate, u128),
    seen: &OutsideSeen,
    wait: Duration,
) -> Result<Answer<Hold>, ApiError> {
    let seen = match seen.turn {
        Turn::Waiting { .. } => waited(room, of, wait).await?,
        Turn::Held { .. } => seen.clone(),
    };
    told(room, of, seen).await
}

/// An id that nobody else has.
fn made(now_ms: u64) -> Uuid {
    let mut random = [0; 10];
    random.copy_from_slice(&Uuid::new_v4().into_bytes()[6..]);
    uuid::Builder::from_unix_timestamp_millis(now_ms, &random).into_uuid()
}

/// How it stands once it holds, the time is over, or the node is leaving; at once where as many wait as the node takes.
async fn waited(room: &Room, of: (&Gate, u128), wait: Duration) -> Result<OutsideSeen, ApiError> {
    let store = &room.door.store;
    let mut ready = room.door.ready.clone();
    tokio::select! {
        seen = room.door.grants.wait(store, of, wait) => Ok(seen?),
        () = async { let _ = ready.wait_for(|ready| ready.draining).await; } => {
            Ok(room.door.grants.wait(store, of, Duration::ZERO).await?)
        }
    }
}

/// How a request stands; with `wait`, once it holds.
pub(super) async fn look(
    room: &Room,
    gate: Gate,
    id: &str,
    uri: &Uri,
) -> Result<Answer<Hold>, ApiError> {
    let asked: Waited = query(uri)?;
    let wait = asked
        .wait
        .map_or(Ok(Duration::ZERO), |text| duration(&text))?;
    let wait = wait.min(length(WAIT_MS_MAX));
    let of = (&gate, hold_id(id)?.as_u128());
    let seen = waited(room, of, wait).await?;
    told(room, of, seen).await
}

async fn told(room: &Room, of: (&Gate, u128), seen: OutsideSeen) -> Result<Answer<Hold>, ApiError> {
    let store = &room.door.store;
    let why = match seen.turn {
        Turn::Waiting { .. } => room.outside.why(store, of, seen.outside.weight).await,
        Turn::Held { .. } => None,
    };
    let left = store.time_left(&seen).await?;
    Ok(answer(of, &seen, left, why))
}

pub(super) fn answer(
    (gate, id): (&Gate, u128),
    seen: &OutsideSeen,
    left: Duration,
    waiting_for: Option<String>,
) -> Answer<Hold> {
    let (state, fence, ahead) = match seen.turn {
        Turn::Waiting { ahead } => (HoldState::Waiting, None, Some(ahead)),
        Turn::Held { fence } => (HoldState::Held, Some(fence), None),
    };
    let told = Hold {
        id: Uuid::from_u128(id),
        name: name(gate),
        state,
        weight: seen.outside.weight,
        holder: seen.outside.holder.clone(),
        fence,
        expires_in_ms: millis(left),
        ahead,
        waiting_for,
        revision: seen.revision,
    };
    Answer::at(seen.revision, told)
}
