//! The state machine of a task; never decides when an event happens, only what it means.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a task is. These six words are used wherever users look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its time: a delayed start, or the backoff after a failure.
    Scheduled,
    /// Ready, waits for a node.
    Pending,
    /// Claimed for a node.
    Running,
    /// Ended well. Final.
    Succeeded,
    /// Out of budget: waits among the dead letters for a retry or a cancel. Not final.
    Dead,
    /// Ended by request. Final.
    Cancelled,
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// Its time came.
    Promoted,
    /// The leader claimed it for a node.
    Assigned,
    /// Its node handed it back, or the leader took it back, before an outcome.
    Returned,
    /// Its node deferred it before it started, because what it would use keeps failing there.
    Deferred,
    /// Its run succeeded.
    Succeeded,
    /// Its run failed and the retry policy allows another after a backoff.
    Failed,
    /// Its run failed and the failure budget is used up.
    Exhausted,
    /// Its node's session ended and the death budget allows another run.
    Lost,
    /// Its node's session ended and the death budget is used up.
    Killed,
    /// A user cancelled it.
    Cancelled,
    /// A user asked for a dead letter to be tried again.
    Revived,
}

/// An event that a task in this state cannot meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {state} task cannot be {event}")]
pub struct Illegal {
    /// The state it was in.
    pub state: State,
    /// What was to happen.
    pub event: Event,
}

impl State {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
    ];

    /// Whether nothing can happen to it any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Cancelled => true,
            Self::Scheduled | Self::Pending | Self::Running | Self::Dead => false,
        }
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// [`Illegal`] where a task in this state cannot meet the event.
    pub fn next(self, event: &Event) -> Result<Self, Illegal> {
        let illegal = Err(Illegal {
            state: self,
            event: *event,
        });
        match (self, event) {
            (Self::Scheduled, Event::Promoted)
            | (Self::Running, Event::Returned | Event::Lost)
            | (Self::Dead, Event::Revived) => Ok(Self::Pending),
            (Self::Pending, Event::Assigned) => Ok(Self::Running),
            (Self::Running, Event::Succeeded) => Ok(Self::Succeeded),
            (Self::Running, Event::Failed | Event::Deferred) => Ok(Self::Scheduled),
            (Self::Running, Event::Exhausted | Event::Killed) => Ok(Self::Dead),
            (Self::Scheduled | Self::Pending | Self::Running | Self::Dead, Event::Cancelled) => {
                Ok(Self::Cancelled)
            }
            (
                Self::Scheduled,
                Event::Assigned
                | Event::Returned
                | Event::Deferred
                | Event::Succeeded
                | Event::Failed
                | Event::Exhausted
                | Event::Lost
                | Event::Killed
                | Event::Revived,
            )
            | (
                Self::Pending,
                Event::Promoted
                | Event::Returned
                | Event::Deferred
                | Event::Succeeded
                | Event::Failed
                | Event::Exhausted
                | Event::Lost
                | Event::Killed
                | Event::Revived,
            )
            | (Self::Running, Event::Promoted | Event::Assigned | Event::Revived)
            | (
                Self::Dead,
                Event::Promoted
                | Event::Assigned
                | Event::Returned
                | Event::Deferred
                | Event::Succeeded
                | Event::Failed
                | Event::Exhausted
                | Event::Lost
                | Event::Killed,
            )
            | (
                Self::Succeeded | Self::Cancelled,
                Event::Promoted
                | Event::Assigned
                | Event::Returned
                | Event::Deferred
                | Event::Succeeded
                | Event::Failed
                | Event::Exhausted
                | Event::Lost
                | Event::Killed
                | Event::Cancelled
                | Event::Revived,
            ) => illegal,
        }
    }
}

impl State {
    /// The word for metrics and users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Event {
    /// Every event, in the order of a task's life.
    pub const ALL: [Self; 11] = [
        Self::Promoted,
        Self::Assigned,
        Self::Returned,
        Self::Deferred,
        Self::Succeeded,
        Self::Failed,
        Self::Exhausted,
        Self::Lost,
        Self::Killed,
        Self::Cancelled,
        Self::Revived,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promoted => "promoted",
            Self::Assigned => "assigned",
            Self::Returned => "returned",
            Self::Deferred => "deferred",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Exhausted => "exhausted",
            Self::Lost => "lost",
            Self::Killed => "killed",
            Self::Cancelled => "cancelled",
            Self::Revived => "revived",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page users read is the table the code obeys: every legal row of it, and no other.
    #[test]
    fn the_documented_table_is_the_code() {
        let page = include_str!("../../docs/state-machine.md");
        let documented: Vec<String> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.replace(['`', '|'], " "))
            .map(|row| row.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
            .collect();
        let mut coded = Vec::new();
        for state in State::ALL {
            for event in Event::ALL {
                if let Ok(next) = state.next(&event) {
                    coded.push(format!("{state} {event} {next}"));
                }
            }
        }
        assert_eq!(documented, coded);
    }

    #[test]
    fn nothing_happens_to_a_final_task() {
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            for event in Event::ALL {
                assert_eq!(state.next(&event), Err(Illegal { state, event }));
            }
        }
    }
}
