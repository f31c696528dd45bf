//! Trouble with etcd: restarts, compaction, no space; and a backlog far larger than a window.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use tenure::store::{Change, NewTask, Submit, SubmitError, Verdict, batches};
use tenure::task::{Pack, PackId, State, TaskId};
use tenure_cluster::Txn;
use tenure_testkit::{Etcd, Mode, Proxy};

use super::common::{Cluster, now_ms, task, with_priority};
use super::recorder::{Recorder, WORK};

/// Each task of these has ended once.
async fn ended_once(cluster: &Cluster, ids: &[TaskId]) {
    for found in cluster.until_all(ids, State::Succeeded).await {
        let ends = found
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.next.is_none());
        assert_eq!(ends.count(), 1, "{}", found.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_etcd_under_load_loses_nothing() {
    let mut cluster = Cluster::on(Etcd::builder(1).durable().start()).await;
    for id in ["a", "b"] {
        cluster.node(id, &[], |kinds| kinds).await;
    }
    let submitter = cluster.submitter.clone();
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let submitter = submitter.clone();
        load.spawn(async move {
            let (mut accepted, mut open) = (Vec::new(), 0);
            for _ in 0..60 {
                match submitter.one(task("noop", "{}"), None, now_ms()).await {
                    Ok(task) => accepted.extend(task.tasks),
                    Err(SubmitError::Unknown(_) | SubmitError::Unavailable(_)) => open += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (accepted, open)
        });
    }
    // Some of it is on its way.
    cluster
        .when("the first have ended", async |store| {
            let prefix = tenure_cluster::Range::prefix(store.keys().result_prefix());
            let page = store.connection().range(&prefix).await.ok()?;
            (page.count > 4).then_some(())
        })
        .await;

    tokio::task::block_in_place(|| cluster.etcd.restart(0));

    let done = load.join_all().await;
    let accepted: Vec<TaskId> = done.into_iter().flat_map(|(ids, _)| ids).collect();
    assert!(accepted.len() > 100, "{} accepted", accepted.len());
    ended_once(&cluster, &accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_watch_is_compacted_away_loads_anew() {
    let mut cluster = Cluster::start().await;
    let proxy = Proxy::start(cluster.etcd.address(0)).await;
    let through = proxy.endpoint();
    // A long lease: the hold below is no reason to lose it.
    let settings = [
        ("TENURE_ETCD_ENDPOINTS", through.as_str()),
        ("TENURE_LEASE_TTL", "60s"),
    ];
    cluster.node("a", &settings, |kinds| kinds).await;
    let leader = cluster.leader_after(0).await;
    let before = cluster.submit(task("noop", "{}")).await;
    cluster.until(before, &[State::Succeeded]).await;

    proxy.set(Mode::Hold);
    let missed = cluster
        .batch((0..30).map(|_| task("noop", "{}")).collect())
        .await;
    let now = cluster.revision().await;
    cluster.store.connection().compact(now).await.unwrap();
    proxy.reset();

    ended_once(&cluster, &missed).await;
    let after = cluster.submit(task("noop", "{}")).await;
    cluster.until(after, &[State::Succeeded]).await;
    assert_eq!(cluster.leader_after(0).await.term, leader.term);
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_tasks_complete_though_etcd_was_full() {
    let etcd = Etcd::builder(1).quota_bytes(16 << 20);
    let mut cluster = Cluster::on(etcd.start()).await;
    let recorder = Recorder::closed();
    cluster
        .node("a", &[("TENURE_COMPACTION", "off")], recorder.on("a"))
        .await;
    let ids = cluster
        .batch((0..20).map(|_| task(WORK, "0")).collect())
        .await;
    recorder.started(8).await;

    // Keys and not history: that would be dropped where it stands in the way.
    let blob = vec![7_u8; 1 << 20];
    let connection = cluster.store.connection().clone();
    let mut others = (0..).map(|n| format!("/elsewhere/{n:02}"));
    let mut written = Vec::new();
    loop {
        let other = others.next().expect("there is no end of them");
        let fill = Txn::new().put(&other, blob.clone());
        if connection.commit(&fill).await.committed().is_none() {
            break;
        }
        written.push(other);
    }
    let refused = cluster
        .submitter
        .batch(vec![task(WORK, "1")], None, now_ms())
        .await;
    assert!(
        matches!(
            refused,
            Err(SubmitError::Unknown(_) | SubmitError::Unavailable(_))
        ),
        "{refused:?}"
    );
    recorder.let_through(true);
    recorder.started(8).await;
    recorder.idle("a").await;

    let clear = written.iter().fold(Txn::new(), Txn::delete);
    assert!(connection.commit(&clear).await.committed().is_some());
    let now = cluster.revision().await;
    connection.compact(now).await.unwrap();
    cluster.etcd.etcdctl(&["defrag"]);
    cluster.etcd.etcdctl(&["alarm", "disarm"]);

    ended_once(&cluster, &ids).await;
    let after = cluster.submit(task(WORK, "2")).await;
    ended_once(&cluster, &[after]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_though_etcd_takes_no_report_that_holds_its_output() {
    let etcd = Etcd::builder(1).arg("--max-request-bytes=8192");
    let mut cluster = Cluster::on(etcd.start()).await;
    let long = |_| async { Ok("x".repeat(12_000)) };
    cluster
        .node("a", &[], |kinds| kinds.handler_fn("long", long))
        .await;

    let id = cluster.submit(task("long", "{}")).await;

    let found = cluster.until(id, &[State::Succeeded]).await;
    let attempt = &found.attempts[0].1;
    assert!(attempt.output.is_none());
    let error = attempt.error.as_deref().unwrap();
    assert!(error.contains("was not kept"), "{error}");
}

/// Packs of one, whose ids ascend, in the store before there is any node.
async fn backlog(cluster: &Cluster, tasks: Vec<NewTask>) -> Vec<TaskId> {
    let (mut ids, mut changes) = (Vec::new(), Vec::new());
    let base_ms = now_ms() - 10_000;
    let mut lanes = BTreeSet::new();
    for (nth, task) in tasks.into_iter().enumerate() {
        lanes.insert(tenure::store::Lane::of(&task.routing));
        let id = PackId::new(base_ms + nth as u64, nth as u128);
        let pack = Pack {
            routing: task.routing,
            policy: task.policy,
            created_ms: now_ms(),
            run_at_ms: task.run_at_ms,
            tasks: [(0, task.spec)].into(),
            idem: Vec::new(),
            fired: None,
        };
        ids.push(id.task(0));
        changes.push(Change::Submit(Submit {
            packs: vec![(id, Arc::new(pack))],
            idem: Vec::new(),
            inline: true,
        }));
    }
    let lanes: Vec<_> = lanes.into_iter().collect();
    let marks = tenure::store::txns::lanes(cluster.store.keys(), &lanes);
    cluster.store.connection().commit(&marks).await;
    let batches = batches(cluster.store.keys(), changes);
    let sent = batches
        .iter()
        .map(|batch| cluster.store.commit_batch(None, batch));
    for verdict in join_all(sent).await.into_iter().flatten() {
        assert!(matches!(verdict, Verdict::Committed { .. }), "{verdict:?}");
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_far_beyond_the_window_runs_once_and_in_order() {
    let mut cluster = Cluster::start().await;
    let tasks = (0..5_000_u32).map(|nth| {
        let level = u8::try_from(nth % 9).unwrap() + 1;
        with_priority(task(WORK, &format!("[{level},{nth}]")), level)
    });
    let ids = backlog(&cluster, tasks.collect()).await;
    let recorder = Recorder::open();

    let settings = [("TENURE_WINDOW", "16"), ("TENURE_SLOTS", "8")];
    cluster.node("a", &settings, recorder.on("a")).await;

    let starts = recorder.started(5_000).await;
    ended_once(&cluster, &ids).await;
    let ran: BTreeSet<TaskId> = starts.iter().map(|start| start.task).collect();
    assert_eq!(ran, ids.iter().copied().collect());
    assert_eq!(recorder.starts().len(), 5_000, "each ran once");
    // In order but for what is on its way at once: the flights of the leader, a window each.
    let rank = |start: &super::recorder::Start| {
        let level = start.payload[0].as_u64().unwrap();
        (9 - level, start.payload[1].as_u64().unwrap())
    };
    let mut sorted: Vec<_> = starts.iter().map(rank).collect();
    sorted.sort_unstable();
    let moved = starts.iter().enumerate().map(|(nth, start)| {
        let should = sorted.binary_search(&rank(start)).unwrap();
        nth.abs_diff(should)
    });
    let most = moved.max().unwrap();
    assert!(most <= 64, "one started {most} places from where it should");
}
