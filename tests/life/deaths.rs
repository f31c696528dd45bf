//! Nodes that die, and sessions that are lost while their process lives.

use std::collections::BTreeMap;

use tenure::plan::{Ending, Of, settle};
use tenure::store::{Change, Found, GuardName, Record, Report, Verdict, decode};
use tenure::task::{Outcome, State, Which};
use tenure_testkit::{Mode, Proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::common::{Cluster, name, now_ms, task, with_attempts, within};
use super::recorder::{Recorder, WORK};

fn outcomes(found: &Found) -> Vec<Outcome> {
    found.attempts.iter().map(|(_, a)| a.outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_pack_goes_on_in_sixteen_pieces_and_each_runs_once_more() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster
        .node("a", &[("TENURE_SLOTS", "256")], recorder.on("a"))
        .await;
    let ids = cluster
        .batch(
            (0..256)
                .map(|_| with_attempts(task(WORK, "0"), 1))
                .collect(),
        )
        .await;
    recorder.started(256).await;
    cluster.node("b", &[], |kinds| kinds).await;

    cluster.cut("a").await;

    let lost = cluster.until_all(&ids, State::Pending).await;
    assert!(lost.iter().all(|task| outcomes(task) == [Outcome::Lost]));
    let ready = cluster.all(cluster.store.keys().ready_prefix()).await;
    let records: Vec<Record> = ready
        .iter()
        .map(|kv| decode(&kv.key, &kv.value).unwrap())
        .collect();
    let sizes: Vec<usize> = records.iter().map(|record| record.which.len()).collect();
    assert_eq!(sizes, [16; 16]);
    assert!(records.iter().all(|record| record.tally.deaths == 0));
    recorder.let_through(true);
    cluster.node("c", &[], recorder.on("c")).await;
    for found in cluster.until_all(&ids, State::Succeeded).await {
        assert_eq!(outcomes(&found), [Outcome::Lost, Outcome::Succeeded]);
        let (first, second) = (&found.attempts[0].1, &found.attempts[1].1);
        assert_eq!((first.number, second.number), (1, 2));
        assert!(second.fence > first.fence);
    }
    assert_eq!(recorder.starts().len(), 512);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_node_dies_each_time_ends_by_its_death_budget() {
    let mut cluster = Cluster::start().await;
    let budget = ("TENURE_DEATH_BUDGET", "2");
    cluster.node("b", &[budget], |kinds| kinds).await;
    let recorder = Recorder::closed();
    let id = cluster.submit(with_attempts(task(WORK, "0"), 1)).await;

    for (nth, node) in ["k1", "k2"].into_iter().enumerate() {
        cluster.node(node, &[budget], recorder.on(node)).await;
        recorder.started(nth + 1).await;
        cluster.cut(node).await;
    }

    let found = cluster.until(id, &[State::Dead]).await;
    assert_eq!(outcomes(&found), [Outcome::Lost, Outcome::Lost]);
    let tally = found.waiting.unwrap().2.value.tally;
    assert_eq!((tally.attempts, tally.failures, tally.deaths), (2, 0, 2));
    let why = found.attempts[1].1.error.as_deref();
    assert!(
        why.is_some_and(|why| why.contains("killed its nodes") && why.contains("2 died")),
        "{why:?}"
    );
    // It was in one node's hands at a time, however many were there.
    let starts = recorder.starts();
    let fences: Vec<_> = starts
        .iter()
        .map(|start| (start.node, start.attempt))
        .collect();
    assert_eq!(fences, [("k1", 1), ("k2", 2)]);
    // Tried again it has new budgets, and one attempt is enough where no node dies.
    cluster.store.revive(id, 1, now_ms()).await.unwrap();
    recorder.let_through(true);
    cluster.node("c", &[budget], recorder.on("c")).await;
    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(found.attempts.last().unwrap().1.number, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_is_charged_though_the_node_is_back_and_another_leads() {
    let mut cluster = Cluster::start().await;
    cluster.node("b", &[], |kinds| kinds).await;
    let before = cluster.leader_after(0).await;
    let recorder = Recorder::closed();
    cluster.node("k", &[], recorder.on("k")).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;

    // The leader is silent, so nobody sees the death; then the node's new process leads, as the only one there.
    cluster.kill("b").await;
    cluster.cut("k").await;
    cluster.node("k", &[], |kinds| kinds).await;
    let after = cluster.leader_after(before.term).await;
    assert_eq!(after.candidate.node, name("k"));

    let found = cluster.until(id, &[State::Pending]).await;
    assert_eq!(outcomes(&found), [Outcome::Lost]);
    assert_eq!(found.waiting.unwrap().2.value.tally.deaths, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_noticed_by_its_lease() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;
    let others = Recorder::open();
    cluster.node("b", &[], others.on("b")).await;

    // The leader dies, too: it was the first.
    cluster.kill("a").await;

    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(outcomes(&found), [Outcome::Lost, Outcome::Succeeded]);
    assert_eq!(found.attempts[1].1.node, Some(name("b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_stops_its_runs_and_its_node_works_on_with_another() {
    let mut cluster = Cluster::start().await;
    cluster.node("b", &[], |kinds| kinds).await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let ids = cluster
        .batch((0..2).map(|_| with_attempts(task(WORK, "0"), 1)).collect())
        .await;
    recorder.started(2).await;
    let before = cluster.session("a").await;

    cluster.revoke("a").await;

    let after = cluster.joined("a", before.create_revision).await;
    assert_ne!(after.lease, before.lease);
    let starts = recorder.started(4).await;
    assert!(starts[2..].iter().all(|start| start.attempt == 2));
    assert!(
        starts[2..]
            .iter()
            .all(|start| start.fence > after.create_revision)
    );
    recorder.let_through(true);
    for found in cluster.until_all(&ids, State::Succeeded).await {
        assert_eq!(outcomes(&found), [Outcome::Lost, Outcome::Succeeded]);
    }
    recorder.idle("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_from_a_reclaimed_claim_is_refused_and_counted() {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .unwrap();
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    cluster.node("a", &[], recorder.on("a")).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;
    let held = cluster.look(id).await.running.unwrap();
    cluster.node("b", &[], |kinds| kinds).await;
    cluster.cut("a").await;
    cluster.until(id, &[State::Pending]).await;

    // What node a would have sent, had it only been paused.
    let policy = task(WORK, "0").policy;
    let of = Of {
        run: &held.run.value,
        fence: held.run.created,
        node: &held.node,
        policy: Some(&policy),
        stopped: Which::NONE,
        deaths_max: 3,
        blame: false,
        split: 1,
        draw: 0.0,
        now_ms: now_ms(),
    };
    let ending = Ending {
        outcome: Outcome::Succeeded,
        started_ms: Some(now_ms()),
        finished_ms: now_ms(),
        error: None,
        output: None,
        wait: None,
    };
    let (rest, settled) = settle(of, &BTreeMap::from([(ending, held.run.value.which)]));
    let late = Change::Report(Report {
        node: held.node.clone(),
        claim: held.claim,
        pack: held.run.value.pack,
        routing: held.run.value.routing.clone(),
        modified: held.run.modified,
        stop: 0,
        rest,
        settled,
        now_ms: now_ms(),
    });
    let verdict = cluster.store.commit(&late).await;

    assert!(
        matches!(&verdict, Verdict::Refused { lost, .. } if *lost == [GuardName::Run]),
        "{verdict:?}"
    );
    let counted = r#"tenure_fencing_rejected_total{op="report"} 1"#;
    assert!(metrics.render().contains(counted), "{}", metrics.render());
    assert_eq!(outcomes(&cluster.look(id).await), [Outcome::Lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_cut_off_past_its_lease_commits_nothing_of_what_it_lost() {
    let mut cluster = Cluster::start().await;
    let proxy = Proxy::start(cluster.etcd.address(0)).await;
    let (slow, fast) = (Recorder::closed(), Recorder::open());
    let through = proxy.endpoint();
    cluster.node("b", &[], |kinds| kinds).await;
    cluster
        .node("a", &[("TENURE_ETCD_ENDPOINTS", &through)], slow.on("a"))
        .await;
    let id = cluster.submit(task(WORK, "0")).await;
    slow.started(1).await;
    let before = cluster.session("a").await;

    proxy.set(Mode::Hold);
    cluster.node("c", &[], fast.on("c")).await;
    cluster.revoke("a").await;
    // Its run ends meanwhile, and its report waits on the way.
    slow.let_through(true);
    slow.idle("a").await;
    let found = cluster.until(id, &[State::Succeeded]).await;
    proxy.set(Mode::Forward);

    cluster.joined("a", before.create_revision).await;
    let after = cluster.look(id).await;
    assert_eq!(outcomes(&after), outcomes(&found));
    assert_eq!(outcomes(&after), [Outcome::Lost, Outcome::Succeeded]);
    assert_eq!(after.attempts[1].1.node, Some(name("c")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_found_however_busy_the_cluster_is() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let id = cluster.submit(task(WORK, "0")).await;
    let (place, record, seen) = cluster.look(id).await.waiting.unwrap();
    let lane = tenure::store::Lane::of(&task(WORK, "0").routing);
    // News every few milliseconds: the leader is never idle.
    let (store, busy) = (cluster.store.clone(), cluster.store.keys().lane(&lane));
    let mut noise = tokio::task::JoinSet::new();
    noise.spawn(async move {
        loop {
            let txn = tenure_cluster::Txn::new().put(busy.clone(), Vec::new());
            store.connection().commit(&txn).await;
        }
    });

    // A claim that the leader learns of after its node's end, as when a first attempt to reclaim it lost a race.
    let claim = tenure::task::ClaimId { term: 1, number: 1 };
    let run = tenure::store::Run {
        pack: record.pack,
        routing: seen.value.routing.clone(),
        which: seen.value.which,
        size: seen.value.size,
        covers: true,
        tally: seen.value.tally,
        session: 1,
        instance: "x".to_owned(),
        term: 1,
        decided: 1,
        n: 0,
        ready_ms: 0,
        claimed_ms: 0,
        inline: seen.value.inline.clone(),
    };
    let keys = cluster.store.keys();
    let txn = tenure_cluster::Txn::new()
        .delete(keys.record(place, &seen.value.routing, &record))
        .put(keys.run(&name("gone"), claim), tenure::store::encode(&run));
    let done = cluster.store.connection().commit(&txn).await;
    assert!(done.committed().is_some());

    let found = cluster.until(id, &[State::Pending]).await;
    assert_eq!(outcomes(&found), [Outcome::Lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_dropped_leaves_no_task_and_no_connection_behind() {
    let mut cluster = Cluster::start().await;
    let recorder = Recorder::closed();
    // The test's own connections are there before it counts.
    let now = cluster.revision().await;
    let root = cluster.store.keys().root().to_owned();
    cluster.puts_since(root, now).await;
    let runtime = tokio::runtime::Handle::current().metrics();
    let before = runtime.num_alive_tasks();
    cluster.node("a", &[], recorder.on("a")).await;
    cluster.leader_after(0).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;
    // A request that is answered, and one behind it that waits.
    let nodes = cluster.store.nodes().await.unwrap().0;
    let address = nodes[0].seen.value.address.replace("http://", "");
    let mut caller = TcpStream::connect(&address).await.unwrap();
    for path in ["/livez".to_owned(), format!("/v1/tasks/{id}?wait=60s")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        caller.write_all(request.as_bytes()).await.unwrap();
    }
    let answered = caller.read(&mut [0; 4096]).await.unwrap();
    assert!(answered > 0, "the node serves");

    cluster.kill("a").await;

    let mut more = Vec::new();
    // Closed or broken: nobody is there any more to answer the second.
    let _closed = within(caller.read_to_end(&mut more)).await;
    let more = String::from_utf8_lossy(&more);
    assert!(!more.contains("HTTP/1.1"), "{more}");
    within(async {
        while runtime.num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
