//! What a node says of itself in its session's record, and keeps true there: how many slots it has, and that it leaves. Decides
//! neither.
//!
//! One writer, one write at a time, each guarded by the one before. A node is told to have more slots only after the record says so,
//! and fewer before.

use std::convert::Infallible;

use tenure_cluster::{Outcome, Session};
use tracing::warn;

use super::{RETRY, Shared};
use crate::store::{self, Adaptive, NodeRecord, txns};
use crate::task::millis;
use crate::worker::pool::{Bounds, Decided};

/// 2 copies of ours at most come to light in one write: of one whose answer was lost, and of one that was dropped before its answer.
const COPIES_MAX: usize = 2;

/// Writes the record of one session.
pub(super) struct Teller<'a> {
    node: &'a Shared,
    session: &'a Session,
    /// The revision of the last write known.
    last: i64,
    /// The slots in the record; none while that is not known.
    slots: Option<u32>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    Yes,
    /// The session is over, and with it what the record would say.
    Over,
    Unknown,
}

impl<'a> Teller<'a> {
    /// Of a session that was opened with the record as it was decided last.
    pub(super) fn new(node: &'a Shared, session: &'a Session) -> Self {
        let slots = node.slots.decided().decision.slots;
        node.slots.told(slots);
        Self {
            node,
            session,
            last: session.revision(),
            slots: Some(slots),
        }
    }

    /// Writes the record whenever other slots were decided, until it is dropped. That may leave a write unsettled; the next one
    /// settles it.
    pub(super) async fn keep(&mut self) -> Infallible {
        loop {
            if let Some(slots) = self.slots {
                self.node.slots.other_than(slots).await;
            }
            match self.write(false).await {
                Wrote::Yes => {}
                Wrote::Over => std::future::pending().await,
                Wrote::Unknown => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Says that the node leaves, so that its end is no death, and that from then on no claim is made for it. False where that is not known to be written:
    /// trying again is harmless.
    pub(super) async fn leaving(&mut self) -> bool {
        self.write(true).await != Wrote::Unknown
    }

    /// The same until it is written.
    pub(super) async fn repeat_leaving(&mut self) {
        loop {
            tokio::time::sleep(RETRY).await;
            if self.leaving().await {
                return;
            }
        }
    }

    async fn write(&mut self, draining: bool) -> Wrote {
        for _ in 0..=COPIES_MAX {
            let decided = self.node.slots.decided();
            let slots = decided.decision.slots;
            self.node.slots.telling(slots);
            self.slots = None;
            let value = store::encode(&self.node.record(&decided, draining));
            let also = if draining {
                vec![txns::leaving(self.node.store.keys())]
            } else {
                Vec::new()
            };
            let wrote = self.session.publish_with(value, self.last, also);
            match wrote.await {
                Outcome::Committed(committed) => {
                    self.last = committed.revision;
                    self.slots = Some(slots);
                    self.node.slots.told(slots);
                    return Wrote::Yes;
                }
                Outcome::Refused(refused) => match refused.found() {
                    Some(kv) if kv.create_revision == self.session.revision() => {
                        self.last = kv.mod_revision;
                    }
                    Some(_) | None => return Wrote::Over,
                },
                Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                    warn!(%failure, slots, draining, "could not write this node's record, trying again");
                    return Wrote::Unknown;
                }
            }
        }
        Wrote::Unknown
    }
}

/// Says of a session that is lost that it takes nothing more, where its key is still there: what is handed back would come again, to
/// nobody. Until that is written or the key is gone.
pub(super) async fn takes_no_more(node: &Shared, session: &Session) {
    let mut teller = Teller::new(node, session);
    if !teller.leaving().await {
        teller.repeat_leaving().await;
    }
}

impl Shared {
    /// What this node says of itself.
    pub(super) fn record(&self, decided: &Decided, draining: bool) -> NodeRecord {
        NodeRecord {
            instance: self.instance.clone(),
            address: self.address.clone(),
            slots: decided.decision.slots,
            kinds: self.kinds.names().cloned().collect(),
            labels: self.config.labels.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started_ms,
            draining,
            peer: self.links.as_ref().map(|links| links.told.clone()),
            network: self.links.as_ref().and_then(|links| links.network.clone()),
            adaptive: self.slots.bounds().map(|bounds| adaptive(bounds, decided)),
        }
    }
}

/// How slots came to be as many: the decision, and what it was made from.
fn adaptive(bounds: &Bounds, decided: &Decided) -> Adaptive {
    let look = decided.look.as_ref();
    let machine = look.map(|look| look.machine).unwrap_or_default();
    Adaptive {
        min: bounds.min,
        max: bounds.max,
        why: decided.decision.reason.word().to_owned(),
        busy_percent: look.map_or(0, |look| {
            percent(look.busy_mean / f64::from(look.slots.max(1)))
        }),
        in_hand: look.map_or(0, |look| look.in_hand),
        waited_ms: look.map_or(0, |look| millis(look.waited)),
        cpu_percent: machine.cpu.map(percent),
        cpu_stalled_percent: machine.cpu_stalled.map(percent),
        memory_percent: machine.memory.map(percent),
        memory_stalled_percent: machine.memory_stalled.map(percent),
    }
}

/// Of a share from 0 to 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 to 100 before the cast"
)]
fn percent(share: f64) -> u8 {
    (share * 100.0).round().clamp(0.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenure_cluster::{Connection, KeyValue, Options, Range, SessionOptions};
    use tenure_testkit::{Backend, Etcd, Mode, Proxy, on_each_backend};

    use super::*;
    use crate::clock::Clock;
    use crate::config::{Flags, Loaded, Sources};
    use crate::node::{Node, Outside};
    use crate::worker::pool::{Decision, Reason};
    use crate::worker::{Machine, Reading};

    on_each_backend!(
        more_slots_are_used_after_they_are_written_and_fewer_before,
        a_write_whose_answer_was_lost_is_settled_by_the_next,
        a_session_that_is_over_is_written_to_no_more,
        a_lost_session_whose_key_is_there_is_on_record_as_taking_nothing_more,
    );

    /// A node of 1 to 8 slots.
    fn node(connection: Connection) -> Shared {
        let env = [("TENURE_SLOTS", "1..8"), ("TENURE_NODE_NAME", "a")];
        let said = |name: &str| env.iter().find(|(of, _)| *of == name);
        let sources = Sources {
            flags: &Flags::default(),
            env: &|name| said(name).map(|(_, value)| (*value).to_owned()),
        };
        let node = Node::new(Loaded::read(&sources).unwrap().config).unwrap();
        let outside = Outside {
            connection,
            clock: Clock::default(),
            address: "http://a:8700".to_owned(),
        };
        let machine = Machine::of(Reading::default);
        node.machine(machine).assemble(outside).unwrap()
    }

    async fn session(node: &Shared) -> Session {
        let value = store::encode(&node.record(&node.slots.decided(), false));
        let key = node.store.keys().node(&node.name);
        let options = SessionOptions::new(key, value, Duration::from_mins(1));
        Session::open(node.store.connection(), options)
            .await
            .unwrap()
    }

    fn decide(node: &Shared, slots: u32) {
        node.slots.decide(Decided {
            decision: Decision {
                slots,
                reason: Reason::Waits,
            },
            look: None,
        });
    }

    async fn written(etcd: &Etcd, node: &Shared) -> (KeyValue, NodeRecord) {
        let connection = Connection::open(Options::new(etcd.endpoints())).unwrap();
        let range = Range::key(node.store.keys().node(&node.name));
        let kv = connection.range(&range).await.unwrap().kvs.remove(0);
        let record = serde_json::from_slice(&kv.value).unwrap();
        (kv, record)
    }

    async fn more_slots_are_used_after_they_are_written_and_fewer_before(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let node = node(Connection::open(Options::new(etcd.endpoints())).unwrap());
        let session = session(&node).await;
        let mut teller = Teller::new(&node, &session);

        decide(&node, 8);
        assert_eq!(node.slots.now(), 1, "the leader cannot know");
        assert_eq!(teller.write(false).await, Wrote::Yes);
        assert_eq!(node.slots.now(), 8);
        decide(&node, 3);
        assert_eq!(node.slots.now(), 3, "nobody has to know");
        assert_eq!(teller.write(false).await, Wrote::Yes);

        let (kv, record) = written(&etcd, &node).await;
        assert_eq!((record.slots, record.draining), (3, false));
        assert_eq!(
            (kv.create_revision, kv.lease),
            (session.revision(), session.lease())
        );
        session.close().await;
    }

    async fn a_write_whose_answer_was_lost_is_settled_by_the_next(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let proxy = Proxy::start(etcd.address(0)).await;
        let mut options = Options::new([proxy.endpoint()]);
        options.request_timeout = Duration::from_millis(500);
        let node = node(Connection::open(options).unwrap());
        let session = session(&node).await;
        let mut teller = Teller::new(&node, &session);

        decide(&node, 8);
        proxy.set(Mode::CutAnswers);
        assert_eq!(teller.write(false).await, Wrote::Unknown);
        assert_eq!(node.slots.now(), 1, "it may not have been written");
        let (kv, record) = written(&etcd, &node).await;
        assert_eq!(record.slots, 8, "but it was");
        assert!(kv.mod_revision > teller.last);

        decide(&node, 4);
        proxy.set(Mode::Forward);
        while !teller.leaving().await {}
        let (_, record) = written(&etcd, &node).await;
        assert_eq!((record.slots, record.draining), (4, true));
        let mark = Range::key(node.store.keys().rules());
        let mark = node.store.connection().range(&mark).await.unwrap().kvs;
        assert_eq!(mark.len(), 1, "an assignment decided before is refused");
        assert_eq!(node.slots.now(), 4);
        session.close().await;
    }

    async fn a_session_that_is_over_is_written_to_no_more(backend: Backend) {
        let etcd = Etcd::builder(1).on(backend).start();
        let node = node(Connection::open(Options::new(etcd.endpoints())).unwrap());
        let former = session(&node).await;
        let mut teller = Teller::new(&node, &former);
        node.store
            .connection()
            .revoke(former.lease())
            .await
            .unwrap();
        let present = session(&node).await;

        decide(&node, 8);
        assert_eq!(teller.write(false).await, Wrote::Over);

        let (kv, record) = written(&etcd, &node).await;
        assert_eq!(kv.create_revision, present.revision());
        assert_eq!(record.slots, 1);
        present.close().await;
    }

    async fn a_lost_session_whose_key_is_there_is_on_record_as_taking_nothing_more(
        backend: Backend,
    ) {
        let etcd = Etcd::builder(1).on(backend).start();
        let proxy = Proxy::start(etcd.address(0)).await;
        let mut options = Options::new([proxy.endpoint()]);
        options.request_timeout = Duration::from_millis(500);
        let node = node(Connection::open(options).unwrap());
        let session = session(&node).await;
        decide(&node, 8);
        proxy.set(Mode::CutAnswers);

        tokio::join!(takes_no_more(&node, &session), async {
            let (mut kv, _) = written(&etcd, &node).await;
            while kv.mod_revision == session.revision() {
                (kv, _) = written(&etcd, &node).await;
            }
            // Its first copy was applied, and it was not told.
            proxy.set(Mode::Forward);
        });

        let (kv, record) = written(&etcd, &node).await;
        assert_eq!(kv.create_revision, session.revision(), "it is that one's");
        assert!(record.draining, "no claim is made for it");
        let mark = Range::key(node.store.keys().rules());
        let mark = node.store.connection().range(&mark).await.unwrap().kvs;
        assert_eq!(mark.len(), 1, "an assignment decided before is refused");
        node.store
            .connection()
            .revoke(session.lease())
            .await
            .unwrap();
        // Where its key is gone there is nothing to say.
        takes_no_more(&node, &session).await;
    }
}
