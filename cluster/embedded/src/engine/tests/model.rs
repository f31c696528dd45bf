//! What etcd is, without any thought of speed: one map for each revision.

use std::collections::BTreeMap;

use etcd_client::proto::PbKeyValue;

/// A key, and its value and lease; none for a delete.
pub(super) type Write = (Vec<u8>, Option<(Vec<u8>, i64)>);

/// All revisions from 1 on.
pub(super) struct Model {
    revisions: Vec<BTreeMap<Vec<u8>, PbKeyValue>>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            revisions: vec![BTreeMap::new()],
        }
    }

    pub(super) fn revision(&self) -> i64 {
        i64::try_from(self.revisions.len()).unwrap()
    }

    pub(super) fn at(&self, revision: i64) -> &BTreeMap<Vec<u8>, PbKeyValue> {
        &self.revisions[usize::try_from(revision).unwrap() - 1]
    }

    pub(super) fn now(&self) -> &BTreeMap<Vec<u8>, PbKeyValue> {
        self.at(self.revision())
    }

    /// The keys a request means, written out: one, those between, or from one on.
    pub(super) fn within(&self, revision: i64, key: &[u8], end: &[u8]) -> Vec<PbKeyValue> {
        let meant = |found: &[u8]| match end {
            [] => found == key,
            [0] => found >= key,
            end => found >= key && found < end,
        };
        let found = self.at(revision).values().filter(|kv| meant(&kv.key));
        found.cloned().collect()
    }

    /// Makes a revision of these writes, a value or a delete each; none where nothing is written.
    pub(super) fn write(&mut self, writes: &[Write]) {
        let next = self.revision() + 1;
        let mut keys = self.now().clone();
        for (key, write) in writes {
            let Some((value, lease)) = write else {
                keys.remove(key);
                continue;
            };
            let before = keys.get(key).cloned();
            let kv = PbKeyValue {
                key: key.clone(),
                value: value.clone(),
                lease: *lease,
                create_revision: before.as_ref().map_or(next, |kv| kv.create_revision),
                version: before.map_or(0, |kv| kv.version) + 1,
                mod_revision: next,
            };
            keys.insert(key.clone(), kv);
        }
        if !writes.is_empty() {
            self.revisions.push(keys);
        }
    }

    /// What a revision did: keys put, and keys gone.
    pub(super) fn changes(&self, revision: i64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let (before, after) = (self.at(revision - 1), self.at(revision));
        let gone = before.keys().filter(|key| !after.contains_key(*key));
        let put = after.values().filter(|kv| kv.mod_revision == revision);
        let put = put.map(|kv| (kv.key.clone(), Some(kv.value.clone())));
        let mut changes: Vec<_> = gone.map(|key| (key.clone(), None)).chain(put).collect();
        changes.sort();
        changes
    }
}
