//! Who leads and who has led, and the end of a term from any node.

use tenure_cluster::{Failure, KeyValue, Outcome, Range};

use super::change::Term;
use super::commit::Store;
use super::locate::LookError;
use super::records::{EndedBy, TermRecord, decode};
use super::scan::looked;
use super::txns;
use crate::task::Name;

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
    /// Whether it was drained when it stood: it stands because nobody else did, and gives way to whoever is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
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
        looked(|| async {
            let prefix = self.keys().elect_prefix();
            let (lowest, revision) = tenure_cluster::leader(self.connection(), &prefix).await?;
            Ok((self.elected(lowest, revision).await?, revision))
        })
        .await
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
}
