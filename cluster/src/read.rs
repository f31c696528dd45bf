//! Reading keys: what to ask for, and an answer that is never older than what was seen before.
//! Never decides anything from an answer.

use bytes::Bytes;

use crate::failure::Failure;

/// A key with its value and its history in four numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; bytes that are not UTF-8 are replaced.
    pub key: String,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// The revision at which it came into being, since it was last deleted.
    pub create_revision: i64,
    /// The revision of its last change. etcd's revisions are i64 on the wire.
    pub mod_revision: i64,
    /// How often it was written since it came into being; 1 when created.
    pub version: i64,
    /// The lease it is attached to, 0 for none.
    pub lease: i64,
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "etcd's range request has four independent switches"
)]
pub struct Range {
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) revision: i64,
    pub(crate) limit: i64,
    pub(crate) keys_only: bool,
    pub(crate) count_only: bool,
    pub(crate) descending: bool,
    /// Answered by one member from what it has, if that is at least at this revision.
    pub(crate) serializable: bool,
    pub(crate) at_least: i64,
}

/// How far a range or watch reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    Key,
    Prefix,
    Until(String),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The revision the store had; also where an older one was asked for.
    pub revision: i64,
    /// The keys found, in key order unless asked otherwise.
    pub kvs: Vec<KeyValue>,
    /// How many keys are in the range, whatever the limit.
    pub count: i64,
    /// Whether the limit cut some off.
    pub more: bool,
}

/// Why nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The revision asked for is compacted.
    #[error("revision {at} is compacted")]
    Compacted {
        /// The revision asked for.
        at: i64,
    },
    /// No member answered in time, or only with something older than what was seen. Try later.
    #[error("unavailable: {0}")]
    Unavailable(Failure),
    /// Asked again it fails again.
    #[error("refused: {0}")]
    Definite(Failure),
}

impl Range {
    /// One key.
    pub fn key(key: impl Into<String>) -> Self {
        Self::new(key.into(), Span::Key)
    }

    /// Every key that begins so.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::new(prefix.into(), Span::Prefix)
    }

    /// From the first, including it, to the second, without it.
    pub fn between(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self::new(from.into(), Span::Until(to.into()))
    }

    fn new(key: String, span: Span) -> Self {
        Self {
            key,
            span,
            revision: 0,
            limit: 0,
            keys_only: false,
            count_only: false,
            descending: false,
            serializable: false,
            at_least: 0,
        }
    }

    /// At most so many keys. It does not bound etcd's work: bound both ends for that.
    #[must_use]
    pub fn limit(mut self, limit: i64) -> Self {
        self.limit = limit;
        self
    }

    /// As it was at this revision.
    #[must_use]
    pub fn at(mut self, revision: i64) -> Self {
        self.revision = revision;
        self
    }

    /// Without values.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }

    /// Only how many.
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.count_only = true;
        self
    }

    /// Highest key first. etcd then reads the whole range whatever the limit.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Answered by one member without asking the others, if it is at least at this revision; else as usual.
    #[must_use]
    pub fn serializable(mut self, at_least: i64) -> Self {
        self.serializable = true;
        self.at_least = at_least;
        self
    }
}

impl ReadError {
    /// Reads a failure of a read at this revision (0: the newest).
    pub(crate) fn from_failure(failure: Failure, revision: i64) -> Self {
        use crate::failure::FailureKind as Kind;
        match failure.kind {
            Kind::Compacted => Self::Compacted { at: revision },
            Kind::Denied | Kind::Invalid | Kind::LeaseNotFound => Self::Definite(failure),
            Kind::NotSent
            | Kind::NoLeader
            | Kind::TooManyRequests
            | Kind::Timeout
            | Kind::Transport
            | Kind::Space => Self::Unavailable(failure),
        }
    }
}
