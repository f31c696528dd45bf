//! `tenure task submit` and `run`: makes one task of the command line.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::client::{Answer, Client, Sent};
use super::super::{Exit, Failure, Global, Output, duration, out};
use super::{file, follow};
use crate::api::wire::check::PAYLOAD_BYTES_MAX;
use crate::api::wire::{FieldError, OnLost, Permit, SubmitRequest, Submitted};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Submit {
    #[command(flatten)]
    task: Spec,
    /// Many tasks: a file with one JSON object a line, as `POST /v1/tasks` takes it; - for stdin.
    /// The whole file is checked before the first task is sent
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["template", "labels", "run_at", "delay", "idempotency_key"])]
    file: Option<String>,
    /// Names the submit of --file, so that running it again submits nothing twice
    #[arg(long, value_name = "WORD")]
    idempotency_prefix: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Run {
    #[command(flatten)]
    task: Spec,
}

/// One task.
#[derive(Debug, clap::Args)]
struct Spec {
    #[command(flatten)]
    template: Template,
    /// Words to find the task by; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Not before this instant, RFC 3339
    #[arg(long, value_name = "TIME")]
    run_at: Option<String>,
    /// Not before this time has passed
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    delay: Option<Duration>,
    /// A second submit with the same key answers the first one's task
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// What is the same for a task that is submitted and for those that a schedule makes.
#[derive(Debug, clap::Args)]
#[group(id = "template", multiple = true)]
pub(in crate::cli) struct Template {
    /// The queue to wait in [default: default]
    #[arg(short, long)]
    queue: Option<String>,
    /// What runs it: command, http, noop, sleep, fail, or a registered kind [default: command]
    #[arg(short, long)]
    kind: Option<String>,
    /// What the kind reads: JSON, @FILE, or @- for stdin
    #[arg(short, long, value_name = "JSON")]
    payload: Option<String>,
    /// 1 to 9, higher sooner [default: 5]
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Attempts that may fail, 1 to 1000 [default: 5]
    #[arg(long, allow_negative_numbers = true)]
    max_attempts: Option<i64>,
    /// How long to wait between attempts: JSON with `initial_ms`, `factor`, `max_ms`, `jitter`
    #[arg(long, value_name = "JSON")]
    backoff: Option<String>,
    /// How long one attempt may run
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    run_timeout: Option<Duration>,
    /// What a run does when its node loses its session [default: stop]
    #[arg(long, value_name = "WHAT")]
    on_lost: Option<OnLost>,
    /// A part of a semaphore that it holds while it runs, 1 if no weight is given; may be repeated
    #[arg(long = "permit", value_name = "SEMAPHORE[=WEIGHT]")]
    permits: Vec<String>,
    /// A lock that it holds while it runs; may be repeated
    #[arg(long = "lock", value_name = "NAME")]
    locks: Vec<String>,
    /// Of tasks of its queue with the same key, as many run at once as the queue allows
    #[arg(long, value_name = "KEY")]
    concurrency_key: Option<String>,
    /// A label that its node must have; may be repeated
    #[arg(long = "require-label", value_name = "KEY=VALUE")]
    require: Vec<String>,
    /// A label that its node should have; may be repeated
    #[arg(long = "prefer-label", value_name = "KEY=VALUE")]
    prefer: Vec<String>,
    /// A JSON object for your own use
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// The program and its arguments, for the kind command
    #[arg(last = true, value_name = "ARGV")]
    argv: Vec<String>,
}

pub(super) async fn submit(
    global: &Global,
    client: &Client,
    asked: Submit,
) -> Result<Exit, Failure> {
    if let Some(path) = asked.file {
        return file::submit(global, client, &path, asked.idempotency_prefix).await;
    }
    if asked.idempotency_prefix.is_some() {
        return Err(Failure::usage(
            "--idempotency-prefix is for --file; one task takes --idempotency-key",
        ));
    }
    let answer = send(client, asked.task).await?;
    match global.output {
        Output::Json => answer.print()?,
        Output::Table => {
            let Submitted { id, state, .. } = answer.read()?;
            out::line(&id.to_string())?;
            eprintln!("{}; `tenure task wait {id}` waits for it", state.as_str());
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn run(global: &Global, client: &Client, asked: Run) -> Result<Exit, Failure> {
    let Submitted { id, .. } = send(client, asked.task).await?.read()?;
    eprintln!("task {id}");
    let mut followed = follow::until_settled(global, client, id).await?;
    followed.say(global.output)
}

async fn send(client: &Client, spec: Spec) -> Result<Answer, Failure> {
    let request = spec.request()?;
    let faults = request.check(PAYLOAD_BYTES_MAX);
    if !faults.is_empty() {
        return Err(Failure::usage(format!(
            "the task is not valid{}",
            listed(&faults)
        )));
    }
    let body = serde_json::to_vec(&request).expect("a request always serialises");
    client
        .post(
            "/v1/tasks",
            Sent {
                body,
                idempotency_key: None,
                ..Sent::default()
            },
        )
        .await
}

/// A line for each fault.
pub(in crate::cli) fn listed(faults: &[FieldError]) -> String {
    faults
        .iter()
        .map(|fault| format!("\n  {}: {}", fault.field, fault.detail))
        .collect::<Vec<_>>()
        .concat()
}

impl Spec {
    fn request(self) -> Result<SubmitRequest, Failure> {
        Ok(SubmitRequest {
            labels: pairs("--label", &self.labels)?,
            run_at: self.run_at,
            delay_ms: self.delay.map(millis),
            idempotency_key: self.idempotency_key,
            ..self.template.request()?
        })
    }
}

impl Template {
    /// The request, but for its labels, its time and its key.
    pub(in crate::cli) fn request(self) -> Result<SubmitRequest, Failure> {
        let payload = payload(self.payload.as_deref(), &self.argv, self.kind.as_deref())?;
        let kind = self.kind.unwrap_or_else(|| "command".to_owned());
        let mut request = SubmitRequest::new(kind, payload);
        request.queue = self.queue.unwrap_or(request.queue);
        request.priority = self.priority.unwrap_or(request.priority);
        request.max_attempts = self.max_attempts.unwrap_or(request.max_attempts);
        request.timeout_ms = self.run_timeout.map(millis);
        request.on_lost = self.on_lost.unwrap_or_default();
        if let Some(text) = self.backoff {
            request.backoff = read("--backoff", &text)?;
        }
        if let Some(text) = self.metadata {
            request.metadata = read::<Map<String, Value>>("--metadata", &text)?;
        }
        request.node_labels.require = pairs("--require-label", &self.require)?;
        request.node_labels.prefer = pairs("--prefer-label", &self.prefer)?;
        let permits = self.permits.iter().map(|text| permit(text));
        request.permits = permits.collect::<Result<_, _>>()?;
        request.locks = self.locks;
        request.concurrency_key = self.concurrency_key;
        Ok(request)
    }
}

/// `key=value`, several of them, of the flag of this name.
pub(in crate::cli) fn pairs(
    flag: &str,
    words: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("{flag}: `{word}` is not key=value"))),
    };
    words.iter().map(pair).collect()
}

/// `db` or `db=3`.
fn permit(text: &str) -> Result<Permit, Failure> {
    let (semaphore, weight) = text.split_once('=').unwrap_or((text, "1"));
    let weight = weight
        .parse()
        .map_err(|_| Failure::usage(format!("--permit: `{weight}` in `{text}` is no number")))?;
    Ok(Permit {
        semaphore: semaphore.to_owned(),
        weight,
    })
}

fn payload(json: Option<&str>, argv: &[String], kind: Option<&str>) -> Result<Value, Failure> {
    match (json, argv.is_empty(), kind.unwrap_or("command")) {
        (Some(_), false, _) => Err(Failure::usage("give --payload or ARGV, not both")),
        (Some(text), true, _) => read("--payload", &at(text)?),
        (None, false, "command") => Ok(json!({ "argv": argv })),
        (None, false, kind) => Err(Failure::usage(format!(
            "ARGV is for the kind command; `{kind}` takes --payload"
        ))),
        (None, true, "command") => Err(Failure::usage(
            "nothing to run: give `-- PROGRAM ARG…`, or --kind and --payload",
        )),
        (None, true, _) => Ok(Value::Null),
    }
}

/// The text itself, or for `@FILE` the file's.
fn at(text: &str) -> Result<String, Failure> {
    let unreadable = |error| Failure::usage(format!("--payload: cannot read {text}: {error}"));
    match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some("-") => {
            let mut read = String::new();
            std::io::stdin()
                .read_to_string(&mut read)
                .map_err(unreadable)?;
            Ok(read)
        }
        Some(path) => std::fs::read_to_string(path).map_err(unreadable),
    }
}

fn read<T: serde::de::DeserializeOwned>(flag: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::usage(format!("{flag}: {error}")))
}

/// A duration that does not fit is out of every bound, and so refused by name.
pub(in crate::cli) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
