//! How far a schedule has got, and the ledger of what became of its due times; decides nothing.

use serde::{Deserialize, Serialize};

use super::pack_of;
use crate::task::id::PackId;
use crate::task::name::Name;

/// 8 lines to a page of the ledger: the page that is being filled travels with every fire.
pub const PAGE_LINES: usize = 8;

/// 64 full pages are kept, 512 lines; older ones go.
pub const PAGES_MAX: u64 = 64;

/// 8 tasks that are not known to have ended: beyond, nothing more is fired where tasks of a schedule are told apart.
pub const OPEN_MAX: usize = 8;

/// 10,000 due times are counted of those that one line stands for; more are told as this many.
pub const TIMES_MAX: u32 = 10_000;

/// How far a schedule has got: the value of `schedstate/<name>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What became of every due time up to this one is decided, in milliseconds since 1970.
    #[serde(rename = "done")]
    pub done_ms: u64,
    /// The next due time; none where there is none, or it is paused.
    #[serde(rename = "next", default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<u64>,
    /// When that is fired; the key of its tick.
    #[serde(rename = "tick", default, skip_serializing_if = "Option::is_none")]
    pub tick_ms: Option<u64>,
    /// Missed due times up to this one are fired, whatever becomes late meanwhile: it was decided how many are.
    #[serde(rename = "owed", default, skip_serializing_if = "Option::is_none")]
    pub owed_ms: Option<u64>,
    /// Tasks that are not known to have ended, oldest first; none where those may overlap. [`OPEN_MAX`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<PackId>,
    /// Lines written ever.
    #[serde(default)]
    pub count: u64,
    /// The last of them: fewer than [`PAGE_LINES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Occurrence>,
}

/// What became of a due time, or of several in a row that share it: a line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// The due time, in milliseconds since 1970; the first one where there are several.
    #[serde(rename = "due")]
    pub due_ms: u64,
    /// The last one where there are several: every due time between them is among them.
    #[serde(rename = "until", default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// How many, [`TIMES_MAX`] standing for more.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: u32,
    /// How much later than due it was to be fired, in milliseconds.
    #[serde(rename = "jitter", default, skip_serializing_if = "is_none")]
    pub jitter_ms: u64,
    /// How much later than that it was decided.
    #[serde(rename = "late", default, skip_serializing_if = "is_none")]
    pub late_ms: u64,
    /// Why it was not fired; none where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skipped>,
    /// What had it fired.
    #[serde(default, skip_serializing_if = "By::is_clock")]
    pub by: By,
    /// Its pack, where that does not follow from the due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackId>,
}

/// What has a task fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its time came.
    #[default]
    Clock,
    /// It was missed, and is made up for.
    CatchUp,
    /// A user wanted one at once.
    Trigger,
    /// A user wanted those of some time.
    Backfill,
}

/// Why a due time was not fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// An earlier task had not ended.
    Overlap,
    /// It was missed, and the rule for missed ones passed it over.
    Misfire,
    /// It was missed for longer than is caught up on.
    Window,
    /// Its deadline for starting had passed.
    Deadline,
    /// The schedule was paused.
    Paused,
    /// The schedule was edited before anybody fired it.
    Edited,
}

/// A full page of the ledger: the value of `ledger/<schedule>/<page>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// [`PAGE_LINES`] lines, oldest first.
    pub lines: Vec<Occurrence>,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Clock, Self::CatchUp, Self::Trigger, Self::Backfill];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::CatchUp => "catch_up",
            Self::Trigger => "trigger",
            Self::Backfill => "backfill",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
    fn is_clock(&self) -> bool {
        *self == Self::Clock
    }
}

impl Skipped {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Overlap,
        Self::Misfire,
        Self::Window,
        Self::Deadline,
        Self::Paused,
        Self::Edited,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Misfire => "misfire",
            Self::Window => "window",
            Self::Deadline => "deadline",
            Self::Paused => "paused",
            Self::Edited => "edited",
        }
    }
}

impl Occurrence {
    /// A due time that was fired.
    pub fn fired(due_ms: u64, jitter_ms: u64, now_ms: u64, by: By) -> Self {
        Self {
            due_ms,
            until_ms: None,
            times: 1,
            jitter_ms,
            late_ms: now_ms.saturating_sub(due_ms + jitter_ms),
            skipped: None,
            by,
            pack: None,
        }
    }

    /// A due time that was not.
    pub fn skipped(due_ms: u64, jitter_ms: u64, now_ms: u64, why: Skipped) -> Self {
        let skipped = Some(why);
        Self {
            skipped,
            ..Self::fired(due_ms, jitter_ms, now_ms, By::Clock)
        }
    }

    /// When it was decided, in milliseconds since 1970.
    pub fn at_ms(&self) -> u64 {
        self.due_ms + self.jitter_ms + self.late_ms
    }

    /// The pack of what was fired; none where nothing was.
    pub fn task(&self, name: &Name, incarnation: i64) -> Option<PackId> {
        let of_due = || pack_of(name, incarnation, self.due_ms);
        (self.skipped.is_none()).then(|| self.pack.unwrap_or_else(of_due))
    }

    /// Adds another due time that shares this one's fate; false where it does not.
    fn takes(&mut self, next: &Self) -> bool {
        if self.skipped.is_none() || self.skipped != next.skipped {
            return false;
        }
        self.until_ms = Some(next.until_ms.unwrap_or(next.due_ms));
        self.times = self.times.saturating_add(next.times).min(TIMES_MAX);
        true
    }
}

impl Progress {
    /// Adds lines, those in a row that share a fate as one; the pages that are full by that, with their numbers.
    pub fn append(&mut self, lines: Vec<Occurrence>) -> Vec<(u64, Page)> {
        let mut pages = Vec::new();
        let mut fresh: Vec<Occurrence> = Vec::new();
        for line in lines {
            let shared = fresh.last_mut().is_some_and(|last| last.takes(&line));
            if !shared {
                fresh.push(line);
            }
        }
        for line in fresh {
            self.recent.push(line);
            self.count += 1;
            if self.recent.len() == PAGE_LINES {
                let lines = std::mem::take(&mut self.recent);
                pages.push((self.count / PAGE_LINES as u64 - 1, Page { lines }));
            }
        }
        pages
    }

    /// Full pages there are, the oldest first: their numbers.
    pub fn pages(&self) -> std::ops::Range<u64> {
        let full = self.count / PAGE_LINES as u64;
        full.saturating_sub(PAGES_MAX)..full
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_one(times: &u32) -> bool {
    *times == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_none(ms: &u64) -> bool {
    *ms == 0
}
