//! What nodes tell of their circuit breakers, what they are asked to reset, and what a deferral writes.

use std::time::Duration;

use tenure::plan::{Ending, Of, settle};
use tenure::store::{BreakerRecord, BreakerState, Change, Place, Record, Reset, txns};
use tenure::task::{Outcome, State, Tally, Which};
use tenure_cluster::{Session, SessionOptions};

use super::common::{Lab, NOW, Writes, name};

async fn session(lab: &Lab) -> Session {
    let ttl = Duration::from_secs(30);
    let options = SessionOptions::new(lab.keys().node(&name("a")), "", ttl);
    let opened = Session::open(lab.store.connection(), options).await;
    opened.expect("nobody else has the name")
}

fn open() -> BreakerRecord {
    BreakerRecord {
        kind: name("http"),
        host: Some("127.0.0.1:80".to_owned()),
        state: BreakerState::Open,
        since_ms: NOW,
        until_ms: Some(NOW + 10_000),
        failures: 5,
        runs: 10,
        reason: "status 503".to_owned(),
    }
}

#[tokio::test]
async fn breakers_writes_what_is_not_closed_and_takes_it_away_again() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    let (before, key) = (lab.all().await, lab.keys().breaker(&name("a")));

    let told = txns::breakers(lab.keys(), &name("a"), &session, &[open()]);
    lab.must(&told).await;

    let after = lab.all().await;
    let writes = Writes::between(&before, &after);
    assert_eq!(writes, Writes::of(std::slice::from_ref(&key), &[], &[]));
    let kv = after.iter().find(|kv| kv.key == key).unwrap();
    assert_eq!(kv.lease, session.lease());
    let (listed, _) = lab.store.breakers().await.unwrap();
    assert_eq!(listed, [(name("a"), vec![open()])]);

    lab.must(&txns::breakers(lab.keys(), &name("a"), &session, &[]))
        .await;
    let writes = Writes::between(&after, &lab.all().await);
    assert_eq!(writes, Writes::of(&[], &[], &[key]));
}

#[tokio::test]
async fn breakers_loses_by_node_where_its_session_is_over() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    lab.kill("a").await;
    // Its successor tells something itself, and neither list of the former is of it.
    lab.node("a").await;
    let key = lab.keys().breaker(&name("a"));
    lab.must(&tenure_cluster::Txn::new().put(key, "[]")).await;
    for told in [&[open()][..], &[]] {
        let told = txns::breakers(lab.keys(), &name("a"), &session, told);
        lab.refused_txn(&told, "node").await;
    }
}

fn all_http() -> Reset {
    Reset {
        kind: name("http"),
        host: None,
    }
}

#[tokio::test]
async fn reset_writes_what_is_to_be_closed_for_as_long_as_the_session_lives() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    let (before, key) = (lab.all().await, lab.keys().reset(&name("a")));

    let (asked, _) = lab.store.reset_breakers(None, &all_http()).await.unwrap();

    assert_eq!(asked, [name("a")]);
    let after = lab.all().await;
    let writes = Writes::between(&before, &after);
    assert_eq!(writes, Writes::of(std::slice::from_ref(&key), &[], &[]));
    let kv = after.iter().find(|kv| kv.key == key).unwrap();
    assert_eq!(kv.lease, session.lease());
    let mut resets = lab.store.resets(&name("a"), session.revision());
    assert_eq!(resets.next().await, [all_http()]);
}

#[tokio::test]
async fn reset_loses_by_node_where_its_session_is_over() {
    let lab = Lab::start().await;
    let session = session(&lab).await;
    let seen = (session.revision(), session.lease());
    lab.kill("a").await;
    lab.node("a").await;
    let reset = txns::reset(lab.keys(), &name("a"), seen, &all_http());
    lab.refused_txn(&reset, "node").await;
}

#[tokio::test]
async fn report_writes_what_is_deferred_among_the_due_and_counts_nothing() {
    let lab = Lab::start().await;
    let claim = lab.claimed(2).await;
    let deferred = |why: &str, secs| Ending {
        outcome: Outcome::Deferred,
        started_ms: None,
        finished_ms: NOW,
        error: Some(why.to_owned()),
        output: None,
        wait: Some(Duration::from_secs(secs)),
    };
    let endings = [
        (deferred("a is open", 16), Which::only(0)),
        (deferred("b is open", 16), Which::only(1)),
    ];
    let of = Of {
        run: &claim.run.value,
        fence: claim.run.created,
        node: &claim.node,
        policy: None,
        stopped: Which::NONE,
        deaths_max: 3,
        blame: false,
        split: 1,
        draw: 0.0,
        now_ms: NOW,
    };
    let (rest, settled) = settle(of, &endings.into());
    let mut report = claim.report(&[]);
    (report.rest, report.settled) = (rest, settled);

    lab.done(&Change::Report(report)).await;

    // Both wait in one record, and each says what it waits for.
    let due = claim.record(lab.keys(), Place::Due(NOW + 16_000), 1);
    let record = lab.seen::<Record>(&due).await.value;
    assert_eq!(
        (record.which, record.tally),
        (Which::first(2), Tally::default())
    );
    assert!(record.why.is_some_and(|why| why.ends_with("is open")));
    for (index, why) in [(0, "a is open"), (1, "b is open")] {
        let task = claim.pack().task(index);
        assert_eq!(lab.state(task).await, State::Scheduled);
        let (found, _) = lab.store.task(task).await.unwrap();
        let last = found.unwrap().attempts.pop().unwrap().1;
        assert_eq!(last.error.as_deref(), Some(why));
        assert_eq!((last.outcome, last.number), (Outcome::Deferred, 0));
    }
}
