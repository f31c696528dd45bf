//! How many slots were decided, and what the cluster was told of it. A worker uses the smaller of the two: fewer at once, more only
//! when the leader may know, so that it never runs more than the leader meant.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Bounds, Decision, Look, Reason};
use crate::worker::machine::Machine;

/// A node's slots, shared by its worker, which decides and uses them, and whoever writes the node's record. A cheap handle; it
/// outlives sessions.
#[derive(Clone)]
pub struct Slots {
    stand: Arc<watch::Sender<Stand>>,
    adaptive: Option<Arc<(Bounds, Machine)>>,
}

/// What was decided last, and what it was decided from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// What it was decided from; none at the start.
    pub look: Option<Look>,
}

#[derive(Clone, Copy)]
struct Stand {
    decided: Decided,
    /// No more than any record of this node that is or may yet be written says.
    told: u32,
}

impl Slots {
    /// Always so many.
    pub fn fixed(slots: u32) -> Self {
        Self::new(slots, None)
    }

    /// As many as the bounds allow, beginning with the fewest.
    pub fn adaptive(bounds: Bounds, machine: Machine) -> Self {
        Self::new(bounds.min, Some(Arc::new((bounds, machine))))
    }

    fn new(slots: u32, adaptive: Option<Arc<(Bounds, Machine)>>) -> Self {
        let decided = Decided {
            decision: Decision {
                slots,
                reason: Reason::Start,
            },
            look: None,
        };
        let stand = Stand {
            decided,
            told: slots,
        };
        Self {
            stand: Arc::new(watch::Sender::new(stand)),
            adaptive,
        }
    }

    /// How many may be used now.
    pub fn now(&self) -> u32 {
        let stand = self.stand.borrow();
        stand.decided.decision.slots.min(stand.told)
    }

    /// Within what they adapt; none where they are fixed.
    pub fn bounds(&self) -> Option<&Bounds> {
        self.adaptive.as_deref().map(|(bounds, _)| bounds)
    }

    pub(super) fn machine(&self) -> Option<&Machine> {
        self.adaptive.as_deref().map(|(_, machine)| machine)
    }

    /// What was decided last.
    pub fn decided(&self) -> Decided {
        self.stand.borrow().decided
    }

    /// Waits until another number than this is decided.
    pub async fn other_than(&self, slots: u32) {
        self.until(|stand| stand.decided.decision.slots != slots)
            .await;
    }

    /// A record with so many is about to be sent.
    pub fn telling(&self, slots: u32) {
        self.stand
            .send_modify(|stand| stand.told = stand.told.min(slots));
    }

    /// The record says so many, and no other is on its way.
    pub fn told(&self, slots: u32) {
        self.stand.send_modify(|stand| stand.told = slots);
    }

    /// From now on it is to be so. What is the same number for another reason is not told to anyone.
    pub(crate) fn decide(&self, decided: Decided) {
        self.stand.send_if_modified(|stand| {
            let other = stand.decided.decision.slots != decided.decision.slots;
            if other {
                stand.decided = decided;
            }
            other
        });
    }

    /// Waits until another number than this may be used.
    pub(super) async fn changed(&self, slots: u32) {
        self.until(|stand| stand.decided.decision.slots.min(stand.told) != slots)
            .await;
    }

    async fn until(&self, is: impl FnMut(&Stand) -> bool) {
        if self.stand.subscribe().wait_for(is).await.is_err() {
            // Not while `self` holds the sender.
            std::future::pending::<()>().await;
        }
    }
}
