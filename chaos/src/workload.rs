//! The workload: real files of this machine, picked by a seed, each to be hashed by one task; and the sums that
//! `sha256sum` itself gives for them. The same seed on the same files gives the same work.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Larger files would only make the demo slow.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// File names given to one `sha256sum`, well below the kernel's bound on arguments.
const SUMMED_AT_ONCE: usize = 200;

/// A picked file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

/// Picks `count` files below `root`, by seed. Links, empty files and names that `sha256sum` would escape are left out.
///
/// # Errors
/// When there are fewer.
pub(crate) fn pick(root: &Path, count: usize, seed: u64) -> anyhow::Result<Vec<Picked>> {
    let mut files = Vec::new();
    walk(root, &mut files)?;
    files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let found = files.len();
    anyhow::ensure!(
        found >= count,
        "{} has only {found} files that fit, {count} were asked for",
        root.display()
    );
    let mut random = SplitMix(seed);
    // The first `count` places of a shuffle.
    for place in 0..count {
        let other = place + random.below(found - place);
        files.swap(place, other);
    }
    files.truncate(count);
    Ok(files)
}

fn walk(root: &Path, files: &mut Vec<Picked>) -> anyhow::Result<()> {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        // What we may not read is not ours to hash.
        let Ok(entries) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let entry = entry.with_context(|| dir.display().to_string())?;
            let Ok(meta) = entry.path().symlink_metadata() else {
                continue;
            };
            if meta.is_dir() {
                dirs.push(entry.path());
            } else if meta.is_file() && (1..=FILE_BYTES_MAX).contains(&meta.len()) {
                files.extend(plain_name(entry.path()).map(|path| Picked {
                    path,
                    bytes: meta.len(),
                }));
            }
        }
    }
    Ok(())
}

fn plain_name(path: PathBuf) -> Option<String> {
    let path = path.into_os_string().into_string().ok()?;
    let plain = !path.contains(['\\', '\n', '\r']) && std::fs::File::open(&path).is_ok();
    plain.then_some(path)
}

/// The task for a file: `sha256sum` of it, run by the witness.
pub(crate) fn spec(witness: &Path, log: &Path, file: &Picked) -> Value {
    let argv = json!([
        witness,
        "witness-run",
        "--log",
        log,
        "--",
        "sha256sum",
        file.path
    ]);
    json!({ "queue": "demo", "kind": "command", "payload": { "argv": argv } })
}

/// What `sha256sum`, run directly, gives for each file.
pub(crate) fn direct_sums(files: &[Picked]) -> anyhow::Result<HashMap<String, String>> {
    let mut sums = HashMap::new();
    for some in files.chunks(SUMMED_AT_ONCE) {
        let ran = Command::new("sha256sum")
            .arg("--")
            .args(some.iter().map(|file| &file.path))
            .output()?;
        anyhow::ensure!(
            ran.status.success(),
            "sha256sum: {}",
            String::from_utf8_lossy(&ran.stderr).trim()
        );
        let said = String::from_utf8(ran.stdout).context("sha256sum says text")?;
        sums.extend(
            said.lines()
                .filter_map(|line| line.split_once("  "))
                .map(|(sum, path)| (path.into(), sum.into())),
        );
    }
    Ok(sums)
}

/// A small generator whose whole state is its seed: Steele, Lea and Flood's `SplitMix64`.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias of the remainder is far below what a choice of files could show.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize is at most 64 bits");
        usize::try_from(self.next() % bound).expect("smaller than a usize")
    }

    /// A number of this range, both ends included.
    pub(crate) fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.next() % (high - low + 1)
    }

    /// Another generator, so that what one takes of it changes nothing for others.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_files() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in 0..40 {
            std::fs::write(
                dir.path().join(format!("file {name}")),
                format!("content {name}"),
            )
            .unwrap();
        }
        std::fs::write(dir.path().join("empty"), "").unwrap();
        std::fs::write(dir.path().join("two\nlines"), "x").unwrap();
        std::os::unix::fs::symlink("file 1", dir.path().join("link")).unwrap();
        dir
    }

    #[test]
    fn a_seed_picks_the_same_files_twice_and_another_seed_others() {
        let dir = some_files();

        let first = pick(dir.path(), 20, 1).unwrap();

        assert_eq!(first, pick(dir.path(), 20, 1).unwrap());
        assert_ne!(first, pick(dir.path(), 20, 2).unwrap());
    }

    #[test]
    fn only_plain_files_with_content_are_picked_and_none_twice() {
        let dir = some_files();

        let mut paths: Vec<String> = pick(dir.path(), 40, 3)
            .unwrap()
            .into_iter()
            .map(|file| file.path)
            .collect();
        paths.sort_unstable();
        paths.dedup();

        assert_eq!(paths.len(), 40);
        assert!(
            pick(dir.path(), 41, 3)
                .unwrap_err()
                .to_string()
                .contains("only 40 files")
        );
    }

    #[test]
    fn direct_sums_are_by_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a  b");
        std::fs::write(&path, "abc").unwrap();
        let path = path.to_str().unwrap().to_owned();

        let sums = direct_sums(&[Picked {
            path: path.clone(),
            bytes: 3,
        }])
        .unwrap();

        // From FIPS 180's own example for "abc".
        assert_eq!(
            sums[&path],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
