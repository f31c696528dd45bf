//! One rule of etcd a row.

use std::time::Duration;

use etcd_client::proto::{
    PbCompactionRequest, PbPutRequest, PbRangeRequest, PbTargetUnion, PbTxnOpRequest,
    PbTxnOpResponse,
};

use super::super::{Engine, Error};
use super::{compare, delete, deletes, engine, grant, nests, op, put, puts, range, txn};

const VERSION: i32 = 0;
const CREATE: i32 = 1;
const MOD: i32 = 2;
const VALUE: i32 = 3;
const LEASE: i32 = 4;
const EQUAL: i32 = 0;
const GREATER: i32 = 1;
const LESS: i32 = 2;
const NOT_EQUAL: i32 = 3;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// a=1 at 2, b=2 at 3, c=0 at 4, a=3 at 5.
fn four() -> Engine {
    let mut engine = engine();
    for (key, value) in [(b"a", b"1"), (b"b", b"2"), (b"c", b"0"), (b"a", b"3")] {
        engine.put(put(key, value)).unwrap();
    }
    engine
}

#[test]
fn ranges_filter_sort_and_limit_in_the_order_of_etcd() {
    let engine = four();
    let all = || range(b"\0", b"\0");
    let sorted = |sort_target, sort_order, limit| PbRangeRequest {
        sort_target,
        sort_order,
        limit,
        ..all()
    };
    let table: [(PbRangeRequest, &str, bool, i64); 14] = [
        (all(), "a b c", false, 3),
        (PbRangeRequest { limit: 2, ..all() }, "a b", true, 3),
        (PbRangeRequest { limit: 3, ..all() }, "a b c", false, 3),
        (PbRangeRequest { limit: -1, ..all() }, "a b c", false, 3),
        (
            PbRangeRequest {
                count_only: true,
                ..all()
            },
            "",
            false,
            3,
        ),
        (
            PbRangeRequest {
                revision: 3,
                ..all()
            },
            "a b",
            false,
            2,
        ),
        (
            PbRangeRequest {
                min_mod_revision: 4,
                ..all()
            },
            "a c",
            false,
            3,
        ),
        (
            PbRangeRequest {
                max_create_revision: 3,
                limit: 1,
                ..all()
            },
            "a",
            true,
            3,
        ),
        (sorted(0, 2, 0), "c b a", false, 3),
        (sorted(1, 1, 0), "b c a", false, 3),
        (sorted(2, 2, 2), "c b", true, 3),
        (sorted(3, 1, 0), "b c a", false, 3),
        (sorted(4, 1, 1), "c", true, 3),
        // Without an order, what the limit (and one more) let through is sorted: a and b, not c.
        (sorted(4, 0, 1), "b", true, 3),
    ];
    for (request, keys, more, count) in table {
        let answer = engine.range(&request).unwrap();
        let found: Vec<_> = answer
            .kvs
            .iter()
            .map(|kv| kv.key.escape_ascii().to_string())
            .collect();
        assert_eq!(
            (found.join(" ").as_str(), answer.more, answer.count),
            (keys, more, count),
            "{request:?}"
        );
    }
}

#[test]
fn compares_hold_as_in_etcd_also_of_keys_that_are_not_there() {
    let mut engine = four();
    engine.grant(secs(0), &grant(7, 10)).unwrap();
    engine
        .put(PbPutRequest {
            lease: 7,
            ..put(b"l", b"")
        })
        .unwrap();
    let value = |value: &[u8]| PbTargetUnion::Value(value.to_vec());
    let table = [
        (
            compare(b"a", b"", VERSION, EQUAL, PbTargetUnion::Version(2)),
            true,
        ),
        (
            compare(b"a", b"", CREATE, EQUAL, PbTargetUnion::CreateRevision(2)),
            true,
        ),
        (
            compare(b"a", b"", MOD, GREATER, PbTargetUnion::ModRevision(4)),
            true,
        ),
        (
            compare(b"a", b"", MOD, LESS, PbTargetUnion::ModRevision(5)),
            false,
        ),
        (compare(b"a", b"", VALUE, EQUAL, value(b"3")), true),
        (compare(b"a", b"", VALUE, NOT_EQUAL, value(b"3")), false),
        (
            compare(b"l", b"", LEASE, EQUAL, PbTargetUnion::Lease(7)),
            true,
        ),
        (
            compare(b"x", b"", CREATE, EQUAL, PbTargetUnion::CreateRevision(0)),
            true,
        ),
        (
            compare(b"x", b"", MOD, NOT_EQUAL, PbTargetUnion::ModRevision(0)),
            false,
        ),
        // A value that is not there equals nothing and differs from nothing.
        (compare(b"x", b"", VALUE, EQUAL, value(b"")), false),
        (compare(b"x", b"", VALUE, NOT_EQUAL, value(b"y")), false),
        // A range: all of its keys, and an empty one as a missing key.
        (
            compare(b"a", b"d", CREATE, LESS, PbTargetUnion::CreateRevision(5)),
            true,
        ),
        (
            compare(b"a", b"d", CREATE, LESS, PbTargetUnion::CreateRevision(4)),
            false,
        ),
        (
            compare(
                b"x",
                b"z",
                CREATE,
                GREATER,
                PbTargetUnion::CreateRevision(3),
            ),
            false,
        ),
        (
            compare(b"x", b"z", CREATE, LESS, PbTargetUnion::CreateRevision(3)),
            true,
        ),
        (
            compare(b"a", b"\0", VERSION, GREATER, PbTargetUnion::Version(0)),
            true,
        ),
        // A target and a value of another kind: compared with 0, or with no bytes.
        (
            compare(b"a", b"", VERSION, EQUAL, PbTargetUnion::ModRevision(2)),
            false,
        ),
        (
            compare(b"l", b"", VALUE, EQUAL, PbTargetUnion::Version(2)),
            true,
        ),
    ];
    for (compare, holds) in table {
        let answer = engine
            .txn(txn(vec![compare.clone()], vec![], vec![]))
            .unwrap();
        assert_eq!(answer.succeeded, holds, "{compare:?}");
    }
}

#[test]
fn writes_that_may_touch_one_key_are_refused_where_etcd_sees_it() {
    let table = [
        (vec![puts(b"a"), puts(b"a")], true),
        (vec![puts(b"a"), puts(b"b")], false),
        (vec![puts(b"a"), deletes(b"a", b"")], true),
        (vec![deletes(b"a", b"c"), puts(b"b")], true),
        (vec![deletes(b"a", b"c"), puts(b"c")], false),
        (vec![deletes(b"a", b"c"), deletes(b"b", b"d")], false),
        (vec![nests(vec![puts(b"a")], vec![puts(b"a")])], false),
        (vec![nests(vec![puts(b"a")], vec![]), puts(b"a")], true),
        (
            vec![
                nests(vec![puts(b"a")], vec![]),
                nests(vec![], vec![puts(b"a")]),
            ],
            true,
        ),
        (
            vec![deletes(b"a", b""), nests(vec![], vec![puts(b"a")])],
            true,
        ),
        (
            vec![nests(vec![deletes(b"a", b"")], vec![]), puts(b"a")],
            true,
        ),
        (
            vec![
                nests(vec![deletes(b"a", b"")], vec![]),
                nests(vec![puts(b"a")], vec![]),
            ],
            true,
        ),
        // What etcd overlooks: a delete from a key on, and a delete nested after the put.
        (vec![deletes(b"a", b"\0"), puts(b"a")], false),
        (
            vec![
                nests(vec![puts(b"a")], vec![]),
                nests(vec![deletes(b"a", b"")], vec![]),
            ],
            false,
        ),
    ];
    for (ops, refused) in table {
        for request in [
            txn(vec![], ops.clone(), vec![]),
            txn(vec![], vec![], ops.clone()),
        ] {
            let answer = engine().txn(request);
            let wanted = refused.then_some(Error::DuplicateKey);
            assert_eq!(answer.err(), wanted, "{ops:?}");
        }
    }
}

#[test]
fn a_list_has_128_operations_and_a_nested_one_what_the_outer_left() {
    let many = |n: usize| {
        (0..n)
            .map(|n| puts(n.to_string().as_bytes()))
            .collect::<Vec<_>>()
    };
    let nested = |outer: usize, inner: usize| {
        let mut ops = many(outer - 1);
        let names = (0..inner).map(|n| puts(format!("inner {n}").as_bytes()));
        ops.push(nests(names.collect(), vec![]));
        ops
    };
    let table = [
        (many(128), None),
        (many(129), Some(Error::TooManyOps)),
        (nested(64, 64), None),
        (nested(64, 65), Some(Error::TooManyOps)),
    ];
    for (ops, error) in table {
        let count = ops.len();
        assert_eq!(
            engine().txn(txn(vec![], ops, vec![])).err(),
            error,
            "{count}"
        );
    }
}

#[test]
fn a_refused_transaction_leaves_nothing_and_a_reading_one_makes_no_revision() {
    let mut engine = four();
    let at = |revision| {
        op(PbTxnOpRequest::RequestRange(PbRangeRequest {
            revision,
            ..range(b"a", b"")
        }))
    };
    let leased = op(PbTxnOpRequest::RequestPut(PbPutRequest {
        lease: 9,
        ..put(b"z", b"")
    }));
    let ignoring = op(PbTxnOpRequest::RequestPut(PbPutRequest {
        ignore_value: true,
        ..put(b"z", b"")
    }));
    engine
        .compact(&PbCompactionRequest {
            revision: 3,
            physical: false,
        })
        .unwrap();
    let table = [
        (vec![puts(b"y"), leased.clone()], Error::LeaseNotFound),
        (vec![puts(b"y"), ignoring], Error::KeyNotFound),
        (vec![puts(b"y"), at(2)], Error::Compacted),
        // Not there yet, though the transaction itself would make it.
        (vec![puts(b"y"), at(6)], Error::FutureRevision),
        (
            vec![puts(b"y"), nests(vec![leased.clone()], vec![])],
            Error::LeaseNotFound,
        ),
        (
            vec![op(PbTxnOpRequest::RequestPut(put(b"", b"")))],
            Error::EmptyKey,
        ),
    ];
    for (ops, error) in table {
        assert_eq!(
            engine.txn(txn(vec![], ops.clone(), vec![])).err(),
            Some(error),
            "{ops:?}"
        );
    }
    assert_eq!(
        (
            engine.store().revision(),
            engine.range(&range(b"y", b"\0")).unwrap().count
        ),
        (5, 0)
    );

    // In the branch that is not taken it does not matter.
    let taken = engine
        .txn(txn(vec![], vec![puts(b"y")], vec![leased]))
        .unwrap();
    let reading = engine.txn(txn(vec![], vec![at(0)], vec![])).unwrap();
    assert_eq!(taken.header.unwrap().revision, 6);
    assert_eq!(reading.header.unwrap().revision, 6);
}

#[test]
fn a_transaction_reads_what_it_has_written() {
    let mut engine = four();
    let read = op(PbTxnOpRequest::RequestRange(range(b"\0", b"\0")));
    let ops = vec![read.clone(), deletes(b"a", b"c"), read];

    let answer = engine.txn(txn(vec![], ops, vec![])).unwrap();

    let seen = answer
        .responses
        .iter()
        .map(|answer| match &answer.response {
            Some(PbTxnOpResponse::ResponseRange(range)) => {
                (range.count, range.header.unwrap().revision)
            }
            Some(PbTxnOpResponse::ResponseDeleteRange(gone)) => {
                (gone.deleted, gone.header.unwrap().revision)
            }
            other => panic!("{other:?}"),
        });
    assert_eq!(seen.collect::<Vec<_>>(), [(3, 5), (2, 6), (1, 6)]);
}

#[test]
fn compaction_keeps_what_a_later_read_or_watch_needs() {
    let mut engine = four();
    engine.delete(&delete(b"b", b"")).unwrap();
    engine.put(put(b"c", b"9")).unwrap();

    engine
        .compact(&PbCompactionRequest {
            revision: 6,
            physical: false,
        })
        .unwrap();

    let kept = |revision| engine.store().log(revision).len();
    assert_eq!([5, 6, 7, 8].map(kept), [0, 1, 1, 0]);
    let then = engine
        .range(&PbRangeRequest {
            revision: 6,
            ..range(b"\0", b"\0")
        })
        .unwrap();
    let then: Vec<_> = then
        .kvs
        .iter()
        .map(|kv| (kv.key.as_slice(), kv.value.as_slice()))
        .collect();
    assert_eq!(then, [(b"a".as_slice(), b"3".as_slice()), (b"c", b"0")]);
    // a=3, c=0, c=9, and the delete of b, which is at the compacted revision.
    assert_eq!(engine.store().records().count(), 4);
}
