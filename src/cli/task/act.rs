//! `tenure task cancel` and `retry`, `tenure dead retry`: changes the course of tasks, one by one.

use std::io::{IsTerminal as _, Write as _};

use uuid::Uuid;

use super::super::client::{Client, Sent};
use super::super::{Exit, Failure, Global, Output, out};
use super::follow::together;
use super::view::{self, Filter};
use crate::api::wire::{Acted, TaskPage, TaskState};

/// What is done to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Cancel,
    Retry,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeadRetry {
    /// The tasks
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<Uuid>,
    #[command(flatten)]
    filter: Filter,
}

/// Does it to each; goes on where one refuses.
pub(super) async fn each(
    global: &Global,
    client: &Client,
    ids: &[Uuid],
    verb: Verb,
) -> Result<Exit, Failure> {
    let mut exits = Vec::with_capacity(ids.len());
    for id in ids {
        let exit = one(global, client, *id, verb).await;
        match exit {
            Ok(()) => exits.push(Exit::Done),
            Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
            Err(failure) => exits.push(failure.report()),
        }
    }
    Ok(together(&exits))
}

async fn one(global: &Global, client: &Client, id: Uuid, verb: Verb) -> Result<(), Failure> {
    let word = match verb {
        Verb::Cancel => "cancel",
        Verb::Retry => "retry",
    };
    let answer = client
        .post(&format!("/v1/tasks/{id}/{word}"), Sent::default())
        .await?;
    match global.output {
        Output::Json => answer.print(),
        Output::Table => {
            let Acted { id, state, .. } = answer.read()?;
            out::line(&format!("{id}  {}", state.as_str()))
        }
    }
}

pub(super) async fn dead_retry(
    global: &Global,
    client: &Client,
    asked: DeadRetry,
) -> Result<Exit, Failure> {
    if !asked.ids.is_empty() {
        return each(global, client, &asked.ids, Verb::Retry).await;
    }
    let ids = all_dead(client, &asked.filter).await?;
    if ids.is_empty() {
        eprintln!("no dead tasks");
        return Ok(Exit::Done);
    }
    confirm(global, &format!("let {} dead tasks run again", ids.len()))?;
    each(global, client, &ids, Verb::Retry).await
}

async fn all_dead(client: &Client, filter: &Filter) -> Result<Vec<Uuid>, Failure> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let path = view::page_path(Some(TaskState::Dead), filter, cursor.as_deref());
        let page: TaskPage = client.get(&path).await?.read()?;
        ids.extend(page.items.iter().map(|task| task.id));
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(ids),
        }
    }
}

/// Asks a person; a script has to say `--yes`.
pub(in crate::cli) fn confirm(global: &Global, what: &str) -> Result<(), Failure> {
    if global.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("would {what}; say --yes to do it")));
    }
    eprint!("{what}? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stderr()
        .flush()
        .and_then(|()| std::io::stdin().read_line(&mut answer));
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        (Ok(_) | Err(_), _) => Err(Failure::new(Exit::Failed, "nothing was done")),
    }
}
