//! What accepts work: the first horizon, lanes, submits.

use std::sync::Arc;

use tenure::store::{
    Change, Idem, IdemKey, Lane, NewTask, Place, Raise, RecordId, Submit, decode, line, txns,
};
use tenure::task::{Pack, PackId, State};
use tenure_cluster::Answer;

use super::common::{Lab, NOW, Writes, pack, routing, submit};

fn id() -> PackId {
    PackId::new(NOW, 1 << 60)
}

#[tokio::test]
async fn initialise_writes_the_lowest_horizon() {
    let lab = Lab::bare();
    let before = lab.all().await;
    lab.must(&txns::initialise(lab.keys())).await;
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[lab.keys().horizon()], &[], &[]));
    lab.done(&Change::Submit(submit(
        PackId::new(1, 0),
        pack(1, None),
        &[],
    )))
    .await;
}

#[tokio::test]
async fn initialise_loses_by_horizon_where_it_was_done_before() {
    let lab = Lab::start().await;
    let horizon = PackId::floor(NOW);
    lab.done(&Change::Raise(Raise { horizon })).await;
    lab.refused_txn(&txns::initialise(lab.keys()), "horizon")
        .await;
}

#[tokio::test]
async fn lane_writes_its_mark() {
    let lab = Lab::start().await;
    let lane = Lane::of(&routing());
    let before = lab.all().await;
    lab.must(&txns::lane(lab.keys(), &lane)).await;
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&[lab.keys().lane(&lane)], &[], &[]));
}

#[tokio::test]
async fn lane_loses_by_lane_where_it_is_marked() {
    let lab = Lab::start().await;
    let txn = txns::lane(lab.keys(), &Lane::of(&routing()));
    lab.must(&txn).await;
    lab.refused_txn(&txn, "lane").await;
}

#[tokio::test]
async fn submit_writes_packs_records_and_idempotency_keys() {
    let lab = Lab::start().await;
    let keys = lab.keys().clone();
    let mut change = submit(id(), pack(3, None), &["one", "two"]);
    let later = PackId::new(NOW, 2 << 60);
    change
        .packs
        .push((later, Arc::new(pack(1, Some(NOW + 5_000)))));

    let writes = lab.writes(&Change::Submit(change)).await;

    let record = |place, id| keys.record(place, &routing(), &RecordId::submitted(id));
    let new = [
        keys.pack(id()),
        keys.pack(later),
        record(Place::Ready, id()),
        record(Place::Due(NOW + 5_000), later),
        keys.idem("one"),
        keys.idem("two"),
    ];
    assert_eq!(writes, Writes::of(&new, &[], &[]));
    assert_eq!(lab.state(id().task(2)).await, State::Pending);
    assert_eq!(lab.state(later.task(0)).await, State::Scheduled);
}

#[tokio::test]
async fn submit_loses_by_pack_where_an_earlier_copy_was_committed() {
    let lab = Lab::start().await;
    let change = Change::Submit(submit(id(), pack(2, None), &[]));
    lab.done(&change).await;
    let reads = lab.refused(&change, "pack").await;
    let Answer::Kvs(kvs) = &reads[0] else {
        panic!("{reads:?}")
    };
    assert_eq!(kvs[0].key, lab.keys().pack(id()));
}

#[tokio::test]
async fn submit_loses_by_idem_and_reads_who_holds_the_key() {
    let lab = Lab::start().await;
    let holder = PackId::new(NOW - 1, 3 << 60);
    let first = submit(holder, pack(1, None), &["k"]);
    lab.done(&Change::Submit(first)).await;

    let second = submit(id(), pack(1, None), &["free", "k"]);
    let reads = lab.refused(&Change::Submit(second), "idem").await;

    let held = reads.iter().flat_map(|answer| match answer {
        Answer::Kvs(kvs) => kvs.as_slice(),
        Answer::Put | Answer::Deleted(_) | Answer::Nested(_) => &[],
    });
    let held: Vec<Idem> = held.map(|kv| decode(&kv.key, &kv.value).unwrap()).collect();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].tasks, [holder.task(0)]);
}

#[tokio::test]
async fn submit_loses_by_horizon_where_it_is_above_the_oldest_pack() {
    let lab = Lab::start().await;
    let horizon = PackId::floor(NOW);
    lab.done(&Change::Raise(Raise { horizon })).await;
    let mut change = submit(id(), pack(1, None), &[]);
    let old = PackId::new(NOW - 1, 4 << 60);
    change.packs.push((old, Arc::new(pack(1, None))));
    lab.refused(&Change::Submit(change), "horizon").await;
}

#[tokio::test]
async fn submit_loses_by_horizon_where_there_is_none() {
    let lab = Lab::bare();
    let change = submit(id(), pack(1, None), &[]);
    lab.refused(&Change::Submit(change), "horizon").await;
}

fn new_task() -> NewTask {
    let Pack {
        routing,
        policy,
        mut tasks,
        ..
    } = pack(1, None);
    NewTask {
        routing,
        policy,
        run_at_ms: None,
        spec: tasks.remove(&0).expect("a pack of one"),
    }
}

#[tokio::test]
async fn submit_answers_each_of_a_pack_by_its_own_idempotency_key() {
    let lab = Lab::start().await;
    let holder = PackId::new(NOW - 1, 3 << 60);
    let first = submit(holder, pack(1, None), &["a/idem/b"]);
    lab.done(&Change::Submit(first)).await;
    let (submitter, coalescer) = line(&lab.store);
    let one = |key: &str| {
        let digest = "d".to_owned();
        let key = key.to_owned();
        submitter.one(new_task(), Some(IdemKey { key, digest }), NOW)
    };

    // Both are in line before the coalescer looks, and so travel in one pack.
    let (taken, free) = tokio::select! {
        biased;
        both = async { tokio::join!(one("a/idem/b"), one("b")) } => both,
        () = coalescer.run() => panic!("it runs until every submitter is gone"),
    };

    let (taken, free) = (taken.unwrap(), free.unwrap());
    assert_eq!((taken.tasks[0], taken.repeated), (holder.task(0), true));
    assert!(!free.repeated, "answered with another key's entry");
    assert_eq!(lab.state(free.tasks[0]).await, State::Pending);
}

/// 60 packs are 120 puts: more than one nested list, so that the guards are of the list around them.
fn long() -> Submit {
    let mut all = submit(id(), pack(1, None), &["k"]);
    all.packs = (1..=60)
        .map(|n| (PackId::new(NOW, n << 60), Arc::new(pack(1, None))))
        .collect();
    all
}

#[tokio::test]
async fn submit_of_more_than_one_list_is_accepted_whole() {
    let lab = Lab::start().await;
    let writes = lab.writes(&Change::Submit(long())).await;
    assert_eq!((writes.new.len(), writes.gone.len()), (121, 0));
}

#[tokio::test]
async fn submit_loses_by_idem_whole_where_it_is_more_than_one_list() {
    let lab = Lab::start().await;
    let holder = PackId::new(NOW - 1, 3 << 60);
    let first = submit(holder, pack(1, None), &["k"]);
    lab.done(&Change::Submit(first)).await;
    lab.refused(&Change::Submit(long()), "idem").await;
}
