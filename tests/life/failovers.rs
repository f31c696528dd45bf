//! What is on record after a node or a leader has left or died: the whole story, once, and bounded.

use tenure::store::{
    Death, Evidence, EvidenceKind, FAILOVERS_MAX, Failover, Gone, How, Leader, Moved, Sign, Store,
    encode,
};
use tenure::task::State;
use tenure_cluster::{Range, Txn};

use super::common::{Cluster, name, now_ms, task};
use super::recorder::{Recorder, WORK};

/// Waits for the whole story of an end.
async fn story(cluster: &Cluster, id: i64) -> Failover {
    let complete = async |store: &Store| {
        let seen = store.failover(id).await.ok()?.0?.seen.value;
        seen.complete_ms.is_some().then_some(seen)
    };
    cluster.when("its story is complete", complete).await
}

async fn both_stand(cluster: &Cluster) {
    cluster
        .when("both stand", async |store| {
            let range = Range::prefix(store.keys().elect_prefix());
            let page = store.connection().range(&range).await.ok()?;
            (page.kvs.len() == 2).then_some(())
        })
        .await;
}

/// The leaders of two nodes that had a chance to see each other: the one before, told to step down, and the next.
async fn stepped_down(cluster: &Cluster) -> (Leader, Leader) {
    loop {
        both_stand(cluster).await;
        let before = cluster.leader_after(0).await;
        let dismissed = cluster.store.dismiss(&before, now_ms()).await;
        dismissed.expect("etcd answers");
        let after = cluster.leader_after(before.term).await;
        // One that had not seen the leader it follows knows nothing of its end.
        let record = after.record.as_ref().expect("its line is written");
        if record.gap_ms.is_some() {
            return (before, after);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_is_told_of_with_where_its_tasks_went() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let leader = cluster.leader_after(0).await;
    let (held, free) = (Recorder::closed(), Recorder::open());
    cluster.node("b", &[], held.on("b")).await;
    let ids = cluster.batch(vec![task(WORK, "0"); 3]).await;
    held.started(3).await;
    cluster.node("c", &[], free.on("c")).await;
    let session = cluster.session("b").await.create_revision;

    cluster.cut("b").await;

    let told = story(&cluster, session).await;
    cluster.until_all(&ids, State::Succeeded).await;
    assert_eq!(
        (&told.node, told.session, told.died),
        (&name("b"), Some(session), true)
    );
    assert_eq!((told.evidence, told.term), (Some(Evidence::Lease), None));
    assert_eq!(told.gone.how, How::Watched);
    assert!(told.gone.revision > Some(session), "{told:?}");
    // Its clock was told as it joined.
    assert_eq!(told.last_seen.map(|seen| seen.sign), Some(Sign::Clock));
    let Moved {
        tasks,
        started,
        waits,
        first,
        reclaimed_ms,
        ..
    } = told.moved;
    assert_eq!((tasks, started, waits.values().sum()), (3, 3, 3_u64));
    let mut moved: Vec<_> = first.iter().map(|one| one.task).collect();
    moved.sort();
    assert_eq!(moved, ids);
    assert!(first.iter().all(|one| one.node == name("c")));
    let longest = first.iter().map(|one| one.wait_ms).max();
    assert!(
        reclaimed_ms.is_some() && reclaimed_ms <= longest,
        "{first:?}"
    );
    let by: Vec<_> = told
        .told_by
        .iter()
        .map(|by| (by.node.clone(), by.term))
        .collect();
    assert_eq!(by, [(name("a"), leader.term)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_of_a_death_is_evidence_and_goes_with_its_record() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    cluster.node("b", &[], |kinds| kinds).await;
    cluster.leader_after(0).await;
    let session = cluster.session("b").await;
    let noticed_ms = now_ms();
    let death = Death {
        node: name("b"),
        instance: "i".to_owned(),
        lease: session.lease,
        term: None,
        evidence: EvidenceKind::Refused,
        by: name("a"),
        last_seen_ms: Some(noticed_ms - 9),
        noticed_ms,
    };
    let note = cluster.store.keys().death(session.create_revision);
    let noted = Txn::new().put(&note, encode(&death));
    cluster.store.connection().commit(&noted).await;

    cluster.cut("b").await;

    let told = story(&cluster, session.create_revision).await;
    assert_eq!(
        (told.evidence, told.by.as_ref()),
        (Some(Evidence::Refused), Some(&name("a")))
    );
    assert_eq!(told.noticed_ms, Some(noticed_ms));
    let seen = told.last_seen.map(|seen| (seen.at_ms, seen.sign));
    assert_eq!(seen, Some((noticed_ms - 9, Sign::Link)));
    assert!(told.detection_ms() >= Some(9), "{told:?}");
    assert!(cluster.all(note).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_is_told_of_with_the_gap_and_the_first_assignment() {
    let mut cluster = Cluster::start().await;
    let (held, free) = (Recorder::closed(), Recorder::open());
    cluster.node("a", &[], held.on("a")).await;
    let before = cluster.leader_after(0).await;
    let ids = cluster.batch(vec![task(WORK, "0"); 2]).await;
    held.started(2).await;
    cluster.node("b", &[], free.on("b")).await;
    both_stand(&cluster).await;
    let session = cluster.session("a").await.create_revision;

    cluster.kill("a").await;

    let after = cluster.leader_after(before.term).await;
    cluster.until_all(&ids, State::Succeeded).await;
    let told = story(&cluster, session).await;
    assert_eq!(
        (told.session, told.term),
        (Some(session), Some(before.term))
    );
    assert_eq!((told.died, told.evidence), (true, Some(Evidence::Lease)));
    assert_eq!(told.gone.how, How::Watched);
    let to = told.succession.expect("its end was seen");
    assert_eq!((&to.node, to.term), (&name("b"), after.term));
    let gap_ms = after.record.unwrap().gap_ms;
    assert_eq!(Some(to.activated_ms), gap_ms);
    assert!(to.oldest_ms <= to.activated_ms);
    assert!(
        Some(to.activated_ms) <= to.view_ms && to.view_ms <= to.assigned_ms,
        "{to:?}"
    );
    assert_eq!((told.moved.tasks, told.moved.started), (2, 2));
    assert!(told.moved.wait_ms(100) <= told.moved.first.iter().map(|one| one.wait_ms).max());
    let (all, _) = cluster.store.failovers(0).await.unwrap();
    assert_eq!(all.len(), 1, "of its term nothing is told beside: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_steps_down_is_told_of_and_so_is_a_node_that_leaves() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    cluster.node("b", &[], |kinds| kinds).await;

    let (before, after) = stepped_down(&cluster).await;
    let id = cluster.submit(task("noop", "{}")).await;
    cluster.until(id, &[State::Succeeded]).await;

    let told = story(&cluster, before.term).await;
    assert_eq!((told.died, told.evidence), (false, Some(Evidence::Left)));
    assert_eq!(told.term, Some(before.term));
    assert_eq!(told.succession.map(|to| to.term), Some(after.term));
    let leaves = before.candidate.node;
    let session = cluster.session(leaves.as_str()).await.create_revision;
    assert_eq!(told.session, Some(session), "it lives");

    cluster.stop(leaves.as_str()).await;

    let told = story(&cluster, session).await;
    assert_eq!((told.node, told.died), (leaves, true));
    assert_eq!((told.evidence, told.term), (Some(Evidence::Left), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_while_nobody_led_is_told_as_found_and_not_guessed() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let before = cluster.leader_after(0).await;
    let (held, free) = (Recorder::closed(), Recorder::open());
    cluster.node("k", &[], held.on("k")).await;
    let ids = cluster.batch(vec![task(WORK, "0"); 2]).await;
    held.started(2).await;
    cluster.node("c", &[], free.on("c")).await;
    let session = cluster.session("k").await.create_revision;

    cluster.kill("a").await;
    cluster.cut("k").await;
    let after = cluster.leader_after(before.term).await;

    cluster.until_all(&ids, State::Succeeded).await;
    let told = story(&cluster, session).await;
    assert_eq!((told.gone.how, told.gone.revision), (How::Found, None));
    assert_eq!((told.evidence, told.by, told.last_seen), (None, None, None));
    assert_eq!(told.told_by[0].term, after.term);
    assert_eq!((told.moved.tasks, told.moved.started), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_ends_the_story_that_the_one_before_began() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &[], |kinds| kinds).await;
    let before = cluster.leader_after(0).await;
    let held = Recorder::closed();
    cluster.node("k", &[], held.on("k")).await;
    cluster.batch(vec![task(WORK, "0"); 2]).await;
    held.started(2).await;
    let session = cluster.session("k").await.create_revision;
    cluster.cut("k").await;
    let begun = async |store: &Store| {
        let told = store.failover(session).await.ok()?.0?.seen.value;
        told.moved.reclaimed_ms.is_some().then_some(told)
    };
    let begun = cluster.when("its claims are taken back", begun).await;
    assert_eq!(
        (begun.moved.open(), begun.complete_ms),
        (2, None),
        "nobody else runs such tasks"
    );

    cluster.node("b", &[], |kinds| kinds).await;
    cluster.kill("a").await;
    let after = cluster.leader_after(before.term).await;

    let told = story(&cluster, session).await;
    assert_eq!(
        (told.moved.tasks, told.moved.started, told.moved.open()),
        (2, 0, 2)
    );
    assert_eq!((told.evidence, told.gone), (begun.evidence, begun.gone));
    let by: Vec<_> = told.told_by.iter().map(|by| by.term).collect();
    assert_eq!(by, [before.term, after.term]);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_kept_as_is_said_and_the_oldest_goes() {
    let mut cluster = Cluster::start().await;
    let keys = cluster.store.keys().clone();
    let old = |id: i64| Failover {
        node: name("old"),
        instance: None,
        session: Some(id),
        died: true,
        term: None,
        evidence: None,
        by: None,
        noticed_ms: None,
        last_seen: None,
        gone: Gone {
            at_ms: 1,
            how: How::Found,
            revision: None,
        },
        succession: None,
        moved: Moved::default(),
        told_by: Vec::new(),
        complete_ms: Some(1),
    };
    // Sessions of greater numbers were told of first.
    let ids: Vec<i64> = (0..=FAILOVERS_MAX)
        .map(|nth| 9_000_000 - i64::try_from(nth).unwrap())
        .collect();
    for id in &ids {
        let put = Txn::new().put(keys.failover(*id), encode(&old(*id)));
        cluster.store.connection().commit(&put).await;
    }
    cluster.node("a", &[], |kinds| kinds).await;
    cluster.leader_after(0).await;
    cluster.node("b", &[], |kinds| kinds).await;
    let session = cluster.session("b").await.create_revision;

    cluster.stop("b").await;

    story(&cluster, session).await;
    let (all, _) = cluster.store.failovers(0).await.unwrap();
    let told: Vec<i64> = all.iter().map(|one| one.id).collect();
    let kept = ids[2..].iter().rev().copied();
    let expected: Vec<i64> = std::iter::once(session).chain(kept).collect();
    assert_eq!(told, expected);
}
