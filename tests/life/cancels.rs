//! Cancelling and reviving in every state, and refusing it where it makes no sense.

use tenure::store::{ActError, Assign, Change, Place, Stop, Take, Verdict, Waiting, encode};
use tenure::task::{ClaimId, Illegal, Outcome, State, TaskId, Which};
use tenure_cluster::Txn;

use super::common::{Cluster, name, now_ms, task, with_attempts};
use super::recorder::{Recorder, WORK};

/// 3 times more: each has 10 s.
const AGAIN_MAX: u32 = 3;
/// 4 s: less than a test waits, more than the cancel of a run takes.
const LONG: &str = r#"{"ms":4000}"#;

async fn cancel(cluster: &Cluster, id: TaskId, act: u128) -> Result<State, ActError> {
    let acted = cluster.store.cancel(id, act, now_ms()).await;
    acted.map(|acted| acted.state)
}

/// Asks again where all others were faster until the time was over, as on a slow machine; the error says that nothing was done.
async fn insists(cluster: &Cluster, id: TaskId, act: u128) -> Result<State, ActError> {
    let mut last = cancel(cluster, id, act).await;
    for _ in 0..AGAIN_MAX {
        if !matches!(last, Err(ActError::Busy(_))) {
            break;
        }
        last = cancel(cluster, id, act).await;
    }
    last
}

fn refused(result: Result<State, ActError>) -> State {
    match result {
        Err(ActError::Illegal(Illegal { state, .. })) => state,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_cancelled_at_once_and_alone() {
    let mut cluster = Cluster::start().await;
    let ids = cluster
        .batch((0..10).map(|_| task("noop", "{}")).collect())
        .await;
    let mut later = task("noop", "{}");
    later.run_at_ms = Some(now_ms() + 3_600_000);
    let later = cluster.submit(later).await;

    assert_eq!(cancel(&cluster, ids[3], 1).await.unwrap(), State::Cancelled);
    assert_eq!(cancel(&cluster, later, 2).await.unwrap(), State::Cancelled);
    // The same act again answers the same; another one is refused.
    assert_eq!(cancel(&cluster, later, 2).await.unwrap(), State::Cancelled);
    assert_eq!(refused(cancel(&cluster, later, 3).await), State::Cancelled);

    cluster.node("a", &[], |kinds| kinds).await;
    let others: Vec<_> = ids.iter().copied().filter(|id| *id != ids[3]).collect();
    cluster.until_all(&others, State::Succeeded).await;
    assert_eq!(cluster.look(ids[3]).await.state, State::Cancelled);
    assert_eq!(cluster.look(later).await.state, State::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_the_state() {
    let mut cluster = Cluster::start().await;
    let pending = cluster.submit(task(WORK, "0")).await;
    let revive = async |id, act| {
        let acted = cluster.store.revive(id, act, now_ms()).await;
        acted.map(|acted| acted.state)
    };
    assert_eq!(refused(revive(pending, 1).await), State::Pending);
    cluster.node("a", &[], |kinds| kinds).await;

    let done = cluster.submit(task("noop", "{}")).await;
    cluster.until(done, &[State::Succeeded]).await;
    let running = cluster.submit(task("sleep", r#"{"ms":600000}"#)).await;
    cluster.until(running, &[State::Running]).await;
    let dead = cluster.submit(with_attempts(task("fail", "{}"), 1)).await;
    cluster.until(dead, &[State::Dead]).await;
    let revive = async |id, act| {
        let acted = cluster.store.revive(id, act, now_ms()).await;
        acted.map(|acted| acted.state)
    };

    assert_eq!(refused(cancel(&cluster, done, 2).await), State::Succeeded);
    assert_eq!(refused(revive(done, 3).await), State::Succeeded);
    assert_eq!(refused(revive(running, 4).await), State::Running);
    assert_eq!(cancel(&cluster, dead, 5).await.unwrap(), State::Cancelled);
    assert_eq!(refused(revive(dead, 6).await), State::Cancelled);
    let nowhere = "0192f0c1-6c00-7abc-8def-012345678900".parse().unwrap();
    assert!(matches!(
        cancel(&cluster, nowhere, 7).await,
        Err(ActError::NoTask(id)) if id == nowhere
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_cancel_survives_the_death_of_its_node() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;
    cluster.node("b", &[], recorder.on("b")).await;
    cluster.kill("a").await;

    let state = cancel(&cluster, id, 1).await.unwrap();
    assert_eq!(state, State::Running, "nobody has stopped it yet");
    cluster.revoke("a").await;

    let found = cluster.until(id, &[State::Cancelled]).await;
    assert_eq!(found.attempts.len(), 1);
    assert_eq!(found.attempts[0].1.outcome, Outcome::Cancelled);
    assert_eq!(recorder.starts().len(), 1, "it never ran again");
    let keys = cluster.store.keys();
    assert!(cluster.all(keys.all_stops()).await.is_empty());
    assert!(cluster.all(keys.runs()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_arrives_before_its_claim_is_not_forgotten() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let session = cluster.session("a").await.create_revision;
    let mut later = task("sleep", LONG);
    later.run_at_ms = Some(now_ms() + 3_600_000);
    let id = cluster.submit(later).await;
    let (place, record, seen) = cluster.look(id).await.waiting.unwrap();
    assert!(matches!(place, Place::Due(_)));

    // Two watches tell the node of its claims and of its stops, in any order.
    let claim = ClaimId {
        term: 1,
        number: 77,
    };
    let which = Which::only(id.index());
    let keys = cluster.store.keys();
    let stop = Txn::new().put(keys.stop(&name("a"), claim), encode(&Stop { which }));
    let stopped = cluster.store.connection().commit(&stop).await;
    let after = stopped.committed().unwrap().revision;
    // A task that runs on the node after the stop: it has had the time to see it.
    let noop = cluster.submit(task("noop", "{}")).await;
    cluster.until(noop, &[State::Succeeded]).await;
    let assign = Change::Assign(Assign {
        from: Waiting {
            id: record,
            place,
            seen,
            now_ms: now_ms(),
        },
        takes: vec![Take {
            claim,
            node: name("a"),
            session,
            instance: "x".to_owned(),
            which,
        }],
        term: 1,
        decided: after,
        rules: 0,
    });
    let verdict = cluster.store.commit(&assign).await;
    assert!(matches!(verdict, Verdict::Committed { .. }), "{verdict:?}");

    let found = cluster
        .until(id, &[State::Cancelled, State::Succeeded])
        .await;
    assert_eq!(found.state, State::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_cancels_on_one_pack_are_all_done() {
    let cluster = Cluster::start().await;
    let tasks = (0..200).map(|_| task("nobody", "{}"));
    let ids = cluster.batch(tasks.collect()).await;

    let all = (1..).zip(&ids).map(|(act, id)| insists(&cluster, *id, act));
    let states = futures::future::join_all(all).await;

    for state in states {
        assert_eq!(state.unwrap(), State::Cancelled);
    }
}
