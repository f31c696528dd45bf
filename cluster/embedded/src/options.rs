//! How an embedded server is set up.

use std::time::Duration;

use crate::engine::Identity;

/// 10 min, how often etcd tells a quiet watch of progress.
const PROGRESS_EVERY: Duration = Duration::from_mins(10);

/// How an embedded server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of keys, values and history from which puts and grants are refused until a tenth is free again.
    /// Default none.
    pub quota_bytes: Option<usize>,
    /// Whether old history is dropped where no client compacts: what is older than 5 min and not among the
    /// last 10,000 revisions, and all but the last 500,000. Default yes.
    pub compacts: bool,
    /// How often a quiet watch is told of progress, where it asked for that. Default 10 min.
    pub progress_every: Duration,
    /// What lease ids chosen by the server start from: the same seed gives the same ids. Default 1. With a
    /// directory, how often it was opened is added, so that no id comes twice.
    pub seed: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quota_bytes: None,
            compacts: true,
            progress_every: PROGRESS_EVERY,
            seed: 1,
        }
    }
}

impl Options {
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            // Any will do, as long as clients see the same after a restart.
            member: 0x7465_6e75_7265_0001,
            cluster: 0x7465_6e75_7265_0000,
            quota_bytes: self.quota_bytes,
            lease_seed: self.seed,
        }
    }
}
