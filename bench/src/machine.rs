//! What the figures were measured on: cores, memory, how long the disk takes to sync, which builds.

use crate::measure::Bench;
use crate::numbers::{megabytes, millis, percentile};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// 2,300 B: about what etcd syncs for one small write.
const SYNC_BYTES: usize = 2_300;
/// 500 writes: half a second on a fast disk, some seconds on a slow one.
const SYNCS: usize = 500;

/// Looks at the machine.
///
/// # Errors
/// When the binaries cannot be run or the work directory cannot be written.
pub(crate) fn look(bench: &Bench) -> anyhow::Result<Value> {
    let cores = std::thread::available_parallelism()?.get();
    let memory = std::fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let memory = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let memory = memory.and_then(|line| line.split_whitespace().next());
    let kib: u64 = memory.context("no MemTotal")?.parse()?;
    let syncs = syncs(&bench.work)?;
    Ok(json!({
        "cores": cores,
        "memory_mb": megabytes(kib * 1024).round(),
        "fdatasync_ms": {
            "bytes": SYNC_BYTES, "count": SYNCS,
            "p50": percentile(&syncs, 50), "p99": percentile(&syncs, 99),
        },
        "tenure": first_line(Command::new(&bench.tenure).arg("--version"))?,
        "etcd": first_line(Command::new(bench.etcd.join("etcd")).arg("--version"))?,
        "binary_bytes": std::fs::metadata(&bench.tenure)?.len(),
        "scale": bench.scale.word(),
        "at": jiff::Timestamp::now().to_string(),
    }))
}

/// How long each of some small writes takes to be on the disk, in milliseconds.
fn syncs(dir: &Path) -> anyhow::Result<Vec<f64>> {
    let path = dir.join("sync");
    let mut file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    let bytes = [b'x'; SYNC_BYTES];
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.push(millis(begun.elapsed()));
    }
    std::fs::remove_file(&path)?;
    Ok(took)
}

fn first_line(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let ran = command.output().with_context(|| name.clone())?;
    anyhow::ensure!(ran.status.success(), "{name} ended with {}", ran.status);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sync_is_timed_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();

        let took = syncs(dir.path()).unwrap();

        assert_eq!(took.len(), SYNCS);
        assert!(took.iter().all(|ms| *ms > 0.0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
