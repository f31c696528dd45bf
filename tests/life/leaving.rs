//! Nodes that leave in order, and nodes that come back under their name.

use tenure::task::{Outcome, State};
use tokio_util::sync::CancellationToken;

use super::common::{Cluster, name, task, with_attempts, within};
use super::recorder::{Recorder, WORK};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_finishes_what_runs() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    cluster.node("b", &[], |kinds| kinds).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;

    let stopping = cluster.stopping("a");
    cluster
        .when("a says that it drains", async |store| {
            let nodes = store.nodes().await.ok()?.0;
            let a = nodes.into_iter().find(|node| node.id == name("a"))?;
            a.seen.value.draining.then_some(())
        })
        .await;
    recorder.let_through(true);
    stopping.await;

    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(found.attempts.len(), 1);
    assert_eq!(found.attempts[0].1.node, Some(name("a")));
    assert!(
        cluster.store.nodes().await.unwrap().0.len() == 1,
        "its lease is revoked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_hands_back_what_has_not_started() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    cluster
        .node("a", &[("TENURE_SLOTS", "1")], recorder.on("a"))
        .await;
    cluster.node("b", &[], |kinds| kinds).await;
    recorder.warm(&cluster).await;
    let ids = cluster
        .batch((0..20).map(|_| with_attempts(task(WORK, "1"), 1)).collect())
        .await;
    recorder.started(201).await;
    cluster
        .when("work is claimed ahead", async |store| {
            let nodes = store.nodes().await.ok()?.0;
            nodes.iter().any(|node| node.tasks > 1).then_some(())
        })
        .await;

    let stopping = cluster.stopping("a");
    let others = Recorder::open();
    cluster.node("c", &[], others.on("c")).await;
    others.started(19).await;
    recorder.let_through(true);
    stopping.await;

    for found in cluster.until_all(&ids, State::Succeeded).await {
        let real: Vec<_> = found
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.outcome.is_attempt())
            .collect();
        assert_eq!(real.len(), 1, "{}", found.id);
        assert_eq!(real[0].1.number, 1);
    }
    assert_eq!((recorder.starts().len(), others.starts().len()), (201, 19));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_grace_is_given_up_without_blame_and_runs_elsewhere() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    let grace = [("TENURE_SHUTDOWN_GRACE", "200ms")];
    cluster.node("a", &grace, recorder.on("a")).await;
    let id = cluster.submit(with_attempts(task(WORK, "0"), 1)).await;
    recorder.started(1).await;

    cluster.stop("a").await;

    let found = cluster.look(id).await;
    assert_eq!(found.state, State::Pending);
    let lost = &found.attempts[0].1;
    assert_eq!((lost.outcome, lost.number), (Outcome::Lost, 1));
    let tally = found.waiting.unwrap().2.value.tally;
    assert_eq!((tally.deaths, tally.failures), (0, 0));
    recorder.let_through(true);
    cluster.node("b", &[], recorder.on("b")).await;
    let found = cluster.until(id, &[State::Succeeded]).await;
    let second = &found.attempts.last().unwrap().1;
    assert_eq!((second.number, second.node.clone()), (2, Some(name("b"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_name_is_refused() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let session = cluster.session("a").await;

    let second = cluster.node_of("a", &[]).run(CancellationToken::new());
    let error = within(Box::pin(second)).await.unwrap_err().to_string();

    assert!(error.contains("in use by a live node"), "{error}");
    assert_eq!(
        cluster.session("a").await.create_revision,
        session.create_revision
    );
    let id = cluster.submit(task("noop", "{}")).await;
    cluster.until(id, &[State::Succeeded]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_name_is_taken_when_its_lease_has_run_out() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;
    let before = cluster.session("a").await;

    cluster.kill("a").await;
    assert_eq!(
        cluster.session("a").await.lease,
        before.lease,
        "its lease lives on"
    );
    recorder.let_through(true);
    cluster.node("a", &[], recorder.on("a")).await;

    let after = cluster.session("a").await;
    assert!(after.lease != before.lease && after.create_revision > before.create_revision);
    let found = cluster.until(id, &[State::Succeeded]).await;
    let outcomes: Vec<_> = found.attempts.iter().map(|(_, a)| a.outcome).collect();
    assert_eq!(outcomes, [Outcome::Lost, Outcome::Succeeded]);
}
