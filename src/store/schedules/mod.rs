//! Schedules as they are stored: read one by one, together and in pages, with their ledgers. Which due times are fired is decided by
//! [`crate::task::step`]; the leader sends that.

mod acts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::try_join_all;
use tenure_cluster::{KeyValue, Range};
use tracing::error;

use super::change::{Change, Fire};
use super::commit::Store;
use super::keys::Keys;
use super::locate::LookError;
use super::records::{Corrupt, Next, Outcomes, Seen, decode};
use super::scan::looked;
use crate::task::{Known, Name, Occurrence, PackId, Page, Progress, Schedule, Step, Timing};

pub use acts::{FireError, SCHEDULES_MAX};

/// 32 schedules are read at once, two keys each: etcd takes 128 operations in a transaction.
pub const TOGETHER_MAX: usize = 32;

/// 8 outcomes to one read: each is at most 1.5 MiB, etcd's limit for a request.
const RESULTS_MAX: i64 = 8;

/// A schedule as it is at one revision.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its name.
    pub name: Name,
    /// What it is declared to be. Its create revision tells it from others of its name, its mod revision is its version.
    pub schedule: Seen<Schedule>,
    /// How far it has got.
    pub progress: Seen<Progress>,
    /// The revision.
    pub revision: i64,
}

impl Declared {
    fn of(
        name: Name,
        schedule: &KeyValue,
        progress: &KeyValue,
        revision: i64,
    ) -> Result<Self, Corrupt> {
        Ok(Self {
            name,
            schedule: Seen::of(schedule)?,
            progress: Seen::of(progress)?,
            revision,
        })
    }

    /// Its due times.
    ///
    /// # Errors
    /// [`Corrupt`] where they cannot be told any more: a time zone that this version does not know.
    pub fn timing(&self, keys: &Keys) -> Result<Timing, Corrupt> {
        let timing = self.schedule.value.timing(&self.name);
        timing.map_err(|problem| Corrupt {
            key: keys.schedule(&self.name),
            problem: problem.to_string(),
        })
    }

    /// As it is where this was written at a revision.
    fn written(mut self, revision: i64) -> Self {
        for (created, modified) in [
            (&mut self.schedule.created, &mut self.schedule.modified),
            (&mut self.progress.created, &mut self.progress.modified),
        ] {
            *modified = revision;
            if *created == 0 {
                *created = revision;
            }
        }
        self.revision = revision;
        self
    }

    /// All there is to know of it.
    pub fn known<'a>(
        &'a self,
        timing: &'a Timing,
        ended: &'a BTreeSet<PackId>,
        now_ms: u64,
    ) -> Known<'a> {
        Known {
            name: &self.name,
            incarnation: self.schedule.created,
            schedule: &self.schedule.value,
            timing,
            progress: &self.progress.value,
            ended,
            now_ms,
        }
    }

    /// This step of it, as a change.
    pub fn fire(&self, step: Step) -> Change {
        Change::Fire(Fire {
            schedule: self.name.clone(),
            modified: self.schedule.modified,
            from: self.progress.clone(),
            step: Arc::new(step),
        })
    }
}

/// What is about to be written where there is nothing.
fn unwritten<T>(value: T) -> Seen<T> {
    Seen {
        value,
        created: 0,
        modified: 0,
    }
}

impl Store {
    /// Those of these schedules that are there, [`TOGETHER_MAX`] at most, all at one revision; each of them, or why it cannot be read: one
    /// that is not what it should be must not keep the others waiting.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn schedules(
        &self,
        names: &[Name],
    ) -> Result<Vec<Result<Declared, Corrupt>>, LookError> {
        let keys = self.keys();
        let both = |name: &Name| [keys.schedule(name), keys.progress(name)];
        let wanted: Vec<String> = names.iter().flat_map(both).collect();
        let (found, revision) = self.together(wanted).await?;
        let pairs = names.iter().zip(found.chunks(2));
        let declared = pairs.filter_map(|(name, pair)| match pair {
            [Some(schedule), Some(progress)] => Some((name, schedule, progress)),
            _ => None,
        });
        let declared = declared.map(|(name, schedule, progress)| {
            Declared::of(name.clone(), schedule, progress, revision)
        });
        Ok(declared.collect())
    }

    /// A schedule; none where there is none of this name.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn schedule(&self, name: &Name) -> Result<Option<Declared>, LookError> {
        let names = [name.clone()];
        let found = looked(|| self.schedules(&names)).await?;
        Ok(found.into_iter().next().transpose()?)
    }

    /// Those of these packs, of one task each, that have ended: succeeded, cancelled, dead, or forgotten since.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn ended(&self, open: &[PackId]) -> Result<BTreeSet<PackId>, LookError> {
        let looks = open.iter().map(|pack| async move {
            let ended = self.has_ended(*pack).await?;
            Ok::<_, LookError>(ended.then_some(*pack))
        });
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }

    async fn has_ended(&self, pack: PackId) -> Result<bool, LookError> {
        let prefix = self.keys().results_of(pack);
        let (mut from, end) = (prefix.clone(), Keys::past(&prefix));
        let mut last: Option<(i64, bool)> = None;
        loop {
            let range = Range::between(from, end.clone()).limit(RESULTS_MAX);
            let page = self.connection().range(&range).await?;
            for kv in &page.kvs {
                let outcomes: Outcomes = decode(&kv.key, &kv.value)?;
                let ended = outcomes
                    .of
                    .last()
                    .is_some_and(|attempt| matches!(attempt.next, None | Some(Next::Dead { .. })));
                if last.is_none_or(|(modified, _)| modified < kv.mod_revision) {
                    last = Some((kv.mod_revision, ended));
                }
            }
            match page.kvs.last() {
                Some(kv) if page.more => from = Keys::following(&kv.key),
                Some(_) | None => break,
            }
        }
        if let Some((_, ended)) = last {
            return Ok(ended);
        }
        let there = Range::key(self.keys().pack(pack)).count_only();
        Ok(self.connection().range(&there).await?.count == 0)
    }

    /// Schedules by name after this one, so many at most, at a revision, 0 for the newest; whether there are more, and the revision.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn schedule_page(
        &self,
        after: Option<&Name>,
        limit: usize,
        revision: i64,
    ) -> Result<(Vec<Declared>, bool, i64), LookError> {
        let keys = self.keys();
        let from = after.map_or(keys.schedule_prefix(), |name| {
            Keys::following(&keys.schedule(name))
        });
        let end = Keys::past(&keys.schedule_prefix());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let range = Range::between(from, end).limit(limit).at(revision);
        let page = self.connection().range(&range).await?;
        let revision = if revision == 0 {
            page.revision
        } else {
            revision
        };
        let name = |key: &str| keys.schedule_of(key);
        let (Some(first), Some(last)) = (
            page.kvs.first().and_then(|kv| name(&kv.key)),
            page.kvs.last().and_then(|kv| name(&kv.key)),
        ) else {
            return Ok((Vec::new(), false, revision));
        };
        let end = Keys::following(&keys.progress(&last));
        let range = Range::between(keys.progress(&first), end).at(revision);
        let progress = self.connection().range(&range).await?.kvs;
        let progress: BTreeMap<&str, &KeyValue> =
            progress.iter().map(|kv| (kv.key.as_str(), kv)).collect();
        let declared = page.kvs.iter().filter_map(|kv| {
            let name = name(&kv.key)?;
            let progress = progress.get(keys.progress(&name).as_str())?;
            Declared::of(name, kv, progress, revision)
                .inspect_err(|problem| error!(%problem, "a schedule is not listed"))
                .ok()
        });
        Ok((declared.collect(), page.more, revision))
    }

    /// How many schedules have a next due time, and how many there are.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn count_schedules(&self) -> Result<(u64, u64), LookError> {
        let keys = self.keys();
        let count = async |prefix| {
            let range = Range::prefix(prefix).count_only();
            let count = self.connection().range(&range).await?.count;
            Ok::<_, LookError>(u64::try_from(count).unwrap_or(0))
        };
        let active = count(keys.tick_prefix()).await?;
        Ok((active, count(keys.schedule_prefix()).await?))
    }

    /// The last lines of a schedule's ledger, the latest first, so many at most.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn ledger(
        &self,
        declared: &Declared,
        limit: usize,
    ) -> Result<Vec<Occurrence>, LookError> {
        let progress = &declared.progress.value;
        let mut lines: Vec<Occurrence> = progress.recent.iter().rev().cloned().collect();
        for number in progress.pages().rev() {
            if lines.len() >= limit {
                break;
            }
            let key = self.keys().ledger(&declared.name, number);
            let page = self.connection().range(&Range::key(key)).await?;
            // One that is gone by now was the oldest.
            let Some(kv) = page.kvs.first() else { break };
            let page: Page = decode(&kv.key, &kv.value)?;
            lines.extend(page.lines.into_iter().rev());
        }
        lines.truncate(limit);
        Ok(lines)
    }
}
