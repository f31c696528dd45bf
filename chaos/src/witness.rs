//! The witness: what really ran, written down by the runs themselves. Each run appends one line when it starts and one
//! when it ends to a file that Tenure knows nothing of, and signs of life between where it is asked to. It never asks the cluster,
//! and it never forgets: a line is one write in append mode, so lines of concurrent runs do not mix and a killed run leaves its
//! start behind. A run that has a lock acts on a resource named after it, which refuses a fence lower than one that it has seen.

pub(crate) mod http;
pub(crate) mod notes;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 16 processes between a run and its node at most.
const ABOVE_MAX: usize = 16;

/// One run of one attempt, as its environment names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) task: String,
    pub(crate) attempt: u32,
    /// The fencing token; i64 as etcd's revisions are.
    pub(crate) fence: i64,
}

/// What a run says of itself. Times are microseconds of the monotonic clock of the one machine all runs are on, which nobody sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Note {
    /// The command is about to start; `parent` is the process that started the run, which is its node.
    Started { run: Run, parent: u32, at_us: u64 },
    /// The command ended with this exit status; 128 and above for a signal.
    Ended { run: Run, exit: u8, at_us: u64 },
    /// It goes on, and acted on this resource, or was refused for its fence. Without one it merely goes on.
    Acted {
        run: Run,
        gate: Option<String>,
        done: bool,
        at_us: u64,
    },
}

/// What a run writes down of itself, and where.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The file that each note is appended to
    #[arg(long)]
    log: PathBuf,
    /// Give a sign of life every so many milliseconds
    #[arg(long)]
    beat_ms: Option<u64>,
    /// With each of them, act on the resource of this name
    #[arg(long, requires_all = ["beat_ms", "guards"])]
    gate: Option<String>,
    /// The directory of the resources
    #[arg(long)]
    guards: Option<PathBuf>,
    /// Kill the node that started it, with -9
    #[arg(long)]
    poison: bool,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// The machine's monotonic clock in microseconds: the same for all processes, and as it is also where a wall clock was set wrong.
pub(crate) fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (secs, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    secs.expect("it counts from the start") * 1_000_000
        + nanos.expect("it is below a second") / 1_000
}

/// The wall clock in microseconds since 1970.
pub(crate) fn wall_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    u64::try_from(since.as_micros()).expect("microseconds since 1970 fit 64 bits for 580,000 years")
}

/// Runs the command between two notes and ends as it ended. 125 when the witness itself failed, as `env` and `nohup` do.
pub(crate) fn run(options: &Options) -> ExitCode {
    match witnessed(options) {
        Ok(exit) => ExitCode::from(exit),
        Err(error) => {
            eprintln!("witness: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn witnessed(options: &Options) -> anyhow::Result<u8> {
    let run = Run {
        task: env("TENURE_TASK_ID")?,
        attempt: env("TENURE_ATTEMPT")?.parse().context("TENURE_ATTEMPT")?,
        fence: env("TENURE_FENCE")?.parse().context("TENURE_FENCE")?,
    };
    let parent = node();
    append(
        &options.log,
        &Note::Started {
            run: run.clone(),
            parent,
            at_us: monotonic_us(),
        },
    )?;
    if options.poison {
        let node = i32::try_from(parent).ok().and_then(Pid::from_raw);
        kill_process(node.context("no node above")?, Signal::KILL)?;
    }
    let (program, arguments) = options.argv.split_first().context("no command")?;
    let child = Command::new(program).args(arguments).spawn();
    let mut child = child.with_context(|| format!("cannot start {program}"))?;
    if let Some(every_ms) = options.beat_ms {
        beat(&mut child, options, &run, Duration::from_millis(every_ms))?;
    }
    let exit = exit_of(child.wait()?);
    append(
        &options.log,
        &Note::Ended {
            run,
            exit,
            at_us: monotonic_us(),
        },
    )?;
    Ok(exit)
}

/// Says that it goes on, and acts, until the command has ended.
fn beat(child: &mut Child, options: &Options, run: &Run, every: Duration) -> anyhow::Result<()> {
    while child.try_wait()?.is_none() {
        let resource = options.gate.as_deref().zip(options.guards.as_deref());
        match resource {
            Some((gate, guards)) => act(&options.log, guards, gate, run)?,
            None => append(&options.log, &acted(run, None, true))?,
        }
        std::thread::sleep(every);
    }
    Ok(())
}

/// Acts on a resource under the run's fence. It is written down before another can act, so that notes are in the order of acts.
fn act(log: &Path, guards: &Path, gate: &str, run: &Run) -> anyhow::Result<()> {
    let path = guards.join(gate);
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut resource = options
        .open(&path)
        .with_context(|| path.display().to_string())?;
    // Given back when the file is closed, also by a process that is killed.
    resource.lock()?;
    let mut known = String::new();
    resource.read_to_string(&mut known)?;
    let highest: i64 = known.trim().parse().unwrap_or(0);
    let done = run.fence >= highest;
    if run.fence > highest {
        resource.rewind()?;
        // Fences grow, so what is written is never shorter than what was there.
        resource.write_all(run.fence.to_string().as_bytes())?;
    }
    append(log, &acted(run, Some(gate), done))
}

fn acted(run: &Run, gate: Option<&str>, done: bool) -> Note {
    Note::Acted {
        run: run.clone(),
        gate: gate.map(str::to_owned),
        done,
        at_us: monotonic_us(),
    }
}

/// The process id of the node above: the nearest process that runs its `server`, else the one that started us. Programs may be
/// between, and what is started by a node may be adopted by others when it dies.
fn node() -> u32 {
    let first = std::os::unix::process::parent_id();
    let mut above = first;
    for _ in 0..ABOVE_MAX {
        let said = std::fs::read(format!("/proc/{above}/cmdline")).unwrap_or_default();
        if said.split(|byte| *byte == 0).nth(1) == Some(b"server") {
            return above;
        }
        let Some(next) = parent_of(above) else { break };
        above = next;
    }
    first
}

/// The parent of a process, as the kernel says: the second word behind the name in parentheses.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
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
        Self::of(path)
    }

    fn of(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Self {
            file,
            read_to: 0,
            notes: Vec::new(),
            open: HashMap::new(),
            ended: HashSet::new(),
        })
    }

    /// Reads one that others may have begun to write; makes it where it is not there.
    pub(crate) fn follow(path: &Path) -> anyhow::Result<Self> {
        let made = OpenOptions::new().append(true).create(true).open(path);
        made.with_context(|| path.display().to_string())?;
        Self::of(path)
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

    /// The same when nobody writes any more.
    ///
    /// # Errors
    /// A line is no note, or the last has no end: what it told is not all that there was.
    pub(crate) fn ends(&mut self) -> anyhow::Result<()> {
        self.catch_up()?;
        let written = self.file.metadata()?.len();
        let torn = written.saturating_sub(self.read_to);
        anyhow::ensure!(
            torn == 0,
            "the last {torn} bytes of the witness are half a note"
        );
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
            Note::Acted { .. } => {}
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
mod tests;
