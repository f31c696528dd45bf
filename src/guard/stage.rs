//! What this program is between its start and the command that it becomes: it waits until the guard has been told of it. Never runs
//! a command that nobody guards.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The word that makes this program the stage of a command.
pub(super) const WORD: &str = "tenure-stage";

/// The 1 byte that lets a stage go on: the first of its standard input, the rest of which is the command's.
pub(super) const GO: u8 = b'!';

/// 125, what a stage ends with that became no command, as of `env` and `timeout`.
pub(super) const NOT_STARTED: i32 = 125;

/// What its standard error begins with then.
const MARK: &str = "tenure-stage: ";

/// The words of a stage, after [`WORD`]: who starts it, the program, what it is called by, and its arguments.
pub(super) fn run(words: impl Iterator<Item = OsString>) -> ! {
    let why = become_command(words);
    eprintln!("{MARK}{why}");
    std::process::exit(NOT_STARTED)
}

/// Why it did not.
fn become_command(mut words: impl Iterator<Item = OsString>) -> String {
    let parent = words.next().and_then(|word| word.to_str()?.parse().ok());
    let (Some(parent), Some(program), Some(called)) = (parent, words.next(), words.next()) else {
        return "this is for a node to start".to_owned();
    };
    if !bind_to(parent) || !told_to_go() {
        return "whoever started this is gone".to_owned();
    }
    let mut command = Command::new(program);
    command.arg0(called).args(words);
    command.exec().to_string()
}

/// Has this process killed where the thread that started it ends, which must be one of this process; false where that is over already.
pub(crate) fn bind_to(parent: i32) -> bool {
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    // It may have ended before that.
    let there = getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent);
    bound.is_ok() && there
}

/// Waits for the one byte, and reads no more than that.
fn told_to_go() -> bool {
    let mut byte = [0_u8];
    loop {
        match rustix::io::read(std::io::stdin().as_fd(), &mut byte) {
            Err(Errno::INTR) => {}
            read => return read == Ok(1) && byte[0] == GO,
        }
    }
}

/// Why a stage that ended with this code and this on standard error became no command; none where it did.
pub(crate) fn not_started(code: Option<i32>, stderr: &str) -> Option<&str> {
    let why = stderr.strip_prefix(MARK)?;
    (code == Some(NOT_STARTED)).then(|| why.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_not_taken_for_one_that_did_not_start() {
        let said = "tenure-stage: no such file\n";
        assert_eq!(not_started(Some(125), said), Some("no such file"));
        assert_eq!(not_started(Some(1), said), None);
        assert_eq!(not_started(None, said), None);
        assert_eq!(not_started(Some(125), "timed out\n"), None);
    }
}
