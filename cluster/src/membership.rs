//! Who is there: the keys under a prefix, joins, changes and leaves, with an explicit snapshot whenever
//! history is gone. Never guesses what happened in between.

use std::collections::VecDeque;

use crate::connection::Connection;
use crate::mirror::{Mirror, Step};
use crate::read::{KeyValue, Range, ReadError};
use crate::watch::{Event, EventKind};

/// Joins and leaves under a prefix.
pub struct Members {
    mirror: Mirror,
    pending: VecDeque<MembershipChange>,
}

/// One change of who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipChange {
    /// Who is there now; first of all, and again where history was compacted. Replaces everything before.
    Snapshot {
        /// In key order.
        members: Vec<KeyValue>,
        /// The revision at which that is so.
        revision: i64,
    },
    /// A key came into being.
    Joined(KeyValue),
    /// A key was written again.
    Updated(KeyValue),
    /// A key went away; as it was last, or only its name where that is compacted.
    Left {
        /// The key as it was.
        last: KeyValue,
        /// The revision of its deletion.
        revision: i64,
    },
}

/// Who is under the prefix, in key order, and the revision at which that is so.
///
/// # Errors
/// Nobody answered in time, or the read is refused.
pub async fn list(
    connection: &Connection,
    prefix: &str,
) -> Result<(Vec<KeyValue>, i64), ReadError> {
    let page = connection.range(&Range::prefix(prefix)).await?;
    Ok((page.kvs, page.revision))
}

impl Members {
    /// Follows a prefix; the first change is a snapshot.
    pub fn open(connection: &Connection, prefix: &str) -> Self {
        Self {
            mirror: Mirror::new(connection, prefix),
            pending: VecDeque::new(),
        }
    }

    /// The next change; waits as long as it takes. May be dropped and called again without losing one.
    pub async fn next(&mut self) -> MembershipChange {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return change;
            }
            match self.mirror.step().await {
                Step::Reset => {
                    let members = self.mirror.kvs().values().cloned().collect();
                    let revision = self.mirror.revision();
                    return MembershipChange::Snapshot { members, revision };
                }
                Step::Events(events) => self.pending.extend(events.into_iter().map(change)),
            }
        }
    }
}

fn change(event: Event) -> MembershipChange {
    match event.kind {
        EventKind::Put if event.kv.version == 1 => MembershipChange::Joined(event.kv),
        EventKind::Put => MembershipChange::Updated(event.kv),
        EventKind::Delete => {
            let revision = event.kv.mod_revision;
            MembershipChange::Left {
                last: event.previous.unwrap_or(event.kv),
                revision,
            }
        }
    }
}
