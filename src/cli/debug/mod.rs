//! `tenure debug`: a node looked into, and everything that who helps from afar asks for in one file.

use std::path::PathBuf;
use std::time::Duration;

use super::client::Client;
use super::table::{pairs, table};
use super::{Exit, Failure, Global};
use crate::api::wire::DebugState;

mod bundle;
mod tar;

#[derive(Debug, clap::Subcommand)]
pub(super) enum DebugCommand {
    /// Show how a node itself is: depths, runtime, what to look at; with -o json also its settings and last log lines
    State,
    /// Write all that helps to find a fault into one file; exits 8 where some of it could not be had
    Bundle(bundle::Asked),
    /// Take a profile through a node's debug listener (--server is that listener)
    Profile(Asked),
}

/// 1 to 60 s: what the server takes.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=60;

#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Of what
    #[arg(value_enum)]
    of: Of,
    /// How long, for `cpu`: whole seconds, 1s to 60s
    #[arg(long, default_value = "10s", value_parser = seconds)]
    time: Duration,
    /// Where to write it, in pprof's format
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Of {
    /// The processors' time
    Cpu,
    /// What is allocated
    Heap,
}

pub(super) async fn run(global: &Global, command: DebugCommand) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        DebugCommand::State => {
            let answer = client.get("/v1/debug/state").await?;
            answer.show(global.output, screen)?;
            Ok(Exit::Done)
        }
        DebugCommand::Bundle(asked) => bundle::run(&client, asked).await,
        DebugCommand::Profile(asked) => profile(&client, asked).await,
    }
}

async fn profile(client: &Client, asked: Asked) -> Result<Exit, Failure> {
    let Asked { of, time, file } = asked;
    let path = match of {
        Of::Cpu => format!("/debug/profile/cpu?seconds={}", time.as_secs()),
        Of::Heap => "/debug/profile/heap".to_owned(),
    };
    // First of all: a minute of measuring for a file that cannot be written would be lost.
    let open = bundle::create(&file)?;
    let answer = client.get_waiting(&path, time).await;
    let answer = answer.inspect_err(|_| bundle::discard(&file))?;
    bundle::write(open, &file, answer.bytes())?;
    eprintln!("written to {}; see: go tool pprof -top {0}", file.display());
    Ok(Exit::Done)
}

/// As long as a profile may be.
fn seconds(text: &str) -> Result<Duration, String> {
    let time = super::duration(text)?;
    let whole = time.subsec_nanos() == 0;
    if whole && SECONDS.contains(&time.as_secs()) {
        return Ok(time);
    }
    Err("a profile takes whole seconds, 1s to 60s".to_owned())
}

fn screen(state: &DebugState) -> String {
    let runtime = &state.runtime;
    let beat = runtime.since_beat_ms;
    let told = pairs(&[
        ("node", state.node.clone()),
        ("version", state.version.clone()),
        ("tasks of the runtime", runtime.alive_tasks.to_string()),
        ("threads of the runtime", runtime.workers.len().to_string()),
        ("stalls", runtime.stalls.to_string()),
        (
            "last beat",
            beat.map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms ago")),
        ),
    ]);
    let rows = state.depths.iter().map(|depth| {
        let bound = depth
            .bound
            .map_or_else(String::new, |bound| bound.to_string());
        vec![depth.of.clone(), depth.depth.to_string(), bound]
    });
    let depths = table(&["OF", "DEPTH", "BOUND"], rows);
    let notes = match state.notes.as_slice() {
        [] => "nothing to look at".to_owned(),
        notes => format!("look at:\n  {}", notes.join("\n  ")),
    };
    format!("{told}\n\n{depths}\n\n{notes}")
}
