//! Programs of the machine and powers of the kernel that faults are made with. Each may be missing or not permitted; then nothing is
//! changed, and it is said which.

pub(crate) mod clock;
pub(crate) mod full_disk;
pub(crate) mod slow_disk;

use anyhow::Context as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// 10 s for a program that configures something to end.
const RUN_WITHIN: Duration = Duration::from_secs(10);

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

/// Runs `program` with `words` behind the words of an entrance, which put it somewhere and may be none, and gives it `input`.
///
/// # Errors
/// When it does not end within 10 s, or nothing can be said to it: nobody knows then what was changed.
pub(crate) async fn run(
    entrance: &[String],
    program: &str,
    words: &[&str],
    input: &str,
) -> anyhow::Result<Ran> {
    let first = entrance.first().map_or(program, String::as_str);
    for needed in [first, program] {
        if found(needed).is_none() {
            return Ok(Ran::Cannot(format!("{needed} is not installed here")));
        }
    }
    let mut command = Command::new(first);
    if !entrance.is_empty() {
        command.args(&entrance[1..]).arg(program);
    }
    command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| first.to_owned())?;
    let mut stdin = child.stdin.take().context("no way to tell it anything")?;
    let ended = timeout(RUN_WITHIN, async {
        // One that ends without listening says why itself.
        let _said = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    });
    let ended = ended
        .await
        .with_context(|| format!("{program} does not end"))??;
    if ended.status.success() {
        return Ok(Ran::Done(text(&ended.stdout)));
    }
    let why = format!("{program} {}: {}", words.join(" "), text(&ended.stderr));
    Ok(if is_not_permitted(&why) {
        Ran::Cannot(why)
    } else {
        Ran::Refused(why)
    })
}

/// As the tools say it that are used here.
pub(crate) fn is_not_permitted(said: &str) -> bool {
    let said = said.to_lowercase();
    ["not permitted", "permission denied", "must be root"]
        .iter()
        .any(|words| said.contains(words))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Prints why a test proves nothing here; for tests that need something of the machine.
#[cfg(test)]
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED, nothing was tested: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_not_there_cannot_be_run_and_is_named() {
        let ran = run(&[], "no-such-program", &[], "").await.unwrap();

        assert_eq!(
            ran,
            Ran::Cannot("no-such-program is not installed here".to_owned())
        );
    }

    #[tokio::test]
    async fn an_entrance_goes_before_the_program_and_input_goes_into_it() {
        let entrance = ["env", "WORD=x"].map(str::to_owned);

        let ran = run(&entrance, "sh", &["-c", "cat; echo $WORD"], "said ");

        assert_eq!(ran.await.unwrap(), Ran::Done("said x".to_owned()));
    }

    #[tokio::test]
    async fn what_is_not_permitted_is_told_apart_from_what_is_wrong() {
        let denied = ["-c", "echo Operation not permitted >&2; exit 1"];
        let wrong = ["-c", "echo syntax error >&2; exit 1"];

        let (denied, wrong) = (
            run(&[], "sh", &denied, "").await.unwrap(),
            run(&[], "sh", &wrong, "").await.unwrap(),
        );

        assert!(matches!(denied, Ran::Cannot(_)), "{denied:?}");
        assert!(
            matches!(&wrong, Ran::Refused(why) if why.contains("syntax error")),
            "{wrong:?}"
        );
    }
}
