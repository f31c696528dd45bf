//! What a worker needs to know of its node, in one session; starts nothing.

use std::sync::Arc;

use tenure_cluster::Session;

use super::Shared;
use crate::worker::{Hands, Lease};

impl Shared {
    /// For the worker of this session.
    pub(super) fn hands(&self, session: &Session) -> Hands {
        Hands {
            store: self.store.clone(),
            kinds: Arc::clone(&self.kinds),
            breakers: self.breakers.clone(),
            node: self.name.clone(),
            session: session.revision(),
            slots: self.slots.clone(),
            deaths_max: self.config.death_budget,
            grace: self.config.shutdown_grace,
            lease: Lease::of(session),
            finishing: Arc::clone(&self.finishing),
        }
    }
}
