//! A transaction as a value: guards, what to do when they hold, what to read when one does not.
//! Never sends anything; [`Connection::commit`](crate::Connection::commit) does.

use bytes::Bytes;

use crate::failure::Failure;
use crate::read::KeyValue;

/// Guards, and what is done atomically where all hold. Everything in it has one revision or does not happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold. All guards, also of nested transactions, are evaluated before anything is written.
    pub guards: Vec<Guard>,
    /// Done where every guard holds.
    pub then: Vec<Op>,
    /// Done, usually read, where one does not.
    pub otherwise: Vec<Op>,
}

/// One condition, with the name by which a refusal reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The name found in [`Refused::lost`].
    pub name: &'static str,
    /// The key tested, or the prefix for [`Test::OldestIn`].
    pub key: String,
    /// What is tested.
    pub test: Test,
}

/// What a guard tests. A missing key has create and mod revision 0 and no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// The key does not exist. Not monotone: it can become true again.
    Absent,
    /// The key exists and was created at this revision.
    CreatedAt(i64),
    /// The key is gone, or was created at another revision.
    NotCreatedAt(i64),
    /// The key was last modified at this revision; 0: it does not exist.
    ModifiedAt(i64),
    /// The key exists and its value sorts below this one.
    ValueBelow(Bytes),
    /// The key exists and its value sorts above this one.
    ValueAbove(Bytes),
    /// Something is under the prefix, and nothing there was created before this revision.
    OldestIn(i64),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Writes a key.
    Put {
        /// The key.
        key: String,
        /// Its value.
        value: Bytes,
        /// The lease to attach, 0 for none. A lease that is gone fails the whole transaction.
        lease: i64,
    },
    /// Deletes a key, existing or not.
    Delete {
        /// The key.
        key: String,
    },
    /// Deletes every key that begins so.
    DeletePrefix {
        /// The prefix, not empty.
        prefix: String,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: String,
    },
    /// Reads the keys that begin so, in key order.
    GetPrefix {
        /// The prefix, not empty.
        prefix: String,
        /// At most so many; 0: all.
        limit: i64,
    },
    /// A transaction with guards of its own, which may be lost alone.
    Nested(Txn),
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All guards held; it is done.
    Committed(Committed),
    /// A guard did not hold; nothing of `then` was done.
    Refused(Refused),
    /// It may have committed, or commit later. A read does not settle it: repeat it where its guards are
    /// monotone, or commit one that conflicts with it.
    Unknown(Failure),
    /// It was not applied and never will be.
    Unavailable(Failure),
}

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision of everything it wrote.
    pub revision: i64,
    /// One answer per operation of `then`.
    pub results: Vec<Answer>,
}

/// A refused transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The revision at which it was refused.
    pub revision: i64,
    /// The names of the guards that were false; never empty.
    pub lost: Vec<&'static str>,
    /// One answer per operation of `otherwise`.
    pub reads: Vec<Answer>,
}

/// The answer to one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Written.
    Put,
    /// So many keys were deleted.
    Deleted(i64),
    /// What was read.
    Kvs(Vec<KeyValue>),
    /// What became of a nested transaction.
    Nested(Branch),
}

/// Which way a nested transaction went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Branch {
    /// Its guards held; one answer per operation of its `then`.
    Held(Vec<Answer>),
    /// A guard did not hold.
    Lost {
        /// The names of its guards that were false; never empty.
        lost: Vec<&'static str>,
        /// One answer per operation of its `otherwise`.
        reads: Vec<Answer>,
    },
}

impl Guard {
    fn new(name: &'static str, key: impl Into<String>, test: Test) -> Self {
        Self {
            name,
            key: key.into(),
            test,
        }
    }

    /// The key does not exist.
    pub fn absent(name: &'static str, key: impl Into<String>) -> Self {
        Self::new(name, key, Test::Absent)
    }

    /// The key exists since this revision.
    pub fn created_at(name: &'static str, key: impl Into<String>, revision: i64) -> Self {
        Self::new(name, key, Test::CreatedAt(revision))
    }

    /// The key is gone, or was created anew.
    pub fn not_created_at(name: &'static str, key: impl Into<String>, revision: i64) -> Self {
        Self::new(name, key, Test::NotCreatedAt(revision))
    }

    /// The key is unchanged since this revision; 0: it does not exist.
    pub fn modified_at(name: &'static str, key: impl Into<String>, revision: i64) -> Self {
        Self::new(name, key, Test::ModifiedAt(revision))
    }

    /// The key exists and its value sorts below this one.
    pub fn value_below(
        name: &'static str,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Self {
        Self::new(name, key, Test::ValueBelow(value.into()))
    }

    /// The key exists and its value sorts above this one.
    pub fn value_above(
        name: &'static str,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Self {
        Self::new(name, key, Test::ValueAbove(value.into()))
    }

    /// Something is under the prefix and nothing there was created before this revision. etcd reads every
    /// key under the prefix for it: for small prefixes only.
    pub fn oldest_in(name: &'static str, prefix: impl Into<String>, revision: i64) -> Self {
        Self::new(name, prefix, Test::OldestIn(revision))
    }
}

impl Test {
    /// Whether it holds for what was found; for [`Test::OldestIn`] the oldest key under the prefix.
    pub(crate) fn holds(&self, found: Option<&KeyValue>) -> bool {
        let created = found.map_or(0, |kv| kv.create_revision);
        let modified = found.map_or(0, |kv| kv.mod_revision);
        match self {
            Self::Absent => created == 0,
            Self::CreatedAt(revision) => created == *revision,
            Self::NotCreatedAt(revision) => created != *revision,
            Self::ModifiedAt(revision) => modified == *revision,
            Self::ValueBelow(value) => found.is_some_and(|kv| kv.value < *value),
            Self::ValueAbove(value) => found.is_some_and(|kv| kv.value > *value),
            Self::OldestIn(revision) => created >= *revision,
        }
    }
}

impl Txn {
    /// A transaction that compares nothing and does nothing, to be built on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a guard.
    #[must_use]
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Adds an operation for when the guards hold.
    #[must_use]
    pub fn op(mut self, op: Op) -> Self {
        self.then.push(op);
        self
    }

    /// Adds an operation for when a guard does not hold.
    #[must_use]
    pub fn or_else(mut self, op: Op) -> Self {
        self.otherwise.push(op);
        self
    }

    /// Writes a key, without a lease.
    #[must_use]
    pub fn put(self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.put_leased(key, value, 0)
    }

    /// Writes a key attached to a lease.
    #[must_use]
    pub fn put_leased(self, key: impl Into<String>, value: impl Into<Bytes>, lease: i64) -> Self {
        self.op(Op::Put {
            key: key.into(),
            value: value.into(),
            lease,
        })
    }

    /// Deletes a key.
    #[must_use]
    pub fn delete(self, key: impl Into<String>) -> Self {
        self.op(Op::Delete { key: key.into() })
    }

    /// Deletes what begins so.
    #[must_use]
    pub fn delete_prefix(self, prefix: impl Into<String>) -> Self {
        self.op(Op::DeletePrefix {
            prefix: prefix.into(),
        })
    }

    /// Reads a key when the guards hold.
    #[must_use]
    pub fn get(self, key: impl Into<String>) -> Self {
        self.op(Op::Get { key: key.into() })
    }

    /// Reads what begins so when the guards hold; limit 0 reads all.
    #[must_use]
    pub fn get_prefix(self, prefix: impl Into<String>, limit: i64) -> Self {
        self.op(Op::GetPrefix {
            prefix: prefix.into(),
            limit,
        })
    }

    /// Adds a transaction with guards of its own.
    #[must_use]
    pub fn nest(self, inner: Txn) -> Self {
        self.op(Op::Nested(inner))
    }

    /// Reads a key when a guard does not hold.
    #[must_use]
    pub fn or_get(self, key: impl Into<String>) -> Self {
        self.or_else(Op::Get { key: key.into() })
    }

    /// Reads what begins so when a guard does not hold; limit 0 reads all.
    #[must_use]
    pub fn or_get_prefix(self, prefix: impl Into<String>, limit: i64) -> Self {
        self.or_else(Op::GetPrefix {
            prefix: prefix.into(),
            limit,
        })
    }

    /// How many operations it holds at all levels, nested transactions not counted themselves.
    pub fn ops(&self) -> usize {
        self.then.iter().chain(&self.otherwise).map(Op::ops).sum()
    }

    /// About how many bytes it takes on the wire: keys, values and 16 for the frame of each operation.
    pub fn bytes(&self) -> usize {
        let guards: usize = self.guards.iter().map(Guard::bytes).sum();
        let ops: usize = self.then.iter().chain(&self.otherwise).map(Op::bytes).sum();
        guards + ops
    }

    /// Whether it can change nothing; etcd serves such a transaction as a read, without raft.
    pub(crate) fn reads_only(&self) -> bool {
        self.then.iter().chain(&self.otherwise).all(|op| match op {
            Op::Put { .. } | Op::Delete { .. } | Op::DeletePrefix { .. } => false,
            Op::Get { .. } | Op::GetPrefix { .. } => true,
            Op::Nested(inner) => inner.reads_only(),
        })
    }
}

/// The frame of one operation on the wire, in bytes, rounded up.
const OP_FRAME: usize = 16;

impl Guard {
    fn bytes(&self) -> usize {
        // Once in the comparison, once in the read that tells a refusal's reason.
        let value = match &self.test {
            Test::ValueBelow(value) | Test::ValueAbove(value) => value.len(),
            Test::Absent
            | Test::CreatedAt(_)
            | Test::NotCreatedAt(_)
            | Test::ModifiedAt(_)
            | Test::OldestIn(_) => 8,
        };
        2 * (self.key.len() + OP_FRAME) + value
    }
}

impl Op {
    fn ops(&self) -> usize {
        match self {
            Self::Nested(inner) => inner.ops(),
            Self::Put { .. }
            | Self::Delete { .. }
            | Self::DeletePrefix { .. }
            | Self::Get { .. }
            | Self::GetPrefix { .. } => 1,
        }
    }

    fn bytes(&self) -> usize {
        OP_FRAME
            + match self {
                Self::Put { key, value, .. } => key.len() + value.len(),
                Self::Delete { key } | Self::Get { key } => key.len(),
                Self::DeletePrefix { prefix } | Self::GetPrefix { prefix, .. } => 2 * prefix.len(),
                Self::Nested(inner) => inner.bytes(),
            }
    }
}

impl Refused {
    /// The key that was read instead, where it was one and is there.
    pub fn found(self) -> Option<KeyValue> {
        match self.reads.into_iter().next()? {
            Answer::Kvs(kvs) => kvs.into_iter().next(),
            Answer::Put | Answer::Deleted(_) | Answer::Nested(_) => None,
        }
    }
}

impl Outcome {
    /// The commit, where it committed.
    pub fn committed(&self) -> Option<&Committed> {
        match self {
            Self::Committed(committed) => Some(committed),
            Self::Refused(_) | Self::Unknown(_) | Self::Unavailable(_) => None,
        }
    }
}
