//! The transactions about limits, about those outside who wait and hold, and about work that is parked.

use crate::etcd::{Key, Op, Place, Rev, Test, Txn, Value};
use crate::txns::{Protocol, Seen, is};
use crate::weakening::Weakening;

impl Protocol {
    pub(crate) fn park(self, seen: &Seen) -> Txn {
        let parked = self.record(Place::Parked, seen.id);
        let mut txn = Txn::default();
        if !self.lacks(Weakening::ParkWithoutReady) {
            txn.guards.push(is(seen.key, Test::Modified(seen.modified)));
        }
        txn.ops.extend([
            Op::Delete(seen.key),
            Op::Put(parked, Value::Record(seen.record)),
        ]);
        txn
    }

    pub(crate) fn edit(self, limit: Rev, lowered: u8) -> Txn {
        let mut ops = vec![Op::Put(Key::Limit, Value::Limit(lowered))];
        if !self.lacks(Weakening::EditWithoutRules) {
            ops.push(Op::Put(Key::Rules, Value::Empty));
        }
        Txn {
            guards: vec![is(Key::Limit, Test::Modified(limit))],
            ops,
        }
    }

    /// etcd itself refuses a put with a lease that has ended.
    pub(crate) fn want(holder: u8, lease: Rev) -> Txn {
        Txn {
            guards: vec![
                is(Key::Lease(holder), Test::Created(lease)),
                is(Key::Want(holder), Test::Absent),
                is(Key::Hold(holder), Test::Absent),
            ],
            ops: vec![Op::Put(Key::Want(holder), Value::Empty)],
        }
    }

    pub(crate) fn grant(self, holder: u8, want: Rev, lease: Rev) -> Txn {
        let mut guards = vec![is(Key::Lease(holder), Test::Created(lease))];
        if !self.lacks(Weakening::GrantWithoutWant) {
            guards.push(is(Key::Want(holder), Test::Modified(want)));
        }
        Txn {
            guards,
            ops: vec![
                Op::Delete(Key::Want(holder)),
                Op::Put(Key::Hold(holder), Value::Empty),
            ],
        }
    }

    pub(crate) fn release(self, holder: u8, hold: Rev) -> Txn {
        if self.lacks(Weakening::ReleaseByName) {
            return Txn {
                guards: Vec::new(),
                ops: vec![Op::Delete(Key::Hold(0)), Op::Delete(Key::Hold(1))],
            };
        }
        Txn {
            guards: vec![is(Key::Hold(holder), Test::Created(hold))],
            ops: vec![Op::Delete(Key::Hold(holder))],
        }
    }
}
