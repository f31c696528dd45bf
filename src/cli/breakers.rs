//! `tenure breaker`: what is held back because it keeps failing.

use super::client::{Client, Sent};
use super::table::{relative, short, table};
use super::{Exit, Failure, Global, Output};
use crate::api::wire::{Breaker, BreakerPage, ResetAsked, ResetRequest};
use crate::clock;

/// 60 characters of how a run failed: what fits a line; `-o json` has all of it.
const REASON_CHARS: usize = 60;

#[derive(Debug, clap::Subcommand)]
pub(super) enum BreakerCommand {
    /// List the circuit breakers that are not closed
    List,
    /// Close the circuit breakers of a kind; tasks that were deferred keep their time
    Reset(Asked),
}

#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// The kind of work
    kind: String,
    /// Only that of this host, with its port, as it is listed
    #[arg(long)]
    host: Option<String>,
    /// Only those of this node
    #[arg(long)]
    node: Option<String>,
}

pub(super) async fn run(global: &Global, command: BreakerCommand) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        BreakerCommand::List => {
            let answer = client.get("/v1/breakers").await?;
            answer.show(global.output, |page: &BreakerPage| breakers(&page.items))?;
        }
        BreakerCommand::Reset(Asked { kind, host, node }) => {
            let request = ResetRequest { node, kind, host };
            let body = serde_json::to_vec(&request).expect("a request has string keys");
            let sent = Sent {
                body,
                ..Sent::default()
            };
            let answer = client.post("/v1/breakers/reset", sent).await?;
            match global.output {
                Output::Json => answer.print()?,
                Output::Table => {
                    let ResetAsked { nodes, .. } = answer.read()?;
                    eprintln!("told to reset: {}", nodes.join(", "));
                }
            }
        }
    }
    Ok(Exit::Done)
}

fn breakers(breakers: &[Breaker]) -> String {
    if breakers.is_empty() {
        eprintln!("all breakers are closed");
        return String::new();
    }
    let now = clock::now();
    let row = |breaker: &Breaker| {
        vec![
            breaker.node.clone(),
            breaker.kind.clone(),
            breaker.host.clone().unwrap_or_default(),
            breaker.state.as_str().to_owned(),
            relative(breaker.since, now),
            breaker
                .until
                .map(|until| relative(until, now))
                .unwrap_or_default(),
            format!("{}/{}", breaker.failures, breaker.runs),
            short(&breaker.reason, REASON_CHARS),
        ]
    };
    let heads = [
        "NODE", "KIND", "HOST", "STATE", "SINCE", "PROBE", ">FAILED", "REASON",
    ];
    table(&heads, breakers.iter().map(row))
}
