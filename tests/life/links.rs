//! Crashes that are noticed by broken links: with leases of 30 s, so that nothing here could wait for one to end.

use std::net::TcpListener;

use tenure::store::{Evidence, Failover, Sign, Store};
use tenure::task::{Outcome, State};
use tenure_testkit::{Mode, Proxy};

use super::common::{Cluster, name, task, within};
use super::recorder::{Recorder, WORK};

/// A lease of half a minute, and links.
const LINKED: [(&str, &str); 2] = [TTL, ("TENURE_PEER_LISTEN", "auto")];

const TTL: (&str, &str) = ("TENURE_LEASE_TTL", "30s");

/// Whether a node says that so many of the links that it should have are open.
async fn linked(store: &Store, id: &str, open: usize, of: usize) -> Option<()> {
    let nodes = store.nodes().await.ok()?.0;
    let node = nodes.into_iter().find(|node| node.id == name(id))?;
    let address = format!("{}/readyz?verbose", node.seen.value.address);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ready = reqwest::get(address).await.ok()?.text().await.ok()?;
    ready
        .contains(&format!("{open} of {of} are open"))
        .then_some(())
}

/// Waits until each of these nodes has so many links, and no fewer than it should.
async fn all_linked(cluster: &Cluster, ids: &[&str], links: usize) {
    for id in ids {
        cluster
            .when("the links are open", async |store| {
                linked(store, id, links, links).await
            })
            .await;
    }
}

/// Waits for the whole story of a session's end.
async fn story(cluster: &Cluster, session: i64) -> Failover {
    cluster
        .when("its story is complete", async |store| {
            let told = store.failover(session).await.ok()?.0?.seen.value;
            told.complete_ms.is_some().then_some(told)
        })
        .await
}

/// What is on record as evidence of every end so far.
async fn evidence(cluster: &Cluster) -> Vec<Option<Evidence>> {
    let (all, _) = cluster.store.failovers(0).await.expect("etcd answers");
    all.iter().map(|one| one.seen.value.evidence).collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it listens").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_node_has_its_lease_ended_and_its_task_runs_elsewhere() {
    let mut cluster = Cluster::start().await;
    let (first, second) = (Recorder::closed(), Recorder::open());
    cluster.node("a", &LINKED, |kinds| kinds).await;
    cluster.leader_after(0).await;
    cluster.node("b", &LINKED, first.on("b")).await;
    all_linked(&cluster, &["a", "b"], 1).await;
    let id = cluster.submit(task(WORK, "0")).await;
    first.started(1).await;
    cluster.node("c", &LINKED, second.on("c")).await;
    let session = cluster.session("b").await;

    cluster.kill("b").await;

    let found = cluster.until(id, &[State::Succeeded]).await;
    let outcomes: Vec<Outcome> = found.attempts.iter().map(|(_, it)| it.outcome).collect();
    assert_eq!(outcomes, [Outcome::Lost, Outcome::Succeeded]);
    assert_eq!(found.attempts[0].1.deaths, 1);
    let told = story(&cluster, session.create_revision).await;
    assert_eq!((told.evidence, told.term), (Some(Evidence::Refused), None));
    // Who leads, or who is next in line: either sees it.
    assert!([Some(name("a")), Some(name("c"))].contains(&told.by));
    let seen = told.last_seen.expect("its link told");
    assert_eq!(seen.sign, Sign::Link);
    assert!(Some(seen.at_ms) <= told.noticed_ms);
    assert_eq!((told.moved.tasks, told.moved.started), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_leader_is_ended_by_who_is_next_in_line() {
    let mut cluster = Cluster::start().await;
    for id in ["a", "b", "c"] {
        let recorder = Recorder::open();
        cluster.node(id, &LINKED, recorder.on(id)).await;
    }
    let first = cluster.leader_after(0).await;
    all_linked(&cluster, &["a", "b", "c"], 2).await;
    let leader = first.candidate.node.as_str();
    let session = cluster.session(leader).await;

    cluster.kill(leader).await;

    let second = cluster.leader_after(first.term).await;
    assert_ne!(second.candidate.node, first.candidate.node);
    let id = cluster.submit(task(WORK, "0")).await;
    cluster.until(id, &[State::Succeeded]).await;
    let told = story(&cluster, session.create_revision).await;
    assert_eq!(told.evidence, Some(Evidence::Refused));
    // No process dies here: what is dropped gives its seat back, and may be faster than who is next in line. Its term has a story of its
    // own then.
    if told.term.is_none() {
        let of_term = story(&cluster, first.term).await;
        assert_eq!(
            (of_term.evidence, of_term.died),
            (Some(Evidence::Key), false)
        );
    } else {
        assert_eq!(told.term, Some(first.term));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_the_head_of_the_line_may_crash_together() {
    let mut cluster = Cluster::start().await;
    for id in ["a", "b", "c"] {
        cluster.node(id, &LINKED, |kinds| kinds).await;
        all_linked(
            &cluster,
            &[id],
            usize::from(id != "a") + usize::from(id == "c"),
        )
        .await;
    }
    let first = cluster.leader_after(0).await;

    cluster.kill("a").await;
    cluster.kill("b").await;

    let last = cluster
        .when("the third leads", async |store| {
            let leader = store.leader().await.ok()?.0?;
            (leader.candidate.node == name("c")).then_some(leader)
        })
        .await;
    assert!(last.term > first.term);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_breaks_is_no_evidence_while_the_process_is_there() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &LINKED, |kinds| kinds).await;
    cluster.leader_after(0).await;
    let at = format!("127.0.0.1:{}", free_port());
    let proxy = Proxy::start(at.clone()).await;
    let told = proxy.endpoint().replace("http://", "");
    let settings = [
        TTL,
        ("TENURE_PEER_LISTEN", &*at),
        ("TENURE_PEER_ADVERTISE", &*told),
    ];
    let recorder = Recorder::closed();
    cluster.node("b", &settings, recorder.on("b")).await;
    all_linked(&cluster, &["a", "b"], 1).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;
    let session = cluster.session("b").await;

    // Once broken and there again, and once broken while nothing gets through.
    proxy.reset();
    all_linked(&cluster, &["a"], 1).await;
    proxy.set(Mode::Refuse);
    cluster
        .when("the link is given up", async |store| {
            linked(store, "a", 0, 1).await
        })
        .await;
    recorder.let_through(true);

    let found = cluster.until(id, &[State::Succeeded]).await;
    assert_eq!(found.attempts.len(), 1);
    let now = cluster.session("b").await;
    assert_eq!(now.create_revision, session.create_revision);
    assert_eq!(evidence(&cluster).await, []);
    let notes = cluster.all(cluster.store.keys().death_prefix()).await;
    assert!(notes.is_empty(), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_for_gone_and_lives_opens_another_session_and_loses_no_task() {
    let mut cluster = Cluster::start().await;
    cluster.node("a", &LINKED, |kinds| kinds).await;
    cluster.leader_after(0).await;
    let at = format!("127.0.0.1:{}", free_port());
    let proxy = Proxy::start(at.clone()).await;
    let told = proxy.endpoint().replace("http://", "");
    let settings = [
        TTL,
        ("TENURE_PEER_LISTEN", &*at),
        ("TENURE_PEER_ADVERTISE", &*told),
    ];
    let recorder = Recorder::closed();
    cluster.node("b", &settings, recorder.on("b")).await;
    all_linked(&cluster, &["a", "b"], 1).await;
    let id = cluster.submit(task(WORK, "0")).await;
    recorder.started(1).await;
    let session = cluster.session("b").await;

    // Nobody listens there any more, and yet the process lives.
    drop(proxy);

    cluster.joined("b", session.create_revision).await;
    recorder.let_through(true);
    let found = cluster.until(id, &[State::Succeeded]).await;
    assert!(found.attempts.len() <= 2, "{:?}", found.attempts);
    let told = story(&cluster, session.create_revision).await;
    assert_eq!(told.evidence, Some(Evidence::Refused));
    // Its new session is nobody's evidence: no link to it was ever made.
    assert_eq!(evidence(&cluster).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_crashed_alone_takes_its_name_again_at_once() {
    let mut cluster = Cluster::start().await;
    let peers = format!("127.0.0.1:{}", free_port());
    let settings = [TTL, ("TENURE_PEER_LISTEN", &*peers)];
    cluster.node("a", &settings, |kinds| kinds).await;
    let session = cluster.session("a").await;
    cluster.kill("a").await;

    cluster.node("a", &settings, |kinds| kinds).await;

    let told = story(&cluster, session.create_revision).await;
    assert_eq!(
        (told.evidence, told.by),
        (Some(Evidence::Replaced), Some(name("a")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_order_is_no_death() {
    let mut cluster = Cluster::start().await;
    for id in ["a", "b"] {
        cluster.node(id, &LINKED, |kinds| kinds).await;
    }
    all_linked(&cluster, &["a", "b"], 1).await;
    let first = cluster.leader_after(0).await;

    let session = cluster.session("a").await;

    within(cluster.stop("a")).await;

    cluster.leader_after(first.term).await;
    // With the first assignment of the next leader the story is complete.
    let id = cluster.submit(task("noop", "{}")).await;
    cluster.until(id, &[State::Succeeded]).await;
    let told = story(&cluster, session.create_revision).await;
    assert_eq!((told.evidence, told.died), (Some(Evidence::Left), true));
}
