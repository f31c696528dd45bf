//! What claims lost in one delivery, and what that says of the pace of their nodes; folds, decides nothing.

use std::collections::BTreeMap;

use super::View;
use crate::store::{Origin, Record, RecordId};
use crate::task::{ClaimId, Name};

/// Claims that became less in one delivery, and what of them waits again: whatever one transaction wrote is delivered together.
#[derive(Clone, Debug, Default)]
pub(super) struct Less {
    left: Vec<Left>,
    /// Tasks that wait again, by the claim that wrote so and how often they had been tried by then.
    again: BTreeMap<(ClaimId, u32), u64>,
}

/// Tasks that left a claim.
#[derive(Clone, Debug)]
struct Left {
    node: Name,
    claim: ClaimId,
    kind: Name,
    /// How often they had been tried before this claim.
    attempts: u32,
    tasks: u64,
    /// The session that held them is over: they were taken back.
    is_lost: bool,
}

impl View {
    /// Notes what a claim's transaction wrote to wait again, at once or after a while.
    pub(super) fn waits_again(&mut self, id: &RecordId, record: &Record) {
        if let Origin::Claim(claim) = id.origin {
            let (attempts, tasks) = (record.tally.attempts, record.which.len());
            *self.less.again.entry((claim, attempts)).or_default() += tasks as u64;
        }
    }

    /// Tells what ended from what was handed back or deferred: that waits again and was no attempt.
    pub(super) fn fold_pace(&mut self, now_ms: u64) {
        let Less { left, again } = std::mem::take(&mut self.less);
        for left in left {
            let back = again.get(&(left.claim, left.attempts));
            let back = back.map_or(0, |tasks| left.tasks.min(*tasks));
            let (node, kind) = (&left.node, &left.kind);
            if left.is_lost {
                self.pace.lost(node, kind, left.tasks);
                continue;
            }
            if left.tasks > back {
                self.pace.ended(node, kind, left.tasks - back, now_ms);
            }
            if back > 0 {
                self.pace.handed_back(node, kind, back);
            }
        }
    }

    /// Notes tasks that left a claim of this node's session.
    pub(super) fn left(
        &mut self,
        (node, session): (&Name, i64),
        claim: ClaimId,
        kind: Name,
        attempts: u32,
        tasks: u64,
    ) {
        let now = self.nodes.get(node);
        self.less.left.push(Left {
            node: node.clone(),
            claim,
            kind,
            attempts,
            tasks,
            is_lost: now.is_none_or(|node| node.session != session),
        });
    }
}
