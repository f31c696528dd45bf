//! Sessions that are ended by evidence: what puts that on record, and what forgets it.

use std::time::Duration;

use tenure::store::{DEATHS_MAX, Death, EvidenceKind, Recorded, txns};
use tenure_cluster::{Revoked, Session, SessionOptions};

use super::common::{Lab, NOW, Writes, name};

fn death(lease: i64, by: &str) -> Death {
    Death {
        node: name("a"),
        instance: "a-1".to_owned(),
        lease,
        term: None,
        evidence: EvidenceKind::Refused,
        by: name(by),
        last_seen_ms: Some(NOW - 1),
        noticed_ms: NOW,
    }
}

async fn session(lab: &Lab) -> Session {
    let ttl = Duration::from_secs(30);
    let options = SessionOptions::new(lab.keys().node(&name("a")), "", ttl);
    let opened = Session::open(lab.store.connection(), options).await;
    opened.expect("nobody else has the name")
}

#[tokio::test]
async fn die_writes_its_record_and_leaves_the_session_to_the_revoke() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    let (before, key) = (lab.all().await, lab.keys().death(session.revision()));
    let death = death(session.lease(), "b");

    let declared = lab.store.declare_dead(session.revision(), &death).await;

    assert_eq!(declared.unwrap(), Recorded::Now);
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(std::slice::from_ref(&key), &[], &[]));
    let found = lab.store.death(session.revision()).await.unwrap();
    assert_eq!(found.as_ref(), Some(&death));
    // The record outlives the lease.
    let revoked = lab.store.end_lease(session.lease()).await.unwrap();
    assert_eq!(revoked, Revoked::Done);
    assert!(lab.store.death(session.revision()).await.unwrap().is_some());
    session.lost().cancelled().await;
}

#[tokio::test]
async fn die_loses_by_node_where_the_session_is_over() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    lab.store.end_lease(session.lease()).await.unwrap();
    // Its successor is another session.
    let next = lab.node("a").await;
    let (of, death) = (session.revision(), death(session.lease(), "b"));
    lab.refused_txn(&txns::die(lab.keys(), of, &death), "node")
        .await;
    let declared = lab.store.declare_dead(of, &death).await;
    assert_eq!(declared.unwrap(), Recorded::Over);
    assert!(lab.store.death(next).await.unwrap().is_none());
}

#[tokio::test]
async fn die_loses_by_death_to_who_was_faster() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    let of = session.revision();
    let (first, second) = (death(session.lease(), "b"), death(session.lease(), "c"));
    lab.store.declare_dead(of, &first).await.unwrap();

    lab.refused_txn(&txns::die(lab.keys(), of, &second), "death")
        .await;
    let declared = lab.store.declare_dead(of, &second).await.unwrap();

    assert_eq!(declared, Recorded::Before(Box::new(first)));
    session.close().await;
}

#[tokio::test]
async fn die_loses_by_node_also_where_the_note_outlives_its_session() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    let (of, first) = (session.revision(), death(session.lease(), "b"));
    lab.store.declare_dead(of, &first).await.unwrap();
    lab.store.end_lease(session.lease()).await.unwrap();

    let late = death(session.lease(), "c");
    let declared = lab.store.declare_dead(of, &late).await.unwrap();

    assert_eq!(declared, Recorded::Over, "nothing is left to be ended");
}

#[tokio::test]
async fn die_writes_also_where_etcd_has_no_space() {
    let etcd = tenure_embedded::Embedded::in_memory(&tenure_embedded::Options::default());
    let options = tenure_cluster::Options::in_process([("etcd".to_owned(), etcd.channel())]);
    let connection = tenure_cluster::Connection::open(options).unwrap();
    let keys = tenure::store::Keys::new(&name("c"));
    let store = tenure::store::Store::new(connection, keys);
    let options = SessionOptions::new(store.keys().node(&name("a")), "", Duration::from_secs(30));
    let session = Session::open(store.connection(), options).await.unwrap();
    etcd.raise_no_space();

    let declared = store
        .declare_dead(session.revision(), &death(session.lease(), "b"))
        .await;

    assert_eq!(declared.unwrap(), Recorded::Now);
    let revoked = store.end_lease(session.lease()).await.unwrap();
    assert_eq!(revoked, Revoked::Done);
}

#[tokio::test]
async fn forget_deaths_writes_the_oldest_gone_beyond_what_is_kept() {
    let lab = Lab::start().await;
    for session in 1..=DEATHS_MAX + 3 {
        let key = lab.keys().death(i64::try_from(session).unwrap());
        lab.must(&tenure_cluster::Txn::new().put(key, "{}")).await;
    }
    let before = lab.all().await;

    lab.store.forget_deaths().await;

    let gone: Vec<String> = (1..=3).map(|session| lab.keys().death(session)).collect();
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[], &[], &gone));
}
