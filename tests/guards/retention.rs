//! What forgets ended packs: raise, collect, unmark, postpone; and the clocks it goes by.

use tenure::store::{Change, Collect, Place, Postpone, Raise, RecordId, txns};
use tenure::task::{Outcome, PackId, Which};
use tenure_cluster::{Session, SessionOptions, Txn};

use super::common::{Lab, NOW, Writes, assign, name, pack, submit, take};

/// A pack of one, submitted with an idempotency key, that succeeded; its mark as it is seen.
async fn ended(lab: &Lab) -> Collect {
    let id = PackId::new(NOW, 5 << 60);
    let session = lab.node("a").await;
    lab.done(&Change::Submit(submit(id, pack(1, None), &["k"])))
        .await;
    let from = lab.waiting(Place::Ready, RecordId::submitted(id)).await;
    let takes = vec![take("a", session, 1, Which::only(0))];
    lab.done(&Change::Assign(assign(from, takes))).await;
    let report = lab
        .claim("a", 1)
        .await
        .report(&[(Outcome::Succeeded, Which::only(0))]);
    let modified = lab.done(&Change::Report(report)).await;
    Collect {
        mark: lab.keys().gc(NOW, id),
        modified,
        pack: id,
        idem: vec!["k".to_owned()],
    }
}

fn above(pack: PackId) -> Change {
    let horizon = PackId::floor(pack.unix_ms() + 1);
    Change::Raise(Raise { horizon })
}

/// The mark anew, as a later outcome of the pack puts it.
async fn marked_again(lab: &Lab, mark: &Collect) {
    lab.must(&Txn::new().put(&mark.mark, Vec::new())).await;
}

#[tokio::test]
async fn raise_writes_the_horizon() {
    let lab = Lab::start().await;
    let writes = lab.writes(&above(PackId::floor(NOW))).await;
    assert_eq!(writes, Writes::of(&[], &[lab.keys().horizon()], &[]));
}

#[tokio::test]
async fn raise_loses_by_horizon_where_it_was_raised_as_high() {
    let lab = Lab::start().await;
    lab.done(&above(PackId::floor(NOW))).await;
    lab.refused(&above(PackId::floor(NOW)), "horizon").await;
    lab.refused(&above(PackId::floor(NOW - 1)), "horizon").await;
}

#[tokio::test]
async fn collect_writes_everything_of_the_pack_gone() {
    let lab = Lab::start().await;
    let done = ended(&lab).await;
    let neighbour = PackId::new(NOW, 6 << 60);
    lab.done(&Change::Submit(submit(
        neighbour,
        pack(1, None),
        &["other"],
    )))
    .await;
    lab.done(&above(done.pack)).await;

    let writes = lab.writes(&Change::Collect(done.clone())).await;

    let keys = lab.keys();
    let gone = [
        keys.pack(done.pack),
        keys.idem("k"),
        keys.result(done.pack, super::common::claim_id(1).into(), 0),
        done.mark,
    ];
    assert_eq!(writes, Writes::of(&[], &[], &gone));
}

#[tokio::test]
async fn collect_loses_by_horizon_where_it_is_not_above_the_pack() {
    let lab = Lab::start().await;
    let done = ended(&lab).await;
    let horizon = done.pack;
    lab.done(&Change::Raise(Raise { horizon })).await;
    lab.refused(&Change::Collect(done), "horizon").await;
}

#[tokio::test]
async fn collect_loses_by_gc_where_another_mark_was_put() {
    let lab = Lab::start().await;
    let done = ended(&lab).await;
    lab.done(&above(done.pack)).await;
    marked_again(&lab, &done).await;
    lab.refused(&Change::Collect(done), "gc").await;
}

#[tokio::test]
async fn unmark_writes_the_mark_gone() {
    let lab = Lab::start().await;
    let done = ended(&lab).await;
    let writes = lab.writes(&Change::Unmark(done.clone())).await;
    assert_eq!(writes, Writes::of(&[], &[], &[done.mark]));
}

#[tokio::test]
async fn unmark_loses_by_gc_where_it_was_put_anew() {
    let lab = Lab::start().await;
    let done = ended(&lab).await;
    marked_again(&lab, &done).await;
    lab.refused(&Change::Unmark(done), "gc").await;
}

fn postponed(mark: Collect) -> Change {
    let ended_ms = NOW + 3_600_000;
    Change::Postpone(Postpone { mark, ended_ms })
}

#[tokio::test]
async fn postpone_writes_the_mark_among_those_of_a_later_minute() {
    let lab = Lab::start().await;
    let done = ended(&lab).await;
    let writes = lab.writes(&postponed(done.clone())).await;
    let later = lab.keys().gc(NOW + 3_600_000, done.pack);
    assert_eq!(writes, Writes::of(&[later], &[], &[done.mark]));
}

#[tokio::test]
async fn postpone_loses_by_gc_where_it_was_put_anew() {
    let lab = Lab::start().await;
    let done = ended(&lab).await;
    marked_again(&lab, &done).await;
    lab.refused(&postponed(done), "gc").await;
}

/// A session of node `a`, as nodes open theirs.
async fn session(lab: &Lab) -> Session {
    let ttl = std::time::Duration::from_mins(1);
    let options = SessionOptions::new(lab.keys().node(&name("a")), "", ttl);
    let opened = Session::open(lab.store.connection(), options).await;
    opened.expect("nobody else has the name")
}

#[tokio::test]
async fn clock_writes_what_the_nodes_clock_says() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    let before = lab.all().await;
    lab.must(&txns::clock(lab.keys(), &name("a"), &session, NOW))
        .await;
    let (key, after) = (lab.keys().clock(&name("a")), lab.all().await);
    let writes = Writes::between(&before, &after);
    assert_eq!(writes, Writes::of(std::slice::from_ref(&key), &[], &[]));
    let told = after.iter().find(|kv| kv.key == key).unwrap();
    let said = (&told.value[..], told.lease);
    assert_eq!(said, (NOW.to_string().as_bytes(), session.lease()));
}

#[tokio::test]
async fn clock_loses_by_node_where_its_session_is_over() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    lab.kill("a").await;
    let clock = txns::clock(lab.keys(), &name("a"), &session, NOW);
    lab.refused_txn(&clock, "node").await;
}
