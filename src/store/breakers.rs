//! What nodes tell of their circuit breakers, and resets that users ask for; decides nothing about either.

use serde::{Deserialize, Serialize};
use tenure_cluster::{
    Answer, Branch, Delivery, Event, EventKind, Failure, KeyValue, Outcome, Range, Session, Watch,
    WatchSpec,
};
use tracing::warn;

use super::commit::Store;
use super::locate::LookError;
use super::records::decode;
use super::txns;
use crate::task::Name;

/// 100 breakers that one node tells of: some 40 KiB.
pub const BREAKERS_TOLD_MAX: usize = 100;

/// 60 nodes are sent a reset in one transaction: etcd takes 128 operations in a list.
const RESET_NODES_MAX: usize = 60;

/// A circuit breaker that is not closed. The value of `breaker/<node>` is a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRecord {
    /// The kind of work that it holds back.
    pub kind: Name,
    /// The host with its port, where it holds back only what asks that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How it stands.
    pub state: BreakerState,
    /// Since when, by its node's clock, in milliseconds since 1970.
    pub since_ms: u64,
    /// When the next run that asks is a probe; none where probes run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Failures among the last runs when it opened.
    pub failures: u32,
    /// These runs.
    pub runs: u32,
    /// How the last of them failed.
    pub reason: String,
}

/// How a breaker that is not closed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Its tasks are deferred.
    Open,
    /// Probes run, other tasks are deferred.
    HalfOpen,
}

/// What a user wants closed: the value of `reset/<node>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The kind.
    pub kind: Name,
    /// One host of it; none for all, and the kind's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Why breakers were not reset.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResetError {
    /// The nodes could not be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// It may or may not have been asked of them.
    #[error("outcome unknown: {0}")]
    Unknown(Failure),
    /// It was not.
    #[error("not done: {0}")]
    Unavailable(Failure),
}

/// Resets that a node is sent, one by one.
pub struct Resets {
    store: Store,
    key: String,
    /// The revision of the last one that was handed out.
    seen: i64,
    watch: Watch,
}

impl Store {
    /// Tells which breakers of a node are not closed. Nested, because etcd checks its quota for puts of the outer transaction only:
    /// this must not raise the alarm about space. So it is committed also where the session is over, and writes nothing then.
    pub async fn tell_breakers(
        &self,
        node: &Name,
        session: &Session,
        told: &[BreakerRecord],
    ) -> Outcome {
        let txn = txns::breakers(self.keys(), node, session, told);
        self.connection().commit(&txns::beside(vec![txn])).await
    }

    /// The breakers that are not closed, by node, and the revision that is true at.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn breakers(&self) -> Result<(Vec<(Name, Vec<BreakerRecord>)>, i64), LookError> {
        let prefix = self.keys().breaker_prefix();
        let page = self.connection().range(&Range::prefix(prefix)).await?;
        let mut told = Vec::with_capacity(page.kvs.len());
        for kv in &page.kvs {
            if let Some(node) = self.keys().breaker_node(&kv.key) {
                told.push((node, decode(&kv.key, &kv.value)?));
            }
        }
        Ok((told, page.revision))
    }

    /// Asks live nodes, or one of them, to reset breakers; those that were asked. Asking again is harmless.
    ///
    /// # Errors
    /// [`ResetError`].
    pub async fn reset_breakers(
        &self,
        node: Option<&Name>,
        reset: &Reset,
    ) -> Result<(Vec<Name>, i64), ResetError> {
        let range = match node {
            Some(node) => Range::key(self.keys().node(node)),
            None => Range::prefix(self.keys().node_prefix()),
        };
        let page = self.connection().range(&range).await;
        let page = page.map_err(LookError::from)?;
        let (mut asked, mut revision) = (Vec::new(), page.revision);
        let sessions: Vec<(Name, &KeyValue)> = page
            .kvs
            .iter()
            .filter_map(|kv| Some((self.keys().node_of(&kv.key)?, kv)))
            .collect();
        for some in sessions.chunks(RESET_NODES_MAX) {
            let (held, at) = self.send_resets(some, reset).await?;
            let names = some.iter().zip(held).filter(|(_, held)| *held);
            asked.extend(names.map(|((node, _), _)| node.clone()));
            revision = at;
        }
        Ok((asked, revision))
    }

    /// Which of these sessions live and have it.
    async fn send_resets(
        &self,
        sessions: &[(Name, &KeyValue)],
        reset: &Reset,
    ) -> Result<(Vec<bool>, i64), ResetError> {
        let txn = sessions
            .iter()
            .map(|(node, kv)| {
                let seen = (kv.create_revision, kv.lease);
                txns::reset(self.keys(), node, seen, reset)
            })
            .collect();
        match self.connection().commit(&txns::beside(txn)).await {
            Outcome::Committed(done) => {
                Ok((done.results.iter().map(has_held).collect(), done.revision))
            }
            Outcome::Refused(_) => unreachable!("the outer transaction has no guards"),
            Outcome::Unknown(failure) => Err(ResetError::Unknown(failure)),
            Outcome::Unavailable(failure) => Err(ResetError::Unavailable(failure)),
        }
    }

    /// What a node is asked to reset in this session of its.
    pub fn resets(&self, node: &Name, session: i64) -> Resets {
        let key = self.keys().reset(node);
        let watch = WatchSpec::key(&key).from(session + 1);
        Resets {
            store: self.clone(),
            watch: self.connection().watch(watch),
            seen: session,
            key,
        }
    }
}

impl Resets {
    /// The next ones, each once; of those that etcd compacted away unheard the last. Waits for ever where there are none.
    pub async fn next(&mut self) -> Vec<Reset> {
        loop {
            let kvs: Vec<KeyValue> = match self.watch.next().await {
                Delivery::Events { events, .. } => events.into_iter().filter_map(put).collect(),
                Delivery::Progress { .. } => Vec::new(),
                Delivery::Compacted { .. } => self.anew().await,
            };
            let since = self.seen;
            let fresh = kvs.iter().filter(|kv| kv.mod_revision > since);
            let resets: Vec<Reset> = fresh.filter_map(read).collect();
            let last = kvs.iter().map(|kv| kv.mod_revision).max();
            self.seen = last.unwrap_or(since).max(since);
            if !resets.is_empty() {
                return resets;
            }
        }
    }

    /// The last reset that there was, and those that follow.
    async fn anew(&mut self) -> Vec<KeyValue> {
        let connection = self.store.connection();
        match connection.range(&Range::key(&self.key)).await {
            Ok(page) => {
                let watch = WatchSpec::key(&self.key).from(page.revision + 1);
                self.watch = connection.watch(watch);
                page.kvs
            }
            Err(problem) => {
                // From now on: what was asked for meanwhile has to be asked for again.
                warn!(%problem, "resets of breakers could not be read");
                self.watch = connection.watch(WatchSpec::key(&self.key));
                Vec::new()
            }
        }
    }
}

fn read(kv: &KeyValue) -> Option<Reset> {
    let read = decode(&kv.key, &kv.value);
    read.inspect_err(|problem| warn!(%problem, "a reset that cannot be read"))
        .ok()
}

fn has_held(answer: &Answer) -> bool {
    match answer {
        Answer::Nested(Branch::Held(_)) => true,
        Answer::Nested(Branch::Lost { .. }) | Answer::Put | Answer::Deleted(_) | Answer::Kvs(_) => {
            false
        }
    }
}

fn put(event: Event) -> Option<KeyValue> {
    (event.kind == EventKind::Put).then_some(event.kv)
}
