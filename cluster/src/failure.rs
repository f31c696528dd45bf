//! What went wrong with a request, and whether it may still be applied. Never decides what to do about it.

use std::error::Error as _;
use std::fmt;

use tonic::Code;

/// A request that got no answer, or was answered with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at {endpoint}: {message}")]
pub struct Failure {
    /// What kind it is; [`FailureKind::definite`] says whether the request may still be applied.
    pub kind: FailureKind,
    /// The endpoint that was asked.
    pub endpoint: String,
    /// What etcd or the transport said.
    pub message: String,
}

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection was made, so nothing was sent.
    NotSent,
    /// The member knows no etcd leader and refused before proposing.
    NoLeader,
    /// etcd has too much in flight and refused before proposing.
    TooManyRequests,
    /// The lease named by the request does not exist; the whole request was refused.
    LeaseNotFound,
    /// The revision asked for is compacted.
    Compacted,
    /// User, password, token or permission.
    Denied,
    /// The request itself is wrong; sent again it fails again.
    Invalid,
    /// No answer in time.
    Timeout,
    /// The connection broke, or etcd answered something that says nothing about the request.
    Transport,
    /// "database space exceeded": some such transactions were seen to have committed.
    Space,
}

impl FailureKind {
    /// Whether the request was certainly not applied and never will be.
    pub fn definite(self) -> bool {
        match self {
            Self::NotSent
            | Self::NoLeader
            | Self::TooManyRequests
            | Self::LeaseNotFound
            | Self::Compacted
            | Self::Denied
            | Self::Invalid => true,
            Self::Timeout | Self::Transport | Self::Space => false,
        }
    }

    /// Whether another member may do better, so that the primary is left.
    pub(crate) fn blames_member(self) -> bool {
        match self {
            Self::NotSent | Self::NoLeader | Self::Timeout | Self::Transport => true,
            Self::TooManyRequests
            | Self::LeaseNotFound
            | Self::Compacted
            | Self::Denied
            | Self::Invalid
            | Self::Space => false,
        }
    }

    /// The word used for this kind in metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::NoLeader => "no_leader",
            Self::TooManyRequests => "too_many_requests",
            Self::LeaseNotFound => "lease_not_found",
            Self::Compacted => "compacted",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Space => "space",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent",
            Self::NoLeader => "no etcd leader",
            Self::TooManyRequests => "too many requests",
            Self::LeaseNotFound => "lease not found",
            Self::Compacted => "compacted",
            Self::Denied => "denied",
            Self::Invalid => "invalid request",
            Self::Timeout => "no answer in time",
            Self::Transport => "connection lost",
            Self::Space => "database space exceeded",
        })
    }
}

impl Failure {
    /// A failure of the given kind at an endpoint.
    pub(crate) fn new(
        kind: FailureKind,
        endpoint: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            endpoint: endpoint.into(),
            message: message.into(),
        }
    }

    /// Reads what etcd-client answered.
    pub(crate) fn from_client(error: &etcd_client::Error, endpoint: &str) -> Self {
        Self::new(kind_of(error), endpoint, error.to_string())
    }
}

fn kind_of(error: &etcd_client::Error) -> FailureKind {
    match error {
        etcd_client::Error::GRpcStatus(status) => kind_of_status(status),
        etcd_client::Error::LeaseKeepAliveError(message) if message == "lease not found" => {
            FailureKind::LeaseNotFound
        }
        etcd_client::Error::InvalidArgs(_)
        | etcd_client::Error::InvalidUri(_)
        | etcd_client::Error::InvalidMetadataValue(_)
        | etcd_client::Error::EndpointsNotManaged => FailureKind::Invalid,
        etcd_client::Error::IoError(_)
        | etcd_client::Error::TransportError(_)
        | etcd_client::Error::WatchError(_)
        | etcd_client::Error::Utf8Error(_)
        | etcd_client::Error::LeaseKeepAliveError(_)
        | etcd_client::Error::ElectError(_)
        | etcd_client::Error::EndpointError(_)
        | etcd_client::Error::Internal(_) => FailureKind::Transport,
    }
}

fn kind_of_status(status: &tonic::Status) -> FailureKind {
    if never_connected(status) {
        return FailureKind::NotSent;
    }
    let says = |text: &str| status.message().contains(text);
    match status.code() {
        Code::Unavailable if says("etcdserver: no leader") => FailureKind::NoLeader,
        Code::Unavailable if says("etcdserver: request timed out") => FailureKind::Timeout,
        Code::ResourceExhausted if says("too many requests") => FailureKind::TooManyRequests,
        Code::ResourceExhausted if says("space exceeded") => FailureKind::Space,
        Code::NotFound if says("lease not found") => FailureKind::LeaseNotFound,
        Code::OutOfRange if says("has been compacted") => FailureKind::Compacted,
        // The client's own decoding limit has this code too, and then the request was applied.
        Code::OutOfRange if says("etcdserver:") => FailureKind::Invalid,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::AlreadyExists
        | Code::NotFound
        | Code::Unimplemented => FailureKind::Invalid,
        Code::PermissionDenied | Code::Unauthenticated => FailureKind::Denied,
        Code::Cancelled | Code::DeadlineExceeded => FailureKind::Timeout,
        Code::Ok
        | Code::Unknown
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => FailureKind::Transport,
    }
}

/// Whether the connection was refused or timed out while being made: then nothing was sent.
fn never_connected(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_definite_only_where_etcd_refuses_before_it_proposes() {
        let table = [
            (
                Code::ResourceExhausted,
                "etcdserver: too many requests",
                true,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                false,
            ),
            (Code::Unavailable, "etcdserver: no leader", true),
            (Code::Unavailable, "etcdserver: leader changed", false),
            (Code::Unavailable, "etcdserver: request timed out", false),
            (Code::Unavailable, "tcp connect error", false),
            (
                Code::NotFound,
                "etcdserver: requested lease not found",
                true,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
                true,
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                true,
            ),
            (
                Code::OutOfRange,
                "Error, decoded message length too large",
                false,
            ),
            (
                Code::PermissionDenied,
                "etcdserver: permission denied",
                true,
            ),
            (Code::Cancelled, "Timeout expired", false),
            (Code::Unknown, "h2 protocol error: broken pipe", false),
        ];

        for (code, message, definite) in table {
            let kind = kind_of_status(&tonic::Status::new(code, message));
            assert_eq!(kind.definite(), definite, "{code:?} {message}: {kind:?}");
        }
    }
}
