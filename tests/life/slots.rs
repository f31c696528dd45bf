//! Nodes whose slots adapt: to the work that waits, and to a machine that says of itself what the test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure::store::{Found, NodeRecord};
use tenure::task::{Outcome, State};
use tenure::worker::{Machine, Reading};

use super::common::{Cluster, task, with_attempts};
use super::recorder::{Recorder, WORK};

/// 1 to 8 slots, which go after a second of leisure.
const ADAPTIVE: [(&str, &str); 2] = [("TENURE_SLOTS", "1..8"), ("TENURE_SLOTS_IDLE", "1s")];

/// A lot is left.
const CALM: Reading = Reading {
    cpu: Some(0.2),
    cpu_stalled: Some(0.0),
    memory: Some(0.3),
    memory_stalled: Some(0.0),
};

/// A machine, and what to make it say.
fn machine() -> (Machine, Arc<Mutex<Reading>>) {
    let says = Arc::new(Mutex::new(CALM));
    let said = Arc::clone(&says);
    let machine = Machine::of(move || *said.lock().expect("nothing panics while it is held"));
    (machine, says)
}

/// Waits until a node's record says so many slots; the record.
async fn slots(cluster: &Cluster, id: &str, slots: u32) -> NodeRecord {
    let what = format!("{id} has {slots} slots");
    cluster
        .when(&what, async |store| {
            let nodes = store.nodes().await.ok()?.0;
            let node = nodes.into_iter().find(|node| node.id.as_str() == id)?;
            (node.seen.value.slots == slots).then_some(node.seen.value)
        })
        .await
}

/// How often a task was run; what went back unstarted is no run.
fn runs(found: &Found) -> usize {
    let outcomes = found.attempts.iter().map(|(_, attempt)| attempt.outcome);
    outcomes.filter(|outcome| outcome.is_attempt()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn adaptive_slots_grow_while_work_waits_and_shrink_when_idle_in_one_session() {
    let mut cluster = Cluster::start().await;
    let (machine, _) = machine();
    let recorder = Recorder::closed();
    cluster
        .node_on("a", &ADAPTIVE, machine, recorder.on("a"))
        .await;
    let joined = cluster.session("a").await;
    assert_eq!(slots(&cluster, "a", 1).await.adaptive.unwrap().why, "start");

    let waiting = (0..200).map(|_| with_attempts(task(WORK, "0"), 1));
    let ids = cluster.batch(waiting.collect()).await;
    let grown = slots(&cluster, "a", 8).await.adaptive.unwrap();
    assert_eq!((grown.min, grown.max), (1, 8));
    assert_eq!(grown.why, "waits");
    assert!(grown.in_hand > 0 || grown.waited_ms > 0, "{grown:?}");
    assert_eq!(
        (grown.cpu_percent, grown.memory_percent),
        (Some(20), Some(30))
    );
    recorder.started(8).await;

    recorder.let_through(true);
    for found in cluster.until_all(&ids, State::Succeeded).await {
        assert_eq!(runs(&found), 1, "{}", found.id);
    }
    assert_eq!(recorder.most_at_once("a"), 8);
    let idle = slots(&cluster, "a", 1).await.adaptive.unwrap();
    assert_eq!(idle.why, "idle");

    let session = cluster.session("a").await;
    assert_eq!(session.create_revision, joined.create_revision);
    assert_eq!(session.lease, joined.lease);
    let key = session.key.clone();
    let written: Vec<u32> = cluster
        .puts_since(key, joined.create_revision)
        .await
        .iter()
        .map(|kv| {
            serde_json::from_slice::<NodeRecord>(&kv.value)
                .unwrap()
                .slots
        })
        .collect();
    assert!(
        written.windows(2).all(|two| two[0] != two[1]),
        "written only when they change: {written:?}"
    );
    assert!(written.len() <= 12, "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_short_of_memory_takes_less_work_and_lets_its_runs_end() {
    let mut cluster = Cluster::start().await;
    let (machine, says) = machine();
    let recorder = Recorder::closed();
    cluster
        .node_on("a", &ADAPTIVE, machine, recorder.on("a"))
        .await;
    let first = (0..8).map(|_| with_attempts(task(WORK, "0"), 1));
    let first = cluster.batch(first.collect()).await;
    slots(&cluster, "a", 8).await;
    recorder.started(8).await;

    says.lock().unwrap().memory = Some(0.97);
    let fewer = slots(&cluster, "a", 6).await.adaptive.unwrap();
    assert_eq!(
        (fewer.why.as_str(), fewer.memory_percent),
        ("memory", Some(97))
    );

    // The eight go on, and what comes now waits in the queue: the node has more runs than slots.
    let later = cluster.submit(with_attempts(task(WORK, "1"), 1)).await;
    assert_eq!(cluster.look(later).await.state, State::Pending);
    recorder.let_through(true);
    let found = cluster.until_all(&first, State::Succeeded).await;
    assert!(found.iter().all(|found| runs(found) == 1));
    let found = cluster.until(later, &[State::Succeeded]).await;
    assert_eq!(found.attempts.last().unwrap().1.outcome, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_outlive_a_session_and_a_node_that_leaves_keeps_saying_them() {
    let mut cluster = Cluster::start().await;
    let (machine, _) = machine();
    let recorder = Recorder::closed();
    let settings = [ADAPTIVE[0], ("TENURE_SLOTS_IDLE", "1h")];
    cluster
        .node_on("a", &settings, machine, recorder.on("a"))
        .await;
    let waiting = (0..20).map(|_| with_attempts(task(WORK, "0"), 3));
    cluster.batch(waiting.collect()).await;
    slots(&cluster, "a", 8).await;
    recorder.started(8).await;

    let before = cluster.session("a").await.create_revision;
    cluster.revoke("a").await;
    let again = cluster.joined("a", before).await;
    let record: NodeRecord = serde_json::from_slice(&again.value).unwrap();
    assert_eq!(
        record.slots, 8,
        "it was decided, whatever became of the session"
    );

    // The next session uses them at once; and a node that has nothing to do would be gone before anyone sees that it leaves.
    recorder.started(16).await;
    let stopping = cluster.stopping("a");
    let leaving = cluster
        .when("a says that it drains", async |store| {
            let nodes = store.nodes().await.ok()?.0;
            let record = nodes.into_iter().next()?.seen.value;
            record.draining.then_some(record)
        })
        .await;
    assert_eq!(leaving.slots, 8);
    recorder.let_through(true);
    tokio::time::timeout(Duration::from_mins(1), stopping)
        .await
        .expect("it ends");
}
