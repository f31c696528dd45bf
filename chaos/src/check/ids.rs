//! Ids and sets of tasks, read by this crate's own rules: a pack's id is a UUID whose last byte is 0, a task's is its
//! pack's with the task's index there, and a set of indexes is written as `0-99,101`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A pack's id. Ordered as its text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct PackId(u128);

/// A task's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TaskId(u128);

/// Indexes of tasks within a pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Which([u128; 2]);

/// What is no id, or no set.
#[derive(Debug)]
pub struct Unreadable(String);

impl PackId {
    /// The id of its task of this index.
    pub fn task(self, index: u8) -> TaskId {
        TaskId(self.0 | u128::from(index))
    }
}

impl TaskId {
    /// Its pack.
    pub fn pack(self) -> PackId {
        PackId(self.0 & !0xff)
    }
}

impl Which {
    /// Whether it has the index.
    pub fn contains(self, index: u8) -> bool {
        self.0[usize::from(index >> 7)] >> (index & 127) & 1 == 1
    }

    /// Those that the other has not.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self([self.0[0] & !other.0[0], self.0[1] & !other.0[1]])
    }

    /// The indexes in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |index| self.contains(*index))
    }

    fn insert(&mut self, index: u8) {
        self.0[usize::from(index >> 7)] |= 1 << (index & 127);
    }
}

impl FromIterator<u8> for Which {
    fn from_iter<I: IntoIterator<Item = u8>>(indexes: I) -> Self {
        let mut which = Self::default();
        indexes.into_iter().for_each(|index| which.insert(index));
        which
    }
}

fn uuid(text: &str) -> Option<u128> {
    let dashes = [8, 13, 18, 23];
    let well_formed = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| {
            if dashes.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
            }
        });
    if !well_formed {
        return None;
    }
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

fn spell(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hex = format!("{id:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    f.write_str(&parts.join("-"))
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spell(self.0, f)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spell(self.0, f)
    }
}

impl FromStr for PackId {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        uuid(text)
            .filter(|id| id.trailing_zeros() >= 8)
            .map(Self)
            .ok_or_else(|| Unreadable(text.to_owned()))
    }
}

impl FromStr for TaskId {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        uuid(text)
            .map(Self)
            .ok_or_else(|| Unreadable(text.to_owned()))
    }
}

impl FromStr for Which {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || Unreadable(text.to_owned());
        let mut which = Self::default();
        for run in text.split(',').filter(|run| !run.is_empty()) {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let first: u8 = first.parse().map_err(|_| wrong())?;
            let last: u8 = last.parse().map_err(|_| wrong())?;
            (first..=last).for_each(|index| which.insert(index));
        }
        Ok(which)
    }
}

impl TryFrom<String> for PackId {
    type Error = Unreadable;

    fn try_from(text: String) -> Result<Self, Unreadable> {
        text.parse()
    }
}

impl TryFrom<String> for TaskId {
    type Error = Unreadable;

    fn try_from(text: String) -> Result<Self, Unreadable> {
        text.parse()
    }
}

impl TryFrom<String> for Which {
    type Error = Unreadable;

    fn try_from(text: String) -> Result<Self, Unreadable> {
        text.parse()
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no id and no set", self.0)
    }
}
