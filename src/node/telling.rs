//! Tells the cluster what this node's wall clock says, as long as its session lives: the leader need not believe its own alone. Never
//! reads another's.

use std::convert::Infallible;
use std::time::Duration;

use tenure_cluster::{Outcome, Session};
use tokio::time::interval;
use tracing::debug;

use super::Shared;
use crate::store::txns;

/// 15 s between tellings: as long as collection is late by them, and the least retention is a minute.
const EVERY: Duration = Duration::from_secs(15);

/// Tells until it is dropped.
pub(super) async fn tell_clock(node: &Shared, session: &Session) -> Infallible {
    let mut ticks = interval(EVERY);
    loop {
        ticks.tick().await;
        let clock = txns::clock(node.store.keys(), &node.name, session, node.store.now_ms());
        match node.store.connection().commit(&clock).await {
            Outcome::Committed(_) => {}
            Outcome::Refused(_) => debug!("the session whose clock was to be told is over"),
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                debug!(%failure, "the clock was not told, trying again later");
            }
        }
    }
}
