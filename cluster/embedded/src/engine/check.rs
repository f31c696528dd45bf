//! What etcd checks of a request before it looks at the keys. Reads no store.

use std::collections::BTreeSet;

use etcd_client::proto::{
    PbDeleteRequest, PbPutRequest, PbRangeRequest, PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp,
};

use super::error::Error;
use super::span::Span;

/// 128, etcd's `--max-txn-ops` default, for the longest list; a nested transaction has what the outer left.
const TXN_OPS_MAX: usize = 128;

/// The sort orders there are: none, ascending, descending.
const SORT_ORDERS: std::ops::RangeInclusive<i32> = 0..=2;
/// The sort targets there are: key, version, create, mod, value.
const SORT_TARGETS: std::ops::RangeInclusive<i32> = 0..=4;

/// Checks a range.
pub(crate) fn range(request: &PbRangeRequest) -> Result<(), Error> {
    has_key(&request.key)?;
    if SORT_ORDERS.contains(&request.sort_order) && SORT_TARGETS.contains(&request.sort_target) {
        Ok(())
    } else {
        Err(Error::InvalidSort)
    }
}

/// Checks a put.
pub(crate) fn put(request: &PbPutRequest) -> Result<(), Error> {
    has_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

/// Checks a delete.
pub(crate) fn delete(request: &PbDeleteRequest) -> Result<(), Error> {
    has_key(&request.key)
}

/// Checks a transaction with all that is nested in it.
pub(crate) fn txn(request: &PbTxnRequest) -> Result<(), Error> {
    lists(request, TXN_OPS_MAX)?;
    writes(&request.success)?;
    writes(&request.failure)?;
    Ok(())
}

fn has_key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::EmptyKey);
    }
    Ok(())
}

fn lists(request: &PbTxnRequest, max: usize) -> Result<(), Error> {
    let longest = (request.compare.len())
        .max(request.success.len())
        .max(request.failure.len());
    if longest > max {
        return Err(Error::TooManyOps);
    }
    for compare in &request.compare {
        has_key(&compare.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(PbTxnOpRequest::RequestRange(request)) => range(request)?,
            Some(PbTxnOpRequest::RequestPut(request)) => put(request)?,
            Some(PbTxnOpRequest::RequestDeleteRange(request)) => delete(request)?,
            Some(PbTxnOpRequest::RequestTxn(nested)) => lists(nested, max - longest)?,
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// What a list of operations may write.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    /// Deletes of one key.
    keys: BTreeSet<&'a [u8]>,
    /// Deletes of a span.
    spans: Vec<Span<'a>>,
}

impl<'a> Writes<'a> {
    fn deletes(&self, key: &[u8]) -> bool {
        self.keys.contains(key) || self.spans.iter().any(|span| span.contains(key))
    }

    /// etcd overlooks deletes from a key on (etcd issue 22445), so this does.
    fn delete(&mut self, request: &'a PbDeleteRequest) {
        match Span::new(&request.key, &request.range_end) {
            Span::One(key) => drop(self.keys.insert(key)),
            span @ Span::Between(..) => self.spans.push(span),
            Span::From(_) => {}
        }
    }

    fn put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        if self.deletes(key) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }

    /// Takes in what the branches of a nested transaction write. One key in both branches is well: only
    /// one is taken. Puts are held against the deletes seen so far, as in etcd, so a delete in a later
    /// nested transaction passes (etcd issue 16380).
    fn nested(&mut self, success: Self, failure: Self) -> Result<(), Error> {
        for key in &success.puts {
            self.put(key)?;
        }
        for key in &failure.puts {
            if self.deletes(key) || (!self.puts.insert(key) && !success.puts.contains(key)) {
                return Err(Error::DuplicateKey);
            }
        }
        for branch in [success, failure] {
            self.keys.extend(branch.keys);
            self.spans.extend(branch.spans);
        }
        Ok(())
    }
}

/// Collects what a list may write: its deletes, then its nested transactions, then its puts.
fn writes(ops: &[PbTxnRequestOp]) -> Result<Writes<'_>, Error> {
    let mut writes = Writes::default();
    for op in ops {
        if let Some(PbTxnOpRequest::RequestDeleteRange(request)) = &op.request {
            writes.delete(request);
        }
    }
    for op in ops {
        if let Some(PbTxnOpRequest::RequestTxn(nested)) = &op.request {
            let success = self::writes(&nested.success)?;
            writes.nested(success, self::writes(&nested.failure)?)?;
        }
    }
    for op in ops {
        if let Some(PbTxnOpRequest::RequestPut(request)) = &op.request {
            writes.put(&request.key)?;
        }
    }
    Ok(writes)
}
