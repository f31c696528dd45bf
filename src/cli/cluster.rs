//! `tenure node`, `leader` and `queue`: what the cluster is made of.

use super::client::{Client, Sent};
use super::table::{count, length_ms, relative, table};
use super::{Exit, Failure, Global, Output};
use crate::api::wire::{Leader, LeaderHistory, Node, NodePage, Queue, QueuePage, Resigned, Term};
use crate::clock;

#[derive(Debug, clap::Subcommand)]
pub(super) enum NodeCommand {
    /// List the nodes
    List,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum LeaderCommand {
    /// Who leads
    Get,
    /// Who led, how each term ended, how long nobody led after it
    History,
    /// Make the leader step down; another node takes over at once
    Resign,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum QueueCommand {
    /// List the queues that hold anything
    List,
}

pub(super) async fn node(global: &Global, command: NodeCommand) -> Result<Exit, Failure> {
    match command {
        NodeCommand::List => {
            let answer = Client::new(global)?.get("/v1/nodes").await?;
            answer.show(global.output, |page: &NodePage| nodes(&page.items))?;
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn leader(global: &Global, command: LeaderCommand) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        LeaderCommand::Get => {
            let answer = client.get("/v1/leader").await?;
            answer.show(global.output, one_leader)?;
        }
        LeaderCommand::History => {
            let answer = client.get("/v1/leader/history").await?;
            answer.show(global.output, |history: &LeaderHistory| {
                terms(&history.items)
            })?;
        }
        LeaderCommand::Resign => {
            let answer = client.post("/v1/leader/resign", Sent::default()).await?;
            match global.output {
                Output::Json => answer.print()?,
                Output::Table => {
                    let Resigned { node, term, .. } = answer.read()?;
                    eprintln!("{node} gave up term {term}; `tenure leader get` names the next");
                }
            }
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn queue(global: &Global, command: QueueCommand) -> Result<Exit, Failure> {
    match command {
        QueueCommand::List => {
            let answer = Client::new(global)?.get("/v1/queues").await?;
            answer.show(global.output, |page: &QueuePage| queues(&page.items))?;
        }
    }
    Ok(Exit::Done)
}

pub(super) fn nodes(nodes: &[Node]) -> String {
    if nodes.is_empty() {
        eprintln!("no nodes; `tenure server` starts one");
        return String::new();
    }
    let now = clock::now();
    let row = |node: &Node| {
        let leads = if node.leader { "leader" } else { "" };
        vec![
            node.id.clone(),
            node.state.as_str().to_owned(),
            leads.to_owned(),
            format!("{}/{}", node.slots.busy, node.slots.total),
            node.kinds.join(","),
            node.version.clone(),
            relative(node.started_at, now),
            node.address.clone(),
        ]
    };
    let heads = [
        "NODE", "STATE", "ROLE", ">BUSY", "KINDS", "VERSION", "STARTED", "ADDRESS",
    ];
    table(&heads, nodes.iter().map(row))
}

fn one_leader(leader: &Leader) -> String {
    let since = relative(leader.since, clock::now());
    let row = vec![
        leader.node.clone(),
        leader.term.to_string(),
        since,
        leader.address.clone(),
    ];
    table(&["NODE", ">TERM", "SINCE", "ADDRESS"], [row])
}

fn terms(terms: &[Term]) -> String {
    if terms.is_empty() {
        eprintln!("nobody has led yet; `tenure server` starts a node");
        return String::new();
    }
    let now = clock::now();
    let row = |term: &Term| {
        vec![
            term.term.to_string(),
            term.node.clone(),
            relative(term.from, now),
            term.until
                .map(|until| relative(until, now))
                .unwrap_or_default(),
            term.ended_by
                .map(|end| end.as_str().to_owned())
                .unwrap_or_default(),
            term.gap_ms.map(length_ms).unwrap_or_default(),
        ]
    };
    let heads = [
        ">TERM",
        "NODE",
        "FROM",
        "UNTIL",
        "ENDED BY",
        ">NOBODY LED FOR",
    ];
    table(&heads, terms.iter().map(row))
}

pub(super) fn queues(queues: &[Queue]) -> String {
    if queues.is_empty() {
        eprintln!("no queue holds anything; `tenure task submit` submits a task");
        return String::new();
    }
    let now = clock::now();
    let row = |queue: &Queue| {
        let waits = queue
            .oldest_pending_at
            .map(|at| relative(at, now))
            .unwrap_or_default();
        let of = |number| count(number, queue.exact);
        vec![
            queue.name.clone(),
            of(queue.pending),
            of(queue.scheduled),
            of(queue.running),
            of(queue.dead),
            waits,
        ]
    };
    let heads = [
        "QUEUE",
        ">PENDING",
        ">SCHEDULED",
        ">RUNNING",
        ">DEAD",
        "OLDEST PENDING",
    ];
    table(&heads, queues.iter().map(row))
}
