//! Nodes that are to take no work: drained and undrained by an admin, and heard of by the node itself; decides nothing about tasks.

use tenure_cluster::{Members, MembershipChange, Outcome, Range};

use super::commit::Store;
use super::limits::{Basis, EDITED_MAX, EditError, TRIES_MAX};
use super::locate::LookError;
use super::records::{Drain, Seen};
use super::scan::looked;
use super::txns;
use crate::task::Name;

/// Why a node was neither drained nor undrained.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DrainError {
    /// No live node has this name, and for an undrain, it is not drained either.
    #[error("no live node is named `{0}`")]
    NoNode(Name),
    /// It could not be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// What came of a drain or an undrain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Since when and why the node is drained now; none where it is not.
    pub now: Option<Drain>,
    /// Whether that is so since before.
    pub already: bool,
    /// The revision that is true at.
    pub revision: i64,
}

/// Tells a node whether it is drained, as that changes.
pub struct Drains {
    key: String,
    members: Members,
}

impl Store {
    /// Drains a node. One that is drained stays so since when it was; another reason replaces the one it had, none keeps that.
    ///
    /// # Errors
    /// [`DrainError`]; what may have been done is told as [`EditError::Unknown`], and doing it again is harmless.
    pub async fn drain(
        &self,
        node: &Name,
        reason: &str,
        now_ms: u64,
    ) -> Result<Drained, DrainError> {
        for _ in 0..TRIES_MAX {
            let session = looked(|| self.session(node)).await?;
            let Some(session) = session else {
                return Err(DrainError::NoNode(node.clone()));
            };
            let seen = self.drain_of(node).await?;
            let already = seen.is_some();
            let (was, modified) = seen.map_or((None, 0), |seen| (Some(seen.value), seen.modified));
            let mut drain = was.clone().unwrap_or(Drain {
                since_ms: now_ms,
                reason: String::new(),
            });
            if !reason.is_empty() {
                reason.clone_into(&mut drain.reason);
            }
            let now = Some(drain.clone());
            if was == now {
                let revision = self.connection().seen_revision();
                return Ok(Drained {
                    now,
                    already,
                    revision,
                });
            }
            let basis = self.drain_basis(modified).await?;
            let txn = txns::drain(self.keys(), node, session, &drain, basis);
            if let Some(revision) = settled(self.once(&txn).await)? {
                return Ok(Drained {
                    now,
                    already,
                    revision,
                });
            }
        }
        Err(EditError::Busy.into())
    }

    /// Undrains a node, or a name that is drained and has no node.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub async fn undrain(&self, node: &Name) -> Result<Drained, DrainError> {
        for _ in 0..TRIES_MAX {
            let now = None;
            let Some(seen) = self.drain_of(node).await? else {
                if looked(|| self.session(node)).await?.is_none() {
                    return Err(DrainError::NoNode(node.clone()));
                }
                return Ok(Drained {
                    now,
                    already: true,
                    revision: self.connection().seen_revision(),
                });
            };
            let txn = txns::undrain(self.keys(), node, seen.modified);
            if let Some(revision) = settled(self.once(&txn).await)? {
                return Ok(Drained {
                    now,
                    already: false,
                    revision,
                });
            }
        }
        Err(EditError::Busy.into())
    }

    /// Tells the node of this name whether it is drained.
    pub fn drains(&self, node: &Name) -> Drains {
        let key = self.keys().drain(node);
        // The names that begin with this one come along, and are left out.
        let members = Members::open(self.connection(), &key);
        Drains { key, members }
    }

    async fn drain_of(&self, node: &Name) -> Result<Option<Seen<Drain>>, DrainError> {
        let seen = looked(|| self.edited(self.keys().drain(node))).await;
        Ok(seen.map_err(EditError::from)?)
    }

    /// The session of a live node.
    async fn session(&self, node: &Name) -> Result<Option<i64>, LookError> {
        let range = Range::key(self.keys().node(node)).keys_only();
        let page = self.connection().range(&range).await?;
        Ok(page.kvs.first().map(|kv| kv.create_revision))
    }

    async fn drain_basis(&self, modified: i64) -> Result<Basis, EditError> {
        if modified > 0 {
            let rules = 0;
            return Ok(Basis { modified, rules });
        }
        if self.is_full(&self.keys().drain_prefix()).await? {
            return Err(EditError::TooMany {
                what: "drained names",
                max: EDITED_MAX,
            });
        }
        let rules = looked(|| self.last_edit()).await?;
        Ok(Basis { modified, rules })
    }
}

impl From<LookError> for DrainError {
    fn from(error: LookError) -> Self {
        Self::Edit(error.into())
    }
}

/// The revision it was done at; none where it was refused: look again.
fn settled(outcome: Outcome) -> Result<Option<i64>, EditError> {
    match outcome {
        Outcome::Committed(done) => Ok(Some(done.revision)),
        Outcome::Refused(_) => Ok(None),
        Outcome::Unknown(failure) => Err(EditError::Unknown(failure)),
        Outcome::Unavailable(failure) => Err(EditError::Unavailable(failure)),
    }
}

impl Drains {
    /// Whether the node is drained: first as it is, then at each change. Waits as long as it takes; may be dropped and called again.
    pub async fn next(&mut self) -> bool {
        loop {
            let (told, drained) = match self.members.next().await {
                MembershipChange::Snapshot { members, .. } => {
                    return members.iter().any(|kv| kv.key == self.key);
                }
                MembershipChange::Joined(kv) | MembershipChange::Updated(kv) => (kv, true),
                MembershipChange::Left { last, .. } => (last, false),
            };
            if told.key == self.key {
                return drained;
            }
        }
    }
}
