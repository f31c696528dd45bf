//! Kill tests are a program of their own, which imports nothing of this one: this becomes it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::Failure;
use super::exit::Exit;

const PROGRAM: &str = "tenure-chaos";

/// Becomes `tenure-chaos`, the one beside this program, else the one on the `PATH`. Comes back only where there is none, or it cannot be
/// started: 127 or 126, as shells count.
pub(super) fn run(words: &[OsString]) -> Failure {
    let own = std::env::current_exe().ok();
    let why = Command::new(program(own)).args(words).exec();
    if why.kind() == ErrorKind::NotFound {
        let what = format!(
            "there is no {PROGRAM} beside this program or on the PATH; `cargo build -p {PROGRAM}` makes it"
        );
        return Failure::new(Exit::Command(127), what);
    }
    Failure::new(Exit::Command(126), format!("{PROGRAM}: {why}"))
}

fn program(own: Option<PathBuf>) -> PathBuf {
    let beside = own.map(|own| own.with_file_name(PROGRAM));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PROGRAM.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_beside_this_one_goes_before_the_one_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("tenure");
        assert_eq!(program(Some(own.clone())), PathBuf::from(PROGRAM));

        let beside = dir.path().join(PROGRAM);
        std::fs::write(&beside, "").unwrap();

        assert_eq!(program(Some(own)), beside);
        assert_eq!(program(None), PathBuf::from(PROGRAM));
    }
}
