//! etcd's state machine: requests in, answers and effects out. No clock, no runtime, no IO: time is an
//! argument, monotonic since any origin.
//!
//! ```text
//!   check ─▶ quota ─▶ write (puts, deletes, transactions) ─▶ store   versions by revision
//!                      └ compare, read                       lessor  what ends when
//! ```

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbDeleteRequest, PbDeleteResponse, PbPutRequest,
    PbPutResponse, PbRangeRequest, PbRangeResponse, PbResponseHeader, PbTxnOpRequest, PbTxnRequest,
    PbTxnResponse,
};
use prost::Message;

mod admin;
mod check;
mod compare;
mod error;
mod leases;
mod lessor;
mod quota;
mod read;
mod record;
mod span;
mod store;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use error::Error;
pub(crate) use lessor::Lessor;
pub(crate) use record::{Record, Shared};
pub(crate) use span::Span;
pub(crate) use store::{RecordId, Store};

use write::Writer;

/// 1.5 MiB, etcd's `--max-request-bytes` default.
pub(crate) const REQUEST_BYTES_MAX: usize = 3 << 19;

/// 18 bytes, what etcd's envelope adds to a request before it is measured: an id, a tag and a length.
const ENVELOPE_BYTES: usize = 18;

/// What has to outlive the process, in the order in which it came to be.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// A revision, with all that it wrote.
    Wrote(Vec<Shared>),
    /// A lease of so many seconds.
    Granted { id: i64, ttl_secs: i64 },
    /// The lease is gone.
    Ended { id: i64 },
    /// History before the revision is gone, and with it these records.
    Compacted {
        revision: i64,
        dropped: Vec<RecordId>,
    },
    /// The alarm about space, and who raised it.
    NoSpace(Option<Alarm>),
}

/// Who answers, and within which bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    /// The one member's id.
    pub(crate) member: u64,
    /// The cluster's id.
    pub(crate) cluster: u64,
    /// Bytes that versions may take, or none.
    pub(crate) quota_bytes: Option<usize>,
    /// Lease ids that are chosen here start from it, so that two runs choose others.
    pub(crate) lease_seed: u32,
}

/// Who raised the alarm about space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// A write that did not fit: it is lowered when there is room again.
    Quota,
    /// A client: it is lowered by one.
    Asked,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Engine {
    store: Store,
    lessor: Lessor,
    identity: Identity,
    no_space: Option<Alarm>,
    /// Requests that changed something, as raft would count them.
    index: u64,
    term: u64,
    leases_chosen: u32,
    /// Filled only where somebody takes them.
    effects: Option<Vec<Effect>>,
}

/// 2, the term in which etcd's first leader is usually elected.
const FIRST_TERM: u64 = 2;

impl Engine {
    /// An empty state machine that keeps no effects.
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            store: Store::default(),
            lessor: Lessor::default(),
            identity,
            no_space: None,
            index: 0,
            term: FIRST_TERM,
            leases_chosen: 0,
            effects: None,
        }
    }

    /// One from what was kept, which keeps its effects until [`take_effects`](Self::take_effects).
    pub(crate) fn restore(
        identity: Identity,
        store: Store,
        lessor: Lessor,
        no_space: Option<Alarm>,
    ) -> Self {
        Self {
            index: store.revision().unsigned_abs(),
            store,
            lessor,
            no_space,
            effects: Some(Vec::new()),
            ..Self::new(identity)
        }
    }

    /// What has come to be since it was last asked.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.effects
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The versions of all keys.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// A header at the current revision.
    pub(crate) fn header(&self) -> PbResponseHeader {
        self.header_at(self.store.revision())
    }

    /// A header at a revision.
    pub(crate) fn header_at(&self, revision: i64) -> PbResponseHeader {
        PbResponseHeader {
            cluster_id: self.identity.cluster,
            member_id: self.identity.member,
            revision,
            raft_term: self.term,
        }
    }

    /// Reads keys.
    ///
    /// # Errors
    /// The request is wrong, or its revision compacted or not there yet.
    pub(crate) fn range(&self, request: &PbRangeRequest) -> Result<PbRangeResponse, Error> {
        check::range(request)?;
        let answer = read::range(&self.store, request)?;
        Ok(PbRangeResponse {
            header: Some(self.header()),
            ..answer
        })
    }

    /// Writes a key.
    ///
    /// # Errors
    /// The request is wrong or too large, its key or lease not there, or the space used up.
    pub(crate) fn put(&mut self, request: PbPutRequest) -> Result<PbPutResponse, Error> {
        self.charge(quota::put(&request))?;
        check::put(&request)?;
        refuse_large(&request)?;
        self.index += 1;
        self.refuse_full(quota::put(&request))?;
        let mut writer = self.writer();
        writer.check_put(&request)?;
        let answer = writer.put(request);
        self.commit();
        Ok(PbPutResponse {
            header: Some(self.header()),
            ..answer
        })
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// The request is wrong or too large.
    pub(crate) fn delete(&mut self, request: &PbDeleteRequest) -> Result<PbDeleteResponse, Error> {
        check::delete(request)?;
        refuse_large(request)?;
        self.index += 1;
        let answer = self.writer().delete(request);
        self.commit();
        Ok(PbDeleteResponse {
            header: Some(self.header()),
            ..answer
        })
    }

    /// Applies a transaction: all that its compares choose, in one revision, or nothing.
    ///
    /// # Errors
    /// The request is wrong or too large; on the way its compares choose a key or lease is not there, or a
    /// revision compacted or not there yet; or the space is used up.
    pub(crate) fn txn(&mut self, request: PbTxnRequest) -> Result<PbTxnResponse, Error> {
        self.charge(quota::txn(&request))?;
        check::txn(&request)?;
        if !reads_only(&request) {
            refuse_large(&request)?;
            self.index += 1;
        }
        self.refuse_full(quota::txn(&request))?;
        let mut writer = self.writer();
        let path = writer.path(&request);
        writer.check_txn(&request, &path)?;
        let answer = writer.txn(request, path)?;
        self.commit();
        Ok(PbTxnResponse {
            header: Some(self.header()),
            ..answer
        })
    }

    /// Drops history before a revision.
    ///
    /// # Errors
    /// Already compacted there, or not there yet.
    pub(crate) fn compact(
        &mut self,
        request: &PbCompactionRequest,
    ) -> Result<PbCompactionResponse, Error> {
        self.index += 1;
        let dropped = self.store.compact(request.revision)?;
        self.effect(|| Effect::Compacted {
            revision: request.revision,
            dropped,
        });
        Ok(PbCompactionResponse {
            header: Some(self.header()),
        })
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer {
            store: &mut self.store,
            lessor: &mut self.lessor,
        }
    }

    fn commit(&mut self) {
        let wrote = self.store.commit();
        if let Some(effects) = &mut self.effects
            && !wrote.is_empty()
        {
            effects.push(Effect::Wrote(wrote.to_vec()));
        }
    }

    fn effect(&mut self, effect: impl FnOnce() -> Effect) {
        if let Some(effects) = &mut self.effects {
            effects.push(effect());
        }
    }

    /// Raises the alarm where the charge no longer fits.
    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        let full = self.identity.quota_bytes;
        if bytes > 0 && full.is_some_and(|quota| self.store.bytes() + bytes >= quota) {
            self.alarmed(Alarm::Quota);
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    fn refuse_full(&self, bytes: usize) -> Result<(), Error> {
        if self.no_space.is_some() && bytes > 0 {
            return Err(Error::NoSpace);
        }
        Ok(())
    }
}

fn refuse_large(request: &impl Message) -> Result<(), Error> {
    if request.encoded_len() + ENVELOPE_BYTES > REQUEST_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    Ok(())
}

/// Whether etcd would serve the transaction as a read; one with another nested in it it would not.
fn reads_only(request: &PbTxnRequest) -> bool {
    let mut ops = request.success.iter().chain(&request.failure);
    ops.all(|op| matches!(op.request, Some(PbTxnOpRequest::RequestRange(_))))
}
