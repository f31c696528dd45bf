//! Accepting tasks: idempotency keys, coalescing, whole batches.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tenure::store::{
    IdemKey, Keys, LANES_MAX, Lane, NewTask, SUBMIT_BYTES_MAX, Store, SubmitError, decode, line,
    txns,
};
use tenure::task::{Pack, State};
use tenure_cluster::{Connection, Options};
use tenure_testkit::{Mode, Proxy};
use tokio::task::JoinSet;

use super::common::{Cluster, name, now_ms, task, with_attempts, with_priority};

fn idem(key: &str, digest: &str) -> IdemKey {
    IdemKey {
        key: key.to_owned(),
        digest: digest.to_owned(),
    }
}

async fn packs(cluster: &Cluster) -> Vec<Pack> {
    let kvs = cluster.all(cluster.store.keys().pack_prefix()).await;
    kvs.iter()
        .map(|kv| decode(&kv.key, &kv.value).expect("a pack"))
        .collect()
}

#[tokio::test]
async fn a_repeated_key_answers_the_same_task_and_another_request_is_refused() {
    let cluster = Cluster::start().await;
    let send = async |digest| {
        let one = cluster
            .submitter
            .one(task("noop", "{}"), Some(idem("k", digest)), now_ms());
        one.await
    };

    let first = send("d").await.unwrap();
    let again = send("d").await.unwrap();
    let other = send("e").await;

    assert!(!first.repeated && again.repeated);
    assert_eq!(first.tasks, again.tasks);
    assert!(matches!(other, Err(SubmitError::KeyTaken(key)) if key == "k"));
    assert_eq!(packs(&cluster).await.len(), 1);
}

#[tokio::test]
async fn a_repeated_batch_answers_the_same_tasks() {
    let cluster = Cluster::start().await;
    let send = async |digest| {
        let tasks = (1..=9).map(|level| with_priority(task("noop", "{}"), level));
        let batch = cluster
            .submitter
            .batch(tasks.collect(), Some(idem("k", digest)), now_ms());
        batch.await
    };

    let first = send("d").await.unwrap();
    let again = send("d").await.unwrap();
    let other = send("e").await;

    assert!(!first.repeated && again.repeated);
    assert_eq!(first.tasks, again.tasks);
    assert!(matches!(other, Err(SubmitError::KeyTaken(key)) if key == "k"));
    assert_eq!(packs(&cluster).await.len(), 9);
}

#[tokio::test]
async fn two_submits_with_one_key_in_one_round_make_one_task() {
    let cluster = Cluster::start().await;
    let send = || {
        cluster
            .submitter
            .one(task("noop", "{}"), Some(idem("k", "d")), now_ms())
    };

    let (a, b) = tokio::join!(send(), send());

    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.tasks, b.tasks);
    assert!(a.repeated != b.repeated, "{a:?} {b:?}");
    let packs = packs(&cluster).await;
    assert_eq!(
        packs.iter().map(|pack| pack.tasks.len()).sum::<usize>(),
        1,
        "{packs:?}"
    );
}

#[tokio::test]
async fn a_used_key_fails_no_neighbour_and_leaves_a_hole() {
    let mut cluster = Cluster::start().await;
    let used = cluster
        .submitter
        .one(task("noop", "{}"), Some(idem("used", "d")), now_ms());
    used.await.unwrap();

    let all = (0..100).map(|nth| {
        let key = (nth == 50).then(|| idem("used", "other"));
        cluster.submitter.one(task("noop", "{}"), key, now_ms())
    });
    let answers = join_all(all).await;

    for (nth, answer) in answers.iter().enumerate() {
        match answer {
            Ok(accepted) => assert!(nth != 50 && !accepted.repeated),
            Err(SubmitError::KeyTaken(_)) => assert_eq!(nth, 50),
            Err(other) => panic!("submit {nth}: {other}"),
        }
    }
    let indexes = |pack: &Pack| pack.tasks.keys().copied().collect::<Vec<_>>();
    let packs = packs(&cluster).await;
    let holed = packs
        .iter()
        .find(|pack| indexes(pack).windows(2).any(|two| two[1] - two[0] == 2));
    assert!(holed.is_some(), "{packs:?}");
    cluster.node("a", &[], |kinds| kinds).await;
    let ids: Vec<_> = answers
        .into_iter()
        .flatten()
        .map(|ok| ok.tasks[0])
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 99);
    cluster.until_all(&ids, State::Succeeded).await;
}

#[tokio::test]
async fn a_key_that_ends_like_a_used_one_is_another_key() {
    let cluster = Cluster::start().await;
    let send = |key: &str| {
        cluster
            .submitter
            .one(task("noop", "{}"), Some(idem(key, "d")), now_ms())
    };
    let used = send("x/idem/k").await.unwrap();

    let (again, fresh) = tokio::join!(send("x/idem/k"), send("k"));

    let (again, fresh) = (again.unwrap(), fresh.unwrap());
    assert!(again.repeated && again.tasks == used.tasks);
    assert!(!fresh.repeated && fresh.tasks != used.tasks, "{fresh:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_single_submits_share_packs() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;

    let all = (0..500).map(|_| cluster.submitter.one(task("noop", "{}"), None, now_ms()));
    let ids: Vec<_> = join_all(all)
        .await
        .into_iter()
        .map(|accepted| accepted.unwrap().tasks[0])
        .collect();

    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 500);
    let packs = packs(&cluster).await.len();
    assert!(packs < 100, "{packs} packs");
    cluster.until_all(&ids, State::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_thousand_mixed_tasks_keeps_its_order() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;

    let tasks = (0_u32..1_000).map(|nth| {
        let level = u8::try_from(nth % 9).unwrap() + 1;
        with_priority(task("noop", &format!(r#"{{"nth":{nth}}}"#)), level)
    });
    let ids = cluster.batch(tasks.collect()).await;

    let packs = packs(&cluster).await;
    assert_eq!(
        packs.iter().map(|pack| pack.tasks.len()).sum::<usize>(),
        1_000
    );
    for (nth, id) in ids.iter().enumerate().step_by(37) {
        let found = cluster.look(*id).await;
        let spec = &found.pack.tasks[&id.index()];
        assert_eq!(spec.payload.get(), format!(r#"{{"nth":{nth}}}"#));
    }
    cluster.until_all(&ids, State::Succeeded).await;
}

#[tokio::test]
async fn copies_of_one_submit_are_answered_by_the_first_without_a_commit_each() {
    let cluster = Cluster::start().await;
    cluster.submit(task("noop", "{}")).await;

    let one = |digest| {
        let key = Some(idem("k", digest));
        cluster.submitter.one(task("noop", "{}"), key, now_ms())
    };
    let began = cluster.revision().await;
    let (same, others) = tokio::join!(
        join_all((0..200).map(|_| one("d"))),
        join_all((0..50).map(|_| one("e")))
    );

    let same: Vec<_> = same.into_iter().map(Result::unwrap).collect();
    let new = same.iter().filter(|answer| !answer.repeated).count();
    assert_eq!(new, 1);
    assert!(same.iter().all(|answer| answer.tasks == same[0].tasks));
    let taken = |answer: &Result<_, SubmitError>| matches!(answer, Err(SubmitError::KeyTaken(_)));
    assert!(others.iter().all(taken));
    // One commit for the first, and one more where not all of them met in its round.
    let commits = cluster.revision().await - began;
    assert!(commits <= 2, "{commits} commits");
}

/// A thousand tasks that share nothing, their names as long as may be, with so many payloads of 200 KB.
fn apart(payloads: u32) -> Vec<NewTask> {
    let long = "q".repeat(64);
    let one = |i| {
        let payload = if i < payloads {
            format!("\"{}\"", "x".repeat(200_000))
        } else {
            "null".to_owned()
        };
        let mut one = with_attempts(task(&long, &payload), i + 1);
        one.routing.queue = name(&long);
        one
    };
    (0..1_000).map(one).collect()
}

#[tokio::test]
async fn a_batch_that_etcd_would_not_take_is_refused_by_its_size() {
    let cluster = Cluster::start().await;

    let small = cluster.submitter.batch(apart(1), None, now_ms()).await;
    let large = cluster.submitter.batch(apart(4), None, now_ms()).await;

    assert_eq!(small.unwrap().tasks.len(), 1_000);
    match large {
        Err(SubmitError::TooLarge(bytes)) => assert!(bytes > SUBMIT_BYTES_MAX),
        other => panic!("not refused by its size: {other:?}"),
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_ten_seconds_from_arrival_and_a_new_lane_fails_alone() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::start(cluster.etcd.address(0)).await;
    let connection = Connection::open(Options::new([proxy.endpoint()])).unwrap();
    let (submitter, coalescer) = line(&Store::new(connection, Keys::new(&name("default"))));
    let mut driver = JoinSet::new();
    driver.spawn(coalescer.run());
    let known = submitter.one(task("noop", "{}"), None, now_ms()).await;
    known.unwrap();
    proxy.set(Mode::Hold);

    // The second arrives while the first one's round is in flight, two rounds' time before its own could begin.
    let sent = |wait_ms, kind| {
        let submitter = &submitter;
        async move {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let began = Instant::now();
            let answer = submitter.one(task(kind, "{}"), None, now_ms()).await;
            (answer, began.elapsed())
        }
    };
    let batch = async {
        let began = Instant::now();
        let answer = submitter.batch(vec![task("noop", "{}")], None, now_ms());
        (answer.await, began.elapsed())
    };
    let (first, new, behind, batch) =
        tokio::join!(sent(0, "noop"), sent(0, "new"), sent(1_000, "noop"), batch);

    for (answer, took) in [&first, &new, &behind, &batch] {
        assert!(answer.is_err(), "{answer:?}");
        // By the end of the round before it, it would be 18 s and more.
        assert!(*took < Duration::from_secs(14), "{took:?}");
    }
    assert!(matches!(first.0, Err(SubmitError::Unknown(_))), "{first:?}");
    assert!(matches!(new.0, Err(SubmitError::Unavailable(_))), "{new:?}");
    driver.shutdown().await;
}

#[tokio::test]
async fn a_lane_beyond_the_bound_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::start().await;
    let lanes: Vec<Lane> = (1..=LANES_MAX)
        .map(|nth| Lane {
            queue: name(&format!("q{nth}")),
            ..Lane::of(&task("noop", "null").routing)
        })
        .collect();
    // Another node's, all but one.
    for some in lanes[1..].chunks(64) {
        let marks = txns::lanes(cluster.store.keys(), some);
        let done = cluster.store.connection().commit(&marks).await;
        assert!(done.committed().is_some(), "{done:?}");
    }
    let of = |queue: &str| {
        let mut task = task("noop", "{}");
        task.routing.queue = name(queue);
        task
    };
    let one = |queue| cluster.submitter.one(of(queue), None, now_ms());

    // One has room, not two: a batch that needs both is refused whole.
    let two = vec![of("x"), of("y")];
    let two = cluster.submitter.batch(two, None, now_ms()).await;
    assert!(matches!(two, Err(SubmitError::TooManyLanes(_))), "{two:?}");
    let last = one("q1").await.unwrap();
    let before = cluster.all(cluster.store.keys().root().to_owned()).await;
    let (over, there) = tokio::join!(one("one-more"), one("q9"));

    let there = there.unwrap();
    let error = over.unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with("queue `one-more` has had no work of kind `noop`"),
        "{told}"
    );
    assert!(told.contains("the cluster has 4096 such lanes"), "{told}");
    let after = cluster.all(cluster.store.keys().root().to_owned()).await;
    let new = after.iter().filter(|kv| !before.contains(kv));
    let of_it = new.filter(|kv| kv.key.contains("one-more") || kv.key.contains("/lane/"));
    assert_eq!(of_it.count(), 0);
    cluster.node("a", &[], |kinds| kinds).await;
    cluster
        .until_all(&[last.tasks[0], there.tasks[0]], State::Succeeded)
        .await;
}
