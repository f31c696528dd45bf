//! What a leader does beside scheduling: the leadership history, compaction of etcd's history, collection of ended packs, counts
//! for metrics. Never touches a task that has not ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tenure_cluster::{Ended, Guard, Predecessor, Room, Term};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tracing::{debug, error, warn};

use super::failovers::{self, Failovers};
use super::{Post, collect};
use crate::metrics;
use crate::store::{self, Change, EndedBy, LookError, TERMS_MAX, TermRecord, Verdict};
use crate::task::{State, millis};

/// 15 s between counts of queues for metrics: each reads at most a thousand records per lane.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// 1 s between attempts to write the history, 30 of them: it is for people, not for decisions.
const HISTORY_RETRY: Duration = Duration::from_secs(1);
const HISTORY_TRIES: usize = 30;

/// 16 terms are closed at once: of those before, all but a few were closed by the next.
const FORMERS_MAX: usize = 16;

/// Half of the quota in use: etcd's history is then compacted early, before submits have to be refused.
const PRESSURE: f64 = 0.5;

/// 5 s between looks at etcd's size.
const PRESSURE_EVERY: Duration = Duration::from_secs(5);

/// 15 s before work that panicked begins again: seldom enough to be read in the log.
const AGAIN: Duration = Duration::from_secs(15);

/// Starts the work of a term; it ends when the set is dropped or shut down.
pub(super) fn start(
    post: Arc<Post>,
    term: &Term,
    record: TermRecord,
    told: Failovers,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (fence, number) = (term.guard(), term.revision());
    let before = term.succeeded().cloned();
    let (stored, writes, former) = (post.store.clone(), fence.clone(), before.clone());
    tasks.spawn(kept("failovers", AGAIN, move || {
        failovers::tell(told.clone(), stored.clone(), writes.clone(), former.clone())
    }));
    let history = (Arc::clone(&post), fence.clone());
    tasks.spawn(async move { write(&history.0, history.1, number, record, before).await });
    let counted = Arc::clone(&post);
    tasks.spawn(kept("counts", AGAIN, move || count(Arc::clone(&counted))));
    let collected = Arc::clone(&post);
    tasks.spawn(kept("collection", AGAIN, move || {
        collect::run(Arc::clone(&collected), fence.clone())
    }));
    if let Some(every) = post.compaction {
        tasks.spawn(kept("compaction", AGAIN, move || {
            compact(Arc::clone(&post), every)
        }));
    }
    tasks
}

/// Work that ends with the term only: where it panics it is told and begun again. The term goes on, for what makes it panic is
/// likely there under the next leader as well, and scheduling needs none of this.
async fn kept<Work: Future<Output = ()>>(
    what: &'static str,
    again: Duration,
    work: impl Fn() -> Work,
) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        error!(what, "panicked, beginning again");
        tokio::time::sleep(again).await;
    }
}

/// What is known of a term when it begins.
pub(super) fn opened(post: &Post, term: &Term) -> TermRecord {
    let gap = term.succeeded().map(|before| before.gap);
    TermRecord {
        node: post.node.clone(),
        address: post.address.clone(),
        from_ms: post.store.now_ms(),
        until_ms: None,
        ended_by: None,
        gap_ms: gap.map(millis),
    }
}

/// Opens this term's line of the history and closes those before it.
async fn write(
    post: &Post,
    fence: Guard,
    number: i64,
    record: TermRecord,
    before: Option<Predecessor>,
) {
    for _ in 0..HISTORY_TRIES {
        match line(post, number, &record, before.as_ref()).await {
            Ok(line) => {
                let line = [Change::Record(line)];
                let verdicts = post.store.commit_batch(Some(&fence), &line).await;
                if matches!(verdicts[..], [Verdict::Committed { .. }]) {
                    return;
                }
            }
            Err(problem) => warn!(%problem, "the leadership history could not be read"),
        }
        tokio::time::sleep(HISTORY_RETRY).await;
    }
}

/// This term's line, the ends of former ones, and which to forget.
async fn line(
    post: &Post,
    number: i64,
    record: &TermRecord,
    before: Option<&Predecessor>,
) -> Result<store::Term, LookError> {
    let (terms, _) = post.store.terms().await?;
    let seen = before.map(|before| (before.kv.create_revision, ended_by(before.ended_by)));
    Ok(told(number, record, &terms, seen))
}

/// The same from the history as it is, newest first, and what this leader saw of the end of the one before it. A term that is open
/// although another followed was left so by a write that failed: it ended by the time the next began.
fn told(
    number: i64,
    record: &TermRecord,
    terms: &[(i64, TermRecord)],
    seen: Option<(i64, EndedBy)>,
) -> store::Term {
    let former = || terms.iter().filter(|(term, _)| *term < number);
    let next_began = std::iter::once(record.from_ms).chain(former().map(|(_, next)| next.from_ms));
    let kept = former().take(TERMS_MAX - 1).zip(next_began);
    let formers = kept
        .filter(|((_, former), _)| former.until_ms.is_none())
        .take(FORMERS_MAX)
        .map(|((term, former), until_ms)| {
            let why = seen.filter(|(of, _)| of == term);
            let why = why.map_or(EndedBy::Unknown, |(_, why)| why);
            (*term, store::Term::closed(former.clone(), until_ms, why))
        });
    let forget = former().skip(TERMS_MAX - 1).take(TERMS_MAX);
    store::Term {
        term: number,
        record: record.clone(),
        formers: formers.collect(),
        forget: forget.map(|(term, _)| *term).collect(),
    }
}

fn ended_by(ended: Ended) -> EndedBy {
    match ended {
        Ended::LeaseGone => EndedBy::LeaseGone,
        Ended::KeyDeleted => EndedBy::KeyDeleted,
        Ended::Unknown => EndedBy::Unknown,
    }
}

/// Compacts up to where etcd was one interval ago, so that a watch that lags or a page that is read has as long to finish; at once
/// where the database fills up: then up to the last look, so that a watch that is not behind goes on.
async fn compact(post: Arc<Post>, every: Duration) {
    let mut mark = post.store.connection().seen_revision();
    let mut marked = Instant::now();
    let mut before = mark;
    let mut ticks = interval_at(Instant::now() + PRESSURE_EVERY, PRESSURE_EVERY.min(every));
    loop {
        ticks.tick().await;
        let now = post.store.connection().seen_revision();
        let last_look = std::mem::replace(&mut before, now);
        let pressed = under_pressure(&post).await;
        if !pressed && marked.elapsed() < every {
            continue;
        }
        let to = if pressed { last_look } else { mark };
        if to > 0 {
            match post.store.connection().compact(to).await {
                Ok(()) => debug!(to, pressed, "history compacted"),
                Err(problem) => debug!(to, %problem, "history not compacted"),
            }
        }
        (mark, marked) = (now, Instant::now());
    }
}

async fn under_pressure(post: &Post) -> bool {
    let members = post.store.connection().status().await;
    let healthy = members
        .iter()
        .filter_map(|member| member.health.as_ref().ok());
    Room::of_all(healthy, post.quota).is_some_and(|room| room.full(PRESSURE))
}

/// Counts tasks by queue and state for metrics; the leader's alone, so that sums over nodes mean something.
async fn count(post: Arc<Post>) {
    let mut ticks = interval_at(Instant::now(), COUNT_EVERY);
    loop {
        ticks.tick().await;
        match post.store.queues().await {
            Ok((queues, _)) => queues
                .iter()
                .for_each(|(name, queue)| shown(name.as_str(), queue, post.store.now_ms())),
            Err(problem) => debug!(%problem, "queues not counted"),
        }
        match post.store.count_schedules().await {
            Ok((active, all)) => metrics::schedules(active, all.saturating_sub(active)),
            Err(problem) => debug!(%problem, "schedules not counted"),
        }
    }
}

fn shown(name: &str, queue: &store::QueueSeen, now_ms: u64) {
    metrics::queue_tasks(name, State::Pending, queue.pending.tasks);
    metrics::queue_tasks(name, State::Scheduled, queue.scheduled.tasks);
    metrics::queue_tasks(name, State::Running, queue.running.tasks);
    metrics::queue_tasks(name, State::Dead, queue.dead.tasks);
    let age_ms = queue
        .oldest_pending_ms
        .map_or(0, |since| now_ms.saturating_sub(since));
    metrics::queue_oldest_pending(name, Duration::from_millis(age_ms));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn record(from_ms: u64, until_ms: Option<u64>) -> TermRecord {
        TermRecord {
            node: "n".parse().unwrap(),
            address: String::new(),
            from_ms,
            until_ms,
            ended_by: until_ms.map(|_| EndedBy::Resigned),
            gap_ms: None,
        }
    }

    #[test]
    fn every_term_that_was_left_open_is_closed_when_the_next_began() {
        let open = [2, 5, 7];
        let history = (1..=8_i64).rev().map(|term| {
            let from_ms = u64::try_from(term).unwrap() * 10;
            let until_ms = (!open.contains(&term)).then_some(from_ms + 9);
            (term, record(from_ms, until_ms))
        });
        let history: Vec<_> = history.collect();

        let line = told(
            9,
            &record(90, None),
            &history,
            Some((7, EndedBy::LeaseGone)),
        );

        let ends = line
            .formers
            .iter()
            .map(|(term, former)| (*term, former.until_ms.unwrap(), former.ended_by.unwrap()));
        let expected = [
            (7, 80, EndedBy::LeaseGone),
            (5, 60, EndedBy::Unknown),
            (2, 30, EndedBy::Unknown),
        ];
        assert_eq!(ends.collect::<Vec<_>>(), expected);
        assert_eq!(line.forget, Vec::<i64>::new());
    }

    #[test]
    fn what_is_forgotten_is_not_closed_and_both_are_bounded() {
        let history: Vec<_> = (1..=300)
            .rev()
            .map(|term| (term, record(1, None)))
            .collect();

        let line = told(301, &record(2, None), &history, None);

        assert_eq!(line.formers.len(), FORMERS_MAX);
        assert_eq!(line.forget.len(), TERMS_MAX);
        assert_eq!(line.forget.first(), Some(&201));
    }

    #[tokio::test]
    async fn work_that_panics_begins_again() {
        let runs = AtomicUsize::new(0);

        kept("counts", Duration::ZERO, || async {
            let before = runs.fetch_add(1, Ordering::Relaxed);
            assert!(before == 2, "on purpose");
        })
        .await;

        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }
}
