//! Which tasks of a pack: a set of indexes; never larger than a pack.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 256: a task's index is the last byte of its id.
pub const PACK_TASKS_MAX: usize = 256;

/// A set of task indexes within one pack, written as `0-99,101`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Which([u64; 4]);

/// Why a written set was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a set of task indexes such as 0-99,101")]
pub struct WhichError(String);

impl Which {
    /// The empty set.
    pub const NONE: Self = Self([0; 4]);

    /// The indexes 0 to `count` - 1.
    ///
    /// # Panics
    /// When `count` is above [`PACK_TASKS_MAX`].
    pub fn first(count: usize) -> Self {
        assert!(
            count <= PACK_TASKS_MAX,
            "a pack holds at most {PACK_TASKS_MAX} tasks"
        );
        (0..count)
            .map(|i| u8::try_from(i).expect("checked above"))
            .collect()
    }

    /// The set of one index.
    pub fn only(index: u8) -> Self {
        std::iter::once(index).collect()
    }

    /// Adds an index.
    pub fn insert(&mut self, index: u8) {
        self.0[usize::from(index) / 64] |= 1 << (index % 64);
    }

    /// Takes an index out.
    pub fn remove(&mut self, index: u8) {
        self.0[usize::from(index) / 64] &= !(1 << (index % 64));
    }

    /// Whether the index is in the set.
    pub fn contains(&self, index: u8) -> bool {
        self.0[usize::from(index) / 64] & (1 << (index % 64)) != 0
    }

    /// How many indexes it has, 0 to 256.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The indexes in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |i| self.contains(*i))
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// Those in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// Those in this one and not in the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }

    /// The first `count` of them in order; all where there are fewer.
    #[must_use]
    pub fn take(self, count: usize) -> Self {
        self.iter().take(count).collect()
    }

    /// The set in pieces of at most `size`, in order.
    pub fn split(self, size: usize) -> Vec<Self> {
        let indexes: Vec<u8> = self.iter().collect();
        indexes
            .chunks(size.max(1))
            .map(|piece| piece.iter().copied().collect())
            .collect()
    }
}

impl FromIterator<u8> for Which {
    fn from_iter<I: IntoIterator<Item = u8>>(indexes: I) -> Self {
        let mut set = Self::NONE;
        indexes.into_iter().for_each(|i| set.insert(i));
        set
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(u8, u8)> = Vec::new();
        for index in self.iter() {
            match runs.last_mut() {
                Some((_, end)) if u16::from(*end) + 1 == u16::from(index) => *end = index,
                Some(_) | None => runs.push((index, index)),
            }
        }
        for (nth, (start, end)) in runs.into_iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            if start == end {
                write!(f, "{comma}{start}")?;
            } else {
                write!(f, "{comma}{start}-{end}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Which {
    type Err = WhichError;

    fn from_str(text: &str) -> Result<Self, WhichError> {
        let wrong = || WhichError(text.chars().take(64).collect());
        let mut set = Self::NONE;
        for run in text.split(',').filter(|run| !run.is_empty()) {
            let (start, end) = run.split_once('-').unwrap_or((run, run));
            let start: u8 = start.parse().map_err(|_| wrong())?;
            let end: u8 = end.parse().map_err(|_| wrong())?;
            if start > end {
                return Err(wrong());
            }
            (start..=end).for_each(|i| set.insert(i));
        }
        Ok(set)
    }
}

impl TryFrom<String> for Which {
    type Error = WhichError;

    fn try_from(text: String) -> Result<Self, WhichError> {
        text.parse()
    }
}

impl From<Which> for String {
    fn from(set: Which) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_survives_its_text(indexes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let set: Which = indexes.into_iter().collect();
            prop_assert_eq!(set.to_string().parse::<Which>().unwrap(), set);
        }

        #[test]
        fn pieces_are_disjoint_and_make_the_whole(
            indexes in proptest::collection::vec(any::<u8>(), 0..300), size in 1_usize..40
        ) {
            let set: Which = indexes.into_iter().collect();
            let mut seen = Which::NONE;
            for piece in set.split(size) {
                prop_assert!(piece.len() <= size && seen.and(piece).is_empty());
                seen = seen.or(piece);
            }
            prop_assert_eq!(seen, set);
        }
    }

    #[test]
    fn sets_are_written_as_runs() {
        assert_eq!(Which::first(256).to_string(), "0-255");
        assert_eq!(
            [0, 1, 2, 7].into_iter().collect::<Which>().to_string(),
            "0-2,7"
        );
        assert_eq!(Which::NONE.to_string(), "");
        assert!("3-1".parse::<Which>().is_err());
        assert!("256".parse::<Which>().is_err());
    }
}
