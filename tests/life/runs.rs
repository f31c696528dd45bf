//! How runs end: past their timeout, by a panic, with a backoff before the next.

use tenure::task::{Outcome, State};

use super::common::{Cluster, task, with_attempts};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_past_its_timeout_is_stopped_and_retried_by_its_budget() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;

    let mut slow = with_attempts(task("sleep", r#"{"ms":600000}"#), 2);
    slow.policy.timeout_ms = Some(50);
    let id = cluster.submit(slow).await;

    let found = cluster.until(id, &[State::Dead]).await;
    let seen: Vec<_> = found
        .attempts
        .iter()
        .map(|(_, attempt)| (attempt.outcome, attempt.number))
        .collect();
    assert_eq!(seen, [(Outcome::Timeout, 1), (Outcome::Timeout, 2)]);
    let took = |nth: usize| {
        let attempt = &found.attempts[nth].1;
        attempt.finished_ms - attempt.started_ms.unwrap()
    };
    assert!(took(0) >= 50 && took(1) >= 50, "{} {}", took(0), took(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_has_failed_and_its_node_works_on() {
    let mut cluster = Cluster::start().await;
    let bang = |kinds: tenure::worker::kinds::Builder| {
        kinds.handler_fn("bang", |context| async move {
            assert_eq!(context.attempt(), 0, "bang");
            Ok(())
        })
    };
    cluster.node("a", &[], bang).await;

    let id = cluster.submit(with_attempts(task("bang", "{}"), 1)).await;

    let found = cluster.until(id, &[State::Dead]).await;
    let last = &found.attempts.last().unwrap().1;
    assert_eq!(last.outcome, Outcome::Failed);
    let error = last.error.as_deref().unwrap();
    assert!(
        error.contains("panicked") && error.contains("bang"),
        "{error}"
    );
    let next = cluster.submit(task("noop", "{}")).await;
    cluster.until(next, &[State::Succeeded]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_wait_their_backoff() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;

    let mut failing = task("fail", r#"{"message":"no"}"#);
    failing.policy.backoff.initial_ms = 150;
    let id = cluster.submit(failing).await;

    let found = cluster.until(id, &[State::Dead]).await;
    let times: Vec<(u64, u64)> = found
        .attempts
        .iter()
        .map(|(_, attempt)| (attempt.started_ms.unwrap(), attempt.finished_ms))
        .collect();
    let waits: Vec<u64> = times.windows(2).map(|two| two[1].0 - two[0].1).collect();
    assert_eq!(waits.len(), 2);
    assert!(waits[0] >= 150 && waits[1] >= 300, "{waits:?}");
}
