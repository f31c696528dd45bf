//! From operations to the messages of the protocol, with relative revisions made absolute.

#![expect(
    clippy::default_trait_access,
    reason = "the types of these messages have no public names"
)]

use etcd_client::proto::{
    PbCompare, PbDeleteRequest, PbPutRequest, PbRangeRequest, PbTargetUnion, PbTxnOpRequest,
    PbTxnRequest, PbTxnRequestOp, PbWatchRequest, PbWatchRequestUnion,
};

use crate::ops::{Compare, Delete, Inner, Operand, Put, Range, Rev, Txn, Watch};

/// What relative revisions are relative to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Now {
    pub(crate) current: i64,
    pub(crate) compacted: i64,
}

impl Now {
    pub(crate) fn rev(self, rev: Rev) -> i64 {
        rev.resolve(self.current, self.compacted)
    }

    pub(crate) fn range(self, op: &Range) -> PbRangeRequest {
        PbRangeRequest {
            key: op.key.clone().into(),
            range_end: op.end.clone().into(),
            limit: op.limit,
            revision: self.rev(op.rev),
            sort_order: op.order,
            sort_target: op.target,
            serializable: op.serializable,
            keys_only: op.keys_only,
            count_only: op.count_only,
            min_mod_revision: self.rev(op.min_mod),
            max_mod_revision: self.rev(op.max_mod),
            min_create_revision: self.rev(op.min_create),
            max_create_revision: self.rev(op.max_create),
        }
    }

    pub(crate) fn txn(self, op: &Txn) -> PbTxnRequest {
        let list = |ops: &[Inner]| ops.iter().map(|op| self.inner(op)).collect();
        PbTxnRequest {
            compare: op
                .when
                .iter()
                .map(|compare| self.compare(compare))
                .collect(),
            success: list(&op.then),
            failure: list(&op.or),
        }
    }

    fn inner(self, op: &Inner) -> PbTxnRequestOp {
        let request = match op {
            Inner::Range(op) => Some(PbTxnOpRequest::RequestRange(self.range(op))),
            Inner::Put(op) => Some(PbTxnOpRequest::RequestPut(put(op))),
            Inner::Delete(op) => Some(PbTxnOpRequest::RequestDeleteRange(delete(op))),
            Inner::Txn(op) => Some(PbTxnOpRequest::RequestTxn(self.txn(op))),
            Inner::Nothing => None,
        };
        PbTxnRequestOp { request }
    }

    fn compare(self, op: &Compare) -> PbCompare {
        PbCompare {
            result: op.result,
            target: op.target,
            key: op.key.clone().into(),
            range_end: op.end.clone().into(),
            target_union: op.with.as_ref().map(|with| match with {
                Operand::Version(n) => PbTargetUnion::Version(*n),
                Operand::Create(rev) => PbTargetUnion::CreateRevision(self.rev(*rev)),
                Operand::Mod(rev) => PbTargetUnion::ModRevision(self.rev(*rev)),
                Operand::Value(value) => PbTargetUnion::Value(value.clone().into()),
                Operand::Lease(id) => PbTargetUnion::Lease(*id),
            }),
        }
    }

    pub(crate) fn watch(self, op: &Watch) -> PbWatchRequest {
        // Its type has no public name, but the union knows it.
        let mut union = PbWatchRequestUnion::CreateRequest(Default::default());
        if let PbWatchRequestUnion::CreateRequest(create) = &mut union {
            create.key = op.key.clone().into();
            create.range_end = op.end.clone().into();
            create.start_revision = self.rev(op.start);
            create.progress_notify = op.progress;
            create.filters.clone_from(&op.filters);
            create.prev_kv = op.prev;
            create.watch_id = op.id;
            create.fragment = op.fragment;
        }
        request(union)
    }
}

pub(crate) fn put(op: &Put) -> PbPutRequest {
    PbPutRequest {
        key: op.key.clone().into(),
        value: [op.value.as_bytes(), &vec![b'x'; op.kib as usize * 1024]].concat(),
        lease: op.lease,
        prev_kv: op.prev,
        ignore_value: op.ignore_value,
        ignore_lease: op.ignore_lease,
    }
}

pub(crate) fn delete(op: &Delete) -> PbDeleteRequest {
    PbDeleteRequest {
        key: op.key.clone().into(),
        range_end: op.end.clone().into(),
        prev_kv: op.prev,
    }
}

pub(crate) fn cancel(id: i64) -> PbWatchRequest {
    let mut union = PbWatchRequestUnion::CancelRequest(Default::default());
    if let PbWatchRequestUnion::CancelRequest(cancel) = &mut union {
        cancel.watch_id = id;
    }
    request(union)
}

pub(crate) fn progress() -> PbWatchRequest {
    request(PbWatchRequestUnion::ProgressRequest(Default::default()))
}

fn request(union: PbWatchRequestUnion) -> PbWatchRequest {
    PbWatchRequest {
        request_union: Some(union),
    }
}
