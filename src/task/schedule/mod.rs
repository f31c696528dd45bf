//! Schedules: what one is declared to be, how far it has got, and what became of its due times; never reads a clock.
//!
//! A schedule is **due** at the times that its [`When`] says. What became of a due time is an [`Occurrence`]: it was fired, which makes
//! one task, or skipped, and then it says why. [`step`] decides; its inputs are all there is to know.

mod edit;
mod progress;
mod step;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::PackId;
use super::name::Name;
use super::spec::{Pack, Policy, Routing, Spec};
use super::timing::{Timing, TimingError, When};

pub use edit::{backfilled, begun, edited, triggered};
pub use progress::{
    By, OPEN_MAX, Occurrence, PAGE_LINES, PAGES_MAX, Page, Progress, Skipped, TIMES_MAX,
};
pub use step::{FIRES_MAX, Known, LATE_MS_MAX, Step, step};

/// 54 characters to a schedule's name: its lock is called `schedule.` and the name, which is a [`Name`] of 64 at most.
pub const SCHEDULE_NAME_CHARS_MAX: usize = 54;

/// What a schedule's lock is called, before its name.
const LOCK: &str = "schedule.";

/// 86,400,000 ms, a day: the most that due times are spread by.
pub const JITTER_MS_MAX: u64 = 86_400_000;

/// 2,592,000,000 ms, 30 days: the longest window of catching up, and the longest deadline of a start.
pub const WINDOW_MS_MAX: u64 = 2_592_000_000;

/// 3,600,000 ms, an hour: the window of catching up where none is given.
pub const CATCH_UP_MS: u64 = 3_600_000;

/// 1,000 missed due times at most are fired when there is a leader again.
pub const FIRE_ALL_MAX: u32 = 1_000;

/// A schedule as it is declared: the value of `sched/<name>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// When it is due.
    pub when: When,
    /// The time zone of its expression, an IANA name; none is UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Not due before this, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// Not due after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<u64>,
    /// Each due time is fired up to so many milliseconds later, 0 to [`JITTER_MS_MAX`], the same ones whoever fires it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter_ms: u64,
    /// What happens to a due time while an earlier task of it has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens to due times that were missed.
    #[serde(default)]
    pub misfire: Misfire,
    /// Those missed for longer, in milliseconds, are not caught up on: 0 to [`WINDOW_MS_MAX`].
    #[serde(default = "catch_up")]
    pub catch_up_ms: u64,
    /// Nothing is fired later than so many milliseconds after its due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_deadline_ms: Option<u64>,
    /// Since when and why it is not due; none where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// What users find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// When it was declared first, in milliseconds since 1970.
    pub created_ms: u64,
    /// Where its tasks go, but for the lock that keeps them apart.
    pub routing: Routing,
    /// What happens around their runs.
    pub policy: Policy,
    /// What they are.
    pub spec: Spec,
}

/// Why something is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// What the one who paused it said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What happens to a due time while an earlier task of the schedule has not ended: a dead letter has.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is fired all the same.
    Allow,
    /// It is skipped.
    #[default]
    Skip,
    /// The earlier one is cancelled; the new one begins when it has stopped.
    Replace,
    /// One may wait for the earlier one to end; beyond, it is skipped.
    QueueOne,
}

/// What happens to due times that nobody fired for longer than [`LATE_MS_MAX`], because nobody led, or etcd was away or nearly full.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// They are skipped.
    Skip,
    /// The latest of them is fired.
    #[default]
    FireOnce,
    /// The latest ones are fired, so many at most: 1 to [`FIRE_ALL_MAX`].
    FireAll(u32),
}

/// What a task is told of the schedule that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The schedule.
    pub schedule: Name,
    /// The due time it is for, in milliseconds since 1970.
    pub due_ms: u64,
}

impl Fired {
    /// The due time as RFC 3339, UTC, with milliseconds.
    pub fn due_at(&self) -> String {
        format!("{:.3}", super::timing::instant(self.due_ms))
    }
}

impl Overlap {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
            Self::Replace => "replace",
            Self::QueueOne => "queue_one",
        }
    }
}

impl Misfire {
    /// How many missed due times are fired at most.
    pub fn fires(self) -> usize {
        match self {
            Self::Skip => 0,
            Self::FireOnce => 1,
            Self::FireAll(max) => usize::try_from(max).unwrap_or(usize::MAX),
        }
    }
}

impl Schedule {
    /// Its due times.
    ///
    /// # Errors
    /// [`TimingError`], which a schedule that was accepted has only where the rules of a time zone have changed.
    pub fn timing(&self, name: &Name) -> Result<Timing, TimingError> {
        let zone = self.zone.as_deref();
        Timing::new(
            name.as_str(),
            &self.when,
            zone,
            self.start_ms,
            self.end_ms,
            0,
        )
    }

    /// Whether it is due at the same times as the other, but for a pause.
    pub fn is_due_like(&self, other: &Self) -> bool {
        let of = |of: &Self| (of.when.clone(), of.zone.clone(), of.start_ms, of.end_ms);
        of(self) == of(other)
    }

    /// Where its tasks go: two of them never run at once unless that is allowed, for they take its lock.
    ///
    /// # Panics
    /// Where the name is longer than a schedule's may be.
    pub fn routing(&self, name: &Name) -> Routing {
        let Routing { needs, .. } = &self.routing;
        if self.overlap == Overlap::Allow {
            return self.routing.clone();
        }
        let mut needs = needs.as_deref().cloned().unwrap_or_default();
        needs.locks.push(lock(name));
        needs.locks.sort_unstable();
        needs.locks.dedup();
        Routing {
            needs: Some(needs.into()),
            ..self.routing.clone()
        }
    }

    /// The pack of one of its tasks.
    pub fn pack(&self, name: &Name, due_ms: u64, now_ms: u64) -> Pack {
        let schedule = name.clone();
        Pack {
            routing: self.routing(name),
            policy: self.policy.clone(),
            created_ms: now_ms,
            run_at_ms: None,
            tasks: BTreeMap::from([(0, self.spec.clone())]),
            idem: Vec::new(),
            fired: Some(Fired { schedule, due_ms }),
        }
    }

    /// How much later than this due time it is fired, in milliseconds.
    pub fn jitter(&self, name: &Name, due_ms: u64) -> u64 {
        super::timing::jitter(name.as_str(), due_ms, self.jitter_ms)
    }
}

/// The lock that keeps the tasks of a schedule apart.
///
/// # Panics
/// Where the name is longer than a schedule's may be.
pub fn lock(name: &Name) -> Name {
    let lock = format!("{LOCK}{name}");
    lock.parse().expect("a schedule's name is short enough")
}

/// The pack of a due time, the same whoever fires it. `incarnation` tells schedules of one name apart that were declared one after the
/// other: create revision of its key. The first 80 bits of the SHA-256 of all three stand where a `UUIDv7` has random ones.
///
/// # Panics
/// Never: SHA-256 has 32 bytes.
pub fn pack_of(name: &Name, incarnation: i64, due_ms: u64) -> PackId {
    let text = format!("{name}/{incarnation}/{due_ms}");
    let digest = Sha256::digest(text);
    let first: [u8; 16] = digest[..16].try_into().expect("SHA-256 has 32 bytes");
    PackId::new(due_ms, u128::from_be_bytes(first))
}

fn catch_up() -> u64 {
    CATCH_UP_MS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
