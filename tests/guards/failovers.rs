//! What is put on record of sessions and terms that are over.

use std::collections::BTreeMap;

use tenure::store::{
    Change, Death, Evidence, EvidenceKind, Failover, Gone, GuardName, How, Moved, Noticed, Teller,
    Telling, Verdict, encode,
};
use tenure_cluster::Txn;

use super::common::{Lab, NOW, Writes, name};

/// A session that is over.
const ID: i64 = 4_711;

fn record(term: i64) -> Failover {
    Failover {
        node: name("a"),
        instance: None,
        session: Some(ID),
        died: true,
        term: None,
        evidence: Some(Evidence::Lease),
        by: None,
        noticed_ms: None,
        last_seen: None,
        gone: Gone {
            at_ms: NOW,
            how: How::Watched,
            revision: Some(9),
        },
        succession: None,
        moved: Moved {
            tasks: 2,
            waits: BTreeMap::from([(7, 2)]),
            ..Moved::default()
        },
        told_by: vec![Teller {
            node: name("b"),
            term,
            from_ms: NOW,
        }],
        complete_ms: None,
    }
}

fn telling(seen: i64, term: i64) -> Telling {
    Telling {
        id: ID,
        record: record(term).into(),
        seen,
        forget: Vec::new(),
        swept: Vec::new(),
    }
}

/// Somebody noted a session's death.
async fn noted(lab: &Lab, session: i64) -> String {
    let death = Death {
        node: name("a"),
        instance: "i".to_owned(),
        lease: 7,
        term: None,
        evidence: EvidenceKind::Refused,
        by: name("b"),
        last_seen_ms: None,
        noticed_ms: NOW,
    };
    let key = lab.keys().death(session);
    lab.must(&Txn::new().put(&key, encode(&death))).await;
    key
}

#[tokio::test]
async fn tell_writes_the_record_and_what_nobody_needs_gone() {
    let lab = Lab::start().await;
    let (own, other) = (noted(&lab, ID).await, noted(&lab, 5).await);
    let kept = noted(&lab, 6).await;
    let old = lab.keys().failover(3);
    lab.must(&Txn::new().put(&old, encode(&record(1)))).await;
    let tell = Change::Tell(Telling {
        forget: vec![3],
        swept: vec![5, ID],
        ..telling(0, 1)
    });

    let writes = lab.writes(&tell).await;

    let new = [lab.keys().failover(ID)];
    assert_eq!(writes, Writes::of(&new, &[], &[own, other, old]));
    assert!(lab.revision_of(&kept).await > 0);
    let seen = lab.seen::<Failover>(&new[0]).await;
    assert_eq!(seen.value, record(1));
}

#[tokio::test]
async fn who_ended_a_session_is_known_before_and_after_its_story_is_told() {
    let lab = Lab::start().await;
    let ended = |by: Option<&str>, evidence| Failover {
        instance: Some("i".to_owned()),
        by: by.map(name),
        evidence: Some(evidence),
        ..record(1)
    };
    let by = lab.store.noticed(ID).await.unwrap();
    assert_eq!(by, None);
    noted(&lab, ID).await;
    let noted = lab.store.noticed(ID).await.unwrap();
    let expected = Noticed {
        instance: "i".to_owned(),
        by: name("b"),
        evidence: Evidence::Refused,
    };
    assert_eq!(noted.as_ref(), Some(&expected));

    let tell = Change::Tell(Telling {
        record: ended(Some("b"), Evidence::Refused).into(),
        swept: vec![ID],
        ..telling(0, 1)
    });
    lab.done(&tell).await;
    assert_eq!(lab.store.death(ID).await.unwrap(), None);
    let told = lab.store.noticed(ID).await.unwrap();
    assert_eq!(told, Some(expected));

    let tell = Change::Tell(Telling {
        id: 5,
        record: ended(None, Evidence::Lease).into(),
        ..telling(0, 1)
    });
    lab.done(&tell).await;
    assert_eq!(lab.store.noticed(5).await.unwrap(), None);
}

/// Also where the list of what goes names it: etcd refuses two writes of one key.
#[tokio::test]
async fn tell_writes_its_own_record_and_never_forgets_it() {
    let lab = Lab::start().await;
    let tell = Change::Tell(Telling {
        forget: vec![ID],
        ..telling(0, 1)
    });
    let record = lab.keys().failover(ID);
    assert_eq!(lab.writes(&tell).await, Writes::of(&[record], &[], &[]));
}

#[tokio::test]
async fn tell_writes_the_record_again_as_it_was_seen() {
    let lab = Lab::start().await;
    let seen = lab.done(&Change::Tell(telling(0, 1))).await;
    let writes = lab.writes(&Change::Tell(telling(seen, 2))).await;
    let record = lab.keys().failover(ID);
    assert_eq!(writes, Writes::of(&[], &[record], &[]));
}

#[tokio::test]
async fn tell_loses_by_failover_to_its_own_copy() {
    let lab = Lab::start().await;
    let tell = Change::Tell(telling(0, 1));
    let seen = lab.done(&tell).await;
    lab.refused(&tell, "failover").await;
    let amend = Change::Tell(telling(seen, 1));
    lab.done(&amend).await;
    lab.refused(&amend, "failover").await;
}

#[tokio::test]
async fn tell_loses_by_failover_where_another_leader_amended_it() {
    let lab = Lab::start().await;
    let seen = lab.done(&Change::Tell(telling(0, 1))).await;
    lab.done(&Change::Tell(telling(seen, 2))).await;
    lab.refused(&Change::Tell(telling(seen, 1)), "failover")
        .await;
}

#[tokio::test]
async fn tell_loses_by_term_under_the_fence() {
    let lab = Lab::start().await;
    let (_session, term) = lab.lead().await;
    let fence = term.guard();
    term.resign(Vec::new()).await;
    let before = lab.all().await;
    let tell = [Change::Tell(telling(0, 1))];

    let verdicts = lab.store.commit_batch(Some(&fence), &tell).await;

    assert!(
        matches!(&verdicts[..], [Verdict::Refused { lost, .. }] if *lost == [GuardName::Term]),
        "{verdicts:?}"
    );
    assert_eq!(lab.all().await, before, "a fenced batch wrote");
}
