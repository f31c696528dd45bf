//! A tar archive of a few small files, as POSIX's ustar has it: what `tar xzf` reads. Made in memory.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

/// 512 bytes, the unit of an archive.
const BLOCK: usize = 512;

/// 99 bytes to a name, the field less the byte that ends it.
const NAME_BYTES_MAX: usize = 99;

/// The files, by names of ASCII, as a gzipped archive; `made` is their time, in seconds since 1970.
///
/// # Errors
/// None that memory does not make.
///
/// # Panics
/// A name is too long: they are ours.
pub(super) fn gzipped(files: &[(String, Vec<u8>)], made: u64) -> io::Result<Vec<u8>> {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
    for (name, bytes) in files {
        zipped.write_all(&header(name, bytes.len(), made))?;
        zipped.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        zipped.write_all(&[0; BLOCK][..rest])?;
    }
    // Two empty blocks end it.
    zipped.write_all(&[0; 2 * BLOCK])?;
    zipped.finish()
}

fn header(name: &str, len: usize, made: u64) -> [u8; BLOCK] {
    assert!(name.len() <= NAME_BYTES_MAX, "{name} is too long");
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    // Mode, owner, group, length, time: octal, each ended by a zero byte.
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{len:011o}"));
    put(136, &format!("{made:011o}"));
    // The sum is over the header with spaces in its place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    let sum = format!("{sum:06o}\0");
    header[148..148 + sum.len()].copy_from_slice(sum.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let large = "0123456789\n".repeat(1_000).into_bytes();
        let files = [
            ("b/one.json".to_owned(), b"{}".to_vec()),
            ("b/empty.txt".to_owned(), Vec::new()),
            ("b/block.txt".to_owned(), vec![b'x'; BLOCK]),
            ("b/large.txt".to_owned(), large),
        ];
        let archive = dir.path().join("a.tar.gz");
        std::fs::write(&archive, gzipped(&files, 1_700_000_000).unwrap()).unwrap();

        let read = Command::new("tar")
            .args(["-xzf", "a.tar.gz"])
            .current_dir(dir.path())
            .output()
            .unwrap();

        assert!(read.status.success(), "{read:?}");
        for (name, bytes) in &files {
            let there = std::fs::read(dir.path().join(name)).unwrap();
            assert!(there == *bytes, "{name}");
        }
    }
}
