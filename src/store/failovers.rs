//! What is on record of sessions and terms that are over: the record, how it is written down, and how it is read. What goes into it is put
//! together by [`crate::plan`], from what a leader sees and from [`super::Facts`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenure_cluster::Range;

use super::commit::Store;
use super::deaths::{Death, EvidenceKind};
use super::locate::LookError;
use super::records::{Seen, decode};
use crate::task::{Name, TaskId};

/// 100 failovers are kept on record.
pub const FAILOVERS_MAX: usize = 100;

/// 100 tasks of a failover are listed one by one; the others are counted.
pub const MOVED_LISTED_MAX: usize = 100;

/// What became of a session that is over, or of a term: the value of `failover/<id>`. What nobody saw is none, never a guess.
///
/// Times of day (`_ms` of an event) are by the clock of whoever saw it; lengths (`_ms` after `gone`, and waits) are by the monotonic clock
/// of one leader, from when it saw or found the key gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// Whose.
    pub node: Name,
    /// The process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The session: create revision of the node's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<i64>,
    /// Whether that session is over; else only its term is.
    pub died: bool,
    /// The term that it led, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
    /// How it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Who noticed, before etcd told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Name>,
    /// When, by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noticed_ms: Option<u64>,
    /// The last sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<LastSeen>,
    /// When its key was gone.
    pub gone: Gone,
    /// How leadership went on, where it led.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<Succession>,
    /// What became of the tasks that it held.
    pub moved: Moved,
    /// The leaders that have told of it, the first first.
    pub told_by: Vec<Teller>,
    /// When the last of those had no more to tell, by its clock; none while more may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_ms: Option<u64>,
}

/// How an end was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Its link broke, and connecting anew was refused.
    Refused,
    /// Another process answered in its place.
    Replaced,
    /// It said that it leaves, or gave up its term.
    Left,
    /// Its lease ended: it ran out, or somebody revoked it.
    Lease,
    /// Its key was deleted while its lease lived.
    Key,
}

/// The last sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeen {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What sign.
    pub sign: Sign,
}

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// A word over the link to who noticed, by the clock of that one.
    Link,
    /// It told etcd what its clock says, every 15 s: that is the time.
    Clock,
}

/// When a key was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// By the clock of the leader that tells.
    pub at_ms: u64,
    /// How it knows.
    pub how: How,
    /// The revision at which it went, where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
}

/// How a leader knows that a key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It watched it go.
    Watched,
    /// It was gone when it looked: it may have been for long.
    Found,
}

/// How leadership went on, in milliseconds from when the key of the leader before was seen to be gone, on the next one's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// Who leads next.
    pub node: Name,
    /// Its term.
    pub term: i64,
    /// Its candidate key was seen to be the oldest.
    pub oldest_ms: u64,
    /// Its activation was answered: for so long nobody led.
    pub activated_ms: u64,
    /// What it leads from was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_ms: Option<u64>,
    /// It saw its first assignment committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_ms: Option<u64>,
}

/// What became of the tasks that a session held when it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// How many they were.
    pub tasks: u64,
    /// How many of them were started elsewhere: claimed for another session.
    pub started: u64,
    /// How many ended instead, or wait for a time or a decision: reported in the last moment, cancelled, or among the dead letters.
    pub ended: u64,
    /// How many were started for how long a wait, as [`rounded`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waits: BTreeMap<u64, u64>,
    /// The first [`MOVED_LISTED_MAX`] that were started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<Started>,
    /// When the last claim was taken back, in milliseconds after the key was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaimed_ms: Option<u64>,
}

/// A task that was started elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Which.
    pub task: TaskId,
    /// Where.
    pub node: Name,
    /// From when its node's key was gone to when the new claim was seen committed, in milliseconds.
    pub wait_ms: u64,
}

/// A leader that tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teller {
    /// Which.
    pub node: Name,
    /// Its term.
    pub term: i64,
    /// Since when it tells, by its clock.
    pub from_ms: u64,
}

/// What is written down about a failover.
#[derive(Clone, Debug)]
pub struct Telling {
    /// The session's create revision, or the term's.
    pub id: i64,
    /// What is known.
    pub record: Box<Failover>,
    /// Mod revision of the record it amends; 0 where there is none.
    pub seen: i64,
    /// Records to forget: they are bounded.
    pub forget: Vec<i64>,
    /// Sessions whose notes of death nobody needs any more.
    pub swept: Vec<i64>,
}

/// A failover as it is on record.
#[derive(Clone, Debug)]
pub struct FailoverSeen {
    /// Its id: the session, or the term.
    pub id: i64,
    /// The record; its create revision says in which order they were begun.
    pub seen: Seen<Failover>,
}

/// A wait as it is kept: to the millisecond below a second, to three digits above.
#[must_use]
pub fn rounded(wait_ms: u64) -> u64 {
    let mut step = 1;
    while wait_ms / step >= 1_000 {
        step *= 10;
    }
    wait_ms / step * step
}

impl Moved {
    /// The wait that so many percent of those started had at most; none where none was.
    #[must_use]
    pub fn wait_ms(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.waits.values().sum();
        let nth = (all * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let mut waits = self.waits.iter();
        waits.find_map(|(wait, tasks)| {
            seen += tasks;
            (seen >= nth).then_some(*wait)
        })
    }

    /// How many may still be started, or were and nobody saw it.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.tasks.saturating_sub(self.started + self.ended)
    }
}

impl Failover {
    /// From the last word over a link to its key being seen gone, in milliseconds by the wall clocks of who noticed and of who leads; none
    /// where no link told, or where nobody saw the key go.
    #[must_use]
    pub fn detection_ms(&self) -> Option<u64> {
        let word = self.last_seen.filter(|seen| seen.sign == Sign::Link)?;
        let watched = self.gone.how == How::Watched;
        watched.then(|| self.gone.at_ms.saturating_sub(word.at_ms))
    }
}

impl Evidence {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Left => "left",
            Self::Lease => "lease",
            Self::Key => "key",
        }
    }
}

impl From<EvidenceKind> for Evidence {
    fn from(evidence: EvidenceKind) -> Self {
        match evidence {
            EvidenceKind::Refused => Self::Refused,
            EvidenceKind::Replaced => Self::Replaced,
            EvidenceKind::Left => Self::Left,
        }
    }
}

impl Store {
    /// What is on record, begun last first, and the revision that is true at; 0 asks for the newest.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn failovers(&self, revision: i64) -> Result<(Vec<FailoverSeen>, i64), LookError> {
        let range = Range::prefix(self.keys().failover_prefix()).at(revision);
        let page = self.connection().range(&range).await?;
        let mut all = Vec::with_capacity(page.kvs.len());
        for kv in &page.kvs {
            if let Some(id) = self.keys().failover_of(&kv.key) {
                let seen = Seen::of(kv)?;
                all.push(FailoverSeen { id, seen });
            }
        }
        all.sort_by_key(|one| std::cmp::Reverse((one.seen.created, one.id)));
        Ok((
            all,
            if revision > 0 {
                revision
            } else {
                page.revision
            },
        ))
    }

    /// One of them.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn failover(&self, id: i64) -> Result<(Option<FailoverSeen>, i64), LookError> {
        let range = Range::key(self.keys().failover(id));
        let page = self.connection().range(&range).await?;
        let seen = page.kvs.first().map(Seen::of).transpose()?;
        Ok((seen.map(|seen| FailoverSeen { id, seen }), page.revision))
    }

    /// Sessions with a note of their death, the oldest first.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn deaths(&self) -> Result<Vec<(i64, Death)>, LookError> {
        let prefix = self.keys().death_prefix();
        let page = self.connection().range(&Range::prefix(prefix)).await?;
        let mut deaths = Vec::with_capacity(page.kvs.len());
        for kv in &page.kvs {
            if let Some(session) = self.keys().death_of(&kv.key) {
                deaths.push((session, decode(&kv.key, &kv.value)?));
            }
        }
        Ok(deaths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_kept_to_three_digits_above_a_second() {
        let table = [
            (0, 0),
            (7, 7),
            (999, 999),
            (1_000, 1_000),
            (12_999, 12_900),
            (59_999, 59_900),
        ];
        for (wait, kept) in table {
            assert_eq!(rounded(wait), kept, "{wait}");
        }
    }

    #[test]
    fn the_median_and_the_longest_wait_are_told_from_what_is_kept() {
        let waits = |pairs: &[(u64, u64)]| Moved {
            waits: pairs.iter().copied().collect(),
            ..Moved::default()
        };
        let table = [
            (waits(&[]), None, None),
            (waits(&[(5, 1)]), Some(5), Some(5)),
            (waits(&[(5, 1), (9, 1)]), Some(5), Some(9)),
            (waits(&[(5, 1), (9, 2), (300, 1)]), Some(9), Some(300)),
        ];
        for (moved, median, longest) in table {
            assert_eq!((moved.wait_ms(50), moved.wait_ms(100)), (median, longest));
        }
    }
}
