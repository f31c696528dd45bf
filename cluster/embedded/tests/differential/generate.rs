//! Random sequences over few keys, few leases and recent revisions, so that operations meet each other. What etcd refuses is
//! asked on purpose, now and then.

use crate::ops::{
    Cancel, Compact, Compare, Delete, Grant, Inner, Lease, OnStream, Op, Operand, Put, Range, Rev,
    TimeToLive, Txn, Watch,
};
use crate::random::Random;

/// With the harness's own there are 12 keys at most: etcd does not say in which order equals come when it sorts more.
const KEYS: [&str; 11] = ["a", "a/1", "a/2", "b", "b/1", "c", "d", "e", "f", "g", "h"];
const VALUES: [&str; 5] = [
    "",
    "0",
    "1",
    "two",
    "\u{7f}long enough to be told from others",
];
/// 60 to 160 operations: enough for history to gather, few enough to be shrunk quickly.
const LENGTH: (i64, i64) = (60, 160);
/// Transactions within transactions within transactions.
const DEPTH: u64 = 3;
/// 128 is how long a list of a transaction may be.
const LISTS_AT_THE_LIMIT: [u64; 3] = [127, 128, 129];

/// The sequence of this number.
pub(crate) fn sequence(seed: u64, number: u64) -> Vec<Op> {
    let mut random = Random::new(seed, number);
    let length = random.between(LENGTH.0, LENGTH.1).unsigned_abs();
    random.times(length, op)
}

fn op(r: &mut Random) -> Op {
    if r.once_in(400) {
        return Op::Put(large_put(r));
    }
    match r.below(100) {
        0..22 => Op::Put(put(r)),
        22..40 => Op::Range(range(r)),
        40..48 => Op::Delete(delete(r)),
        48..70 => Op::Txn(txn(r, DEPTH)),
        70..73 => Op::Compact(compact(r)),
        73..78 => Op::Grant(grant(r)),
        78..81 => Op::Revoke(Lease { id: lease(r) }),
        81..84 => Op::KeepAlive(Lease { id: lease(r) }),
        84..88 => Op::TimeToLive(TimeToLive {
            id: lease(r),
            keys: !r.once_in(4),
        }),
        88..90 => Op::Leases,
        90..96 => Op::Watch(watch(r)),
        96..98 => Op::Cancel(Cancel {
            stream: stream(r),
            id: watch_id(r),
        }),
        _ => Op::Progress(OnStream { stream: stream(r) }),
    }
}

fn key(r: &mut Random) -> String {
    if r.once_in(60) {
        return r.pick(&["", "\0", "zz"]).to_owned();
    }
    r.pick(&KEYS).to_owned()
}

/// Nothing, the end of a prefix, some key (often below the first), everything that follows.
fn end(r: &mut Random, key: &str) -> String {
    match r.below(10) {
        0..4 => String::new(),
        4..6 => format!("{key}0"),
        6..8 => r.pick(&KEYS).to_owned(),
        8 => "z".to_owned(),
        _ => "\0".to_owned(),
    }
}

fn rev(r: &mut Random) -> Rev {
    match r.below(20) {
        0..3 => Rev::Compacted(r.between(-1, 2)),
        3 => Rev::Raw(r.pick(&[-1, 1, i64::MAX, i64::MIN])),
        4 => Rev::Back(r.between(-3, -1)),
        5..8 => Rev::Back(r.between(0, 60)),
        _ => Rev::Back(r.between(0, 8)),
    }
}

/// Mostly none.
fn bound(r: &mut Random) -> Rev {
    if r.once_in(8) { rev(r) } else { Rev::Zero }
}

fn stream(r: &mut Random) -> usize {
    r.pick(&[0, 0, 1, 2])
}

/// Not -1: answers that are about no watch have that.
fn watch_id(r: &mut Random) -> i64 {
    r.pick(&[-2, 0, 1, 2, 3, 4, 5, 6])
}

fn lease(r: &mut Random) -> i64 {
    r.pick(&[1, 1, 2, 2, 3, 4, 9, 0])
}

fn range(r: &mut Random) -> Range {
    let key = key(r);
    let end = if r.once_in(3) {
        "\0".to_owned()
    } else {
        end(r, &key)
    };
    let sorts = r.once_in(3);
    Range {
        end,
        key,
        limit: if r.once_in(3) { r.between(-1, 4) } else { 0 },
        rev: if r.once_in(3) { rev(r) } else { Rev::Zero },
        // None that the protocol does not have: etcd 3.5 dies of an unknown target.
        order: if sorts { r.pick(&[0, 1, 2]) } else { 0 },
        target: if sorts { r.pick(&[0, 1, 2, 3, 4]) } else { 0 },
        serializable: r.once_in(5),
        keys_only: r.once_in(6),
        count_only: r.once_in(8),
        min_mod: bound(r),
        max_mod: bound(r),
        min_create: bound(r),
        max_create: bound(r),
    }
}

fn put(r: &mut Random) -> Put {
    let mut put = Put {
        key: key(r),
        value: r.pick(&VALUES).to_owned(),
        lease: if r.once_in(3) { lease(r) } else { 0 },
        prev: r.once_in(3),
        ignore_value: r.once_in(10),
        ignore_lease: r.once_in(10),
        kib: 0,
    };
    // Both with and without what makes them refused.
    if put.ignore_value && !r.once_in(4) {
        put.value.clear();
    }
    if put.ignore_lease && !r.once_in(4) {
        put.lease = 0;
    }
    put
}

/// Two of these need several fragments; 1,536 KiB are more than a request may have.
fn large_put(r: &mut Random) -> Put {
    Put {
        key: key(r),
        kib: r.pick(&[10, 500, 900, 900, 1535, 1536, 1600]),
        prev: r.once_in(2),
        ..Put::default()
    }
}

fn delete(r: &mut Random) -> Delete {
    let key = key(r);
    Delete {
        end: end(r, &key),
        key,
        prev: r.once_in(2),
    }
}

fn txn(r: &mut Random, depth: u64) -> Txn {
    if r.once_in(25) {
        return long_txn(r);
    }
    let compares = r.below(3);
    Txn {
        when: r.times(compares, compare),
        then: list(r, depth),
        or: list(r, depth),
    }
}

fn list(r: &mut Random, depth: u64) -> Vec<Inner> {
    let length = r.below(4);
    r.times(length, |r| inner(r, depth))
}

fn inner(r: &mut Random, depth: u64) -> Inner {
    match r.below(20) {
        0..8 => Inner::Put(put_inside(r)),
        8..12 => Inner::Delete(delete(r)),
        12..16 => Inner::Range(range(r)),
        _ if depth > 1 => Inner::Txn(txn(r, depth - 1)),
        19 => Inner::Nothing,
        _ => Inner::Put(put_inside(r)),
    }
}

/// Less often refused, as one is enough for all of a transaction.
fn put_inside(r: &mut Random) -> Put {
    if r.once_in(6) {
        return put(r);
    }
    Put {
        key: key(r),
        value: r.pick(&VALUES).to_owned(),
        prev: r.once_in(3),
        lease: if r.once_in(8) { lease(r) } else { 0 },
        ..Put::default()
    }
}

/// One of its lists is about as long as it may be, of operations that may repeat.
fn long_txn(r: &mut Random) -> Txn {
    let length = r.pick(&LISTS_AT_THE_LIMIT);
    let mut txn = Txn::default();
    let read = Inner::Range(Range {
        key: key(r),
        ..Range::default()
    });
    let many = vec![read; usize::try_from(length).expect("it is small")];
    match r.below(4) {
        0 => txn.when = r.times(length, compare),
        1 => txn.or = many,
        2 => {
            txn.then = vec![Inner::Txn(Txn {
                then: many,
                ..Txn::default()
            })];
        }
        _ => txn.then = many,
    }
    txn
}

fn compare(r: &mut Random) -> Compare {
    let key = key(r);
    let target = r.below(5);
    let operand = match if r.once_in(30) { r.below(5) } else { target } {
        0 => Operand::Version(r.between(0, 4)),
        1 => Operand::Create(if r.once_in(3) { Rev::Zero } else { rev(r) }),
        2 => Operand::Mod(if r.once_in(3) { Rev::Zero } else { rev(r) }),
        3 => Operand::Value(r.pick(&VALUES).to_owned()),
        _ => Operand::Lease(lease(r)),
    };
    Compare {
        end: if r.once_in(4) {
            end(r, &key)
        } else {
            String::new()
        },
        key,
        target: if r.once_in(60) {
            5
        } else {
            i32::try_from(target).expect("it is below 5")
        },
        result: if r.once_in(60) {
            4
        } else {
            r.pick(&[0, 0, 1, 2, 3])
        },
        with: (!r.once_in(40)).then_some(operand),
    }
}

fn compact(r: &mut Random) -> Compact {
    Compact {
        rev: match r.below(6) {
            0 => rev(r),
            1 => Rev::Back(0),
            2 => Rev::Compacted(r.between(0, 3)),
            _ => Rev::Back(r.between(0, 25)),
        },
        physical: r.once_in(2),
    }
}

fn grant(r: &mut Random) -> Grant {
    let ttl = match r.below(12) {
        0 => r.pick(&[-1, 0, 1, 2, 5]),
        1 => r.pick(&[9_000_000_000, 9_000_000_001, i64::MAX]),
        _ => r.pick(&[300, 600, 900, 1200]),
    };
    let id = if r.once_in(15) {
        r.pick(&[0, -1])
    } else {
        lease(r)
    };
    Grant { id, ttl }
}

fn watch(r: &mut Random) -> Watch {
    let key = key(r);
    Watch {
        stream: stream(r),
        id: if r.once_in(3) { watch_id(r) } else { 0 },
        end: if r.once_in(3) {
            "\0".to_owned()
        } else {
            end(r, &key)
        },
        key,
        start: if r.once_in(2) { Rev::Zero } else { rev(r) },
        prev: r.once_in(2),
        progress: r.once_in(5),
        fragment: r.once_in(5),
        filters: match r.below(8) {
            0 => vec![0],
            1 => vec![1],
            2 => vec![r.pick(&[0, 1, 2]), r.pick(&[0, 1])],
            _ => Vec::new(),
        },
    }
}
