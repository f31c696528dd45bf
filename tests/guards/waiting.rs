//! What moves records that wait: promote, assign, touch, cancel, revive.

use tenure::store::{Act, Change, Origin, Outcomes, Place, Record, RecordId, Run, Waiting};
use tenure::task::{Outcome, State, Which};

use super::common::{Lab, NOW, Writes, assign, claim_id, name, routing, take};

const ACT: u128 = 0xac7;

fn act(from: &Waiting, which: Which) -> Act {
    Act {
        act: ACT,
        from: from.clone(),
        which,
    }
}

fn key(lab: &Lab, waiting: &Waiting) -> String {
    lab.keys().record(waiting.place, &routing(), &waiting.id)
}

fn act_result(lab: &Lab, waiting: &Waiting) -> String {
    lab.keys().result(waiting.id.pack, Origin::Act(ACT), 0)
}

#[tokio::test]
async fn promote_writes_the_record_among_the_ready_ones() {
    let lab = Lab::start().await;
    let pack = lab.submitted(2, Some(NOW)).await;
    let due = lab.record(Place::Due(NOW), pack).await;
    let writes = lab.writes(&Change::Promote(due.clone())).await;
    let ready = lab.record(Place::Ready, pack).await;
    let expected = Writes::of(&[key(&lab, &ready)], &[], &[key(&lab, &due)]);
    assert_eq!(writes, expected);
    assert_eq!(ready.seen.value.which, Which::first(2));
}

#[tokio::test]
async fn promote_loses_by_due_where_it_was_promoted() {
    let lab = Lab::start().await;
    let pack = lab.submitted(1, Some(NOW)).await;
    let due = Change::Promote(lab.record(Place::Due(NOW), pack).await);
    lab.done(&due).await;
    lab.refused(&due, "due").await;
}

#[tokio::test]
async fn assign_writes_a_claim_for_each_node_and_leaves_the_rest_ready() {
    let lab = Lab::start().await;
    let (a, b) = (lab.node("a").await, lab.node("b").await);
    let pack = lab.submitted(4, None).await;
    let from = lab.record(Place::Ready, pack).await;
    let takes = vec![
        take("a", a, 1, Which::only(0)),
        take("b", b, 2, Which::only(1).or(Which::only(2))),
    ];

    let writes = lab
        .writes(&Change::Assign(assign(from.clone(), takes)))
        .await;

    let runs = [("a", 1), ("b", 2)].map(|(node, n)| lab.keys().run(&name(node), claim_id(n)));
    assert_eq!(writes, Writes::of(&runs, &[key(&lab, &from)], &[]));
    let left = lab.record(Place::Ready, pack).await;
    assert_eq!(left.seen.value.which, Which::only(3));
    let run = lab.seen::<Run>(&runs[1]).await.value;
    assert_eq!((run.session, run.which.len(), run.covers), (b, 2, false));
    assert_eq!(run.instance, "b-1");
}

#[tokio::test]
async fn assign_writes_the_record_gone_where_all_of_it_is_taken() {
    let lab = Lab::start().await;
    let a = lab.node("a").await;
    let pack = lab.submitted(2, None).await;
    let from = lab.record(Place::Ready, pack).await;
    let takes = vec![take("a", a, 1, Which::first(2))];
    let writes = lab
        .writes(&Change::Assign(assign(from.clone(), takes)))
        .await;
    let run = lab.keys().run(&name("a"), claim_id(1));
    assert_eq!(writes, Writes::of(&[run], &[], &[key(&lab, &from)]));
    assert_eq!(lab.state(pack.task(1)).await, State::Running);
}

#[tokio::test]
async fn assign_loses_by_ready_where_a_part_was_cancelled() {
    let lab = Lab::start().await;
    let a = lab.node("a").await;
    let pack = lab.submitted(2, None).await;
    let from = lab.record(Place::Ready, pack).await;
    lab.done(&Change::Cancel(act(&from, Which::only(0)))).await;
    let takes = vec![take("a", a, 1, Which::first(2))];
    lab.refused(&Change::Assign(assign(from, takes)), "ready")
        .await;
}

#[tokio::test]
async fn assign_loses_by_node_where_one_of_two_is_gone() {
    let lab = Lab::start().await;
    let (a, b) = (lab.node("a").await, lab.node("b").await);
    let pack = lab.submitted(2, None).await;
    let from = lab.record(Place::Ready, pack).await;
    lab.kill("b").await;
    let takes = vec![
        take("a", a, 1, Which::only(0)),
        take("b", b, 2, Which::only(1)),
    ];
    lab.refused(&Change::Assign(assign(from, takes)), "node")
        .await;
}

#[tokio::test]
async fn assign_loses_by_node_where_it_is_back_with_another_session() {
    let lab = Lab::start().await;
    let former = lab.node("a").await;
    let pack = lab.submitted(1, None).await;
    let from = lab.record(Place::Ready, pack).await;
    lab.kill("a").await;
    lab.node("a").await;
    let takes = vec![take("a", former, 1, Which::only(0))];
    lab.refused(&Change::Assign(assign(from, takes)), "node")
        .await;
}

#[tokio::test]
async fn touch_writes_the_same_value_at_a_new_revision() {
    let lab = Lab::start().await;
    let pack = lab.submitted(2, None).await;
    let from = lab.record(Place::Ready, pack).await;
    let before = lab.all().await;
    let writes = lab.writes(&Change::Touch(from.clone())).await;
    assert_eq!(writes, Writes::of(&[], &[key(&lab, &from)], &[]));
    let values = |kvs: Vec<tenure_cluster::KeyValue>| -> Vec<_> {
        kvs.into_iter().map(|kv| (kv.key, kv.value)).collect()
    };
    assert_eq!(values(lab.all().await), values(before));
}

#[tokio::test]
async fn touch_loses_by_waiting_where_the_record_moved() {
    let lab = Lab::start().await;
    let pack = lab.submitted(1, Some(NOW)).await;
    let due = lab.record(Place::Due(NOW), pack).await;
    lab.done(&Change::Promote(due.clone())).await;
    lab.refused(&Change::Touch(due), "waiting").await;
}

#[tokio::test]
async fn cancel_writes_the_outcome_and_a_mark_and_leaves_the_rest() {
    let lab = Lab::start().await;
    let pack = lab.submitted(2, None).await;
    let from = lab.record(Place::Ready, pack).await;
    let writes = lab
        .writes(&Change::Cancel(act(&from, Which::only(1))))
        .await;
    let new = [act_result(&lab, &from), lab.keys().gc(NOW, pack)];
    assert_eq!(writes, Writes::of(&new, &[key(&lab, &from)], &[]));
    assert_eq!(lab.state(pack.task(0)).await, State::Pending);
    assert_eq!(lab.state(pack.task(1)).await, State::Cancelled);
}

#[tokio::test]
async fn cancel_writes_the_record_gone_where_all_of_it_is_cancelled() {
    for (place, run_at_ms) in [(Place::Due(NOW + 9), Some(NOW + 9)), (Place::Ready, None)] {
        let lab = Lab::start().await;
        let pack = lab.submitted(2, run_at_ms).await;
        let from = lab.record(place, pack).await;
        let writes = lab
            .writes(&Change::Cancel(act(&from, Which::first(2))))
            .await;
        let new = [act_result(&lab, &from), lab.keys().gc(NOW, pack)];
        assert_eq!(writes, Writes::of(&new, &[], &[key(&lab, &from)]));
    }
}

#[tokio::test]
async fn cancel_loses_by_waiting_where_it_was_assigned() {
    let lab = Lab::start().await;
    let a = lab.node("a").await;
    let pack = lab.submitted(2, None).await;
    let from = lab.record(Place::Ready, pack).await;
    let takes = vec![take("a", a, 1, Which::only(0))];
    lab.done(&Change::Assign(assign(from.clone(), takes))).await;
    lab.refused(&Change::Cancel(act(&from, Which::only(1))), "waiting")
        .await;
}

#[tokio::test]
async fn revive_writes_a_ready_record_with_new_budgets_and_leads_to_it() {
    let lab = Lab::start().await;
    let dead = lab.dead().await;
    let pack = dead.id.pack;

    let writes = lab
        .writes(&Change::Revive(act(&dead, Which::only(1))))
        .await;

    let id = RecordId {
        origin: Origin::Act(ACT),
        n: 0,
        ..dead.id
    };
    let ready = lab.keys().record(Place::Ready, &routing(), &id);
    let new = [ready.clone(), act_result(&lab, &dead)];
    assert_eq!(writes, Writes::of(&new, &[key(&lab, &dead)], &[]));
    let record = lab.seen::<Record>(&ready).await.value;
    assert_eq!((record.tally.attempts, record.tally.failures), (1, 0));
    let result = lab.seen::<Outcomes>(&act_result(&lab, &dead)).await.value;
    assert_eq!(result.of[0].outcome, Outcome::Revived);
    assert_eq!(lab.state(pack.task(0)).await, State::Dead);
    assert_eq!(lab.state(pack.task(1)).await, State::Pending);
}

#[tokio::test]
async fn revive_loses_by_waiting_where_it_was_cancelled() {
    let lab = Lab::start().await;
    let dead = lab.dead().await;
    lab.done(&Change::Cancel(act(&dead, Which::only(0)))).await;
    lab.refused(&Change::Revive(act(&dead, Which::only(0))), "waiting")
        .await;
}
