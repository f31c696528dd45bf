//! Nodes that are drained and come back to work, and who leads meanwhile.

use std::time::Duration;

use tenure::store::{Found, Leader};
use tenure::task::{Outcome, State, TaskId};
use tenure_cluster::Range;

use super::common::{Cluster, name, now_ms, task, with_attempts};
use super::recorder::{Recorder, WORK};

/// A grace that no test waits for.
const LONG: [(&str, &str); 1] = [("TENURE_SHUTDOWN_GRACE", "10m")];

impl Cluster {
    async fn drain(&self, id: &str) -> i64 {
        let drained = self.store.drain(&name(id), "a test", now_ms()).await;
        drained.expect("the node is there").revision
    }

    async fn undrain(&self, id: &str) {
        let undrained = self.store.undrain(&name(id)).await;
        undrained.expect("the node is there");
    }

    /// Waits until a node holds so many tasks.
    async fn holds(&self, id: &str, tasks: usize) {
        self.when(&format!("{id} holds {tasks}"), async |store| {
            let nodes = store.nodes().await.ok()?.0;
            let node = nodes.into_iter().find(|node| node.id == name(id))?;
            (node.tasks == tasks).then_some(())
        })
        .await;
    }

    /// Waits until a node holds more tasks than this.
    async fn holds_more_than(&self, id: &str, tasks: usize) {
        self.when(&format!("{id} holds over {tasks}"), async |store| {
            let nodes = store.nodes().await.ok()?.0;
            let node = nodes.into_iter().find(|node| node.id == name(id))?;
            (node.tasks > tasks).then_some(())
        })
        .await;
    }

    /// Waits until so many stand for leadership.
    async fn stand(&self, count: usize) {
        self.when(&format!("{count} stand"), async |store| {
            let range = Range::prefix(store.keys().elect_prefix()).count_only();
            let page = store.connection().range(&range).await.ok()?;
            (usize::try_from(page.count) == Ok(count)).then_some(())
        })
        .await;
    }

    /// Waits until this node leads.
    async fn leads(&self, id: &str) -> Leader {
        self.when(&format!("{id} leads"), async |store| {
            let leader = store.leader().await.ok()?.0?;
            (leader.candidate.node == name(id)).then_some(leader)
        })
        .await
    }

    /// Claims of a node that were made from a revision on.
    async fn claimed_since(&self, id: &str, revision: i64) -> usize {
        let prefix = self.store.keys().runs_of(&name(id));
        let puts = self.puts_since(prefix, revision).await;
        puts.iter().filter(|kv| kv.version == 1).count()
    }
}

/// What counted as an attempt: where it ran and how it ended.
fn attempts(found: &Found) -> Vec<(String, Outcome)> {
    let real = found.attempts.iter().map(|(_, attempt)| attempt);
    let real = real.filter(|attempt| attempt.outcome.is_attempt());
    real.map(|attempt| {
        let node = attempt.node.as_ref().map(ToString::to_string);
        (node.unwrap_or_default(), attempt.outcome)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_finishes_what_runs_hands_back_the_rest_and_works_again_when_it_is_undrained()
 {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::open();
    let settings = [LONG[0], ("TENURE_SLOTS", "1")];
    cluster.node("a", &settings, recorder.on("a")).await;
    recorder.warm(&cluster).await;
    let ids = cluster
        .batch((0..20).map(|_| with_attempts(task(WORK, "1"), 1)).collect())
        .await;
    recorder.started(201).await;
    // More than it runs; how many it keeps so, and for how long, is its own affair.
    cluster.holds_more_than("a", 1).await;

    let at = cluster.drain("a").await;
    cluster.holds("a", 1).await;
    recorder.let_through(true);
    cluster.holds("a", 0).await;

    assert_eq!(cluster.claimed_since("a", at).await, 0);
    let pending = cluster.look(ids[19]).await;
    assert_eq!(
        (pending.state, attempts(&pending).len()),
        (State::Pending, 0)
    );
    let session = cluster.session("a").await;
    cluster.undrain("a").await;
    for found in cluster.until_all(&ids, State::Succeeded).await {
        let once = [("a".to_owned(), Outcome::Succeeded)];
        assert_eq!(attempts(&found), once, "{}", found.id);
    }
    assert_eq!(recorder.starts().len(), 220);
    let now = cluster.session("a").await;
    assert_eq!(now.create_revision, session.create_revision, "no restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_grace_of_a_drain_runs_elsewhere_without_blame() {
    let mut cluster = Cluster::start().await;
    let (recorder, others) = (Recorder::closed(), Recorder::open());
    let grace = [("TENURE_SHUTDOWN_GRACE", "200ms")];
    cluster.node("a", &grace, recorder.on("a")).await;
    let id = cluster.submit(with_attempts(task(WORK, "0"), 1)).await;
    recorder.started(1).await;
    cluster.node("b", &[], others.on("b")).await;

    cluster.drain("a").await;

    let found = cluster.until(id, &[State::Succeeded]).await;
    let expected = [("a", Outcome::Lost), ("b", Outcome::Succeeded)];
    assert_eq!(
        attempts(&found),
        expected.map(|(node, how)| (node.to_owned(), how))
    );
    let deaths = found.attempts.iter().map(|(_, attempt)| attempt.deaths);
    assert_eq!(deaths.sum::<u32>(), 0);
    recorder.idle("a").await;
    cluster.session("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_restarts_under_a_drained_name_stays_drained() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    cluster.drain("a").await;
    cluster.stop("a").await;
    cluster.node("a", &[], |kinds| kinds).await;

    let id = cluster.submit(task("noop", "{}")).await;
    // It leads, for nobody else does, and gives itself nothing; what another would take it gives.
    cluster.leads("a").await;
    cluster.node("b", &[], |kinds| kinds).await;
    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(attempts(&found), [("b".to_owned(), Outcome::Succeeded)]);

    // A leader that took over knows of the drain as well.
    cluster.leads("b").await;
    let id = cluster.submit(task("noop", "{}")).await;
    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(attempts(&found), [("b".to_owned(), Outcome::Succeeded)]);
    cluster.stop("b").await;
    cluster.leads("a").await;
    let id = cluster.submit(task("noop", "{}")).await;
    cluster.undrain("a").await;
    cluster.until(id, &[State::Succeeded]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_leader_hands_over_and_stands_again_when_it_is_undrained() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    cluster.leads("a").await;
    cluster.node("b", &[], |kinds| kinds).await;
    cluster.stand(2).await;

    cluster.drain("a").await;
    let second = cluster.leads("b").await;
    cluster.stand(1).await;
    cluster.undrain("a").await;
    cluster.stand(2).await;

    assert_eq!(cluster.leads("b").await.term, second.term);
    cluster.stop("b").await;
    cluster.leads("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_candidate_leads_on_although_it_is_drained_until_another_is_there() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let first = cluster.leads("a").await;
    cluster.drain("a").await;
    let id = cluster.submit(task("noop", "{}")).await;
    let at = cluster.revision().await;

    cluster.node("b", &[], |kinds| kinds).await;

    cluster.leads("b").await;
    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(attempts(&found), [("b".to_owned(), Outcome::Succeeded)]);
    assert!(cluster.leader_after(first.term).await.term > first.term);
    assert_eq!(cluster.claimed_since("a", at).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_drained_one_leads_and_no_two_give_way_to_each_other() {
    let mut cluster = Cluster::start().await;
    for id in ["a", "b", "c"] {
        cluster.node(id, &[], |kinds| kinds).await;
    }
    cluster.stand(3).await;
    for id in ["a", "b", "c"] {
        cluster.drain(id).await;
    }
    cluster.stand(1).await;

    let id: TaskId = cluster.submit(task("noop", "{}")).await;
    cluster.undrain("c").await;

    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(attempts(&found), [("c".to_owned(), Outcome::Succeeded)]);
    cluster.leads("c").await;
    cluster.stand(1).await;
}

/// A run that ends as its grace does is told as it ended, whichever is seen first.
#[tokio::test(flavor = "multi_thread")]
async fn runs_that_end_within_the_grace_of_a_stop_are_reported() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::slow(Duration::from_millis(300));
    recorder.let_through(true);
    cluster.node("a", &LONG, recorder.on("a")).await;
    let ids = cluster
        .batch((0..8).map(|_| task(WORK, "0")).collect())
        .await;
    recorder.started(8).await;

    cluster.stop("a").await;

    for id in ids {
        let found = cluster.look(id).await;
        assert_eq!(found.state, State::Succeeded);
        assert_eq!(attempts(&found).len(), 1);
    }
}
