//! Ids: a pack's is a `UUIDv7` with last byte 0, a task's is its pack's with its index there; never made twice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A pack's id: a `UUIDv7` (RFC 9562) whose last byte is 0. Orders by the millisecond it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackId(Uuid);

/// A task's id: its pack's id with the task's index as last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId(Uuid);

/// A claim's id: the term that made it and a number within the term, so no two terms can make the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimId {
    /// The term: create revision of the leader's election key, i64 on etcd's wire.
    pub term: i64,
    /// Counts the claims of that term.
    pub number: u64,
}

/// Why an id was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not the text of a `UUIDv7`.
    #[error(
        "`{0}` is not a task id (a version 7 UUID such as 0192f0c1-6c00-7abc-8def-0123456789ab)"
    )]
    NotATask(String),
    /// Not `<term>-<number>` in hexadecimal.
    #[error("`{0}` is not a claim id")]
    NotAClaim(String),
}

impl PackId {
    /// 36 characters: how long its text is, hyphens included.
    pub const CHARS: usize = 36;

    /// An id of this millisecond; `random` fills what time, version, variant and index leave (66 bits).
    pub fn new(unix_ms: u64, random: u128) -> Self {
        let bytes = random.to_be_bytes();
        let mut random = [0; 10];
        random.copy_from_slice(&bytes[..10]);
        let id = uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid();
        Self::of(id)
    }

    /// The smallest id of this millisecond: a bound for ranges and for the horizon.
    pub fn floor(unix_ms: u64) -> Self {
        Self::new(unix_ms, 0)
    }

    fn of(id: Uuid) -> Self {
        let mut bytes = id.into_bytes();
        bytes[15] = 0;
        Self(Uuid::from_bytes(bytes))
    }

    /// When it was made, in milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        let bytes = self.0.as_bytes();
        bytes[..6]
            .iter()
            .fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }

    /// The id of the pack's task at `index`.
    pub fn task(self, index: u8) -> TaskId {
        let mut bytes = self.0.into_bytes();
        bytes[15] = index;
        TaskId(Uuid::from_bytes(bytes))
    }
}

impl TaskId {
    /// The pack it was submitted in.
    pub fn pack(self) -> PackId {
        PackId::of(self.0)
    }

    /// Its place in that pack.
    pub fn index(self) -> u8 {
        self.0.as_bytes()[15]
    }

    /// The id as a UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

fn version_7(text: &str) -> Result<Uuid, IdError> {
    let wrong = || IdError::NotATask(text.chars().take(64).collect());
    let id = Uuid::try_parse(text).map_err(|_| wrong())?;
    if id.get_version_num() == 7 && text.len() == 36 {
        Ok(id)
    } else {
        Err(wrong())
    }
}

impl FromStr for TaskId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        version_7(text).map(Self)
    }
}

impl FromStr for PackId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        version_7(text).map(Self::of)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.term, self.number)
    }
}

impl FromStr for ClaimId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::NotAClaim(text.chars().take(64).collect());
        let (term, number) = text.split_once('-').ok_or_else(wrong)?;
        let term = i64::from_str_radix(term, 16).map_err(|_| wrong())?;
        let number = u64::from_str_radix(number, 16).map_err(|_| wrong())?;
        Ok(Self { term, number })
    }
}

impl TryFrom<String> for ClaimId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ClaimId> for String {
    fn from(claim: ClaimId) -> Self {
        claim.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_task_knows_its_pack_and_place(ms in 0_u64..1 << 48, random: u128, index: u8) {
            let pack = PackId::new(ms, random);
            let task = pack.task(index);
            prop_assert_eq!((task.pack(), task.index(), pack.unix_ms()), (pack, index, ms));
            prop_assert_eq!(task.to_string().parse::<TaskId>().unwrap(), task);
            prop_assert_eq!(pack.to_string().parse::<PackId>().unwrap(), pack);
        }

        #[test]
        fn later_packs_order_after_earlier_ones_as_text(ms in 0_u64..1 << 47, a: u128, b: u128) {
            prop_assert!(PackId::new(ms, a).to_string() < PackId::new(ms + 1, b).to_string());
        }

        #[test]
        fn a_claim_id_survives_its_text(term in 0_i64.., number: u64) {
            let claim = ClaimId { term, number };
            prop_assert_eq!(claim.to_string().parse::<ClaimId>().unwrap(), claim);
        }
    }

    #[test]
    fn other_versions_and_forms_are_refused() {
        for bad in [
            "",
            "x",
            "0192f0c16c007abc8def0123456789ab",
            "936da01f-9abd-4d9d-80c7-02af85c822a8",
        ] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad:?} was taken");
        }
    }
}
