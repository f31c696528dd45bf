//! Versions of keys by revision: what is there now, what was there then, and what each revision wrote.
//! Knows no requests and no leases.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use etcd_client::proto::PbKeyValue;

use super::error::Error;
use super::record::{Record, Shared};
use super::span::Span;

/// The revision of an empty store; the first write makes 2.
pub(crate) const FIRST_REVISION: i64 = 1;

/// etcd's compacted revision before the first compaction.
const NEVER_COMPACTED: i64 = -1;

/// A key as the maps hold it.
pub(crate) type Key = Arc<[u8]>;

/// Which record: its revision, and which of the revision's writes.
pub(crate) type RecordId = (i64, u32);

/// All versions since the last compaction.
#[derive(Debug)]
pub(crate) struct Store {
    revision: i64,
    compacted: i64,
    /// What is there now.
    live: BTreeMap<Key, Shared>,
    /// Every version kept, oldest first.
    history: BTreeMap<Key, Vec<Shared>>,
    /// What each revision from `log_first` on wrote, in order.
    log: VecDeque<Vec<Shared>>,
    log_first: i64,
    /// What the revision being made has written so far.
    changes: Vec<Shared>,
    bytes: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            revision: FIRST_REVISION,
            compacted: NEVER_COMPACTED,
            live: BTreeMap::new(),
            history: BTreeMap::new(),
            log: VecDeque::new(),
            log_first: FIRST_REVISION + 1,
            changes: Vec::new(),
            bytes: 0,
        }
    }
}

impl Store {
    /// The last revision made.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision that requests see: the one being made, once it has written.
    pub(crate) fn current(&self) -> i64 {
        self.revision + i64::from(!self.changes.is_empty())
    }

    /// The oldest revision that can be read, -1 before the first compaction.
    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Bytes of all versions kept, as reckoned by [`Record::bytes`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key as it is now.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Shared> {
        self.live.get(key)
    }

    /// The key as it was at a revision; none where that is compacted.
    pub(crate) fn get_at(&self, key: &[u8], revision: i64) -> Option<&Shared> {
        if revision < self.compacted {
            return None;
        }
        at(self.history.get(key)?, revision)
    }

    /// The keys of a span in order, at a revision (0 or less: now), at most `limit` of them (0 or less: all),
    /// and how many there are.
    ///
    /// # Errors
    /// The revision is compacted or not there yet.
    pub(crate) fn range(
        &self,
        span: Span<'_>,
        revision: i64,
        limit: i64,
    ) -> Result<(Vec<Shared>, usize), Error> {
        let current = self.current();
        let revision = if revision <= 0 { current } else { revision };
        if revision > current {
            return Err(Error::FutureRevision);
        }
        if revision < self.compacted {
            return Err(Error::Compacted);
        }
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        let limit = limit.unwrap_or(usize::MAX);
        Ok(if revision == current {
            self.range_now(span, limit)
        } else {
            self.range_then(span, revision, limit)
        })
    }

    /// The keys of a span as they are now.
    pub(crate) fn span(&self, span: Span<'_>) -> impl Iterator<Item = &Shared> {
        let bounds = span.bounds();
        let found = bounds.map(|bounds| self.live.range::<[u8], _>(bounds));
        found.into_iter().flatten().map(|(_, record)| record)
    }

    /// Every version kept, by key, the oldest first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Shared> {
        self.history.values().flatten()
    }

    fn range_now(&self, span: Span<'_>, limit: usize) -> (Vec<Shared>, usize) {
        let mut found = self.span(span);
        let kept: Vec<_> = found.by_ref().take(limit).cloned().collect();
        let count = kept.len() + found.count();
        (kept, count)
    }

    fn range_then(&self, span: Span<'_>, revision: i64, limit: usize) -> (Vec<Shared>, usize) {
        let Some(bounds) = span.bounds() else {
            return (Vec::new(), 0);
        };
        let mut found = self
            .history
            .range::<[u8], _>(bounds)
            .filter_map(|(_, versions)| at(versions, revision));
        let kept: Vec<_> = found.by_ref().take(limit).cloned().collect();
        let count = kept.len() + found.count();
        (kept, count)
    }

    /// Writes a key in the revision being made.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>, lease: i64) {
        let revision = self.revision + 1;
        let (create_revision, version) = match self.live.get(key.as_slice()) {
            Some(before) => (before.kv.create_revision, before.kv.version + 1),
            None => (revision, 1),
        };
        let kv = PbKeyValue {
            key,
            create_revision,
            mod_revision: revision,
            version,
            value,
            lease,
        };
        let sub = self.next_sub();
        self.write(Arc::new(Record { kv, sub }));
    }

    /// Deletes a key in the revision being made; whoever calls has seen that it is there.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        let tombstone = Record::tombstone(key, self.revision + 1, self.next_sub());
        self.write(Arc::new(tombstone));
    }

    fn next_sub(&self) -> u32 {
        u32::try_from(self.changes.len()).expect("a request of 2 MiB writes fewer than 2^32 keys")
    }

    fn write(&mut self, record: Shared) {
        self.changes.push(Arc::clone(&record));
        self.index(record);
    }

    fn index(&mut self, record: Shared) {
        self.bytes += record.bytes();
        let key: Key = match self.live.get_key_value(record.kv.key.as_slice()) {
            Some((key, _)) => Arc::clone(key),
            None => record.kv.key.as_slice().into(),
        };
        if record.deleted() {
            self.live.remove(&key);
        } else {
            self.live.insert(Arc::clone(&key), Arc::clone(&record));
        }
        self.history.entry(key).or_default().push(record);
    }

    /// Ends the revision being made; without a write there is none. Returns what it wrote.
    pub(crate) fn commit(&mut self) -> &[Shared] {
        if self.changes.is_empty() {
            return &[];
        }
        self.revision += 1;
        self.log.push_back(std::mem::take(&mut self.changes));
        self.log.back().expect("pushed above")
    }

    /// What a revision wrote, in order; nothing where it is compacted or not there yet.
    pub(crate) fn log(&self, revision: i64) -> &[Shared] {
        let index = usize::try_from(revision - self.log_first).ok();
        index
            .and_then(|index| self.log.get(index))
            .map_or(&[], Vec::as_slice)
    }

    /// Drops what no read at this revision or later needs. Returns what it dropped.
    ///
    /// # Errors
    /// Already compacted there, or not there yet.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<Vec<RecordId>, Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        let mut dropped = Vec::new();
        while self.log_first <= revision {
            let Some(written) = self.log.front() else {
                break;
            };
            for record in written.clone() {
                self.forget_before(&record.kv.key, revision, &mut dropped);
            }
            if self.log_first == revision {
                break;
            }
            self.log.pop_front();
            self.log_first += 1;
        }
        Ok(dropped)
    }

    /// Drops the versions of a key that were over before the revision. What the revision itself wrote
    /// stays, deletes too: it can still be watched.
    fn forget_before(&mut self, key: &[u8], revision: i64, dropped: &mut Vec<RecordId>) {
        let Some(versions) = self.history.get_mut(key) else {
            return;
        };
        let upto = versions.partition_point(|record| record.kv.mod_revision <= revision);
        let mut index = 0;
        let mut freed = 0;
        versions.retain(|record| {
            index += 1;
            let stays = record.kv.mod_revision >= revision || (index == upto && !record.deleted());
            if !stays {
                freed += record.bytes();
                dropped.push((record.kv.mod_revision, record.sub));
            }
            stays
        });
        self.bytes -= freed;
        if versions.is_empty() {
            self.history.remove(key);
        }
    }

    /// Rebuilds a store from its records in order. Returns it with what a compaction had left to drop.
    pub(crate) fn rebuild(
        records: impl IntoIterator<Item = Record>,
        revision: i64,
        compacted: i64,
    ) -> (Self, Vec<RecordId>) {
        let mut store = Self {
            revision,
            compacted,
            log_first: compacted.max(FIRST_REVISION + 1),
            ..Self::default()
        };
        let revisions = usize::try_from(revision + 1 - store.log_first).unwrap_or(0);
        store.log.resize_with(revisions, Vec::new);
        for record in records {
            let record = Arc::new(record);
            let index = usize::try_from(record.kv.mod_revision - store.log_first);
            if let Some(written) = index.ok().and_then(|index| store.log.get_mut(index)) {
                written.push(Arc::clone(&record));
            }
            store.index(record);
        }
        let mut dropped = Vec::new();
        let keys: Vec<_> = store.history.keys().cloned().collect();
        for key in keys {
            store.forget_before(&key, compacted, &mut dropped);
        }
        (store, dropped)
    }

    /// The keys there are now, in order.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Shared> {
        self.live.values()
    }
}

fn at(versions: &[Shared], revision: i64) -> Option<&Shared> {
    let upto = versions.partition_point(|record| record.kv.mod_revision <= revision);
    versions[..upto].last().filter(|record| !record.deleted())
}
