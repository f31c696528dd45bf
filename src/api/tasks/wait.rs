//! Waits for a task's end by watching its pack's outcomes: every end writes one, so there is nothing to poll for.

use std::time::Duration;

use tenure_cluster::{Delivery, Event, EventKind, WatchSpec};
use tokio::time::{Instant, timeout_at};

use crate::api::error::ApiError;
use crate::api::state::Room;
use crate::store::{Found, Outcomes, decode};
use crate::task::TaskId;

/// The task as it is once it has settled, the wait is over, or the node is leaving. Where too many wait already, at once.
pub(super) async fn settled(room: &Room, id: TaskId, wait: Duration) -> Result<Found, ApiError> {
    let deadline = Instant::now() + wait;
    let mut found = look(room, id).await?;
    if wait.is_zero() || settles(&found) {
        return Ok(found);
    }
    let Ok(_place) = room.waits.try_acquire() else {
        return Ok(found);
    };
    let mut ready = room.door.ready.clone();
    while !settles(&found) {
        tokio::select! {
            heard = timeout_at(deadline, news(room, id, found.revision)) => {
                if heard.is_err() {
                    return look(room, id).await;
                }
            }
            // Also where the sender is gone: then the node is, too.
            () = async { let _ = ready.wait_for(|ready| ready.draining).await; } => return Ok(found),
        }
        found = look(room, id).await?;
    }
    Ok(found)
}

async fn look(room: &Room, id: TaskId) -> Result<Found, ApiError> {
    match room.door.store.task(id).await {
        // Between two reads of one look its revision was compacted: that is rare, and another look is fresh.
        Err(error) if super::moved(&error) => Ok(room.door.store.task(id).await?.0),
        looked => Ok(looked?.0),
    }
    .and_then(|found| found.ok_or(ApiError::NoTask(id)))
}

/// Until something after this revision may have settled the task.
async fn news(room: &Room, id: TaskId, revision: i64) {
    let store = &room.door.store;
    let prefix = store.keys().news_of(id);
    let mut watch = store
        .connection()
        .watch(WatchSpec::prefix(prefix).from(revision + 1));
    loop {
        match watch.next().await {
            Delivery::Events { events, .. } if events.iter().any(|event| concerns(event, id)) => {
                return;
            }
            Delivery::Events { .. } | Delivery::Progress { .. } => {}
            Delivery::Compacted { .. } => return,
        }
    }
}

/// Whether an outcome tells of this task, and not only of its neighbours in the pack.
fn concerns(event: &Event, id: TaskId) -> bool {
    match event.kind {
        EventKind::Delete => true,
        EventKind::Put => {
            decode::<Outcomes>(&event.kv.key, &event.kv.value).map_or(true, |outcomes| {
                outcomes
                    .of
                    .iter()
                    .any(|attempt| attempt.which.contains(id.index()))
            })
        }
    }
}

fn settles(found: &Found) -> bool {
    super::view::state(found.state).is_settled()
}
