//! `tenure lock` and, of `tenure semaphore`, what has to do with holds: run a command while holding, see who holds, take a hold away.

use uuid::Uuid;

use super::client::{Client, Sent, query};
use super::table::{count, pairs, relative, table};
use super::{Exit, Failure, Global};
use crate::api::wire::holds::{
    ForceReleased, Holder, Holding, HoldingPage, HoldingRow, ReleaseRequest, ReleasedHold,
};
use crate::clock;

mod deadline;
mod group;
mod keep;
mod run;
mod stages;
mod what;

pub(super) use run::{Permits, Run, run};
pub(super) use stages::{exec, guard};
pub(super) use what::Sort;
use what::What;

#[derive(Debug, clap::Subcommand)]
pub(super) enum LockCommand {
    /// Run a command while holding a lock; exits as the command does, 7 where --wait is over, 13 where the lock was lost and the command
    /// ended
    Run(Run),
    /// List the locks that are held or waited for
    List,
    /// Who holds a lock, and who waits for it
    Get {
        /// Its name
        name: String,
    },
    /// Take a lock from its holder, on record; needs a token with the role admin
    Release(Release),
}

/// A hold to be taken from its holder.
#[derive(Debug, clap::Args)]
pub(super) struct Release {
    /// The name of the lock or semaphore
    name: String,
    /// The fence of the hold
    #[arg(long)]
    fence: i64,
    /// The id of the hold, where several have that fence
    #[arg(long)]
    id: Option<Uuid>,
    /// Why, for the record
    #[arg(long)]
    reason: String,
}

pub(super) async fn lock(global: &Global, command: LockCommand) -> Result<Exit, Failure> {
    match command {
        LockCommand::Run(asked) => run(global, Sort::Lock, asked, Permits::default()).await,
        LockCommand::List => list(global, Sort::Lock).await,
        LockCommand::Get { name } => get(global, Sort::Lock, name).await,
        LockCommand::Release(asked) => release(global, Sort::Lock, asked).await,
    }
}

/// Lists them, page by page.
pub(super) async fn list(global: &Global, sort: Sort) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    let mut cursor: Option<String> = None;
    loop {
        let path = query(sort.path(), &[("cursor", cursor.as_deref())]);
        let answer = client.get(&path).await?;
        answer.show(global.output, |page: &HoldingPage| rows(sort, &page.items))?;
        let page: HoldingPage = answer.read()?;
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(Exit::Done),
        }
    }
}

pub(super) async fn get(global: &Global, sort: Sort, name: String) -> Result<Exit, Failure> {
    let what = What::new(sort, name)?;
    let answer = Client::new(global)?.get(&what.path()).await?;
    answer.show(global.output, one)?;
    Ok(Exit::Done)
}

pub(super) async fn release(global: &Global, sort: Sort, asked: Release) -> Result<Exit, Failure> {
    let what = What::new(sort, asked.name)?;
    let asked = ReleaseRequest {
        fence: asked.fence,
        id: asked.id,
        reason: asked.reason,
    };
    let body = serde_json::to_vec(&asked).expect("words become JSON");
    let sent = Sent {
        body,
        ..Sent::default()
    };
    let path = format!("{}/release", what.path());
    let answer = Client::new(global)?.post(&path, sent).await?;
    answer.show(global.output, |done: &ForceReleased| {
        releases(std::slice::from_ref(&done.released))
    })?;
    Ok(Exit::Done)
}

fn limit(row: &HoldingRow) -> String {
    let limit = row.limit.map(|limit| limit.to_string());
    limit.unwrap_or_else(|| "not declared".to_owned())
}

fn rows(sort: Sort, items: &[HoldingRow]) -> String {
    if items.is_empty() {
        eprintln!("no {} is held or waited for", sort.word());
        return String::new();
    }
    let row = |row: &HoldingRow| {
        vec![
            row.name.clone(),
            row.held.to_string(),
            limit(row),
            row.holders.to_string(),
            row.waiters.to_string(),
            count(row.parked, row.exact),
        ]
    };
    let heads = ["NAME", ">HELD", ">LIMIT", ">HOLDERS", ">WAITERS", ">TASKS"];
    table(&heads, items.iter().map(row))
}

fn one(holding: &Holding) -> String {
    let row = &holding.row;
    let mut text = pairs(&[
        ("name", row.name.clone()),
        ("limit", limit(row)),
        ("held", row.held.to_string()),
        ("tasks pending", count(row.parked, row.exact)),
    ]);
    for (title, people) in [("HELD BY", &holding.holds), ("WAITING", &holding.waits)] {
        if !people.is_empty() {
            text = format!("{text}\n\n{}", holders(title, people));
        }
    }
    if !holding.released.is_empty() {
        text = format!("{text}\n\n{}", releases(&holding.released));
    }
    text
}

fn holders(title: &str, people: &[Holder]) -> String {
    let now = clock::now();
    let row = |one: &Holder| {
        let who = match (&one.holder, &one.node) {
            (Some(holder), _) => holder.clone(),
            (None, Some(node)) => format!("task on {node}"),
            (None, None) => String::new(),
        };
        vec![
            one.id.to_string(),
            who,
            one.weight.to_string(),
            one.fence.map(|fence| fence.to_string()).unwrap_or_default(),
            one.since.map(|at| relative(at, now)).unwrap_or_default(),
        ]
    };
    let heads = [title, "WHO", ">WEIGHT", ">FENCE", "SINCE"];
    table(&heads, people.iter().map(row))
}

fn releases(released: &[ReleasedHold]) -> String {
    let now = clock::now();
    let row = |one: &ReleasedHold| {
        vec![
            one.id.to_string(),
            one.holder.clone(),
            one.fence.to_string(),
            relative(one.released_at, now),
            one.reason.clone(),
        ]
    };
    let heads = ["TAKEN AWAY", "FROM", ">FENCE", "WHEN", "WHY"];
    table(&heads, released.iter().map(row))
}
