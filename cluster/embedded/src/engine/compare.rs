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
    let order = match PbCompareTarget::try_from(compare.target) {
        Ok(PbCompareTarget::Value) => kv.value.as_slice().cmp(bytes(compare)),
        Ok(PbCompareTarget::Version) => kv.version.cmp(&number(compare)),
        Ok(PbCompareTarget::Create) => kv.create_revision.cmp(&number(compare)),
        Ok(PbCompareTarget::Mod) => kv.mod_revision.cmp(&number(compare)),
        Ok(PbCompareTarget::Lease) => kv.lease.cmp(&number(compare)),
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

/// What to compare with; 0 where it is of another kind than the target, as in etcd.
fn number(compare: &PbCompare) -> i64 {
    match (compare.target(), &compare.target_union) {
        (PbCompareTarget::Version, Some(PbTargetUnion::Version(number)))
        | (PbCompareTarget::Create, Some(PbTargetUnion::CreateRevision(number)))
        | (PbCompareTarget::Mod, Some(PbTargetUnion::ModRevision(number)))
        | (PbCompareTarget::Lease, Some(PbTargetUnion::Lease(number))) => *number,
        (_, _) => 0,
    }
}

/// As [`number`], for values.
fn bytes(compare: &PbCompare) -> &[u8] {
    match &compare.target_union {
        Some(PbTargetUnion::Value(value)) => value,
        _ => &[],
    }
}
