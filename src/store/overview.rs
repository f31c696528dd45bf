//! What the cluster looks like: nodes, leader, leadership history, queues and counts; reads only, each at one revision.

use std::collections::BTreeMap;

use tenure_cluster::{Failure, KeyValue, Outcome, Range, ReadError};

use super::change::Term;
use super::commit::Store;
use super::keys::{Lane, Live};
use super::locate::LookError;
use super::records::{EndedBy, NodeRecord, Record, Run, Seen, TermRecord, decode};
use super::txns;
use crate::task::Name;

/// 1,000 records are read to count the tasks of a lane; beyond, the rest is estimated from them.
pub const COUNTED_RECORDS_MAX: i64 = 1_000;

/// 100 terms of leadership are kept.
pub const TERMS_MAX: usize = 100;

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The term: create revision of the election key.
    pub term: i64,
    /// The election key.
    pub key: String,
    /// Its record in the history; none for the moment between winning and writing it.
    pub record: Option<TermRecord>,
    /// What the candidate said of itself.
    pub candidate: Candidacy,
}

/// The value of an election key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Candidacy {
    /// The node.
    pub node: Name,
    /// Where its API answers.
    pub address: String,
}

/// A node and what it holds.
#[derive(Clone, Debug)]
pub struct NodeSeen {
    /// Its name.
    pub id: Name,
    /// What it says of itself; its create revision is the session.
    pub seen: Seen<NodeRecord>,
    /// Tasks claimed for it.
    pub tasks: usize,
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
}

/// Why a leader was not dismissed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DismissError {
    /// It may or may not have been.
    #[error("outcome unknown: {0}")]
    Unknown(Failure),
    /// It was not.
    #[error("not done: {0}")]
    Unavailable(Failure),
}

impl Store {
    /// Who leads now; none where nobody does.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn leader(&self) -> Result<(Option<Leader>, i64), LookError> {
        let prefix = self.keys().elect_prefix();
        let (lowest, revision) = tenure_cluster::leader(self.connection(), &prefix).await?;
        Ok((self.elected(lowest, revision).await?, revision))
    }

    /// Who led at this revision.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn leader_at(&self, revision: i64) -> Result<Option<Leader>, LookError> {
        let candidates = Range::prefix(self.keys().elect_prefix()).at(revision);
        let candidates = self.connection().range(&candidates).await?.kvs;
        let lowest = candidates.into_iter().min_by_key(|kv| kv.create_revision);
        self.elected(lowest, revision).await
    }

    /// The leader whose election key this is, with its record.
    async fn elected(
        &self,
        lowest: Option<KeyValue>,
        revision: i64,
    ) -> Result<Option<Leader>, LookError> {
        let Some(kv) = lowest else {
            return Ok(None);
        };
        let range = Range::key(self.keys().term(kv.create_revision)).at(revision);
        let record = self.connection().range(&range).await?.kvs.pop();
        let record = record.map(|kv| decode(&kv.key, &kv.value)).transpose()?;
        let candidate = decode(&kv.key, &kv.value)?;
        Ok(Some(Leader {
            term: kv.create_revision,
            key: kv.key,
            record,
            candidate,
        }))
    }

    /// The leadership history, newest first.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn terms(&self) -> Result<(Vec<(i64, TermRecord)>, i64), LookError> {
        let page = self
            .connection()
            .range(&Range::prefix(self.keys().term_prefix()))
            .await?;
        let mut terms = Vec::new();
        for kv in page.kvs.iter().rev() {
            if let Some(term) = self.keys().term_of(&kv.key) {
                terms.push((term, decode(&kv.key, &kv.value)?));
            }
        }
        Ok((terms, page.revision))
    }

    /// Ends this leader's term from any node. True where it was ended, false where it had ended before; nobody else's is.
    ///
    /// # Errors
    /// [`DismissError`]; calling again with this leader is harmless.
    pub async fn dismiss(&self, leader: &Leader, now_ms: u64) -> Result<(bool, i64), DismissError> {
        let record = leader.record.clone().unwrap_or_else(|| TermRecord {
            node: leader.candidate.node.clone(),
            address: leader.candidate.address.clone(),
            from_ms: now_ms,
            until_ms: None,
            ended_by: None,
            gap_ms: None,
        });
        let record = Term::closed(record, now_ms, EndedBy::Resigned);
        let txn = txns::dismiss(self.keys(), &leader.key, leader.term, &record);
        match self.connection().commit(&txn).await {
            Outcome::Committed(done) => Ok((true, done.revision)),
            Outcome::Refused(refused) => Ok((false, refused.revision)),
            Outcome::Unknown(failure) => Err(DismissError::Unknown(failure)),
            Outcome::Unavailable(failure) => Err(DismissError::Unavailable(failure)),
        }
    }

    /// The live nodes and how many tasks each holds.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn nodes(&self) -> Result<(Vec<NodeSeen>, i64), LookError> {
        let page = self
            .connection()
            .range(&Range::prefix(self.keys().node_prefix()))
            .await?;
        let runs = self.runs_at(page.revision).await?;
        let mut nodes = Vec::new();
        for kv in &page.kvs {
            let Some(Live::Node(id)) = self.keys().live(&kv.key) else {
                continue;
            };
            let tasks = runs
                .iter()
                .filter(|(node, _)| *node == id)
                .map(|(_, run)| run.which.len())
                .sum();
            nodes.push(NodeSeen {
                id,
                seen: Seen::of(kv)?,
                tasks,
            });
        }
        Ok((nodes, page.revision))
    }

    /// All queues that have had work, by name.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn queues(&self) -> Result<(BTreeMap<Name, QueueSeen>, i64), LookError> {
        let keys = self.keys();
        let lanes = self
            .connection()
            .range(&Range::prefix(keys.lane_prefix()))
            .await?;
        let revision = lanes.revision;
        let mut queues: BTreeMap<Name, QueueSeen> = BTreeMap::new();
        for kv in &lanes.kvs {
            let Some(Live::Lane(lane)) = keys.live(&kv.key) else {
                continue;
            };
            let (pending, oldest) = self.pending(&lane, revision).await?;
            let queue = queues.entry(lane.queue.clone()).or_default();
            queue.kinds.push(lane.kind);
            queue.pending.add(pending);
            queue.oldest_pending_ms = queue.oldest_pending_ms.into_iter().chain(oldest).min();
        }
        for (_, run) in self.runs_at(revision).await? {
            let queue = queues.entry(run.routing.queue).or_default();
            queue.running.add(Count {
                tasks: run.which.len() as u64,
                estimated: false,
            });
        }
        for (prefix, place) in [(keys.due_prefix(), 0), (keys.dead_prefix(), 1)] {
            for (name, count) in self.waiting_by_queue(&prefix, revision).await? {
                let queue = queues.entry(name).or_default();
                if place == 0 {
                    queue.scheduled.add(count);
                } else {
                    queue.dead.add(count);
                }
            }
        }
        Ok((queues, revision))
    }

    /// The ready tasks of a lane, and since when the oldest of those read waits.
    async fn pending(&self, lane: &Lane, revision: i64) -> Result<(Count, Option<u64>), LookError> {
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

    async fn runs_at(&self, revision: i64) -> Result<Vec<(Name, Run)>, LookError> {
        let page = self
            .connection()
            .range(&Range::prefix(self.keys().runs()).at(revision))
            .await?;
        let mut runs = Vec::new();
        for kv in &page.kvs {
            if let Some(Live::Run(node, _)) = self.keys().live(&kv.key) {
                runs.push((node, decode(&kv.key, &kv.value)?));
            }
        }
        Ok(runs)
    }
}

impl Count {
    /// From what was read: so many tasks in so many records, of so many records there are.
    fn of(tasks: u64, read: usize, records: i64) -> Self {
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

    fn add(&mut self, more: Self) {
        self.tasks += more.tasks;
        self.estimated |= more.estimated;
    }
}

fn decoded(kvs: &[KeyValue]) -> Result<Vec<Record>, LookError> {
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
