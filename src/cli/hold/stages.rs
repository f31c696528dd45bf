//! What this program is where it guards a command, and where it becomes one. Both are started by `tenure lock run` and
//! `tenure semaphore run` only, and talk to no server.

use std::ffi::OsString;
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use rustix::process::{
    Signal, getppid, kill_current_process_group, set_parent_process_death_signal,
};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};

use super::super::{Exit, Failure};
use super::deadline::{Boot, Deadline};

/// 5 s from TERM to KILL, where the deadline is not earlier.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Signals that may be sent to the command's group, and that the guard is of that group for to outlive.
const OUTLIVED: [SignalKind; 5] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::hangup(),
    SignalKind::quit(),
    SignalKind::pipe(),
];

/// Guards the process group that it leads: until the deadline that it was told last, or until nobody can tell it one any more.
pub(in crate::cli) async fn guard() -> Result<Exit, Failure> {
    let failed = |why: std::io::Error| Failure::new(Exit::Failed, format!("no guard: {why}"));
    // From here on they do not end this process. Nobody reads them.
    let outlived: Result<Vec<_>, _> = OUTLIVED.into_iter().map(signal).collect();
    let _outlived = outlived.map_err(failed)?;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let pipe = Receiver::from_owned_fd(stdin.map_err(failed)?).map_err(failed)?;
    let mut lines = BufReader::new(pipe).lines();
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
async fn told(lines: &mut Lines<BufReader<Receiver>>) -> Option<Deadline> {
    let line = lines.next_line().await.ok().flatten()?;
    line.parse().ok()
}

/// Becomes the command, which is killed where the thread that started it ends: the first of `tenure lock run`. Not after this time,
/// in nanoseconds since boot: whoever started it may have been stopped before that for longer than the hold lasts.
pub(in crate::cli) fn exec(parent: i32, until: u64, argv: &[OsString]) -> Failure {
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    // It may have ended before that.
    let orphaned = getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent);
    if let (Err(_), _) | (_, true) = (bound, orphaned) {
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
