//! How tasks become packs, and what a used idempotency key answers: pure but for the random part of ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenure_cluster::Answer;

use super::{Accepted, IdemKey, NewTask, SubmitError};
use crate::store::guard::GuardName;
use crate::store::keys::Keys;
use crate::store::records::{Corrupt, Idem, decode};
use crate::task::{PACK_TASKS_MAX, Pack, PackId, TaskId};

/// What tasks must have in common to share a pack.
pub(super) fn group(task: &NewTask) -> String {
    let parts = (&task.routing, &task.policy, task.run_at_ms);
    serde_json::to_string(&parts).expect("routing and policy encode")
}

/// A batch as packs, and the ids in order of submission.
pub(super) fn packed(
    tasks: Vec<NewTask>,
    idem: Option<&IdemKey>,
    now_ms: u64,
) -> (Vec<(PackId, Arc<Pack>)>, Vec<TaskId>) {
    let mut packs: Vec<(PackId, Pack)> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids = Vec::with_capacity(tasks.len());
    for task in tasks {
        let group = group(&task);
        let nth = open
            .get(&group)
            .copied()
            .filter(|nth| packs[*nth].1.tasks.len() < PACK_TASKS_MAX);
        let nth = nth.unwrap_or_else(|| {
            packs.push((PackId::new(now_ms, random()), empty(&task, now_ms)));
            packs.len() - 1
        });
        open.insert(group, nth);
        let (id, pack) = &mut packs[nth];
        let index = u8::try_from(pack.tasks.len()).expect("a full pack was closed");
        pack.tasks.insert(index, task.spec);
        ids.push(id.task(index));
    }
    // The batch's first pack has its key, and goes when the others have.
    if let (Some((_, first)), Some(idem)) = (packs.first_mut(), idem) {
        first.idem.push(idem.key.clone());
    }
    (
        packs
            .into_iter()
            .map(|(id, pack)| (id, Arc::new(pack)))
            .collect(),
        ids,
    )
}

fn empty(task: &NewTask, now_ms: u64) -> Pack {
    Pack {
        routing: task.routing.clone(),
        policy: task.policy.clone(),
        created_ms: now_ms,
        run_at_ms: task.run_at_ms,
        tasks: BTreeMap::new(),
        idem: Vec::new(),
        fired: None,
    }
}

pub(super) fn random() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

/// The entry of an idempotency key among what a refused submit read.
pub(super) fn holder(keys: &Keys, key: &str, reads: &[Answer]) -> Result<Option<Idem>, Corrupt> {
    let wanted = keys.idem(key);
    let kvs = reads.iter().flat_map(|answer| match answer {
        Answer::Kvs(kvs) => kvs.as_slice(),
        Answer::Put | Answer::Deleted(_) | Answer::Nested(_) => &[],
    });
    let entry = kvs.into_iter().find(|kv| kv.key == wanted);
    entry.map(|kv| decode(&kv.key, &kv.value)).transpose()
}

/// The answer to a repeated request: what the key was used for, if it was this.
pub(super) fn replayed(
    keys: &Keys,
    idem: Option<&IdemKey>,
    reads: &[Answer],
    revision: i64,
) -> Result<Accepted, SubmitError> {
    let Some(idem) = idem else {
        return Err(SubmitError::Refused(GuardName::Idem));
    };
    match holder(keys, &idem.key, reads)? {
        Some(entry) if entry.digest == idem.digest => Ok(Accepted {
            tasks: entry.tasks,
            revision,
            repeated: true,
        }),
        Some(_) | None => Err(SubmitError::KeyTaken(idem.key.clone())),
    }
}
