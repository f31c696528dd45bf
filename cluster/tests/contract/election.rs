//! Election against etcd: one leads at a time, whatever is paused, full, deleted or revoked.

use std::time::Duration;

use tenure_cluster::{
    Candidate, Connection, Ended, EventKind, FailureKind, LeadError, Observer, Op, Outcome, Range,
    Session, Term, TermLoss, Txn, Watch, WatchSpec, leader,
};
use tenure_testkit::{Etcd, Mode, Proxy};

use super::common::{self, commit, connect, connect_to, put, session, within};

const ELECT: &str = "/elect/";

async fn stand(connection: &Connection, session: &Session) -> Candidate {
    let value = session.key().as_bytes().to_vec();
    within(
        "standing",
        Candidate::stand(connection, session, ELECT, value),
    )
    .await
    .unwrap()
}

async fn lead(candidate: &mut Candidate) -> Term {
    within("leading", candidate.lead()).await.unwrap()
}

async fn pair(connection: &Connection) -> [(Session, Candidate); 2] {
    let one = session(connection, "/node/1", 30).await;
    let first = stand(connection, &one).await;
    let two = session(connection, "/node/2", 30).await;
    let second = stand(connection, &two).await;
    [(one, first), (two, second)]
}

#[tokio::test]
async fn the_first_to_stand_leads_and_the_second_when_it_resigns() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [(one, mut first), (two, mut second)] = pair(&connection).await;
    let (r1, r2) = (first.revision(), second.revision());

    let term = lead(&mut first).await;
    assert_eq!((term.revision(), term.succeeded()), (r1, None));
    assert!(term.activated() >= r1);
    let waiting = tokio::time::timeout(Duration::from_millis(500), second.lead()).await;
    assert!(waiting.is_err(), "two lead");
    let (seen, _) = leader(&connection, ELECT).await.unwrap();
    assert_eq!(seen.unwrap().create_revision, r1);

    let record = Op::Put {
        key: "/history".into(),
        value: "resigned".into(),
        lease: 0,
    };
    let token = term.lost();
    let outcome = within("resigning", term.resign(vec![record])).await;
    assert_eq!(
        outcome.committed().map(|done| done.results.len()),
        Some(2),
        "{outcome:?}"
    );
    assert!(token.is_cancelled());

    let next = lead(&mut second).await;
    assert_eq!(next.revision(), r2);
    assert!(next.activated() > r2);
    let before = next.succeeded().expect("it saw the first end");
    assert_eq!(
        (before.kv.create_revision, before.ended_by),
        (r1, Ended::KeyDeleted)
    );
    assert!(before.gap < Duration::from_secs(5), "{:?}", before.gap);
    assert_eq!(before.gap, before.answered - before.seen);
    assert!(before.seen <= before.oldest && before.oldest <= before.answered);
    let went = before.revision.expect("it watched");
    // Here an activation writes nothing, so nothing comes between.
    assert!(r2 < went && went <= next.activated(), "{went}");
    assert_eq!(
        connection
            .range(&Range::key("/history"))
            .await
            .unwrap()
            .count,
        1
    );

    // The first stands again, with a new key and a later R.
    let again = stand(&connection, &one).await;
    assert!(again.revision() > r2);
    again.withdraw().await;
    drop(next);
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_candidate_leads_once() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = session(&connection, "/node/1", 30).await;
    let mut candidate = stand(&connection, &session).await;
    let term = lead(&mut candidate).await;

    assert_eq!(candidate.lead().await.err(), Some(LeadError::AlreadyLed));
    // And giving it up does not take the term's key.
    candidate.withdraw().await;
    commit(
        &connection,
        &Txn::new().guard(term.guard()).put("/effect", ""),
    )
    .await;
    assert_eq!(term.loss(), None);
    session.close().await;
}

#[tokio::test]
async fn a_revoked_lease_moves_leadership_and_tells_both() {
    let counters = common::counters::Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [(one, mut first), (two, mut second)] = pair(&connection).await;
    let term = lead(&mut first).await;

    let reads = "tenure_etcd_requests_total{op=range,code=ok}";
    let before = counters.count(reads);
    let (next, ()) = tokio::join!(lead(&mut second), async {
        // Whoever waits must have seen the leader before it goes: it begins by reading who stands.
        within("its read", counters.beyond(reads, before)).await;
        etcd.etcdctl(&["lease", "revoke", &format!("{:x}", one.lease())]);
    });

    within("the first to know", term.lost().cancelled_owned()).await;
    within("the session to know", one.lost().cancelled_owned()).await;
    assert_eq!(term.loss(), Some(TermLoss::SessionLost));
    let before = next.succeeded().unwrap();
    assert_eq!(
        (before.kv.create_revision, before.ended_by),
        (term.revision(), Ended::LeaseGone)
    );
    two.close().await;
}

#[tokio::test]
async fn a_leader_whose_key_an_operator_deletes_knows_and_is_fenced() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [(one, mut first), (two, mut second)] = pair(&connection).await;
    let term = lead(&mut first).await;

    commit(&connection, &Txn::new().delete(term.key())).await;

    within("the leader to know", term.lost().cancelled_owned()).await;
    assert_eq!(term.loss(), Some(TermLoss::KeyDeleted));
    let late = Txn::new().guard(term.guard()).put("/effect", "");
    assert_eq!(common::refused(&connection, &late).await.lost, ["term"]);
    let next = lead(&mut second).await;
    assert!(next.revision() > term.revision());
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_waiting_candidate_whose_key_or_session_goes_stops_waiting() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [(one, mut first), (two, mut second)] = pair(&connection).await;
    let _term = lead(&mut first).await;
    let three = session(&connection, "/node/3", 30).await;
    let mut third = stand(&connection, &three).await;

    let (key, lease) = (second.key().to_owned(), three.lease());
    let (by_key, by_session, ()) = tokio::join!(
        within("the second", second.lead()),
        within("the third", third.lead()),
        async {
            commit(&connection, &Txn::new().delete(key)).await;
            connection.revoke(lease).await.unwrap();
        }
    );

    assert_eq!(by_key.err(), Some(LeadError::CandidateGone));
    // Its key went with the lease: either is noticed first.
    let by_session = by_session.err().expect("it must not lead");
    assert!(matches!(
        by_session,
        LeadError::SessionLost | LeadError::CandidateGone
    ));
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_late_transaction_of_a_paused_leader_is_refused_after_the_next_term_began() {
    let etcd = Etcd::single();
    let direct = connect(&etcd);
    let proxy = Proxy::start(etcd.address(0)).await;
    let paused = connect_to(proxy.endpoint(), Duration::from_secs(20));
    let one = session(&paused, "/node/1", 30).await;
    let mut first = stand(&paused, &one).await;
    let term = lead(&mut first).await;
    let two = session(&direct, "/node/2", 30).await;
    let mut second = stand(&direct, &two).await;

    // Decided and sent, but on its way while the next term begins.
    proxy.set(Mode::HoldRequests);
    let late = Txn::new()
        .guard(term.guard())
        .put("/effect", "of the old leader");
    let (outcome, next) = tokio::join!(within("the late commit", paused.commit(&late)), async {
        etcd.etcdctl(&["lease", "revoke", &format!("{:x}", one.lease())]);
        let next = lead(&mut second).await;
        commit(
            &direct,
            &Txn::new().guard(next.guard()).put("/effect", "of the new"),
        )
        .await;
        proxy.set(Mode::Forward);
        next
    });

    let Outcome::Refused(refused) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(refused.lost, ["term"]);
    assert!(refused.revision >= next.activated());
    let effect = direct.range(&Range::key("/effect")).await.unwrap();
    assert_eq!(
        (effect.kvs[0].value.as_ref(), effect.kvs[0].version),
        (&b"of the new"[..], 1)
    );
    two.close().await;
}

#[tokio::test]
async fn leadership_moves_though_the_database_is_full() {
    let etcd = Etcd::builder(1).quota_bytes(2 << 20).start();
    let connection = connect(&etcd);
    let [(one, mut first), (two, mut second)] = pair(&connection).await;
    let term = lead(&mut first).await;
    let failure = common::fill(&connection).await;
    assert_eq!(failure.kind, FailureKind::Space);

    // There is no space for the record, so only the key goes.
    let record = Op::Put {
        key: "/history".into(),
        value: "resigned".into(),
        lease: 0,
    };
    let outcome = within("resigning", term.resign(vec![record])).await;
    assert_eq!(
        outcome.committed().map(|done| done.results.len()),
        Some(1),
        "{outcome:?}"
    );
    let next = lead(&mut second).await;

    commit(
        &connection,
        &Txn::new().guard(next.guard()).delete("/fill/1"),
    )
    .await;
    assert_eq!(
        connection
            .range(&Range::key("/history"))
            .await
            .unwrap()
            .count,
        0
    );
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_dropped_candidate_and_a_dropped_term_block_nobody() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let [(one, mut first), (two, second)] = pair(&connection).await;
    let three = session(&connection, "/node/3", 30).await;
    let mut third = stand(&connection, &three).await;
    let term = lead(&mut first).await;

    drop(second);
    drop(term);

    let next = lead(&mut third).await;
    assert_eq!(
        next.revision(),
        leader(&connection, ELECT)
            .await
            .unwrap()
            .0
            .unwrap()
            .create_revision
    );
    one.close().await;
    two.close().await;
    three.close().await;
}

/// A session behind a proxy, and a watch past the proxy of who stands from then on.
async fn about_to_stand() -> (Etcd, Proxy, Connection, Session, Watch) {
    let etcd = Etcd::single();
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(1));
    let session = session(&connection, "/node/1", 30).await;
    let spec = WatchSpec::prefix(ELECT).from(session.revision() + 1);
    let watch = connect(&etcd).watch(spec);
    (etcd, proxy, connection, session, watch)
}

#[tokio::test]
async fn a_stand_dropped_after_its_put_was_sent_leaves_no_candidate() {
    let (_etcd, proxy, connection, session, mut watch) = about_to_stand().await;

    proxy.set(Mode::CutAnswers);
    let standing = Candidate::stand(&connection, &session, ELECT, Vec::new());
    let sent = tokio::time::timeout(Duration::from_millis(500), standing).await;
    assert!(sent.is_err(), "the answer got through");
    // The put arrives, and the janitor's delete; its answer may be lost, too, and it is sent again.
    let mut kinds: Vec<EventKind> = Vec::new();
    while kinds.len() < 2 {
        kinds.extend(
            common::events(&mut watch)
                .await
                .iter()
                .map(|event| event.kind),
        );
        proxy.set(Mode::Forward);
    }
    assert_eq!(kinds, [EventKind::Put, EventKind::Delete]);
    session.close().await;
}

#[tokio::test]
async fn a_stand_whose_answer_is_lost_is_settled_by_the_same_transaction() {
    let (_etcd, proxy, connection, session, mut watch) = about_to_stand().await;

    proxy.set(Mode::CutAnswers);
    let (candidate, created) = tokio::join!(stand(&connection, &session), async {
        let event = common::events(&mut watch).await.remove(0);
        proxy.set(Mode::Forward);
        event.kv.create_revision
    });

    assert_eq!(candidate.revision(), created);
    candidate.withdraw().await;
    session.close().await;
}

#[tokio::test]
async fn an_observer_sees_each_leader_and_nobody() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let mut observer = Observer::open(&connection, ELECT);
    let at = put(&connection, "/other", "").await;

    let nobody = within("nobody", observer.next()).await;
    assert!(
        nobody.leader.is_none() && nobody.revision >= at,
        "{nobody:?}"
    );
    let [(one, first), (two, second)] = pair(&connection).await;
    let led = within("the first", observer.next()).await;
    assert_eq!(led.leader.unwrap().create_revision, first.revision());
    let (r2, keys) = (
        second.revision(),
        [first.key().to_owned(), second.key().to_owned()],
    );
    commit(&connection, &Txn::new().delete(&keys[0])).await;
    let led = within("the second", observer.next()).await;
    assert_eq!(led.leader.unwrap().create_revision, r2);
    commit(&connection, &Txn::new().delete(&keys[1])).await;
    assert!(
        within("nobody again", observer.next())
            .await
            .leader
            .is_none()
    );
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn leadership_survives_the_death_of_an_etcd_member() {
    let mut etcd = Etcd::cluster(3);
    let connection = connect(&etcd);
    let [(one, mut first), (two, mut second)] = pair(&connection).await;
    let term = lead(&mut first).await;

    etcd.kill(0);

    common::commit_at_last(&connection, &Txn::new().guard(term.guard()).put("/a", "")).await;
    assert_eq!(term.loss(), None);
    let outcome = within("resigning", term.resign(Vec::new())).await;
    assert!(
        matches!(outcome, Outcome::Committed(_) | Outcome::Refused(_)),
        "{outcome:?}"
    );
    lead(&mut second).await;
    one.close().await;
    two.close().await;
}
