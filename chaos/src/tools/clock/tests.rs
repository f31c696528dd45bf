use super::*;
use crate::tools::{found, skipped};
use std::io::Cursor;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// A header that says there is one entry behind it, an entry of this type, and a path behind that.
fn elf(kind: u8) -> Vec<u8> {
    let path = b"/lib64/ld-linux-x86-64.so.2\0";
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = kind;
    bytes[64 + 8] = 64 + 56;
    bytes[64 + 32] = u8::try_from(path.len()).unwrap();
    bytes.extend_from_slice(path);
    bytes
}

#[test]
fn an_offset_is_written_in_seconds_as_libfaketime_reads_it() {
    let written = [0, 300_000, -120_500, -7, 1_001].map(offset);

    assert_eq!(
        written,
        ["+0\n", "+300\n", "-120.500\n", "-0.007\n", "+1.001\n"]
    );
}

#[test]
fn a_program_with_an_interpreter_is_dynamically_linked_and_one_without_is_not() {
    let dynamic = interpreter_in(&mut Cursor::new(elf(3))).unwrap();
    let fixed = interpreter_in(&mut Cursor::new(elf(1))).unwrap();

    let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
    assert_eq!(dynamic.as_deref(), Some(loader));
    assert_eq!(fixed, None);
    let program = Path::new("program");
    assert_eq!(cannot(program, dynamic.as_deref()), None);
    assert!(cannot(program, None).unwrap().contains("statically linked"));
    let musl = Path::new("/lib/ld-musl-x86_64.so.1");
    assert!(cannot(program, Some(musl)).unwrap().contains("musl"));
}

#[test]
fn what_is_no_program_and_what_lies_about_itself_is_an_error() {
    let mut far = elf(3);
    far[64 + 32 + 3] = 1;
    let mut cut = elf(3);
    cut.truncate(100);
    let broken = [b"#!/bin/sh\n".to_vec(), vec![0; 200], far, cut];

    for bytes in broken {
        assert!(interpreter_in(&mut Cursor::new(bytes)).is_err());
    }
}

/// Seconds since 1970 as `date` says them.
fn says(date: &Path, clock: Option<&Clock>) -> i64 {
    let mut command = Command::new(date);
    command.arg("+%s");
    if let Some(clock) = clock {
        command.envs(clock.environment());
    }
    let said = command.output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.trim().parse().unwrap()
}

#[test]
fn a_programs_clock_goes_ahead_and_back_and_right_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(date) = found("date") else {
        return skipped("date is not installed here");
    };
    let clock = match Clock::of(&date, dir.path().join("offset")).unwrap() {
        Got::Yes(clock) => clock,
        Got::Cannot(why) => return skipped(&why),
    };

    for (ahead_ms, secs) in [(0, 0), (300_000, 300), (-120_000, -120), (0, 0)] {
        clock.set(ahead_ms).unwrap();
        let off = says(&date, Some(&clock)) - says(&date, None);

        assert!((off - secs).abs() <= 2, "{off} s for {secs} s");
    }
}

/// The process of the next test.
fn sees_its_clock_move(file: &Path) {
    let (wall, still) = (SystemTime::now(), Instant::now());

    std::fs::write(file, offset(-3_600_000)).unwrap();

    // A node asks from many threads at once.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let back = wall.duration_since(SystemTime::now()).unwrap();
                    assert!(back > Duration::from_secs(3500), "{back:?}");
                }
            });
        }
    });
    assert!(still.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_process_that_runs_sees_its_clock_move_and_not_the_time_it_measures() {
    const OWN: &str = "tools::clock::tests::\
        a_process_that_runs_sees_its_clock_move_and_not_the_time_it_measures";
    if let Some(file) = std::env::var_os("FAKETIME_TIMESTAMP_FILE") {
        return sees_its_clock_move(Path::new(&file));
    }
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let clock = match Clock::of(&program, dir.path().join("offset")).unwrap() {
        Got::Yes(clock) => clock,
        Got::Cannot(why) => return skipped(&why),
    };

    let ran = Command::new(program)
        .args(["--exact", OWN])
        .envs(clock.environment())
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}
