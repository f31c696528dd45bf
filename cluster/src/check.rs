//! What etcd refuses, or worse accepts, about the keys of one transaction. Pure; never sends anything.
//!
//! etcd evaluates every guard at every level before any write, and does not police nested transactions
//! against each other: a put in one and a delete of the same key in the next is accepted and loses the put.

use std::collections::BTreeSet;

use crate::txn::{Op, Test, Txn};
use crate::wire::probes;

/// 128, etcd's `--max-txn-ops` default: the longest list at all levels above and at this one together.
pub const OPS_PER_LIST: usize = 128;

/// Why a transaction is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A list is longer than etcd takes at its level.
    #[error("{list} has {len} entries where {bound} are left at its level")]
    TooMany {
        /// Which list.
        list: List,
        /// Its length; for `otherwise` with the reads that tell which guard was lost.
        len: usize,
        /// What is left of [`OPS_PER_LIST`] below the lists around it.
        bound: usize,
    },
    /// A key or prefix is empty.
    #[error("a key or prefix is empty")]
    EmptyKey,
    /// Two operations that may both happen write the key, and one of them puts it.
    #[error("{key} is written twice in one transaction")]
    Overlap {
        /// The key.
        key: String,
    },
    /// A nested guard tests what a neighbour writes: it would see the state before that write.
    #[error("guard on {key} tests what another part of the transaction writes")]
    GuardOfWritten {
        /// The key or prefix tested.
        key: String,
    },
}

/// One of a transaction's three lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The guards.
    Guards,
    /// What is done when they hold.
    Then,
    /// What is done when one does not.
    Otherwise,
}

impl std::fmt::Display for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Guards => "guards",
            Self::Then => "then",
            Self::Otherwise => "otherwise",
        })
    }
}

/// Which keys a transaction writes and guards; two with disjoint footprints may share one outer transaction.
#[derive(Debug, Clone, Default)]
pub struct Footprint<'a> {
    puts: BTreeSet<&'a str>,
    deletes: BTreeSet<&'a str>,
    deleted_prefixes: BTreeSet<&'a str>,
    guarded: BTreeSet<&'a str>,
    guarded_prefixes: BTreeSet<&'a str>,
}

impl Txn {
    /// Checks what etcd would refuse and what it should refuse: list lengths, empty keys, a key written
    /// twice, a nested guard on a key that a neighbour writes. At every level, prefixes included.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_lengths(OPS_PER_LIST)?;
        Footprint::of(self).map(|_| ())
    }

    fn check_lengths(&self, left: usize) -> Result<(), Violation> {
        let lists = [
            (List::Guards, self.guards.len()),
            (List::Then, self.then.len()),
            (
                List::Otherwise,
                self.otherwise.len() + probes(&self.guards).len(),
            ),
        ];
        for (list, len) in lists {
            if len > left {
                return Err(Violation::TooMany {
                    list,
                    len,
                    bound: left,
                });
            }
        }
        // etcd takes the longest list of a level off what the levels below may hold.
        let longest = lists.iter().map(|(_, len)| *len).max().unwrap_or(0);
        for op in self.then.iter().chain(&self.otherwise) {
            if let Op::Nested(inner) = op {
                inner.check_lengths(left - longest)?;
            }
        }
        Ok(())
    }
}

impl<'a> Footprint<'a> {
    /// The footprint of a transaction, both branches.
    ///
    /// # Errors
    /// Where the transaction contradicts itself.
    pub fn of(txn: &'a Txn) -> Result<Self, Violation> {
        let mut footprint = Self::of_list(&txn.then)?;
        // The two branches exclude each other, so they may write the same keys.
        footprint.absorb(Self::of_list(&txn.otherwise)?);
        for guard in &txn.guards {
            if guard.key.is_empty() {
                return Err(Violation::EmptyKey);
            }
            match guard.test {
                Test::OldestIn(_) => footprint.guarded_prefixes.insert(&guard.key),
                Test::Absent
                | Test::CreatedAt(_)
                | Test::NotCreatedAt(_)
                | Test::ModifiedAt(_)
                | Test::ValueBelow(_)
                | Test::ValueAbove(_) => footprint.guarded.insert(&guard.key),
            };
        }
        Ok(footprint)
    }

    /// Adds a neighbour's footprint.
    ///
    /// # Errors
    /// Where both may not be in one transaction; `self` is then unchanged.
    pub fn merge(&mut self, neighbour: Footprint<'a>) -> Result<(), Violation> {
        self.conflicts(&neighbour)?;
        self.absorb(neighbour);
        Ok(())
    }

    /// Checks whether both may be in one transaction.
    ///
    /// # Errors
    /// The first key they contend for.
    pub fn conflicts(&self, other: &Footprint<'_>) -> Result<(), Violation> {
        for (one, two) in [(self, other), (other, self)] {
            if let Some(key) = two.written_of(&one.puts) {
                return Err(Violation::Overlap { key });
            }
            let guarded = two.written_of(&one.guarded);
            let mut prefixes = one.guarded_prefixes.iter();
            let prefix = prefixes.find(|prefix| two.writes_under(prefix));
            if let Some(key) = guarded.or(prefix.map(|prefix| (*prefix).to_owned())) {
                return Err(Violation::GuardOfWritten { key });
            }
        }
        Ok(())
    }

    fn of_list(ops: &'a [Op]) -> Result<Self, Violation> {
        let mut all = Self::default();
        for op in ops {
            let mut one = Self::default();
            match op {
                Op::Put { key, .. } => one.puts.insert(not_empty(key)?),
                Op::Delete { key } => one.deletes.insert(not_empty(key)?),
                Op::DeletePrefix { prefix } => one.deleted_prefixes.insert(not_empty(prefix)?),
                Op::Get { key } | Op::GetPrefix { prefix: key, .. } => {
                    not_empty(key)?;
                    continue;
                }
                Op::Nested(inner) => {
                    one = Self::of(inner)?;
                    true
                }
            };
            all.merge(one)?;
        }
        Ok(all)
    }

    fn absorb(&mut self, other: Footprint<'a>) {
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
        self.deleted_prefixes.extend(other.deleted_prefixes);
        self.guarded.extend(other.guarded);
        self.guarded_prefixes.extend(other.guarded_prefixes);
    }

    /// The first of these keys that is written here. Many keys against few cost what the few do.
    fn written_of(&self, keys: &BTreeSet<&str>) -> Option<String> {
        let prefixes = self.deleted_prefixes.iter();
        [shared(keys, &self.puts), shared(keys, &self.deletes)]
            .into_iter()
            .chain(prefixes.map(|prefix| under(keys, prefix)))
            .flatten()
            .min()
            .map(str::to_owned)
    }

    fn writes_under(&self, prefix: &str) -> bool {
        begins(&self.puts, prefix)
            || begins(&self.deletes, prefix)
            || begins(&self.deleted_prefixes, prefix)
            || self
                .deleted_prefixes
                .iter()
                .any(|deleted| prefix.starts_with(deleted))
    }
}

fn begins(keys: &BTreeSet<&str>, prefix: &str) -> bool {
    under(keys, prefix).is_some()
}

/// The first of these keys that begins so.
fn under<'k>(keys: &BTreeSet<&'k str>, prefix: &'k str) -> Option<&'k str> {
    let first = keys.range(prefix..).next().copied();
    first.filter(|key| key.starts_with(prefix))
}

/// The first key of both.
fn shared<'k>(keys: &BTreeSet<&'k str>, others: &BTreeSet<&'k str>) -> Option<&'k str> {
    if keys.len() <= others.len() {
        return keys.iter().copied().find(|key| others.contains(key));
    }
    others.iter().find_map(|key| keys.get(key).copied())
}

fn not_empty(key: &str) -> Result<&str, Violation> {
    if key.is_empty() {
        Err(Violation::EmptyKey)
    } else {
        Ok(key)
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
