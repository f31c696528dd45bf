//! Lists of tasks by state, page by page at one revision; each page is bounded, and so is what is read for it.

use std::str::FromStr;

use futures::stream::{self, StreamExt, TryStreamExt};
use tenure_cluster::{KeyValue, Range};

use super::claims::Claims;
use super::commit::Store;
use super::keys::{Keys, Live};
use super::locate::{Found, LookError};
use super::records::{Outcomes, Record, Run, decode};
use super::scan::looked;
use crate::task::{Name, Outcome, Pack, PackId, State, Which, hex};

/// 256 keys to one read of a list.
const READ_KEYS: i64 = 256;

/// 32 reads to one page: a filter that nothing matches ends the page early, with a cursor to go on from.
const READS_MAX: usize = 32;

/// 16 packs are looked up at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// Which tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this state; none: any.
    pub state: Option<State>,
    /// In this queue.
    pub queue: Option<Name>,
    /// Of this kind.
    pub kind: Option<Name>,
}

/// Where a page ended: the revision all pages are read at, the key and the task's index within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The revision.
    pub revision: i64,
    key: String,
    index: u16,
}

/// A cursor that is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct CursorError;

/// One page.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The tasks, in key order: by age, and for pending ones by lane and priority first.
    pub tasks: Vec<Found>,
    /// Where to go on; none at the end.
    pub next: Option<Cursor>,
    /// The revision it is true at.
    pub revision: i64,
}

impl Store {
    /// One page of at most `limit` tasks. A cursor whose revision was compacted away is
    /// [`tenure_cluster::ReadError::Compacted`]: begin anew.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn list(
        &self,
        filter: &Filter,
        from: Option<Cursor>,
        limit: usize,
    ) -> Result<Listing, LookError> {
        if from.is_some() {
            return self.page(filter, from, limit).await;
        }
        looked(|| self.page(filter, None, limit)).await
    }

    async fn page(
        &self,
        filter: &Filter,
        from: Option<Cursor>,
        limit: usize,
    ) -> Result<Listing, LookError> {
        let (start, end) = range(self.keys(), filter);
        let pinned = from.as_ref().map_or(0, |cursor| cursor.revision);
        let mut at = from.map_or((start, 0), |cursor| (cursor.key, cursor.index));
        let (mut revision, mut hits, mut next) = (pinned, Vec::new(), None);
        for read in 0..READS_MAX {
            let page = Range::between(at.0.clone(), end.clone()).limit(READ_KEYS);
            let page = if revision == 0 {
                page
            } else {
                page.at(revision)
            };
            let page = self.connection().range(&page).await?;
            revision = if revision == 0 {
                page.revision
            } else {
                revision
            };
            next = gather(self.keys(), filter, &page.kvs, &mut at, (limit, &mut hits))?;
            if next.is_some() || !page.more {
                break;
            }
            at.0.push('\0');
            next = (read + 1 == READS_MAX).then(|| at.clone());
        }
        let tasks = self.looked_up(hits, filter, revision).await?;
        let next = next.map(|(key, index)| Cursor {
            revision,
            key,
            index,
        });
        Ok(Listing {
            tasks,
            next,
            revision,
        })
    }

    async fn looked_up(
        &self,
        hits: Vec<(PackId, Which)>,
        filter: &Filter,
        revision: i64,
    ) -> Result<Vec<Found>, LookError> {
        // Shared, so that a page of running tasks reads what the nodes hold once and not once for each pack.
        let claims = Claims::at(self, revision);
        let lookups = hits
            .into_iter()
            .map(|(pack, which)| self.pack_tasks_among(pack, which, &claims));
        let found: Vec<Vec<Found>> = stream::iter(lookups)
            .buffered(LOOKUPS_AT_ONCE)
            .try_collect()
            .await?;
        let wanted = |task: &Found| {
            let routing = &task.pack.routing;
            filter.state.is_none_or(|state| state == task.state)
                && filter
                    .queue
                    .as_ref()
                    .is_none_or(|queue| *queue == routing.queue)
                && filter
                    .kind
                    .as_ref()
                    .is_none_or(|kind| *kind == routing.kind)
        };
        Ok(found.into_iter().flatten().filter(wanted).collect())
    }
}

/// The keys that tell of tasks in this state.
fn range(keys: &Keys, filter: &Filter) -> (String, String) {
    let prefix = match (filter.state, &filter.queue, &filter.kind) {
        (Some(State::Pending), Some(queue), Some(kind)) => keys.ready_kind(queue, kind),
        (Some(State::Pending), Some(queue), None) => keys.ready_queue(queue),
        (Some(State::Pending), None, _) => keys.ready_prefix(),
        (Some(State::Scheduled), _, _) => keys.due_prefix(),
        (Some(State::Running), _, _) => keys.runs(),
        (Some(State::Dead), Some(queue), _) => keys.dead_of(queue),
        (Some(State::Dead), None, _) => keys.dead_prefix(),
        (Some(State::Succeeded | State::Cancelled), _, _) => keys.result_prefix(),
        (None, _, _) => keys.pack_prefix(),
    };
    let end = Keys::past(&prefix);
    (prefix, end)
}

/// Collects the tasks that keys tell of; where to go on when the page is full.
fn gather(
    keys: &Keys,
    filter: &Filter,
    kvs: &[KeyValue],
    at: &mut (String, u16),
    (limit, hits): (usize, &mut Vec<(PackId, Which)>),
) -> Result<Option<(String, u16)>, LookError> {
    let mut count: usize = hits.iter().map(|(_, which)| which.len()).sum();
    for kv in kvs {
        let Some((pack, which)) = told(keys, filter, kv)? else {
            *at = (kv.key.clone(), 0);
            continue;
        };
        let from = if kv.key == at.0 { at.1 } else { 0 };
        let rest: Which = which
            .iter()
            .filter(|index| u16::from(*index) >= from)
            .collect();
        let fits = rest.take(limit - count);
        count += fits.len();
        if !fits.is_empty() {
            hits.push((pack, fits));
        }
        *at = (kv.key.clone(), 0);
        if let Some(index) = rest.minus(fits).iter().next() {
            return Ok(Some((kv.key.clone(), u16::from(index))));
        }
    }
    Ok(None)
}

/// The tasks that one key tells of, before they are looked up.
fn told(keys: &Keys, filter: &Filter, kv: &KeyValue) -> Result<Option<(PackId, Which)>, LookError> {
    let Some(state) = filter.state else {
        let pack: Pack = decode(&kv.key, &kv.value)?;
        return Ok(keys.pack_of(&kv.key).map(|id| (id, pack.which())));
    };
    Ok(match state {
        State::Pending | State::Scheduled | State::Dead => {
            let id = match keys.live(&kv.key) {
                Some(Live::Ready(_, id) | Live::Due(_, id)) => Some(id),
                Some(_) => None,
                None => keys.dead_record(&kv.key).map(|(_, id)| id),
            };
            let record: Record = decode(&kv.key, &kv.value)?;
            id.map(|id| (id.pack, record.which))
        }
        State::Running => {
            let run: Run = decode(&kv.key, &kv.value)?;
            Some((run.pack, run.which))
        }
        State::Succeeded | State::Cancelled => {
            let Some((pack, _, _)) = keys.result_of(&kv.key) else {
                return Ok(None);
            };
            let outcomes: Outcomes = decode(&kv.key, &kv.value)?;
            let outcome = if state == State::Succeeded {
                Outcome::Succeeded
            } else {
                Outcome::Cancelled
            };
            let ended = outcomes
                .of
                .iter()
                .filter(|attempt| attempt.outcome == outcome);
            Some((
                pack,
                ended.fold(Which::NONE, |all, attempt| all.or(attempt.which)),
            ))
        }
    })
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = hex(self.key.as_bytes());
        write!(f, "{}.{}.{key}", self.revision, self.index)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(CursorError);
        let revision = part()?.parse().map_err(|_| CursorError)?;
        let index = part()?.parse().map_err(|_| CursorError)?;
        let hex = part()?;
        let bytes: Option<Vec<u8>> = (0..hex.len())
            .step_by(2)
            .map(|i| {
                hex.get(i..i + 2)
                    .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            })
            .collect();
        let key = bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(CursorError)?;
        Ok(Self {
            revision,
            key,
            index,
        })
    }
}

impl Cursor {
    /// Whether it lies in the list of this filter; a cursor of another list is refused rather than followed.
    pub fn fits(&self, keys: &Keys, filter: &Filter) -> bool {
        let (start, end) = range(keys, filter);
        self.revision > 0 && self.key >= start && self.key < end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_foreign_ones_are_refused() {
        let keys = Keys::new(&"c".parse().unwrap());
        let filter = Filter {
            state: Some(State::Dead),
            ..Filter::default()
        };
        let cursor = Cursor {
            revision: 7,
            key: format!("{}q/x", keys.dead_prefix()),
            index: 3,
        };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        assert!(cursor.fits(&keys, &filter));
        assert!(!cursor.fits(&keys, &Filter::default()));
        for bad in ["", "1", "1.2", "x.1.00", "1.2.0", "1.2.zz", "1.2.ff"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?} was taken");
        }
    }
}
