//! Nodes in this process, and waiting for what becomes of tasks; waits for events, never for time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tenure::config::{Config, Flags, Loaded, Sources};
use tenure::node::Node;
use tenure::store::{
    Basis, Found, Keys, Leader, Limit, NewTask, QueueRules, Store, Submitter, encode, line, txns,
};
use tenure::task::{Backoff, Name, PackId, Policy, Priority, Routing, Spec, State, TaskId};
use tenure::worker::Machine;
use tenure::worker::kinds::Builder;
use tenure_cluster::{Connection, Delivery, Event, EventKind, KeyValue, Options, Range, WatchSpec};
use tenure_testkit::Etcd;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// 2 min: far beyond what anything here takes, also on a loaded machine whose disk has 260 MiB to take; a test that gets there has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// A cluster of nodes in this process, on an etcd of its own.
pub(crate) struct Cluster {
    pub(crate) etcd: Etcd,
    pub(crate) store: Store,
    pub(crate) submitter: Submitter,
    nodes: BTreeMap<String, Running>,
    _line: JoinSet<()>,
}

/// A node that was started. Dropping it ends it as a crash does: nothing is handed back, its lease runs out.
struct Running {
    stop: CancellationToken,
    ends: JoinSet<anyhow::Result<()>>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::on(Etcd::single()).await
    }

    pub(crate) async fn on(etcd: Etcd) -> Self {
        if let Ok(filter) = std::env::var("TENURE_TEST_LOG") {
            let _ = tenure::telemetry::logs(tenure::config::LogFormat::Text, &filter);
        }
        let connection =
            Connection::open(Options::new(etcd.endpoints())).expect("endpoints are well formed");
        let store = Store::new(connection, Keys::new(&name("default")));
        // As every node does first, so that tests may submit before there is one.
        let first = txns::initialise(store.keys());
        let done = store.connection().commit(&first).await;
        assert!(done.committed().is_some(), "{done:?}");
        let (submitter, coalescer) = line(&store);
        let mut driver = JoinSet::new();
        driver.spawn(coalescer.run());
        Self {
            etcd,
            store,
            submitter,
            nodes: BTreeMap::new(),
            _line: driver,
        }
    }

    /// A node's settings: this cluster's etcd, a free port, the shortest lease, 8 slots, no links, so that a node that is killed keeps
    /// its lease as long as the test counts on; and what the test says.
    pub(crate) fn node_of(&self, id: &str, settings: &[(&str, &str)]) -> Node {
        let mut env: BTreeMap<String, String> = BTreeMap::from([
            (
                "TENURE_ETCD_ENDPOINTS".to_owned(),
                self.etcd.endpoints().join(","),
            ),
            ("TENURE_NODE_NAME".to_owned(), id.to_owned()),
            ("TENURE_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("TENURE_LEASE_TTL".to_owned(), "2s".to_owned()),
            ("TENURE_SLOTS".to_owned(), "8".to_owned()),
            ("TENURE_PEER_LISTEN".to_owned(), "off".to_owned()),
        ]);
        env.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Node::new(config(&env)).expect("the settings hold")
    }

    /// Starts a node and waits until its session is there.
    pub(crate) async fn node(
        &mut self,
        id: &str,
        settings: &[(&str, &str)],
        kinds: impl FnOnce(Builder) -> Builder,
    ) {
        let node = self.node_of(id, settings).kinds(kinds);
        self.begin(id, node).await;
    }

    /// The same on a machine that says of itself what it is told to.
    pub(crate) async fn node_on(
        &mut self,
        id: &str,
        settings: &[(&str, &str)],
        machine: Machine,
        kinds: impl FnOnce(Builder) -> Builder,
    ) {
        let node = self.node_of(id, settings).kinds(kinds).machine(machine);
        self.begin(id, node).await;
    }

    async fn begin(&mut self, id: &str, node: Node) {
        let since = self.revision().await;
        let (stop, mut ends) = (CancellationToken::new(), JoinSet::new());
        ends.spawn(node.run(stop.clone()));
        self.nodes.insert(id.to_owned(), Running { stop, ends });
        self.joined(id, since).await;
    }

    /// Waits for a session under this name that began after a revision.
    pub(crate) async fn joined(&self, id: &str, since: i64) -> KeyValue {
        let key = self.store.keys().node(&name(id));
        self.when("the node joins", async |store| {
            let page = store.connection().range(&Range::key(&key)).await.ok()?;
            page.kvs.into_iter().find(|kv| kv.create_revision > since)
        })
        .await
    }

    /// Stops a node in order and waits for its end.
    pub(crate) async fn stop(&mut self, id: &str) {
        self.stopping(id).await;
    }

    /// The same, to be awaited while the test goes on.
    pub(crate) fn stopping(&mut self, id: &str) -> impl Future<Output = ()> + use<> {
        let mut node = self.nodes.remove(id).expect("the node was started");
        node.stop.cancel();
        async move {
            let ended = within(node.ends.join_next())
                .await
                .expect("a node was running");
            ended
                .expect("a node does not panic")
                .expect("a node ends well");
        }
    }

    /// Ends a node as a crash does. Its lease lives on until etcd ends it.
    pub(crate) async fn kill(&mut self, id: &str) {
        let mut node = self.nodes.remove(id).expect("the node was started");
        node.ends.shutdown().await;
    }

    /// Ends a node as a crash does, and its lease at once.
    pub(crate) async fn cut(&mut self, id: &str) {
        self.kill(id).await;
        self.revoke(id).await;
    }

    /// Revokes the lease of a node's session, as an operator may.
    pub(crate) async fn revoke(&self, id: &str) {
        let lease = self.session(id).await.lease;
        self.store
            .connection()
            .revoke(lease)
            .await
            .expect("etcd revokes");
    }

    /// The key of a node's session.
    pub(crate) async fn session(&self, id: &str) -> KeyValue {
        let range = Range::key(self.store.keys().node(&name(id)));
        let page = self.store.connection().range(&range).await;
        let mut kvs = page.expect("etcd answers").kvs;
        kvs.pop().expect("the node has a session")
    }

    pub(crate) async fn submit(&self, task: NewTask) -> TaskId {
        let accepted = self.submitter.one(task, None, now_ms()).await;
        accepted.expect("the submit is accepted").tasks[0]
    }

    /// Submits all in one transaction.
    pub(crate) async fn batch(&self, tasks: Vec<NewTask>) -> Vec<TaskId> {
        let accepted = self.submitter.batch(tasks, None, now_ms()).await;
        accepted.expect("the batch is accepted").tasks
    }

    pub(crate) async fn look(&self, id: TaskId) -> Found {
        let found = self.store.task(id).await.expect("etcd answers").0;
        found.expect("the task is there")
    }

    /// Waits until the task is in one of these states.
    pub(crate) async fn until(&self, id: TaskId, states: &[State]) -> Found {
        self.when(&format!("{id} is one of {states:?}"), async |store| {
            let found = store.task(id).await.ok()?.0.expect("the task is there");
            states.contains(&found.state).then_some(found)
        })
        .await
    }

    /// Waits until all of the tasks are in this state; as they are then.
    pub(crate) async fn until_all(&self, ids: &[TaskId], state: State) -> Vec<Found> {
        let mut packs: BTreeMap<PackId, BTreeSet<u8>> = BTreeMap::new();
        for id in ids {
            packs.entry(id.pack()).or_default().insert(id.index());
        }
        let mut all = Vec::new();
        for (pack, indexes) in packs {
            let what = format!("all of {pack} are {state}");
            let mut found = self
                .when(&what, async |store| {
                    let wanted = |index| indexes.contains(&index);
                    let (found, _) = store.pack_tasks(pack, wanted).await.ok()?;
                    found
                        .iter()
                        .all(|task| task.state == state)
                        .then_some(found)
                })
                .await;
            assert_eq!(found.len(), indexes.len(), "every task of {pack} is there");
            all.append(&mut found);
        }
        all
    }

    /// Looks now and after each change of the cluster's keys, until there is something.
    pub(crate) async fn when<T>(&self, what: &str, look: impl AsyncFn(&Store) -> Option<T>) -> T {
        let root = WatchSpec::prefix(self.store.keys().root());
        let waiting = async {
            // From before the first look, so that nothing falls between the two.
            let since = self.store.connection().seen_revision();
            let mut watch = self.store.connection().watch(root.clone().from(since + 1));
            loop {
                if let Some(seen) = look(&self.store).await {
                    return seen;
                }
                // etcd that does not answer makes no events either, so a look is repeated then, too.
                match tokio::time::timeout(Duration::from_secs(1), watch.next()).await {
                    Ok(Delivery::Compacted { .. }) => {
                        watch = self.store.connection().watch(root.clone());
                    }
                    Ok(Delivery::Events { .. } | Delivery::Progress { .. }) | Err(_) => {}
                }
            }
        };
        let seen = tokio::time::timeout(PATIENCE, waiting).await;
        seen.unwrap_or_else(|_| panic!("not seen within {PATIENCE:?}: {what}"))
    }

    /// Waits for a leader of a later term than this whose line is in the history.
    pub(crate) async fn leader_after(&self, term: i64) -> Leader {
        self.when("another leads", async |store| {
            let leader = store.leader().await.ok()?.0?;
            (leader.term > term && leader.record.is_some()).then_some(leader)
        })
        .await
    }

    /// etcd's revision now.
    pub(crate) async fn revision(&self) -> i64 {
        let range = Range::prefix(self.store.keys().root()).count_only();
        let page = self.store.connection().range(&range).await;
        page.expect("etcd answers").revision
    }

    /// Everything under a prefix.
    pub(crate) async fn all(&self, prefix: String) -> Vec<KeyValue> {
        let page = self.store.connection().range(&Range::prefix(prefix)).await;
        page.expect("etcd answers").kvs
    }

    /// Every put under a prefix from a revision on, up to now.
    pub(crate) async fn puts_since(&self, prefix: String, revision: i64) -> Vec<KeyValue> {
        let events = self.events_since(prefix, revision).await.into_iter();
        let puts = events.filter(|event| event.kind == EventKind::Put);
        puts.map(|event| event.kv).collect()
    }

    /// Everything that happened under a prefix from a revision on, up to now.
    pub(crate) async fn events_since(&self, prefix: String, revision: i64) -> Vec<Event> {
        let until = self.revision().await;
        let spec = WatchSpec::prefix(self.store.keys().root()).from(revision);
        let mut watch = self.store.connection().watch(spec);
        let mut all = Vec::new();
        within(async {
            loop {
                match watch.next().await {
                    Delivery::Events { revision, events } => {
                        let under = events.into_iter();
                        all.extend(under.filter(|event| event.kv.key.starts_with(&prefix)));
                        if revision >= until {
                            return;
                        }
                    }
                    Delivery::Progress { revision } if revision >= until => return,
                    Delivery::Progress { .. } => {}
                    Delivery::Compacted { at } => panic!("history before {at} is gone"),
                }
            }
        })
        .await;
        all
    }

    /// Declares a semaphore, or takes it away; the revision of that.
    pub(crate) async fn limit(&self, semaphore: &str, limit: Option<u32>) -> i64 {
        let key = self.store.keys().semaphore(&name(semaphore));
        let value = limit.map(|limit| encode(&Limit { limit }));
        self.edit(&key, value).await
    }

    /// Gives a queue its rules; the revision of that.
    pub(crate) async fn rules(&self, queue: &str, rules: &QueueRules) -> i64 {
        let key = self.store.keys().queue(&name(queue));
        self.edit(&key, Some(encode(rules))).await
    }

    async fn edit(&self, key: &str, value: Option<Vec<u8>>) -> i64 {
        let keys = self.store.keys();
        let modified = async |key: &str| {
            let page = self.store.connection().range(&Range::key(key)).await;
            let kvs = page.expect("etcd answers").kvs;
            kvs.first().map_or(0, |kv| kv.mod_revision)
        };
        let basis = Basis {
            modified: modified(key).await,
            rules: modified(&keys.rules()).await,
        };
        let edit = txns::edit(keys, key, value, basis);
        let edited = self.store.connection().commit(&edit).await;
        edited.committed().expect("nobody else edits").revision
    }
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it happens within two minutes")
}

pub(crate) fn now_ms() -> u64 {
    tenure::clock::now_ms()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name of the test")
}

pub(crate) fn task(kind: &str, payload: &str) -> NewTask {
    let payload =
        serde_json::value::RawValue::from_string(payload.to_owned()).expect("JSON of the test");
    NewTask {
        routing: Routing {
            queue: name("default"),
            kind: name(kind),
            priority: Priority::default(),
            needs: None,
        },
        policy: Policy {
            max_attempts: 3,
            backoff: Backoff {
                initial_ms: 10,
                factor: 2.0,
                max_ms: 1_000,
                jitter: 0.0,
            },
            timeout_ms: None,
            on_lost: tenure::task::OnLost::Stop,
        },
        run_at_ms: None,
        spec: Spec {
            payload: payload.into(),
            labels: BTreeMap::new(),
            metadata: None,
        },
    }
}

pub(crate) fn with_priority(mut task: NewTask, level: u8) -> NewTask {
    task.routing.priority = Priority::new(level).expect("1 to 9");
    task
}

pub(crate) fn with_attempts(mut task: NewTask, max: u32) -> NewTask {
    task.policy.max_attempts = max;
    task
}

fn config(env: &BTreeMap<String, String>) -> Config {
    let flags = Flags::default();
    let sources = Sources {
        flags: &flags,
        env: &|name| env.get(name).cloned(),
    };
    Loaded::read(&sources)
        .expect("the settings are read")
        .config
}
