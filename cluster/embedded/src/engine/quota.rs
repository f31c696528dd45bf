//! What a write is charged against the quota, as etcd charges it.

use etcd_client::proto::{PbPutRequest, PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp};

/// 256 bytes, etcd's charge for a put besides its key and value.
const PUT_BYTES: usize = 256;
/// 64 bytes, etcd's charge for a lease.
pub(crate) const LEASE_BYTES: usize = 64;

/// The charge for a put.
pub(crate) fn put(request: &PbPutRequest) -> usize {
    PUT_BYTES + request.key.len() + request.value.len()
}

/// The charge for the dearer branch of a transaction. Nested transactions are not charged, as in etcd.
pub(crate) fn txn(request: &PbTxnRequest) -> usize {
    list(&request.success).max(list(&request.failure))
}

fn list(ops: &[PbTxnRequestOp]) -> usize {
    let charges = ops.iter().map(|op| match &op.request {
        Some(PbTxnOpRequest::RequestPut(request)) => put(request),
        _ => 0,
    });
    charges.sum()
}
