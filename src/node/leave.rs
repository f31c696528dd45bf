//! Says that a node leaves; never ends anything itself.

use tenure_cluster::{Outcome, Session};
use tracing::warn;

use super::{RETRY, Shared};
use crate::store;

impl Shared {
    /// Says in the session's record that the node leaves, so that it gets no new work and its end is no death. False where
    /// that is not known to be written: trying again is harmless.
    pub(super) async fn tell_leaving(&self, session: &Session) -> bool {
        match session.publish(store::encode(&self.record(true))).await {
            // Refused: the session is over, and with it what the record would say.
            Outcome::Committed(_) | Outcome::Refused(_) => true,
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                warn!(%failure, "could not say that this node leaves, trying again");
                false
            }
        }
    }

    /// The same until it is written.
    pub(super) async fn repeat_leaving(&self, session: &Session) {
        loop {
            tokio::time::sleep(RETRY).await;
            if self.tell_leaving(session).await {
                return;
            }
        }
    }
}
