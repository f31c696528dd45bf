//! The semaphore against etcd: what is held never exceeds the limit in force, in the order of asking, whatever is cancelled,
//! lost, lowered or raised.

use std::time::Duration;

use futures::future::join_all;
use tenure_cluster::{
    AcquireError, Connection, FailureKind, Hold, LimitError, Listing, QueueError, Range, Released,
    Semaphore, Session, Txn, WatchSpec,
};
use tenure_testkit::Etcd;
use tokio::task::JoinSet;

use super::common::{self, commit, connect, holds, put, session, within};

const NAME: &str = "/semaphores/a";
const LIMIT: &str = "/semaphores/a/permits/limit";

async fn open(connection: &Connection, limit: u32) -> Semaphore {
    within("opening", Semaphore::open(connection, NAME, limit))
        .await
        .unwrap()
}

async fn acquire(semaphore: &Semaphore, session: &Session, holder: &str, weight: u32) -> Hold {
    within("acquiring", semaphore.acquire(session, holder, weight))
        .await
        .unwrap()
}

async fn release(hold: Hold) {
    let released = within("releasing", hold.release()).await;
    assert!(matches!(released, Released::Done { .. }), "{released:?}");
}

fn holders(listing: &Listing) -> Vec<(&str, u32)> {
    let entries = listing.entries.iter();
    entries.map(|it| (&*it.holder, it.weight)).collect()
}

/// Waits until these wait, in this order.
async fn waiting(semaphore: &Semaphore, connection: &Connection, expected: &[(&str, u32)]) {
    let mut changes = connection.watch(WatchSpec::prefix(NAME).from(1));
    within("them to wait", async {
        while holders(&semaphore.waiters().await.unwrap()) != expected {
            changes.next().await;
        }
    })
    .await;
}

async fn sessions(connection: &Connection) -> [Session; 2] {
    [
        session(connection, "/node/1", 60).await,
        session(connection, "/node/2", 60).await,
    ]
}

#[tokio::test]
async fn permits_are_granted_up_to_the_limit_and_listed() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [one, two] = sessions(&connection).await;
    let semaphore = open(&connection, 3).await;
    let first = acquire(&semaphore, &one, "one", 2).await;
    let second = acquire(&semaphore, &two, "two", 1).await;

    assert!(second.token() > first.token());
    let held = semaphore.holders().await.unwrap();
    assert_eq!(holders(&held), [("one", 2), ("two", 1)]);
    assert_eq!(
        (held.entries[1].revision, held.age(&held.entries[1])),
        (second.token(), 0)
    );
    let text = etcd.etcdctl(&["get", first.key(), "--print-value-only"]);
    assert_eq!(text.trim(), r#"{"holder":"one","weight":2}"#);
    let text = etcd.etcdctl(&["get", LIMIT, "--print-value-only"]);
    assert_eq!(text.trim(), r#"{"limit":3}"#);

    let (third, ()) = tokio::join!(acquire(&semaphore, &one, "three", 1), async {
        waiting(&semaphore, &connection, &[("three", 1)]).await;
        commit(
            &connection,
            &Txn::new().guard(second.guard()).put("/effect", ""),
        )
        .await;
        release(first).await;
    });
    assert!(third.token() > second.token());
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn under_contention_the_weight_held_stays_within_the_limit_and_tokens_rise() {
    const MAX: i64 = 4;
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    open(&connection, 4).await;
    let prefix = format!("{NAME}/permits/");
    let spec = WatchSpec::prefix(prefix).from(1).with_previous();
    let watch = connection.watch(spec);
    let mut tasks = JoinSet::new();
    for node in 0..4_u32 {
        let connection = connect(&etcd);
        tasks.spawn(async move {
            let session = session(&connection, &format!("/node/{node}"), 60).await;
            let semaphore = open(&connection, 4).await;
            let mut tokens = Vec::new();
            for round in 0..8_u32 {
                let weight = 1 + (node + round) % 4;
                let hold = acquire(&semaphore, &session, &weight.to_string(), weight).await;
                tokens.push(hold.token());
                match round % 3 {
                    0 => drop(hold),
                    _ => release(hold).await,
                }
            }
            session.close().await;
            tokens
        });
    }
    let mut tokens = Vec::new();
    while let Some(done) = tasks.join_next().await {
        tokens.extend(done.unwrap());
    }

    let held = holds(watch, 32).await;
    let weight = |value: &str| -> i64 {
        let (_, weight) = value.rsplit_once(':').unwrap();
        weight.trim_end_matches('}').parse().unwrap()
    };
    let mut most = 0;
    for at in held.iter().map(|it| it.from) {
        let then = held.iter().filter(|it| it.from <= at && at < it.to);
        let sum: i64 = then.map(|it| weight(&it.value)).sum();
        assert!(sum <= MAX, "{sum} held at revision {at}: {held:?}");
        most = most.max(sum);
    }
    assert_eq!(most, MAX, "the limit was never used");
    tokens.sort_unstable();
    let from: Vec<i64> = held.iter().map(|it| it.from).collect();
    assert_eq!(tokens, from, "a token is the revision of its grant");
}

#[tokio::test]
async fn a_wide_request_is_not_starved_by_small_ones_behind_it() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [one, _two] = sessions(&connection).await;
    let semaphore = open(&connection, 3).await;
    let first = acquire(&semaphore, &one, "first", 1).await;
    let second = acquire(&semaphore, &one, "second", 1).await;

    let wide = async {
        let hold = acquire(&semaphore, &one, "wide", 3).await;
        assert_eq!(holders(&semaphore.holders().await.unwrap()), [("wide", 3)]);
        let token = hold.token();
        release(hold).await;
        token
    };
    let small = async {
        waiting(&semaphore, &connection, &[("wide", 3)]).await;
        acquire(&semaphore, &one, "small", 1).await
    };
    let (wide, small, ()) = tokio::join!(wide, small, async {
        waiting(&semaphore, &connection, &[("wide", 3), ("small", 1)]).await;
        release(first).await;
        // One permit is free all the time that the small one waits.
        release(second).await;
    });

    assert!(small.token() > wide);
    one.close().await;
}

#[tokio::test]
async fn of_fifty_waiters_a_bounded_number_wakes_at_each_release() {
    let counters = common::counters::Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/1", 60).await;
    let semaphore = open(&connection, 2).await;
    let both = [
        acquire(&semaphore, &session, "first", 1).await,
        acquire(&semaphore, &session, "second", 1).await,
    ];

    let txns = || counters.count("tenure_etcd_requests_total{op=txn");
    let events = || counters.count("tenure_etcd_watch_events_total");
    let at_first = txns();
    let each = (0..50).map(|_| async {
        let hold = acquire(&semaphore, &session, "", 1).await;
        release(hold).await;
    });
    let (_, before) = tokio::join!(join_all(each), async {
        // Each has put its entry and has looked: all of them wait.
        let waiting = counters.beyond("tenure_etcd_requests_total{op=txn", at_first + 99);
        within("all to look", waiting).await;
        let before = (events(), txns());
        for hold in both {
            release(hold).await;
        }
        before
    });

    let (events, txns) = (events() - before.0, txns() - before.1);
    // To each of 52 releases at most: the permit that goes tells who is first, its grant tells the next.
    assert!(events <= 2 * 52, "{events} events");
    // And the look and grant of the first, the look of the next, the release.
    assert!(txns <= 4 * 52, "{txns} transactions");
    session.close().await;
}

#[tokio::test]
async fn a_limit_that_differs_is_an_error_and_a_change_compares() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let differs = |stored, expected| LimitError::Differs {
        key: LIMIT.into(),
        stored,
        expected,
    };
    // Many at once: one limit is stored, and all others agree with it or are told.
    let opened = join_all((0..8).map(|n| Semaphore::open(&connection, NAME, 2 + n % 2))).await;
    let semaphore = opened.iter().find_map(|it| it.as_ref().ok()).unwrap();
    let stored = semaphore.limit().await.unwrap();
    for (n, opened) in (0..8).zip(&opened) {
        let wanted = 2 + n % 2;
        let expected = (wanted != stored).then(|| differs(stored, wanted));
        assert_eq!(opened.as_ref().err(), expected.as_ref());
    }

    assert_eq!(semaphore.change_limit(9, 5).await, Err(differs(stored, 9)));
    assert_eq!(
        semaphore.change_limit(stored, 0).await,
        Err(LimitError::Zero)
    );
    semaphore.change_limit(stored, 5).await.unwrap();
    assert_eq!(semaphore.limit().await, Ok(5));
    let (one, two) = tokio::join!(semaphore.change_limit(5, 6), semaphore.change_limit(5, 7));
    let now = semaphore.limit().await.unwrap();
    // The later one may also have read what the earlier one wrote.
    let lost = if now == 6 { (one, two) } else { (two, one) };
    assert_eq!(lost, (Ok(()), Err(differs(now, 5))));

    commit(&connection, &Txn::new().delete(LIMIT)).await;
    let missing = LimitError::Missing { key: LIMIT.into() };
    assert_eq!(semaphore.limit().await, Err(missing.clone()));
    let [session, _] = sessions(&connection).await;
    let refused = semaphore.acquire(&session, "", 1).await.err();
    assert_eq!(refused, Some(AcquireError::Limit(missing)));
    put(&connection, LIMIT, "many").await;
    let malformed = LimitError::Malformed { key: LIMIT.into() };
    assert_eq!(
        Semaphore::open(&connection, NAME, 3).await.err(),
        Some(malformed)
    );
    session.close().await;
}

#[tokio::test]
async fn lowering_takes_nothing_away_and_grants_none_until_it_fits_and_raising_lets_in() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [one, _two] = sessions(&connection).await;
    let semaphore = open(&connection, 3).await;
    let wide = acquire(&semaphore, &one, "wide", 2).await;
    let small = acquire(&semaphore, &one, "small", 1).await;
    semaphore.change_limit(3, 1).await.unwrap();

    let mut third = Box::pin(semaphore.acquire(&one, "third", 1));
    tokio::select! {
        _ = &mut third => panic!("it was let in"),
        () = waiting(&semaphore, &connection, &[("third", 1)]) => {}
    }
    assert!(!wide.lost().is_cancelled());
    release(wide).await;
    // 1 is still held, which is all of the limit.
    let early = tokio::time::timeout(Duration::from_millis(500), &mut third).await;
    assert!(early.is_err(), "it was let in");
    assert_eq!(holders(&semaphore.holders().await.unwrap()), [("small", 1)]);

    let (third, ()) = tokio::join!(within("the third", third), async {
        semaphore.change_limit(1, 2).await.unwrap();
    });
    let held = semaphore.holders().await.unwrap();
    assert_eq!(holders(&held), [("small", 1), ("third", 1)]);
    release(small).await;
    release(third.unwrap()).await;
    one.close().await;
}

#[tokio::test]
async fn a_weight_above_the_limit_is_refused_at_once_and_when_the_limit_is_lowered() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [one, two] = sessions(&connection).await;
    let semaphore = open(&connection, 3).await;
    let above = |weight, limit| Some(AcquireError::AboveLimit { weight, limit });
    let before = connection.range(&Range::prefix(NAME)).await.unwrap();

    assert_eq!(semaphore.acquire(&one, "", 4).await.err(), above(4, 3));
    assert_eq!(
        semaphore.acquire(&one, "", 0).await.err(),
        Some(AcquireError::ZeroWeight)
    );
    let after = connection.range(&Range::prefix(NAME)).await.unwrap();
    assert_eq!(after.revision, before.revision, "something was written");

    let first = acquire(&semaphore, &one, "first", 1).await;
    let (wide, small, ()) = tokio::join!(
        within("the wide", semaphore.acquire(&one, "wide", 3)),
        async {
            waiting(&semaphore, &connection, &[("wide", 3)]).await;
            acquire(&semaphore, &two, "small", 1).await
        },
        async {
            waiting(&semaphore, &connection, &[("wide", 3), ("small", 1)]).await;
            semaphore.change_limit(3, 2).await.unwrap();
        }
    );

    assert_eq!(wide.err(), above(3, 2));
    release(small).await;
    release(first).await;
    one.close().await;
}

#[tokio::test]
async fn a_cancelled_waiter_leaves_no_entry_and_blocks_nobody() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [one, _two] = sessions(&connection).await;
    let semaphore = open(&connection, 1).await;
    let first = acquire(&semaphore, &one, "first", 1).await;
    let mut cancelled = Box::pin(semaphore.acquire(&one, "cancelled", 1));
    tokio::select! {
        _ = &mut cancelled => panic!("it was let in"),
        () = waiting(&semaphore, &connection, &[("cancelled", 1)]) => {}
    }

    let (last, ()) = tokio::join!(acquire(&semaphore, &one, "last", 1), async {
        waiting(&semaphore, &connection, &[("cancelled", 1), ("last", 1)]).await;
        drop(cancelled);
        waiting(&semaphore, &connection, &[("last", 1)]).await;
        drop(first);
    });

    release(last).await;
    let left = connection.range(&Range::prefix(NAME)).await.unwrap();
    let left: Vec<_> = left.kvs.iter().map(|kv| &kv.key).collect();
    assert_eq!(left, [LIMIT]);
    one.close().await;
}

#[tokio::test]
async fn a_lost_session_or_a_deleted_permit_fires_and_the_next_gets_it() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [one, two] = sessions(&connection).await;
    let semaphore = open(&connection, 2).await;
    let lost = acquire(&semaphore, &one, "lost", 1).await;
    let deleted = acquire(&semaphore, &two, "deleted", 1).await;

    let (third, fourth, ()) = tokio::join!(
        acquire(&semaphore, &two, "next", 1),
        async {
            waiting(&semaphore, &connection, &[("next", 1)]).await;
            acquire(&semaphore, &two, "last", 1).await
        },
        async {
            waiting(&semaphore, &connection, &[("next", 1), ("last", 1)]).await;
            etcd.etcdctl(&["lease", "revoke", &format!("{:x}", one.lease())]);
            commit(&connection, &Txn::new().delete(deleted.key())).await;
        }
    );

    within("the first to know", lost.lost().cancelled_owned()).await;
    within("the second to know", deleted.lost().cancelled_owned()).await;
    assert!(third.token() > deleted.token() && fourth.token() > deleted.token());
    let late = Txn::new().guard(deleted.guard()).put("/effect", "");
    assert_eq!(common::refused(&connection, &late).await.lost, ["hold"]);
    assert_eq!(deleted.release().await, Released::Gone);
    assert_eq!(semaphore.holders().await.unwrap().entries.len(), 2);
    two.close().await;
}

#[tokio::test]
async fn a_waiter_whose_entry_is_deleted_and_one_who_meets_nonsense_are_told() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [one, _two] = sessions(&connection).await;
    let semaphore = open(&connection, 1).await;
    let hold = acquire(&semaphore, &one, "holder", 1).await;

    let (told, ()) = tokio::join!(
        within("the waiter", semaphore.acquire(&one, "waiter", 1)),
        async {
            waiting(&semaphore, &connection, &[("waiter", 1)]).await;
            let waiters = semaphore.waiters().await.unwrap();
            commit(&connection, &Txn::new().delete(&waiters.entries[0].key)).await;
        }
    );
    assert_eq!(
        told.err(),
        Some(AcquireError::Queue(QueueError::EntryDeleted))
    );

    let key = format!("{NAME}/permits/by-hand");
    put(&connection, &key, "by hand").await;
    let told = semaphore.acquire(&one, "", 1).await.err();
    assert_eq!(told, Some(AcquireError::Malformed { key }));
    let listed = semaphore.holders().await.unwrap();
    assert_eq!(holders(&listed), [("holder", 1), ("by hand", 0)]);
    release(hold).await;
    one.close().await;
}

#[tokio::test]
async fn a_full_etcd_is_told_and_what_is_held_is_given_back() {
    let etcd = Etcd::builder(1).quota_bytes(2 << 20).start();
    let connection = connect(&etcd);
    let [one, _two] = sessions(&connection).await;
    let semaphore = open(&connection, 1).await;
    let hold = acquire(&semaphore, &one, "holder", 1).await;

    let (told, ()) = tokio::join!(
        within("the refusal", semaphore.acquire(&one, "waiter", 1)),
        async {
            waiting(&semaphore, &connection, &[("waiter", 1)]).await;
            common::fill(&connection).await;
            release(hold).await;
        }
    );

    // Its grant needs space. What it wrote goes, which needs none.
    let Some(AcquireError::Queue(QueueError::Failed(failure))) = told.err() else {
        panic!("it was let in")
    };
    assert_eq!(failure.kind, FailureKind::Space);
    waiting(&semaphore, &connection, &[]).await;
    let Err(LimitError::Failed(failure)) = semaphore.change_limit(1, 2).await else {
        panic!("it was written")
    };
    assert_eq!(failure.kind, FailureKind::Space);
    one.close().await;
}
