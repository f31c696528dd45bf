//! The compares of a transaction.

use std::cmp::Ordering;

use etcd_client::CompareOp;
use etcd_client::proto::{PbCompare, PbCompareTarget, PbKeyValue, PbTargetUnion};

use super::span::Span;
use super::store::Store;

/// Whether all hold, for every key of a compare's range.
pub(crate) fn all_hold(store: &Store, compares: &[PbCompare]) -> bool {
    compares.iter().all(|compare| holds(store, compare))
}

fn holds(store: &Store, compare: &PbCompare) -> bool {
    let mut found = store
        .span(Span::new(&compare.key, &compare.range_end))
        .peekable();
    if found.peek().is_some() {
        return found.all(|record| holds_for(compare, &record.kv));
    }
    // A key that is not there has revisions, version and lease 0, and no value that anything equals.
    compare.target() != PbCompareTarget::Value && holds_for(compare, &PbKeyValue::default())
}

fn holds_for(compare: &PbCompare, kv: &PbKeyValue) -> bool {
    let union = compare.target_union.as_ref();
    // Where the union is of another kind than the target, etcd compares with nothing: 0, or no bytes.
    let number = |of: fn(&PbTargetUnion) -> Option<i64>| union.and_then(of).unwrap_or(0);
    let order = match PbCompareTarget::try_from(compare.target) {
        Ok(PbCompareTarget::Value) => {
            let value = match union {
                Some(PbTargetUnion::Value(value)) => value.as_slice(),
                _ => &[],
            };
            kv.value.as_slice().cmp(value)
        }
        Ok(PbCompareTarget::Version) => kv.version.cmp(&number(version)),
        Ok(PbCompareTarget::Create) => kv.create_revision.cmp(&number(create_revision)),
        Ok(PbCompareTarget::Mod) => kv.mod_revision.cmp(&number(mod_revision)),
        Ok(PbCompareTarget::Lease) => kv.lease.cmp(&number(lease)),
        Err(_) => Ordering::Equal,
    };
    match CompareOp::try_from(compare.result) {
        Ok(CompareOp::Equal) => order.is_eq(),
        Ok(CompareOp::NotEqual) => order.is_ne(),
        Ok(CompareOp::Greater) => order.is_gt(),
        Ok(CompareOp::Less) => order.is_lt(),
        Err(_) => true,
    }
}

fn version(union: &PbTargetUnion) -> Option<i64> {
    match union {
        PbTargetUnion::Version(number) => Some(*number),
        _ => None,
    }
}

fn create_revision(union: &PbTargetUnion) -> Option<i64> {
    match union {
        PbTargetUnion::CreateRevision(number) => Some(*number),
        _ => None,
    }
}

fn mod_revision(union: &PbTargetUnion) -> Option<i64> {
    match union {
        PbTargetUnion::ModRevision(number) => Some(*number),
        _ => None,
    }
}

fn lease(union: &PbTargetUnion) -> Option<i64> {
    match union {
        PbTargetUnion::Lease(number) => Some(*number),
        _ => None,
    }
}
