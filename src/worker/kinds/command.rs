//! The kind `command`: starts a program and answers for everything it starts. Never goes through a
//! shell, and lets nothing of a run outlive the run, except what leaves its process group on
//! purpose.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::value::RawValue;

mod asked;
mod group;
mod program;
mod supervise;

#[cfg(test)]
mod tests;

pub use program::Allow;

use asked::Asked;
use group::Group;
use program::Programs;
use supervise::{Limits, Seen};

use super::BuildError;
use super::payload::PayloadError;
use super::run::{Ended, Run};
use crate::guard;
use crate::task::Output;

pub(crate) const NAME: &str = "command";

/// 4 KiB: what is kept of each output, in bytes. Two of them for each of 256 tasks fill a
/// transaction of 2 MiB, so more is for a log and not for a result.
const TAIL_BYTES: usize = 4 * 1024;

/// 5 seconds between TERM and KILL: enough to close a file, short enough to fit into the time a
/// node has to drain.
const GRACE: Duration = Duration::from_secs(5);

/// Where programs are looked for if the node itself has no PATH.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// How a node runs commands.
#[derive(Clone, Debug)]
pub struct CommandOptions {
    /// Which programs may be started.
    pub allow: Allow,
    /// From TERM to KILL, for a run that has to stop.
    pub grace: Duration,
    /// What is kept of each of standard output and standard error, in bytes.
    pub tail_bytes: usize,
    /// Where a program without a slash in its name is looked for, and the PATH it is given.
    pub path: OsString,
}

impl CommandOptions {
    /// The usual grace and tails, and the PATH of this process.
    pub fn new(allow: Allow) -> Self {
        let path = std::env::var_os("PATH").filter(|path| !path.is_empty());
        Self {
            allow,
            grace: GRACE,
            tail_bytes: TAIL_BYTES,
            path: path.unwrap_or_else(|| PATH_DEFAULT.into()),
        }
    }
}

pub(crate) struct Command {
    programs: Programs,
    limits: Limits,
}

pub(crate) fn check(payload: &RawValue) -> Result<(), PayloadError> {
    Asked::read(payload).map(drop)
}

impl Command {
    pub(crate) fn new(options: CommandOptions) -> Result<Self, BuildError> {
        let CommandOptions {
            allow,
            grace,
            tail_bytes,
            path,
        } = options;
        let programs = Programs::new(allow, path)?;
        Ok(Self {
            programs,
            limits: Limits { grace, tail_bytes },
        })
    }

    pub(crate) async fn run(&self, run: &Run) -> Ended {
        let asked = match Asked::read(&run.payload) {
            Ok(asked) => asked,
            Err(error) => return Ended::failed(error),
        };
        let program = match self.programs.find(&asked) {
            Ok(program) => program,
            Err(refused) => return Ended::failed(refused),
        };
        let not_started = |why: &dyn Display| {
            Ended::failed(format_args!("cannot start {}: {why}", program.display()))
        };
        let command = self.compose(&program, &asked, run);
        let mut group = match Group::spawn(command, run.leash.clone()).await {
            Ok(group) => group,
            Err(error) => return not_started(&error),
        };
        let input = asked.stdin.unwrap_or_default();
        let seen = supervise::supervise(&mut group, input, run, self.limits).await;
        if seen.was_cut() {
            return Ended::lost();
        }
        let ended = judge(seen);
        let said = ended.output.as_ref();
        match said.and_then(|said| guard::not_started(said.code, &said.stderr)) {
            Some(why) if guard::able() => not_started(&why),
            Some(_) | None => ended,
        }
    }

    /// The environment holds what is named here and nothing of the node's own, which may hold its
    /// secrets.
    fn compose(&self, program: &Path, asked: &Asked, run: &Run) -> tokio::process::Command {
        // Some programs are many in one and go by the name they were called.
        let mut command = guard::command(program.as_os_str(), &asked.argv[0]);
        let piped_if = |wanted| {
            if wanted {
                Stdio::piped()
            } else {
                Stdio::null()
            }
        };
        command
            .args(&asked.argv[1..])
            .current_dir(asked.cwd.as_deref().unwrap_or("/"))
            .stdin(piped_if(asked.stdin.is_some() || guard::able()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .env("PATH", self.programs.path())
            .envs(&asked.env)
            .env("TENURE_TASK_ID", run.task_id.to_string())
            .env("TENURE_ATTEMPT", run.attempt.to_string())
            .env("TENURE_FENCE", run.fence.to_string())
            .env("TENURE_QUEUE", &*run.queue);
        if let Some(fired) = &run.fired {
            command
                .env("TENURE_SCHEDULE", fired.schedule.as_str())
                .env("TENURE_DUE_AT", fired.due_at());
        }
        command
    }
}

fn judge(seen: Seen) -> Ended {
    let Seen {
        stop,
        status,
        stdout,
        stderr,
        ..
    } = seen;
    let ended = match (stop, &status) {
        (Some(stop), _) => Ended::stopped(stop),
        (None, Ok(status)) if status.success() => Ended::succeeded(),
        (None, Ok(status)) => Ended::failed(how(*status)),
        (None, Err(error)) => Ended::failed(format_args!("exit status unknown: {error}")),
    };
    let ((stdout, out_cut), (stderr, err_cut)) = (stdout.finish(), stderr.finish());
    ended.with_output(Output {
        stdout,
        stderr,
        truncated: out_cut || err_cut,
        code: status.ok().and_then(|status| status.code()),
        value: None,
    })
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => format!("ended as {status}"),
    }
}
