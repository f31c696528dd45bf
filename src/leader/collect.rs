//! Forgets packs whose tasks have all ended, after the retention; a pack with one task that has not ended stays whole, and so does
//! one that cannot be read, which keeps no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use tenure_cluster::{Failure, Guard, Range, ReadError};
use tokio::time::{Instant, interval_at};
use tracing::{debug, error, warn};

use super::Post;
use super::look::{Look, Times, Unreadable, look};
use crate::metrics;
use crate::planted::{self, Bug};
use crate::store::{Change, Collect, GuardName, Keys, Postpone, Raise, Verdict, batches};
use crate::task::{PackId, millis};

/// 256 marks to one sweep: deleting so many packs takes etcd some milliseconds.
const SWEEP_MAX: i64 = 256;

/// 8 packs are looked at at a time, two reads each: a sweep of 512 reads in sequence would take a second.
const LOOKS_MAX: usize = 8;

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
    let mut retention_ms = millis(post.retention);
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
async fn sweep(post: &Post, fence: &Guard, times: Times, from: &str) -> Result<Swept, SweepError> {
    let keys = post.store.keys();
    let range = Range::between(from, keys.gc_before(times.old_ms()))
        .limit(SWEEP_MAX)
        .keys_only();
    let marks = post.store.connection().range(&range).await?;
    // A pack with several marks is looked at once: its other marks find it gone.
    let mut packs = BTreeSet::<PackId>::new();
    let looks = marks.kvs.into_iter().filter_map(|kv| {
        let (minute_ms, pack) = keys.gc_mark(&kv.key)?;
        let look = async move { (kv, minute_ms, pack, look(post, pack, times).await) };
        packs.insert(pack).then_some(look)
    });
    let looks: Vec<_> = stream::iter(looks).buffered(LOOKS_MAX).collect().await;
    let (mut changes, mut swept, mut horizon) = (Vec::new(), Swept::default(), None);
    for (kv, minute_ms, pack, look) in looks {
        let mark = |idem| Collect {
            mark: kv.key.clone(),
            modified: kv.mod_revision,
            pack,
            idem,
        };
        match look {
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
