//! What this node is to do, from who may say so: its own process that it leaves, an admin that it is drained. Tells its parts, and
//! the cluster where it leaves; decides nothing else.

use std::convert::Infallible;

use tenure_cluster::Session;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Shared;
use super::told::Teller;
use crate::store::Drains;
use crate::worker::Duty;

/// The duty of a node that stays.
pub(super) fn duty_of(drained: bool) -> Duty {
    if drained { Duty::Drain } else { Duty::Work }
}

impl Shared {
    /// Tells the node's parts their duty as it changes, and keeps its record true; from `stop` on the duty is to leave. The record says so
    /// first: what is handed back must not come again. Until it is dropped.
    pub(super) async fn orders(
        &self,
        session: &Session,
        drains: Drains,
        duty: &watch::Sender<Duty>,
        stop: &CancellationToken,
    ) -> Infallible {
        let mut teller = Teller::new(self, session);
        tokio::select! {
            never = teller.keep() => match never {},
            never = obey(drains, duty) => match never {},
            () = stop.cancelled() => {}
        }
        self.ready.send_modify(|ready| ready.draining = true);
        let told = teller.leaving().await;
        // Also where it is not known to be written: the grace has begun, and bounds what is tried beside it.
        duty.send_replace(Duty::Leave);
        if !told {
            teller.repeat_leaving().await;
        }
        std::future::pending().await
    }
}

/// Makes a drain the duty, and its end.
async fn obey(mut drains: Drains, duty: &watch::Sender<Duty>) -> Infallible {
    loop {
        let now = duty_of(drains.next().await);
        let changed = duty.send_if_modified(|duty| std::mem::replace(duty, now) != now);
        if changed {
            info!(duty = ?now, "told another duty");
        }
    }
}
