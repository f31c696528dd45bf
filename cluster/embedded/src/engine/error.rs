//! What a request can be refused for, in etcd's words. The codes that go with them are the server's.

/// A refusal; its text is etcd's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// A request or compare without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a key that is not there, or an operation without a request.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// `ignore_value` beside a value.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// `ignore_lease` beside a lease.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More than 128 in a list of a transaction.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// Two writes of a transaction may touch one key.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or target that does not exist.
    #[error("etcdserver: invalid sort option")]
    InvalidSort,
    /// The revision is before the compacted one, or was compacted already.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision is not there yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The quota is used up.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// There is no such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A grant with an id that is in use.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// A grant of more than 9,000,000,000 s.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// A write of more than 1.5 MiB.
    #[error("etcdserver: request is too large")]
    TooLarge,
}
