//! Who leads, seen from outside: a look, and a stream of changes. Never a fence.

use crate::connection::Connection;
use crate::mirror::Mirror;
use crate::read::{KeyValue, Range, ReadError};

/// Who leads, by what etcd answers now: the key under the prefix that was created first, and the revision.
/// A look, not a fence: it may have changed when you read it.
///
/// # Errors
/// Nobody answered in time, or the read is refused.
pub async fn leader(
    connection: &Connection,
    prefix: &str,
) -> Result<(Option<KeyValue>, i64), ReadError> {
    let page = connection.range(&Range::prefix(prefix)).await?;
    let oldest = page.kvs.into_iter().min_by_key(|kv| kv.create_revision);
    Ok((oldest, page.revision))
}

/// Who leads, as it changes.
pub struct Observer {
    mirror: Mirror,
    told: Option<i64>,
}

/// Who leads from a revision on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// The leader's key, or nobody.
    pub leader: Option<KeyValue>,
    /// The revision at which that is so.
    pub revision: i64,
}

impl Observer {
    /// Follows the election under a prefix.
    pub fn open(connection: &Connection, prefix: &str) -> Self {
        Self {
            mirror: Mirror::new(connection, prefix),
            told: None,
        }
    }

    /// Who leads: first as it is, then at each change, nobody included. Waits as long as it takes; may be
    /// dropped and called again.
    pub async fn next(&mut self) -> Leadership {
        loop {
            self.mirror.step().await;
            let leader = self.mirror.oldest();
            // 0, which no key was created at, is nobody.
            let now = leader.map_or(0, |kv| kv.create_revision);
            if self.told != Some(now) {
                self.told = Some(now);
                return Leadership {
                    leader: leader.cloned(),
                    revision: self.mirror.revision(),
                };
            }
        }
    }
}
