//! The note that a `tenure dev` leaves for clients of the same user: where it answers, and its token. It counts as long as the
//! process that left it lives, which holds a lock on it. Never followed where a server or a token is given.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where to, and with which token.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// A node's URL.
    pub(crate) server: String,
    /// A token with the role admin.
    pub(crate) token: String,
}

/// A note that counts. Dropped, it is taken away, unless another has taken its place.
pub(crate) struct Left {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl Note {
    /// Leaves it where [`find`](Self::find) looks, readable by this user alone.
    ///
    /// # Errors
    /// There is no home, or it cannot be written there.
    pub(crate) fn leave(&self) -> io::Result<Left> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "HOME is not set");
        self.leave_at(place(&|name| std::env::var_os(name)).ok_or_else(none)?)
    }

    /// The note of a process that lives.
    pub(super) fn find() -> Option<Self> {
        Self::find_at(&place(&|name| std::env::var_os(name))?)
    }

    fn leave_at(&self, path: PathBuf) -> io::Result<Left> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        // Locked before it has its name, so that nobody takes it for one that was left behind.
        let new = path.with_extension(format!("new.{}", std::process::id()));
        if new.try_exists()? {
            fs::remove_file(&new)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        fs::rename(&new, &path)?;
        Ok(Left { path, file })
    }

    fn find_at(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => serde_json::from_reader(file).ok(),
            // Nobody holds it: its process died without taking it away.
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

impl Left {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn is_still_there(&self) -> io::Result<bool> {
        let (ours, there) = (self.file.metadata()?, fs::metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if matches!(self.is_still_there(), Ok(true)) {
            // What cannot be removed counts no longer all the same: the lock goes with us.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `tenure/dev.json` where programs of this user keep their state.
fn place(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("tenure/dev.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(token: &str) -> Note {
        Note {
            server: "http://127.0.0.1:1".to_owned(),
            token: token.to_owned(),
        }
    }

    #[test]
    fn a_note_counts_while_its_process_lives_and_is_for_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/tenure/dev.json");
        let left = note("a").leave_at(path.clone()).unwrap();
        assert_eq!(Note::find_at(&path), Some(note("a")));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        drop(left);

        assert!(!path.exists());
    }

    #[test]
    fn a_note_that_was_left_behind_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dev.json");
        fs::write(&path, serde_json::to_string(&note("a")).unwrap()).unwrap();
        assert_eq!(Note::find_at(&path), None);
    }

    #[test]
    fn the_last_note_counts_and_is_not_taken_away_by_an_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dev.json");
        let first = note("first").leave_at(path.clone()).unwrap();
        let _last = note("last").leave_at(path.clone()).unwrap();

        drop(first);

        assert_eq!(Note::find_at(&path), Some(note("last")));
    }

    #[test]
    fn it_is_kept_where_state_is_kept() {
        let of = |state: &str, home: &str| {
            place(&|name| {
                let value = if name == "HOME" { home } else { state };
                Some(value.into())
            })
        };
        let at = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of("/s", "/h"), at("/s/tenure/dev.json"));
        assert_eq!(of("", "/h"), at("/h/.local/state/tenure/dev.json"));
        assert_eq!(of("", ""), None);
    }
}
