//! How one attempt ended; never says what happens to the task next (that is [`super::State::next`]).

use serde::{Deserialize, Serialize};

use super::state::Event;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Succeeded,
    /// It ended badly by itself: an error, an exit status, an unexpected answer.
    Failed,
    /// It ran past its timeout and was stopped.
    Timeout,
    /// A user cancelled it.
    Cancelled,
    /// Its node's session ended first. Whether the run had started is not known.
    Lost,
    /// Handed or taken back before it started: not an attempt, kept to lead to the task's next record.
    Returned,
    /// Not started, because what it would use keeps failing: not an attempt, it waits for a while and is tried again.
    Deferred,
    /// A user asked for a dead letter to be tried again: not an attempt either.
    Revived,
}

impl Outcome {
    /// Whether it is an attempt that users see.
    pub fn is_attempt(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Timeout | Self::Cancelled | Self::Lost => true,
            Self::Returned | Self::Deferred | Self::Revived => false,
        }
    }

    /// Whether the run itself came to it: where it is not told, nobody else knows.
    pub fn is_of_run(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Timeout | Self::Cancelled => true,
            Self::Lost | Self::Returned | Self::Deferred | Self::Revived => false,
        }
    }

    /// What this outcome is to the state machine, given whether the task goes on to another run.
    pub fn event(self, goes_on: bool) -> Event {
        match (self, goes_on) {
            (Self::Succeeded, _) => Event::Succeeded,
            (Self::Failed | Self::Timeout, true) => Event::Failed,
            (Self::Failed | Self::Timeout, false) => Event::Exhausted,
            (Self::Cancelled, _) => Event::Cancelled,
            (Self::Lost, true) => Event::Lost,
            (Self::Lost, false) => Event::Killed,
            (Self::Returned, _) => Event::Returned,
            (Self::Deferred, _) => Event::Deferred,
            (Self::Revived, _) => Event::Revived,
        }
    }

    /// The word for metrics and users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Returned => "returned",
            Self::Deferred => "deferred",
            Self::Revived => "revived",
        }
    }
}

/// What a run left behind: the last bytes of what it wrote, bounded by the node's `output-tail`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Output {
    /// The end of what it wrote to standard output, or of the answer's body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// The end of what it wrote to standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// Whether more was written than is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The exit status of a `command`, the status code of an `http` answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// What a handler returned, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
