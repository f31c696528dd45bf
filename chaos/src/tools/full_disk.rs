//! A small disk of its own for one directory, that can be filled and freed again: a tmpfs, so filling it harms nobody else.

use super::Got;
use anyhow::Context as _;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// What fills it.
const FILLER: &str = ".filler";
/// 64 KiB at a time, and at the end a page.
const CHUNK_BYTES: usize = 64 << 10;
const PAGE_BYTES: usize = 4 << 10;

/// Is unmounted when it goes, with everything on it. A process that still uses it keeps it until it ends.
#[derive(Debug)]
pub(crate) struct FullDisk {
    dir: PathBuf,
    bytes: u64,
}

impl FullDisk {
    /// Mounts one of so many bytes on a directory, which is there and empty. Only its owner may read it, as etcd asks of its data.
    ///
    /// # Errors
    /// When the directory is not there or not empty, or the kernel refuses for another reason than that it is not permitted.
    pub(crate) fn mount(dir: &Path, bytes: u64) -> anyhow::Result<Got<Self>> {
        let why = || dir.display().to_string();
        let mut within = std::fs::read_dir(dir).with_context(why)?;
        anyhow::ensure!(within.next().is_none(), "{} is not empty", dir.display());
        let options = CString::new(format!("size={bytes},mode=0700"))?;
        match mount(
            "tmpfs",
            dir,
            "tmpfs",
            MountFlags::NOSUID,
            options.as_c_str(),
        ) {
            Ok(()) => Ok(Got::Yes(Self {
                dir: dir.to_owned(),
                bytes,
            })),
            Err(Errno::PERM | Errno::ACCESS | Errno::NODEV | Errno::NOSYS) => Ok(Got::Cannot(
                "mount: a tmpfs of its own is not permitted here".to_owned(),
            )),
            Err(error) => Err(error).with_context(why),
        }
    }

    /// Fills it to the last page. What was filled before and has been freed by others since is filled again.
    ///
    /// # Errors
    /// When writing fails for another reason than that it is full; it may be filled in part.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let path = self.filler();
        let why = || path.display().to_string();
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let mut file = file.with_context(why)?;
        let zeros = vec![0; CHUNK_BYTES];
        // Never more than it holds, so this ends also where something else is mounted there.
        let mut left = self.bytes;
        for size in [CHUNK_BYTES, PAGE_BYTES] {
            while left > 0 {
                match file.write(&zeros[..size]) {
                    Ok(written) => left = left.saturating_sub(u64::try_from(written)?),
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).with_context(why),
                }
            }
        }
        Ok(())
    }

    /// Frees what filled it. Where nothing did, that is no error.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        let path = self.filler();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| path.display().to_string())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.dir.join(FILLER)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // Lazily: who uses it still keeps it, and nobody new finds it.
        let _gone = unmount(&self.dir, UnmountFlags::DETACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd_of_tests::Etcd;
    use crate::tools::skipped;
    use std::time::{Duration, Instant};

    const BYTES: u64 = 1 << 20;
    /// 160 MiB: etcd begins with 64 MiB of its log, and takes as much again for the next.
    const ETCD_BYTES: u64 = 160 << 20;
    /// 30 s for etcd to find out that its disk is full, and to be there again.
    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_freed_and_goes_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let disk = match FullDisk::mount(dir.path(), BYTES).unwrap() {
            Got::Yes(disk) => disk,
            Got::Cannot(why) => return skipped(&why),
        };
        let (kept, word) = (dir.path().join("kept"), dir.path().join("word"));
        std::fs::write(&kept, "kept").unwrap();

        disk.fill().unwrap();
        let full = std::fs::write(&word, "word").unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);

        disk.free().unwrap();
        disk.free().unwrap();
        std::fs::write(&word, "word").unwrap();
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");

        drop(disk);
        assert!(!kept.exists(), "it is still mounted");
    }

    #[tokio::test]
    async fn a_member_whose_disk_is_full_ends_and_has_what_it_had_when_it_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("e1");
        std::fs::create_dir(&data).unwrap();
        let disk = match FullDisk::mount(&data, ETCD_BYTES).unwrap() {
            Got::Yes(disk) => disk,
            Got::Cannot(why) => return skipped(&why),
        };
        let Some(mut etcd) = Etcd::start_in(dir, 1).await else {
            return;
        };
        let mut client = etcd.client().await;
        client.put("key", "kept", None).await.unwrap();

        disk.fill().unwrap();
        let until = Instant::now() + SOON;
        let large = vec![7; 1 << 20];
        loop {
            assert!(Instant::now() < until, "it goes on");
            let _refused =
                tokio::time::timeout(SOON, client.put("more", large.clone(), None)).await;
            if etcd
                .members
                .processes()
                .next()
                .unwrap()
                .has_ended()
                .unwrap()
            {
                break;
            }
        }

        disk.free().unwrap();
        etcd.members.revive(0).unwrap();
        etcd.is_healthy().await;
        let mut client = etcd.client().await;
        let kept = client.get("key", None).await.unwrap();
        assert_eq!(kept.kvs()[0].value(), b"kept");
        // The directory can go only when nothing is mounted in it.
        etcd.members.kill(0).unwrap();
        drop(disk);
    }

    #[test]
    fn a_directory_that_has_something_in_it_is_not_covered() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine"), "mine").unwrap();

        let error = FullDisk::mount(dir.path(), BYTES).unwrap_err().to_string();

        assert!(error.contains("is not empty"), "{error}");
    }
}
