//! Races that the guards are there for: neighbours in a batch, copies that come late, views that are old, deaths in between.

use tenure::store::{Act, Change, GuardName, Outcomes, Place, Raise, Record, Verdict};
use tenure::task::{Outcome, PackId, State, Which};

use super::common::{Claim, Lab, NOW, Writes, assign, pack, routing, submit, take};

#[tokio::test]
async fn batch_commits_the_neighbours_of_what_loses() {
    let lab = Lab::start().await;
    let id = |n: u128| PackId::new(NOW, n << 60);
    let [first, second, third] =
        [1, 2, 3].map(|n| Change::Submit(submit(id(n), pack(1, None), &[])));
    lab.done(&second).await;

    let verdicts = lab.store.commit_batch(None, &[first, second, third]).await;

    assert!(
        matches!(
            &verdicts[..],
            [
                Verdict::Committed { .. },
                Verdict::Refused { lost, .. },
                Verdict::Committed { .. },
            ] if *lost == [GuardName::Pack]
        ),
        "{verdicts:?}"
    );
    for n in 1..=3 {
        assert_eq!(lab.state(id(n).task(0)).await, State::Pending);
    }
}

#[tokio::test]
async fn promote_loses_by_due_to_a_partial_cancel_and_revives_nothing() {
    let lab = Lab::start().await;
    let pack = lab.submitted(2, Some(NOW)).await;
    let old = lab.record(Place::Due(NOW), pack).await;
    let cancel = Act {
        act: 1,
        from: old.clone(),
        which: Which::only(0),
    };
    lab.done(&Change::Cancel(cancel)).await;

    lab.refused(&Change::Promote(old), "due").await;

    let fresh = lab.record(Place::Due(NOW), pack).await;
    lab.done(&Change::Promote(fresh)).await;
    assert_eq!(lab.state(pack.task(0)).await, State::Cancelled);
    assert_eq!(lab.state(pack.task(1)).await, State::Pending);
}

#[tokio::test]
async fn submit_loses_by_horizon_as_a_late_copy_of_a_collected_pack() {
    let lab = Lab::start().await;
    let session = lab.node("a").await;
    let id = PackId::new(NOW, 8 << 60);
    let copy = Change::Submit(submit(id, pack(1, None), &["k"]));
    lab.done(&copy).await;
    let from = lab.record(Place::Ready, id).await;
    let takes = vec![take("a", session, 1, Which::only(0))];
    lab.done(&Change::Assign(assign(from, takes))).await;
    let ends = [(Outcome::Succeeded, Which::only(0))];
    let report = lab.claim("a", 1).await.report(&ends);
    let modified = lab.done(&Change::Report(report)).await;
    let horizon = PackId::floor(NOW + 1);
    lab.done(&Change::Raise(Raise { horizon })).await;
    let collect = tenure::store::Collect {
        mark: lab.keys().gc(NOW, id),
        modified,
        pack: id,
        idem: vec!["k".to_owned()],
    };
    lab.done(&Change::Collect(collect)).await;

    // The pack and its idempotency key are absent again: only the horizon knows.
    lab.refused(&copy, "horizon").await;
}

#[tokio::test]
async fn stop_survives_the_death_of_the_node_and_the_task_ends_cancelled() {
    let lab = Lab::start().await;
    let claim = lab.claimed(1).await;
    lab.stopped(&claim, Which::only(0)).await;
    lab.kill("a").await;

    lab.done(&Change::Reclaim(lab.orphan().await)).await;

    let task = claim.pack().task(0);
    assert_eq!(lab.state(task).await, State::Cancelled);
    let result = lab.keys().result(claim.pack(), claim.id.into(), 0);
    let of = lab.seen::<Outcomes>(&result).await.value.of;
    assert_eq!(of.len(), 1);
    assert_eq!((of[0].outcome, of[0].next), (Outcome::Cancelled, None));
    let lane = lab.keys().ready_prefix();
    assert!(lab.all().await.iter().all(|kv| !kv.key.starts_with(&lane)));
}

#[tokio::test]
async fn records_of_one_pack_made_by_several_claims_do_not_meet() {
    let lab = Lab::start().await;
    for claim in shared(&lab).await {
        let back = claim.report(&[(Outcome::Returned, claim.run.value.which)]);
        lab.done(&Change::Report(back)).await;
        let key = claim.record(lab.keys(), Place::Ready, 1);
        let record = lab.seen::<Record>(&key).await.value;
        assert_eq!(record.which, claim.run.value.which);
        assert_eq!(record.routing, routing());
    }
}

/// Two claims of one pack, one task each.
async fn shared(lab: &Lab) -> [Claim; 2] {
    let (a, b) = (lab.node("a").await, lab.node("b").await);
    let id = lab.submitted(2, None).await;
    let from = lab.record(Place::Ready, id).await;
    let takes = vec![
        take("a", a, 1, Which::only(0)),
        take("b", b, 2, Which::only(1)),
    ];
    lab.done(&Change::Assign(assign(from, takes))).await;
    [lab.claim("a", 1).await, lab.claim("b", 2).await]
}

fn success(claim: &Claim) -> Change {
    Change::Report(claim.report(&[(Outcome::Succeeded, claim.run.value.which)]))
}

#[tokio::test]
async fn mark_is_put_once_for_claims_that_end_together() {
    let lab = Lab::start().await;
    let claims = shared(&lab).await;
    let before = lab.all().await;

    let reports = [success(&claims[0]), success(&claims[1])];
    let verdicts = lab.store.commit_batch(None, &reports).await;

    assert!(
        verdicts
            .iter()
            .all(|verdict| matches!(verdict, Verdict::Committed { .. })),
        "{verdicts:?}"
    );
    let keys = lab.keys();
    let result = |claim: &Claim| keys.result(claim.pack(), claim.id.into(), 0);
    let mut new: Vec<String> = claims.iter().map(result).collect();
    new.push(keys.gc(NOW, claims[0].pack()));
    let gone = claims.map(|claim| keys.run(&claim.node, claim.id));
    let writes = Writes::between(&before, &lab.all().await);
    assert_eq!(writes, Writes::of(&new, &[], &gone));
}

#[tokio::test]
async fn mark_is_put_also_where_one_of_the_reports_is_refused() {
    let lab = Lab::start().await;
    let claims = shared(&lab).await;
    let reports = [success(&claims[0]), success(&claims[1])];
    lab.kill("a").await;
    let lost = lab.lost().await;
    let of_a = lost.into_iter().find(|lost| lost.claim == claims[0].id);
    lab.done(&Change::Reclaim(of_a.expect("the claim of a dead node")))
        .await;

    let verdicts = lab.store.commit_batch(None, &reports).await;

    assert!(
        matches!(
            &verdicts[..],
            [Verdict::Refused { lost, .. }, Verdict::Committed { .. }] if *lost == [GuardName::Run]
        ),
        "{verdicts:?}"
    );
    let mark = lab.keys().gc(NOW, claims[0].pack());
    assert!(lab.all().await.iter().any(|kv| kv.key == mark));
}
