//! What etcd, and its history, knows of a session or a term that is over; reads only.

use tenure_cluster::{KeyValue, Predecessor, Range, ReadError};

use super::commit::Store;
use super::deaths::Death;
use super::failovers::{Evidence, Failover};
use super::leaders::Candidacy;
use super::locate::LookError;
use super::records::{EndedBy, NodeRecord, Seen, TermRecord, decode};
use crate::task::Name;

/// What etcd knows of an end.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Who noticed, before the key went.
    pub death: Option<Death>,
    /// What the node had said of itself last.
    pub node: Option<NodeRecord>,
    /// Whether its lease lives, as far as that could be asked.
    pub lease_lives: Option<bool>,
    /// What its clock had said last, in milliseconds since 1970.
    pub clock_ms: Option<u64>,
    /// What is on record already.
    pub record: Option<Seen<Failover>>,
    /// All that is on record, in the order in which it was begun.
    pub kept: Vec<i64>,
    /// All sessions with a note of their death, the oldest first.
    pub noted: Vec<i64>,
}

/// A leader whose end its successor saw.
#[derive(Clone, Debug)]
pub struct Former {
    /// The node.
    pub node: Name,
    /// Its session, as far as etcd's history still tells.
    pub session: Option<i64>,
    /// Its term.
    pub term: i64,
    /// How that ended, as far as is known.
    pub evidence: Option<Evidence>,
}

impl Store {
    /// What etcd knows of the end of a session of this node, or of its term (`id`), whose key went at this revision.
    ///
    /// # Errors
    /// [`LookError`]; what history no longer tells is left out, and none.
    pub async fn facts(
        &self,
        id: i64,
        node: &Name,
        gone_at: Option<i64>,
    ) -> Result<Facts, LookError> {
        let keys = self.keys();
        let death = Range::key(keys.death(id));
        let death = self.connection().range(&death).await?.kvs.pop();
        let death: Option<Death> = death.map(|kv| decode(&kv.key, &kv.value)).transpose()?;
        let record = Range::key(keys.failover(id));
        let record = self.connection().range(&record).await?.kvs.pop();
        let last = self.last_word(&keys.node(node), gone_at).await?;
        let last = last.filter(|kv| kv.create_revision == id);
        let lease = last.as_ref().map(|kv| kv.lease);
        let lease_lives = match (lease, &death) {
            (Some(lease), None) => Some(self.connection().lease_alive(lease).await?),
            (Some(_) | None, _) => None,
        };
        let clock = self.last_word(&keys.clock(node), gone_at).await?;
        let clock = clock.filter(|kv| Some(kv.lease) == lease);
        let told = Range::prefix(keys.failover_prefix()).keys_only();
        let mut told = self.connection().range(&told).await?.kvs;
        told.sort_by_key(|kv| kv.create_revision);
        let noted = Range::prefix(keys.death_prefix()).keys_only();
        let noted = self.connection().range(&noted).await?.kvs;
        Ok(Facts {
            death,
            node: last.map(|kv| decode(&kv.key, &kv.value)).transpose()?,
            lease_lives,
            clock_ms: clock.and_then(|kv| std::str::from_utf8(&kv.value).ok()?.parse().ok()),
            record: record.as_ref().map(Seen::of).transpose()?,
            kept: told
                .iter()
                .filter_map(|kv| keys.failover_of(&kv.key))
                .collect(),
            noted: noted
                .iter()
                .filter_map(|kv| keys.death_of(&kv.key))
                .collect(),
        })
    }

    /// A key as it was before this revision; none where it was not there, or history no longer tells.
    async fn last_word(
        &self,
        key: &str,
        gone_at: Option<i64>,
    ) -> Result<Option<KeyValue>, LookError> {
        let Some(gone_at) = gone_at.filter(|at| *at > 1) else {
            return Ok(None);
        };
        match self
            .connection()
            .range(&Range::key(key).at(gone_at - 1))
            .await
        {
            Ok(mut page) => Ok(page.kvs.pop()),
            Err(ReadError::Compacted { .. }) => Ok(None),
            Err(problem) => Err(problem.into()),
        }
    }

    /// Whose term it was that ended before this leader's, and whether it was given up.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn former(&self, before: &Predecessor) -> Result<Former, LookError> {
        let Predecessor { kv, revision, .. } = before;
        let Candidacy { node, .. } = decode(&kv.key, &kv.value)?;
        let session = self.last_word(&self.keys().node(&node), *revision).await?;
        let session = session.filter(|session| session.lease == kv.lease);
        let line = Range::key(self.keys().term(kv.create_revision));
        let line = self.connection().range(&line).await?.kvs.pop();
        let line: Option<TermRecord> = line.map(|kv| decode(&kv.key, &kv.value)).transpose()?;
        let resigned = line.is_some_and(|line| line.ended_by == Some(EndedBy::Resigned));
        let evidence = match before.ended_by {
            _ if resigned => Some(Evidence::Left),
            tenure_cluster::Ended::LeaseGone => Some(Evidence::Lease),
            tenure_cluster::Ended::KeyDeleted => Some(Evidence::Key),
            tenure_cluster::Ended::Unknown => None,
        };
        Ok(Former {
            node,
            session: session.map(|session| session.create_revision),
            term: kv.create_revision,
            evidence,
        })
    }
}
