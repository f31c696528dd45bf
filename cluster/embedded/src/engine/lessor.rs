//! Leases: which there are, what hangs on them, when they end. Reads no clock and deletes nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::error::Error;
use super::store::Key;

/// 2 s, etcd's minimum with its default election timeout of 1 s: 1.5 of it, rounded up.
pub(crate) const TTL_SECS_MIN: i64 = 2;
/// 9,000,000,000 s, etcd's maximum.
pub(crate) const TTL_SECS_MAX: i64 = 9_000_000_000;
/// 1 s, etcd's default election timeout: a new leader gives every lease that much besides its TTL.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// One lease.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Seconds, as granted.
    pub(crate) ttl_secs: i64,
    /// When it ends unless renewed.
    pub(crate) expiry: Duration,
    /// What goes with it.
    pub(crate) keys: BTreeSet<Key>,
}

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Lessor {
    leases: BTreeMap<i64, Lease>,
    by_expiry: BTreeSet<(Duration, i64)>,
}

impl Lessor {
    /// Whether the lease is there. It may be over and not yet revoked.
    pub(crate) fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// The lease.
    pub(crate) fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// Grants a lease. Returns the TTL it got, in seconds.
    ///
    /// # Errors
    /// The TTL is too large, or the id in use.
    pub(crate) fn grant(&mut self, now: Duration, id: i64, ttl_secs: i64) -> Result<i64, Error> {
        if ttl_secs > TTL_SECS_MAX {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.contains(id) {
            return Err(Error::LeaseExists);
        }
        let ttl_secs = ttl_secs.max(TTL_SECS_MIN);
        let expiry = now + ttl(ttl_secs);
        let keys = BTreeSet::new();
        self.by_expiry.insert((expiry, id));
        self.leases.insert(
            id,
            Lease {
                ttl_secs,
                expiry,
                keys,
            },
        );
        Ok(ttl_secs)
    }

    /// Takes the lease out. Returns what hung on it, in order.
    pub(crate) fn remove(&mut self, id: i64) -> Option<BTreeSet<Key>> {
        let lease = self.leases.remove(&id)?;
        self.by_expiry.remove(&(lease.expiry, id));
        Some(lease.keys)
    }

    /// Gives the lease its full TTL anew. Returns it in seconds, or none where the lease is gone or over.
    pub(crate) fn renew(&mut self, now: Duration, id: i64) -> Option<i64> {
        let lease = self.leases.get(&id).filter(|lease| lease.expiry > now)?;
        let ttl_secs = lease.ttl_secs;
        self.extend(id, now + ttl(ttl_secs));
        Some(ttl_secs)
    }

    /// Gives every lease its full TTL and an election timeout, as a new etcd leader does.
    pub(crate) fn renew_all(&mut self, now: Duration) {
        let ids: Vec<_> = self
            .leases
            .iter()
            .map(|(id, l)| (*id, l.ttl_secs))
            .collect();
        for (id, ttl_secs) in ids {
            self.extend(id, now + ttl(ttl_secs) + ELECTION_TIMEOUT);
        }
    }

    fn extend(&mut self, id: i64, expiry: Duration) {
        if let Some(lease) = self.leases.get_mut(&id) {
            self.by_expiry.remove(&(lease.expiry, id));
            lease.expiry = expiry;
            self.by_expiry.insert((expiry, id));
        }
    }

    /// The leases that are over, the longest first, at most `max`.
    pub(crate) fn over(&self, now: Duration, max: usize) -> Vec<i64> {
        let over = self
            .by_expiry
            .iter()
            .take_while(|(expiry, _)| *expiry <= now);
        over.take(max).map(|(_, id)| *id).collect()
    }

    /// All ids, the one that ends first first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.by_expiry.iter().map(|(_, id)| *id)
    }

    /// Hangs a key on a lease; without one (0) it hangs on none.
    pub(crate) fn attach(&mut self, id: i64, key: &[u8]) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.insert(key.into());
        }
    }

    /// Takes a key off its lease.
    pub(crate) fn detach(&mut self, id: i64, key: &[u8]) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }
}

fn ttl(secs: i64) -> Duration {
    Duration::from_secs(u64::try_from(secs).expect("at least TTL_SECS_MIN"))
}
