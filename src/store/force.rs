//! Takes holds from those outside against their will, on record; a task's hold is its claim, and not taken.

use tenure_cluster::{Outcome, Range};
use uuid::Uuid;

use super::commit::Store;
use super::locate::LookError;
use super::outside::OutsideError;
use super::records::{Released, Seen, decode};
use super::txns;
use crate::task::Gate;

/// 100 force-releases are kept on record.
pub const RELEASED_MAX: usize = 100;

/// Which hold is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taking {
    /// Its fence.
    pub fence: i64,
    /// Its id. What is granted in one transaction has one fence, so that the fence alone may be of several holders.
    pub id: Option<u128>,
}

impl Store {
    /// Takes a hold from whoever has it, on record; the same again answers the same. The revision from which on it is over.
    ///
    /// # Errors
    /// [`OutsideError::Ambiguous`] where no id is given and the fence is, or was, of others too; [`OutsideError::OfTask`] where a
    /// task holds it; [`OutsideError::WrongFence`] where nobody outside holds it with this fence.
    pub async fn force_release(
        &self,
        gate: &Gate,
        taking: Taking,
        reason: &str,
    ) -> Result<(Released, i64), OutsideError> {
        let id = match taking.id {
            Some(id) => id,
            None => match self.by_fence(gate, taking.fence).await? {
                Some(id) => id,
                None => return self.not_held(gate, taking, reason, None).await,
            },
        };
        let key = Range::key(self.keys().hold(gate, id));
        let page = self.connection().range(&key).await;
        let page = page.map_err(LookError::from)?;
        let held = page.kvs.first();
        let Some(kv) = held.filter(|kv| kv.create_revision == taking.fence) else {
            let now = held.map(|kv| kv.create_revision);
            return self.not_held(gate, taking, reason, now).await;
        };
        let taken = Released {
            gate: gate.clone(),
            id: Uuid::from_u128(id),
            fence: taking.fence,
            hold: decode(&kv.key, &kv.value).map_err(LookError::from)?,
            at_ms: self.now_ms(),
            reason: reason.to_owned(),
        };
        let revision = self.take(&taken).await?;
        self.give_back(kv.lease).await;
        Ok((taken, revision))
    }

    /// Takes it and puts it on record. The revision.
    async fn take(&self, taken: &Released) -> Result<i64, OutsideError> {
        let revision = self.revision().await.map_err(LookError::from)?;
        let kept = self.whole(&self.keys().released_prefix(), revision).await?;
        let beyond = (kept.len() + 1).saturating_sub(RELEASED_MAX);
        let forget: Vec<String> = kept.into_iter().take(beyond).map(|kv| kv.key).collect();
        let txn = txns::force_release(self.keys(), taken, &forget);
        match self.settled(&txn).await {
            Outcome::Committed(done) => Ok(done.revision),
            // An earlier copy of this may have done it: then its record is there.
            Outcome::Refused(_) => match self.on_record(taken).await? {
                Some(record) if record.value == *taken => Ok(record.created),
                Some(_) | None => Err(OutsideError::WrongFence { now: None }),
            },
            Outcome::Unknown(failure) => Err(OutsideError::Unknown(failure)),
            Outcome::Unavailable(failure) => Err(OutsideError::Unavailable(failure)),
        }
    }

    async fn on_record(&self, taken: &Released) -> Result<Option<Seen<Released>>, OutsideError> {
        let id = taken.id.as_u128();
        let key = self.keys().released(taken.fence, &taken.gate, id);
        let page = self.connection().range(&Range::key(key)).await;
        let page = page.map_err(LookError::from)?;
        let record = page.kvs.first().map(Seen::of).transpose();
        Ok(record.map_err(LookError::from)?)
    }

    /// The id of the only one who has, or had, this fence; none where nobody outside holds it now.
    async fn by_fence(&self, gate: &Gate, fence: i64) -> Result<Option<u128>, OutsideError> {
        let (seen, _) = self.gate(gate).await?;
        let outside = seen.outside.iter().filter(|it| it.seen.created == fence);
        let outside: Vec<Uuid> = outside.map(|hold| hold.id).collect();
        let tasks = seen.tasks.iter().filter(|hold| hold.fence == fence);
        let gone = seen.released.iter().filter(|it| it.fence == fence);
        // Also where one of them was taken: asked again, a fence takes nothing else.
        let others = tasks
            .map(|hold| hold.task.uuid())
            .chain(gone.map(|it| it.id));
        match outside.as_slice() {
            [] => Ok(None),
            [one] if others.clone().next().is_none() => Ok(Some(one.as_u128())),
            [_, ..] => Err(OutsideError::Ambiguous {
                fence,
                ids: outside.iter().copied().chain(others).collect(),
            }),
        }
    }

    /// What to answer where nobody outside has it: what was done already, where it was done for the same reason.
    async fn not_held(
        &self,
        gate: &Gate,
        taking: Taking,
        reason: &str,
        now: Option<i64>,
    ) -> Result<(Released, i64), OutsideError> {
        let (seen, _) = self.gate(gate).await?;
        let named = |id: Uuid| taking.id.is_none_or(|named| named == id.as_u128());
        let mut released = seen.released.into_iter();
        let done =
            released.find(|it| it.fence == taking.fence && named(it.id) && it.reason == reason);
        if let Some(done) = done
            && let Some(record) = self.on_record(&done).await?
        {
            return Ok((record.value, record.created));
        }
        let mut tasks = seen.tasks.into_iter();
        match tasks.find(|hold| hold.fence == taking.fence && named(hold.task.uuid())) {
            Some(hold) => Err(OutsideError::OfTask {
                task: hold.task,
                node: hold.node,
            }),
            None => Err(OutsideError::WrongFence { now }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_cluster::{Connection, Options, Txn};
    use tenure_testkit::Etcd;

    use super::*;
    use crate::store::Keys;
    use crate::store::records::{Outside, encode};

    const REASON: &str = "stuck";

    struct Held {
        store: Store,
        gate: Gate,
        taking: Taking,
        _etcd: Etcd,
    }

    /// Somebody holds a lock.
    async fn held() -> Held {
        let etcd = Etcd::single();
        let connection = Connection::open(Options::new(etcd.endpoints())).unwrap();
        let store = Store::new(connection, Keys::new(&"default".parse().unwrap()));
        let gate = Gate::Lock("deploy".parse().unwrap());
        let hold = Txn::new().put(store.keys().hold(&gate, 1), encode(&outside()));
        let outcome = store.connection().commit(&hold).await;
        let done = outcome.committed().expect("nothing is compared");
        let fence = done.revision;
        let taking = Taking { fence, id: Some(1) };
        Held {
            store,
            gate,
            taking,
            _etcd: etcd,
        }
    }

    fn outside() -> Outside {
        Outside {
            weight: 1,
            holder: "me".to_owned(),
            since_ms: 1,
            ttl_ms: 2_000,
        }
    }

    fn wrong<T>(answer: &Result<T, OutsideError>) -> bool {
        matches!(answer, Err(OutsideError::WrongFence { now: None }))
    }

    #[tokio::test]
    async fn a_copy_that_comes_after_the_one_that_did_it_is_done_too() {
        let Held {
            store,
            gate,
            taking,
            _etcd,
        } = held().await;
        let taken = Released {
            gate,
            id: Uuid::from_u128(1),
            fence: taking.fence,
            hold: outside(),
            at_ms: 7,
            reason: REASON.to_owned(),
        };
        // What is left of the first, whose answer was lost, is what etcd has.
        let first = store.take(&taken).await.unwrap();
        assert_eq!(store.take(&taken).await.unwrap(), first);

        let another = Released { at_ms: 8, ..taken };
        let late = store.take(&another).await;
        assert!(wrong(&late), "{late:?}");
    }

    #[tokio::test]
    async fn the_same_asked_again_answers_the_same_with_and_without_the_id() {
        let Held {
            store,
            gate,
            taking,
            _etcd,
        } = held().await;
        let (first, revision) = store.force_release(&gate, taking, REASON).await.unwrap();
        for id in [Some(1), None] {
            let again = Taking { id, ..taking };
            let (seen, at) = store.force_release(&gate, again, REASON).await.unwrap();
            assert_eq!((&seen, at), (&first, revision));
            let other = store.force_release(&gate, again, "another reason").await;
            assert!(wrong(&other), "{other:?}");
        }
        let nobody = Taking {
            id: Some(2),
            ..taking
        };
        let nobody = store.force_release(&gate, nobody, REASON).await;
        assert!(wrong(&nobody), "{nobody:?}");
    }
}
