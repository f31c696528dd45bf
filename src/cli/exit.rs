//! What the process ends with. Scripts rely on these numbers.

use std::fmt::Write as _;

use reqwest::StatusCode;

use crate::api::wire::{AttemptOutcome, Problem, Task, TaskState};

/// How a command ended, as the process tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: it failed, in a way that no other number tells; `status` and `healthcheck`: not healthy; `diff`: they differ.
    Failed,
    /// 2: the command line, a file or a request is wrong.
    Usage,
    /// 3: there is no such thing.
    NotFound,
    /// 4: it is in no state for that.
    Conflict,
    /// 5: no token, or one that does not allow it.
    Auth,
    /// 6: the server or etcd cannot be reached, or nobody leads.
    Unreachable,
    /// 7: the time to wait is over.
    TimedOut,
    /// 8: some of it was done.
    Partial,
    /// 9: `diff`: it cannot be said whether they differ, for a reason that no other number tells.
    Uncompared,
    /// 10: the task is dead, and its last attempt failed or ran out of time.
    TaskFailed,
    /// 11: the task was cancelled.
    TaskCancelled,
    /// 12: the task is dead, and its last attempt was lost with its node.
    TaskDead,
    /// 13: the lock or permits were lost, and the command that ran under them was ended.
    HoldLost,
    /// A command's own, or as shells count: 126 where it cannot be started, 127 where there is none, 128 and the signal that ended it.
    Command(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Auth => 5,
            Self::Unreachable => 6,
            Self::TimedOut => 7,
            Self::Partial => 8,
            Self::Uncompared => 9,
            Self::TaskFailed => 10,
            Self::TaskCancelled => 11,
            Self::TaskDead => 12,
            Self::HoldLost => 13,
            Self::Command(code) => code,
        }
    }

    /// What an answer's status means to the caller.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Done,
            400 | 405 | 413 | 414 | 415 | 422 => Self::Usage,
            401 | 403 => Self::Auth,
            404 => Self::NotFound,
            409 | 410 | 412 => Self::Conflict,
            408 => Self::TimedOut,
            502..=504 => Self::Unreachable,
            _ => Self::Failed,
        }
    }

    /// How a task ended; none while it has not.
    pub(super) fn of_task(task: &Task) -> Option<Self> {
        match task.state {
            TaskState::Scheduled | TaskState::Pending | TaskState::Running => None,
            TaskState::Succeeded => Some(Self::Done),
            TaskState::Cancelled => Some(Self::TaskCancelled),
            TaskState::Dead => Some(match task.attempts.last().map(|attempt| attempt.outcome) {
                Some(AttemptOutcome::Lost) => Self::TaskDead,
                Some(
                    AttemptOutcome::Running
                    | AttemptOutcome::Succeeded
                    | AttemptOutcome::Failed
                    | AttemptOutcome::Timeout
                    | AttemptOutcome::Cancelled,
                )
                | None => Self::TaskFailed,
            }),
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// For people, on stderr; nothing is said where it is empty.
    pub message: String,
    /// Whether the server has as much as it takes, and the same may be asked again in a while: its status is 429.
    pub busy: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            busy: false,
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An answer that is a problem: its title and detail, then a line for each field.
    pub(super) fn of_problem(status: StatusCode, problem: &Problem) -> Self {
        let detail = problem
            .detail
            .as_deref()
            .map(|d| format!(": {d}"))
            .unwrap_or_default();
        let mut message = format!("{}{detail}", problem.title);
        for error in &problem.errors {
            let _ = write!(
                message,
                "\n  {}: {} ({})",
                error.field, error.detail, error.pointer
            );
        }
        Self::of_status(status, message)
    }

    /// An answer of this status.
    pub(super) fn of_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            busy: status == StatusCode::TOO_MANY_REQUESTS,
            ..Self::new(Exit::of_status(status), message)
        }
    }

    /// Says it, and hands on what the process ends with.
    pub(super) fn report(self) -> Exit {
        if !self.message.is_empty() {
            eprintln!("error: {}", self.message);
        }
        self.exit
    }
}
