//! What a task asks for beside a slot: permits, locks, a share of its concurrency key, labels of its node; says what, never whether
//! it is to be had.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::name::Name;

/// 8 permits to a task: each is looked at for every decision about it.
pub const PERMITS_MAX: usize = 8;

/// 8 locks to a task, likewise.
pub const LOCKS_MAX: usize = 8;

/// 8 labels that its node must have, and 8 that are preferred.
pub const LABELS_MAX: usize = 8;

/// 1,000,000 permits: the most that a semaphore has, and that a task asks for.
pub const LIMIT_MAX: u32 = 1_000_000;

/// Some of a semaphore, held while the task is claimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permit {
    /// The semaphore.
    pub semaphore: Name,
    /// How much of it, 1 to [`LIMIT_MAX`].
    pub weight: u32,
}

/// All that a task asks for; taken together or not at all. The empty one is left out of what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Needs {
    /// At most [`PERMITS_MAX`], by name, none twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permits: Vec<Permit>,
    /// At most [`LOCKS_MAX`], by name, none twice. A claim with a lock holds one task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Name>,
    /// The concurrency key: as many tasks of one key run at once as their queue allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, String>,
    /// Labels that it should have: of two nodes with room, the one with more of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prefer: BTreeMap<String, String>,
}

/// What only so many hold at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A lock: one holder.
    Lock(Name),
    /// A concurrency key of a queue.
    Key(Name, Name),
    /// A semaphore: holders of weights up to its limit.
    Semaphore(Name),
}

impl Needs {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What has to be open, and how much of it each task takes: locks, then the key, then semaphores.
    pub fn gates<'a>(&'a self, queue: &'a Name) -> impl Iterator<Item = (Gate, u32)> + 'a {
        let locks = self.locks.iter().map(|lock| (Gate::Lock(lock.clone()), 1));
        let key = self.key.iter();
        let key = key.map(|key| (Gate::Key(queue.clone(), key.clone()), 1));
        let permits = self.permits.iter();
        let permits = permits.map(|permit| {
            let gate = Gate::Semaphore(permit.semaphore.clone());
            (gate, permit.weight)
        });
        locks.chain(key).chain(permits)
    }

    /// How many tasks one claim may hold: one where a lock is asked for.
    pub fn alone(&self) -> bool {
        !self.locks.is_empty()
    }

    /// Whether a node with these labels may run it.
    pub fn allows(&self, labels: &BTreeMap<String, String>) -> bool {
        has_all(labels, &self.require)
    }

    /// How many of the preferred labels are among these.
    pub fn liking(&self, labels: &BTreeMap<String, String>) -> usize {
        let wanted = self.prefer.iter();
        wanted
            .filter(|(key, value)| labels.get(*key) == Some(value))
            .count()
    }

    /// Names the set of required labels: the first 64 bits of the SHA-256 of their JSON; none where none is required.
    ///
    /// # Panics
    /// Never: a map of strings encodes, and SHA-256 has 32 bytes.
    pub fn place(&self) -> Option<u64> {
        if self.require.is_empty() {
            return None;
        }
        let text = serde_json::to_vec(&self.require).expect("a map of strings encodes");
        let digest = Sha256::digest(text);
        let first: [u8; 8] = digest[..8].try_into().expect("SHA-256 has 32 bytes");
        Some(u64::from_be_bytes(first))
    }
}

/// Whether all of the wanted labels are there.
fn has_all(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(name) => write!(f, "lock {name}"),
            Self::Key(queue, key) => write!(f, "concurrency key {key} of queue {queue}"),
            Self::Semaphore(name) => write!(f, "semaphore {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_node_needs_every_required_label_and_is_liked_for_each_preferred_one() {
        let needs = Needs {
            require: labels(&[("zone", "a"), ("gpu", "yes")]),
            prefer: labels(&[("disk", "ssd"), ("rack", "7")]),
            ..Needs::default()
        };
        for (node, allowed, liked) in [
            (
                labels(&[("zone", "a"), ("gpu", "yes"), ("disk", "ssd")]),
                true,
                1,
            ),
            (
                labels(&[("zone", "a"), ("gpu", "no"), ("rack", "7")]),
                false,
                1,
            ),
            (labels(&[("zone", "a")]), false, 0),
            (labels(&[]), false, 0),
        ] {
            assert_eq!((needs.allows(&node), needs.liking(&node)), (allowed, liked));
        }
        assert!(Needs::default().allows(&labels(&[])));
    }

    #[test]
    fn sets_of_labels_have_places_of_their_own() {
        let of = |pairs: &[(&str, &str)]| {
            let require = labels(pairs);
            Needs {
                require,
                ..Needs::default()
            }
            .place()
        };
        assert_eq!(of(&[]), None);
        assert_ne!(of(&[("a", "b")]), of(&[("a", "c")]));
        assert_eq!(of(&[("a", "b"), ("c", "d")]), of(&[("c", "d"), ("a", "b")]));
    }
}
