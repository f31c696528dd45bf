//! What is on its way, and what a sender without an answer sends again.

use std::mem;

use crate::etcd::{Key, Rev, Txn};
use crate::txns::Take;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum From {
    User,
    Leader(u8),
    Node(u8),
    /// Somebody outside who waits or holds.
    Holder(u8),
}

/// What a transaction on its way is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    Submit(u8),
    Promote(Key),
    Assign(Key, Vec<Take>),
    Touch(Key, Vec<Take>),
    Report {
        node: u8,
        claim: u8,
        result: Key,
        rest: bool,
    },
    Reclaim {
        node: u8,
        claim: u8,
    },
    Stop(u8),
    Cancel(u8),
    Revive,
    Raise(u8),
    Collect(u8),
    Unmark(u8),
    Park(Key),
    /// The limit is changed.
    Edit,
    Want(u8),
    Grant(u8),
    Release(u8),
}

/// A transaction on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Flight {
    pub(crate) what: What,
    pub(crate) from: From,
    /// Whether the sender still waits; a copy it no longer waits for may arrive all the same.
    pub(crate) awaited: bool,
    /// The term it was sent in, 0 for none; its compare is among the guards.
    pub(crate) term: Rev,
    /// One, or a batch.
    pub(crate) txns: Vec<Txn>,
    /// What settles it where its outcome is unknown; none: the same again.
    pub(crate) touch: Option<Txn>,
}

impl What {
    /// The claims it makes, or may have made.
    pub(crate) fn takes(&self) -> &[Take] {
        if let Self::Assign(_, takes) | Self::Touch(_, takes) = self {
            return takes;
        }
        &[]
    }
}

impl Flight {
    /// The copy that its sender no longer waits for, taken out of the original.
    pub(crate) fn stray(&mut self) -> Self {
        let touch = self.touch.take();
        let copy = self.clone();
        self.awaited = false;
        let mut again = copy;
        if let Some(touch) = touch {
            if let What::Assign(key, takes) = &mut again.what {
                again.what = What::Touch(*key, mem::take(takes));
            }
            again.txns = vec![touch];
        }
        again
    }
}
