//! What settles claims: report, stop, reclaim.

use tenure::store::{Change, Outcomes, Place, Reclaim, Run};
use tenure::task::{Outcome, State, Which};

use super::common::{Claim, Lab, NOW, Writes};

fn run(lab: &Lab, claim: &Claim) -> String {
    lab.keys().run(&claim.node, claim.id)
}

fn stop(lab: &Lab, claim: &Claim) -> String {
    lab.keys().stop(&claim.node, claim.id)
}

fn result(lab: &Lab, claim: &Claim, n: u32) -> String {
    lab.keys().result(claim.pack(), claim.id.into(), n)
}

fn mark(lab: &Lab, claim: &Claim) -> String {
    lab.keys().gc(NOW, claim.pack())
}

#[tokio::test]
async fn report_writes_a_part_and_keeps_the_rest_of_the_claim() {
    let lab = Lab::start().await;
    let claim = lab.claimed(3).await;
    let ends = [(Outcome::Succeeded, Which::first(2))];
    let writes = lab.writes(&Change::Report(claim.report(&ends))).await;
    let expected = Writes::of(&[result(&lab, &claim, 0)], &[run(&lab, &claim)], &[]);
    assert_eq!(writes, expected);
    let rest = lab.seen::<Run>(&run(&lab, &claim)).await;
    assert_eq!(rest.value.which, Which::only(2));
    assert_eq!(rest.created, claim.run.created, "the fence changed");
}

#[tokio::test]
async fn report_writes_what_goes_on_and_takes_claim_and_stop_away() {
    let lab = Lab::start().await;
    let claim = lab.claimed(4).await;
    let seen = lab.stopped(&claim, Which::only(3)).await;
    let ends = [
        (Outcome::Succeeded, Which::only(0)),
        (Outcome::Failed, Which::only(1).or(Which::only(3))),
        (Outcome::Returned, Which::only(2)),
    ];

    let report = claim.reported(&ends, 3, Some(&seen));
    let writes = lab.writes(&Change::Report(report)).await;

    let places = [Place::Due(NOW + 1_000), Place::Ready];
    let mut new = vec![result(&lab, &claim, 0), mark(&lab, &claim)];
    new.extend(
        (1..)
            .zip(places)
            .map(|(n, place)| claim.record(lab.keys(), place, n)),
    );
    let gone = [run(&lab, &claim), stop(&lab, &claim)];
    assert_eq!(writes, Writes::of(&new, &[], &gone));
    let states = [
        State::Succeeded,
        State::Scheduled,
        State::Pending,
        State::Cancelled,
    ];
    for (index, state) in (0..).zip(states) {
        assert_eq!(lab.state(claim.pack().task(index)).await, state, "{index}");
    }
}

#[tokio::test]
async fn report_writes_dead_letters_where_the_budget_is_used_up() {
    let lab = Lab::start().await;
    let dead = lab.dead().await;
    assert_eq!(dead.seen.value.which, Which::first(2));
    assert_eq!(lab.state(dead.id.pack.task(1)).await, State::Dead);
}

#[tokio::test]
async fn report_of_nothing_but_ends_is_not_held_up_by_a_stop() {
    let lab = Lab::start().await;
    let claim = lab.claimed(1).await;
    let report = claim.report(&[(Outcome::Succeeded, Which::only(0))]);
    lab.stopped(&claim, Which::only(0)).await;
    let writes = lab.writes(&Change::Report(report)).await;
    let new = [result(&lab, &claim, 0), mark(&lab, &claim)];
    let gone = [run(&lab, &claim), stop(&lab, &claim)];
    assert_eq!(writes, Writes::of(&new, &[], &gone));
}

#[tokio::test]
async fn report_loses_by_run_where_it_was_reclaimed() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let late = claim.report(&[(Outcome::Succeeded, Which::first(2))]);
    lab.kill("a").await;
    lab.done(&Change::Reclaim(lab.orphan().await)).await;
    lab.refused(&Change::Report(late), "run").await;
}

#[tokio::test]
async fn report_loses_by_run_where_another_report_made_the_claim_less() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let first = claim.report(&[(Outcome::Succeeded, Which::only(0))]);
    let second = claim.report(&[(Outcome::Succeeded, Which::only(1))]);
    lab.done(&Change::Report(first)).await;
    lab.refused(&Change::Report(second), "run").await;
}

#[tokio::test]
async fn report_loses_by_stop_where_a_retry_was_cancelled_meanwhile() {
    let lab = Lab::start().await;
    let claim = lab.claimed(1).await;
    let report = claim.report(&[(Outcome::Failed, Which::only(0))]);
    lab.stopped(&claim, Which::only(0)).await;
    lab.refused(&Change::Report(report), "stop").await;
}

#[tokio::test]
async fn stop_writes_the_stop_and_nothing_of_the_claim() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let first = claim.stop(0, Which::only(0));
    let writes = lab.writes(&Change::Stop(first)).await;
    assert_eq!(writes, Writes::of(&[stop(&lab, &claim)], &[], &[]));

    let seen = lab
        .seen::<tenure::store::Stop>(&stop(&lab, &claim))
        .await
        .modified;
    let more = claim.stop(seen, Which::first(2));
    let writes = lab.writes(&Change::Stop(more)).await;
    assert_eq!(writes, Writes::of(&[], &[stop(&lab, &claim)], &[]));
}

#[tokio::test]
async fn stop_loses_by_run_where_an_outcome_was_reported() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let report = claim.report(&[(Outcome::Succeeded, Which::only(0))]);
    lab.done(&Change::Report(report)).await;
    let late = claim.stop(0, Which::only(0));
    lab.refused(&Change::Stop(late), "run").await;
}

#[tokio::test]
async fn stop_loses_by_stop_where_someone_else_cancelled_too() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    lab.stopped(&claim, Which::only(0)).await;
    let second = claim.stop(0, Which::only(1));
    lab.refused(&Change::Stop(second), "stop").await;
}

#[tokio::test]
async fn reclaim_writes_what_was_lost_and_what_goes_on() {
    let lab = Lab::start().await;
    let claim = lab.claimed(3).await;
    lab.stopped(&claim, Which::only(2)).await;
    lab.kill("a").await;

    let writes = lab.writes(&Change::Reclaim(lab.orphan().await)).await;

    // What dies with its node goes on in pieces: two tasks, two records.
    let new = [
        result(&lab, &claim, 0),
        mark(&lab, &claim),
        claim.record(lab.keys(), Place::Ready, 1),
        claim.record(lab.keys(), Place::Ready, 2),
    ];
    let gone = [run(&lab, &claim), stop(&lab, &claim)];
    assert_eq!(writes, Writes::of(&new, &[], &gone));
    let of = lab
        .seen::<Outcomes>(&result(&lab, &claim, 0))
        .await
        .value
        .of;
    let lost = of.iter().filter(|one| one.outcome == Outcome::Lost);
    assert_eq!(lost.map(|one| one.which.len()).sum::<usize>(), 2);
    let states = [State::Pending, State::Pending, State::Cancelled];
    for (index, state) in (0..).zip(states) {
        assert_eq!(lab.state(claim.pack().task(index)).await, state, "{index}");
    }
}

#[tokio::test]
async fn reclaim_writes_although_the_node_is_back_with_another_session() {
    let lab = Lab::start().await;
    lab.claimed(1).await;
    lab.kill("a").await;
    lab.node("a").await;
    lab.done(&Change::Reclaim(lab.orphan().await)).await;
}

#[tokio::test]
async fn reclaim_loses_by_run_to_a_report_newer_than_its_view() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let old: Reclaim = lab.orphan().await;
    let report = claim.report(&[(Outcome::Succeeded, Which::only(0))]);
    lab.done(&Change::Report(report)).await;
    lab.kill("a").await;

    lab.refused(&Change::Reclaim(old), "run").await;

    lab.done(&Change::Reclaim(lab.orphan().await)).await;
    assert_eq!(lab.state(claim.pack().task(0)).await, State::Succeeded);
    assert_eq!(lab.state(claim.pack().task(1)).await, State::Pending);
}

#[tokio::test]
async fn reclaim_loses_by_stop_where_more_was_cancelled() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let old = lab.orphan().await;
    lab.stopped(&claim, Which::only(0)).await;
    lab.kill("a").await;
    lab.refused(&Change::Reclaim(old), "stop").await;
}

#[tokio::test]
async fn reclaim_loses_by_node_where_the_session_lives() {
    let lab = Lab::start().await;
    lab.claimed(2).await;
    lab.refused(&Change::Reclaim(lab.orphan().await), "node")
        .await;
}
