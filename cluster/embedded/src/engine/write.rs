//! Puts, deletes and transactions on the revision being made.

use etcd_client::proto::{
    PbDeleteRequest, PbDeleteResponse, PbPutRequest, PbPutResponse, PbResponseHeader, PbResponseOp,
    PbTxnOpRequest, PbTxnOpResponse, PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};

use super::compare;
use super::error::Error;
use super::lessor::Lessor;
use super::read;
use super::span::Span;
use super::store::Store;

/// Which branch a transaction takes, and those nested in that branch, in order.
pub(crate) struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

/// The store with the leases that hang on its keys.
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) lessor: &'a mut Lessor,
}

impl Writer<'_> {
    /// Whether a put by itself can be applied: etcd looks for its lease first.
    pub(crate) fn check_put(&self, request: &PbPutRequest) -> Result<(), Error> {
        self.check_lease(request)?;
        self.check_key(request)
    }

    /// Whether a put of a transaction can be applied: etcd looks for its key first.
    fn check_put_inside(&self, request: &PbPutRequest) -> Result<(), Error> {
        self.check_key(request)?;
        self.check_lease(request)
    }

    fn check_key(&self, request: &PbPutRequest) -> Result<(), Error> {
        let needs_key = request.ignore_value || request.ignore_lease;
        if needs_key && self.store.get(&request.key).is_none() {
            return Err(Error::KeyNotFound);
        }
        Ok(())
    }

    fn check_lease(&self, request: &PbPutRequest) -> Result<(), Error> {
        if request.lease != 0 && !self.lessor.contains(request.lease) {
            return Err(Error::LeaseNotFound);
        }
        Ok(())
    }

    /// Puts; whoever calls has checked. The header has only the revision.
    pub(crate) fn put(&mut self, request: PbPutRequest) -> PbPutResponse {
        let before = self.store.get(&request.key).cloned();
        let before = before.as_ref().map(|record| &record.kv);
        let lease = match before {
            Some(kv) if request.ignore_lease => kv.lease,
            _ => request.lease,
        };
        let value = match before {
            Some(kv) if request.ignore_value => kv.value.clone(),
            _ => request.value,
        };
        let lease_before = before.map_or(0, |kv| kv.lease);
        if lease_before != lease {
            self.lessor.detach(lease_before, &request.key);
            self.lessor.attach(lease, &request.key);
        }
        self.store.put(request.key, value, lease);
        PbPutResponse {
            header: Some(revision(self.store.current())),
            prev_kv: before.filter(|_| request.prev_kv).cloned(),
        }
    }

    /// Deletes. The header has only the revision.
    pub(crate) fn delete(&mut self, request: &PbDeleteRequest) -> PbDeleteResponse {
        let span = Span::new(&request.key, &request.range_end);
        let found: Vec<_> = self.store.span(span).cloned().collect();
        for record in &found {
            self.lessor.detach(record.kv.lease, &record.kv.key);
            self.store.delete(record.kv.key.clone());
        }
        let before = found.iter().filter(|_| request.prev_kv);
        PbDeleteResponse {
            header: Some(revision(self.store.current())),
            deleted: i64::try_from(found.len()).expect("keys in memory are fewer than 2^63"),
            prev_kvs: before.map(|record| record.kv.clone()).collect(),
        }
    }

    /// Evaluates all compares, at every level, before anything is written.
    pub(crate) fn path(&self, request: &PbTxnRequest) -> Path {
        let succeeded = compare::all_hold(self.store, &request.compare);
        let nested = taken(request, succeeded).iter().filter_map(nested);
        Path {
            succeeded,
            nested: nested.map(|request| self.path(request)).collect(),
        }
    }

    /// Whether all on the path can be applied, puts first as in etcd.
    pub(crate) fn check_txn(&self, request: &PbTxnRequest, path: &Path) -> Result<(), Error> {
        check_path(request, path, &|op| match &op.request {
            Some(PbTxnOpRequest::RequestPut(put)) => self.check_put_inside(put),
            _ => Ok(()),
        })?;
        check_path(request, path, &|op| match &op.request {
            Some(PbTxnOpRequest::RequestRange(range)) => self.check_revision(range.revision),
            _ => Ok(()),
        })
    }

    fn check_revision(&self, revision: i64) -> Result<(), Error> {
        match revision {
            0 => Ok(()),
            future if future > self.store.current() => Err(Error::FutureRevision),
            old if old < self.store.compacted() => Err(Error::Compacted),
            _ => Ok(()),
        }
    }

    /// Applies a transaction; whoever calls has checked its path. The header is left to the caller.
    pub(crate) fn txn(
        &mut self,
        request: PbTxnRequest,
        path: Path,
    ) -> Result<PbTxnResponse, Error> {
        let ops = if path.succeeded {
            request.success
        } else {
            request.failure
        };
        let mut paths = path.nested.into_iter();
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            let response = match op.request {
                Some(PbTxnOpRequest::RequestRange(request)) => {
                    PbTxnOpResponse::ResponseRange(read::range(self.store, &request)?)
                }
                Some(PbTxnOpRequest::RequestPut(request)) => {
                    PbTxnOpResponse::ResponsePut(self.put(request))
                }
                Some(PbTxnOpRequest::RequestDeleteRange(request)) => {
                    PbTxnOpResponse::ResponseDeleteRange(self.delete(&request))
                }
                Some(PbTxnOpRequest::RequestTxn(request)) => {
                    let path = paths.next().expect("one for each nested transaction");
                    PbTxnOpResponse::ResponseTxn(self.txn(request, path)?)
                }
                None => continue,
            };
            responses.push(PbResponseOp {
                response: Some(response),
            });
        }
        Ok(PbTxnResponse {
            header: Some(PbResponseHeader::default()),
            succeeded: path.succeeded,
            responses,
        })
    }
}

/// Checks every operation on a path.
fn check_path(
    request: &PbTxnRequest,
    path: &Path,
    check: &dyn Fn(&PbTxnRequestOp) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut paths = path.nested.iter();
    for op in taken(request, path.succeeded) {
        match nested(op) {
            Some(request) => {
                let path = paths.next().expect("one for each nested transaction");
                check_path(request, path, check)?;
            }
            None => check(op)?,
        }
    }
    Ok(())
}

fn taken(request: &PbTxnRequest, succeeded: bool) -> &[PbTxnRequestOp] {
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

fn nested(op: &PbTxnRequestOp) -> Option<&PbTxnRequest> {
    match &op.request {
        Some(PbTxnOpRequest::RequestTxn(request)) => Some(request),
        _ => None,
    }
}

fn revision(revision: i64) -> PbResponseHeader {
    PbResponseHeader {
        revision,
        ..PbResponseHeader::default()
    }
}
