//! Programs that are run for what they say. Nothing here knows what they do.

use anyhow::Context as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// 4 MiB of what a program says are read; six containers told by docker are some 100 KiB.
const SAID_BYTES_MAX: u64 = 4 << 20;
/// 400 characters of why a program failed are told.
const WHY_CHARS_MAX: usize = 400;

/// What a program said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) ok: bool,
    pub(super) out: String,
    err: String,
}

impl Said {
    /// Why it failed: the end of what it said on stderr.
    pub(super) fn why(&self) -> String {
        let said = self.err.trim();
        let over = said.chars().count().saturating_sub(WHY_CHARS_MAX);
        said.chars().skip(over).collect()
    }
}

/// A program with its words. What it needs besides is for the caller to add.
pub(super) fn program(words: &[&str]) -> Command {
    let (name, rest) = words.split_first().expect("a program has a name");
    let mut command = Command::new(name);
    command.args(rest);
    command
}

/// Runs it to its end with `input` on stdin. It is killed where that takes longer than `within`.
///
/// # Errors
/// It cannot be started, or has not ended in time: then nobody knows what it has done.
pub(super) async fn run(
    mut command: Command,
    input: &str,
    within: Duration,
) -> anyhow::Result<Said> {
    let words = words(&command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {words}"))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let out = child.stdout.take().context("no stdout")?;
    let err = child.stderr.take().context("no stderr")?;
    let talk = async {
        // One that ends without reading it says why itself.
        let _unread = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let (out, err) = tokio::try_join!(text(out), text(err))?;
        let status = child.wait().await?;
        anyhow::Ok(Said {
            ok: status.success(),
            out,
            err,
        })
    };
    let talked = tokio::time::timeout(within, talk).await;
    talked
        .with_context(|| format!("{words}: no end in {within:?}"))?
        .with_context(|| words.clone())
}

/// The same for what has to succeed; what it said.
///
/// # Errors
/// As [`run`], and where it fails: with its own words.
pub(super) async fn done(
    command: Command,
    input: &str,
    within: Duration,
) -> anyhow::Result<String> {
    let words = words(&command);
    let said = run(command, input, within).await?;
    anyhow::ensure!(said.ok, "{words}: {}", said.why());
    Ok(said.out)
}

/// Its name and arguments. The environment is left out: there is a token in it.
fn words(command: &Command) -> String {
    let command = command.as_std();
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(std::ffi::OsStr::to_string_lossy));
    words.join(" ")
}

async fn text(stream: impl tokio::io::AsyncRead + Unpin) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    stream.take(SAID_BYTES_MAX).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_a_program_reads_and_says_comes_through() {
        let said = done(program(&["cat"]), "a word", SOON).await.unwrap();

        assert_eq!(said, "a word");
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_words_and_not_with_its_environment() {
        let mut command = program(&["sh", "-c", "echo no such thing >&2; exit 3"]);
        command.env("TOKEN", "secret");

        let error = done(command, "", SOON).await.unwrap_err();

        let told = format!("{error:#}");
        assert!(told.contains("exit 3: no such thing"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_an_error() {
        let error = done(program(&["sleep", "600"]), "", Duration::from_millis(50)).await;

        let told = format!("{:#}", error.unwrap_err());
        assert!(told.contains("sleep 600: no end in 50ms"), "{told}");
    }
}
