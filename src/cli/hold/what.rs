//! What is held: a lock or a semaphore, and where it is at the server. Asks nothing.

use std::fmt;

use super::super::client::escaped;
use super::super::{Exit, Failure};
use crate::task::Name;

/// A lock or a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Sort {
    Lock,
    Semaphore,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct What {
    pub(super) sort: Sort,
    pub(super) name: String,
}

impl Sort {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Lock => "/v1/locks",
            Self::Semaphore => "/v1/semaphores",
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Semaphore => "semaphore",
        }
    }
}

impl What {
    pub(super) fn new(sort: Sort, name: String) -> Result<Self, Failure> {
        match name.parse::<Name>() {
            Ok(_) => Ok(Self { sort, name }),
            Err(wrong) => Err(Failure::new(Exit::Usage, wrong.to_string())),
        }
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.sort.path(), escaped(&self.name))
    }

    /// The variable that tells the command what is held.
    pub(super) fn variable(&self) -> &'static str {
        match self.sort {
            Sort::Lock => "TENURE_LOCK",
            Sort::Semaphore => "TENURE_SEMAPHORE",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sort.word(), self.name)
    }
}
