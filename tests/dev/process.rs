//! The program as a process with a home of its own, and what it says.

use std::net::TcpListener;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longer than a lease and a busy machine take together.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that runs; killed when dropped.
pub(crate) struct Process {
    child: Child,
    out: Lines<BufReader<tokio::process::ChildStdout>>,
    err: Lines<BufReader<tokio::process::ChildStderr>>,
    said: String,
}

/// The program, with this home and no settings from outside.
fn program(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENURE_")) {
        command.env_remove(name);
    }
    command.args(words).env("HOME", home).current_dir(home);
    command.env_remove("XDG_STATE_HOME").kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn run(home: &Path, words: &[&str]) -> Output {
    run_with(home, words, &[]).await
}

/// The same, with this in its environment.
pub(crate) async fn run_with(home: &Path, words: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = program(home, words);
    command.envs(env.iter().copied());
    let ended = timeout(PATIENCE, command.output()).await;
    ended.expect("it ends").expect("it runs")
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Process {
    pub(crate) fn start(home: &Path, words: &[&str]) -> Self {
        let mut command = program(home, words);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        Self {
            out: BufReader::new(child.stdout.take().unwrap()).lines(),
            err: BufReader::new(child.stderr.take().unwrap()).lines(),
            said: String::new(),
            child,
        }
    }

    /// Waits for a line with this text on stdout.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        until(&mut self.out, &mut self.said, text).await
    }

    /// Waits for a line with this text on stderr.
    pub(crate) async fn logs(&mut self, text: &str) -> String {
        until(&mut self.err, &mut self.said, text).await
    }

    /// Its number.
    pub(crate) fn id(&self) -> Pid {
        let id = self.child.id().expect("it runs");
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ends(mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it does not end; it said\n{}", self.said))
            .unwrap()
    }
}

async fn until<R: AsyncRead + Unpin>(
    lines: &mut Lines<BufReader<R>>,
    said: &mut String,
    text: &str,
) -> String {
    let found = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            *said = format!("{said}{line}\n");
            if line.contains(text) {
                return line;
            }
        }
        panic!("it never said `{text}`, but\n{said}");
    });
    let found = found.await;
    found.unwrap_or_else(|_| panic!("it does not say `{text}`"))
}
