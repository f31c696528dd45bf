//! Forgets packs whose tasks have all ended, after the retention; a pack with one task that has not ended stays whole.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::{Guard, Range};
use tokio::time::{Instant, interval_at};
use tracing::{debug, warn};

use super::Post;
use crate::clock;
use crate::metrics;
use crate::store::{Change, Collect, LookError, Outcomes, Raise, Verdict, batches, decode};
use crate::task::{Outcome, Pack, PackId, Which};

/// 256 marks to one sweep: deleting so many packs takes etcd some milliseconds.
const SWEEP_MAX: i64 = 256;

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
        loop {
            match sweep(&post, &fence).await {
                Ok(0) => break,
                Ok(packs) => debug!(packs, "marks worked off"),
                Err(problem) => {
                    warn!(%problem, "collection failed, trying again later");
                    break;
                }
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }
}

/// Works off the oldest marks; how many.
async fn sweep(post: &Post, fence: &Guard) -> Result<usize, LookError> {
    let keys = post.store.keys();
    let retention_ms = u64::try_from(post.retention.as_millis()).unwrap_or(u64::MAX);
    let old_ms = clock::now_ms().saturating_sub(retention_ms);
    let range = Range::between(keys.gc_prefix(), keys.gc_before(old_ms)).limit(SWEEP_MAX);
    let marks = post.store.connection().range(&range).await?;
    let mut changes = Vec::new();
    let mut packs: BTreeSet<PackId> = BTreeSet::new();
    for kv in &marks.kvs {
        // A pack with several marks is looked at once: its other marks find it gone.
        let Some(pack) = keys.gc_pack(&kv.key).filter(|pack| packs.insert(*pack)) else {
            continue;
        };
        let (ended, idem) = ended(post, pack).await?;
        let mark = Collect {
            mark: kv.key.clone(),
            modified: kv.mod_revision,
            pack,
            idem,
        };
        changes.push(if ended {
            Change::Collect(mark)
        } else {
            Change::Unmark(mark)
        });
    }
    let highest = packs.last().copied();
    if let Some(highest) = highest {
        let horizon = PackId::floor(highest.unix_ms() + 1);
        let raise = [Change::Raise(Raise { horizon })];
        post.store.commit_batch(Some(fence), &raise, &[]).await;
    }
    let mut worked = 0;
    for batch in batches(keys, changes) {
        let verdicts = post.store.commit_batch(Some(fence), &batch, &[]).await;
        for (change, verdict) in batch.iter().zip(verdicts) {
            let done = matches!(verdict, Verdict::Committed { .. });
            worked += usize::from(done);
            if done && matches!(change, Change::Collect(_)) {
                metrics::pack_collected();
            }
        }
    }
    Ok(worked)
}

/// Whether every task of the pack has a final outcome, and its idempotency keys. A pack that is gone has ended.
async fn ended(post: &Post, id: PackId) -> Result<(bool, Vec<String>), LookError> {
    let (keys, connection) = (post.store.keys(), post.store.connection());
    let page = connection.range(&Range::key(keys.pack(id))).await?;
    let Some(kv) = page.kvs.first() else {
        return Ok((false, Vec::new()));
    };
    let pack: Pack = decode(&kv.key, &kv.value)?;
    let results = connection
        .range(&Range::prefix(keys.results_of(id)).at(page.revision))
        .await?;
    let mut finished = Which::NONE;
    for kv in &results.kvs {
        let outcomes: Outcomes = decode(&kv.key, &kv.value)?;
        let done = outcomes.of.iter().filter(|attempt| {
            attempt.next.is_none()
                && matches!(attempt.outcome, Outcome::Succeeded | Outcome::Cancelled)
        });
        finished = done.fold(finished, |all, attempt| all.or(attempt.which));
    }
    Ok((pack.which().minus(finished).is_empty(), pack.idem))
}
