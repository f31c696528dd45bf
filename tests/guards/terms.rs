//! What a leader's term guards: the fence around its changes, its history, its dismissal.

use tenure::store::{Change, EndedBy, GuardName, Raise, Term as Line, TermRecord, Verdict, txns};
use tenure::task::PackId;

use super::common::{Lab, NOW, Writes, name};

fn record() -> TermRecord {
    TermRecord {
        node: name("leader"),
        address: "http://127.0.0.1:8700".to_owned(),
        from_ms: NOW,
        until_ms: None,
        ended_by: None,
        gap_ms: None,
    }
}

fn closed() -> TermRecord {
    Line::closed(record(), NOW + 1, EndedBy::Resigned)
}

fn line(term: i64) -> Change {
    Change::Record(Line {
        term,
        record: record(),
        formers: vec![(term - 1, closed()), (term - 2, closed())],
        forget: vec![1],
    })
}

fn raise() -> Change {
    let horizon = PackId::floor(NOW);
    Change::Raise(Raise { horizon })
}

#[tokio::test]
async fn fenced_writes_what_its_changes_write_while_the_term_lasts() {
    let lab = Lab::start().await;
    let pack = lab.submitted(1, Some(NOW)).await;
    let due = lab.record(tenure::store::Place::Due(NOW), pack).await;
    let (_session, term) = lab.lead().await;
    let before = lab.all().await;

    let changes = [raise(), Change::Promote(due.clone())];
    let fence = term.guard();
    let verdicts = lab.store.commit_batch(Some(&fence), &changes).await;

    assert!(
        verdicts
            .iter()
            .all(|verdict| matches!(verdict, Verdict::Committed { .. })),
        "{verdicts:?}"
    );
    let keys = lab.keys();
    let key = |place| keys.record(place, due.routing(), &due.id);
    let ready = key(tenure::store::Place::Ready);
    let writes = Writes::between(&before, &lab.all().await);
    let expected = Writes::of(&[ready], &[keys.horizon()], &[key(due.place)]);
    assert_eq!(writes, expected);
}

/// Every change of a batch is refused when the term is over, however late the batch arrives.
async fn refused_after_the_term(lab: &Lab, changes: &[Change]) {
    let (_session, term) = lab.lead().await;
    let fence = term.guard();
    term.resign(Vec::new()).await;
    let before = lab.all().await;
    let verdicts = lab.store.commit_batch(Some(&fence), changes).await;
    assert_eq!(verdicts.len(), changes.len());
    for verdict in verdicts {
        let Verdict::Refused { lost, .. } = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(lost, [GuardName::Term]);
    }
    assert_eq!(lab.all().await, before, "a fenced batch wrote");
}

#[tokio::test]
async fn fenced_loses_by_term_with_all_that_is_nested() {
    let lab = Lab::start().await;
    refused_after_the_term(&lab, &[raise(), line(9)]).await;
}

#[tokio::test]
async fn fenced_loses_by_term_where_another_leads() {
    let lab = Lab::start().await;
    let (session, former) = lab.lead().await;
    let fence = former.guard();
    former.resign(Vec::new()).await;
    session.close().await;
    let (_session, _term) = lab.lead().await;
    let txn = txns::fenced(fence, vec![txns::txn(lab.keys(), &raise())]);
    lab.refused_txn(&txn, "term").await;
}

#[tokio::test]
async fn record_writes_its_term_closes_the_former_and_forgets_the_old() {
    let lab = Lab::start().await;
    let keys = lab.keys().clone();
    for term in [1, 7, 8] {
        let old = Line {
            term,
            record: record(),
            formers: Vec::new(),
            forget: Vec::new(),
        };
        lab.done(&Change::Record(old)).await;
    }
    let writes = lab.writes(&line(9)).await;
    let again = [keys.term(7), keys.term(8)];
    let expected = Writes::of(&[keys.term(9)], &again, &[keys.term(1)]);
    assert_eq!(writes, expected);
    for key in again {
        let former = lab.seen::<TermRecord>(&key).await.value;
        assert_eq!(former.ended_by, Some(EndedBy::Resigned));
    }
}

#[tokio::test]
async fn record_loses_by_term_under_the_fence() {
    let lab = Lab::start().await;
    refused_after_the_term(&lab, &[line(9)]).await;
}

#[tokio::test]
async fn dismiss_writes_the_leader_gone_and_its_term_closed() {
    let lab = Lab::start().await;
    let (_session, term) = lab.lead().await;
    let (key, revision) = (term.key().to_owned(), term.revision());
    let before = lab.all().await;
    let txn = txns::dismiss(lab.keys(), &key, revision, &closed());
    lab.must(&txn).await;
    let writes = Writes::between(&before, &lab.all().await);
    let new = [lab.keys().term(revision)];
    assert_eq!(writes, Writes::of(&new, &[], &[key]));
}

#[tokio::test]
async fn dismiss_loses_by_term_where_it_leads_no_more() {
    let lab = Lab::start().await;
    let (_session, term) = lab.lead().await;
    let txn = txns::dismiss(lab.keys(), term.key(), term.revision(), &closed());
    term.resign(Vec::new()).await;
    lab.refused_txn(&txn, "term").await;
}

#[tokio::test]
async fn history_is_written_with_the_resignation() {
    let lab = Lab::start().await;
    let (_session, term) = lab.lead().await;
    let (key, revision) = (term.key().to_owned(), term.revision());
    let before = lab.all().await;
    let also = txns::history(lab.keys(), revision, &closed());
    assert!(term.resign(vec![also]).await.committed().is_some());
    let writes = Writes::between(&before, &lab.all().await);
    let new = [lab.keys().term(revision)];
    assert_eq!(writes, Writes::of(&new, &[], &[key]));
}

#[tokio::test]
async fn history_loses_by_term_with_the_resignation() {
    let lab = Lab::start().await;
    let (_session, term) = lab.lead().await;
    let also = txns::history(lab.keys(), term.revision(), &closed());
    let dismissal = txns::dismiss(lab.keys(), term.key(), term.revision(), &record());
    lab.must(&dismissal).await;
    let before = lab.all().await;
    let outcome = term.resign(vec![also]).await;
    assert!(
        matches!(&outcome, tenure_cluster::Outcome::Refused(_)),
        "{outcome:?}"
    );
    assert_eq!(lab.all().await, before, "a refused resignation wrote");
}
