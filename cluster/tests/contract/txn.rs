//! Transactions against etcd: each guard loses once and is named, nested ones lose alone, and what is
//! not known is said to be so.

use std::time::Duration;

use tenure_cluster::{
    Answer, Branch, Connection, FailureKind, Guard, Options, Outcome, Range, Test, Txn,
};
use tenure_testkit::{Etcd, Mode, Proxy};

use super::common::{self, commit, connect, connect_to, put, refused, session, within};

/// The same test with another verdict, on keys made for it.
struct Row {
    holds: Guard,
    loses: Guard,
}

#[tokio::test]
async fn each_guard_loses_once_and_is_named() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let old = put(&connection, "/t/old", "m").await;
    let modified = put(&connection, "/t/old", "m").await;
    let first = put(&connection, "/q/a", "").await;
    put(&connection, "/q/b", "").await;

    let row = |holds, loses| Row { holds, loses };
    let g = "tested";
    let rows = vec![
        row(Guard::absent(g, "/t/none"), Guard::absent(g, "/t/old")),
        row(
            Guard::created_at(g, "/t/old", old),
            Guard::created_at(g, "/t/old", modified),
        ),
        row(
            Guard::created_at(g, "/t/old", old),
            Guard::created_at(g, "/t/none", old),
        ),
        row(
            Guard::not_created_at(g, "/t/none", old),
            Guard::not_created_at(g, "/t/old", old),
        ),
        row(
            Guard::modified_at(g, "/t/old", modified),
            Guard::modified_at(g, "/t/old", old),
        ),
        row(
            Guard::modified_at(g, "/t/none", 0),
            Guard::modified_at(g, "/t/old", 0),
        ),
        row(
            Guard::value_below(g, "/t/old", "n"),
            Guard::value_below(g, "/t/old", "m"),
        ),
        row(
            Guard::value_below(g, "/t/old", "n"),
            Guard::value_below(g, "/t/none", "n"),
        ),
        row(
            Guard::value_above(g, "/t/old", "l"),
            Guard::value_above(g, "/t/old", "m"),
        ),
        row(
            Guard::value_above(g, "/t/old", "l"),
            Guard::value_above(g, "/t/none", ""),
        ),
        row(
            Guard::oldest_in(g, "/q/", first),
            Guard::oldest_in(g, "/q/", first + 1),
        ),
        row(
            Guard::oldest_in(g, "/q/", first),
            Guard::oldest_in(g, "/empty/", first),
        ),
    ];

    for Row { holds, loses } in rows {
        // A new test must get rows of its own.
        match holds.test {
            Test::Absent
            | Test::CreatedAt(_)
            | Test::NotCreatedAt(_)
            | Test::ModifiedAt(_)
            | Test::ValueBelow(_)
            | Test::ValueAbove(_)
            | Test::OldestIn(_) => {}
        }
        let others = Txn::new()
            .guard(Guard::absent("before", "/t/none"))
            .guard(holds)
            .guard(Guard::created_at("after", "/t/old", old));
        commit(&connection, &others.clone().put("/t/done", "")).await;

        let losing = others
            .guard(loses.clone())
            .put("/t/never", "")
            .or_get("/t/old");
        let refused = refused(&connection, &losing).await;

        // The one that holds has the same name, and is not counted.
        assert_eq!(refused.lost, ["tested"], "{loses:?}");
        let [Answer::Kvs(reads)] = &refused.reads[..] else {
            panic!("{refused:?}")
        };
        assert_eq!(reads[0].value, "m");
    }
    let never = connection.range(&Range::key("/t/never")).await.unwrap();
    assert_eq!(never.count, 0, "a refused transaction wrote");
}

#[tokio::test]
async fn several_lost_guards_are_all_named_and_in_order() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let at = put(&connection, "/a", "v").await;

    let txn = Txn::new()
        .guard(Guard::created_at("gone", "/none", at))
        .guard(Guard::created_at("held", "/a", at))
        .guard(Guard::modified_at("changed", "/a", at + 1))
        .guard(Guard::value_above("low", "/a", "w"))
        .put("/b", "");

    assert_eq!(
        refused(&connection, &txn).await.lost,
        ["gone", "changed", "low"]
    );
}

#[tokio::test]
async fn a_nested_transaction_is_lost_alone() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let at = put(&connection, "/fence", "").await;
    let seen = put(&connection, "/r/2", "as it was").await;
    let inner = |n: i64, modified: i64| {
        Txn::new()
            .guard(Guard::modified_at("record", format!("/r/{n}"), modified))
            .delete(format!("/r/{n}"))
            .put(format!("/done/{n}"), "")
            .or_get(format!("/r/{n}"))
    };

    let batch = Txn::new()
        .guard(Guard::created_at("fence", "/fence", at))
        .nest(inner(1, 0))
        .nest(inner(2, seen - 1))
        .nest(
            Txn::new()
                .guard(Guard::absent("outer", "/none"))
                .nest(inner(3, 7)),
        );
    let committed = commit(&connection, &batch).await;

    let [
        Answer::Nested(one),
        Answer::Nested(two),
        Answer::Nested(three),
    ] = &committed.results[..]
    else {
        panic!("{committed:?}")
    };
    assert_eq!(*one, Branch::Held(vec![Answer::Deleted(0), Answer::Put]));
    let Branch::Lost { lost, reads } = two else {
        panic!("{two:?}")
    };
    assert_eq!(lost, &["record"]);
    let [Answer::Kvs(kvs)] = &reads[..] else {
        panic!("{reads:?}")
    };
    assert_eq!(kvs[0].value, "as it was");
    let Branch::Held(inner) = three else {
        panic!("{three:?}")
    };
    let [Answer::Nested(Branch::Lost { lost, reads })] = &inner[..] else {
        panic!("{inner:?}")
    };
    assert_eq!(
        (&lost[..], &reads[..]),
        (&["record"][..], &[Answer::Kvs(vec![])][..])
    );
    let done = connection.range(&Range::prefix("/done/")).await.unwrap();
    assert_eq!(
        done.kvs.iter().map(|kv| &kv.key).collect::<Vec<_>>(),
        ["/done/1"]
    );
}

#[tokio::test]
async fn what_the_check_allows_at_its_bounds_etcd_takes_and_one_more_it_refuses() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let nested = |outer: usize, inner: usize| {
        (0..outer).fold(Txn::new(), |txn, n| {
            txn.nest((0..inner).fold(Txn::new(), |txn, m| txn.put(format!("/n/{n}/{m}"), "")))
        })
    };

    let full = nested(64, 64);
    let committed = commit(&connection, &full).await;
    assert_eq!((committed.results.len(), full.ops()), (64, 4096));
    let guards = (0..128).fold(Txn::new(), |txn, n| {
        txn.guard(Guard::absent("g", format!("/g/{n}")))
            .put(format!("/g/{n}"), "")
    });
    commit(&connection, &guards).await;
    assert_eq!(refused(&connection, &guards).await.lost.len(), 128);

    for txn in [
        nested(64, 65),
        nested(65, 64),
        Txn::new().put("/x", "").delete("/x"),
    ] {
        match connection.commit(&txn).await {
            Outcome::Unavailable(failure) => assert_eq!(failure.kind, FailureKind::Invalid),
            other => panic!("sent though it fails the check: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_put_with_a_dead_lease_fails_the_whole_transaction_and_is_definite() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);

    let txn = Txn::new().put("/a", "").put_leased("/b", "", 4711);
    let Outcome::Unavailable(failure) = connection.commit(&txn).await else {
        panic!("a dead lease was accepted")
    };

    assert_eq!(failure.kind, FailureKind::LeaseNotFound);
    assert!(failure.kind.definite());
    assert_eq!(
        connection.range(&Range::prefix("/")).await.unwrap().count,
        0
    );
}

#[tokio::test]
async fn an_answer_lost_after_apply_is_unknown_and_settled_by_a_monotone_guard() {
    let etcd = Etcd::single();
    let direct = connect(&etcd);
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(1));
    let seen = put(&connection, "/record", "before").await;
    let txn = Txn::new()
        .guard(Guard::modified_at("record", "/record", seen))
        .put("/record", "after")
        .or_get("/record");

    proxy.set(Mode::CutAnswers);
    let outcome = within("the lost answer", connection.commit(&txn)).await;
    assert!(
        matches!(&outcome, Outcome::Unknown(failure) if failure.kind == FailureKind::Timeout),
        "{outcome:?}"
    );
    let read = direct.range(&Range::key("/record")).await.unwrap();
    assert_eq!(
        read.kvs[0].value, "after",
        "the proxy lost the request, not the answer"
    );

    // mod = seen, seen false, is false for ever: the first attempt can never commit after this.
    proxy.set(Mode::Forward);
    let settled = common::refused_at_last(&connection, &txn).await;
    assert_eq!(settled.lost, ["record"]);
    let [Answer::Kvs(kvs)] = &settled.reads[..] else {
        panic!("{settled:?}")
    };
    assert_eq!((kvs[0].value.as_ref(), kvs[0].version), (&b"after"[..], 2));
}

#[tokio::test]
async fn a_connection_that_breaks_in_flight_is_unknown_and_a_refused_one_is_not() {
    let etcd = Etcd::single();
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(5));
    put(&connection, "/a", "").await;

    proxy.set(Mode::HoldRequests);
    let txn = Txn::new().put("/a", "again");
    let (outcome, ()) = tokio::join!(
        within("the broken commit", connection.commit(&txn)),
        async {
            proxy.held().await;
            proxy.set(Mode::Refuse);
        }
    );
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");

    let nobody = connect_to("http://127.0.0.1:9".into(), Duration::from_millis(300));
    let outcome = within("the refused commit", nobody.commit(&txn)).await;
    assert!(
        matches!(&outcome, Outcome::Unavailable(failure) if failure.kind == FailureKind::NotSent),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_endpoint_that_is_gone_costs_no_request() {
    let mut etcd = Etcd::cluster(3);
    let connection = connect(&etcd);
    put(&connection, "/a", "0").await;

    // Not sent anywhere: the first endpoint is the primary, and nobody listens there any more.
    etcd.kill(0);
    let mut done = 0;
    for n in 0..20 {
        match connection
            .commit(&Txn::new().put("/a", n.to_string()))
            .await
        {
            Outcome::Committed(_) => done += 1,
            // The one in flight when the connection broke, or while etcd elects.
            Outcome::Unknown(_) => {}
            other => panic!("{other:?}"),
        }
        connection.range(&Range::key("/a")).await.unwrap();
    }
    assert!(done >= 18, "{done} of 20 committed with one endpoint gone");
}

#[tokio::test]
async fn a_member_stopped_in_its_tracks_is_left_within_the_request_timeout() {
    let etcd = Etcd::cluster(3);
    let options = Options {
        request_timeout: Duration::from_secs(2),
        ..Options::new(etcd.endpoints())
    };
    let connection = Connection::open(options).unwrap();
    put(&connection, "/a", "0").await;

    etcd.stop(0);
    let outcome = within(
        "the stopped member",
        connection.commit(&Txn::new().put("/a", "1")),
    )
    .await;
    // It was sent, and may be applied when the member goes on.
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    common::commit_at_last(&connection, &Txn::new().put("/a", "2")).await;
    etcd.cont(0);
}

#[tokio::test]
async fn a_full_database_is_unknown_for_puts_and_lets_deletes_pass() {
    let etcd = Etcd::builder(1).quota_bytes(2 << 20).start();
    let connection = connect(&etcd);
    let session = session(&connection, "/session", 2).await;

    let failure = common::fill(&connection).await;
    assert_eq!(failure.kind, FailureKind::Space);

    commit(&connection, &Txn::new().delete("/fill/0")).await;
    let status = connection.status().await;
    assert!(status[0].health.as_ref().unwrap().no_space(), "{status:?}");
    // Keepalives do not go through the quota: three times the TTL later it still lives.
    let died = tokio::time::timeout(Duration::from_secs(6), session.lost().cancelled_owned()).await;
    assert!(died.is_err(), "a full database ended a session");
    session.close().await;
}
