//! An etcd of its own for each test, states built by the transactions themselves, and what a transaction changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tenure::plan::{self, Ending, Of, Reserved, View, settle};
use tenure::store::{
    Assign, Basis, Change, GuardName, Keys, NodeRecord, Place, Reclaim, Record, RecordId, Report,
    Run, Seen, Stop, StopRuns, Store, Submit, Take, Verdict, Waiting, encode, txns,
};
use tenure::task::{
    Backoff, ClaimId, Name, Outcome, Pack, PackId, Policy, Priority, Routing, Spec, State, TaskId,
    Which,
};
use tenure_cluster::{
    Answer, Candidate, Connection, Guard, KeyValue, Options, Range, Session, SessionOptions, Term,
    Txn,
};
use tenure_testkit::Etcd;

/// What every test calls now, in milliseconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000_000;

/// One etcd, one cluster's keys.
pub(crate) struct Lab {
    pub(crate) etcd: Etcd,
    pub(crate) store: Store,
}

/// A claim as it was seen.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) node: Name,
    pub(crate) id: ClaimId,
    pub(crate) run: Seen<Run>,
}

/// Which keys a transaction made, wrote again and took away.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes {
    pub(crate) new: BTreeSet<String>,
    pub(crate) again: BTreeSet<String>,
    pub(crate) gone: BTreeSet<String>,
}

impl Lab {
    /// An etcd with nothing in it.
    pub(crate) fn bare() -> Self {
        let etcd = Etcd::single();
        let store = store(etcd.endpoints(), Duration::from_secs(5));
        Self { etcd, store }
    }

    /// An initialised cluster.
    pub(crate) async fn start() -> Self {
        let lab = Self::bare();
        lab.must(&txns::initialise(lab.keys())).await;
        lab
    }

    pub(crate) fn keys(&self) -> &Keys {
        self.store.keys()
    }

    /// Everything under the cluster's prefix, revisions included: equal means that nothing was written.
    pub(crate) async fn all(&self) -> Vec<KeyValue> {
        self.range(Range::prefix(self.keys().root())).await
    }

    async fn range(&self, range: Range) -> Vec<KeyValue> {
        let page = self.store.connection().range(&range).await;
        page.expect("etcd answers").kvs
    }

    pub(crate) async fn find<T: DeserializeOwned>(&self, key: &str) -> Option<Seen<T>> {
        let kv = self.range(Range::key(key)).await.pop()?;
        Some(Seen::of(&kv).expect("a value of ours"))
    }

    pub(crate) async fn seen<T: DeserializeOwned>(&self, key: &str) -> Seen<T> {
        let found = self.find(key).await;
        found.unwrap_or_else(|| panic!("{key} is missing"))
    }

    /// When a key was last written; 0 where it is not there.
    pub(crate) async fn revision_of(&self, key: &str) -> i64 {
        let found = self.range(Range::key(key)).await.pop();
        found.map_or(0, |kv| kv.mod_revision)
    }

    /// What an edit of this key is made from now.
    pub(crate) async fn basis(&self, key: &str) -> Basis {
        Basis {
            modified: self.revision_of(key).await,
            rules: self.revision_of(&self.keys().rules()).await,
        }
    }

    pub(crate) async fn state(&self, task: TaskId) -> State {
        let (found, _) = self.store.task(task).await.expect("etcd answers");
        found.expect("the task is there").state
    }

    /// Commits a transaction that is refused by nothing.
    pub(crate) async fn must(&self, txn: &Txn) -> i64 {
        let outcome = self.store.connection().commit(txn).await;
        let done = outcome.committed();
        done.unwrap_or_else(|| panic!("{outcome:?}")).revision
    }

    /// Commits a change that is refused by nothing.
    pub(crate) async fn done(&self, change: &Change) -> i64 {
        let verdict = self.store.commit(change).await;
        let Verdict::Committed { revision } = verdict else {
            panic!("{} was not committed: {verdict:?}", change.word())
        };
        revision
    }

    /// Commits a change; which keys that wrote.
    pub(crate) async fn writes(&self, change: &Change) -> Writes {
        let before = self.all().await;
        self.done(change).await;
        Writes::between(&before, &self.all().await)
    }

    /// Sends what must be refused by exactly this guard and change nothing; what was read instead.
    pub(crate) async fn refused(&self, change: &Change, guard: &str) -> Vec<Answer> {
        let before = self.all().await;
        let verdict = self.store.commit(change).await;
        let Verdict::Refused { lost, reads, .. } = verdict else {
            panic!("{} was not refused: {verdict:?}", change.word())
        };
        let lost: Vec<&str> = lost.into_iter().map(GuardName::name).collect();
        assert_eq!(lost, [guard], "{}", change.word());
        assert_eq!(self.all().await, before, "a refused change wrote");
        reads
    }

    /// As [`Self::refused`], of a transaction that is no change.
    pub(crate) async fn refused_txn(&self, txn: &Txn, guard: &str) {
        let before = self.all().await;
        let outcome = self.store.connection().commit(txn).await;
        let tenure_cluster::Outcome::Refused(refused) = outcome else {
            panic!("not refused: {outcome:?}")
        };
        assert_eq!(refused.lost, [guard]);
        assert_eq!(self.all().await, before, "a refused transaction wrote");
    }

    /// A node without a lease: it lives until [`Self::kill`]. Its session.
    pub(crate) async fn node(&self, id: &str) -> i64 {
        let key = self.keys().node(&name(id));
        let txn = Txn::new()
            .guard(Guard::absent("node", &key))
            .put(key, encode(&node_record(id)));
        self.must(&txn).await
    }

    pub(crate) async fn kill(&self, id: &str) {
        let key = self.keys().node(&name(id));
        self.must(&Txn::new().delete(key)).await;
    }

    /// Accepts a pack of so many tasks, ready at once or due.
    pub(crate) async fn submitted(&self, tasks: usize, run_at_ms: Option<u64>) -> PackId {
        let id = PackId::new(NOW, 7 << 60);
        let submit = submit(id, pack(tasks, run_at_ms), &[]);
        self.done(&Change::Submit(submit)).await;
        id
    }

    /// The record that a submit made of this pack.
    pub(crate) async fn record(&self, place: Place, pack: PackId) -> Waiting {
        self.waiting(place, RecordId::submitted(pack)).await
    }

    pub(crate) async fn waiting(&self, place: Place, id: RecordId) -> Waiting {
        let key = self.keys().record(place, &routing(), &id);
        Waiting {
            id,
            place,
            seen: self.seen::<Record>(&key).await,
            now_ms: NOW,
        }
    }

    /// Node `a` runs a whole pack of so many tasks.
    pub(crate) async fn claimed(&self, tasks: usize) -> Claim {
        let session = self.node("a").await;
        let pack = self.submitted(tasks, None).await;
        let from = self.record(Place::Ready, pack).await;
        let takes = vec![take("a", session, 1, Which::first(tasks))];
        self.done(&Change::Assign(assign(from, takes))).await;
        self.claim("a", 1).await
    }

    pub(crate) async fn claim(&self, node: &str, number: u64) -> Claim {
        let (node, id) = (name(node), claim_id(number));
        let run = self.seen(&self.keys().run(&node, id)).await;
        Claim { node, id, run }
    }

    /// A dead letter of two tasks, made by the report of a claim.
    pub(crate) async fn dead(&self) -> Waiting {
        let claim = self.claimed(2).await;
        let ends = [(Outcome::Failed, Which::first(2))];
        self.done(&Change::Report(claim.exhausted(&ends))).await;
        let origin = claim.id.into();
        let pack = claim.run.value.pack;
        self.waiting(Place::Dead, RecordId { pack, origin, n: 1 })
            .await
    }

    /// The stop of a claim of these tasks, as it is written by a cancel.
    pub(crate) async fn stopped(&self, claim: &Claim, which: Which) -> Seen<Stop> {
        self.done(&Change::Stop(claim.stop(0, which))).await;
        self.seen(&self.keys().stop(&claim.node, claim.id)).await
    }

    /// What a leader would take back if it took every node for dead.
    pub(crate) async fn lost(&self) -> Vec<Reclaim> {
        let mut view = View::new(self.keys().clone(), 0, 1_000);
        for kv in self.range(Range::prefix(self.keys().live_prefix())).await {
            if !kv.key.starts_with(&self.keys().node_prefix()) {
                view.put(&kv, 0).expect("a value of ours");
            }
        }
        plan::reclaim(&view, &Reserved::default(), 3, NOW, 100)
    }

    /// The only claim that there is, as a leader would take it back.
    pub(crate) async fn orphan(&self) -> Reclaim {
        let mut lost = self.lost().await;
        assert_eq!(lost.len(), 1);
        lost.remove(0)
    }

    /// A leader, elected for real.
    pub(crate) async fn lead(&self) -> (Session, Term) {
        let connection = self.store.connection();
        let key = self.keys().node(&name("leader"));
        let value = encode(&node_record("leader"));
        let options = SessionOptions::new(key, value, Duration::from_secs(30));
        let session = Session::open(connection, options).await.expect("a session");
        let prefix = self.keys().elect_prefix();
        let mut candidate = Candidate::stand(connection, &session, &prefix, Vec::new())
            .await
            .expect("a candidate");
        let term = candidate.lead().await.expect("nobody else leads");
        (session, term)
    }
}

impl Claim {
    /// A report with retries left.
    pub(crate) fn report(&self, ends: &[(Outcome, Which)]) -> Report {
        self.reported(ends, 3, None)
    }

    /// A report in which a failure is the last.
    pub(crate) fn exhausted(&self, ends: &[(Outcome, Which)]) -> Report {
        self.reported(ends, 1, None)
    }

    pub(crate) fn reported(
        &self,
        ends: &[(Outcome, Which)],
        max_attempts: u32,
        stop: Option<&Seen<Stop>>,
    ) -> Report {
        let policy = policy(max_attempts);
        let of = Of {
            run: &self.run.value,
            fence: self.run.created,
            node: &self.node,
            policy: Some(&policy),
            stopped: stop.map_or(Which::NONE, |stop| stop.value.which),
            deaths_max: 3,
            blame: false,
            split: 1,
            draw: 0.0,
            now_ms: NOW,
        };
        let ends = ends
            .iter()
            .map(|(outcome, which)| (ending(*outcome), *which));
        let (rest, settled) = settle(of, &ends.collect::<BTreeMap<_, _>>());
        Report {
            node: self.node.clone(),
            claim: self.id,
            pack: self.run.value.pack,
            routing: self.run.value.routing.clone(),
            modified: self.run.modified,
            stop: stop.map_or(0, |stop| stop.modified),
            rest,
            settled,
            now_ms: NOW,
        }
    }

    pub(crate) fn stop(&self, seen: i64, which: Which) -> StopRuns {
        StopRuns {
            node: self.node.clone(),
            claim: self.id,
            modified: self.run.modified,
            stop: seen,
            which,
        }
    }

    pub(crate) fn pack(&self) -> PackId {
        self.run.value.pack
    }

    /// The key of a record that this claim's transactions made.
    pub(crate) fn record(&self, keys: &Keys, place: Place, n: u32) -> String {
        let (pack, origin) = (self.pack(), self.id.into());
        keys.record(place, &routing(), &RecordId { pack, origin, n })
    }
}

impl Writes {
    pub(crate) fn of(new: &[String], again: &[String], gone: &[String]) -> Self {
        Self {
            new: new.iter().cloned().collect(),
            again: again.iter().cloned().collect(),
            gone: gone.iter().cloned().collect(),
        }
    }

    pub(crate) fn between(before: &[KeyValue], after: &[KeyValue]) -> Self {
        let old: BTreeMap<&str, &KeyValue> = before.iter().map(|kv| (&*kv.key, kv)).collect();
        let mut writes = Self::default();
        for kv in after {
            match old.get(&*kv.key) {
                None => writes.new.insert(kv.key.clone()),
                Some(was) if was.mod_revision != kv.mod_revision => {
                    writes.again.insert(kv.key.clone())
                }
                Some(_) => false,
            };
        }
        let left: BTreeSet<&str> = after.iter().map(|kv| &*kv.key).collect();
        let gone = old.keys().filter(|key| !left.contains(*key));
        writes.gone = gone.map(|key| (*key).to_owned()).collect();
        writes
    }
}

pub(crate) fn store(endpoints: Vec<String>, timeout: Duration) -> Store {
    let mut options = Options::new(endpoints);
    options.request_timeout = timeout;
    let connection = Connection::open(options).expect("endpoints are well formed");
    Store::new(connection, Keys::new(&name("guards")))
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name of the test")
}

pub(crate) fn routing() -> Routing {
    Routing {
        queue: name("q"),
        kind: name("noop"),
        priority: Priority::default(),
        needs: None,
    }
}

fn policy(max_attempts: u32) -> Policy {
    let backoff = Backoff {
        initial_ms: 1_000,
        factor: 2.0,
        max_ms: 60_000,
        jitter: 0.0,
    };
    Policy {
        max_attempts,
        backoff,
        timeout_ms: None,
        on_lost: tenure::task::OnLost::Stop,
    }
}

pub(crate) fn pack(tasks: usize, run_at_ms: Option<u64>) -> Pack {
    let payload = serde_json::value::RawValue::from_string("{}".to_owned()).expect("JSON");
    let spec = Spec {
        payload: payload.into(),
        labels: BTreeMap::new(),
        metadata: None,
    };
    Pack {
        routing: routing(),
        policy: policy(3),
        created_ms: NOW,
        run_at_ms,
        tasks: (0..=u8::MAX)
            .take(tasks)
            .map(|i| (i, spec.clone()))
            .collect(),
        idem: Vec::new(),
        fired: None,
    }
}

pub(crate) fn submit(id: PackId, mut pack: Pack, idem: &[&str]) -> Submit {
    pack.idem = idem.iter().map(|key| (*key).to_owned()).collect();
    let entry = |key: &&str| {
        let idem = tenure::store::Idem {
            tasks: vec![id.task(0)],
            digest: "d".to_owned(),
        };
        ((*key).to_owned(), idem)
    };
    Submit {
        idem: idem.iter().map(entry).collect(),
        packs: vec![(id, Arc::new(pack))],
        inline: true,
    }
}

pub(crate) fn claim_id(number: u64) -> ClaimId {
    ClaimId { term: 1, number }
}

pub(crate) fn take(node: &str, session: i64, number: u64, which: Which) -> Take {
    Take {
        claim: claim_id(number),
        node: name(node),
        session,
        instance: node_record(node).instance,
        which,
    }
}

pub(crate) fn assign(from: Waiting, takes: Vec<Take>) -> Assign {
    Assign {
        from,
        takes,
        term: 1,
        decided: 1,
        rules: 0,
    }
}

fn ending(outcome: Outcome) -> Ending {
    Ending {
        outcome,
        started_ms: Some(NOW),
        finished_ms: NOW,
        error: None,
        output: None,
        wait: None,
    }
}

fn node_record(id: &str) -> NodeRecord {
    NodeRecord {
        instance: format!("{id}-1"),
        address: "http://127.0.0.1:8700".to_owned(),
        slots: 4,
        kinds: vec![name("noop")],
        labels: BTreeMap::new(),
        version: "0".to_owned(),
        started_ms: NOW,
        draining: false,
        peer: None,
        network: None,
        adaptive: None,
    }
}
