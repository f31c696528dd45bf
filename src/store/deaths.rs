//! Sessions that are ended by evidence: put on record first, then their leases are revoked. Judges no evidence.

use serde::{Deserialize, Serialize};
use tenure_cluster::{Answer, Branch, Failure, Outcome, Range, Revoked};

use super::commit::Store;
use super::failovers::Evidence;
use super::guard::GuardName;
use super::locate::LookError;
use super::records::decode;
use super::txns;
use crate::task::Name;

/// 100 deaths stay on record.
pub const DEATHS_MAX: usize = 100;

/// On what evidence a node's session was ended: the value of `live/death/<S>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The node.
    pub node: Name,
    /// The process that had the session.
    pub instance: String,
    /// The session's lease.
    pub lease: i64,
    /// The term of its candidacy, R, where it led.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
    /// What showed it.
    pub evidence: EvidenceKind,
    /// Who noticed.
    pub by: Name,
    /// When its last word came over the link, by the clock of who noticed, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<u64>,
    /// When it was noticed, by the same clock.
    pub noticed_ms: u64,
}

/// What shows that a process is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// Its link broke, and its machine refuses connections to where it listened.
    Refused,
    /// Another process of its name answers where it listened.
    Replaced,
    /// It had said that it leaves, and its lease stayed.
    Left,
}

impl EvidenceKind {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        Evidence::from(self).as_str()
    }

    /// Whether the process went without a word: what it ran is charged with a death.
    pub const fn is_death(self) -> bool {
        match self {
            Self::Refused | Self::Replaced => true,
            Self::Left => false,
        }
    }
}

/// By whom, and by what, a session's end was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// The process that had the session.
    pub instance: String,
    /// Who noticed.
    pub by: Name,
    /// What showed it.
    pub evidence: Evidence,
}

/// What became of a death that was to be put on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is on record now.
    Now,
    /// It was on record.
    Before(Box<Death>),
    /// The session is over.
    Over,
}

impl Store {
    /// Puts on record that this session ends. Nested, because etcd checks its quota for puts of the outer transaction only: deaths are
    /// noticed where it has no space, too.
    ///
    /// # Errors
    /// It may be on record or not; sending the same again settles that.
    pub async fn declare_dead(&self, session: i64, death: &Death) -> Result<Recorded, Failure> {
        let txn = txns::die(self.keys(), session, death);
        match self.connection().commit(&txns::beside(vec![txn])).await {
            Outcome::Committed(done) => Ok(recorded(done.results.into_iter().next())),
            Outcome::Refused(_) => unreachable!("the outer transaction has no guards"),
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => Err(failure),
        }
    }

    /// Ends a session's lease, and its keys with it.
    ///
    /// # Errors
    /// It may have ended or not; doing it again is harmless.
    pub async fn end_lease(&self, lease: i64) -> Result<Revoked, Failure> {
        self.connection().revoke(lease).await
    }

    /// On what evidence this session was ended; none where it was not, or that is forgotten.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn death(&self, session: i64) -> Result<Option<Death>, LookError> {
        let key = Range::key(self.keys().death(session));
        let found = self.connection().range(&key).await?.kvs.pop();
        Ok(found.map(|kv| decode(&kv.key, &kv.value)).transpose()?)
    }

    /// Who ended this session on evidence; none where nobody did, or that is forgotten. The note of a death goes when the story of it is
    /// complete, so both are looked at, the note first.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn noticed(&self, session: i64) -> Result<Option<Noticed>, LookError> {
        if let Some(death) = self.death(session).await? {
            return Ok(Some(Noticed {
                instance: death.instance,
                by: death.by,
                evidence: death.evidence.into(),
            }));
        }
        let Some(told) = self.failover(session).await?.0 else {
            return Ok(None);
        };
        // Of a lease that ran out nobody was the one who ended it.
        let told = told.seen.value;
        let all = told.instance.zip(told.by).zip(told.evidence);
        Ok(all.map(|((instance, by), evidence)| Noticed {
            instance,
            by,
            evidence,
        }))
    }

    /// Forgets the oldest deaths beyond [`DEATHS_MAX`]; best effort.
    pub async fn forget_deaths(&self) {
        let all = Range::prefix(self.keys().death_prefix()).keys_only();
        let Ok(page) = self.connection().range(&all).await else {
            return;
        };
        let sessions = page
            .kvs
            .iter()
            .filter_map(|kv| self.keys().death_of(&kv.key));
        let mut sessions: Vec<i64> = sessions.collect();
        let beyond = sessions.len().saturating_sub(DEATHS_MAX);
        // More than one transaction takes goes with the next death.
        sessions.truncate(beyond.min(DEATHS_MAX));
        if !sessions.is_empty() {
            let txn = txns::forget_deaths(self.keys(), &sessions);
            let _ = self.connection().commit(&txn).await;
        }
    }
}

fn recorded(answer: Option<Answer>) -> Recorded {
    let Some(Answer::Nested(Branch::Lost { lost, reads })) = answer else {
        return Recorded::Now;
    };
    let found = reads.into_iter().find_map(|read| match read {
        Answer::Kvs(mut kvs) => kvs.pop(),
        Answer::Put | Answer::Deleted(_) | Answer::Nested(_) => None,
    });
    let death = found.and_then(|kv| decode(&kv.key, &kv.value).ok());
    match death {
        // A note outlives its session.
        Some(death) if !lost.contains(&GuardName::Node.name()) => Recorded::Before(Box::new(death)),
        Some(_) | None => Recorded::Over,
    }
}
