//! That a test which is told to end leaves nothing behind: what it starts is in process groups of its own, which no terminal ends.

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// 20 s for a process to start, or to end.
const WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_crash_test_that_is_terminated_ends_its_node() {
    let dir = tempfile::tempdir().unwrap();
    // A node that never becomes ready, and says who it is.
    let (tenure, told) = (dir.path().join("tenure"), dir.path().join("pid"));
    let script = format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", told.display());
    fs::write(&tenure, script).unwrap();
    fs::set_permissions(&tenure, fs::Permissions::from_mode(0o755)).unwrap();
    let mut test = Command::new(env!("CARGO_BIN_EXE_tenure-chaos"));
    test.arg("crash").arg("--tenure").arg(&tenure);
    let mut test = test.arg("--work").arg(dir.path()).spawn().unwrap();
    eventually("the node starts", || pid(&told).is_some());
    let node = pid(&told).unwrap();

    let own = Pid::from_child(&test);
    kill_process(own, Signal::TERM).unwrap();

    assert_eq!(test.wait().unwrap().code(), Some(2));
    let is_gone = test_kill_process(node).is_err();
    let _gone = kill_process(node, Signal::KILL);
    assert!(is_gone, "the node was left behind");
}

fn pid(path: &Path) -> Option<Pid> {
    let text = fs::read_to_string(path).ok()?;
    Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?)
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + WITHIN;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {WITHIN:?}");
        sleep(Duration::from_millis(10));
    }
}
