//! Locks and permits of those who are no tasks: asked for, granted, released; all of it hangs on the leases of who asked.

use std::time::Duration;

use tenure::store::{Change, Grant, GuardName, Limit, Outside, Verdict, encode, txns};
use tenure::task::Gate;
use tenure_cluster::{Guard, Outcome, Range, Session, SessionOptions, Txn};

use super::common::{Lab, NOW, Writes, name, pack, submit};

const ID: u128 = 0xab;

fn lock() -> Gate {
    Gate::Lock(name("deploy"))
}

fn asked() -> Outside {
    Outside {
        weight: 1,
        holder: "somebody".to_owned(),
        since_ms: NOW - 5,
        ttl_ms: 30_000,
    }
}

/// A session of somebody who is no node.
async fn session(lab: &Lab, id: &str) -> Session {
    let key = format!("/elsewhere/{id}");
    let options = SessionOptions::new(key, Vec::new(), Duration::from_secs(30));
    let session = Session::open(lab.store.connection(), options).await;
    session.expect("a session")
}

/// Somebody asks, and what the leader would answer by the edits up to a revision.
async fn wanted(lab: &Lab, session: &Session, id: u128, rules: i64) -> Grant {
    let want = txns::want(lab.keys(), &lock(), id, &asked(), session.lease());
    lab.must(&want).await;
    Grant {
        gate: lock(),
        id,
        want: lab.seen(&lab.keys().want(&lock(), id)).await,
        lease: session.lease(),
        rules,
        now_ms: NOW,
    }
}

/// Ends a lease at once, and all that hangs on it.
async fn over(lab: &Lab, session: &Session) {
    let revoked = lab.store.connection().revoke(session.lease()).await;
    revoked.expect("etcd revokes");
}

async fn lease_of(lab: &Lab, key: &str) -> i64 {
    let page = lab.store.connection().range(&Range::key(key)).await;
    page.expect("etcd answers").kvs[0].lease
}

async fn edited(lab: &Lab) -> i64 {
    let key = lab.keys().semaphore(&name("db"));
    let value = Some(encode(&Limit { limit: 3 }));
    let basis = lab.basis(&key).await;
    lab.must(&txns::edit(lab.keys(), &key, value, basis)).await
}

#[tokio::test]
async fn want_writes_the_request_on_its_lease() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let before = lab.all().await;
    let want = txns::want(lab.keys(), &lock(), ID, &asked(), who.lease());
    lab.must(&want).await;
    let key = lab.keys().want(&lock(), ID);
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(std::slice::from_ref(&key), &[], &[]));
    assert_eq!(lease_of(&lab, &key).await, who.lease());

    over(&lab, &who).await;
    assert_eq!(lab.all().await, before, "it goes with who waits");
}

#[tokio::test]
async fn want_loses_by_want_to_its_own_copy() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let want = txns::want(lab.keys(), &lock(), ID, &asked(), who.lease());
    lab.must(&want).await;
    lab.refused_txn(&want, "want").await;
}

#[tokio::test]
async fn want_loses_by_hold_where_it_was_granted_meanwhile() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = wanted(&lab, &who, ID, 0).await;
    lab.done(&Change::Grant(grant)).await;
    let copy = txns::want(lab.keys(), &lock(), ID, &asked(), who.lease());
    lab.refused_txn(&copy, "hold").await;
}

/// Who released gives the lease back; where that fails, a late copy waits as nobody until the lease is over.
#[tokio::test]
async fn want_writes_a_request_of_nobody_where_a_copy_comes_after_the_release_and_the_lease_lives()
{
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = Change::Grant(wanted(&lab, &who, ID, 0).await);
    let fence = lab.done(&grant).await;
    lab.must(&txns::release(lab.keys(), &lock(), ID, fence))
        .await;
    let before = lab.all().await;
    let copy = txns::want(lab.keys(), &lock(), ID, &asked(), who.lease());

    lab.must(&copy).await;

    let key = lab.keys().want(&lock(), ID);
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(std::slice::from_ref(&key), &[], &[]));
    assert_eq!(lease_of(&lab, &key).await, who.lease());
    over(&lab, &who).await;
    assert_eq!(lab.all().await, before, "it goes with the lease");
    let outcome = lab.store.connection().commit(&copy).await;
    assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");
    assert_eq!(lab.all().await, before, "and none comes after that");
}

#[tokio::test]
async fn grant_writes_the_hold_on_the_same_lease() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = wanted(&lab, &who, ID, 0).await;

    let writes = lab.writes(&Change::Grant(grant)).await;

    let (want, hold) = (lab.keys().want(&lock(), ID), lab.keys().hold(&lock(), ID));
    let new = std::slice::from_ref(&hold);
    assert_eq!(writes, Writes::of(new, &[], &[want]));
    let now = lab.seen::<Outside>(&hold).await.value;
    assert_eq!((now.since_ms, now.holder), (NOW, asked().holder));
    assert_eq!(lease_of(&lab, &hold).await, who.lease());
    over(&lab, &who).await;
    assert!(lab.find::<Outside>(&hold).await.is_none());
}

#[tokio::test]
async fn grant_loses_by_want_where_it_gave_up() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = wanted(&lab, &who, ID, 0).await;
    let want = lab.keys().want(&lock(), ID);
    lab.must(&Txn::new().delete(want)).await;
    lab.refused(&Change::Grant(grant), "want").await;
}

#[tokio::test]
async fn grant_loses_by_want_to_its_own_copy() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = Change::Grant(wanted(&lab, &who, ID, 0).await);
    let revision = lab.done(&grant).await;
    lab.refused(&grant, "want").await;

    // Also where it was released since: a copy gives nothing anew.
    lab.must(&txns::release(lab.keys(), &lock(), ID, revision))
        .await;
    lab.refused(&grant, "want").await;
}

#[tokio::test]
async fn grant_loses_by_want_of_an_older_request_of_this_name() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let old = Change::Grant(wanted(&lab, &who, ID, 0).await);
    let want = lab.keys().want(&lock(), ID);
    lab.must(&Txn::new().delete(want)).await;
    wanted(&lab, &who, ID, 0).await;
    lab.refused(&old, "want").await;
}

#[tokio::test]
async fn grant_loses_by_rules_where_a_limit_was_edited() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = wanted(&lab, &who, ID, 0).await;
    let rules = edited(&lab).await;
    lab.refused(&Change::Grant(grant.clone()), "rules").await;
    lab.done(&Change::Grant(Grant { rules, ..grant })).await;
}

/// etcd fails a whole transaction that puts a key on a lease that is gone, whatever else is in it.
#[tokio::test]
async fn a_put_on_a_lease_that_is_gone_fails_all_that_is_beside_it() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    over(&lab, &who).await;
    let before = lab.all().await;
    let leased = Txn::new().put_leased(lab.keys().hold(&lock(), ID), "x", who.lease());
    let other = Txn::new().put(lab.keys().rules(), "x");

    let sent = Txn::new().nest(other).nest(leased);
    let outcome = lab.store.connection().commit(&sent).await;

    assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");
    assert_eq!(lab.all().await, before);
}

#[tokio::test]
async fn grant_loses_by_want_where_its_lease_is_over_and_fails_no_neighbour() {
    let lab = Lab::start().await;
    let (gone, stays) = (session(&lab, "gone").await, session(&lab, "stays").await);
    let late = Change::Grant(wanted(&lab, &gone, ID, 0).await);
    let well = Change::Grant(wanted(&lab, &stays, ID + 1, 0).await);
    let pack_id = tenure::task::PackId::new(NOW, 5 << 60);
    let beside = Change::Submit(submit(pack_id, pack(1, None), &[]));
    over(&lab, &gone).await;
    lab.refused(&late, "want").await;

    let verdicts = lab.store.commit_batch(None, &[beside, late, well]).await;

    assert!(
        matches!(
            &verdicts[..],
            [
                Verdict::Committed { .. },
                Verdict::Refused { lost, .. },
                Verdict::Committed { .. },
            ] if *lost == [GuardName::Want]
        ),
        "{verdicts:?}"
    );
    let hold = |id| lab.keys().hold(&lock(), id);
    assert!(lab.find::<Outside>(&hold(ID)).await.is_none());
    assert!(lab.find::<Outside>(&hold(ID + 1)).await.is_some());
}

#[tokio::test]
async fn grant_under_a_leaders_fence_fails_no_neighbour_either() {
    let lab = Lab::start().await;
    let (_leader, term) = lab.lead().await;
    let (gone, stays) = (session(&lab, "gone").await, session(&lab, "stays").await);
    let late = Change::Grant(wanted(&lab, &gone, ID, 0).await);
    let well = Change::Grant(wanted(&lab, &stays, ID + 1, 0).await);
    over(&lab, &gone).await;

    let fence: Guard = term.guard();
    let verdicts = lab.store.commit_batch(Some(&fence), &[late, well]).await;

    assert!(
        matches!(
            &verdicts[..],
            [Verdict::Refused { lost, .. }, Verdict::Committed { .. }] if *lost == [GuardName::Want]
        ),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn release_writes_the_hold_gone() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = Change::Grant(wanted(&lab, &who, ID, 0).await);
    let fence = lab.done(&grant).await;
    let before = lab.all().await;
    lab.must(&txns::release(lab.keys(), &lock(), ID, fence))
        .await;
    let hold = lab.keys().hold(&lock(), ID);
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[], &[], &[hold]));
}

#[tokio::test]
async fn release_loses_by_hold_where_it_is_over() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let grant = Change::Grant(wanted(&lab, &who, ID, 0).await);
    let fence = lab.done(&grant).await;
    over(&lab, &who).await;
    let release = txns::release(lab.keys(), &lock(), ID, fence);
    lab.refused_txn(&release, "hold").await;
}

#[tokio::test]
async fn release_loses_by_hold_where_the_hold_of_this_name_is_a_newer_one() {
    let lab = Lab::start().await;
    let who = session(&lab, "w").await;
    let first = Change::Grant(wanted(&lab, &who, ID, 0).await);
    let fence = lab.done(&first).await;
    let release = txns::release(lab.keys(), &lock(), ID, fence);
    lab.must(&release).await;
    let again = Change::Grant(wanted(&lab, &who, ID, 0).await);
    assert!(lab.done(&again).await > fence, "fences rise");
    lab.refused_txn(&release, "hold").await;
}
