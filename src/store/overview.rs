//! What the cluster looks like: nodes, queues and counts, each answer at one revision; reads only.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tenure_cluster::{KeyValue, Range, ReadError};

use super::commit::Store;
use super::keys::{Lane, Live};
use super::leaders::Leader;
use super::locate::LookError;
use super::records::{Drain, NodeRecord, Record, Seen, decode};
use super::rules::QueueRules;
use super::scan::looked;
use crate::task::{Name, Routing, Which};

/// 1,000 records are read to count the tasks of a lane; beyond, the rest is estimated from them.
pub const COUNTED_RECORDS_MAX: i64 = 1_000;

/// 16 lanes are counted at once.
const LANES_AT_ONCE: usize = 16;

/// A node and what it holds.
#[derive(Clone, Debug)]
pub struct NodeSeen {
    /// Its name.
    pub id: Name,
    /// What it says of itself; its create revision is the session.
    pub seen: Seen<NodeRecord>,
    /// Tasks claimed for it.
    pub tasks: usize,
    /// Since when and why it is drained; none where it takes work.
    pub drain: Option<Drain>,
}

/// The nodes at one revision.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// The live ones.
    pub live: Vec<NodeSeen>,
    /// Names that are drained and that no live node has.
    pub away: Vec<(Name, Drain)>,
    /// Who leads.
    pub leader: Option<Leader>,
    /// The revision.
    pub revision: i64,
}

/// How many tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Tasks.
    pub tasks: u64,
    /// Whether only the first [`COUNTED_RECORDS_MAX`] records were read and the rest was estimated from them.
    pub estimated: bool,
}

/// A queue as it is seen by what waits in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSeen {
    /// The kinds it has had work of.
    pub kinds: Vec<Name>,
    /// Ready tasks.
    pub pending: Count,
    /// Scheduled tasks.
    pub scheduled: Count,
    /// Tasks claimed for nodes.
    pub running: Count,
    /// Dead letters.
    pub dead: Count,
    /// Since when the oldest ready record waits, in milliseconds since 1970, among the records read.
    pub oldest_pending_ms: Option<u64>,
    /// Its rules, where it has some and they were asked for.
    pub rules: Option<QueueRules>,
}

/// The cluster at one revision.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The live nodes.
    pub nodes: Vec<NodeSeen>,
    /// Who leads.
    pub leader: Option<Leader>,
    /// All queues that have had work, by name.
    pub queues: BTreeMap<Name, QueueSeen>,
    /// The revision.
    pub revision: i64,
}

/// How many tasks are claimed.
#[derive(Default)]
struct Claimed {
    by_node: BTreeMap<Name, usize>,
    by_queue: BTreeMap<Name, u64>,
}

/// What of a claim's record is counted.
#[derive(serde::Deserialize)]
struct Head {
    routing: Routing,
    which: Which,
}

impl Store {
    /// The live nodes and how many tasks each holds.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn nodes(&self) -> Result<(Vec<NodeSeen>, i64), LookError> {
        looked(|| async {
            let revision = self.revision().await?;
            let claimed = self.claimed(revision).await?;
            Ok((self.nodes_at(revision, &claimed).await?.0, revision))
        })
        .await
    }

    /// The same, who leads, and which names are drained that no live node has.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn nodes_led(&self) -> Result<Nodes, LookError> {
        looked(|| async {
            let revision = self.revision().await?;
            let claimed = self.claimed(revision).await?;
            let (live, away) = self.nodes_at(revision, &claimed).await?;
            Ok(Nodes {
                live,
                away,
                leader: self.leader_at(revision).await?,
                revision,
            })
        })
        .await
    }

    /// All queues that have had work or have rules, by name.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn queues(&self) -> Result<(BTreeMap<Name, QueueSeen>, i64), LookError> {
        looked(|| async {
            let revision = self.revision().await?;
            let claimed = self.claimed(revision).await?;
            let mut queues = self.queues_at(revision, &claimed).await?;
            for kv in self.whole(&self.keys().queue_prefix(), revision).await? {
                if let Some(Live::Queue(name)) = self.keys().live(&kv.key) {
                    queues.entry(name).or_default().rules = Some(decode(&kv.key, &kv.value)?);
                }
            }
            Ok((queues, revision))
        })
        .await
    }

    /// All of this.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn overview(&self) -> Result<Overview, LookError> {
        looked(|| async {
            let revision = self.revision().await?;
            let claimed = self.claimed(revision).await?;
            Ok(Overview {
                nodes: self.nodes_at(revision, &claimed).await?.0,
                leader: self.leader_at(revision).await?,
                queues: self.queues_at(revision, &claimed).await?,
                revision,
            })
        })
        .await
    }

    /// The live nodes, and the drains of names that none of them has.
    async fn nodes_at(
        &self,
        revision: i64,
        claimed: &Claimed,
    ) -> Result<(Vec<NodeSeen>, Vec<(Name, Drain)>), LookError> {
        let (mut nodes, mut drains) = (Vec::new(), BTreeMap::new());
        for kv in self.whole(&self.keys().drain_prefix(), revision).await? {
            if let Some(Live::Drain(id)) = self.keys().live(&kv.key) {
                drains.insert(id, decode(&kv.key, &kv.value)?);
            }
        }
        for kv in self.whole(&self.keys().node_prefix(), revision).await? {
            let Some(Live::Node(id)) = self.keys().live(&kv.key) else {
                continue;
            };
            nodes.push(NodeSeen {
                tasks: claimed.by_node.get(&id).copied().unwrap_or(0),
                drain: drains.remove(&id),
                seen: Seen::of(&kv)?,
                id,
            });
        }
        Ok((nodes, drains.into_iter().collect()))
    }

    async fn queues_at(
        &self,
        revision: i64,
        claimed: &Claimed,
    ) -> Result<BTreeMap<Name, QueueSeen>, LookError> {
        let keys = self.keys();
        let mut lanes = self.whole(&keys.lane_prefix(), revision).await?;
        lanes.extend(self.whole(&keys.passing_prefix(), revision).await?);
        let lanes = lanes.iter().filter_map(|kv| match keys.live(&kv.key) {
            Some(Live::Lane(lane)) => Some(lane),
            Some(
                Live::Node(_)
                | Live::Drain(_)
                | Live::Ready(..)
                | Live::Due(..)
                | Live::Run(..)
                | Live::Stop(..)
                | Live::Semaphore(_)
                | Live::Queue(_)
                | Live::Rules
                | Live::Tick(..)
                | Live::Want(..)
                | Live::Hold(..)
                | Live::Death(_),
            )
            | None => None,
        });
        let reads = lanes.map(|lane| async move {
            let (pending, oldest) = self.pending(&lane, revision).await?;
            Ok::<_, LookError>((lane, pending, oldest))
        });
        let reads: Vec<_> = reads.collect();
        let seen: Vec<_> = stream::iter(reads)
            .buffered(LANES_AT_ONCE)
            .try_collect()
            .await?;
        let mut queues: BTreeMap<Name, QueueSeen> = BTreeMap::new();
        for (lane, pending, oldest) in seen {
            let queue = queues.entry(lane.queue).or_default();
            if !queue.kinds.contains(&lane.kind) {
                queue.kinds.push(lane.kind);
            }
            queue.pending.add(pending);
            queue.oldest_pending_ms = queue.oldest_pending_ms.into_iter().chain(oldest).min();
        }
        for (name, tasks) in &claimed.by_queue {
            let queue = queues.entry(name.clone()).or_default();
            queue.running.add(Count {
                tasks: *tasks,
                estimated: false,
            });
        }
        for (name, count) in self.waiting_by_queue(&keys.due_prefix(), revision).await? {
            queues.entry(name).or_default().scheduled.add(count);
        }
        for (name, count) in self.waiting_by_queue(&keys.dead_prefix(), revision).await? {
            queues.entry(name).or_default().dead.add(count);
        }
        Ok(queues)
    }

    /// The ready tasks of a lane, and since when the oldest of those read waits.
    pub(super) async fn pending(
        &self,
        lane: &Lane,
        revision: i64,
    ) -> Result<(Count, Option<u64>), LookError> {
        let range = Range::prefix(self.keys().ready_lane(lane))
            .limit(COUNTED_RECORDS_MAX)
            .at(revision);
        let page = self.connection().range(&range).await?;
        let records = decoded(&page.kvs)?;
        let oldest = records.iter().map(|record| record.since_ms).min();
        let tasks = records.iter().map(|record| record.which.len() as u64).sum();
        Ok((Count::of(tasks, records.len(), page.count), oldest))
    }

    async fn waiting_by_queue(
        &self,
        prefix: &str,
        revision: i64,
    ) -> Result<BTreeMap<Name, Count>, LookError> {
        let range = Range::prefix(prefix)
            .limit(COUNTED_RECORDS_MAX)
            .at(revision);
        let page = self.connection().range(&range).await?;
        let records = decoded(&page.kvs)?;
        let read = records.len();
        let mut queues: BTreeMap<Name, u64> = BTreeMap::new();
        for record in records {
            *queues.entry(record.routing.queue).or_default() += record.which.len() as u64;
        }
        Ok(queues
            .into_iter()
            .map(|(name, tasks)| (name, Count::of(tasks, read, page.count)))
            .collect())
    }

    /// Counts what the nodes hold, in one pass over the claims.
    async fn claimed(&self, revision: i64) -> Result<Claimed, LookError> {
        let mut claimed = Claimed::default();
        let count = |kv: KeyValue| {
            if let Some(Live::Run(node, _)) = self.keys().live(&kv.key) {
                let head: Head = decode(&kv.key, &kv.value)?;
                let tasks = head.which.len();
                *claimed.by_node.entry(node).or_default() += tasks;
                *claimed.by_queue.entry(head.routing.queue).or_default() += tasks as u64;
            }
            Ok(())
        };
        self.each(&self.keys().runs(), revision, count).await?;
        Ok(claimed)
    }
}

impl Count {
    /// From what was read: so many tasks in so many records, of so many records there are.
    pub(super) fn of(tasks: u64, read: usize, records: i64) -> Self {
        let (read, records) = (read as u64, u64::try_from(records).unwrap_or(0));
        if records <= read {
            return Self {
                tasks,
                estimated: false,
            };
        }
        Self {
            tasks: tasks * records / read.max(1),
            estimated: true,
        }
    }

    pub(super) fn add(&mut self, more: Self) {
        self.tasks += more.tasks;
        self.estimated |= more.estimated;
    }
}

pub(super) fn decoded(kvs: &[KeyValue]) -> Result<Vec<Record>, LookError> {
    Ok(kvs
        .iter()
        .map(|kv| decode(&kv.key, &kv.value))
        .collect::<Result<_, _>>()?)
}

impl LookError {
    /// So that a compacted read can be told apart: whether the revision asked for is gone.
    pub fn is_compacted(&self) -> bool {
        matches!(self, Self::Read(ReadError::Compacted { .. }))
    }
}
