//! The guard process as the node has it: started, told, asked whether it listens. Waits for it only until it is ready.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::SELF;
use super::ward;
use super::words::Word;

/// 5 s for a new guard to be ready, 1 ms between looks: only then do signals that are sent to many not end it any more.
const READY_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// 4 pings without an answer: a guard that was asked once a second and is silent for that long is stopped, or stuck.
const UNANSWERED_MAX: u32 = 4;

/// A guard process. Dropped, it is killed, and forgets the groups it knew without touching them.
pub(super) struct Link {
    child: Child,
    words: ChildStdin,
    answers: ChildStdout,
    unanswered: u32,
}

impl Link {
    /// Starts one, in a group of its own, so that a signal to the node's does not reach it, and waits until it is ready. For threads that
    /// may wait.
    ///
    /// # Errors
    /// The system has no process left, or no pipe, or it does not get ready in time.
    pub(super) fn start() -> io::Result<Self> {
        let mut child = Command::new(SELF)
            .arg(ward::WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        let words = child.stdin.take().expect("it is piped");
        let answers = child.stdout.take().expect("it is piped");
        let mut link = Self {
            child,
            words,
            answers,
            unanswered: 0,
        };
        // Neither a guard that reads nothing nor one that says nothing may hold the node up.
        rustix::io::ioctl_fionbio(&link.words, true)?;
        rustix::io::ioctl_fionbio(&link.answers, true)?;
        link.ready()?;
        Ok(link)
    }

    fn ready(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            match self.answers.read(&mut [0]) {
                Ok(0) => return Err(io::Error::other("it has ended")),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(LOOK_AGAIN),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("it does not get ready"))
    }

    /// Tells it; what is in the pipe is known to it, even where this process is killed right after.
    ///
    /// # Errors
    /// It is gone, or has read nothing for some 3,000 words: it is of no use any more.
    pub(super) fn tell(&mut self, word: Word) -> io::Result<()> {
        self.words.write_all(word.to_string().as_bytes())
    }

    /// Kills it; whether it has ended.
    pub(super) fn is_over(&mut self) -> bool {
        let _ended = self.child.kill();
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it lives, and has answered one of the last pings; asks again where `ask`.
    pub(super) fn lives(&mut self, ask: bool) -> bool {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return false;
        }
        let mut answers = [0; 16];
        if matches!(self.answers.read(&mut answers), Ok(1..)) {
            self.unanswered = 0;
        }
        if ask {
            self.unanswered += 1;
            return self.unanswered <= UNANSWERED_MAX && self.tell(Word::Ping).is_ok();
        }
        true
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Before its pipe ends, which would mean that the node is gone.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
