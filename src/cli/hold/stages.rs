//! What this program is where it guards a command, and where it becomes one. Both are started by `tenure lock run` and
//! `tenure semaphore run` only, and talk to no server.

use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use rustix::process::{Signal, kill_current_process_group};

use super::super::{Exit, Failure};
use super::deadline::Deadline;
use crate::guard::{Boot, Heard, bind_to, hear, outlive};

/// 5 s from TERM to KILL, where the deadline is not earlier.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Guards the process group that it leads: until the deadline that it was told last, or until nobody can tell it one any more.
pub(in crate::cli) async fn guard() -> Result<Exit, Failure> {
    let failed = |why: std::io::Error| Failure::new(Exit::Failed, format!("no guard: {why}"));
    // Signals that are sent to the command's group are not for the guard, which is of it.
    let _outlived = outlive().map_err(failed)?;
    let mut lines = hear().map_err(failed)?;
    let Some(mut deadline) = told(&mut lines).await else {
        return Err(Failure::usage("this is for `tenure lock run` to start"));
    };
    let mut stdout = std::io::stdout();
    let ready = stdout.write_all(b"!").and_then(|()| stdout.flush());
    ready.map_err(failed)?;
    loop {
        tokio::select! {
            biased;
            // Also where this process itself was stopped meanwhile: the clock is looked at first.
            () = deadline.term.come() => break,
            told = told(&mut lines) => {
                let Some(later) = told else {
                    deadline = deadline.at_once(GRACE);
                    break;
                };
                deadline = later;
            }
        }
    }
    let _all = kill_current_process_group(Signal::TERM);
    deadline.kill.come().await;
    let killed = kill_current_process_group(Signal::KILL);
    Err(failed(
        killed.err().map_or(ErrorKind::Other.into(), Into::into),
    ))
}

/// The next deadline; none where nobody tells one any more. Safe to be dropped and called again.
async fn told(lines: &mut Heard) -> Option<Deadline> {
    let line = lines.next_line().await.ok().flatten()?;
    line.parse().ok()
}

/// Becomes the command, which is killed where the thread that started it ends: the first of `tenure lock run`. Not after this time,
/// in nanoseconds since boot: whoever started it may have been stopped before that for longer than the hold lasts.
pub(in crate::cli) fn exec(parent: i32, until: u64, argv: &[OsString]) -> Failure {
    if !bind_to(parent) {
        return Failure::new(Exit::Failed, "whoever started this is gone");
    }
    let Some((program, words)) = argv.split_first() else {
        return Failure::usage("no command");
    };
    let mut command = std::process::Command::new(program);
    command.args(words);
    // Last: nothing is between this and the command.
    if Boot::at(until).left().is_zero() {
        return Failure::new(Exit::HoldLost, "the hold was over before the command began");
    }
    let why = command.exec();
    let code = if why.kind() == ErrorKind::NotFound {
        127
    } else {
        126
    };
    Failure::new(Exit::Command(code), format!("{}: {why}", program.display()))
}
