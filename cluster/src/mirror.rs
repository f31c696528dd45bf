//! What is under a prefix, kept up to date by a watch and read again where history is gone.
//! Never says anything about a revision it has not reached.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use crate::connection::Connection;
use crate::read::{KeyValue, Range};
use crate::watch::{Delivery, Event, EventKind, Watch, WatchSpec};

/// 200 ms between reads that failed.
const RETRY: Duration = Duration::from_millis(200);

/// The keys under a prefix at one revision.
pub(crate) struct Mirror {
    connection: Connection,
    prefix: String,
    kvs: BTreeMap<String, KeyValue>,
    revision: i64,
    watch: Option<Watch>,
}

/// What changed.
pub(crate) enum Step {
    /// Everything was read anew; what happened in between is not known.
    Reset,
    /// These happened since, in order.
    Events(Vec<Event>),
}

impl Mirror {
    pub(crate) fn new(connection: &Connection, prefix: &str) -> Self {
        Self {
            connection: connection.clone(),
            prefix: prefix.to_owned(),
            kvs: BTreeMap::new(),
            revision: 0,
            watch: None,
        }
    }

    /// The keys by name.
    pub(crate) fn kvs(&self) -> &BTreeMap<String, KeyValue> {
        &self.kvs
    }

    /// The key that has been there longest.
    pub(crate) fn oldest(&self) -> Option<&KeyValue> {
        self.kvs
            .values()
            .min_by_key(|kv| (kv.create_revision, &kv.key))
    }

    /// The revision of what it shows.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Forgets everything, so that the next step reads anew.
    pub(crate) fn reset(&mut self) {
        self.watch = None;
    }

    /// Waits for the next change, as long as it takes. May be dropped and called again.
    pub(crate) async fn step(&mut self) -> Step {
        loop {
            let Some(watch) = &mut self.watch else {
                self.read().await;
                return Step::Reset;
            };
            match watch.next().await {
                Delivery::Events { revision, events } => {
                    self.revision = revision;
                    self.apply(&events);
                    return Step::Events(events);
                }
                Delivery::Progress { revision } => self.revision = revision,
                Delivery::Compacted { .. } => self.watch = None,
            }
        }
    }

    async fn read(&mut self) {
        loop {
            match self.connection.range(&Range::prefix(&self.prefix)).await {
                Ok(page) => {
                    self.kvs = page
                        .kvs
                        .into_iter()
                        .map(|kv| (kv.key.clone(), kv))
                        .collect();
                    self.revision = page.revision;
                    let spec = WatchSpec::prefix(&self.prefix)
                        .from(page.revision + 1)
                        .with_previous();
                    self.watch = Some(self.connection.watch(spec));
                    return;
                }
                Err(error) => {
                    tracing::warn!(prefix = %self.prefix, %error, "reading failed, trying again");
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn apply(&mut self, events: &[Event]) {
        for event in events {
            match event.kind {
                EventKind::Put => {
                    self.kvs.insert(event.kv.key.clone(), event.kv.clone());
                }
                EventKind::Delete => {
                    self.kvs.remove(&event.kv.key);
                }
            }
        }
    }
}
