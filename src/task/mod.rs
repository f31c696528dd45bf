//! The nouns and the state machine of a task; never reads a clock, never touches etcd, imports nothing of ours.
//!
//! A **task** is one piece of work with an id, a spec, attempts and one committed outcome. Tasks travel in **packs**:
//! 1 to 256 tasks submitted together that share [`Routing`] and [`Policy`]. Which tasks of a pack a stored record
//! speaks of is a [`Which`]. When work is due again and again is said in [`timing`].

mod id;
mod name;
mod needs;
mod outcome;
mod retry;
mod schedule;
mod spec;
mod state;
pub mod timing;
mod which;
mod written;

pub use id::{ClaimId, IdError, PackId, TaskId};
pub use name::{NAME_CHARS_MAX, Name, NameError};
pub use needs::{Gate, LABELS_MAX, LIMIT_MAX, LOCKS_MAX, Needs, PERMITS_MAX, Permit};
pub use outcome::{Outcome, Output};
pub use retry::{After, Backoff, Tally, after_death, after_deferral, after_failure};
pub use schedule::{
    By, CATCH_UP_MS, FIRE_ALL_MAX, FIRES_MAX, Fired, JITTER_MS_MAX, Known, LATE_MS_MAX, Misfire,
    OPEN_MAX, Occurrence, Overlap, PAGE_LINES, PAGES_MAX, Page, Paused, Progress,
    SCHEDULE_NAME_CHARS_MAX, Schedule, Skipped, Step, TIMES_MAX, WINDOW_MS_MAX, backfilled, begun,
    edited, lock, pack_of, step, triggered,
};
pub use spec::{Json, OnLost, Pack, Policy, Priority, Routing, Spec};
pub use state::{Event, Illegal, State};
pub use timing::{Timing, TimingError, When};
pub use which::{PACK_TASKS_MAX, Which, WhichError};
pub use written::{hex, millis};
