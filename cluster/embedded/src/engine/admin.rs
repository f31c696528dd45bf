//! Alarms, status and hashes.

use etcd_client::proto::{
    PbAlarmMember, PbAlarmRequest, PbAlarmResponse, PbHashKvResponse, PbHashResponse,
    PbStatusResponse,
};
use etcd_client::{AlarmAction, AlarmType};

use super::{Alarm, Effect, Engine, Error};

/// The etcd whose answers these are.
pub(crate) const VERSION: &str = "3.5.30";

/// A tenth of the quota is free before the alarm is lowered: less would be full again at once.
const FREE_SHARE: usize = 10;

/// FNV-1a, 32 bits.
const HASH_START: u32 = 0x811c_9dc5;
const HASH_PRIME: u32 = 0x0100_0193;

impl Engine {
    /// Lists, raises or lowers an alarm. Only the one about space is known.
    pub(crate) fn alarm(&mut self, request: &PbAlarmRequest) -> PbAlarmResponse {
        let meant = match request.alarm() {
            AlarmType::Nospace => true,
            AlarmType::None => request.action() == AlarmAction::Get,
            AlarmType::Corrupt => false,
        };
        let mine = request.member_id == self.identity.member;
        let named = match request.action() {
            AlarmAction::Get => meant && self.no_space.is_some(),
            AlarmAction::Activate => {
                if meant {
                    self.raise_no_space();
                }
                meant
            }
            AlarmAction::Deactivate => {
                let lowered = meant && mine && self.no_space.is_some();
                if lowered {
                    self.lower_no_space();
                }
                lowered
            }
        };
        PbAlarmResponse {
            header: Some(self.header()),
            alarms: named.then(|| self.alarm_member()).into_iter().collect(),
        }
    }

    /// Refuses puts and grants from now on.
    pub(crate) fn raise_no_space(&mut self) {
        self.alarmed(Alarm::Asked);
    }

    pub(super) fn alarmed(&mut self, by: Alarm) {
        if self.no_space.is_none() {
            self.no_space = Some(by);
            self.effect(|| Effect::NoSpace(Some(by)));
        }
    }

    /// Accepts them again.
    pub(crate) fn lower_no_space(&mut self) {
        if self.no_space.take().is_some() {
            self.effect(|| Effect::NoSpace(None));
        }
    }

    /// Whether a write did not fit, and nothing has been accepted since.
    pub(crate) fn full(&self) -> bool {
        self.no_space == Some(Alarm::Quota)
    }

    /// Accepts them again where a write that did not fit raised the alarm, and a tenth of the quota is free by now.
    pub(crate) fn lower_where_room(&mut self) {
        let quota = self.identity.quota_bytes.unwrap_or(usize::MAX);
        if self.full() && self.store.bytes() < quota - quota / FREE_SHARE {
            self.lower_no_space();
        }
    }

    /// How the member is. Sizes are of the versions in memory; nothing waits to be defragmented.
    pub(crate) fn status(&self) -> PbStatusResponse {
        let bytes = i64::try_from(self.store.bytes()).unwrap_or(i64::MAX);
        let member = self.identity.member;
        let errors = self
            .no_space
            .map(|_| format!("memberID:{member} alarm:NOSPACE "));
        let quota = self.identity.quota_bytes.map(i64::try_from);
        PbStatusResponse {
            header: Some(self.header()),
            version: VERSION.to_owned(),
            db_size: bytes,
            db_size_in_use: bytes,
            db_size_quota: quota.and_then(Result::ok).unwrap_or(0),
            leader: member,
            raft_index: self.index,
            raft_applied_index: self.index,
            raft_term: self.term,
            errors: errors.into_iter().collect(),
            ..PbStatusResponse::default()
        }
    }

    /// A hash of everything there is.
    pub(crate) fn hash(&self) -> PbHashResponse {
        PbHashResponse {
            header: Some(self.header()),
            hash: self.hash_upto(self.store.revision()),
        }
    }

    /// A hash of the history up to a revision, 0 for the current one.
    ///
    /// # Errors
    /// The revision is compacted or not there yet.
    pub(crate) fn hash_kv(&self, revision: i64) -> Result<PbHashKvResponse, Error> {
        let current = self.store.revision();
        let revision = if revision == 0 { current } else { revision };
        if revision > current {
            return Err(Error::FutureRevision);
        }
        if revision < self.store.compacted() {
            return Err(Error::Compacted);
        }
        Ok(PbHashKvResponse {
            header: Some(self.header()),
            hash: self.hash_upto(revision),
            compact_revision: self.store.compacted(),
            hash_revision: revision,
        })
    }

    fn hash_upto(&self, revision: i64) -> u32 {
        let mut hash = HASH_START;
        let mut eat = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u32::from(*byte)).wrapping_mul(HASH_PRIME);
            }
        };
        for record in self.store.records() {
            if record.kv.mod_revision <= revision {
                eat(&record.kv.key);
                eat(&record.kv.value);
                eat(&record.kv.mod_revision.to_be_bytes());
                eat(&record.kv.lease.to_be_bytes());
            }
        }
        hash
    }

    fn alarm_member(&self) -> PbAlarmMember {
        PbAlarmMember {
            member_id: self.identity.member,
            alarm: AlarmType::Nospace.into(),
        }
    }
}
