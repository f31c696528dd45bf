//! Profiles of this process, where it was built with the feature `profiling`: of the processors' time, and of the heap. Both in pprof's
//! format, gzipped where the heap's is. Never more than one at a time.

use std::time::Duration;

#[cfg(not(feature = "profiling"))]
mod absent;
#[cfg(feature = "profiling")]
mod present;

#[cfg(not(feature = "profiling"))]
use absent as made;
#[cfg(feature = "profiling")]
use present as made;

/// 1 min: the longest that one profile of the processors' time takes; it costs about a percent of it.
pub const CPU_TIME_MAX: Duration = Duration::from_mins(1);

/// Why there is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unable {
    /// The build has no profiler.
    #[error(
        "this build takes no profiles; one that does: RUSTFLAGS='-C force-frame-pointers=yes' cargo build --profile profiling \
         --features profiling"
    )]
    NotBuilt,
    /// Another one is being taken.
    #[error("a profile is being taken already: come again when it is done")]
    Busy,
    /// The allocator does not sample.
    #[error(
        "the allocator was not told to sample: start the node with _RJEM_MALLOC_CONF=prof:true,prof_active:true"
    )]
    NotSampled,
    /// The profiler failed.
    #[error("the profiler failed: {0}")]
    Failed(String),
}

/// Where the processors' time goes, for so long, up to [`CPU_TIME_MAX`].
///
/// # Errors
/// [`Unable`].
pub async fn cpu(time: Duration) -> Result<Vec<u8>, Unable> {
    made::cpu(time.min(CPU_TIME_MAX)).await
}

/// What is allocated now, by who allocated it, of what the allocator sampled.
///
/// # Errors
/// [`Unable`].
pub async fn heap() -> Result<Vec<u8>, Unable> {
    made::heap().await
}
