//! `tenure task list` and `get`: tasks as people read them.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::super::client::{Client, query};
use super::super::table::{length_ms, pairs, relative, short, table};
use super::super::{Exit, Failure, Global, Output, out};
use crate::api::wire::{Attempt, OnLost, Task, TaskPage, TaskState};
use crate::clock;

/// Characters of a note in a list: what fits beside the rest on a wide terminal.
const NOTE_CHARS_MAX: usize = 60;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    /// scheduled, pending, running, succeeded, dead or cancelled
    #[arg(long, value_parser = state)]
    state: Option<TaskState>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DeadList {
    #[command(flatten)]
    pub(super) filter: Filter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Of this queue only
    #[arg(short, long)]
    pub(super) queue: Option<String>,
    /// Of this kind only
    #[arg(short, long)]
    pub(super) kind: Option<String>,
    /// Tasks on a page, 1 to 1000
    #[arg(long, default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on where a page ended
    #[arg(long)]
    cursor: Option<String>,
    /// All pages
    #[arg(long, conflicts_with = "cursor")]
    all: bool,
}

impl Filter {
    pub(super) fn with_state(self, state: TaskState) -> List {
        List {
            state: Some(state),
            filter: self,
        }
    }
}

fn state(text: &str) -> Result<TaskState, String> {
    let known = TaskState::ALL
        .into_iter()
        .find(|state| state.as_str() == text);
    known.ok_or_else(|| {
        format!(
            "not one of {}",
            TaskState::ALL.map(TaskState::as_str).join(", ")
        )
    })
}

pub(super) async fn list(global: &Global, client: &Client, asked: List) -> Result<Exit, Failure> {
    let List { state, filter } = asked;
    let mut cursor = filter.cursor.clone();
    // A page may be empty and have a next one: the filter matched nothing of what was read for it.
    let mut shown = cursor.is_some();
    loop {
        let path = page_path(state, &filter, cursor.as_deref());
        let answer = client.get(&path).await?;
        let page: TaskPage = answer.read()?;
        match global.output {
            Output::Json => answer.print()?,
            Output::Table if is_nothing(&page, shown) => nothing(state),
            Output::Table if page.items.is_empty() => {}
            Output::Table => out::line(&rows(&page.items))?,
        }
        shown |= !page.items.is_empty();
        match page.next_cursor {
            Some(next) if filter.all => cursor = Some(next),
            Some(next) => {
                eprintln!("more: --cursor {next}, or --all");
                return Ok(Exit::Done);
            }
            None => return Ok(Exit::Done),
        }
    }
}

/// Whether there is no such task: not on this page, nor on one before or after it.
fn is_nothing(page: &TaskPage, shown: bool) -> bool {
    page.items.is_empty() && page.next_cursor.is_none() && !shown
}

/// The path of one page.
pub(super) fn page_path(state: Option<TaskState>, filter: &Filter, cursor: Option<&str>) -> String {
    let limit = filter.limit.to_string();
    query(
        "/v1/tasks",
        &[
            ("state", state.map(TaskState::as_str)),
            ("queue", filter.queue.as_deref()),
            ("kind", filter.kind.as_deref()),
            ("limit", Some(&limit)),
            ("cursor", cursor),
        ],
    )
}

fn nothing(state: Option<TaskState>) {
    match state {
        Some(TaskState::Dead) => eprintln!("no dead tasks"),
        Some(state) => eprintln!("no task is {}", state.as_str()),
        None => eprintln!("no tasks; `tenure task submit -- echo hello` submits one"),
    }
}

pub(super) async fn get(global: &Global, client: &Client, id: Uuid) -> Result<Exit, Failure> {
    let answer = client.get(&format!("/v1/tasks/{id}")).await?;
    answer.show(global.output, one)?;
    Ok(Exit::Done)
}

fn rows(tasks: &[Task]) -> String {
    let now = clock::now();
    let row = |task: &Task| {
        vec![
            task.id.to_string(),
            task.state.as_str().to_owned(),
            task.queue.clone(),
            task.kind.clone(),
            task.priority.to_string(),
            task.attempts.len().to_string(),
            relative(task.created_at, now),
            short(&note(task), NOTE_CHARS_MAX),
        ]
    };
    let heads = [
        "ID",
        "STATE",
        "QUEUE",
        "KIND",
        ">PRIORITY",
        ">ATTEMPTS",
        "CREATED",
        "NOTE",
    ];
    table(&heads, tasks.iter().map(row))
}

/// What a reader most wants to know: why it waits, when it starts, where it runs, why it failed.
fn note(task: &Task) -> String {
    let last = task.attempts.last();
    let start = task.run_at.filter(|_| task.state == TaskState::Scheduled);
    match (&task.waiting_for, start, task.state) {
        (Some(why), _, _) => why.clone(),
        (None, Some(at), _) => format!("starts {}", relative(at, clock::now())),
        (None, None, TaskState::Running) => {
            last.map(|a| format!("on {}", a.node)).unwrap_or_default()
        }
        (
            None,
            None,
            TaskState::Scheduled
            | TaskState::Pending
            | TaskState::Succeeded
            | TaskState::Dead
            | TaskState::Cancelled,
        ) => last
            .and_then(|attempt| attempt.error.clone())
            .unwrap_or_default(),
    }
}

fn one(task: &Task) -> String {
    let now = clock::now();
    let pairs_of = |labels: &BTreeMap<String, String>| {
        let labels = labels.iter().map(|(k, v)| format!("{k}={v}"));
        labels.collect::<Vec<_>>().join(", ")
    };
    let permits = task
        .permits
        .iter()
        .map(|permit| format!("{} of {}", permit.weight, permit.semaphore));
    let permits: Vec<_> = permits.collect();
    let run_at = task
        .run_at
        .map(|at| format!("{at} ({})", relative(at, now)));
    let metadata = Value::Object(task.metadata.clone());
    let head = pairs(&[
        ("id", task.id.to_string()),
        ("state", task.state.as_str().to_owned()),
        ("waiting for", task.waiting_for.clone().unwrap_or_default()),
        ("queue", task.queue.clone()),
        ("kind", task.kind.clone()),
        ("priority", task.priority.to_string()),
        ("payload", one_line(&task.payload.to_value())),
        ("permits", permits.join(", ")),
        ("locks", task.locks.join(", ")),
        (
            "concurrency key",
            task.concurrency_key.clone().unwrap_or_default(),
        ),
        ("requires", pairs_of(&task.node_labels.require)),
        ("prefers", pairs_of(&task.node_labels.prefer)),
        ("labels", pairs_of(&task.labels)),
        (
            "metadata",
            if task.metadata.is_empty() {
                String::new()
            } else {
                one_line(&metadata)
            },
        ),
        (
            "created",
            format!("{} ({})", task.created_at, relative(task.created_at, now)),
        ),
        ("run at", run_at.unwrap_or_default()),
        ("schedule", task.schedule.clone().unwrap_or_default()),
        (
            "due at",
            task.due_at.map(|at| at.to_string()).unwrap_or_default(),
        ),
        (
            "failures",
            format!("{} of {}", task.failures, task.max_attempts),
        ),
        ("deaths", task.deaths.to_string()),
        (
            "time limit",
            task.timeout_ms.map(length_ms).unwrap_or_default(),
        ),
        (
            "on lost",
            match task.on_lost {
                OnLost::Stop => String::new(),
                OnLost::Finish => "finish".to_owned(),
            },
        ),
    ]);
    if task.attempts.is_empty() {
        return head;
    }
    format!("{head}\n\n{}", attempts(&task.attempts))
}

fn attempts(attempts: &[Attempt]) -> String {
    let now = clock::now();
    let row = |attempt: &Attempt| {
        let took = attempt
            .started_at
            .zip(attempt.finished_at)
            .map(|(from, until)| {
                let ms = until.0.as_millisecond() - from.0.as_millisecond();
                length_ms(u64::try_from(ms).unwrap_or(0))
            });
        let output = attempt.output.as_ref().map(one_line);
        vec![
            attempt.number.to_string(),
            attempt.node.clone(),
            attempt.fence.to_string(),
            attempt.outcome.as_str().to_owned(),
            attempt
                .started_at
                .map(|at| relative(at, now))
                .unwrap_or_default(),
            took.unwrap_or_default(),
            attempt
                .error
                .clone()
                .or(output)
                .map(|t| short(&t, NOTE_CHARS_MAX))
                .unwrap_or_default(),
        ]
    };
    let heads = [
        ">ATTEMPT",
        "NODE",
        ">FENCE",
        "OUTCOME",
        "STARTED",
        ">TOOK",
        "ERROR OR OUTPUT",
    ];
    table(&heads, attempts.iter().map(row))
}

/// JSON on one line; text as it is.
pub(super) fn one_line(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_page_that_has_a_next_one_is_not_the_end() {
        let page = |next: Option<&str>| TaskPage {
            items: Vec::new(),
            next_cursor: next.map(ToOwned::to_owned),
            revision: 1,
        };
        assert!(!is_nothing(&page(Some("1.0.2f")), false));
        assert!(!is_nothing(&page(None), true));
        assert!(is_nothing(&page(None), false));
    }
}
