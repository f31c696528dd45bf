//! Looks at a pack that may have ended and says what may become of it; never writes.

use tenure_cluster::{KeyValue, Range, ReadError};

use super::Post;
use crate::store::{Corrupt, Keys, Outcomes, decode};
use crate::task::{Outcome, Pack, PackId, Which};

/// 32 outcomes to one read: each is at most 1.5 MiB, etcd's limit for a request, so an answer stays far below the 256 MiB that are
/// decoded, and takes no longer than a read may.
const RESULTS_MAX: i64 = 32;

/// What may become of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All its tasks have a final outcome: it goes, with these idempotency keys.
    Ended(Vec<String>),
    /// One has not, and its end will mark the pack again; or the pack is gone, and has nothing to forget but its mark.
    Open,
}

/// Why a pack is kept whatever became of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// It, or what belongs to it, is not what its key promises.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// It was not read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A pack and the outcomes of its tasks, as one revision has them.
pub(super) async fn look(post: &Post, id: PackId) -> Result<Look, Unreadable> {
    let (keys, connection) = (post.store.keys(), post.store.connection());
    let read = connection.range(&Range::key(keys.pack(id))).await?;
    let Some(kv) = read.kvs.first() else {
        return Ok(Look::Open);
    };
    let pack: Pack = decode(&kv.key, &kv.value)?;
    let (mut from, past) = (keys.results_of(id), Keys::past(&keys.results_of(id)));
    let mut finished = Which::NONE;
    loop {
        let range = Range::between(from, &past).limit(RESULTS_MAX);
        let page = connection.range(&range.at(read.revision)).await?;
        finished = page.kvs.iter().try_fold(finished, with_finals)?;
        let Some(last) = page.kvs.last().filter(|_| page.more) else {
            break;
        };
        from = Keys::following(&last.key);
    }
    if !pack.which().minus(finished).is_empty() {
        return Ok(Look::Open);
    }
    Ok(Look::Ended(pack.idem))
}

/// Those, and the tasks that have a final outcome by this result.
fn with_finals(finished: Which, kv: &KeyValue) -> Result<Which, Corrupt> {
    let outcomes: Outcomes = decode(&kv.key, &kv.value)?;
    let done = outcomes.of.iter().filter(|attempt| {
        attempt.next.is_none() && matches!(attempt.outcome, Outcome::Succeeded | Outcome::Cancelled)
    });
    Ok(done.fold(finished, |all, attempt| all.or(attempt.which)))
}
