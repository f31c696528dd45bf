//! All nodes restarted one after another while work comes in over HTTP, and how long nobody leads when a leader stops.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tenure::store::{Live, Store};
use tenure::task::{State, TaskId};
use tenure_cluster::{Delivery, EventKind, WatchSpec};
use tenure_testkit::Etcd;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::common::{Cluster, name, task, within};
use super::recorder::{Recorder, WORK};

/// 1 s without a leader fails, far below the shortest lease; what it takes is printed, and docs/drain.md gives figures.
const GAP_MAX: Duration = Duration::from_secs(1);

/// 5 ms between submits: some are on their way whenever something stops.
const EVERY: Duration = Duration::from_millis(5);

const FOUR_SLOTS: [(&str, &str); 1] = [("TENURE_SLOTS", "4")];

/// A client that retries: the same request with the same key, at whichever node, for as long as it is told to come again.
struct Client {
    http: reqwest::Client,
    store: Store,
    nodes: Vec<String>,
    refused: BTreeSet<String>,
}

impl Client {
    fn of(cluster: &Cluster) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            http: reqwest::Client::new(),
            store: cluster.store.clone(),
            nodes: Vec::new(),
            refused: BTreeSet::new(),
        }
    }

    async fn submit(&mut self, nth: usize) -> TaskId {
        let body = json!({"kind": WORK, "payload": 0}).to_string();
        loop {
            let node = self.node(nth).await;
            let sent = self
                .http
                .post(format!("{node}/v1/tasks"))
                .body(body.clone());
            let sent = sent.header("content-type", "application/json");
            let Ok(answer) = sent
                .header("idempotency-key", format!("k{nth}"))
                .send()
                .await
            else {
                // Nobody listens there any more, or the answer broke off: another knows.
                self.nodes.retain(|other| *other != node);
                continue;
            };
            let status = answer.status().as_u16();
            let Ok(body) = answer.text().await else {
                continue;
            };
            let body: Value = serde_json::from_str(&body).expect("JSON of the API");
            match status {
                200 | 201 => {
                    let id = body["id"].as_str().and_then(|id| id.parse().ok());
                    return id.expect("a task that was accepted has an id");
                }
                429 | 503 | 504 => {
                    self.refused.insert(body["code"].to_string());
                    self.nodes.retain(|other| *other != node);
                }
                _ => panic!("{status}: {body}"),
            }
        }
    }

    /// One of the live nodes, in turn.
    async fn node(&mut self, nth: usize) -> String {
        while self.nodes.is_empty() {
            let nodes = self.store.nodes().await.map(|(nodes, _)| nodes);
            let nodes = nodes.unwrap_or_default().into_iter();
            self.nodes = nodes.map(|node| node.seen.value.address).collect();
        }
        self.nodes[nth % self.nodes.len()].clone()
    }
}

/// Submits until told to stop: what was acknowledged, and by which codes submits were refused.
async fn load(mut client: Client, stop: CancellationToken) -> (Vec<TaskId>, BTreeSet<String>) {
    let mut ids = Vec::new();
    while !stop.is_cancelled() {
        ids.push(client.submit(ids.len()).await);
        // Not a wait for anything: the pace of the load.
        tokio::time::sleep(EVERY).await;
    }
    (ids, client.refused)
}

/// What the load that runs alone has to tell.
async fn ended(
    mut loads: JoinSet<(Vec<TaskId>, BTreeSet<String>)>,
) -> (Vec<TaskId>, BTreeSet<String>) {
    let ended = within(loads.join_next()).await;
    ended.expect("there is a load").expect("it does not panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_restart_one_after_another_under_load_and_no_task_runs_twice() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::slow(Duration::from_millis(30));
    recorder.let_through(true);
    let nodes = ["a", "b", "c"];
    for id in nodes {
        cluster.node(id, &FOUR_SLOTS, recorder.on(id)).await;
    }
    let (stop, mut loads) = (CancellationToken::new(), JoinSet::new());
    loads.spawn(load(Client::of(&cluster), stop.clone()));

    for id in nodes {
        recorder.started(recorder.starts().len() + 40).await;
        cluster.stop(id).await;
        recorder.started(recorder.starts().len() + 20).await;
        cluster.node(id, &FOUR_SLOTS, recorder.on(id)).await;
    }
    recorder.started(recorder.starts().len() + 40).await;
    stop.cancel();
    let (ids, refused) = ended(loads).await;

    eprintln!("{} tasks, refused with {refused:?}", ids.len());
    for found in cluster.until_all(&ids, State::Succeeded).await {
        let attempts = found.attempts.iter().map(|(_, attempt)| attempt);
        let real: Vec<_> = attempts
            .filter(|attempt| attempt.outcome.is_attempt())
            .collect();
        assert_eq!(real.len(), 1, "{}: {real:?}", found.id);
    }
    assert_eq!(recorder.starts().len(), ids.len());
}

/// How long it takes from the end of this leader's key to its successor's first claim, as a watch tells.
async fn without_leader(store: &Store, term: i64, key: String, since: i64) -> Duration {
    let keys = store.keys();
    let spec = WatchSpec::prefix(keys.root()).from(since + 1);
    let (mut watch, mut resigned) = (store.connection().watch(spec), None);
    loop {
        let Delivery::Events { events, .. } = watch.next().await else {
            continue;
        };
        for event in events {
            let put = event.kind == EventKind::Put;
            if !put && event.kv.key == key {
                resigned = Some(Instant::now());
            }
            if let (Some(resigned), Some(Live::Run(_, claim))) =
                (resigned, keys.live(&event.kv.key))
                && put
                && claim.term > term
            {
                return Instant::now() - resigned;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_is_followed_at_once_and_work_goes_on() {
    let mut cluster = Cluster::on(Etcd::builder(3).durable().start()).await;
    let recorder = Recorder::slow(Duration::from_millis(5));
    recorder.let_through(true);
    let nodes = ["a", "b", "c"];
    for id in nodes {
        cluster.node(id, &FOUR_SLOTS, recorder.on(id)).await;
    }
    let (stop, mut loads) = (CancellationToken::new(), JoinSet::new());
    loads.spawn(load(Client::of(&cluster), stop.clone()));
    let mut gaps = Vec::new();
    let rounds = std::env::var("TENURE_HANDOVERS").ok();
    let rounds = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(3);

    for _ in 0..rounds {
        recorder.started(recorder.starts().len() + 20).await;
        cluster
            .when("all stand", async |store| {
                let range = tenure_cluster::Range::prefix(store.keys().elect_prefix());
                let page = store.connection().range(&range.count_only()).await.ok()?;
                (page.count == 3).then_some(())
            })
            .await;
        let leader = cluster.leader_after(0).await;
        let id = leader.candidate.node.clone();
        let id = nodes.into_iter().find(|node| name(node) == id);
        let id = id.expect("one of the nodes leads");
        let (store, since) = (cluster.store.clone(), cluster.revision().await);
        let gap = within(without_leader(&store, leader.term, leader.key, since));
        let began = Instant::now();
        let stopping = cluster.stopping(id);
        let stopped = async {
            stopping.await;
            began.elapsed()
        };
        let (gap, whole) = tokio::join!(gap, stopped);
        gaps.push((gap, whole));
        cluster.node(id, &FOUR_SLOTS, recorder.on(id)).await;
    }
    stop.cancel();
    let (ids, _) = ended(loads).await;

    eprintln!("without a leader, and until the node had ended: {gaps:?}");
    assert!(gaps.iter().all(|(gap, _)| *gap < GAP_MAX), "{gaps:?}");
    cluster.until_all(&ids, State::Succeeded).await;
    let id = cluster.submit(task("noop", "{}")).await;
    cluster.until(id, &[State::Succeeded]).await;
}
