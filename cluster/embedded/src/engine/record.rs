//! One version of one key: what history is made of.

use std::sync::Arc;

use etcd_client::proto::PbKeyValue;

/// 64 bytes, what a version is reckoned to need besides its key and value.
const OVERHEAD_BYTES: usize = 64;

/// A key as a put left it, or the mark that a delete left.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// For a delete only the key and the revision that deleted it.
    pub(crate) kv: PbKeyValue,
    /// Which of its revision's writes it is, from 0.
    pub(crate) sub: u32,
}

/// Records are shared by the index, the log and the watches.
pub(crate) type Shared = Arc<Record>;

impl Record {
    /// The mark of a delete.
    pub(crate) fn tombstone(key: Vec<u8>, revision: i64, sub: u32) -> Self {
        Self {
            kv: PbKeyValue {
                key,
                mod_revision: revision,
                ..PbKeyValue::default()
            },
            sub,
        }
    }

    /// Whether it is the mark of a delete: what was put has a version of at least 1.
    pub(crate) fn deleted(&self) -> bool {
        self.kv.version == 0
    }

    /// Whether this put made the key.
    pub(crate) fn created(&self) -> bool {
        !self.deleted() && self.kv.create_revision == self.kv.mod_revision
    }

    /// Bytes it is reckoned to need.
    pub(crate) fn bytes(&self) -> usize {
        self.kv.key.len() + self.kv.value.len() + OVERHEAD_BYTES
    }
}
