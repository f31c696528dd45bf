//! `tenure schedule`: declare what is due when, see what will be and what became of it, and want it beside its due times.

use super::client::{Client, Sent, escaped, query};
use super::{Exit, Failure, Global, Output, out, task};
use crate::api::wire::{
    BackfillRequest, Backfilled, FieldError, LINES_MAX, NEXT_MAX, PauseRequest, Preview, Schedule,
    ScheduleDeleted, ScheduleHistory, SchedulePage, Triggered,
};

mod set;
mod show;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List schedules by name
    List(List),
    /// Show a schedule: what it is declared to be and how far it has got
    Get {
        /// Its name
        name: String,
    },
    /// Declare a schedule, or all of it anew: what is not given is at its default; a pause is kept
    #[command(disable_version_flag = true)]
    Set(Box<set::Set>),
    /// Say when an expression would be due, and what is wrong with it; declares nothing
    Preview(set::Previewed),
    /// Say when a schedule is due next
    Next {
        /// Its name
        name: String,
        /// How many due times
        #[arg(short, default_value_t = 5, value_parser = nth())]
        n: u64,
    },
    /// Make a task of a schedule now, also of a paused one; prints its id
    Trigger {
        /// Its name
        name: String,
    },
    /// Fire nothing more of a schedule; what has begun goes on
    #[command(disable_version_flag = true)]
    Pause {
        /// Its name
        name: String,
        /// For those who ask why nothing runs; one that is paused keeps its reason where none is given
        #[arg(long, default_value = "")]
        reason: String,
        /// Only where it is at this version, see `get`
        #[arg(long)]
        version: Option<i64>,
    },
    /// Let a paused schedule go on with its next due time
    #[command(disable_version_flag = true)]
    Resume {
        /// Its name
        name: String,
        /// Only where it is at this version, see `get`
        #[arg(long)]
        version: Option<i64>,
    },
    /// Make tasks of the due times of some time that is past, each once
    Backfill(Span),
    /// What became of the last due times of a schedule, the latest first
    History {
        /// Its name
        name: String,
        /// How many lines
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=LINES_MAX as u64))]
        limit: u64,
    },
    /// Take a schedule away with its history; its tasks stay
    #[command(disable_version_flag = true)]
    Delete {
        /// Its name
        name: String,
        /// Only where it is at this version, see `get`
        #[arg(long)]
        version: Option<i64>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only those with this label; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Only paused ones
    #[arg(long)]
    paused: bool,
    /// How many to a page
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// All pages
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Span {
    /// Its name
    name: String,
    /// From this instant on, RFC 3339
    from: String,
    /// Up to this instant, RFC 3339; not later than now
    to: String,
    /// Only say which they are
    #[arg(long)]
    dry_run: bool,
}

/// 1 to 100 due times.
fn nth() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=NEXT_MAX as u64)
}

pub(super) async fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        Command::List(asked) => return list(global, &client, asked).await,
        Command::Get { name } => {
            let answer = client.get(&path(&name, "")).await?;
            answer.show(global.output, show::one)?;
        }
        Command::Set(asked) => return set::set(global, &client, *asked).await,
        Command::Preview(asked) => return set::preview(global, &client, asked).await,
        Command::Next { name, n } => {
            let path = query(&path(&name, "/next"), &[("n", Some(&n.to_string()))]);
            let answer = client.get(&path).await?;
            answer.show(global.output, |next: &Preview| show::dues(next))?;
        }
        Command::Trigger { name } => return trigger(global, &client, &name).await,
        Command::Pause {
            name,
            reason,
            version,
        } => {
            let asked = PauseRequest { reason };
            let mut sent = body(&asked, &asked.check())?;
            sent.if_match = version;
            let answer = client.post(&path(&name, "/pause"), sent).await?;
            answer.show(global.output, |schedule: &Schedule| show::rows([schedule]))?;
        }
        Command::Resume { name, version } => {
            let path = path(&name, "/resume");
            let sent = Sent {
                if_match: version,
                ..Sent::default()
            };
            let answer = client.post(&path, sent).await?;
            answer.show(global.output, |schedule: &Schedule| show::rows([schedule]))?;
        }
        Command::Backfill(asked) => return backfill(global, &client, asked).await,
        Command::History { name, limit } => {
            let path = query(
                &path(&name, "/history"),
                &[("limit", Some(&limit.to_string()))],
            );
            let answer = client.get(&path).await?;
            answer.show(global.output, |history: &ScheduleHistory| {
                show::history(&history.items)
            })?;
        }
        Command::Delete { name, version } => {
            let answer = client.delete_at(&path(&name, ""), version).await?;
            match global.output {
                Output::Json => answer.print()?,
                Output::Table => {
                    let ScheduleDeleted { name, .. } = answer.read()?;
                    eprintln!("schedule {name} is gone; its tasks stay");
                }
            }
        }
    }
    Ok(Exit::Done)
}

async fn list(global: &Global, client: &Client, asked: List) -> Result<Exit, Failure> {
    task::pairs("--label", &asked.labels)?;
    let labels = asked.labels.join(",");
    let mut cursor = asked.cursor.clone();
    // A page may be empty and have a next one: the filter matched nothing of what was read for it.
    let mut shown = cursor.is_some();
    loop {
        let path = query(
            "/v1/schedules",
            &[
                ("label", Some(&*labels).filter(|labels| !labels.is_empty())),
                ("paused", asked.paused.then_some("true")),
                ("limit", Some(&asked.limit.to_string())),
                ("cursor", cursor.as_deref()),
            ],
        );
        let answer = client.get(&path).await?;
        let page: SchedulePage = answer.read()?;
        match global.output {
            Output::Json => answer.print()?,
            Output::Table if !page.items.is_empty() => out::line(&show::rows(&page.items))?,
            Output::Table if page.next_cursor.is_none() && !shown => {
                eprintln!(
                    "no schedules; `tenure schedule set NAME --cron '@hourly' -- PROGRAM` declares one"
                );
            }
            Output::Table => {}
        }
        shown |= !page.items.is_empty();
        match page.next_cursor {
            Some(next) if asked.all => cursor = Some(next),
            Some(next) => {
                eprintln!("more: --cursor {next}, or --all");
                return Ok(Exit::Done);
            }
            None => return Ok(Exit::Done),
        }
    }
}

async fn trigger(global: &Global, client: &Client, name: &str) -> Result<Exit, Failure> {
    let answer = client
        .post(&path(name, "/trigger"), Sent::default())
        .await?;
    match global.output {
        Output::Json => answer.print()?,
        Output::Table => {
            let Triggered { task, .. } = answer.read()?;
            out::line(&task.to_string())?;
            eprintln!("`tenure task wait {task}` waits for it");
        }
    }
    Ok(Exit::Done)
}

/// Looks first how many there are, and asks.
async fn backfill(global: &Global, client: &Client, asked: Span) -> Result<Exit, Failure> {
    let path = path(&asked.name, "/backfill");
    let request = |dry_run| BackfillRequest {
        from: asked.from.clone(),
        to: asked.to.clone(),
        dry_run,
    };
    let mut answer = client.post(&path, body(&request(true), &[])?).await?;
    if !asked.dry_run {
        let Backfilled { count, name, .. } = answer.read()?;
        if count > 0 {
            task::confirm(global, &format!("make {count} tasks of schedule {name}"))?;
        }
        answer = client.post(&path, body(&request(false), &[])?).await?;
    }
    answer.show(global.output, show::backfilled)?;
    Ok(Exit::Done)
}

fn path(name: &str, what: &str) -> String {
    format!("/v1/schedules/{}{what}", escaped(name))
}

/// A body with which nothing is wrong.
fn body(asked: &impl serde::Serialize, faults: &[FieldError]) -> Result<Sent, Failure> {
    if !faults.is_empty() {
        let listed = task::listed(faults);
        return Err(Failure::usage(format!("the request is not valid{listed}")));
    }
    Ok(Sent {
        body: serde_json::to_vec(asked).expect("a request always serialises"),
        ..Sent::default()
    })
}
