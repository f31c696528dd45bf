//! `tenure task submit --file`: checks the whole file, then sends it in batches. Each batch has an
//! idempotency key, so that a batch whose answer was lost can be sent again.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, IsTerminal as _, Read as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use uuid::Uuid;

use super::super::client::{Answer, Client, Sent};
use super::super::{Exit, Failure, Global, Output, out};
use super::batches::{Batch, Batches, Lines};
use super::lines::{self, Report};
use crate::api::wire::check::PAYLOAD_BYTES_MAX;
use crate::api::wire::{BatchSubmitted, Version};

/// How often a batch is sent again when the server cannot be reached.
const RESENDS_MAX: u32 = 10;
/// How long to wait before that: together longer than a change of leader.
const RESEND_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn submit(
    global: &Global,
    client: &Client,
    path: &str,
    prefix: Option<String>,
) -> Result<Exit, Failure> {
    let mut source = Source::open(path)?;
    let total = check(&mut source, payload_limit(client).await?)?;
    let prefix = prefix.unwrap_or_else(|| Uuid::now_v7().to_string());
    let bar = bar(total);
    let mut batches = Batches::new(source.rewound()?);
    let mut sent = 0;
    while let Some(batch) = batches.next().map_err(|error| source.unreadable(&error))? {
        let answer = send(client, &prefix, &batch).await;
        let answer =
            answer.map_err(|failure| stopped(&failure, &bar, sent, total, &batch, &prefix))?;
        print(global.output, &answer)?;
        sent += batch.tasks;
        bar.inc(batch.tasks as u64);
    }
    bar.finish_and_clear();
    eprintln!("{sent} tasks submitted");
    Ok(Exit::Done)
}

/// The largest payload that the server takes, where it tells.
async fn payload_limit(client: &Client) -> Result<usize, Failure> {
    let version: Option<Version> = match client.get("/version").await {
        Ok(answer) => answer.read().ok(),
        Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
        Err(_) => None,
    };
    let limit = version.and_then(|version| version.payload_limit);
    Ok(limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(PAYLOAD_BYTES_MAX))
}

/// Checks every line and counts the tasks.
fn check(source: &mut Source, payload_bytes_max: usize) -> Result<usize, Failure> {
    let mut report = Report::default();
    let mut total = 0;
    let mut lines = Lines::new(source.rewound()?);
    while let Some((number, line)) = lines.next().map_err(|error| source.unreadable(&error))? {
        report.add(number, &lines::faults(&line, payload_bytes_max));
        total += 1;
    }
    let name = &source.name;
    if !report.is_empty() {
        let text = report.text();
        return Err(Failure::usage(format!(
            "{name} is not valid, nothing was submitted{text}"
        )));
    }
    if total == 0 {
        return Err(Failure::usage(format!("{name} holds no task")));
    }
    Ok(total)
}

async fn send(client: &Client, prefix: &str, batch: &Batch) -> Result<Answer, Failure> {
    let mut resends = 0;
    loop {
        let key = Some(format!("{prefix}-{}", batch.number));
        let sent = Sent {
            body: batch.body(),
            idempotency_key: key,
            ..Sent::default()
        };
        match client.post("/v1/tasks/batch", sent).await {
            Err(failure) if failure.exit == Exit::Unreachable && resends < RESENDS_MAX => {
                resends += 1;
                tokio::time::sleep(RESEND_AFTER).await;
            }
            answered => return answered,
        }
    }
}

fn stopped(
    failure: &Failure,
    bar: &ProgressBar,
    sent: usize,
    total: usize,
    batch: &Batch,
    prefix: &str,
) -> Failure {
    bar.finish_and_clear();
    let (first, last) = (batch.first_line, batch.last_line);
    let exit = if sent == 0 {
        failure.exit
    } else {
        Exit::Partial
    };
    let again = format!("go on without repeats with --idempotency-prefix {prefix}");
    let stopped = format!("{sent} of {total} tasks submitted; stopped at lines {first} to {last}");
    Failure::new(exit, format!("{}\n  {stopped}\n  {again}", failure.message))
}

fn print(output: Output, answer: &Answer) -> Result<(), Failure> {
    match output {
        Output::Json => answer.print(),
        Output::Table => {
            let BatchSubmitted { ids, .. } = answer.read()?;
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            out::line(&ids.join("\n"))
        }
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(total: usize) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total as u64), target);
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} tasks, {eta} left");
    bar.with_style(style.expect("the template is a constant and well-formed"))
}

/// A file that can be read twice. Stdin cannot, so it is held.
struct Source {
    name: String,
    held: Option<Vec<u8>>,
}

impl Source {
    fn open(path: &str) -> Result<Self, Failure> {
        let mut source = Self {
            name: path.to_owned(),
            held: None,
        };
        if path == "-" {
            "stdin".clone_into(&mut source.name);
            let mut held = Vec::new();
            let read = std::io::stdin().read_to_end(&mut held);
            read.map_err(|error| source.unreadable(&error))?;
            source.held = Some(held);
        }
        Ok(source)
    }

    fn rewound(&self) -> Result<Box<dyn BufRead + Send + '_>, Failure> {
        match &self.held {
            Some(held) => Ok(Box::new(Cursor::new(held.as_slice()))),
            None => match File::open(&self.name) {
                Ok(file) => Ok(Box::new(BufReader::new(file))),
                Err(error) => Err(self.unreadable(&error)),
            },
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::usage(format!("cannot read {}: {error}", self.name))
    }
}
