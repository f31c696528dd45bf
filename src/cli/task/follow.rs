//! Waits for tasks, over lost connections and changes of leader, and says how they ended.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::super::client::{Answer, Client, query};
use super::super::patience::Patience;
use super::super::{Exit, Failure, Global, Output, out};
use super::view;
use crate::api::wire::{Attempt, Task};

/// How long one request waits; the server's own bound is a minute.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long to wait before asking again after that.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A settled task and the answer that told of it.
pub(super) struct Followed {
    answer: Answer,
    task: Task,
    exit: Exit,
}

pub(super) async fn wait(global: &Global, client: &Client, ids: &[Uuid]) -> Result<Exit, Failure> {
    let mut exits = Vec::with_capacity(ids.len());
    for id in ids {
        let followed = until_settled(global, client, *id).await?;
        match global.output {
            Output::Json => followed.answer.print()?,
            Output::Table => {
                out::line(&format!("{id}  {}", followed.task.state.as_str()))?;
                followed.explain();
            }
        }
        exits.push(followed.exit);
    }
    Ok(together(&exits))
}

/// One exit for several tasks: theirs where they agree, partial where they do not.
pub(super) fn together(exits: &[Exit]) -> Exit {
    match exits {
        [] => Exit::Done,
        [first, rest @ ..] if rest.iter().all(|exit| exit == first) => *first,
        [..] => Exit::Partial,
    }
}

/// Waits until the task is settled or `--timeout` is over.
pub(super) async fn until_settled(
    global: &Global,
    client: &Client,
    id: Uuid,
) -> Result<Followed, Failure> {
    let deadline = global
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let mut patience = Patience::default();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let wait = left.unwrap_or(WAIT_MAX).min(WAIT_MAX);
        let wait_text = format!("{}ms", wait.as_millis());
        let path = query(&format!("/v1/tasks/{id}"), &[("wait", Some(&wait_text))]);
        match client.get_waiting(&path, wait).await {
            Ok(answer) => {
                patience.answered();
                let task: Task = answer.read()?;
                if let Some(exit) = Exit::of_task(&task) {
                    return Ok(Followed { answer, task, exit });
                }
                if left.is_some_and(|left| left.is_zero()) {
                    return Err(over(&task));
                }
            }
            Err(failure) if left.is_some_and(|left| left.is_zero()) => return Err(failure),
            Err(failure) => {
                patience.bear(failure)?;
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
        }
    }
}

fn over(task: &Task) -> Failure {
    let why = task
        .waiting_for
        .as_deref()
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    let state = task.state.as_str();
    Failure::new(
        Exit::TimedOut,
        format!("task {} is still {state}{why}", task.id),
    )
}

impl Followed {
    /// What the task gave, on stdout and stderr, and how it ended.
    pub(super) fn say(&mut self, output: Output) -> Result<Exit, Failure> {
        match output {
            Output::Json => self.answer.print()?,
            Output::Table => {
                if let Some(attempt) = self.task.attempts.last() {
                    outputs(attempt)?;
                }
                self.explain();
            }
        }
        Ok(self.exit)
    }

    /// Why it did not succeed, on stderr.
    fn explain(&self) {
        if self.exit == Exit::Done {
            return;
        }
        let error = self
            .task
            .attempts
            .last()
            .and_then(|attempt| attempt.error.as_deref());
        let error = error.map(|error| format!(": {error}")).unwrap_or_default();
        let attempts = self.task.attempts.len();
        let state = self.task.state.as_str();
        eprintln!(
            "task {} is {state} after attempt {attempts}{error}",
            self.task.id
        );
    }
}

/// What a run printed, each stream where it belongs; of other kinds the JSON.
fn outputs(attempt: &Attempt) -> Result<(), Failure> {
    let Some(output) = &attempt.output else {
        return Ok(());
    };
    let tail = |name: &str| output.get(name).and_then(serde_json::Value::as_str);
    match (tail("stdout"), tail("stderr")) {
        (None, None) if output.get("code").is_some() => Ok(()),
        (None, None) => out::line(&view::one_line(output)),
        (stdout, stderr) => {
            if let Some(text) = stderr {
                eprint!("{text}");
            }
            out::bytes(stdout.unwrap_or_default().as_bytes())
        }
    }
}
