//! The codes that etcd answers its errors with.

use tonic::{Code, Status};

use crate::engine::Error;

/// The status for a refusal.
pub(crate) fn status(error: Error) -> Status {
    let code = match error {
        Error::EmptyKey
        | Error::KeyNotFound
        | Error::ValueProvided
        | Error::LeaseProvided
        | Error::TooManyOps
        | Error::DuplicateKey
        | Error::InvalidSort
        | Error::TooLarge => Code::InvalidArgument,
        Error::Compacted | Error::FutureRevision | Error::LeaseTtlTooLarge => Code::OutOfRange,
        Error::NoSpace => Code::ResourceExhausted,
        Error::LeaseNotFound => Code::NotFound,
        Error::LeaseExists => Code::FailedPrecondition,
    };
    Status::new(code, error.to_string())
}

/// What everybody gets once the server is closed, and every stream when it crashes.
pub(crate) fn stopped() -> Status {
    Status::unavailable("etcdserver: server stopped")
}

/// What everybody gets once nothing can be written: whether it was is not known.
pub(crate) fn failed(reason: &str) -> Status {
    Status::unavailable(format!("etcdserver: server stopped: {reason}"))
}

/// What a request gets that was not applied, because too much waits for the disk.
pub(crate) fn too_many() -> Status {
    Status::resource_exhausted("etcdserver: too many requests")
}

/// What is asked for is not served here.
pub(crate) fn unsupported(what: &str) -> Status {
    Status::unimplemented(format!("{what} is not served by an embedded etcd"))
}
