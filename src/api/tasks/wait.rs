//! Waits for a task's end by listening for its pack's outcomes: every end writes one, so there is nothing to poll for.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::api::error::ApiError;
use crate::api::state::Room;
use crate::store::Found;
use crate::task::TaskId;

/// The task as it is once it has settled, the wait is over, or the node is leaving. Where too many wait already, at once.
pub(super) async fn settled(room: &Room, id: TaskId, wait: Duration) -> Result<Found, ApiError> {
    let deadline = Instant::now() + wait;
    let found = look(room, id).await?;
    if wait.is_zero() || settles(&found) {
        return Ok(found);
    }
    let Ok(_place) = room.waits.try_acquire() else {
        return Ok(found);
    };
    let listener = room.door.news.of(id.pack());
    let mut ready = room.door.ready.clone();
    loop {
        let heard = listener.heard();
        tokio::pin!(heard);
        // Listen first, look then: what comes between the two is told.
        heard.as_mut().enable();
        let found = look(room, id).await?;
        if settles(&found) {
            return Ok(found);
        }
        tokio::select! {
            () = heard => {}
            () = sleep_until(deadline) => return look(room, id).await,
            // Also where the sender is gone: then the node is, too.
            () = async { let _ = ready.wait_for(|ready| ready.draining).await; } => return Ok(found),
        }
    }
}

async fn look(room: &Room, id: TaskId) -> Result<Found, ApiError> {
    let (found, _) = room.door.store.task(id).await?;
    found.ok_or(ApiError::NoTask(id))
}

fn settles(found: &Found) -> bool {
    super::view::state(found.state).is_settled()
}
