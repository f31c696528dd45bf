//! One process that is gone, from the evidence to the end of its lease: what is to be done next, and doing it once.

use std::time::Duration;

use tenure_cluster::{Failure, FailureKind, Revoked};
use tokio::time::{Instant, timeout};

use super::dial::Dialer;
use super::evidence::stands;
use super::link::Proof;
use super::roster::Member;
use crate::store::{Death, EvidenceKind, Recorded, Store};
use crate::task::Name;

/// 2 s for who was faster to end the lease; and for who said goodbye to end its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// 1 s: evidence that is older is looked at again before it is acted on.
const FRESH: Duration = Duration::from_secs(1);

/// 200 ms before what etcd did not answer is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// 300 ms for etcd to put a death on record and to end the lease, so often before it has the time of any request: what was sent to a member
/// whose leader died with ours is answered by nobody, and once there is another leader an attempt takes milliseconds. An election
/// takes 1 to 2 s with etcd's own settings, and is over by then.
const ANSWER: Duration = Duration::from_millis(300);
const SHORT_TRIES: u32 = 10;

/// 5 min: by then etcd has ended the lease itself, or has not answered for as long.
pub(super) const KEPT: Duration = Duration::from_mins(5);

/// Evidence against one process.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) node: Name,
    pub(super) instance: String,
    pub(super) proof: Proof,
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
    pub(super) fn new(node: Name, instance: String, proof: Proof) -> Self {
        let next = match proof.kind {
            EvidenceKind::Refused | EvidenceKind::Replaced => proof.noticed,
            EvidenceKind::Left => proof.noticed + PATIENCE,
        };
        Self {
            node,
            instance,
            proof,
            next,
            tries: 0,
            finish: false,
            busy: false,
            withheld: false,
        }
    }

    /// Whether it is too old to be acted on.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now >= self.proof.noticed + KEPT
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
        if self.tries > 0 || self.proof.noticed.elapsed() > FRESH {
            let who = (&self.node, &*self.instance);
            let (attempt, _) = dialer.again(who, (self.proof.at, &self.proof.host)).await;
            if !stands(attempt) {
                return Acted::Doubt;
            }
        }
        let settled = self.settle(store, &dialer.us().node, (member, term));
        if self.tries >= SHORT_TRIES {
            return settled.await;
        }
        let late = |_| {
            Acted::Failed(Failure {
                kind: FailureKind::Timeout,
                endpoint: "etcd".to_owned(),
                message: format!("no answer within {ANSWER:?}"),
            })
        };
        timeout(ANSWER, settled).await.unwrap_or_else(late)
    }

    /// Dropped, it may have happened or not; doing it again is harmless.
    async fn settle(
        &self,
        store: &Store,
        own: &Name,
        (member, term): (Member, Option<i64>),
    ) -> Acted {
        let death = Death {
            node: self.node.clone(),
            instance: self.instance.clone(),
            lease: member.lease,
            term,
            evidence: self.proof.kind,
            by: own.clone(),
            last_seen_ms: Some(self.proof.last_seen_ms),
            noticed_ms: self.proof.noticed_ms,
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

#[cfg(test)]
mod tests {
    use tenure_cluster::{Connection, Options, Range, Session, SessionOptions};
    use tenure_testkit::{Etcd, Mode, Proxy};

    use super::super::{Secrets, Us};
    use super::*;
    use crate::store::Keys;

    /// What is sent to a member of etcd that forwards it to a dead leader is answered by nobody.
    #[tokio::test]
    async fn what_etcd_does_not_answer_is_asked_again_long_before_a_request_is_given_up() {
        let etcd = Etcd::single();
        let proxy = Proxy::start(etcd.endpoints()[0].replace("http://", "")).await;
        let store = |endpoints| {
            let connection = Connection::open(Options::new(endpoints)).unwrap();
            Store::new(connection, Keys::new(&"c".parse().unwrap()))
        };
        let (behind, direct) = (store(vec![proxy.endpoint()]), store(etcd.endpoints()));
        let node: Name = "b".parse().unwrap();
        let options = SessionOptions::new(direct.keys().node(&node), "", Duration::from_mins(1));
        let session = Session::open(direct.connection(), options).await.unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let noticed = Instant::now();
        let proof = Proof {
            kind: EvidenceKind::Refused,
            at: nobody,
            host: "127.0.0.1".to_owned(),
            last_seen_ms: 1,
            noticed,
            noticed_ms: 2,
        };
        let mut case = Case::new(node.clone(), "b-1".to_owned(), proof);
        let us = Us {
            cluster: "c".parse().unwrap(),
            node: "a".parse().unwrap(),
            instance: "a-1".to_owned(),
        };
        let dialer = Dialer::new(us, Secrets::new([]), None);
        let member = Member {
            session: session.revision(),
            lease: session.lease(),
            instance: "b-1".to_owned(),
            peer: None,
        };
        // It connects, and from then on etcd says nothing.
        behind.connection().range(&Range::key("/")).await.unwrap();
        proxy.set(Mode::CutAnswers);

        let acted = case
            .clone()
            .act((&behind, &dialer), (member.clone(), None))
            .await;

        assert!(matches!(&acted, Acted::Failed(failure) if failure.kind == FailureKind::Timeout));
        assert_eq!(case.acted(&acted, noticed), Next::Later);
        // The connection that lost answers breaks with the change; then there is another.
        proxy.set(Mode::Forward);
        let ended = loop {
            case.tries += 1;
            assert!(case.tries < SHORT_TRIES);
            let with = (&behind, &dialer);
            let acted = case.clone().act(with, (member.clone(), None)).await;
            if !matches!(acted, Acted::Failed(_)) {
                break acted;
            }
        };
        assert!(matches!(ended, Acted::Ended), "{ended:?}");
        let took = noticed.elapsed();
        assert!(took < behind.connection().request_timeout(), "{took:?}");
        session.lost().cancelled().await;
    }
}
