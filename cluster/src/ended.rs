//! One life of a key: from its creation at a revision to its deletion, or to the write that makes it another's.
//! Never says that a key lives; only that it does no more.

use std::time::Duration;

use tokio::time::sleep;

use crate::connection::Connection;
use crate::read::{KeyValue, Range, ReadError};
use crate::watch::{Delivery, Event, EventKind, WatchSpec};

/// 500 ms between reads that failed.
const RETRY: Duration = Duration::from_millis(500);

/// A key as it was created. A key deleted and made again has another life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) key: String,
    pub(crate) lease: i64,
    pub(crate) created: i64,
}

impl Life {
    pub(crate) fn of(kv: &KeyValue) -> Self {
        Self {
            key: kv.key.clone(),
            lease: kv.lease,
            created: kv.create_revision,
        }
    }

    fn is(&self, kv: &KeyValue) -> bool {
        kv.lease == self.lease && kv.create_revision == self.created
    }

    fn ends_with(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Delete => true,
            EventKind::Put => !self.is(&event.kv),
        }
    }
}

/// Ends with the life. It was there at revision `seen`; nothing is sent before the first poll.
pub(crate) async fn ended(connection: Connection, life: Life, seen: i64) {
    let mut from = seen + 1;
    loop {
        let mut watch = connection.watch(WatchSpec::key(&life.key).from(from));
        loop {
            match watch.next().await {
                Delivery::Events { events, .. } => {
                    if events.iter().any(|event| life.ends_with(event)) {
                        return;
                    }
                }
                Delivery::Progress { .. } => {}
                Delivery::Compacted { .. } => break,
            }
        }
        from = match read_again(&connection, &life).await {
            Some(revision) => revision + 1,
            None => return,
        };
    }
}

/// After a compaction: the revision at which it still lives, or nothing.
async fn read_again(connection: &Connection, life: &Life) -> Option<i64> {
    loop {
        match connection.range(&Range::key(&life.key)).await {
            Ok(page) => {
                let lives = page.kvs.iter().any(|kv| life.is(kv));
                return lives.then_some(page.revision);
            }
            Err(
                ReadError::Unavailable(_) | ReadError::Definite(_) | ReadError::Compacted { .. },
            ) => sleep(RETRY).await,
        }
    }
}
