//! Forgetting packs that have ended: whole, after the retention, never one that may still be needed.

use tenure::clock::Clock;
use tenure::node::Outside;
use tenure::store::{Change, GuardName, IdemKey, NewTask, Origin, Store, Submit, Verdict, decode};
use tenure::task::{Pack, PackId, State, TaskId};
use tenure_cluster::{Range, Txn};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::common::{Cluster, name, now_ms, task, with_attempts};
use super::recorder::WORK;

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_pack_is_forgotten_and_others_are_kept() {
    let mut cluster = Cluster::start().await;
    cluster
        .node("a", &[("TENURE_RETENTION", "1m")], |kinds| kinds)
        .await;
    let key = IdemKey {
        key: "k".to_owned(),
        digest: "d".to_owned(),
    };
    let batch = (0..9).map(|_| task("noop", "{}")).collect();
    let made_ms = now_ms() - 7_200_000;
    let sent = cluster.submitter.batch(batch, Some(key.clone()), made_ms);
    let ended = sent.await.unwrap().tasks;
    let pack_of = ended[0].pack();
    cluster.until_all(&ended, State::Succeeded).await;
    let dead = made(&cluster, with_attempts(task("fail", "{}"), 1), made_ms).await;
    cluster.until(dead, &[State::Dead]).await;
    let pending = made(&cluster, task(WORK, "0"), made_ms).await;
    let keys = cluster.store.keys().clone();
    let value = cluster.all(keys.pack(pack_of)).await.remove(0);
    let pack: Pack = decode(&value.key, &value.value).unwrap();

    // Marks as an hour would have left them.
    let old_ms = now_ms() - 3_600_000;
    let marks = [pack_of, dead.pack(), pending.pack()];
    let txn = marks.iter().fold(Txn::new(), |txn, pack| {
        txn.put(keys.gc(old_ms, *pack), Vec::new())
    });
    cluster.store.connection().commit(&txn).await;
    cluster
        .when("the marks are worked off", async |store| {
            let range =
                tenure_cluster::Range::between(keys.gc_prefix(), keys.gc_before(old_ms + 60_000));
            let page = store.connection().range(&range).await.ok()?;
            page.kvs.is_empty().then_some(())
        })
        .await;

    assert!(cluster.all(keys.pack(pack_of)).await.is_empty());
    assert!(cluster.all(keys.results_of(pack_of)).await.is_empty());
    assert!(cluster.all(keys.idem("k")).await.is_empty());
    assert!(cluster.store.task(ended[0]).await.unwrap().0.is_none());
    assert_eq!(cluster.look(dead).await.state, State::Dead);
    assert_eq!(cluster.look(pending).await.state, State::Pending);
    // A late copy of the submit, as a member may hold one back: its pack is absent again.
    let late = Change::Submit(Submit {
        packs: vec![(pack_of, pack.into())],
        idem: Vec::new(),
        inline: true,
    });
    let verdict = cluster.store.commit(&late).await;
    assert!(
        matches!(&verdict, Verdict::Refused { lost, .. } if lost.contains(&GuardName::Horizon) && !lost.contains(&GuardName::Pack)),
        "{verdict:?}"
    );
    // The dead letter can still be tried again: its spec is there.
    cluster.store.revive(dead, 1, now_ms()).await.unwrap();
    cluster.until(dead, &[State::Dead]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_that_cannot_be_read_keep_no_other_and_are_counted() {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .unwrap();
    let mut cluster = Cluster::start().await;
    cluster
        .node("a", &[("TENURE_RETENTION", "1m")], |kinds| kinds)
        .await;
    let id = made(&cluster, task("noop", "{}"), now_ms() - 7_200_000).await;
    cluster.until(id, &[State::Succeeded]).await;

    // More of them than one sweep looks at, all older than the one that has ended.
    let (keys, old_ms) = (cluster.store.keys().clone(), now_ms() - 3_600_000);
    let corrupt: Vec<PackId> = (1..=300).map(PackId::floor).collect();
    for some in corrupt.chunks(50) {
        let txn = some.iter().fold(Txn::new(), |txn, pack| {
            txn.put(keys.pack(*pack), "not a pack")
                .put(keys.gc(old_ms, *pack), Vec::new())
        });
        assert!(
            cluster
                .store
                .connection()
                .commit(&txn)
                .await
                .committed()
                .is_some()
        );
    }
    let mark = Txn::new().put(keys.gc(old_ms + 60_000, id.pack()), Vec::new());
    cluster.store.connection().commit(&mark).await;

    cluster
        .when("the ended pack is forgotten", async |store| {
            store.task(id).await.ok()?.0.is_none().then_some(())
        })
        .await;
    assert_eq!(cluster.all(keys.pack_prefix()).await.len(), corrupt.len());
    let counted = "tenure_packs_skipped_total 300";
    assert!(metrics.render().contains(counted), "{}", metrics.render());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_with_more_outcomes_than_one_answer_holds_is_forgotten() {
    let cluster = Cluster::start().await;
    let pack = ended_in(&cluster, now_ms() - 600_000).await;
    // 260 MiB of them, above the 256 MiB of an answer that are decoded.
    let keys = cluster.store.keys();
    let large = format!("{{\"of\":[]{}}}", " ".repeat(1_300 << 10));
    for n in 2..207 {
        let result = Txn::new().put(keys.result(pack, Origin::Act(n), 0), large.clone());
        must(&cluster, result).await;
    }
    must(
        &cluster,
        Txn::new().put(keys.gc(now_ms() - 300_000, pack), Vec::new()),
    )
    .await;

    let mut cluster = cluster;
    cluster
        .node("a", &[("TENURE_RETENTION", "1m")], |kinds| kinds)
        .await;

    forgotten(&cluster, pack).await;
    assert!(
        cluster
            .all(cluster.store.keys().results_of(pack))
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_with_a_clock_far_ahead_submitted_stops_no_other_node() {
    let mut cluster = Cluster::start().await;
    let ahead = ended_in(&cluster, now_ms() + 10 * 86_400_000).await;
    let old = ended_in(&cluster, now_ms() - 600_000).await;
    let old_ms = now_ms() - 300_000;
    let keys = cluster.store.keys().clone();
    let marks = [ahead, old].map(|pack| keys.gc(old_ms, pack));
    let put = |txn: Txn, mark: &String| txn.put(mark, Vec::new());
    must(&cluster, marks.iter().fold(Txn::new(), put)).await;
    cluster
        .node("a", &[("TENURE_RETENTION", "1m")], |kinds| kinds)
        .await;

    forgotten(&cluster, old).await;
    cluster
        .when("the other's mark is moved", async |store| {
            let page = store.connection().range(&Range::key(&marks[0])).await;
            page.ok()?.kvs.is_empty().then_some(())
        })
        .await;

    // It stays, with a mark, and others submit as before.
    assert_eq!(cluster.all(keys.pack(ahead)).await.len(), 1);
    let left = cluster.all(keys.gc_prefix()).await;
    assert!(left.iter().any(|kv| kv.key.ends_with(&ahead.to_string())));
    let next = cluster.submitter.one(task("noop", "{}"), None, now_ms());
    assert!(next.await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_repeated_by_its_key_until_the_last_of_its_packs_is_gone() {
    let mut cluster = Cluster::start().await;
    let batch = || {
        let mut later = task("noop", "{}");
        later.run_at_ms = Some(4_000_000_000_000);
        vec![task("noop", "{}"), later]
    };
    let key = || {
        Some(IdemKey {
            key: "k".to_owned(),
            digest: "d".to_owned(),
        })
    };
    let made_ms = now_ms() - 7_200_000;
    let accepted = cluster.submitter.batch(batch(), key(), made_ms).await;
    let sent = accepted.unwrap().tasks;
    let [first, second] = [sent[0], sent[1]].map(TaskId::pack);
    cluster
        .node("a", &[("TENURE_RETENTION", "1m")], |kinds| kinds)
        .await;
    cluster.until(sent[0], &[State::Succeeded]).await;
    let keys = cluster.store.keys().clone();
    let worked_off = async |pack: PackId| {
        let mark = keys.gc(now_ms() - 3_600_000, pack);
        must(&cluster, Txn::new().put(&mark, Vec::new())).await;
        let gone = async |store: &Store| {
            let page = store.connection().range(&Range::key(&mark)).await;
            page.ok()?.kvs.is_empty().then_some(())
        };
        cluster.when("the mark is worked off", gone).await;
    };

    // The first has ended, the second waits: the key stays, and so does what it answers.
    worked_off(first).await;
    let again = cluster.submitter.batch(batch(), key(), now_ms()).await;
    let again = again.unwrap();
    assert_eq!((again.repeated, &again.tasks), (true, &sent));
    assert_eq!(cluster.look(sent[0]).await.state, State::Succeeded);

    // The second ends and goes, and the key with the first.
    cluster.store.cancel(sent[1], 1, now_ms()).await.unwrap();
    worked_off(second).await;
    forgotten(&cluster, second).await;
    worked_off(first).await;
    forgotten(&cluster, first).await;
    assert!(cluster.all(keys.idem("k")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_is_ahead_collects_by_those_of_the_others() {
    let mut cluster = Cluster::start().await;
    let retention = [("TENURE_RETENTION", "1m")];
    // Ten minutes ahead, and the only candidate.
    let outside = Outside {
        connection: cluster.store.connection().clone(),
        clock: Clock::of(|| now_ms() + 600_000),
        address: "http://127.0.0.1:1".to_owned(),
    };
    let node = cluster.node_of("ahead", &retention);
    let (_api, life) = node
        .in_process(outside, CancellationToken::new())
        .expect("the settings hold");
    let mut ahead = JoinSet::new();
    ahead.spawn(life);
    cluster.leader_after(0).await;
    cluster.node("right", &retention, |kinds| kinds).await;
    let keys = cluster.store.keys().clone();
    let clock = async |store: &Store| {
        let key = keys.clock(&name("right"));
        let page = store.connection().range(&Range::key(key)).await.ok()?;
        (!page.kvs.is_empty()).then_some(())
    };
    cluster.when("the right one's clock is told", clock).await;

    let just = ended_in(&cluster, now_ms() - 300_000).await;
    let old = ended_in(&cluster, now_ms() - 600_000).await;
    let mark = keys.gc(now_ms() - 300_000, old);
    must(&cluster, Txn::new().put(mark, Vec::new())).await;
    forgotten(&cluster, old).await;

    assert_eq!(cluster.all(keys.pack(just)).await.len(), 1);
    let next = cluster.submitter.one(task("noop", "{}"), None, now_ms());
    assert!(next.await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_was_held_back_is_refused_once_the_first_is_collected() {
    let mut cluster = Cluster::start().await;
    cluster
        .node("a", &[("TENURE_RETENTION", "1m")], |kinds| kinds)
        .await;
    let like = cluster.submit(task("noop", "{}")).await;
    cluster.until(like, &[State::Succeeded]).await;
    let keys = cluster.store.keys().clone();
    let value = cluster.all(keys.pack(like.pack())).await.remove(0);
    let pack: Pack = decode(&value.key, &value.value).unwrap();
    let submit = |id: PackId| {
        Change::Submit(Submit {
            packs: vec![(id, pack.clone().into())],
            idem: Vec::new(),
            inline: true,
        })
    };

    // Submitted five minutes ago, ended three minutes ago; its twin was made 20 s later, by another node, and held back.
    let ended_ms = (now_ms() / 60_000 - 3) * 60_000;
    let (first, twin) = (
        PackId::new(ended_ms - 120_000, 1),
        PackId::new(ended_ms + 20_000, 2),
    );
    let accepted = cluster.store.commit(&submit(first)).await;
    assert!(
        matches!(accepted, Verdict::Committed { .. }),
        "{accepted:?}"
    );
    cluster.until(first.task(0), &[State::Succeeded]).await;
    let mark = Txn::new().put(keys.gc(ended_ms, first), Vec::new());
    cluster.store.connection().commit(&mark).await;
    cluster
        .when("the first is forgotten", async |store| {
            store
                .task(first.task(0))
                .await
                .ok()?
                .0
                .is_none()
                .then_some(())
        })
        .await;

    let verdict = cluster.store.commit(&submit(twin)).await;
    assert!(
        matches!(&verdict, Verdict::Refused { lost, .. } if *lost == [GuardName::Horizon]),
        "{verdict:?}"
    );
}

/// A task submitted then, by its node's clock.
async fn made(cluster: &Cluster, task: NewTask, made_ms: u64) -> TaskId {
    let sent = cluster.submitter.one(task, None, made_ms).await;
    sent.expect("it is accepted").tasks[0]
}

/// A pack of one made then, whose task was cancelled: nobody runs its kind.
async fn ended_in(cluster: &Cluster, made_ms: u64) -> PackId {
    let id = made(cluster, task("nobody", "{}"), made_ms).await;
    let cancelled = cluster.store.cancel(id, 1, now_ms()).await;
    cancelled.expect("it is cancelled");
    id.pack()
}

async fn must(cluster: &Cluster, txn: Txn) {
    let outcome = cluster.store.connection().commit(&txn).await;
    assert!(outcome.committed().is_some(), "{outcome:?}");
}

async fn forgotten(cluster: &Cluster, pack: PackId) {
    let key = cluster.store.keys().pack(pack);
    let gone = async |store: &Store| {
        let page = store.connection().range(&Range::key(&key)).await;
        page.ok()?.kvs.is_empty().then_some(())
    };
    cluster.when(&format!("{pack} is forgotten"), gone).await;
}
