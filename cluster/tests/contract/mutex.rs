//! The mutex against etcd: one holds at a time, in the order of asking, whatever is cancelled, lost or deleted.

use std::time::Duration;

use futures::future::join_all;
use tenure_cluster::{
    Connection, EventKind, FailureKind, Hold, Listing, Mutex, QueueError, Released, Session, Txn,
    WatchSpec,
};
use tenure_testkit::{Etcd, Mode, Proxy};
use tokio::task::JoinSet;

use super::common::{self, commit, connect, connect_to, holds, put, session, within};

const LOCK: &str = "/locks/a";
const QUEUE: &str = "/locks/a/queue/";

async fn acquire(mutex: &Mutex, session: &Session, holder: &str) -> Hold {
    within("acquiring", mutex.acquire(session, holder))
        .await
        .unwrap()
}

async fn release(hold: Hold) -> i64 {
    match within("releasing", hold.release()).await {
        Released::Done { revision } => revision,
        other => panic!("{other:?}"),
    }
}

fn holders(listing: &Listing) -> Vec<&str> {
    let entries = listing.entries.iter();
    entries.map(|entry| &*entry.holder).collect()
}

/// Waits until so many wait.
async fn waiting(mutex: &Mutex, connection: &Connection, count: usize) -> Listing {
    let mut changes = connection.watch(WatchSpec::prefix(QUEUE).from(1));
    within("so many to wait", async {
        loop {
            let waiters = mutex.waiters().await.unwrap();
            if waiters.entries.len() == count {
                return waiters;
            }
            changes.next().await;
        }
    })
    .await
}

#[tokio::test]
async fn it_is_held_by_one_at_a_time_in_the_order_of_asking_and_listed() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let (one, two) = (
        session(&connection, "/node/1", 30).await,
        session(&connection, "/node/2", 30).await,
    );
    let mutex = Mutex::new(&connection, LOCK);
    let first = acquire(&mutex, &one, "one").await;

    let (second, token) = tokio::join!(acquire(&mutex, &two, "two"), async {
        let waiters = waiting(&mutex, &connection, 1).await;
        assert_eq!(holders(&waiters), ["two"]);
        assert_eq!(
            (waiters.age(&waiters.entries[0]), waiters.entries[0].weight),
            (0, 1)
        );
        let held = mutex.holders().await.unwrap();
        assert_eq!(
            (holders(&held), held.entries[0].revision),
            (vec!["one"], first.token())
        );
        let (token, key, lost) = (first.token(), first.key().to_owned(), first.lost());
        let text = etcd.etcdctl(&["get", &key, "--print-value-only"]);
        assert_eq!(text.trim(), r#"{"holder":"one","weight":1}"#);
        release(first).await;
        assert!(lost.is_cancelled());
        token
    });

    assert!(second.token() > token);
    commit(
        &connection,
        &Txn::new().guard(second.guard()).put("/effect", ""),
    )
    .await;
    // The same session again is another entry, and waits for its first.
    let again = tokio::time::timeout(Duration::from_millis(500), mutex.acquire(&two, "two"));
    assert!(again.await.is_err(), "one session holds it twice");
    assert_eq!(holders(&mutex.holders().await.unwrap()), ["two"]);
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn under_contention_holds_do_not_overlap_and_tokens_rise() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let watch = connection.watch(WatchSpec::prefix("/held/").from(1).with_previous());
    let mut tasks = JoinSet::new();
    for node in 0..4 {
        let connection = connect(&etcd);
        tasks.spawn(async move {
            let session = session(&connection, &format!("/node/{node}"), 30).await;
            let mutex = Mutex::new(&connection, LOCK);
            for round in 0..8 {
                let hold = acquire(&mutex, &session, "").await;
                // Fenced marks by which an outsider sees what was held when.
                let mark = format!("/held/{node}-{round}");
                let (token, guard) = (hold.token().to_string(), hold.guard());
                commit(
                    &connection,
                    &Txn::new().guard(guard.clone()).put(&mark, token),
                )
                .await;
                commit(&connection, &Txn::new().guard(guard).delete(&mark)).await;
                match round % 3 {
                    0 => drop(hold),
                    _ => drop(release(hold).await),
                }
            }
            session.close().await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }

    let held = holds(watch, 32).await;
    let tokens: Vec<&String> = held.iter().map(|it| &it.value).collect();
    for pair in held.windows(2) {
        assert!(pair[0].to < pair[1].from, "two hold: {pair:?}");
    }
    let tokens: Vec<i64> = tokens.iter().map(|it| it.parse().unwrap()).collect();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

#[tokio::test]
async fn of_a_hundred_waiters_one_wakes_at_each_release() {
    let counters = common::counters::Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/1", 60).await;
    let mutex = Mutex::new(&connection, LOCK);
    let first = acquire(&mutex, &session, "first").await;

    let txns = || counters.count("tenure_etcd_requests_total{op=txn");
    let events = || counters.count("tenure_etcd_watch_events_total");
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let each = names.iter().map(|name| async {
        let hold = acquire(&mutex, &session, name).await;
        let (token, at) = (hold.token(), events());
        release(hold).await;
        (token, at)
    });
    let (mut released, before) = tokio::join!(join_all(each), async {
        // Each has read who is ahead of it, and by then waits for that one.
        within(
            "all to read",
            counters.beyond("tenure_etcd_requests_total{op=range", 99),
        )
        .await;
        let before = (events(), txns());
        release(first).await;
        before
    });

    released.sort_unstable();
    // To each release one event, and one attempt to enter, which succeeds.
    assert_eq!((events() - before.0, txns() - before.1), (100, 101 + 100));
    // Each by itself: the holder of place n was woken by the n-th event.
    let seen: Vec<u64> = released.iter().map(|(_, at)| at - before.0).collect();
    assert_eq!(seen, (1..=100).collect::<Vec<u64>>());
    session.close().await;
}

#[tokio::test]
async fn a_cancelled_waiter_leaves_no_entry_and_blocks_nobody() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/1", 30).await;
    let mutex = Mutex::new(&connection, LOCK);
    let first = acquire(&mutex, &session, "first").await;

    let (mut middle, mut last) = (
        Box::pin(mutex.acquire(&session, "middle")),
        Box::pin(mutex.acquire(&session, "last")),
    );
    tokio::select! {
        _ = &mut middle => panic!("two hold"),
        _ = waiting(&mutex, &connection, 1) => {}
    }
    tokio::select! {
        _ = &mut middle => panic!("two hold"),
        _ = &mut last => panic!("two hold"),
        _ = waiting(&mutex, &connection, 2) => {}
    }
    drop(middle);

    let (last, ()) = tokio::join!(within("the last", last), async {
        let left = waiting(&mutex, &connection, 1).await;
        assert_eq!(holders(&left), ["last"]);
        release(first).await;
    });
    release(last.unwrap()).await;
    assert!(mutex.holders().await.unwrap().entries.is_empty());
    session.close().await;
}

#[tokio::test]
async fn an_acquire_dropped_after_its_put_was_sent_leaves_no_hold_that_nobody_owns() {
    let etcd = Etcd::single();
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(1));
    let session = session(&connection, "/node/1", 30).await;
    let spec = WatchSpec::prefix(QUEUE).from(session.revision() + 1);
    let mut watch = connect(&etcd).watch(spec);

    proxy.set(Mode::CutAnswers);
    let mutex = Mutex::new(&connection, LOCK);
    let sent = tokio::time::timeout(Duration::from_millis(500), mutex.acquire(&session, "gone"));
    assert!(sent.await.is_err(), "the answer got through");

    let mut kinds: Vec<EventKind> = Vec::new();
    while kinds.len() < 2 {
        let events = common::events(&mut watch).await;
        kinds.extend(events.iter().map(|event| event.kind));
        proxy.set(Mode::Forward);
    }
    assert_eq!(kinds, [EventKind::Put, EventKind::Delete]);
    release(acquire(&mutex, &session, "next").await).await;
    session.close().await;
}

#[tokio::test]
async fn an_entry_whose_answer_is_lost_is_settled_and_holds() {
    let etcd = Etcd::single();
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(1));
    let session = session(&connection, "/node/1", 30).await;
    let spec = WatchSpec::prefix(QUEUE).from(session.revision() + 1);
    let mut watch = connect(&etcd).watch(spec);

    proxy.set(Mode::CutAnswers);
    let mutex = Mutex::new(&connection, LOCK);
    let (hold, created) = tokio::join!(acquire(&mutex, &session, ""), async {
        let event = common::events(&mut watch).await.remove(0);
        proxy.set(Mode::Forward);
        event.kv.create_revision
    });

    assert_eq!(hold.token(), created);
    release(hold).await;
    session.close().await;
}

#[tokio::test]
async fn a_lost_session_fires_and_the_next_gets_it() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let (one, two) = (
        session(&connection, "/node/1", 30).await,
        session(&connection, "/node/2", 30).await,
    );
    let mutex = Mutex::new(&connection, LOCK);
    let first = acquire(&mutex, &one, "one").await;

    let (second, ()) = tokio::join!(acquire(&mutex, &two, "two"), async {
        waiting(&mutex, &connection, 1).await;
        etcd.etcdctl(&["lease", "revoke", &format!("{:x}", one.lease())]);
    });

    within("the holder to know", first.lost().cancelled_owned()).await;
    assert!(second.token() > first.token());
    let late = Txn::new().guard(first.guard()).put("/effect", "");
    assert_eq!(common::refused(&connection, &late).await.lost, ["hold"]);
    assert_eq!(within("releasing", first.release()).await, Released::Gone);
    assert!(!second.lost().is_cancelled());
    within("the session to know", one.lost().cancelled_owned()).await;
    assert_eq!(
        mutex.acquire(&one, "").await.err(),
        Some(QueueError::SessionLost)
    );
    two.close().await;
}

#[tokio::test]
async fn a_key_that_an_operator_deletes_and_makes_again_is_no_hold() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/1", 30).await;
    let mutex = Mutex::new(&connection, LOCK);
    let first = acquire(&mutex, &session, "first").await;
    let key = first.key().to_owned();

    let (second, ()) = tokio::join!(acquire(&mutex, &session, "second"), async {
        waiting(&mutex, &connection, 1).await;
        commit(&connection, &Txn::new().delete(&key)).await;
        put(&connection, &key, "by hand").await;
    });

    within("the holder to know", first.lost().cancelled_owned()).await;
    assert!(second.token() > first.token());
    // The first gives back nothing that is not its own, and the key made by hand stands last.
    assert_eq!(within("releasing", first.release()).await, Released::Gone);
    assert_eq!(holders(&mutex.waiters().await.unwrap()), ["by hand"]);
    let (third, ()) = tokio::join!(acquire(&mutex, &session, "third"), async {
        waiting(&mutex, &connection, 2).await;
        release(second).await;
        commit(&connection, &Txn::new().delete(&key)).await;
    });
    release(third).await;
    session.close().await;
}

#[tokio::test]
async fn a_waiter_whose_entry_is_deleted_or_whose_session_is_lost_stops_waiting() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let (one, two) = (
        session(&connection, "/node/1", 30).await,
        session(&connection, "/node/2", 30).await,
    );
    let mutex = Mutex::new(&connection, LOCK);
    let hold = acquire(&mutex, &one, "holder").await;

    let (deleted, lost, ()) = tokio::join!(
        within("the deleted", mutex.acquire(&one, "deleted")),
        within("the lost", mutex.acquire(&two, "lost")),
        async {
            let waiters = waiting(&mutex, &connection, 2).await;
            let entry = waiters.entries.iter().find(|it| it.holder == "deleted");
            commit(&connection, &Txn::new().delete(&entry.unwrap().key)).await;
            connection.revoke(two.lease()).await.unwrap();
        }
    );

    assert_eq!(deleted.err(), Some(QueueError::EntryDeleted));
    // Its entry goes with the lease: either is noticed first.
    let lost = lost.err();
    assert!(
        matches!(
            lost,
            Some(QueueError::SessionLost | QueueError::EntryDeleted)
        ),
        "{lost:?}"
    );
    release(hold).await;
    one.close().await;
}

#[tokio::test]
async fn a_waiter_gets_it_over_compactions_and_a_cut_connection() {
    let etcd = Etcd::single();
    let proxy = Proxy::start(etcd.address(0)).await;
    let (direct, cut) = (
        connect(&etcd),
        connect_to(proxy.endpoint(), Duration::from_secs(1)),
    );
    let (one, two) = (
        session(&direct, "/node/1", 60).await,
        session(&cut, "/node/2", 60).await,
    );
    let first = acquire(&Mutex::new(&direct, LOCK), &one, "one").await;

    let mutex = Mutex::new(&cut, LOCK);
    let (second, ()) = tokio::join!(acquire(&mutex, &two, "two"), async {
        waiting(&Mutex::new(&direct, LOCK), &direct, 1).await;
        proxy.set(Mode::Refuse);
        // What happens while it is away is then no longer there to be told.
        release(first).await;
        let at = put(&direct, "/other", "").await;
        direct.compact(at).await.unwrap();
        proxy.set(Mode::Forward);
    });

    release(second).await;
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_full_etcd_is_told_and_who_waited_is_let_in_all_the_same() {
    let etcd = Etcd::builder(1).quota_bytes(2 << 20).start();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/1", 60).await;
    let mutex = Mutex::new(&connection, LOCK);
    let first = acquire(&mutex, &session, "first").await;

    let (second, ()) = tokio::join!(acquire(&mutex, &session, "second"), async {
        waiting(&mutex, &connection, 1).await;
        common::fill(&connection).await;
        let told = within("the refusal", mutex.acquire(&session, "third")).await;
        let Some(QueueError::Failed(failure)) = told.err() else {
            panic!("it was let in")
        };
        assert_eq!(failure.kind, FailureKind::Space);
        release(first).await;
    });

    release(second).await;
    session.close().await;
}
