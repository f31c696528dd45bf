//! The engine by tables, and against a model that is a map for each revision.

mod bounds;
mod model;
mod sequences;
mod tables;

use etcd_client::proto::{
    PbCompare, PbDeleteRequest, PbLeaseGrantRequest, PbPutRequest, PbRangeRequest, PbTargetUnion,
    PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp,
};

use super::{Engine, Identity};

fn engine() -> Engine {
    Engine::new(Identity {
        member: 1,
        cluster: 2,
        quota_bytes: None,
        lease_seed: 1,
    })
}

fn put(key: &[u8], value: &[u8]) -> PbPutRequest {
    PbPutRequest {
        key: key.to_vec(),
        value: value.to_vec(),
        ..PbPutRequest::default()
    }
}

fn range(key: &[u8], range_end: &[u8]) -> PbRangeRequest {
    PbRangeRequest {
        key: key.to_vec(),
        range_end: range_end.to_vec(),
        ..PbRangeRequest::default()
    }
}

fn delete(key: &[u8], range_end: &[u8]) -> PbDeleteRequest {
    PbDeleteRequest {
        key: key.to_vec(),
        range_end: range_end.to_vec(),
        ..PbDeleteRequest::default()
    }
}

fn grant(id: i64, ttl: i64) -> PbLeaseGrantRequest {
    PbLeaseGrantRequest { id, ttl }
}

fn op(request: PbTxnOpRequest) -> PbTxnRequestOp {
    PbTxnRequestOp {
        request: Some(request),
    }
}

fn puts(key: &[u8]) -> PbTxnRequestOp {
    op(PbTxnOpRequest::RequestPut(put(key, b"x")))
}

fn deletes(key: &[u8], range_end: &[u8]) -> PbTxnRequestOp {
    op(PbTxnOpRequest::RequestDeleteRange(delete(key, range_end)))
}

fn nests(success: Vec<PbTxnRequestOp>, failure: Vec<PbTxnRequestOp>) -> PbTxnRequestOp {
    op(PbTxnOpRequest::RequestTxn(txn(vec![], success, failure)))
}

fn txn(
    compare: Vec<PbCompare>,
    success: Vec<PbTxnRequestOp>,
    failure: Vec<PbTxnRequestOp>,
) -> PbTxnRequest {
    PbTxnRequest {
        compare,
        success,
        failure,
    }
}

/// A compare by the numbers of etcd's protocol.
fn compare(key: &[u8], end: &[u8], target: i32, result: i32, with: PbTargetUnion) -> PbCompare {
    PbCompare {
        result,
        target,
        key: key.to_vec(),
        range_end: end.to_vec(),
        target_union: Some(with),
    }
}
