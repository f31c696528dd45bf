//! One task, one committed outcome: success, failure, timeout, cancel, delay, retry, death.

use tenure::store::NewTask;
use tenure::task::{Outcome, State, Which};

use super::common::{Cluster, task};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_succeeds_once() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;

    let id = cluster.submit(task("noop", "{}")).await;
    let found = cluster.until(id, &[State::Succeeded]).await;

    assert_eq!(found.attempts.len(), 1);
    let attempt = &found.attempts[0].1;
    assert_eq!((attempt.outcome, attempt.number), (Outcome::Succeeded, 1));
    assert!(attempt.fence > 0 && attempt.which == Which::only(0));
    cluster.stop("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_is_retried_and_ends_among_the_dead_letters() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;

    let id = cluster.submit(task("fail", r#"{"message":"no"}"#)).await;
    let dead = cluster.until(id, &[State::Dead]).await;
    assert_eq!(
        dead.attempts
            .iter()
            .map(|(_, attempt)| attempt.number)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );

    cluster
        .store
        .revive(id, 1, tenure::clock::now_ms())
        .await
        .unwrap();
    let again = cluster.until(id, &[State::Dead]).await;
    let attempts = again
        .attempts
        .iter()
        .filter(|(_, attempt)| attempt.outcome.is_attempt())
        .count();
    assert!(attempts == 3 || attempts == 6, "seen {attempts}");
    cluster
        .store
        .cancel(id, 2, tenure::clock::now_ms())
        .await
        .unwrap();
    cluster.until(id, &[State::Cancelled]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_cancelled() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;

    let id = cluster.submit(task("sleep", r#"{"ms":600000}"#)).await;
    cluster.until(id, &[State::Running]).await;
    let acted = cluster
        .store
        .cancel(id, 7, tenure::clock::now_ms())
        .await
        .unwrap();

    assert_eq!(acted.state, State::Running);
    let found = cluster.until(id, &[State::Cancelled]).await;
    assert_eq!(found.attempts.last().unwrap().1.outcome, Outcome::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_on_three_nodes_all_end() {
    let mut cluster = Cluster::start().await;
    for id in ["a", "b", "c"] {
        cluster.node(id, &[], |kinds| kinds).await;
    }

    let tasks: Vec<NewTask> = (0..1_000).map(|_| task("noop", "{}")).collect();
    let accepted = cluster
        .submitter
        .batch(tasks, None, tenure::clock::now_ms())
        .await
        .unwrap();

    for id in accepted.tasks {
        let found = cluster.until(id, &[State::Succeeded]).await;
        let ended = found
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.next.is_none())
            .count();
        assert_eq!(ended, 1, "{id}");
    }
}
