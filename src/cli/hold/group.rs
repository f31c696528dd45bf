//! The process group of a command that runs under a hold, and the guard that leads it: a process of this program that ends the group
//! at the deadline, and where whoever holds is gone (`stages`). Never talks to a server.
//!
//! The guard is there before the command and is of its group, so the group's number is the group's as long as anybody could signal
//! it. It hears of deadlines by a pipe, whose end tells that the holder is gone, even by SIGKILL, and counts on while the holder is
//! stopped. Should holder and guard be killed together, the command itself is ended by its parent-death signal.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::super::{Exit, Failure};
use super::deadline::Deadline;
use crate::guard::SELF;

/// 10 s for the guard to begin.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// 100 ms to tell the guard of a deadline. A pipe takes it at once, unless the guard is stopped and has not read a thousand before;
/// this process then keeps to the deadline without it, and looks at nothing else meanwhile.
const TELL_WITHIN: Duration = Duration::from_millis(100);

/// A command and its guard. Dropped, the group is killed.
pub(super) struct Group {
    id: Pid,
    guard: Child,
    deadlines: ChildStdin,
    command: Child,
    command_gone: bool,
    guard_gone: bool,
}

/// Who ended.
pub(super) enum Ended {
    Command(std::io::Result<ExitStatus>),
    Guard,
}

impl Group {
    /// Starts the guard, tells it the deadline, and starts the command with this environment beside its own.
    pub(super) async fn start(
        argv: &[OsString],
        env: &[(&str, String)],
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let failed = |what: &str, why: std::io::Error| {
            Failure::new(Exit::Failed, format!("{what} cannot be started: {why}"))
        };
        let mut guard = Command::new(SELF)
            .arg("hold-guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|why| failed("the guard of the command", why))?;
        let mut deadlines = guard.stdin.take().expect("it is piped");
        let mut stdout = guard.stdout.take().expect("it is piped");
        let begun = async {
            deadlines.write_all(deadline.line().as_bytes()).await?;
            stdout.read_u8().await
        };
        let begun = timeout(READY_WITHIN, begun).await;
        begun
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(|why| failed("the guard of the command", why))?;
        let raw = guard.id().and_then(|id| i32::try_from(id).ok());
        let id = raw.and_then(Pid::from_raw).expect("it was not waited for");
        let mut command = Command::new(SELF);
        command
            .arg("hold-exec")
            .arg(std::process::id().to_string())
            .arg(deadline.kill.nanos().to_string())
            .arg("--")
            .args(argv)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .process_group(id.as_raw_nonzero().get());
        if std::io::stdin().is_terminal() {
            // Another group than the terminal's is stopped when it reads from there.
            command.stdin(Stdio::null());
        }
        let command = command.spawn().map_err(|why| failed("the command", why))?;
        Ok(Self {
            id,
            guard,
            deadlines,
            command,
            command_gone: false,
            guard_gone: false,
        })
    }

    /// Waits until the command ends, or before that the guard, once. Safe to be dropped and called again.
    pub(super) async fn ended(&mut self) -> Ended {
        tokio::select! {
            biased;
            status = self.command.wait() => {
                self.command_gone = true;
                Ended::Command(status)
            }
            _ = self.guard.wait(), if !self.guard_gone => {
                self.guard_gone = true;
                Ended::Guard
            }
        }
    }

    /// Tells the guard of another deadline, unless it does not listen.
    pub(super) async fn tell(&mut self, deadline: Deadline) {
        tell(&mut self.deadlines, deadline).await;
    }

    /// Passes a signal on. Nothing is left to signal where it fails.
    pub(super) fn signal(&self, signal: Signal) {
        // Of either that was not waited for the number is still the group's.
        if !(self.command_gone && self.guard_gone) {
            let _gone = kill_process_group(self.id, signal);
        }
    }

    /// Kills what is left of the group, the guard too.
    pub(super) async fn end(&mut self) {
        self.signal(Signal::KILL);
        while !(self.command_gone && self.guard_gone) {
            match self.ended().await {
                Ended::Guard => {}
                // It answers at once from now on.
                Ended::Command(_) if self.guard_gone => {}
                Ended::Command(_) => {
                    let _killed = self.guard.wait().await;
                    self.guard_gone = true;
                }
            }
        }
    }
}

/// A pipe takes a line whole or not at all, so what was given up leaves no half of one.
async fn tell(pipe: &mut (impl AsyncWrite + Unpin), deadline: Deadline) {
    let line = deadline.line();
    // Where it fails the guard has ended, and that is heard; where it takes long, the guard is stopped.
    let _told = timeout(TELL_WITHIN, pipe.write_all(line.as_bytes())).await;
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Boot;

    #[tokio::test]
    async fn a_guard_that_is_stopped_and_reads_nothing_holds_nobody_up() {
        let deadline = Deadline::of(Boot::now(), Duration::from_secs(15));
        let (mut full, _never_read) = tokio::io::duplex(1);
        let told = timeout(READY_WITHIN, tell(&mut full, deadline)).await;
        assert!(told.is_ok(), "it waits for the guard");
    }
}
