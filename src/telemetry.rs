//! What a node tells about itself: its log on stderr and its metrics; never decides what is worth telling.

mod logs;
pub mod profile;
mod recent;
mod recorder;

pub use logs::{LogError, logs};
pub use recent::recent;
pub use recorder::{install, install_or_own, recorder};

/// The commit it was built from, where the build was told (`TENURE_COMMIT`).
pub const COMMIT: Option<&str> = option_env!("TENURE_COMMIT");
