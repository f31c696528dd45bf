//! Sessions against etcd: how they are lost, and that they do not die without a reason.

use std::time::Duration;

use tenure_cluster::{
    Connection, LostReason, OpenError, Options, Outcome, Range, Session, SessionOptions, State, Txn,
};
use tenure_testkit::{Etcd, Mode, Proxy};
use tokio::time::Instant;

use super::common::{self, commit, connect, connect_to, lost, refused, session, state, within};

#[tokio::test]
async fn a_session_outlives_its_ttl_and_its_key_goes_when_it_closes() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/a", 2).await;
    let kv = connection
        .range(&Range::key("/node/a"))
        .await
        .unwrap()
        .kvs
        .remove(0);
    assert_eq!(
        (kv.create_revision, kv.lease),
        (session.revision(), session.lease())
    );

    let died = tokio::time::timeout(Duration::from_secs(5), session.lost().cancelled_owned()).await;
    assert!(died.is_err(), "it was lost while etcd was well");
    assert!(matches!(*session.state().borrow(), State::Live { .. }));

    let states = session.state();
    session.close().await;
    assert_eq!(*states.borrow(), State::Lost(LostReason::Closed));
    assert_eq!(
        connection
            .range(&Range::key("/node/a"))
            .await
            .unwrap()
            .count,
        0
    );
}

#[tokio::test]
async fn the_ttl_that_etcd_grants_is_the_one_that_counts() {
    let etcd = Etcd::single();
    let session = session(&connect(&etcd), "/node/a", 1).await;
    assert_eq!(session.ttl(), Duration::from_secs(2), "etcd's minimum");
    session.close().await;
}

#[tokio::test]
async fn options_that_cannot_work_name_their_field() {
    let connection = Connection::open(Options::new(["http://127.0.0.1:9"])).unwrap();
    let good = SessionOptions::new("/k", "", Duration::from_secs(5));
    let table = [
        (
            SessionOptions {
                key: String::new(),
                ..good.clone()
            },
            "key",
        ),
        (
            SessionOptions {
                ttl: Duration::from_millis(10),
                ..good.clone()
            },
            "ttl",
        ),
        (
            SessionOptions {
                ttl: Duration::from_hours(2),
                ..good.clone()
            },
            "ttl",
        ),
        (
            SessionOptions {
                margin: Duration::from_secs(2),
                ..good
            },
            "margin",
        ),
    ];
    for (options, expected) in table {
        match Session::open(&connection, options).await.err() {
            Some(OpenError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_taken_key_tells_its_holder_and_how_long_and_leaves_no_lease_behind() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let holder = session(&connection, "/node/a", 30).await;

    let options = SessionOptions::new("/node/a", "second", Duration::from_secs(30));
    let error = within("the refusal", Session::open(&connection, options))
        .await
        .err()
        .unwrap();

    let OpenError::Taken {
        holder: kv,
        remaining,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (kv.lease, kv.value.as_ref()),
        (holder.lease(), &b"/node/a"[..])
    );
    let left = remaining.unwrap();
    assert!(
        left > Duration::from_secs(20) && left <= Duration::from_secs(30),
        "{left:?}"
    );
    assert!(etcd.etcdctl(&["lease", "list"]).contains("found 1 leases"));
    holder.close().await;
}

#[tokio::test]
async fn a_lease_revoked_by_an_operator_ends_the_session_at_once() {
    let etcd = Etcd::single();
    let session = session(&connect(&etcd), "/node/a", 60).await;

    etcd.etcdctl(&["lease", "revoke", &format!("{:x}", session.lease())]);

    assert_eq!(
        state(&session, lost).await,
        State::Lost(LostReason::LeaseGone)
    );
    assert!(session.lost().is_cancelled());
    session.close().await;
}

#[tokio::test]
async fn a_deleted_key_ends_the_session_though_keepalives_are_answered() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/a", 60).await;

    etcd.etcdctl(&["del", "/node/a"]);

    assert_eq!(
        state(&session, lost).await,
        State::Lost(LostReason::KeyDeleted)
    );
    within("its lease to be given back", async {
        while connection.lease_alive(session.lease()).await.unwrap() {}
    })
    .await;
    session.close().await;
}

#[tokio::test]
async fn a_key_taken_off_its_lease_ends_the_session() {
    let etcd = Etcd::single();
    let session = session(&connect(&etcd), "/node/a", 60).await;
    etcd.etcdctl(&["put", "/node/a", "no lease"]);
    assert_eq!(
        state(&session, lost).await,
        State::Lost(LostReason::KeyDeleted)
    );
    session.close().await;
}

#[tokio::test]
async fn publishing_keeps_the_session_and_is_refused_when_it_is_lost() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/a", 60).await;

    let first = session.publish(b"new".to_vec(), session.revision()).await;
    let last = first.committed().expect("published").revision;
    let kv = connection
        .range(&Range::key("/node/a"))
        .await
        .unwrap()
        .kvs
        .remove(0);
    assert_eq!(
        (kv.value.as_ref(), kv.create_revision),
        (&b"new"[..], session.revision())
    );

    commit(&connection, &Txn::new().delete("/node/a")).await;
    let Outcome::Refused(refused) = session.publish(b"late".to_vec(), last).await else {
        panic!("published without a session")
    };
    assert_eq!(refused.lost, ["session", "value"]);
    assert_eq!(refused.found(), None);
    session.close().await;
}

#[tokio::test]
async fn a_late_copy_of_what_was_published_does_not_undo_what_came_after() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/a", 60).await;
    let written = session.publish(b"old".to_vec(), session.revision()).await;
    let old = written.committed().expect("published").revision;
    let new = session.publish(b"new".to_vec(), old).await;
    assert!(new.committed().is_some());

    // As if the answers to both had been lost: the first is sent again, and so is the second.
    for (value, last) in [("old", session.revision()), ("new", old)] {
        let Outcome::Refused(refused) = session.publish(value.into(), last).await else {
            panic!("{value} was published twice")
        };

        assert_eq!(refused.lost, ["value"]);
        let kv = refused.found().expect("the session lives");
        assert_eq!(kv.value.as_ref(), b"new");
        assert_eq!(kv.create_revision, session.revision());
    }
    session.close().await;
}

#[tokio::test]
async fn cut_off_it_is_suspect_then_lost_before_etcd_gives_its_lease_away() {
    let etcd = Etcd::single();
    let direct = connect(&etcd);
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(1));
    let session = session(&connection, "/node/a", 3).await;
    let mut watch =
        direct.watch(tenure_cluster::WatchSpec::key("/node/a").from(session.revision() + 1));

    proxy.set(Mode::Hold);
    let suspect = state(&session, |state| matches!(state, State::Suspect { .. })).await;
    let State::Suspect { until } = suspect else {
        panic!("{suspect:?}")
    };
    let at_last = state(&session, lost).await;

    assert_eq!(at_last, State::Lost(LostReason::Deadline));
    assert!(Instant::now() >= until);
    let there = direct.range(&Range::key("/node/a")).await.unwrap().count;
    assert_eq!(there, 1, "lost only after etcd had given the lease away");
    common::events(&mut watch).await;
}

#[tokio::test]
async fn keepalives_go_on_at_another_member_when_one_is_stopped() {
    let etcd = Etcd::cluster(3);
    let leader = etcd.leader();
    let stopped = (leader + 1) % 3;
    let mut endpoints = etcd.endpoints();
    endpoints.swap(0, stopped);
    let connection = Connection::open(Options::new(endpoints)).unwrap();
    let session = session(&connection, "/node/a", 4).await;

    etcd.stop(stopped);

    let died = tokio::time::timeout(Duration::from_secs(9), session.lost().cancelled_owned()).await;
    assert!(
        died.is_err(),
        "one stopped member of three ended the session: {:?}",
        session.state()
    );
    etcd.cont(stopped);
    session.close().await;
}

#[tokio::test]
async fn a_dropped_session_says_so() {
    let etcd = Etcd::single();
    let session = session(&connect(&etcd), "/node/a", 60).await;
    let (states, token) = (session.state(), session.lost());

    drop(session);

    assert!(token.is_cancelled());
    assert_eq!(*states.borrow(), State::Lost(LostReason::Closed));
}

#[tokio::test]
async fn what_a_lost_session_still_sends_is_refused_by_its_guard() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/a", 60).await;
    let guard = session.guard();
    session.close().await;
    let again = common::session(&connection, "/node/a", 60).await;

    let late = Txn::new().guard(guard).put("/effect", "");
    assert_eq!(refused(&connection, &late).await.lost, ["session"]);
    again.close().await;
}
