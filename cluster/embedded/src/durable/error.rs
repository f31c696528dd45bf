//! Why a directory cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another server in this one, has it open.
    #[error("{} is in use by another server", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// It holds something that no embedded server wrote.
    #[error("{} is not a directory of an embedded etcd: {found}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// What was found there.
        found: String,
    },
    /// It was written in another format.
    #[error("{} has format {version}, this program reads format 1", dir.display())]
    Version {
        /// The directory.
        dir: PathBuf,
        /// The format it has.
        version: i64,
    },
    /// What was written there is no longer what is read.
    #[error("{} is damaged: {reason}", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be read or written.
    #[error("{}: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
