//! Takes holds from those outside against their will, on record; a task's hold is its claim, and not taken.

use tenure_cluster::{KeyValue, Outcome};

use super::commit::Store;
use super::locate::LookError;
use super::outside::OutsideError;
use super::records::{Released, decode};
use super::txns;
use crate::task::Gate;

/// 100 force-releases are kept on record.
pub const RELEASED_MAX: usize = 100;

impl Store {
    /// Takes the hold with this fence from whoever has it, on record.
    ///
    /// # Errors
    /// [`OutsideError::OfTask`] where a task holds it; [`OutsideError::WrongFence`] where nobody outside holds it with this fence.
    pub async fn force_release(
        &self,
        gate: &Gate,
        fence: i64,
        reason: &str,
    ) -> Result<(Released, i64), OutsideError> {
        let revision = self.revision().await.map_err(LookError::from)?;
        let holds = self.whole(&self.keys().holds_of(gate), revision).await?;
        let found = holds.iter().find(|kv| kv.create_revision == fence);
        let Some((kv, id)) = found.and_then(|kv| Some((kv, self.id_of(kv)?))) else {
            return Err(self.no_hold(gate, fence).await);
        };
        let taken = Released {
            gate: gate.clone(),
            id: uuid::Uuid::from_u128(id),
            fence,
            hold: decode(&kv.key, &kv.value).map_err(LookError::from)?,
            at_ms: self.now_ms(),
            reason: reason.to_owned(),
        };
        let kept = self.whole(&self.keys().released_prefix(), revision).await?;
        let beyond = (kept.len() + 1).saturating_sub(RELEASED_MAX);
        let forget: Vec<String> = kept.into_iter().take(beyond).map(|kv| kv.key).collect();
        let txn = txns::force_release(self.keys(), &taken, &forget);
        match self.settled(&txn).await {
            Outcome::Committed(done) => {
                self.give_back(kv.lease).await;
                Ok((taken, done.revision))
            }
            Outcome::Refused(_) => Err(OutsideError::WrongFence { now: None }),
            Outcome::Unknown(failure) => Err(OutsideError::Unknown(failure)),
            Outcome::Unavailable(failure) => Err(OutsideError::Unavailable(failure)),
        }
    }

    /// Why there is no hold of this fence outside.
    async fn no_hold(&self, gate: &Gate, fence: i64) -> OutsideError {
        match self.gate(gate).await {
            Ok((seen, _)) => match seen.tasks.into_iter().find(|hold| hold.fence == fence) {
                Some(hold) => OutsideError::OfTask {
                    task: hold.task,
                    node: hold.node,
                },
                None => OutsideError::WrongFence { now: None },
            },
            Err(problem) => problem.into(),
        }
    }

    fn id_of(&self, kv: &KeyValue) -> Option<u128> {
        self.keys().outside_id(&kv.key)
    }
}
