//! Batches: what shares one and what does not.

use super::*;
use crate::store::{Place, Record, RecordId, Report, Seen, Settled, Waiting};
use crate::task::{ClaimId, Name, PackId, Tally, Which};
use tenure_cluster::Op;

#[test]
fn claims_of_one_pack_that_end_together_put_its_mark_once() {
    let keys = Keys::new(&"c".parse::<Name>().unwrap());
    let report = |number, pack| {
        Change::Report(Report {
            node: "n".parse().unwrap(),
            claim: ClaimId { term: 1, number },
            pack: PackId::floor(pack),
            routing: Routing {
                queue: "q".parse().unwrap(),
                kind: "k".parse().unwrap(),
                priority: crate::task::Priority::default(),
                needs: None,
            },
            modified: 5,
            stop: 0,
            rest: None,
            settled: Settled {
                mark: true,
                ..Settled::default()
            },
            now_ms: 60_000,
        })
    };
    let reports = [report(1, 7), report(2, 7), report(3, 8)];
    let txn = batch(&keys, None, &reports);
    assert!(txn.check().is_ok(), "{:?}", txn.check());
    let marks = |txn: &Txn| {
        txn.then
            .iter()
            .filter(|op| matches!(op, Op::Put { key, .. } if key.starts_with(&keys.gc_prefix())))
            .count()
    };
    let nested = txn.then.iter().map(|op| match op {
        Op::Nested(txn) => marks(txn),
        Op::Put { .. }
        | Op::Delete { .. }
        | Op::DeletePrefix { .. }
        | Op::Get { .. }
        | Op::GetPrefix { .. } => {
            panic!("not nested: {op:?}")
        }
    });
    assert_eq!(nested.collect::<Vec<_>>(), [0, 0, 1, 1]);
}

#[test]
fn a_batch_has_its_changes_first_and_fits_etcds_lists() {
    let keys = Keys::new(&"c".parse::<Name>().unwrap());
    let touch = |pack| Change::Touch(waiting(pack, 5));
    let all = batches(&keys, (1..=150).map(touch).collect());
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [60, 60, 30]);
    let txn = batch(&keys, None, &all[2]);
    assert_eq!(txn.then.len(), 30);
    assert!(txn.then.iter().all(|op| matches!(op, Op::Nested(_))));
}

#[test]
fn changes_that_touch_one_key_are_in_different_batches() {
    let keys = Keys::new(&"c".parse::<Name>().unwrap());
    let touch = |pack, modified| Change::Touch(waiting(pack, modified));
    let changes = vec![touch(1, 5), touch(2, 5), touch(1, 7), touch(3, 7)];

    let all = batches(&keys, changes);

    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    for some in &all {
        let txn = batch(&keys, None, some);
        assert_eq!(txn.check(), Ok(()));
    }
}

#[test]
fn what_is_parked_behind_one_lock_goes_in_one_batch_that_puts_the_mark_once() {
    let keys = Keys::new(&"c".parse::<Name>().unwrap());
    let park = |pack| {
        let mut from = waiting(pack, 5);
        let needs = crate::task::Needs {
            locks: vec!["x".parse().unwrap()],
            ..crate::task::Needs::default()
        };
        from.seen.value.routing.needs = Some(needs.into());
        let (to, mark) = (Place::Parked(0), true);
        Change::Park(crate::store::Park { from, to, mark })
    };
    let all = batches(&keys, (1..=30).map(park).collect());
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [30]);
    let txn = batch(&keys, None, &all[0]);
    assert_eq!(txn.check(), Ok(()));
    assert_eq!(txn.then.len(), 31, "the mark is on its own");
    let alone = batch(&keys, None, &[park(1)]);
    assert_eq!(alone.then.len(), 1, "unless it is alone");
}

fn waiting(pack: u64, modified: i64) -> Waiting {
    let record = Record {
        routing: Routing {
            queue: "q".parse().unwrap(),
            kind: "k".parse().unwrap(),
            priority: crate::task::Priority::default(),
            needs: None,
        },
        which: Which::only(0),
        size: 1,
        tally: Tally::default(),
        since_ms: 0,
        why: None,
        inline: None,
    };
    Waiting {
        id: RecordId::submitted(PackId::floor(pack)),
        place: Place::Ready,
        seen: Seen {
            value: record,
            created: 1,
            modified,
        },
        now_ms: 0,
    }
}
