//! A child process with a name and a log file. It is killed by its own id, never by a name, and at the latest when the
//! value goes.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// 5 ms between looks whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with everything it says at the end of `dir/<name>.log`, behind what an earlier one of that name said. It
    /// gets a process group of its own, so that an interrupt from the terminal reaches us alone and we end it in our order.
    pub(crate) fn start(name: &str, mut command: Command, dir: &Path) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = OpenOptions::new().append(true).create(true).open(&log);
        let out = out.with_context(|| log.display().to_string())?;
        command
            .stdin(std::process::Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, and the body buried.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// Tells it to end, to stand still, or to go on.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process id")?, signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until it has ended; false where that takes longer.
    pub(crate) async fn ends(&mut self, within: Duration) -> anyhow::Result<bool> {
        let until = Instant::now() + within;
        while !self.has_ended()? {
            if Instant::now() > until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(true)
    }

    /// # Errors
    /// When it ended by itself: how, and the last lines of its log.
    pub(crate) fn ensure_alive(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join("\n  ");
        anyhow::bail!(
            "{} ended by itself ({status}); the end of {}:\n  {tail}",
            self.name,
            self.log.display()
        )
    }
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

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_that_ended_by_itself_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut process =
            Process::start("p", sh("echo the port is taken; exit 3"), dir.path()).unwrap();
        process.child.wait().unwrap();

        let error = process.ensure_alive().unwrap_err().to_string();

        assert!(
            error.contains("exit status: 3") && error.contains("the port is taken"),
            "{error}"
        );
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::start("p", sh("exec sleep 600"), dir.path()).unwrap();
        let proc_dir = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(proc_dir.exists());

        drop(process);

        assert!(!proc_dir.exists());
    }
}
