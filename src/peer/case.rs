//! One process that is gone, from the evidence to the end of its lease: what is to be done next, and doing it once.

use std::time::Duration;

use tenure_cluster::{Failure, Revoked};
use tokio::time::Instant;

use super::dial::Dialer;
use super::evidence::stands;
use super::link::Sign;
use super::roster::Member;
use crate::store::{Death, EvidenceKind, Recorded, Store};
use crate::task::Name;

/// 2 s for who was faster to end the lease; and for who said goodbye to end its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// 1 s: evidence that is older is looked at again before it is acted on.
const FRESH: Duration = Duration::from_secs(1);

/// 200 ms before what etcd did not answer is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// 5 min: by then etcd has ended the lease itself, or has not answered for as long.
const KEPT: Duration = Duration::from_mins(5);

/// Evidence against one process.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) node: Name,
    pub(super) instance: String,
    pub(super) sign: Sign,
    /// When something is to be done.
    pub(super) next: Instant,
    /// How often it was tried.
    pub(super) tries: u32,
    /// Somebody else put it on record, and had time to end the lease.
    finish: bool,
    /// Whether an attempt is under way.
    pub(super) busy: bool,
    /// Whether it was said that it has to wait.
    pub(super) withheld: bool,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Acted {
    /// The lease is ended, by us or at once before.
    Ended,
    /// Somebody else put it on record and is about to end the lease.
    Theirs(Box<Death>),
    /// The session was over.
    Over,
    /// The process is there after all, or nothing shows any more that it is not.
    Doubt,
    /// etcd did not answer well.
    Failed(Failure),
}

/// Whether a case goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Closed,
    Later,
}

impl Case {
    pub(super) fn new(node: Name, instance: String, sign: Sign) -> Self {
        let next = match sign.kind {
            EvidenceKind::Refused | EvidenceKind::Replaced => sign.noticed,
            EvidenceKind::Left => sign.noticed + PATIENCE,
        };
        Self {
            node,
            instance,
            sign,
            next,
            tries: 0,
            finish: false,
            busy: false,
            withheld: false,
        }
    }

    /// Whether it is too old to be acted on.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now >= self.sign.noticed + KEPT
    }

    /// Takes in what came of an attempt.
    pub(super) fn acted(&mut self, acted: &Acted, now: Instant) -> Next {
        self.busy = false;
        match acted {
            Acted::Ended | Acted::Over | Acted::Doubt => Next::Closed,
            Acted::Theirs(_) => {
                self.finish = true;
                self.next = now + PATIENCE;
                Next::Later
            }
            Acted::Failed(_) => {
                self.next = now + RETRY;
                Next::Later
            }
        }
    }

    /// Puts the death on record and ends the lease of exactly the session that was seen. Evidence that is not fresh is looked at again
    /// before.
    pub(super) async fn act(
        self,
        (store, dialer): (&Store, &Dialer),
        (member, term): (Member, Option<i64>),
    ) -> Acted {
        if self.tries > 0 || self.sign.noticed.elapsed() > FRESH {
            let who = (&self.node, &*self.instance);
            let (attempt, _) = dialer.again(who, (self.sign.at, &self.sign.host)).await;
            if !stands(attempt) {
                return Acted::Doubt;
            }
        }
        let own = &dialer.us().node;
        let death = Death {
            node: self.node.clone(),
            instance: self.instance.clone(),
            lease: member.lease,
            term,
            evidence: self.sign.kind,
            by: own.clone(),
            last_seen_ms: Some(self.sign.last_seen_ms),
            noticed_ms: self.sign.noticed_ms,
        };
        match store.declare_dead(member.session, &death).await {
            Err(failure) => return Acted::Failed(failure),
            Ok(Recorded::Over) => return Acted::Over,
            Ok(Recorded::Before(theirs)) if theirs.by != *own && !self.finish => {
                return Acted::Theirs(theirs);
            }
            Ok(Recorded::Now | Recorded::Before(_)) => {}
        }
        match store.end_lease(member.lease).await {
            Ok(Revoked::Done | Revoked::WasGone) => Acted::Ended,
            Err(failure) => Acted::Failed(failure),
        }
    }
}
