//! How full etcd is: the one measure by which everybody judges it. Pure; never asks.

use crate::status::MemberHealth;

/// What etcd has and may have, in bytes. What is in use decides, not the file: etcd uses freed pages again, so the file grows no
/// further while they last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What of the database is in use.
    pub in_use: i64,
    /// The database file.
    pub size: i64,
    /// The size at which etcd refuses writes.
    pub quota: i64,
    /// Whether etcd refuses writes already: its alarm NOSPACE stays until somebody disarms it.
    pub no_space: bool,
}

impl Room {
    /// Of one member; `quota` counts where it does not tell its own.
    pub fn of(health: &MemberHealth, quota: i64) -> Self {
        Self {
            in_use: health.db_size_in_use,
            size: health.db_size,
            quota: health.quota.filter(|quota| *quota > 0).unwrap_or(quota),
            no_space: health.no_space(),
        }
    }

    /// Of all members: the most that any has, the least that any may have. None where there is none.
    pub fn of_all<'a>(
        members: impl IntoIterator<Item = &'a MemberHealth>,
        quota: i64,
    ) -> Option<Self> {
        let rooms = members.into_iter().map(|health| Self::of(health, quota));
        rooms.reduce(|one, other| Self {
            in_use: one.in_use.max(other.in_use),
            size: one.size.max(other.size),
            quota: one.quota.min(other.quota),
            no_space: one.no_space || other.no_space,
        })
    }

    /// Whether this share of the quota, 0 to 1, is in use, or etcd refuses writes already.
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes of databases are far below 2^52"
    )]
    pub fn full(&self, share: f64) -> bool {
        self.no_space || self.in_use as f64 >= self.quota.max(1) as f64 * share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn member(in_use: i64, size: i64, quota: Option<i64>) -> MemberHealth {
        MemberHealth {
            version: "3.6.0".to_owned(),
            db_size: size,
            db_size_in_use: in_use,
            quota,
            is_leader: false,
            raft_term: 1,
            revision: 1,
            errors: Vec::new(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_in_use_decides_and_not_the_file() {
        assert!(!Room::of(&member(79, 100, Some(100)), 0).full(0.8));
        assert!(Room::of(&member(80, 80, Some(100)), 0).full(0.8));
        assert!(!Room::of(&member(80, 80, Some(100)), 0).full(0.9));
    }

    #[test]
    fn a_member_that_tells_no_quota_has_the_one_given() {
        assert_eq!(Room::of(&member(1, 2, None), 7).quota, 7);
        assert_eq!(Room::of(&member(1, 2, Some(0)), 7).quota, 7);
        assert_eq!(Room::of(&member(1, 2, Some(9)), 7).quota, 9);
    }

    #[test]
    fn an_alarm_is_full_whatever_is_in_use() {
        let mut alarmed = member(0, 0, Some(100));
        alarmed.errors = vec!["memberID:1 alarm:NOSPACE".to_owned()];
        assert!(Room::of(&alarmed, 0).full(0.95));
    }

    #[test]
    fn all_members_together_are_as_full_as_the_worst_of_each() {
        let members = [member(10, 90, Some(100)), member(60, 70, Some(80))];
        let room = Room::of_all(&members, 0).unwrap();
        assert_eq!((room.in_use, room.size, room.quota), (60, 90, 80));
        assert_eq!(Room::of_all(&[], 7), None);
    }
}
