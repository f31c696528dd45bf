//! Requests about leases, and their end.

use std::time::Duration;

use etcd_client::proto::{
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseLeasesResponse, PbLeaseRevokeResponse,
    PbLeaseStatus, PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse,
};

use super::{Effect, Engine, Error, quota};

/// 500, how many leases etcd ends in one scan: 1,000 a second.
const ENDED_PER_SCAN: usize = 500;

impl Engine {
    /// Grants a lease, with an id chosen here where the request has none.
    ///
    /// # Errors
    /// The id is in use, the TTL too large, or the space used up.
    pub(crate) fn grant(
        &mut self,
        now: Duration,
        request: &PbLeaseGrantRequest,
    ) -> Result<PbLeaseGrantResponse, Error> {
        self.charge(quota::LEASE_BYTES)?;
        self.index += 1;
        self.refuse_full(quota::LEASE_BYTES)?;
        let id = match request.id {
            0 => self.choose_lease(),
            id => id,
        };
        let ttl_secs = self.lessor.grant(now, id, request.ttl)?;
        self.effect(|| Effect::Granted { id, ttl_secs });
        Ok(PbLeaseGrantResponse {
            header: Some(self.header()),
            id,
            ttl: ttl_secs,
            error: String::new(),
        })
    }

    /// Ends a lease and deletes its keys, in one revision.
    ///
    /// # Errors
    /// There is no such lease.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<PbLeaseRevokeResponse, Error> {
        self.index += 1;
        let keys = self.lessor.remove(id).ok_or(Error::LeaseNotFound)?;
        for key in keys {
            self.store.delete(key.to_vec());
        }
        self.commit();
        self.effect(|| Effect::Ended { id });
        Ok(PbLeaseRevokeResponse {
            header: Some(self.header()),
        })
    }

    /// Gives a lease its full TTL anew. Returns that, or 0 where the lease is gone. One that is over is
    /// ended at once; etcd would wait for its scan to end it, then answer the same.
    pub(crate) fn keep_alive(&mut self, now: Duration, id: i64) -> i64 {
        if let Some(ttl_secs) = self.lessor.renew(now, id) {
            return ttl_secs;
        }
        if self.lessor.contains(id) {
            self.revoke(id).expect("the lessor has it");
        }
        0
    }

    /// What is left of a lease: TTL -1 where it is gone. Keys are in order.
    pub(crate) fn time_to_live(
        &self,
        now: Duration,
        request: &PbLeaseTimeToLiveRequest,
    ) -> PbLeaseTimeToLiveResponse {
        let mut answer = PbLeaseTimeToLiveResponse {
            header: Some(self.header()),
            id: request.id,
            ttl: -1,
            ..PbLeaseTimeToLiveResponse::default()
        };
        if let Some(lease) = self.lessor.get(request.id) {
            let left = lease.expiry.saturating_sub(now).as_secs();
            answer.ttl = i64::try_from(left).unwrap_or(i64::MAX);
            answer.granted_ttl = lease.ttl_secs;
            if request.keys {
                answer.keys = lease.keys.iter().map(|key| key.to_vec()).collect();
            }
        }
        answer
    }

    /// All leases, the one that ends first first.
    pub(crate) fn leases(&self) -> PbLeaseLeasesResponse {
        let leases = self.lessor.ids().map(|id| PbLeaseStatus { id });
        PbLeaseLeasesResponse {
            header: Some(self.header()),
            leases: leases.collect(),
        }
    }

    /// Ends the leases that are over, each in a revision of its own, at most 500.
    pub(crate) fn end_leases(&mut self, now: Duration) {
        for id in self.lessor.over(now, ENDED_PER_SCAN) {
            self.revoke(id).expect("the lessor has just named it");
        }
    }

    /// What a change of etcd's leader does: a new term, and every lease with its full TTL and 1 s.
    pub(crate) fn change_leader(&mut self, now: Duration) {
        self.term += 1;
        self.lessor.renew_all(now);
    }

    /// Seed above, counter below: the same in every run with the same seed, and never used before.
    fn choose_lease(&mut self) -> i64 {
        loop {
            self.leases_chosen += 1;
            let seed = i64::from(self.identity.lease_seed & 0x7fff_ffff) << 32;
            let id = seed | i64::from(self.leases_chosen);
            if !self.lessor.contains(id) {
                return id;
            }
        }
    }
}
