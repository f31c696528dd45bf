//! Forgets packs whose tasks have all ended, after the retention; a pack with one task that has not ended stays whole, and so does
//! one that cannot be read, which keeps no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tenure_cluster::{Failure, Guard, KeyValue, Range, ReadError};
use tokio::time::{Instant, interval_at};
use tracing::{debug, error, warn};

use super::Post;
use crate::metrics;
use crate::planted::{self, Bug};
use crate::store::{
    Change, Collect, Corrupt, GuardName, Keys, Next, Outcomes, Raise, Verdict, batches, decode,
};
use crate::task::{Outcome, Pack, PackId, Which};

/// 256 marks to one sweep: deleting so many packs takes etcd some milliseconds.
const SWEEP_MAX: i64 = 256;

/// 8 packs are looked at at a time, two reads each: a sweep of 512 reads in sequence would take a second.
const LOOKS_MAX: usize = 8;

/// 60 s between sweeps that found nothing more to do, or a quarter of the retention where that is shorter.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// 50 ms between sweeps that did: other writers go first.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// Collects until the term ends.
pub(super) async fn run(post: Arc<Post>, fence: Guard) {
    let every = SWEEP_EVERY.min(post.retention / 4).max(SWEEP_PAUSE);
    let mut ticks = interval_at(Instant::now() + every, every);
    loop {
        ticks.tick().await;
        // From the oldest mark on: what was passed by the last time may have been mended.
        let mut from = post.store.keys().gc_prefix();
        loop {
            let swept = match sweep(&post, &fence, &from).await {
                Ok(swept) => swept,
                Err(problem) => {
                    warn!(%problem, "collection failed, trying again later");
                    break;
                }
            };
            if swept.worked == 0 && swept.passed.is_none() {
                break;
            }
            debug!(marks = swept.worked, "marks worked off");
            from = swept.passed.unwrap_or(from);
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }
}

/// What one sweep did.
#[derive(Debug, Default)]
struct Swept {
    /// How many marks it worked off.
    worked: usize,
    /// Behind the last mark it had to leave because a record of its pack cannot be read: there the next sweep begins.
    passed: Option<String>,
}

/// Why a sweep ended before it had collected anything.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    /// What is to be collected could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Below a horizon that was not raised nothing may be collected.
    #[error("the horizon was not raised: {0}")]
    Horizon(Failure),
    /// As that.
    #[error("the horizon was not raised: refused by the guard `{0}`")]
    Refused(GuardName),
}

/// Works off the oldest marks from this key on.
async fn sweep(post: &Post, fence: &Guard, from: &str) -> Result<Swept, SweepError> {
    let keys = post.store.keys();
    let mut retention_ms = u64::try_from(post.retention.as_millis()).unwrap_or(u64::MAX);
    if planted::is(Bug::RetentionIgnored) {
        retention_ms = 0;
    }
    let old_ms = post.store.now_ms().saturating_sub(retention_ms);
    let range = Range::between(from, keys.gc_before(old_ms)).limit(SWEEP_MAX);
    let marks = post.store.connection().range(&range).await?;
    // A pack with several marks is looked at once: its other marks find it gone.
    let mut packs = BTreeSet::<PackId>::new();
    let looks = marks.kvs.into_iter().filter_map(|kv| {
        let (minute_ms, pack) = keys.gc_mark(&kv.key)?;
        let look =
            async move { Ok::<_, ReadError>((kv, minute_ms, pack, look(post, pack).await?)) };
        packs.insert(pack).then_some(look)
    });
    let looks: Vec<_> = stream::iter(looks)
        .buffered(LOOKS_MAX)
        .try_collect()
        .await?;
    let (mut changes, mut swept, mut horizon) = (Vec::new(), Swept::default(), None);
    for (kv, minute_ms, pack, look) in looks {
        let mark = |idem| Collect {
            mark: kv.key.clone(),
            modified: kv.mod_revision,
            pack,
            idem,
        };
        changes.push(match look {
            Look::Ended { idem } => {
                horizon = horizon.max(Some(above(pack, minute_ms, retention_ms)));
                Change::Collect(mark(idem))
            }
            Look::Open => Change::Unmark(mark(Vec::new())),
            Look::Unreadable(problem) => {
                error!(%pack, %problem, "a pack that cannot be read is kept");
                metrics::pack_skipped();
                swept.passed = Some(Keys::following(&kv.key));
                continue;
            }
        });
    }
    if let Some(horizon) = horizon {
        let raise = [Change::Raise(Raise { horizon })];
        let verdicts = post.store.commit_batch(Some(fence), &raise).await;
        verdicts.into_iter().try_for_each(raised)?;
    }
    swept.worked = commit(post, fence, changes).await;
    Ok(swept)
}

/// Whether the horizon is as high as it was to be raised, or higher. Where that is not known, raising it again tells.
fn raised(verdict: Verdict) -> Result<(), SweepError> {
    match verdict {
        Verdict::Committed { .. } => Ok(()),
        Verdict::Refused { lost, .. } => {
            // By the horizon it is as high already; by anything else it is not.
            let other = lost.into_iter().find(|lost| *lost != GuardName::Horizon);
            other.map_or(Ok(()), |guard| Err(SweepError::Refused(guard)))
        }
        Verdict::Unknown(failure) | Verdict::Unavailable(failure) => {
            Err(SweepError::Horizon(failure))
        }
    }
}

/// The horizon under which a pack that ended in this minute may be collected: above its id, and above every id made within half the
/// retention of its end. A submit with its idempotency key, sent to another node while the key was there and held back until the key is
/// gone, is refused by that; the least retention is a minute, and nobody waits for a submit longer than 10 s. It is counted from the
/// mark and not from this leader's clock: one that is years ahead must not refuse all that is submitted for years.
fn above(pack: PackId, ended_ms: u64, retention_ms: u64) -> PackId {
    PackId::floor((pack.unix_ms() + 1).max(ended_ms.saturating_add(retention_ms / 2)))
}

/// How many of these changes are done.
async fn commit(post: &Post, fence: &Guard, changes: Vec<Change>) -> usize {
    let mut worked = 0;
    for batch in batches(post.store.keys(), changes) {
        let verdicts = post.store.commit_batch(Some(fence), &batch).await;
        for (change, verdict) in batch.iter().zip(verdicts) {
            let done = matches!(verdict, Verdict::Committed { .. });
            worked += usize::from(done);
            if done && matches!(change, Change::Collect(_)) {
                metrics::pack_collected();
            }
        }
    }
    worked
}

/// What a pack's keys tell of it.
#[derive(Debug)]
enum Look {
    /// Every task has a final outcome: it goes, with these idempotency keys.
    Ended { idem: Vec<String> },
    /// It has not ended, or is gone: there is nothing to forget but its mark.
    Open,
    /// A record of it is not what its key promises.
    Unreadable(Corrupt),
}

/// A pack and the outcomes of its tasks, as one revision has them.
async fn look(post: &Post, id: PackId) -> Result<Look, ReadError> {
    let (keys, connection) = (post.store.keys(), post.store.connection());
    let pack = connection.range(&Range::key(keys.pack(id))).await?;
    let Some(kv) = pack.kvs.first() else {
        return Ok(Look::Open);
    };
    let results = Range::prefix(keys.results_of(id)).at(pack.revision);
    let results = connection.range(&results).await?;
    Ok(ended(kv, &results.kvs).unwrap_or_else(Look::Unreadable))
}

/// Whether every task of the pack has a final outcome.
fn ended(pack: &KeyValue, results: &[KeyValue]) -> Result<Look, Corrupt> {
    let pack: Pack = decode(&pack.key, &pack.value)?;
    let mut finished = Which::NONE;
    for kv in results {
        let outcomes: Outcomes = decode(&kv.key, &kv.value)?;
        let done = outcomes.of.iter().filter(|attempt| {
            let dead = matches!(attempt.next, Some(Next::Dead { .. }));
            dead && planted::is(Bug::DeadIsEnded)
                || attempt.next.is_none()
                    && matches!(attempt.outcome, Outcome::Succeeded | Outcome::Cancelled)
        });
        finished = done.fold(finished, |all, attempt| all.or(attempt.which));
    }
    if pack.which().minus(finished).is_empty() {
        return Ok(Look::Ended { idem: pack.idem });
    }
    Ok(Look::Open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_cluster::FailureKind;

    #[test]
    fn nothing_is_collected_below_a_horizon_that_was_not_raised() {
        let refused = |lost| Verdict::Refused {
            lost,
            reads: Vec::new(),
            revision: 7,
        };
        let failure = || Failure {
            kind: FailureKind::Space,
            endpoint: "etcd".to_owned(),
            message: "database space exceeded".to_owned(),
        };
        assert!(raised(Verdict::Committed { revision: 7 }).is_ok());
        assert!(raised(refused(vec![GuardName::Horizon])).is_ok(), "as high");
        for not in [
            refused(vec![GuardName::Term]),
            Verdict::Unknown(failure()),
            Verdict::Unavailable(failure()),
        ] {
            assert!(raised(not).is_err());
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
            let above = above(PackId::floor(made), ended, retention);
            assert_eq!(above, PackId::floor(horizon), "{made} {ended} {retention}");
        }
    }
}
