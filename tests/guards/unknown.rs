//! Outcomes that are unknown because an answer was lost, and what settles them: never a read.

use std::time::Duration;

use tenure::store::{Assign, Change, GuardName, Place, Report, Store, Verdict, encode};
use tenure::task::{Outcome, PackId, State, Which};
use tenure_cluster::Answer;
use tenure_testkit::{Mode, Proxy};

use super::common::{Claim, Lab, assign, claim_id, name, store, take};

/// 300 ms: a request through the proxy that gets no answer is given up after this.
const GIVEN_UP: Duration = Duration::from_millis(300);

/// A way to the same etcd on which requests or answers can be lost; it has carried a request already.
async fn lossy(lab: &Lab) -> (Proxy, Store) {
    let proxy = Proxy::start(lab.etcd.address(0)).await;
    let store = store(vec![proxy.endpoint()], GIVEN_UP);
    // Connecting may take longer than a request on a loaded machine.
    let nobody = PackId::floor(1).task(0);
    while store.task(nobody).await.is_err() {}
    (proxy, store)
}

fn success(claim: &Claim) -> Report {
    claim.report(&[(Outcome::Succeeded, Which::only(0))])
}

fn assert_unknown(verdict: &Verdict) {
    assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
}

/// Whether a refused report read exactly the result that it would have written.
fn read_own_result(lab: &Lab, report: &Report, reads: &[Answer]) -> bool {
    let key = lab
        .keys()
        .result(report.pack, report.claim.into(), report.settled.n);
    let own = encode(&tenure::store::Outcomes {
        of: report.settled.attempts.clone(),
    });
    reads.iter().any(|answer| match answer {
        Answer::Kvs(kvs) => kvs.iter().any(|kv| kv.key == key && kv.value == own),
        Answer::Put | Answer::Deleted(_) | Answer::Nested(_) => false,
    })
}

#[tokio::test]
async fn report_loses_by_run_to_its_own_copy_and_reads_its_result() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let report = success(&claim);
    let change = Change::Report(report.clone());
    lab.done(&change).await;
    let reads = lab.refused(&change, "run").await;
    assert!(read_own_result(&lab, &report, &reads), "{reads:?}");
}

#[tokio::test]
async fn report_whose_answer_was_lost_is_settled_by_sending_it_again() {
    let lab = Lab::start().await;
    let claim = lab.claimed(1).await;
    let (proxy, lossy) = lossy(&lab).await;
    let report = success(&claim);
    let change = Change::Report(report.clone());

    proxy.set(Mode::CutAnswers);
    assert_unknown(&lossy.commit(&change).await);
    proxy.set(Mode::Forward);

    let reads = lab.refused(&change, "run").await;
    assert!(read_own_result(&lab, &report, &reads), "{reads:?}");
    assert_eq!(lab.state(claim.pack().task(0)).await, State::Succeeded);
}

#[tokio::test]
async fn report_held_on_its_way_is_settled_by_sending_it_again() {
    let lab = Lab::start().await;
    let claim = lab.claimed(1).await;
    let (proxy, lossy) = lossy(&lab).await;
    let report = success(&claim);
    let change = Change::Report(report.clone());

    proxy.set(Mode::HoldRequests);
    assert_unknown(&lossy.commit(&change).await);
    proxy.set(Mode::Refuse);

    // Whether the held copy still came through before the door was shut, sending it again tells.
    match lab.store.commit(&change).await {
        Verdict::Committed { .. } => {}
        Verdict::Refused { lost, reads, .. } => {
            assert_eq!(lost, [GuardName::Run]);
            assert!(read_own_result(&lab, &report, &reads), "{reads:?}");
        }
        other @ (Verdict::Unknown(_) | Verdict::Unavailable(_)) => panic!("{other:?}"),
    }
    assert_eq!(lab.state(claim.pack().task(0)).await, State::Succeeded);
}

async fn ready(lab: &Lab) -> Assign {
    let session = lab.node("a").await;
    let pack = lab.submitted(1, None).await;
    let from = lab.record(Place::Ready, pack).await;
    assign(from, vec![take("a", session, 1, Which::only(0))])
}

#[tokio::test]
async fn touch_settles_an_unknown_assign_and_its_late_original_is_refused() {
    let lab = Lab::start().await;
    let original = ready(&lab).await;
    let (proxy, lossy) = lossy(&lab).await;
    let change = Change::Assign(original.clone());

    proxy.set(Mode::HoldRequests);
    assert_unknown(&lossy.commit(&change).await);
    lab.done(&Change::Touch(original.from.clone())).await;
    proxy.set(Mode::Forward);

    // Whatever became of the held bytes, this is what etcd answers them.
    lab.refused(&change, "ready").await;
    let run = lab.keys().run(&name("a"), claim_id(1));
    assert!(lab.find::<tenure::store::Run>(&run).await.is_none());
    assert_eq!(
        lab.state(original.from.id.pack.task(0)).await,
        State::Pending
    );
}

#[tokio::test]
async fn touch_loses_by_waiting_where_the_unknown_assign_had_committed() {
    let lab = Lab::start().await;
    let original = ready(&lab).await;
    let (proxy, lossy) = lossy(&lab).await;

    proxy.set(Mode::CutAnswers);
    assert_unknown(&lossy.commit(&Change::Assign(original.clone())).await);
    proxy.set(Mode::Forward);

    lab.refused(&Change::Touch(original.from.clone()), "waiting")
        .await;
    assert_eq!(
        lab.state(original.from.id.pack.task(0)).await,
        State::Running
    );
}
