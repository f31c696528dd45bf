//! The profilers: pprof samples stacks by a signal, by frame pointers only, because its default way of unwinding is known to crash
//! processes (tikv/pprof-rs#36); jemalloc samples allocations.

use std::fmt::Display;
use std::time::Duration;

use pprof::protos::Message as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Unable;

/// 99 samples a second: not in step with what happens 100 times a second.
const SAMPLES: i32 = 99;

/// One at a time: the signal is the process's.
static ONE: Semaphore = Semaphore::const_new(1);

pub(super) async fn cpu(time: Duration) -> Result<Vec<u8>, Unable> {
    let _one = ONE.try_acquire().map_err(|_| Unable::Busy)?;
    let sampling = pprof::ProfilerGuardBuilder::default()
        .frequency(SAMPLES)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()
        .map_err(failed)?;
    tokio::time::sleep(time).await;
    // Finding the names takes long: not on a thread that others wait for.
    beside(move || {
        let report = sampling.report().build().map_err(failed)?;
        let profile = report.pprof().map_err(failed)?;
        Ok(profile.encode_to_vec())
    })
    .await
}

pub(super) async fn heap() -> Result<Vec<u8>, Unable> {
    let _one = ONE.try_acquire().map_err(|_| Unable::Busy)?;
    let sampler = jemalloc_pprof::PROF_CTL
        .as_ref()
        .ok_or(Unable::NotSampled)?;
    let mut sampler = sampler.clone().lock_owned().await;
    if !sampler.activated() {
        return Err(Unable::NotSampled);
    }
    beside(move || sampler.dump_pprof().map_err(failed)).await
}

/// Works on a thread of its own.
async fn beside(
    work: impl FnOnce() -> Result<Vec<u8>, Unable> + Send + 'static,
) -> Result<Vec<u8>, Unable> {
    let mut works = JoinSet::new();
    works.spawn_blocking(work);
    let done = works.join_next().await.expect("it was spawned just now");
    done.map_err(failed)?
}

fn failed(problem: impl Display) -> Unable {
    Unable::Failed(problem.to_string())
}
