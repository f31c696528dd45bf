//! A node's wall clock set wrong by libfaketime, which stands between a program and the C library. What a program measures with the
//! monotonic clock is left as it is.

use super::Got;
use anyhow::Context as _;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where distributions put libfaketime.
const DIRECTORIES: [&str; 7] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
    "/usr/lib64",
    "/usr/lib",
];
/// The build for programs of several threads first; either will do.
const LIBRARIES: [&str; 2] = ["libfaketimeMT.so.1", "libfaketime.so.1"];
/// 4 KiB, a path's greatest length in Linux.
const INTERPRETER_BYTES_MAX: u64 = 4096;

/// The wall clock of one process.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    /// Says how wrong it is; read anew whenever the time is asked for.
    file: PathBuf,
}

impl Clock {
    /// For a process of `program`; how wrong its clock is stands in `file`, which is made and says that it is right.
    ///
    /// # Errors
    /// When `program` cannot be read or `file` not written.
    pub(crate) fn of(program: &Path, file: PathBuf) -> anyhow::Result<Got<Self>> {
        if let Some(why) = cannot(program, interpreter(program)?.as_deref()) {
            return Ok(Got::Cannot(why));
        }
        let Some(library) = library() else {
            return Ok(Got::Cannot("libfaketime is not installed here".to_owned()));
        };
        let clock = Self { library, file };
        clock.set(0)?;
        Ok(Got::Yes(clock))
    }

    /// What the process has to find in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 4] {
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Sets it so many milliseconds ahead of what it is, or behind; at once, also while the process runs.
    ///
    /// # Errors
    /// When the file cannot be written; the clock is as it was.
    pub(crate) fn set(&self, ahead_ms: i64) -> anyhow::Result<()> {
        // Another name first: the process never reads half a line.
        let new = self.file.with_extension("new");
        std::fs::write(&new, offset(ahead_ms)).with_context(|| new.display().to_string())?;
        std::fs::rename(&new, &self.file).with_context(|| self.file.display().to_string())
    }
}

/// In libfaketime's words, seconds: `+300` or `-120.500`.
fn offset(ahead_ms: i64) -> String {
    let sign = if ahead_ms < 0 { '-' } else { '+' };
    let ms = ahead_ms.unsigned_abs();
    match (ms / 1000, ms % 1000) {
        (secs, 0) => format!("{sign}{secs}\n"),
        (secs, ms) => format!("{sign}{secs}.{ms:03}\n"),
    }
}

fn library() -> Option<PathBuf> {
    LIBRARIES
        .iter()
        .flat_map(|name| DIRECTORIES.map(|dir| Path::new(dir).join(name)))
        .find(|file| file.is_file())
}

/// Why a program that is started by this interpreter would not load the library.
fn cannot(program: &Path, interpreter: Option<&Path>) -> Option<String> {
    let program = program.display();
    match interpreter {
        None => Some(format!(
            "{program} is statically linked: libfaketime cannot reach its clock"
        )),
        Some(other) if other.to_string_lossy().contains("musl") => Some(format!(
            "{program} is linked with musl: libfaketime is for glibc"
        )),
        Some(_) => None,
    }
}

/// What loads a program's libraries; none where it is statically linked, and so asks for none.
///
/// # Errors
/// When it cannot be read, or is no 64-bit little-endian ELF program.
fn interpreter(program: &Path) -> anyhow::Result<Option<PathBuf>> {
    let read = || -> anyhow::Result<Option<PathBuf>> { interpreter_in(&mut File::open(program)?) };
    read().with_context(|| program.display().to_string())
}

/// By the ELF-64 object file format: the header has 64 bytes, an entry of the program headers at least 56, and the entry of type 3,
/// `PT_INTERP`, says where in the file the interpreter's path stands.
fn interpreter_in(file: &mut (impl Read + Seek)) -> anyhow::Result<Option<PathBuf>> {
    let mut header = [0; 64];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => anyhow::bail!("no ELF program"),
        read => read?,
    }
    let is_elf = header.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]);
    anyhow::ensure!(is_elf, "no 64-bit little-endian ELF program");
    let (first, size) = (u64_at(&header, 32), u64::from(u16_at(&header, 54)));
    for nth in 0..u64::from(u16_at(&header, 56)) {
        let mut entry = [0; 56];
        let at = first.checked_add(nth * size);
        file.seek(SeekFrom::Start(at.context("no place in a file")?))?;
        file.read_exact(&mut entry)?;
        if entry[..4] == [3, 0, 0, 0] {
            let (at, length) = (u64_at(&entry, 8), u64_at(&entry, 32));
            return interpreter_at(file, at, length).map(Some);
        }
    }
    Ok(None)
}

fn interpreter_at(file: &mut (impl Read + Seek), at: u64, length: u64) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        length <= INTERPRETER_BYTES_MAX,
        "its interpreter's path has {length} bytes"
    );
    file.seek(SeekFrom::Start(at))?;
    let mut path = String::new();
    file.take(length).read_to_string(&mut path)?;
    Ok(path.trim_end_matches('\0').into())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
#[path = "clock/tests.rs"]
mod tests;
