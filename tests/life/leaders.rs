//! Leadership that moves: by whatever end of a term, work goes on, the history says why, and a former leader writes nothing.

use tenure::store::{
    Assign, Change, EndedBy, GuardName, Leader, Place, Run, Store, Take, Verdict, Waiting, decode,
};
use tenure::task::{ClaimId, State, Which};
use tenure_cluster::{Connection, Guard, Options, Txn};
use tenure_testkit::{Mode, Proxy};

use super::common::{Cluster, name, now_ms, task};

/// The next leader, after `end` ended the term before; its tasks flow. A successor that had not yet seen the leader it follows
/// says "unknown", truly, and the end is tried again on it.
async fn next(cluster: &Cluster, how: EndedBy, end: impl AsyncFn(&Leader)) -> Leader {
    loop {
        both_stand(cluster).await;
        let before = cluster.leader_after(0).await;
        end(&before).await;
        let leader = cluster.leader_after(before.term).await;
        assert_ne!(leader.candidate.node, before.candidate.node);
        let id = cluster.submit(task("noop", "{}")).await;
        cluster.until(id, &[State::Succeeded]).await;
        let (terms, _) = cluster.store.terms().await.expect("etcd answers");
        let line = |term: i64| {
            let found = terms.iter().find(|(of, _)| *of == term);
            found.expect("the term has its line").1.clone()
        };
        let (ended, began) = (line(before.term), line(leader.term));
        assert!(ended.until_ms.is_some() && began.until_ms.is_none());
        if began.gap_ms.is_some() {
            assert_eq!(ended.ended_by, Some(how), "{terms:?}");
            return leader;
        }
        let told = [Some(EndedBy::Unknown), Some(EndedBy::Resigned)];
        assert!(told.contains(&ended.ended_by), "{terms:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_whatever_ends_a_term_and_the_history_says_why() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    cluster.leader_after(0).await;
    cluster.node("b", &[], |kinds| kinds).await;

    next(&cluster, EndedBy::KeyDeleted, async |before| {
        let key = Txn::new().delete(&before.key);
        cluster.store.connection().commit(&key).await;
    })
    .await;
    next(&cluster, EndedBy::LeaseGone, async |before| {
        cluster.revoke(before.candidate.node.as_str()).await;
    })
    .await;
    let last = next(&cluster, EndedBy::Resigned, async |before| {
        let (ended, _) = cluster.store.dismiss(before, now_ms()).await.unwrap();
        assert!(ended);
    })
    .await;

    both_stand(&cluster).await;
    cluster.stop(last.candidate.node.as_str()).await;
    let after = cluster.leader_after(last.term).await;
    assert_ne!(after.candidate.node, last.candidate.node);
    let (terms, _) = cluster.store.terms().await.unwrap();
    let (_, ended) = terms.iter().find(|(term, _)| *term == last.term).unwrap();
    assert_eq!(ended.ended_by, Some(EndedBy::Resigned));
    let id = cluster.submit(task("noop", "{}")).await;
    cluster.until(id, &[State::Succeeded]).await;
}

/// Waits until both nodes are in line for leadership.
async fn both_stand(cluster: &Cluster) {
    cluster
        .when("both stand", async |store| {
            let range = tenure_cluster::Range::prefix(store.keys().elect_prefix());
            let page = store.connection().range(&range).await.ok()?;
            (page.kvs.len() == 2).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_leader_tells_of_its_nodes_and_a_former_one_no_longer() {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .unwrap();
    let says = |line: &str| {
        metrics
            .render()
            .lines()
            .any(|said| said == line)
            .then_some(())
    };
    let mut cluster = Cluster::start().await;

    cluster.node("a", &[], |kinds| kinds).await;
    let live = r#"tenure_nodes{state="live"} 1"#;
    cluster.when(live, async |_| says(live)).await;

    cluster.stop("a").await;
    assert!(says(r#"tenure_nodes{state="live"} 0"#).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaders_write_that_is_held_past_its_term_is_refused_and_counted() {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .unwrap();
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let old = cluster.leader_after(0).await;
    cluster.node("b", &[], |kinds| kinds).await;
    both_stand(&cluster).await;
    // A decision of the old leader: a task of a kind that only this decision sends to a node.
    let id = cluster.submit(task("work", "0")).await;
    let (place, record, seen) = cluster.look(id).await.waiting.unwrap();
    assert_eq!(place, Place::Ready);
    let assign = Change::Assign(Assign {
        from: Waiting {
            id: record,
            place,
            seen,
            now_ms: now_ms(),
        },
        takes: vec![Take {
            claim: ClaimId {
                term: old.term,
                number: 9_999,
            },
            node: name("b"),
            session: cluster.session("b").await.create_revision,
            instance: "x".to_owned(),
            which: Which::only(id.index()),
        }],
        term: old.term,
        decided: cluster.revision().await,
        rules: 0,
    });
    let fence = Guard::created_at("term", &old.key, old.term);

    let proxy = Proxy::start(cluster.etcd.address(0)).await;
    let connection = Connection::open(Options::new([proxy.endpoint()])).unwrap();
    let held = Store::new(connection, cluster.store.keys().clone());
    held.queues().await.unwrap();
    proxy.set(Mode::HoldRequests);
    let sent = held.commit_batch(Some(&fence), std::slice::from_ref(&assign));
    let next = async {
        cluster.store.dismiss(&old, now_ms()).await.unwrap();
        let next = cluster.leader_after(old.term).await;
        proxy.set(Mode::Forward);
        next
    };
    let (verdicts, _) = tokio::join!(sent, next);

    assert!(
        matches!(&verdicts[0], Verdict::Refused { lost, .. } if *lost == [GuardName::Term]),
        "{verdicts:?}"
    );
    let counted = r#"tenure_fencing_rejected_total{op="assign"} 1"#;
    assert!(metrics.render().contains(counted), "{}", metrics.render());
    assert_eq!(cluster.look(id).await.state, State::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_past_its_lease_writes_nothing_after_its_term() {
    let mut cluster = Cluster::start().await;
    let proxy = Proxy::start(cluster.etcd.address(0)).await;
    let through = proxy.endpoint();
    cluster
        .node("a", &[("TENURE_ETCD_ENDPOINTS", &through)], |kinds| kinds)
        .await;
    let old = cluster.leader_after(0).await;
    cluster.node("b", &[], |kinds| kinds).await;
    both_stand(&cluster).await;
    let session = cluster.session("a").await;
    let since = cluster.revision().await;

    // It hears of new work and decides, but what it sends stays on the way.
    proxy.set(Mode::HoldRequests);
    let ids = cluster
        .batch((0..50).map(|_| task("noop", "{}")).collect())
        .await;
    let new = cluster.leader_after(old.term).await;
    assert_eq!(new.candidate.node, name("b"));
    let began = cluster
        .all(cluster.store.keys().term(new.term))
        .await
        .remove(0)
        .create_revision;
    proxy.set(Mode::Forward);

    cluster.until_all(&ids, State::Succeeded).await;
    cluster.joined("a", session.create_revision).await;
    let later = cluster
        .batch((0..50).map(|_| task("noop", "{}")).collect())
        .await;
    cluster.until_all(&later, State::Succeeded).await;
    let puts = cluster.puts_since(cluster.store.keys().runs(), since).await;
    let claims: Vec<(i64, Run)> = puts
        .iter()
        .filter(|kv| kv.version == 1)
        .map(|kv| (kv.create_revision, decode(&kv.key, &kv.value).unwrap()))
        .collect();
    assert!(!claims.is_empty());
    for (revision, run) in claims.iter().filter(|(revision, _)| *revision > began) {
        assert_eq!(run.term, new.term, "claimed at {revision}");
    }
}
