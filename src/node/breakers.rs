//! Tells the cluster which circuit breakers of this node are not closed, and hears what users want reset, as long as its session lives;
//! never opens or closes one itself.

use std::convert::Infallible;
use std::time::Duration;

use tenure_cluster::{Outcome, Session};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::Shared;

/// 2 s from one telling to the next: what changes more often is told as it is then.
const PACE: Duration = Duration::from_secs(2);

/// 60 s after which what is not closed is told again: a telling that was late may have overwritten a newer one.
const AGAIN: Duration = Duration::from_mins(1);

/// Tells and hears until it is dropped.
pub(super) async fn tell_breakers(node: &Shared, session: &Session) -> Infallible {
    tokio::select! {
        never = tell(node, session) => match never {},
        never = hear(node, session) => match never {},
    }
}

async fn tell(node: &Shared, session: &Session) -> Infallible {
    // Where all have been closed for as long as this session lives, nothing was ever told.
    let mut is_blank = true;
    loop {
        let told = node.breakers.told(node.store.now_ms());
        let mut again = None;
        if !(is_blank && told.is_empty()) {
            let outcome = node.store.tell_breakers(&node.name, session, &told);
            match outcome.await {
                Outcome::Committed(_) | Outcome::Refused(_) => {
                    is_blank = told.is_empty();
                    again = (!is_blank).then(|| Instant::now() + AGAIN);
                }
                Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                    warn!(%failure, "breakers were not told, trying again");
                    is_blank = false;
                    again = Some(Instant::now());
                }
            }
            sleep(PACE).await;
        }
        tokio::select! {
            () = node.breakers.changed() => {}
            () = at(again) => {}
        }
    }
}

async fn hear(node: &Shared, session: &Session) -> Infallible {
    let mut resets = node.store.resets(&node.name, session.revision());
    loop {
        for reset in resets.next().await {
            node.breakers.reset(&reset);
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
