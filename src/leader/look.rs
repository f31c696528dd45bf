//! Looks at a pack that may have ended and says what may become of it; never writes.

use std::collections::BTreeSet;

use tenure_cluster::{KeyValue, Range, ReadError};

use super::Post;
use crate::planted::{self, Bug};
use crate::store::{Corrupt, Idem, Keys, Next, Outcomes, decode};
use crate::task::{Outcome, Pack, PackId, Which};

/// 8 outcomes to one read: each is at most 1.5 MiB, etcd's limit for a request, so an answer is 12 MiB at most, far below the 256 MiB
/// that are decoded, and is there in the time that a read may take on a slow machine too.
const RESULTS_MAX: i64 = 8;

/// What may become of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All its tasks have a final outcome: it goes, with these idempotency keys.
    Ended(Vec<String>),
    /// One has not, and its end will mark the pack again; or the pack is gone, and has nothing to forget but its mark.
    Open,
    /// It may not go yet: it is looked at again as if it had ended then, in milliseconds since 1970.
    Later(u64),
}

/// What time a sweep goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Now, in milliseconds since 1970.
    pub(super) now_ms: u64,
    /// The retention, in milliseconds.
    pub(super) retention_ms: u64,
}

impl Times {
    /// Packs that ended before this have been kept long enough.
    pub(super) fn old_ms(self) -> u64 {
        self.now_ms.saturating_sub(self.retention_ms)
    }

    /// The horizon under which a pack that ended in this minute may be collected: above its id, and above every id made within half
    /// the retention of its end. A submit with its idempotency key, sent to another node while the key was there and held back until
    /// the key is gone, is refused by that; the least retention is a minute, and nobody waits for a submit longer than 10 s.
    pub(super) fn above(self, pack: PackId, ended_ms: u64) -> PackId {
        let soon_after_ms = ended_ms.saturating_add(self.retention_ms / 2);
        PackId::floor((pack.unix_ms() + 1).max(soon_after_ms))
    }

    /// The end that makes a pack wait for a sixteenth of its age, a retention at most: one that is held for long is looked at seldom,
    /// and one that is held for a little does not stay much longer.
    fn again(self, pack: PackId) -> u64 {
        let age_ms = self.now_ms.saturating_sub(pack.unix_ms());
        self.old_ms() + (age_ms / 16).min(self.retention_ms)
    }

    /// Where the id of a pack is less than half the retention old, or of the future, since a clock was ahead: the end that makes it
    /// wait until it is not. A horizon above it now would refuse what the nodes whose clocks are right go on to submit.
    fn too_new(self, pack: PackId) -> Option<u64> {
        let (above_ms, half_ms) = (pack.unix_ms() + 1, self.retention_ms / 2);
        let highest_ms = self.now_ms.saturating_sub(half_ms);
        (above_ms > highest_ms).then(|| above_ms.saturating_sub(half_ms))
    }
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
pub(super) async fn look(post: &Post, id: PackId, times: Times) -> Result<Look, Unreadable> {
    if let Some(ended_ms) = times.too_new(id) {
        return Ok(Look::Later(ended_ms));
    }
    let (keys, connection) = (post.store.keys(), post.store.connection());
    let read = connection.range(&Range::key(keys.pack(id))).await?;
    let Some(kv) = read.kvs.first() else {
        return Ok(Look::Open);
    };
    let pack: Pack = decode(&kv.key, &kv.value)?;
    let (mut from, end) = (keys.results_of(id), Keys::past(&keys.results_of(id)));
    let mut finished = Which::NONE;
    loop {
        let range = Range::between(from, &end).limit(RESULTS_MAX);
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
    if holds_others(post, id, &pack).await? {
        return Ok(Look::Later(times.again(id)));
    }
    Ok(Look::Ended(pack.idem))
}

/// Whether the pack has the idempotency key of a batch of which other packs are still there: the key goes with the last of them.
/// What is gone never comes back, so no guard has to say so again. Single submits that share a pack have a key each, of their own
/// task; a batch's is alone.
async fn holds_others(post: &Post, id: PackId, pack: &Pack) -> Result<bool, Unreadable> {
    let (keys, connection) = (post.store.keys(), post.store.connection());
    let [key] = pack.idem.as_slice() else {
        return Ok(false);
    };
    let read = connection.range(&Range::key(keys.idem(key))).await?;
    let Some(kv) = read.kvs.first() else {
        return Ok(false);
    };
    let entry: Idem = decode(&kv.key, &kv.value)?;
    let packs = entry.tasks.iter().map(|task| task.pack());
    let others: BTreeSet<PackId> = packs.filter(|other| *other != id).collect();
    let (Some(first), Some(last)) = (others.first(), others.last()) else {
        return Ok(false);
    };
    // Packs of one batch are of one millisecond: few of others are between them.
    let range = Range::between(keys.pack(*first), Keys::following(&keys.pack(*last)));
    let there = connection.range(&range.keys_only()).await?;
    let mut there = there.kvs.iter().filter_map(|kv| keys.pack_of(&kv.key));
    Ok(there.any(|pack| others.contains(&pack)))
}

/// Those, and the tasks that have a final outcome by this result.
fn with_finals(finished: Which, kv: &KeyValue) -> Result<Which, Corrupt> {
    let outcomes: Outcomes = decode(&kv.key, &kv.value)?;
    let done = outcomes.of.iter().filter(|attempt| {
        let dead = matches!(attempt.next, Some(Next::Dead { .. }));
        dead && planted::is(Bug::DeadIsEnded)
            || attempt.next.is_none()
                && matches!(attempt.outcome, Outcome::Succeeded | Outcome::Cancelled)
    });
    Ok(done.fold(finished, |all, attempt| all.or(attempt.which)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;
    const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

    #[test]
    fn a_pack_that_is_held_is_looked_at_after_a_while_that_grows_and_is_bounded() {
        let (now_ms, retention_ms) = (1_000 * DAY_MS, DAY_MS);
        for (age_ms, wait_ms) in [
            (DAY_MS, DAY_MS / 16),
            (4 * DAY_MS, DAY_MS / 4),
            (400 * DAY_MS, DAY_MS),
        ] {
            let at = times(now_ms, retention_ms);
            let again = at.again(PackId::floor(now_ms - age_ms));
            assert_eq!(again, at.old_ms() + wait_ms, "{age_ms}");
        }
    }

    fn times(now_ms: u64, retention_ms: u64) -> Times {
        Times {
            now_ms,
            retention_ms,
        }
    }

    #[test]
    fn the_horizon_is_above_the_pack_and_whatever_was_made_soon_after_its_end() {
        // When the pack was made, when it ended, the retention; the horizon.
        for (made, ended, retention, horizon) in [
            (1_000, 60_000, 60_000, 90_000),
            (1_000, 60_000, 86_400_000, 43_260_000),
            (200_000, 60_000, 60_000, 200_001),
            (0, 0, 0, 1),
        ] {
            let above = times(u64::MAX, retention).above(PackId::floor(made), ended);
            assert_eq!(above, PackId::floor(horizon), "{made} {ended} {retention}");
        }
    }

    #[test]
    fn a_pack_of_the_future_waits_until_the_horizon_above_it_refuses_nobody() {
        let now_ms = 1_000 * DAY_MS;
        for retention_ms in [MINUTE_MS, DAY_MS] {
            let at = |now_ms| times(now_ms, retention_ms);
            let half_ms = retention_ms / 2;
            assert_eq!(
                at(now_ms).too_new(PackId::floor(now_ms - half_ms - 1)),
                None
            );
            for made_ms in [now_ms - half_ms, now_ms, now_ms + 10 * DAY_MS] {
                let pack = PackId::floor(made_ms);
                let ended_ms = at(now_ms).too_new(pack).unwrap();
                // Not looked at again before it can go, and gone by then without refusing what is submitted then.
                assert!(ended_ms > at(now_ms).old_ms());
                let then = at(ended_ms + retention_ms);
                assert_eq!((then.old_ms(), then.too_new(pack)), (ended_ms, None));
                let highest = PackId::floor(then.now_ms - half_ms);
                assert!(then.above(pack, ended_ms) <= highest);
            }
        }
    }
}
