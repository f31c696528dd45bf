//! Forgets packs whose tasks have all ended, after the retention; a pack with one task that has not ended stays whole, and so does
//! one that cannot be read, which keeps no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::{Guard, Range, ReadError};
use tokio::time::{Instant, interval_at};
use tracing::{debug, error, warn};

use super::Post;
use super::look::{Look, Times, Unreadable, look};
use crate::metrics;
use crate::planted::{self, Bug};
use crate::store::{Change, Collect, Keys, Postpone, Raise, Verdict, batches};
use crate::task::PackId;

/// 256 marks to one sweep: deleting so many packs takes etcd some milliseconds.
const SWEEP_MAX: i64 = 256;

/// 60 s between sweeps that found nothing more to do, or a quarter of the retention where that is shorter.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// 50 ms between sweeps that did: other writers go first.
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// 60 s between the leader's clock and those of half the nodes are not worth a word: they tell theirs every 15 s.
const AHEAD_MS: u64 = 60_000;

/// Collects until the term ends.
pub(super) async fn run(post: Arc<Post>, fence: Guard) {
    let every = SWEEP_EVERY.min(post.retention / 4).max(SWEEP_PAUSE);
    let mut ticks = interval_at(Instant::now() + every, every);
    loop {
        ticks.tick().await;
        let times = match times(&post).await {
            Ok(times) => times,
            Err(problem) => {
                warn!(%problem, "the nodes' clocks could not be read, collecting later");
                continue;
            }
        };
        // From the oldest mark on: what was passed by the last time may have been mended.
        let mut from = post.store.keys().gc_prefix();
        loop {
            let swept = match sweep(&post, &fence, times, &from).await {
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
    /// Behind the last mark it had to leave because its pack, or what belongs to it, cannot be read: there the next sweep begins.
    passed: Option<String>,
}

/// What time collection goes by: see [`agreed`].
async fn times(post: &Post) -> Result<Times, ReadError> {
    let clocks = Range::prefix(post.store.keys().clock_prefix());
    let page = post.store.connection().range(&clocks).await?;
    let told = page
        .kvs
        .iter()
        .filter_map(|kv| std::str::from_utf8(&kv.value).ok()?.parse().ok());
    let own_ms = post.store.now_ms();
    let now_ms = agreed(own_ms, told.collect());
    let ahead_ms = own_ms - now_ms;
    if ahead_ms > AHEAD_MS {
        error!(
            ahead_ms,
            "this leader's clock is ahead of those of half the nodes, collecting by theirs"
        );
    }
    let mut retention_ms = u64::try_from(post.retention.as_millis()).unwrap_or(u64::MAX);
    if planted::is(Bug::RetentionIgnored) {
        retention_ms = 0;
    }
    Ok(Times {
        now_ms,
        retention_ms,
    })
}

/// What this leader's clock says, and at most what those of half the nodes do at least: a leader that is ahead neither forgets what
/// has just ended nor raises the horizon above what others submit, and one node that is behind holds nothing up where there are three.
fn agreed(own_ms: u64, mut told: Vec<u64>) -> u64 {
    told.sort_unstable();
    let middle = told.get(told.len().saturating_sub(1) / 2);
    middle.map_or(own_ms, |middle| own_ms.min(*middle))
}

/// Works off the oldest marks from this key on.
async fn sweep(post: &Post, fence: &Guard, times: Times, from: &str) -> Result<Swept, ReadError> {
    let keys = post.store.keys();
    let range = Range::between(from, keys.gc_before(times.old_ms()))
        .limit(SWEEP_MAX)
        .keys_only();
    let marks = post.store.connection().range(&range).await?;
    let (mut changes, mut swept) = (Vec::new(), Swept::default());
    let (mut packs, mut horizon) = (BTreeSet::<PackId>::new(), None);
    for kv in &marks.kvs {
        // A pack with several marks is looked at once: its other marks find it gone.
        let mark = keys.gc_mark(&kv.key);
        let Some((minute_ms, pack)) = mark.filter(|(_, pack)| packs.insert(*pack)) else {
            continue;
        };
        let mark = |idem| Collect {
            mark: kv.key.clone(),
            modified: kv.mod_revision,
            pack,
            idem,
        };
        match look(post, pack, times).await {
            Ok(Look::Ended(idem)) => {
                horizon = horizon.max(Some(times.above(pack, minute_ms)));
                changes.push(Change::Collect(mark(idem)));
            }
            Ok(Look::Open) => changes.push(Change::Unmark(mark(Vec::new()))),
            Ok(Look::Later(ended_ms)) => changes.push(Change::Postpone(Postpone {
                mark: mark(Vec::new()),
                ended_ms,
            })),
            Err(problem) => {
                error!(%pack, %problem, "a pack that cannot be read is kept");
                metrics::pack_skipped();
                swept.passed = Some(Keys::following(&kv.key));
                // Where etcd answers nothing at all, reading the marks behind it fails too, and that ends the round.
                if matches!(problem, Unreadable::Read(_)) {
                    break;
                }
            }
        }
    }
    if let Some(horizon) = horizon {
        let raise = [Change::Raise(Raise { horizon })];
        post.store.commit_batch(Some(fence), &raise, &[]).await;
    }
    swept.worked = commit(post, fence, changes).await;
    Ok(swept)
}

/// How many of these changes are done.
async fn commit(post: &Post, fence: &Guard, changes: Vec<Change>) -> usize {
    let mut worked = 0;
    for batch in batches(post.store.keys(), changes) {
        let verdicts = post.store.commit_batch(Some(fence), &batch, &[]).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collection_goes_by_what_half_the_clocks_say_and_never_ahead_of_its_own() {
        // The leader's clock, what is told, the leader's own included; what is gone by.
        for (own, told, agreed_ms) in [
            (70, vec![], 70),
            (70, vec![60], 60),
            (50, vec![60], 50),
            (900, vec![60, 890], 60),
            (900, vec![890, 61, 60], 61),
            (70, vec![60, 61, 1], 60),
            (70, vec![900, 60, 61, 59], 60),
        ] {
            assert_eq!(agreed(own, told.clone()), agreed_ms, "{own} {told:?}");
        }
    }
}
