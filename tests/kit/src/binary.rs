//! Which etcd is used, and whether it is new enough. Never installs one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 3.5.16: older ones lose delete events around a compaction.
const OLDEST: (u32, u32, u32) = (3, 5, 16);

/// The etcd binaries of one directory, or of `PATH`.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) etcd: PathBuf,
    pub(crate) etcdctl: PathBuf,
}

impl Binaries {
    /// Finds etcd, or panics with what to do.
    pub(crate) fn find() -> Self {
        let etcd = candidates()
            .into_iter()
            .find(|path| path.is_file())
            .unwrap_or_else(|| panic!("no etcd found: set TENURE_TEST_ETCD to a directory with etcd and etcdctl, put it into .etcd/bin of the workspace, or into PATH"));
        let version = version(&etcd);
        assert!(
            version >= OLDEST,
            "{} is {version:?}, too old: tests need at least {OLDEST:?}",
            etcd.display()
        );
        let etcdctl = etcd.with_file_name("etcdctl");
        assert!(etcdctl.is_file(), "no etcdctl beside {}", etcd.display());
        Self { etcd, etcdctl }
    }
}

fn candidates() -> Vec<PathBuf> {
    if let Some(given) = env::var_os("TENURE_TEST_ETCD") {
        let given = PathBuf::from(given);
        return vec![if given.is_dir() {
            given.join("etcd")
        } else {
            given
        }];
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.etcd/bin/etcd");
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(workspace)
        .chain(env::split_paths(&path).map(|dir| dir.join("etcd")))
        .collect()
}

fn version(etcd: &Path) -> (u32, u32, u32) {
    let output = Command::new(etcd)
        .arg("--version")
        .output()
        .unwrap_or_else(|error| panic!("{} does not run: {error}", etcd.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).unwrap_or_else(|| panic!("{} tells no version: {text}", etcd.display()))
}

fn parse(text: &str) -> Option<(u32, u32, u32)> {
    let version = text.lines().next()?.strip_prefix("etcd Version: ")?;
    let mut parts = version.split(['.', '-', '+']).map(str::parse);
    Some((
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse("etcd Version: 3.5.30\nGit SHA: x"), Some((3, 5, 30)));
        assert_eq!(parse("etcd Version: 3.6.0-rc.1"), Some((3, 6, 0)));
        assert_eq!(parse("something else"), None);
        assert!(parse("etcd Version: 3.5.9").unwrap() < OLDEST);
        assert!(parse("etcd Version: 3.10.0").unwrap() > OLDEST);
    }
}
