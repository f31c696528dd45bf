//! When tasks start: at their time, by priority, on nodes that run their kind, never more than there are slots.

use std::time::Duration;

use tenure::store::Found;
use tenure::task::{Outcome, State};

use super::common::{Cluster, now_ms, task, with_attempts, with_priority};
use super::recorder::{Recorder, WORK};

/// 60 ms to a run: more than the 50 ms of work that is claimed ahead, so that none is. Batches of claims may land in another order
/// than they were decided in.
pub(crate) const SLOW: Duration = Duration::from_millis(60);

fn attempts(found: &Found) -> Vec<(Outcome, u32)> {
    found
        .attempts
        .iter()
        .filter(|(_, attempt)| attempt.outcome.is_attempt())
        .map(|(_, attempt)| (attempt.outcome, attempt.number))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_task_is_scheduled_and_never_starts_early() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let run_at_ms = now_ms() + 1_000;

    let mut delayed = task("noop", "{}");
    delayed.run_at_ms = Some(run_at_ms);
    let id = cluster.submit(delayed).await;

    assert_eq!(cluster.look(id).await.state, State::Scheduled);
    let found = cluster.until(id, &[State::Succeeded]).await;
    let started_ms = found.attempts[0].1.started_ms.unwrap();
    assert!(
        started_ms >= run_at_ms,
        "{} ms early",
        run_at_ms - started_ms
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priorities_start_first() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::slow(SLOW);
    cluster
        .node("a", &[("TENURE_SLOTS", "1")], recorder.on("a"))
        .await;
    cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;

    let queued = (1..=9).map(|level| with_priority(task(WORK, &level.to_string()), level));
    let ids = cluster.batch(queued.collect()).await;
    recorder.let_through(true);

    let order: Vec<u64> = recorder.started(10).await[1..]
        .iter()
        .map(|start| start.payload.as_u64().unwrap())
        .collect();
    assert_eq!(order, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    cluster.until_all(&ids, State::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_hold_for_work_claimed_ahead_whose_packs_are_read() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    cluster
        .node("a", &[("TENURE_SLOTS", "1")], recorder.on("a"))
        .await;
    recorder.warm(&cluster).await;
    cluster.submit(task(WORK, "0")).await;
    recorder.started(201).await;

    // Too long to travel inside of a record: the node reads each pack for itself.
    let long = "x".repeat(2_000);
    let queued =
        (1..=9).map(|level| with_priority(task(WORK, &format!(r#"[{level},"{long}"]"#)), level));
    let ids = cluster.batch(queued.collect()).await;
    cluster
        .when("all are claimed ahead", async |store| {
            let nodes = store.nodes().await.ok()?.0;
            (nodes[0].tasks == 10).then_some(())
        })
        .await;
    // The node has read the packs when as many reads of ours, one after the other, have been answered.
    for _ in 0..30 {
        cluster.revision().await;
    }
    recorder.let_through(true);

    let order: Vec<u64> = recorder.started(210).await[201..]
        .iter()
        .map(|start| start.payload[0].as_u64().unwrap())
        .collect();
    assert_eq!(order, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    cluster.until_all(&ids, State::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_nobody_runs_waits_and_blocks_nothing() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let front = (0..10).map(|_| with_priority(task(WORK, "0"), 9));
    let nobody = cluster.batch(front.collect()).await;

    let behind = (0..5).map(|_| with_priority(task("noop", "{}"), 1));
    let behind = cluster.batch(behind.collect()).await;
    cluster.until_all(&behind, State::Succeeded).await;
    for id in &nobody {
        let found = cluster.look(*id).await;
        assert_eq!(found.state, State::Pending);
        assert!(found.attempts.is_empty());
    }

    let recorder = Recorder::open();
    cluster.node("b", &[], recorder.on("b")).await;
    cluster.until_all(&nobody, State::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_bound_the_runs_and_what_cannot_start_goes_back_without_an_attempt() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    cluster
        .node("a", &[("TENURE_SLOTS", "4")], recorder.on("a"))
        .await;
    recorder.warm(&cluster).await;

    let queued = (0..100).map(|_| with_attempts(task(WORK, "1"), 1));
    let ids = cluster.batch(queued.collect()).await;
    recorder.started(204).await;
    cluster
        .when("work claimed ahead is handed back", async |store| {
            let (found, _) = store.pack_tasks(ids[0].pack(), |_| true).await.ok()?;
            let returned = found.iter().any(|task| {
                task.attempts
                    .iter()
                    .any(|(_, attempt)| attempt.outcome == Outcome::Returned)
            });
            returned.then_some(())
        })
        .await;
    assert_eq!(recorder.starts().len(), 204, "four slots, four runs");

    recorder.let_through(true);
    for found in cluster.until_all(&ids, State::Succeeded).await {
        assert_eq!(attempts(&found), [(Outcome::Succeeded, 1)], "{}", found.id);
    }
    assert_eq!(recorder.starts().len(), 300, "each ran once");
    assert_eq!(recorder.most_at_once("a"), 4);
}
