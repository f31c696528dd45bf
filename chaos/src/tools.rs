//! Programs of the machine and powers of the kernel that faults are made with. Each may be missing or not permitted; then nothing is
//! changed, and it is said which.

pub(crate) mod clock;
pub(crate) mod full_disk;
pub(crate) mod slow_disk;

use anyhow::{Context as _, bail};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

/// 10 s for a program that configures something to end; it takes some milliseconds.
const CONFIGURED_WITHIN: Duration = Duration::from_secs(10);
/// 4 MiB of what a program says are read; six containers told by docker are some 100 KiB.
const SAID_BYTES_MAX: u64 = 4 << 20;
/// 400 characters of why a program failed are told: the end of it.
const WHY_CHARS_MAX: usize = 400;

/// Something that was asked of the machine.
#[derive(Debug)]
pub(crate) enum Got<T> {
    Yes(T),
    /// The machine has it not, or does not permit it; nothing was changed. Why, with the tool's name.
    Cannot(String),
}

/// What came of running a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It did what it was told, and said this.
    Done(String),
    /// It is missing, or not permitted; nothing was changed. Why.
    Cannot(String),
    /// It would not, for this reason.
    Refused(String),
}

/// Where a program is found, as a shell would look for it.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

impl Ran {
    /// What it said, where it did what it was told.
    ///
    /// # Errors
    /// It did not: why.
    pub(crate) fn done(self) -> anyhow::Result<String> {
        match self {
            Self::Done(said) => Ok(said),
            Self::Cannot(why) | Self::Refused(why) => bail!(why),
        }
    }
}

/// A program with its words. What it needs besides is for the caller to add.
pub(crate) fn program(words: &[&str]) -> Command {
    let (name, rest) = words.split_first().expect("a program has a name");
    let mut command = Command::new(name);
    command.args(rest);
    command
}

/// Runs it to its end with `input` on stdin. It is killed where that takes longer than `within`.
///
/// # Errors
/// It cannot be started, or has not ended in time: then nobody knows what was changed.
pub(crate) async fn run(
    mut command: Command,
    input: &str,
    within: Duration,
) -> anyhow::Result<Ran> {
    let words = words(&command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = command.as_std().get_program().to_string_lossy();
            return Ok(Ran::Cannot(format!("{name} is not installed here")));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot start {words}")),
    };
    let mut stdin = child.stdin.take().context("no stdin")?;
    let out = child.stdout.take().context("no stdout")?;
    let err = child.stderr.take().context("no stderr")?;
    let say = async move {
        // One that ends without reading it says why itself.
        let _unread = stdin.write_all(input.as_bytes()).await;
        Ok(())
    };
    let talk = async {
        let ((), out, err) = tokio::try_join!(say, text(out), text(err))?;
        anyhow::Ok((child.wait().await?, out, err))
    };
    let talked = timeout(within, talk).await;
    let (ended, out, err) = talked
        .with_context(|| format!("{words}: no end in {within:?}"))?
        .with_context(|| words.clone())?;
    if ended.success() {
        return Ok(Ran::Done(out));
    }
    let why = format!("{words}: {}", end_of(&err));
    Ok(if is_not_permitted(&err) {
        Ran::Cannot(why)
    } else {
        Ran::Refused(why)
    })
}

/// The same for what has to succeed; what it said.
///
/// # Errors
/// As [`run`], and where it fails: with its own words.
pub(crate) async fn done(
    command: Command,
    input: &str,
    within: Duration,
) -> anyhow::Result<String> {
    run(command, input, within).await?.done()
}

/// Runs a program that configures something behind the words of an entrance, which put it somewhere and may be none.
///
/// # Errors
/// As [`run`], after 10 s.
pub(crate) async fn configure(
    entrance: &[String],
    words: &[&str],
    input: &str,
) -> anyhow::Result<Ran> {
    // An entrance says it in words of its own.
    if let Some(name) = words.first()
        && found(name).is_none()
    {
        return Ok(Ran::Cannot(format!("{name} is not installed here")));
    }
    let all: Vec<&str> = entrance.iter().map(String::as_str).collect();
    run(program(&[&all, words].concat()), input, CONFIGURED_WITHIN).await
}

/// As the tools say it that are used here.
pub(crate) fn is_not_permitted(said: &str) -> bool {
    let said = said.to_lowercase();
    ["not permitted", "permission denied", "must be root"]
        .iter()
        .any(|words| said.contains(words))
}

/// Its name and arguments. The environment is left out: there may be a token in it.
fn words(command: &Command) -> String {
    let command = command.as_std();
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

/// The first of it, as much as is read; the rest is let go.
async fn text(mut stream: impl AsyncRead + Unpin) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut first = (&mut stream).take(SAID_BYTES_MAX);
    first.read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn end_of(said: &str) -> String {
    let over = said.chars().count().saturating_sub(WHY_CHARS_MAX);
    said.chars().skip(over).collect()
}

/// Prints why a test proves nothing here; for tests that need something of the machine.
#[cfg(test)]
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED, nothing was tested: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_program_that_is_not_there_cannot_be_run_and_is_named() {
        let missing = Ran::Cannot("no-such-program is not installed here".to_owned());

        let ran = run(program(&["no-such-program"]), "", SOON).await.unwrap();
        assert_eq!(ran, missing);
        let entrance = ["env".to_owned()];
        let ran = configure(&entrance, &["no-such-program"], "").await;
        assert_eq!(ran.unwrap(), missing);
    }

    #[tokio::test]
    async fn an_entrance_goes_before_the_program_and_input_goes_into_it() {
        let entrance = ["env", "WORD=x"].map(str::to_owned);

        let ran = configure(&entrance, &["sh", "-c", "cat; echo $WORD"], "said ");

        assert_eq!(ran.await.unwrap(), Ran::Done("said x".to_owned()));
    }

    #[tokio::test]
    async fn what_is_not_permitted_is_told_apart_from_what_is_wrong() {
        let denied = ["sh", "-c", "echo Operation not permitted >&2; exit 1"];
        let wrong = ["sh", "-c", "echo syntax error >&2; exit 1"];

        let (denied, wrong) = (
            run(program(&denied), "", SOON).await.unwrap(),
            run(program(&wrong), "", SOON).await.unwrap(),
        );

        assert!(matches!(denied, Ran::Cannot(_)), "{denied:?}");
        assert!(
            matches!(&wrong, Ran::Refused(why) if why.contains("syntax error")),
            "{wrong:?}"
        );
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

    #[tokio::test]
    async fn what_is_read_of_a_program_is_bounded_and_so_is_what_is_told_of_why_it_failed() {
        let much = ["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x"];
        let said = done(program(&much), "", SOON).await.unwrap();
        assert_eq!(u64::try_from(said.len()).unwrap(), SAID_BYTES_MAX);

        let fails = [
            "sh",
            "-c",
            "head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1",
        ];
        let error = done(program(&fails), "", SOON).await.unwrap_err();
        assert!(error.to_string().len() < 1_000);
    }
}
