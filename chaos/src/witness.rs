//! The witness: what really ran, written down by the runs themselves. Each run appends one line when it starts and one
//! when it ends to a file that Tenure knows nothing of. It never asks the cluster, and it never forgets: a line is one
//! write in append mode, so lines of concurrent runs do not mix and a killed run leaves its start behind.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

/// One run of one attempt, as its environment names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) task: String,
    pub(crate) attempt: u32,
    /// The fencing token; i64 as etcd's revisions are.
    pub(crate) fence: i64,
}

/// What a run says of itself. Times are microseconds since 1970, from the clock of the one machine all runs are on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Note {
    /// The command is about to start; `parent` is the process that started the run, which is its node.
    Started { run: Run, parent: u32, at_us: u64 },
    /// The command ended with this exit status; 128 and above for a signal.
    Ended { run: Run, exit: u8, at_us: u64 },
}

pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    u64::try_from(since.as_micros()).expect("microseconds since 1970 fit 64 bits for 580,000 years")
}

/// Runs `argv` between two notes and ends as it ended. 125 when the witness itself failed, as `env` and `nohup` do.
pub(crate) fn run(log: &Path, argv: &[String]) -> ExitCode {
    match witnessed(log, argv) {
        Ok(exit) => ExitCode::from(exit),
        Err(error) => {
            eprintln!("witness: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn witnessed(log: &Path, argv: &[String]) -> anyhow::Result<u8> {
    let run = Run {
        task: env("TENURE_TASK_ID")?,
        attempt: env("TENURE_ATTEMPT")?.parse().context("TENURE_ATTEMPT")?,
        fence: env("TENURE_FENCE")?.parse().context("TENURE_FENCE")?,
    };
    let parent = std::os::unix::process::parent_id();
    append(
        log,
        &Note::Started {
            run: run.clone(),
            parent,
            at_us: now_us(),
        },
    )?;
    let (program, arguments) = argv.split_first().context("no command")?;
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    let exit = exit_of(status);
    append(
        log,
        &Note::Ended {
            run,
            exit,
            at_us: now_us(),
        },
    )?;
    Ok(exit)
}

fn env(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

/// The status as a shell would give it.
fn exit_of(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

fn append(log: &Path, note: &Note) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(note).context("a note is plain JSON")?;
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .with_context(|| log.display().to_string())?;
    // One write: that is what keeps the lines of concurrent runs apart.
    let written = file.write(&line)?;
    anyhow::ensure!(
        written == line.len(),
        "only {written} of {} bytes of a note were written",
        line.len()
    );
    Ok(())
}

/// Reads the notes as they are written, and keeps them all.
pub(crate) struct Log {
    file: File,
    read_to: u64,
    notes: Vec<Note>,
    open: HashMap<Run, u32>,
    ended: HashSet<String>,
}

impl Log {
    /// Creates the file, empty.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        File::create(path).with_context(|| path.display().to_string())?;
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Self {
            file,
            read_to: 0,
            notes: Vec::new(),
            open: HashMap::new(),
            ended: HashSet::new(),
        })
    }

    /// Takes in what was written since the last call. A last line without its end is left for the next call.
    pub(crate) fn catch_up(&mut self) -> anyhow::Result<()> {
        self.file.seek(SeekFrom::Start(self.read_to))?;
        let mut fresh = Vec::new();
        self.file.read_to_end(&mut fresh)?;
        let whole = fresh
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        for line in fresh[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let note = serde_json::from_slice(line).with_context(|| {
                format!(
                    "a witness line is not a note: {}",
                    String::from_utf8_lossy(line)
                )
            })?;
            self.take(note);
        }
        self.read_to += u64::try_from(whole).expect("a read is shorter than 64 bits");
        Ok(())
    }

    fn take(&mut self, note: Note) {
        match &note {
            Note::Started { run, parent, .. } => {
                self.open.insert(run.clone(), *parent);
            }
            Note::Ended { run, exit, .. } => {
                self.open.remove(run);
                if *exit == 0 {
                    self.ended.insert(run.task.clone());
                }
            }
        }
        self.notes.push(note);
    }

    /// All notes so far, in the order in which they were written.
    pub(crate) fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// How many tasks have ended well at least once.
    pub(crate) fn tasks_done(&self) -> usize {
        self.ended.len()
    }

    /// How many runs that this process started have not ended.
    pub(crate) fn running_under(&self, parent: u32) -> usize {
        self.open.values().filter(|of| **of == parent).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(task: &str, parent: u32) -> Note {
        let run = Run {
            task: task.to_owned(),
            attempt: 1,
            fence: 7,
        };
        Note::Started {
            run,
            parent,
            at_us: 1,
        }
    }

    fn ended(task: &str, exit: u8) -> Note {
        let run = Run {
            task: task.to_owned(),
            attempt: 1,
            fence: 7,
        };
        Note::Ended {
            run,
            exit,
            at_us: 2,
        }
    }

    #[test]
    fn notes_are_read_back_in_order_across_calls() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let mut log = Log::create(&path).unwrap();

        append(&path, &started("a", 10)).unwrap();
        log.catch_up().unwrap();
        append(&path, &ended("a", 0)).unwrap();
        append(&path, &started("b", 11)).unwrap();
        log.catch_up().unwrap();

        assert_eq!(
            log.notes(),
            [started("a", 10), ended("a", 0), started("b", 11)]
        );
        assert_eq!(
            (
                log.tasks_done(),
                log.running_under(10),
                log.running_under(11)
            ),
            (1, 0, 1)
        );
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let mut log = Log::create(&path).unwrap();
        let line = format!("{}\n", serde_json::to_string(&started("a", 10)).unwrap());
        let (head, tail) = line.split_at(20);

        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(head.as_bytes()).unwrap();
        log.catch_up().unwrap();
        assert!(log.notes().is_empty());
        file.write_all(tail.as_bytes()).unwrap();
        log.catch_up().unwrap();

        assert_eq!(log.notes(), [started("a", 10)]);
    }

    #[test]
    fn a_line_that_is_no_note_is_an_error_and_not_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let mut log = Log::create(&path).unwrap();
        std::fs::write(&path, "{\"event\":\"sta{\"event\"\n").unwrap();

        assert!(log.catch_up().is_err());
    }

    #[test]
    fn a_failed_run_is_not_a_task_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness");
        let mut log = Log::create(&path).unwrap();

        append(&path, &started("a", 10)).unwrap();
        append(&path, &ended("a", 1)).unwrap();
        log.catch_up().unwrap();

        assert_eq!(log.tasks_done(), 0);
    }
}
