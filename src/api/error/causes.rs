//! Which problem each failure of the store is; every case is written out.

use tenure_cluster::ReadError;
use tracing::error;

use super::ApiError;
use crate::api::wire::FieldError;
use crate::store::{
    ActError, DismissError, DrainError, EditError, FireError, LookError, ResetError,
    SUBMIT_BYTES_MAX, SubmitError,
};

impl From<SubmitError> for ApiError {
    fn from(failed: SubmitError) -> Self {
        match failed {
            SubmitError::KeyTaken(key) => Self::KeyReused(key),
            SubmitError::Busy => Self::Busy,
            SubmitError::TooLarge(bytes) => Self::TooLarge {
                what: format!("the batch takes {bytes} bytes as it would be stored"),
                max: SUBMIT_BYTES_MAX,
                unit: "bytes",
                pointer: None,
            },
            SubmitError::Unavailable(failure) => Self::Unavailable(failure),
            SubmitError::Unknown(failure) => Self::Unknown(failure),
            SubmitError::ClockBehind => Self::ClockBehind,
            SubmitError::TooManyLanes(_) => Self::Invalid(vec![FieldError {
                pointer: String::new(),
                field: "queue".to_owned(),
                detail: failed.to_string(),
            }]),
            SubmitError::Refused(guard) => {
                error!(%guard, "a submit was refused by a guard that says nothing of its key");
                Self::Panicked
            }
            SubmitError::Corrupt(corrupt) => Self::Corrupt(corrupt.to_string()),
            SubmitError::Closing => Self::Closing,
        }
    }
}

/// Of reads: whatever went wrong, nothing was changed.
impl From<LookError> for ApiError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Read(ReadError::Compacted { at }) => Self::Outpaced { at },
            LookError::Read(ReadError::Unavailable(failure) | ReadError::Definite(failure))
            | LookError::Failure(failure) => Self::Unavailable(failure),
            LookError::Corrupt(corrupt) => Self::Corrupt(corrupt.to_string()),
            LookError::Nowhere { task, revision } => {
                Self::Corrupt(format!("task {task} is in no place at revision {revision}"))
            }
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        LookError::from(error).into()
    }
}

impl From<ActError> for ApiError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NoTask(id) => Self::NoTask(id),
            ActError::Illegal(illegal) => Self::WrongState(illegal),
            ActError::Look(error) => error.into(),
            ActError::Unknown(failure) => Self::Unknown(failure),
            ActError::Unavailable(failure) => Self::Unavailable(failure),
            ActError::Busy(id) => Self::Moving(id),
        }
    }
}

impl From<DismissError> for ApiError {
    fn from(error: DismissError) -> Self {
        match error {
            DismissError::Unknown(failure) => Self::Unknown(failure),
            DismissError::Unavailable(failure) => Self::Unavailable(failure),
        }
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Changed { expected, now } => Self::Changed { expected, now },
            EditError::TooMany { what, max } => Self::TooMany { what, max },
            EditError::Busy => Self::Contended,
            EditError::Unknown(failure) => Self::Unknown(failure),
            EditError::Unavailable(failure) => Self::Unavailable(failure),
            EditError::Look(error) => error.into(),
        }
    }
}

impl From<DrainError> for ApiError {
    fn from(error: DrainError) -> Self {
        match error {
            DrainError::NoNode(name) => Self::NoNode(name.to_string()),
            DrainError::Edit(error) => error.into(),
        }
    }
}

impl From<FireError> for ApiError {
    fn from(error: FireError) -> Self {
        match error {
            FireError::NoSchedule(name) => Self::NoSchedule(name),
            FireError::Overlap { name, open } => Self::Overlap {
                schedule: name,
                open,
            },
            FireError::Edit(error) => error.into(),
        }
    }
}

impl From<ResetError> for ApiError {
    fn from(error: ResetError) -> Self {
        match error {
            ResetError::Look(error) => error.into(),
            ResetError::Unknown(failure) => Self::Unknown(failure),
            ResetError::Unavailable(failure) => Self::Unavailable(failure),
        }
    }
}
