//! Nodes that are taken out of service: by an admin, and by themselves when they leave.

use std::time::Duration;

use tenure::store::{Change, Drain, DrainError, Place, txns};
use tenure::task::Which;
use tenure_cluster::{Session, SessionOptions, Txn};

use super::common::{Lab, NOW, Writes, assign, name, take};

fn drain() -> Drain {
    Drain {
        since_ms: NOW,
        reason: "a new kernel".to_owned(),
    }
}

/// A drain of node `a` as it is seen now.
async fn drained(lab: &Lab, session: i64) -> Txn {
    let basis = lab.basis(&lab.keys().drain(&name("a"))).await;
    txns::drain(lab.keys(), &name("a"), session, &drain(), basis)
}

/// An assignment to node `a` that is decided now.
async fn decided(lab: &Lab, session: i64) -> Change {
    let pack = lab.submitted(1, None).await;
    let from = lab.record(Place::Ready, pack).await;
    let mut assign = assign(from, vec![take("a", session, 1, Which::first(1))]);
    assign.rules = lab.revision_of(&lab.keys().rules()).await;
    Change::Assign(assign)
}

#[tokio::test]
async fn drain_writes_the_drain_and_the_mark_of_edits() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    let before = lab.all().await;

    lab.must(&drained(&lab, session).await).await;

    let writes = Writes::between(&before, &lab.all().await);
    let new = [lab.keys().drain(&name("a")), lab.keys().rules()];
    assert_eq!(writes, Writes::of(&new, &[], &[]));
    let kvs = lab.all().await;
    assert!(kvs.iter().all(|kv| kv.lease == 0), "it outlives its node");
}

#[tokio::test]
async fn drain_refuses_an_assignment_that_was_decided_before_it() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    let late = decided(&lab, session).await;

    lab.must(&drained(&lab, session).await).await;

    lab.refused(&late, "rules").await;
}

#[tokio::test]
async fn drain_loses_by_node_where_it_came_back_meanwhile() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    let late = drained(&lab, session).await;
    lab.kill("a").await;
    lab.refused_txn(&late, "node").await;
    lab.node("a").await;
    lab.refused_txn(&late, "node").await;
}

#[tokio::test]
async fn drain_loses_by_edited_to_another_reason() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    lab.must(&drained(&lab, session).await).await;
    let late = drained(&lab, session).await;
    lab.must(&drained(&lab, session).await).await;
    lab.refused_txn(&late, "edited").await;
}

#[tokio::test]
async fn drain_loses_by_rules_after_a_drain_and_an_undrain() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    let late = drained(&lab, session).await;
    lab.must(&drained(&lab, session).await).await;
    let modified = lab.revision_of(&lab.keys().drain(&name("a"))).await;
    lab.must(&txns::undrain(lab.keys(), &name("a"), modified))
        .await;
    // The key is as absent as it was, and a late copy must not bring it back.
    lab.refused_txn(&late, "rules").await;
}

#[tokio::test]
async fn undrain_writes_nothing_but_its_end() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    lab.must(&drained(&lab, session).await).await;
    let (before, key) = (lab.all().await, lab.keys().drain(&name("a")));
    let undrain = txns::undrain(lab.keys(), &name("a"), lab.revision_of(&key).await);

    lab.must(&undrain).await;

    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[], &[], &[key]));
}

#[tokio::test]
async fn undrain_loses_by_edited_to_a_drain_that_followed() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    let key = lab.keys().drain(&name("a"));
    lab.must(&drained(&lab, session).await).await;
    let late = txns::undrain(lab.keys(), &name("a"), lab.revision_of(&key).await);
    lab.must(&late).await;
    lab.refused_txn(&late, "edited").await;
    lab.must(&drained(&lab, session).await).await;
    lab.refused_txn(&late, "edited").await;
}

#[tokio::test]
async fn leaving_refuses_an_assignment_that_was_decided_before_it() {
    let lab = Lab::start().await;
    let key = lab.keys().node(&name("a"));
    let options = SessionOptions::new(&key, "{}", Duration::from_secs(30));
    let opened = Session::open(lab.store.connection(), options).await;
    let session = opened.expect("nobody else has the name");
    let late = decided(&lab, session.revision()).await;

    let also = vec![txns::leaving(lab.keys())];
    let said = session.publish_with(b"{}".to_vec(), session.revision(), also);
    assert!(said.await.committed().is_some());

    lab.refused(&late, "rules").await;
    session.close().await;
}

/// What is asked for twice, and of whom nobody knows.
#[tokio::test]
async fn drain_is_told_apart_from_one_that_is_there() {
    let lab = Lab::start().await;
    let a = name("a");
    let nobody = lab.store.drain(&a, "", 1).await;
    assert!(matches!(nobody, Err(DrainError::NoNode(_))), "{nobody:?}");
    let nobody = lab.store.undrain(&a).await;
    assert!(matches!(nobody, Err(DrainError::NoNode(_))), "{nobody:?}");
    lab.node("a").await;

    let undrained = lab.store.undrain(&a).await.unwrap();
    assert!(undrained.already && undrained.now.is_none());
    let first = lab.store.drain(&a, "kernel", 1).await.unwrap();
    assert!(!first.already);
    let again = lab.store.drain(&a, "", 2).await.unwrap();
    assert!(again.already && again.now == first.now, "{again:?}");
    let other = lab.store.drain(&a, "disk", 3).await.unwrap();
    let now = other.now.unwrap();
    assert_eq!((now.since_ms, &*now.reason), (1, "disk"));

    lab.kill("a").await;
    let undrained = lab.store.undrain(&a).await.unwrap();
    assert!(!undrained.already, "a name without a node is taken, too");
    assert!(lab.store.undrain(&a).await.is_err());
}

/// The node of a name hears of its own drain only.
#[tokio::test]
async fn drain_is_heard_by_its_node() {
    let lab = Lab::start().await;
    lab.node("a").await;
    lab.node("ab").await;
    lab.store.drain(&name("ab"), "", 1).await.unwrap();
    let mut heard = lab.store.drains(&name("a"));
    assert!(!heard.next().await);

    lab.store.drain(&name("a"), "", 1).await.unwrap();
    assert!(heard.next().await);
    lab.store.undrain(&name("ab")).await.unwrap();
    lab.store.undrain(&name("a")).await.unwrap();
    assert!(!heard.next().await);
}
