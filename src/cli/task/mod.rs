//! `tenure task` and `tenure dead`: submit tasks, look at them, wait for them, change their course.

use uuid::Uuid;

use super::client::Client;
use super::{Exit, Failure, Global};
use crate::api::wire::TaskState;

mod act;
mod batches;
mod file;
mod follow;
mod lines;
mod submit;
mod view;

pub(super) use act::confirm;
pub(super) use submit::{Template, listed, millis, pairs};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Submit one task, or many with --file; prints their ids
    Submit(Box<submit::Submit>),
    /// Submit one task and wait for it: prints the end of its output, exits as `wait` does
    Run(Box<submit::Run>),
    /// List tasks
    List(view::List),
    /// Show a task with its attempts
    Get {
        /// The task
        id: Uuid,
    },
    /// Wait until tasks are settled; exits 0, 10 failed, 11 cancelled, 12 lost with its nodes, 7
    /// when --timeout is over
    Wait {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
    /// Cancel tasks, pending or running
    Cancel {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
    /// Let dead tasks run again; needs a token with the role admin
    Retry {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum DeadCommand {
    /// List dead tasks
    List(view::DeadList),
    /// Let dead tasks run again: those named, or --all of them; needs a token with the role admin
    Retry(act::DeadRetry),
}

pub(super) async fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        Command::Submit(asked) => submit::submit(global, &client, *asked).await,
        Command::Run(asked) => submit::run(global, &client, *asked).await,
        Command::List(asked) => view::list(global, &client, asked).await,
        Command::Get { id } => view::get(global, &client, id).await,
        Command::Wait { ids } => follow::wait(global, &client, &ids).await,
        Command::Cancel { ids } => act::each(global, &client, &ids, act::Verb::Cancel).await,
        Command::Retry { ids } => act::each(global, &client, &ids, act::Verb::Retry).await,
    }
}

pub(super) async fn run_dead(global: &Global, command: DeadCommand) -> Result<Exit, Failure> {
    let client = Client::new(global)?;
    match command {
        DeadCommand::List(asked) => {
            let asked = asked.filter.with_state(TaskState::Dead);
            view::list(global, &client, asked).await
        }
        DeadCommand::Retry(asked) => act::dead_retry(global, &client, asked).await,
    }
}
