//! Nodes in this process, and waiting for what becomes of tasks; waits for events, never for time.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure::config::{Config, Flags, Loaded, Sources};
use tenure::node::Node;
use tenure::store::{Found, Keys, NewTask, Store, Submitter, line};
use tenure::task::{Backoff, Name, Policy, Priority, Routing, Spec, State, TaskId};
use tenure::worker::kinds::Builder;
use tenure_cluster::{Connection, Delivery, Options, WatchSpec};
use tenure_testkit::Etcd;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// 30 s: far beyond what anything here takes; a test that gets there has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster of nodes in this process, on an etcd of its own.
pub(crate) struct Cluster {
    pub(crate) etcd: Etcd,
    pub(crate) store: Store,
    pub(crate) submitter: Submitter,
    tasks: JoinSet<anyhow::Result<()>>,
    stops: BTreeMap<String, CancellationToken>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let etcd = Etcd::single();
        let connection =
            Connection::open(Options::new(etcd.endpoints())).expect("endpoints are well formed");
        let store = Store::new(connection, Keys::new(&name("default")));
        let (submitter, coalescer) = line(&store);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            coalescer.run().await;
            Ok(())
        });
        Self {
            etcd,
            store,
            submitter,
            tasks,
            stops: BTreeMap::new(),
        }
    }

    /// Starts a node and waits until its session is there.
    pub(crate) async fn node(
        &mut self,
        id: &str,
        settings: &[(&str, &str)],
        kinds: impl FnOnce(Builder) -> Builder,
    ) {
        let mut env: BTreeMap<String, String> = BTreeMap::from([
            (
                "TENURE_ETCD_ENDPOINTS".to_owned(),
                self.etcd.endpoints().join(","),
            ),
            ("TENURE_NODE_NAME".to_owned(), id.to_owned()),
            ("TENURE_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("TENURE_LEASE_TTL".to_owned(), "2s".to_owned()),
            ("TENURE_SLOTS".to_owned(), "8".to_owned()),
        ]);
        env.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let stop = CancellationToken::new();
        let node = Node::new(config(&env))
            .expect("the settings hold")
            .kinds(kinds);
        self.tasks.spawn(node.run(stop.clone()));
        self.stops.insert(id.to_owned(), stop);
        let key = self.store.keys().node(&name(id));
        let mut watch = self.store.connection().watch(WatchSpec::key(key).from(1));
        within(async { while !matches!(watch.next().await, Delivery::Events { .. }) {} }).await;
    }

    /// Stops a node in order and waits for its end.
    pub(crate) async fn stop(&mut self, id: &str) {
        self.stops
            .remove(id)
            .expect("the node was started")
            .cancel();
        let ended = within(self.tasks.join_next())
            .await
            .expect("a node was running");
        ended
            .expect("a node does not panic")
            .expect("a node ends well");
    }

    pub(crate) async fn submit(&self, task: NewTask) -> TaskId {
        let accepted = self
            .submitter
            .one(task, None, tenure::clock::now_ms())
            .await;
        accepted.expect("the submit is accepted").tasks[0]
    }

    /// Waits until the task is in one of these states.
    pub(crate) async fn until(&self, id: TaskId, states: &[State]) -> Found {
        let keys = self.store.keys();
        within(async {
            let (found, revision) = self.store.task(id).await.expect("etcd answers");
            let mut found = found.expect("the task is there");
            let mut watch = self
                .store
                .connection()
                .watch(WatchSpec::prefix(keys.root()).from(revision + 1));
            while !states.contains(&found.state) {
                watch.next().await;
                found = self
                    .store
                    .task(id)
                    .await
                    .expect("etcd answers")
                    .0
                    .expect("the task is there");
            }
            found
        })
        .await
    }
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it happens within 30 s")
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
        },
        run_at_ms: None,
        spec: Spec {
            payload: payload.into(),
            labels: BTreeMap::new(),
            metadata: None,
        },
    }
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
