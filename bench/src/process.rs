//! A child process with a name, a log file and a size. It is ended by its own id, never by a name, and at the latest when
//! the value goes.

use anyhow::Context as _;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Process {
    name: String,
    child: Child,
}

/// Resident memory in bytes, as the kernel counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// `VmRSS`: all resident pages.
    pub(crate) resident: u64,
    /// `RssAnon`: those that no file backs, heap and stacks.
    pub(crate) anonymous: u64,
    /// `VmHWM`: the most that was ever resident.
    pub(crate) peak: u64,
}

impl Process {
    /// Starts `command` with everything it says appended to `dir/<name>.log`, in a process group of its own, so that an
    /// interrupt from the terminal reaches us alone.
    pub(crate) fn start(name: &str, mut command: Command, dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| path.display().to_string())?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// # Errors
    /// When it ended by itself.
    pub(crate) fn ensure_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            anyhow::bail!("{} ended by itself ({status}); see its log", self.name);
        }
        Ok(())
    }

    /// Asks it to end, with TERM.
    pub(crate) fn ask_to_end(&self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        anyhow::ensure!(sent.success(), "cannot send TERM to {}", self.name);
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it takes longer than `within`.
    pub(crate) async fn ended(&mut self, within: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(
                Instant::now() < until,
                "{} did not end within {within:?} of TERM",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        memory_in(&status).with_context(|| format!("the size of {}", self.name))
    }
}

fn memory_in(status: &str) -> anyhow::Result<Memory> {
    let kib = |name: &str| -> anyhow::Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let word = line.and_then(|line| line.split_whitespace().next());
        Ok(word.with_context(|| format!("no {name}"))?.parse::<u64>()? * 1024)
    };
    Ok(Memory {
        resident: kib("VmRSS:")?,
        anonymous: kib("RssAnon:")?,
        peak: kib("VmHWM:")?,
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, which is as well.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_and_its_absence_is_said() {
        let status = "Name:\tx\nVmHWM:\t    3000 kB\nVmRSS:\t    2000 kB\nRssAnon:\t     500 kB\n";

        let memory = memory_in(status).unwrap();

        assert_eq!(memory.resident, 2_048_000);
        assert_eq!(memory.anonymous, 512_000);
        assert_eq!(memory.peak, 3_072_000);
        assert!(memory_in("Name:\tx\n").is_err());
    }

    #[tokio::test]
    async fn a_process_that_is_asked_to_end_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut process = Process::start("p", command, dir.path()).unwrap();
        process.ensure_alive().unwrap();

        process.ask_to_end().unwrap();

        process.ended(Duration::from_secs(10)).await.unwrap();
        assert!(process.ensure_alive().is_err());
    }
}
