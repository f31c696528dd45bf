//! The server as an etcd client sees it, in process and in paused time.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics with what it got"
)]

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, EventType, GetOptions, LeaseGrantOptions,
    PutOptions, Txn, TxnOp, WatchFilterType, WatchOptions, WatchResponse, WatchStream,
};
use tenure_embedded::{Embedded, Options};
use tonic::Code;

async fn server() -> (Embedded, Client) {
    let server = Embedded::in_memory(&Options::default());
    let client = Client::from_channel(server.channel(), None).await.unwrap();
    (server, client)
}

fn code(error: &etcd_client::Error) -> Code {
    match error {
        etcd_client::Error::GRpcStatus(status) => status.code(),
        other => panic!("not a status: {other}"),
    }
}

async fn told(stream: &mut WatchStream) -> WatchResponse {
    let waited = tokio::time::timeout(Duration::from_hours(1), stream.message());
    let answer = waited.await.expect("an answer within an hour").unwrap();
    answer.expect("the stream goes on")
}

async fn put(client: &Client, key: &str, value: &str) -> i64 {
    let txn = Txn::new().and_then([TxnOp::put(key, value, None)]);
    let answer = client.kv_client().txn(txn).await.unwrap();
    answer.header().unwrap().revision()
}

async fn delete(client: &Client, key: &str) -> i64 {
    let txn = Txn::new().and_then([TxnOp::delete(key, None)]);
    let answer = client.kv_client().txn(txn).await.unwrap();
    answer.header().unwrap().revision()
}

fn events(answer: &WatchResponse) -> Vec<(EventType, String, i64)> {
    let events = answer.events().iter().map(|event| {
        let kv = event.kv().unwrap();
        let key = kv.key_str().unwrap().to_owned();
        (event.event_type(), key, kv.mod_revision())
    });
    events.collect()
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_replayed_from_its_revision_then_goes_on() {
    let (_server, client) = server().await;
    put(&client, "a/1", "x").await;
    put(&client, "b", "not watched").await;
    put(&client, "a/2", "x").await;

    let options = WatchOptions::new()
        .with_prefix()
        .with_start_revision(2)
        .with_prev_key();
    let mut stream = client
        .watch_client()
        .watch("a/", Some(options))
        .await
        .unwrap();
    let created = told(&mut stream).await;
    assert!(created.created());
    let replayed = told(&mut stream).await;
    delete(&client, "a/1").await;
    let live = told(&mut stream).await;

    let put = EventType::Put;
    assert_eq!(
        events(&replayed),
        [(put, "a/1".into(), 2), (put, "a/2".into(), 4)]
    );
    assert_eq!(events(&live), [(EventType::Delete, "a/1".into(), 5)]);
    assert_eq!(live.events()[0].prev_kv().unwrap().value(), b"x");
    assert_eq!(live.header().unwrap().revision(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_compacted_revision_is_cancelled_and_says_so() {
    let (_server, client) = server().await;
    for value in ["1", "2", "3"] {
        put(&client, "a", value).await;
    }
    client.kv_client().compact(3, None).await.unwrap();

    let old = WatchOptions::new().with_start_revision(2);
    let mut stream = client.watch_client().watch("a", Some(old)).await.unwrap();
    let created = told(&mut stream).await;
    let cancelled = told(&mut stream).await;
    let at = WatchOptions::new().with_start_revision(3);
    let mut kept = client.watch_client().watch("a", Some(at)).await.unwrap();
    told(&mut kept).await;

    assert!(created.created() && !created.canceled());
    assert!(cancelled.canceled());
    assert_eq!(cancelled.compact_revision(), 3);
    assert_eq!(cancelled.cancel_reason(), "");
    assert_eq!(events(&told(&mut kept).await).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_stream_has_many_watches_with_ids_and_filters() {
    let (_server, client) = server().await;
    let own = WatchOptions::new()
        .with_watch_id(7)
        .with_filters([WatchFilterType::NoPut]);
    let mut stream = client.watch_client().watch("a", Some(own)).await.unwrap();
    assert_eq!(told(&mut stream).await.watch_id(), 7);
    stream.watch("b", None).await.unwrap();
    assert_eq!(told(&mut stream).await.watch_id(), 0);
    let again = WatchOptions::new().with_watch_id(7);
    stream.watch("c", Some(again)).await.unwrap();
    let twice = told(&mut stream).await;
    stream
        .watch("b", Some(WatchOptions::new().with_range("a")))
        .await
        .unwrap();
    let empty = told(&mut stream).await;

    put(&client, "a", "filtered").await;
    put(&client, "b", "told").await;
    let first = told(&mut stream).await;
    delete(&client, "a").await;
    let second = told(&mut stream).await;
    stream.cancel(7).await.unwrap();
    let cancelled = told(&mut stream).await;

    assert!(twice.created() && twice.canceled());
    assert_eq!(twice.watch_id(), -1);
    assert!(twice.cancel_reason().contains("duplicate watch ID"));
    assert_eq!(empty.cancel_reason(), "mvcc: watcher range is empty");
    assert_eq!((first.watch_id(), first.events().len()), (0, 1));
    assert_eq!((second.watch_id(), second.events().len()), (7, 1));
    assert!(cancelled.canceled() && cancelled.watch_id() == 7);
}

#[tokio::test(start_paused = true)]
async fn a_large_revision_is_told_in_fragments_where_that_is_wanted() {
    let (_server, client) = server().await;
    let large = "x".repeat(1 << 20);
    for key in ["a/1", "a/2", "a/3"] {
        put(&client, key, &large).await;
    }
    let options = || WatchOptions::new().with_prefix().with_prev_key();
    let mut client_watch = client.watch_client();
    let whole = options();
    let mut whole = client_watch.watch("a/", Some(whole)).await.unwrap();
    let parts = options().with_fragment();
    let mut parts = client_watch.watch("a/", Some(parts)).await.unwrap();
    for stream in [&mut whole, &mut parts] {
        told(stream).await;
    }

    let prefix = DeleteOptions::new().with_prefix();
    let txn = Txn::new().and_then([TxnOp::delete("a/", Some(prefix))]);
    client.kv_client().txn(txn).await.unwrap();

    // Each event carries 1 MiB; an answer ends before it has 1.5 MiB, as etcd's does.
    assert_eq!(told(&mut whole).await.events().len(), 3);
    for (nth, more) in [(1, true), (2, true), (3, false)] {
        let part = told(&mut parts).await;
        let told = (EventType::Delete, format!("a/{nth}"), 5);
        assert_eq!(events(&part), [told]);
        let last = format!("fragment: {more}");
        assert!(format!("{part:?}").contains(&last), "part {nth}: {last}");
    }
    put(&client, "a/4", "small").await;
    assert!(format!("{:?}", told(&mut parts).await).contains("fragment: false"));
}

#[tokio::test]
async fn an_event_over_a_port_waits_for_no_acknowledgement() {
    let (server, inside) = server().await;
    let at = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let outside = Client::connect([at.to_string()], None).await.unwrap();
    let mut stream = outside.watch_client().watch("a", None).await.unwrap();
    told(&mut stream).await;

    let mut took = Vec::new();
    for _ in 0..51 {
        // An answer, which is acknowledged with the next request or late, then an event.
        put(&outside, "b", "x").await;
        let began = std::time::Instant::now();
        put(&inside, "a", "x").await;
        told(&mut stream).await;
        took.push(began.elapsed());
    }

    // A kernel that gathers small pieces waits 40 ms for the other side; all else takes a millisecond.
    took.sort_unstable();
    assert!(took[25] < Duration::from_millis(25), "{:?}", took[25]);
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_when_asked_and_every_ten_minutes() {
    let (_server, client) = server().await;
    let options = WatchOptions::new().with_progress_notify();
    let mut stream = client
        .watch_client()
        .watch("a", Some(options))
        .await
        .unwrap();
    told(&mut stream).await;
    let revision = put(&client, "b", "not watched").await;

    stream.request_progress().await.unwrap();
    let asked = told(&mut stream).await;
    let started = tokio::time::Instant::now();
    let by_itself = told(&mut stream).await;

    assert_eq!(
        (asked.watch_id(), asked.header().unwrap().revision()),
        (-1, revision)
    );
    assert_eq!((by_itself.watch_id(), by_itself.events().len()), (0, 0));
    assert!(
        started.elapsed() >= Duration::from_secs(599),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_not_renewed_ends_and_takes_its_keys_in_one_revision() {
    let (_server, client) = server().await;
    let lease = client.lease_client().grant(5, None).await.unwrap().id();
    for key in ["a", "b"] {
        let leased = PutOptions::new().with_lease(lease);
        let txn = Txn::new().and_then([TxnOp::put(key, "x", Some(leased))]);
        client.kv_client().txn(txn).await.unwrap();
    }
    let (mut keeper, mut answers) = client.lease_client().keep_alive(lease).await.unwrap();
    let mut stream = client
        .watch_client()
        .watch("\0", Some(WatchOptions::new().with_from_key()))
        .await
        .unwrap();
    told(&mut stream).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    keeper.keep_alive().await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl(), 5);
    let renewed = tokio::time::Instant::now();

    let ended = told(&mut stream).await;

    assert_eq!(ended.events().len(), 2);
    let lived = renewed.elapsed();
    assert!(lived >= Duration::from_secs(5), "{lived:?}");
    assert!(lived <= Duration::from_millis(5_500), "{lived:?}");
    keeper.keep_alive().await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl(), 0);
    let left = client
        .lease_client()
        .time_to_live(lease, None)
        .await
        .unwrap();
    assert_eq!(left.ttl(), -1);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_leader_gives_leases_their_full_time() {
    let (server, client) = server().await;
    let lease = client.lease_client().grant(5, None).await.unwrap().id();
    tokio::time::sleep(Duration::from_secs(4)).await;

    server.renew_all_leases();
    tokio::time::sleep(Duration::from_millis(4_500)).await;

    let left = client
        .lease_client()
        .time_to_live(lease, None)
        .await
        .unwrap();
    assert_eq!((left.ttl(), left.granted_ttl()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_codes_and_words_of_etcd() {
    let (server, client) = server().await;
    let mut kv = client.kv_client();
    let leased = PutOptions::new().with_lease(99);
    let twice = [TxnOp::put("a", "1", None), TxnOp::put("a", "2", None)];
    let many: Vec<_> = (0..129)
        .map(|n| TxnOp::delete(format!("{n}"), None))
        .collect();
    let overlap = [
        TxnOp::delete("a", Some(DeleteOptions::new().with_range("c"))),
        TxnOp::put("b", "1", None),
    ];
    let large = vec![0; 3 << 19];
    put(&client, "x", "1").await;
    put(&client, "x", "2").await;
    kv.compact(3, None).await.unwrap();
    let at = |revision| Some(GetOptions::new().with_revision(revision));
    let op = |op| Txn::new().and_then([op]);

    let table = [
        (
            kv.get("", None).await.err(),
            Code::InvalidArgument,
            "key is not provided",
        ),
        (
            kv.get("x", at(2)).await.err(),
            Code::OutOfRange,
            "has been compacted",
        ),
        (
            kv.get("x", at(9)).await.err(),
            Code::OutOfRange,
            "is a future revision",
        ),
        (
            kv.compact(3, None).await.err(),
            Code::OutOfRange,
            "has been compacted",
        ),
        (
            kv.txn(op(TxnOp::put("a", "1", Some(leased)))).await.err(),
            Code::NotFound,
            "etcdserver: requested lease not found",
        ),
        (
            kv.txn(Txn::new().and_then(twice)).await.err(),
            Code::InvalidArgument,
            "duplicate key",
        ),
        (
            kv.txn(Txn::new().and_then(overlap)).await.err(),
            Code::InvalidArgument,
            "duplicate key",
        ),
        (
            kv.txn(Txn::new().and_then(many)).await.err(),
            Code::InvalidArgument,
            "too many operations",
        ),
        (
            kv.txn(op(TxnOp::put("a", large, None))).await.err(),
            Code::InvalidArgument,
            "too large",
        ),
    ];
    for (error, wanted, words) in table {
        let error = error.expect(words);
        assert_eq!(code(&error), wanted, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let grant = client
        .lease_client()
        .grant(5, Some(LeaseGrantOptions::new().with_id(3)))
        .await;
    assert_eq!(grant.unwrap().id(), 3);
    let again = client
        .lease_client()
        .grant(5, Some(LeaseGrantOptions::new().with_id(3)))
        .await;
    assert_eq!(code(&again.unwrap_err()), Code::FailedPrecondition);

    server.raise_no_space();
    let full = kv.txn(op(TxnOp::put("a", "1", None))).await.unwrap_err();
    assert_eq!(code(&full), Code::ResourceExhausted);
    assert!(kv.txn(op(TxnOp::delete("x", None))).await.is_ok());
    server.lower_no_space();
    assert!(kv.txn(op(TxnOp::put("a", "1", None))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_nested_transaction_fails_alone_and_all_is_one_revision() {
    let (_server, client) = server().await;
    put(&client, "leader", "me").await;
    let inner = |key: &str, expected| {
        let when = [Compare::create_revision(key, CompareOp::Equal, expected)];
        TxnOp::txn(
            Txn::new()
                .when(when)
                .and_then([TxnOp::put(key, "done", None)]),
        )
    };
    let txn = Txn::new()
        .when([Compare::create_revision("leader", CompareOp::Equal, 2)])
        .and_then([inner("a", 0), inner("b", 5), inner("c", 0)]);

    let answer = client.kv_client().txn(txn).await.unwrap();

    assert!(answer.succeeded());
    let found = client
        .kv_client()
        .get("a", Some(GetOptions::new().with_from_key()))
        .await
        .unwrap();
    let keys: Vec<_> = found
        .kvs()
        .iter()
        .map(|kv| (kv.key_str().unwrap(), kv.mod_revision()))
        .collect();
    assert_eq!(keys, [("a", 3), ("c", 3), ("leader", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_streams_and_keeps_what_was_acknowledged() {
    let (server, client) = server().await;
    put(&client, "a", "1").await;
    let mut stream = client.watch_client().watch("a", None).await.unwrap();
    told(&mut stream).await;
    let lease = client.lease_client().grant(2, None).await.unwrap().id();
    tokio::time::sleep(Duration::from_millis(1_900)).await;

    server.crash();

    assert_eq!(
        code(&stream.message().await.unwrap_err()),
        Code::Unavailable
    );
    let found = client.kv_client().get("a", None).await.unwrap();
    assert_eq!(found.count(), 1);
    tokio::time::sleep(Duration::from_millis(1_900)).await;
    let left = client
        .lease_client()
        .time_to_live(lease, None)
        .await
        .unwrap();
    assert_eq!(left.ttl(), 1);
    server.shutdown().await;
    let after = client.kv_client().get("a", None).await.unwrap_err();
    assert_eq!(code(&after), Code::Unavailable);
}
