//! What a run is told, and how it ended. Holds values only: nothing here starts, waits or writes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::guard::Leash;
use crate::task::{Fired, Outcome, Output};

/// 1 KiB: the longest error text that is kept of a run, in bytes. It travels in a result beside up
/// to 255 others.
pub const ERROR_BYTES_MAX: usize = 1024;

/// 16 KiB: the largest JSON value that a handler may leave behind, in bytes as written.
pub const RESULT_BYTES_MAX: usize = 16 * 1024;

/// One attempt at one task, with everything that an outside resource needs to refuse it once it is
/// stale.
#[derive(Clone, Debug)]
pub struct Run {
    /// The task.
    pub task_id: Uuid,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The create revision of the claim: greater than that of every earlier attempt.
    pub fence: i64,
    /// The queue that the task came from.
    pub queue: Arc<str>,
    /// The kind of work.
    pub kind: Arc<str>,
    /// The schedule that made the task, and the due time it is for; none where a user did.
    pub fired: Option<Fired>,
    /// What to do, JSON of at most 1 MiB.
    pub payload: Arc<RawValue>,
    /// How long the attempt may take, counted from the start of the run; without one, as long as it
    /// likes.
    pub timeout: Option<Duration>,
    /// Asks the run to stop. What it has left to say is still heard.
    pub cancel: CancellationToken,
    /// Until when what it starts may go on at most.
    pub(crate) leash: Leash,
}

/// What the end of a run says of what it depends on, for the breaker of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It did its part, whatever became of the run: an answer that the task did not want is one.
    Well,
    /// It failed.
    Ill,
    /// Nothing: it was not asked, or not long enough.
    Unknown,
}

/// How a run ended, in full. Every part is bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The word for it.
    pub outcome: Outcome,
    /// What that says of what it depends on.
    pub health: Health,
    /// Why, at most [`ERROR_BYTES_MAX`].
    pub error: Option<String>,
    /// What it printed or was answered.
    pub output: Option<Output>,
    /// What a handler returned, at most [`RESULT_BYTES_MAX`].
    pub result: Option<Value>,
}

/// Why a run is made to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    TimedOut(Duration),
}

impl Run {
    /// Waits until the run has to stop. Its time starts with the first poll.
    pub(crate) async fn stopped(&self) -> Stop {
        let Some(timeout) = self.timeout else {
            self.cancel.cancelled().await;
            return Stop::Cancelled;
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Stop::Cancelled,
            () = tokio::time::sleep(timeout) => Stop::TimedOut(timeout),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::TimedOut(after) => write!(f, "timed out after {after:?}"),
        }
    }
}

impl Ended {
    /// The run did what was asked.
    pub fn succeeded() -> Self {
        Self {
            outcome: Outcome::Succeeded,
            health: Health::Well,
            error: None,
            output: None,
            result: None,
        }
    }

    /// The run failed; the message is cut to [`ERROR_BYTES_MAX`].
    pub fn failed(error: impl fmt::Display) -> Self {
        Self {
            error: Some(cut(error.to_string(), ERROR_BYTES_MAX)),
            outcome: Outcome::Failed,
            health: Health::Ill,
            ..Self::succeeded()
        }
    }

    pub(crate) fn stopped(stop: Stop) -> Self {
        let (outcome, health) = match stop {
            Stop::Cancelled => (Outcome::Cancelled, Health::Unknown),
            Stop::TimedOut(_) => (Outcome::Timeout, Health::Ill),
        };
        Self {
            outcome,
            health,
            ..Self::failed(stop)
        }
    }

    /// The run was ended because its node's session is over: it has no outcome of its own.
    pub(crate) fn lost() -> Self {
        Self {
            outcome: Outcome::Lost,
            health: Health::Unknown,
            ..Self::failed("the node's session was over")
        }
    }

    pub(crate) fn with_health(self, health: Health) -> Self {
        Self { health, ..self }
    }

    pub(crate) fn with_output(self, output: Output) -> Self {
        Self {
            output: Some(output),
            ..self
        }
    }

    /// Keeps `result` if it is small enough. The work is done either way, so one that is too large
    /// costs the task its result and not another attempt.
    pub(crate) fn with_result(self, result: Value) -> Self {
        let bytes = result.to_string().len();
        if bytes <= RESULT_BYTES_MAX {
            return Self {
                result: Some(result),
                ..self
            };
        }
        let error =
            format!("the result was not kept: {bytes} bytes, at most {RESULT_BYTES_MAX} are");
        Self {
            error: Some(error),
            ..self
        }
    }
}

/// Cuts a text to a number of bytes, between characters and visibly.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let ended = Ended::failed("é".repeat(ERROR_BYTES_MAX));

        let error = ended.error.unwrap();
        assert!(error.len() <= ERROR_BYTES_MAX);
        assert!(error.ends_with("é…"));
    }

    #[test]
    fn a_result_over_its_bound_is_dropped_and_said_so() {
        let small = Ended::succeeded().with_result(Value::from("x"));
        let large = Ended::succeeded().with_result(Value::from("x".repeat(RESULT_BYTES_MAX)));

        assert_eq!(small.result, Some(Value::from("x")));
        assert_eq!(large.outcome, Outcome::Succeeded);
        assert_eq!(large.result, None);
        assert!(large.error.unwrap().contains("16386 bytes"));
    }
}
