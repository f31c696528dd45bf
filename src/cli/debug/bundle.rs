//! `tenure debug bundle`: what a node and its cluster tell, each part in a file of its own, bounded in bytes and time. A part that cannot be
//! had is there as the reason. No secret is in it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use serde::Serialize;
use tokio::time::Instant;

use super::tar;
use crate::api::wire::{DebugState, Time};
use crate::cli::client::{Client, Probed};
use crate::cli::{Exit, Failure};
use crate::clock;
use crate::task::millis;

/// 4 MiB of each part: thousands of nodes, queues or lines.
const PART_BYTES_MAX: usize = 4 << 20;

/// 10 s for each part: what takes longer says so.
const PART_WITHIN: Duration = Duration::from_secs(10);

/// 4 parts are asked for at a time.
const TOGETHER: usize = 4;

/// What is asked for: the name of its file, and where.
const PARTS: &[(&str, &str)] = &[
    ("version.json", "/version"),
    ("readyz.json", "/readyz?verbose"),
    ("state.json", "/v1/debug/state"),
    ("etcd.json", "/v1/debug/etcd"),
    ("metrics.txt", "/metrics"),
    ("stats.json", "/v1/stats"),
    ("nodes.json", "/v1/nodes"),
    ("leader.json", "/v1/leader"),
    ("leader-history.json", "/v1/leader/history"),
    ("failovers.json", "/v1/failovers?limit=100"),
    ("queues.json", "/v1/queues"),
    ("semaphores.json", "/v1/semaphores"),
    ("locks.json", "/v1/locks"),
    ("breakers.json", "/v1/breakers"),
    ("schedules.json", "/v1/schedules?limit=100"),
];

/// The part that has the log.
const STATE: &str = "state.json";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Asked {
    /// Where to write it; if not given, tenure-debug-TIME.tar.gz here
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// One part as it was had.
struct Part {
    name: &'static str,
    path: &'static str,
    took: Duration,
    had: Result<Probed, Failure>,
}

/// What the bundle says of a part.
#[derive(Serialize)]
struct Line {
    file: String,
    path: &'static str,
    bytes: usize,
    /// Whether there was more than is taken.
    cut: bool,
    took_ms: u64,
    problem: Option<String>,
}

/// What the bundle says of itself, in `bundle.json`.
#[derive(Serialize)]
struct Contents {
    made_at: Time,
    by: &'static str,
    server: String,
    parts: Vec<Line>,
}

pub(super) async fn run(client: &Client, asked: Asked) -> Result<Exit, Failure> {
    let parts: Vec<Part> = stream::iter(PARTS)
        .map(|(name, path)| part(client, name, path))
        .buffered(TOGETHER)
        .collect()
        .await;
    let made = clock::now();
    let name = format!("tenure-debug-{}", made.strftime("%Y%m%dT%H%M%SZ"));
    let (files, missing) = files(client, &parts, made)?;
    if missing.len() == parts.len() {
        let mut hads = parts.into_iter().filter_map(|part| part.had.err());
        let refused = || Failure::new(Exit::Failed, "the server answers none of the parts");
        return Err(hads.next().unwrap_or_else(refused));
    }
    let within = |(file, bytes): (String, Vec<u8>)| (format!("{name}/{file}"), bytes);
    let files: Vec<_> = files.into_iter().map(within).collect();
    let secs = u64::try_from(made.as_second()).unwrap_or(0);
    let archive = tar::gzipped(&files, secs).map_err(|problem| unwritten(&name, &problem))?;
    let file = asked
        .file
        .unwrap_or_else(|| format!("{name}.tar.gz").into());
    write(create(&file)?, &file, &archive)?;
    eprintln!("written to {}", file.display());
    if missing.is_empty() {
        return Ok(Exit::Done);
    }
    let message = format!("it lacks, each with its reason: {}", missing.join(", "));
    Err(Failure::new(Exit::Partial, message))
}

async fn part(client: &Client, name: &'static str, path: &'static str) -> Part {
    let asked = Instant::now();
    let had = client.probe_within(path, PART_WITHIN, PART_BYTES_MAX).await;
    Part {
        name,
        path,
        took: asked.elapsed(),
        had,
    }
}

type Files = Vec<(String, Vec<u8>)>;

/// The files of a bundle, what it says of itself first, and the names of the parts that could not be had.
fn files(
    client: &Client,
    parts: &[Part],
    made: jiff::Timestamp,
) -> Result<(Files, Vec<&'static str>), Failure> {
    let (mut files, mut lines, mut missing) = (Files::new(), Vec::new(), Vec::new());
    for part in parts {
        let (problem, bytes, cut) = part.told();
        let bytes = client.without_token(&bytes);
        if part.name == STATE
            && let Ok(state) = serde_json::from_slice::<DebugState>(&bytes)
        {
            files.push(("log.txt".to_owned(), (state.log.join("\n") + "\n").into()));
        }
        let file = match &problem {
            None => part.name.to_owned(),
            Some(_) => format!("{}.problem.txt", part.name),
        };
        if problem.is_some() {
            missing.push(part.name);
        }
        lines.push(Line {
            file: file.clone(),
            path: part.path,
            bytes: bytes.len(),
            cut,
            took_ms: millis(part.took),
            problem,
        });
        files.push((file, bytes));
    }
    let contents = Contents {
        made_at: Time(made),
        by: env!("CARGO_PKG_VERSION"),
        server: client.base().to_owned(),
        parts: lines,
    };
    let contents = serde_json::to_vec_pretty(&contents)
        .map_err(|problem| Failure::new(Exit::Failed, problem.to_string()))?;
    files.insert(0, ("bundle.json".to_owned(), contents));
    Ok((files, missing))
}

impl Part {
    /// Why it could not be had, where it could not; what was had, or the reason; whether there was more.
    fn told(&self) -> (Option<String>, Vec<u8>, bool) {
        match &self.had {
            // A node that is not ready says why.
            Ok(had) if had.status.is_success() || self.path.starts_with("/readyz") => {
                (None, had.body.clone(), had.cut)
            }
            Ok(had) => {
                let why = format!("the server answers {}", had.status);
                let mut said = format!("{why}\n").into_bytes();
                said.extend(&had.body);
                (Some(why), said, had.cut)
            }
            Err(why) => {
                let why = &why.message;
                (Some(why.clone()), why.clone().into_bytes(), false)
            }
        }
    }
}

/// A new file that its owner may read.
pub(super) fn create(file: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let opened = options.open(file);
    opened.map_err(|problem| unwritten(&file.display().to_string(), &problem))
}

/// Takes a file away again that nothing was written to.
pub(super) fn discard(file: &Path) {
    let _gone = std::fs::remove_file(file);
}

pub(super) fn write(mut open: File, file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = open.write_all(bytes);
    written.map_err(|problem| unwritten(&file.display().to_string(), &problem))
}

fn unwritten(file: &str, problem: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {file}: {problem}"))
}
