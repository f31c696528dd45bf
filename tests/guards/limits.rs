//! What limits do to ready work: moves between lanes, empty lanes, edits of limits and rules.

use std::sync::Arc;

use tenure::store::{
    Act, Basis, Change, DropLane, GuardName, Lane, Limit, Park, Place, QueueRules, Record,
    RecordId, Run, Verdict, Waiting, batches, encode, txns,
};
use tenure::task::{Gate, Needs, PackId, Permit, Routing, State, Which};

use super::common::{Lab, NOW, Writes, assign, claim_id, name, pack, routing, submit, take};

fn permit(semaphore: &str) -> Permit {
    Permit {
        semaphore: name(semaphore),
        weight: 1,
    }
}

/// Asks for the semaphore `db` and the lock `x`.
fn both() -> Needs {
    Needs {
        permits: vec![permit("db")],
        locks: vec![name("x")],
        ..Needs::default()
    }
}

/// Where what asks for [`both`] waits for the lock: locks come first among its gates.
const BEHIND_LOCK: Place = Place::Parked(0);

fn routed(needs: Needs) -> Routing {
    Routing {
        needs: Some(Arc::new(needs)),
        ..routing()
    }
}

/// The lane under the lock.
fn locked() -> Lane {
    Lane::at(&routed(both()), BEHIND_LOCK)
}

/// A ready record of so many tasks that ask for [`both`], in its own lane.
async fn ready(lab: &Lab, nth: u128, tasks: usize) -> Waiting {
    let id = PackId::new(NOW, nth << 60);
    let mut pack = pack(tasks, None);
    pack.routing = routed(both());
    lab.done(&Change::Submit(submit(id, pack, &[]))).await;
    at(lab, Place::Ready, id).await
}

async fn at(lab: &Lab, place: Place, pack: PackId) -> Waiting {
    let id = RecordId::submitted(pack);
    let key = lab.keys().record(place, &routed(both()), &id);
    Waiting {
        id,
        place,
        seen: lab.seen::<Record>(&key).await,
        now_ms: NOW,
    }
}

fn key(lab: &Lab, waiting: &Waiting) -> String {
    lab.keys()
        .record(waiting.place, waiting.routing(), &waiting.id)
}

fn parked(from: &Waiting) -> Change {
    Change::Park(Park {
        from: from.clone(),
        to: BEHIND_LOCK,
        mark: true,
    })
}

fn home(from: &Waiting) -> Change {
    Change::Park(Park {
        from: from.clone(),
        to: Place::Ready,
        mark: true,
    })
}

async fn dropped(lab: &Lab) -> Change {
    let lane = locked();
    let modified = lab.revision_of(&lab.keys().lane(&lane)).await;
    Change::DropLane(DropLane { lane, modified })
}

async fn cancelled(lab: &Lab, from: &Waiting) {
    let act = Act {
        act: 1,
        from: from.clone(),
        which: from.seen.value.which,
    };
    lab.done(&Change::Cancel(act)).await;
}

async fn limited(lab: &Lab, limit: u32) -> i64 {
    let key = lab.keys().semaphore(&name("db"));
    let basis = lab.basis(&key).await;
    let value = Some(encode(&Limit { limit }));
    lab.must(&txns::edit(lab.keys(), &key, value, basis)).await
}

/// Node `a` takes one task of a record, decided by the edits up to a revision.
async fn taken(lab: &Lab, from: &Waiting, number: u64, rules: i64) -> Change {
    let session = lab.revision_of(&lab.keys().node(&name("a"))).await;
    let takes = vec![take("a", session, number, Which::only(0))];
    let mut assign = assign(from.clone(), takes);
    assign.rules = rules;
    Change::Assign(assign)
}

fn committed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Committed { .. })
}

#[tokio::test]
async fn park_writes_the_record_in_the_other_lane_with_its_mark() {
    let lab = Lab::start().await;
    let from = ready(&lab, 1, 2).await;

    let writes = lab.writes(&parked(&from)).await;

    let there = at(&lab, BEHIND_LOCK, from.id.pack).await;
    let new = [key(&lab, &there), lab.keys().lane(&locked())];
    assert_eq!(writes, Writes::of(&new, &[], &[key(&lab, &from)]));
    assert_eq!(encode(&there.seen.value), encode(&from.seen.value));
    let task = from.id.pack.task(1);
    assert_eq!(lab.state(task).await, State::Pending);
}

#[tokio::test]
async fn park_writes_the_mark_again_for_each_record_and_none_for_its_own_lane() {
    let lab = Lab::start().await;
    let (one, two) = (ready(&lab, 1, 1).await, ready(&lab, 2, 1).await);
    lab.done(&parked(&one)).await;
    let mark = lab.keys().lane(&locked());
    let writes = lab.writes(&parked(&two)).await;
    assert!(writes.again.contains(&mark), "{writes:?}");

    let there = at(&lab, BEHIND_LOCK, one.id.pack).await;
    let writes = lab.writes(&home(&there)).await;

    let expected = Writes::of(&[key(&lab, &one)], &[], &[key(&lab, &there)]);
    assert_eq!(writes, expected);
}

#[tokio::test]
async fn park_loses_by_ready_where_it_was_cancelled() {
    let lab = Lab::start().await;
    let from = ready(&lab, 1, 1).await;
    cancelled(&lab, &from).await;
    lab.refused(&parked(&from), "ready").await;
}

#[tokio::test]
async fn park_loses_by_ready_where_a_part_of_it_was_assigned() {
    let lab = Lab::start().await;
    lab.node("a").await;
    let from = ready(&lab, 1, 2).await;
    lab.done(&taken(&lab, &from, 1, 0).await).await;

    lab.refused(&parked(&from), "ready").await;

    let rest = at(&lab, Place::Ready, from.id.pack).await;
    assert_eq!(rest.seen.value.which, Which::only(1));
}

#[tokio::test]
async fn park_loses_by_ready_to_its_own_copy() {
    let lab = Lab::start().await;
    let from = ready(&lab, 1, 1).await;
    lab.done(&parked(&from)).await;
    lab.refused(&parked(&from), "ready").await;
}

#[tokio::test]
async fn park_loses_by_ready_also_after_the_record_came_back() {
    let lab = Lab::start().await;
    let from = ready(&lab, 1, 1).await;
    lab.done(&parked(&from)).await;
    lab.done(&home(&at(&lab, BEHIND_LOCK, from.id.pack).await))
        .await;
    lab.refused(&parked(&from), "ready").await;
}

#[tokio::test]
async fn assign_loses_by_ready_to_a_park_and_starts_from_where_it_waits() {
    let lab = Lab::start().await;
    lab.node("a").await;
    let from = ready(&lab, 1, 1).await;
    let old = taken(&lab, &from, 1, 0).await;
    lab.done(&parked(&from)).await;

    lab.refused(&old, "ready").await;

    let there = at(&lab, BEHIND_LOCK, from.id.pack).await;
    let new = taken(&lab, &there, 2, 0).await;
    let writes = lab.writes(&new).await;
    let run = lab.keys().run(&name("a"), claim_id(2));
    let expected = Writes::of(std::slice::from_ref(&run), &[], &[key(&lab, &there)]);
    assert_eq!(writes, expected);
    let claim = lab.seen::<Run>(&run).await.value;
    let gates: Vec<Gate> = claim.routing.gates().map(|(gate, _)| gate).collect();
    let expected = [Gate::Lock(name("x")), Gate::Semaphore(name("db"))];
    assert_eq!(gates, expected, "the claim is the hold");
}

#[tokio::test]
async fn cancel_finds_a_parked_record_and_ends_it() {
    let lab = Lab::start().await;
    let from = ready(&lab, 1, 1).await;
    lab.done(&parked(&from)).await;
    cancelled(&lab, &at(&lab, BEHIND_LOCK, from.id.pack).await).await;
    let task = from.id.pack.task(0);
    assert_eq!(lab.state(task).await, State::Cancelled);
}

#[tokio::test]
async fn drop_lane_writes_the_mark_gone() {
    let lab = Lab::start().await;
    let from = ready(&lab, 1, 1).await;
    lab.done(&parked(&from)).await;
    cancelled(&lab, &at(&lab, BEHIND_LOCK, from.id.pack).await).await;
    let empty = dropped(&lab).await;
    let writes = lab.writes(&empty).await;
    let mark = lab.keys().lane(&locked());
    assert_eq!(writes, Writes::of(&[], &[], &[mark]));
}

#[tokio::test]
async fn drop_lane_loses_by_lane_where_something_was_parked_since() {
    let lab = Lab::start().await;
    let (one, two) = (ready(&lab, 1, 1).await, ready(&lab, 2, 1).await);
    lab.done(&parked(&one)).await;
    cancelled(&lab, &at(&lab, BEHIND_LOCK, one.id.pack).await).await;
    let empty = dropped(&lab).await;
    lab.done(&parked(&two)).await;
    lab.refused(&empty, "lane").await;
}

#[tokio::test]
async fn drop_lane_loses_by_lane_to_its_own_copy_and_a_late_one_takes_no_newer_mark() {
    let lab = Lab::start().await;
    let (one, two) = (ready(&lab, 1, 1).await, ready(&lab, 2, 1).await);
    lab.done(&parked(&one)).await;
    cancelled(&lab, &at(&lab, BEHIND_LOCK, one.id.pack).await).await;
    let empty = dropped(&lab).await;
    lab.done(&empty).await;
    lab.refused(&empty, "lane").await;

    let writes = lab.writes(&parked(&two)).await;
    assert!(writes.new.contains(&lab.keys().lane(&locked())));
    lab.refused(&empty, "lane").await;
}

#[tokio::test]
async fn drop_lane_and_park_of_one_lane_are_never_in_one_batch() {
    let lab = Lab::start().await;
    let (one, two) = (ready(&lab, 1, 1).await, ready(&lab, 2, 1).await);
    lab.done(&parked(&one)).await;
    let empty = dropped(&lab).await;
    for changes in [
        vec![parked(&two), empty.clone()],
        vec![empty.clone(), parked(&two)],
    ] {
        let apart = batches(lab.keys(), changes);
        assert_eq!(apart.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }
}

#[tokio::test]
async fn assign_loses_by_rules_where_a_limit_was_edited() {
    let lab = Lab::start().await;
    lab.node("a").await;
    let from = ready(&lab, 1, 1).await;
    let before_any = taken(&lab, &from, 1, 0).await;
    let first = limited(&lab, 3).await;
    lab.refused(&before_any, "rules").await;
    let before_second = taken(&lab, &from, 2, first).await;
    let second = limited(&lab, 2).await;
    lab.refused(&before_second, "rules").await;
    lab.done(&taken(&lab, &from, 3, second).await).await;
}

#[tokio::test]
async fn assign_loses_by_rules_also_where_the_edit_was_of_another_queue_or_took_a_limit_away() {
    let lab = Lab::start().await;
    lab.node("a").await;
    let from = ready(&lab, 1, 1).await;
    let rules = limited(&lab, 3).await;

    let old = taken(&lab, &from, 1, rules).await;
    let key = lab.keys().queue(&name("other"));
    let value = Some(encode(&QueueRules::default()));
    let basis = lab.basis(&key).await;
    let rules = lab.must(&txns::edit(lab.keys(), &key, value, basis)).await;
    lab.refused(&old, "rules").await;

    let old = taken(&lab, &from, 1, rules).await;
    let key = lab.keys().semaphore(&name("db"));
    let basis = lab.basis(&key).await;
    lab.must(&txns::edit(lab.keys(), &key, None, basis)).await;
    lab.refused(&old, "rules").await;
}

#[tokio::test]
async fn assign_that_loses_by_rules_fails_alone() {
    let lab = Lab::start().await;
    lab.node("a").await;
    let (one, two) = (ready(&lab, 1, 1).await, ready(&lab, 2, 1).await);
    limited(&lab, 3).await;

    let changes = [taken(&lab, &one, 1, 0).await, parked(&two)];
    let verdicts = lab.store.commit_batch(None, &changes).await;

    assert!(
        matches!(
            &verdicts[..],
            [Verdict::Refused { lost, .. }, Verdict::Committed { .. }] if *lost == [GuardName::Rules]
        ),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn assign_of_two_records_by_one_view_holds_together() {
    let lab = Lab::start().await;
    lab.node("a").await;
    let (one, two) = (ready(&lab, 1, 1).await, ready(&lab, 2, 1).await);
    let rules = limited(&lab, 3).await;
    let changes = [
        taken(&lab, &one, 1, rules).await,
        taken(&lab, &two, 2, rules).await,
    ];
    let verdicts = lab.store.commit_batch(None, &changes).await;
    assert!(verdicts.iter().all(committed), "{verdicts:?}");
}

#[tokio::test]
async fn edit_writes_the_limit_and_the_mark_of_edits() {
    let lab = Lab::start().await;
    let key = lab.keys().semaphore(&name("db"));
    let rules = lab.keys().rules();
    let both = [key.clone(), rules.clone()];
    for (value, expected) in [
        (Some(3), Writes::of(&both, &[], &[])),
        (Some(2), Writes::of(&[], &both, &[])),
        (None, Writes::of(&[], &[rules], std::slice::from_ref(&key))),
    ] {
        let basis = lab.basis(&key).await;
        let before = lab.all().await;
        let value = value.map(|limit| encode(&Limit { limit }));
        lab.must(&txns::edit(lab.keys(), &key, value, basis)).await;
        assert_eq!(Writes::between(&before, &lab.all().await), expected);
    }
}

#[tokio::test]
async fn edit_loses_by_edited_where_somebody_else_edited_it() {
    let lab = Lab::start().await;
    let key = lab.keys().semaphore(&name("db"));
    let two = || Some(encode(&Limit { limit: 2 }));
    limited(&lab, 3).await;
    let seen = lab.basis(&key).await;
    let none = Basis {
        modified: 0,
        ..seen
    };
    lab.refused_txn(&txns::edit(lab.keys(), &key, two(), none), "edited")
        .await;
    limited(&lab, 4).await;
    for value in [two(), None] {
        let late = txns::edit(lab.keys(), &key, value, seen);
        lab.refused_txn(&late, "edited").await;
    }
}

#[tokio::test]
async fn edit_loses_by_edited_where_it_was_taken_away_and_to_its_own_copy() {
    let lab = Lab::start().await;
    let key = lab.keys().semaphore(&name("db"));
    limited(&lab, 3).await;
    let seen = lab.basis(&key).await;
    let change = txns::edit(lab.keys(), &key, Some(encode(&Limit { limit: 2 })), seen);
    lab.must(&change).await;
    lab.refused_txn(&change, "edited").await;
    let seen = lab.basis(&key).await;
    let take = txns::edit(lab.keys(), &key, None, seen);
    lab.must(&take).await;
    lab.refused_txn(&take, "edited").await;
}

#[tokio::test]
async fn edit_loses_by_rules_where_its_late_copy_would_bring_back_what_was_taken_away() {
    let lab = Lab::start().await;
    let key = lab.keys().semaphore(&name("db"));
    // The first edit of all, and one after others.
    for _ in 0..2 {
        let none = lab.basis(&key).await;
        let declare = txns::edit(lab.keys(), &key, Some(encode(&Limit { limit: 3 })), none);
        lab.must(&declare).await;
        let seen = lab.basis(&key).await;
        lab.must(&txns::edit(lab.keys(), &key, None, seen)).await;
        lab.refused_txn(&declare, "rules").await;
    }
}

#[tokio::test]
async fn edit_loses_by_rules_where_there_was_none_and_another_was_edited() {
    let lab = Lab::start().await;
    let key = lab.keys().queue(&name("q"));
    let seen = lab.basis(&key).await;
    limited(&lab, 3).await;
    let value = Some(encode(&QueueRules::default()));
    let late = txns::edit(lab.keys(), &key, value, seen);
    lab.refused_txn(&late, "rules").await;
}
