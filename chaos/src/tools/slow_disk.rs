//! A disk that is slow for one process: strace makes each of its calls of `fdatasync` take longer. etcd calls it before it says that
//! something is stored.
//!
//! strace lets its threads go when it is told to end, also when the value is dropped, and the process goes on as before.

use super::{Got, found, is_not_permitted};
use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// 10 s for strace to have all threads of a process, and to have let them go.
const ATTACHED_WITHIN: Duration = Duration::from_secs(10);
const DETACHED_WITHIN: Duration = Duration::from_secs(10);
/// 5 ms between looks at that.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// 4 KiB of what strace says when it cannot.
const SAID_BYTES_MAX: u64 = 4 << 10;

/// Slow until it is detached or dropped.
#[derive(Debug)]
pub(crate) struct SlowDisk {
    strace: Child,
    of: u32,
}

impl SlowDisk {
    /// Makes each sync of the process `of` take so much longer from now on.
    ///
    /// # Errors
    /// When there is no such process, or strace has not all its threads in time; it has let go of them then.
    pub(crate) async fn attach(of: u32, by: Duration) -> anyhow::Result<Got<Self>> {
        let Some(strace) = found("strace") else {
            return Ok(Got::Cannot("strace is not installed here".to_owned()));
        };
        threads_of(of).with_context(|| format!("no process {of}"))?;
        let inject = format!("inject=fdatasync:delay_enter={}", by.as_micros());
        let strace = Command::new(strace)
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &of.to_string()])
            .args(["-e", "trace=fdatasync", "-e", &inject])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("strace")?;
        // From here on it lets go also where something fails.
        let mut slow = Self { strace, of };
        let until = Instant::now() + ATTACHED_WITHIN;
        while !slow.has_all()? {
            if slow.strace.try_wait()?.is_some() {
                return slow.gave_up();
            }
            anyhow::ensure!(Instant::now() < until, "strace does not attach to {of}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Got::Yes(slow))
    }

    /// Lets the process go on as before.
    ///
    /// # Errors
    /// When strace does not let go in time; it is killed then, and the kernel lets go for it.
    pub(crate) async fn detach(mut self) -> anyhow::Result<()> {
        self.tell_to_end()?;
        let until = Instant::now() + DETACHED_WITHIN;
        while self.strace.try_wait()?.is_none() {
            anyhow::ensure!(
                Instant::now() < until,
                "strace does not let go of {}",
                self.of
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Whether it traces every thread.
    fn has_all(&self) -> anyhow::Result<bool> {
        let tracers = tracers_of(self.of)?;
        Ok(tracers.iter().all(|tracer| *tracer == self.strace.id()))
    }

    fn gave_up(&mut self) -> anyhow::Result<Got<Self>> {
        let mut said = String::new();
        let stderr = self.strace.stderr.take().context("strace said nothing")?;
        stderr.take(SAID_BYTES_MAX).read_to_string(&mut said)?;
        let said = said.trim();
        anyhow::ensure!(is_not_permitted(said), "{said}");
        Ok(Got::Cannot(said.to_owned()))
    }

    fn tell_to_end(&self) -> anyhow::Result<()> {
        let id = i32::try_from(self.strace.id()).ok().and_then(Pid::from_raw);
        match kill_process(id.context("no process id")?, Signal::TERM) {
            // It has ended by itself, with the process that it traced.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).context("strace"),
        }
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // What has been waited for has no id any more that could be told anything.
        if !matches!(self.strace.try_wait(), Ok(None)) {
            return;
        }
        let _told = self.tell_to_end();
        let until = Instant::now() + DETACHED_WITHIN;
        while matches!(self.strace.try_wait(), Ok(None)) {
            if Instant::now() > until {
                // The kernel lets go for it.
                let _gone = (self.strace.kill(), self.strace.wait());
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The ids of a process's threads.
fn threads_of(process: u32) -> anyhow::Result<Vec<String>> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"))?;
    let names = tasks.map(|task| Ok(task?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Who traces each of a process's threads, 0 for nobody.
fn tracers_of(process: u32) -> anyhow::Result<Vec<u32>> {
    let mut tracers = Vec::new();
    for thread in threads_of(process)? {
        // A thread may have ended meanwhile.
        let status = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/status"));
        let status = status.unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        if let Some(tracer) = line {
            tracers.push(tracer.trim().parse()?);
        }
    }
    Ok(tracers)
}

#[cfg(test)]
#[path = "slow_disk/tests.rs"]
mod tests;
