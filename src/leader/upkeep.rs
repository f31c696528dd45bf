//! What a leader does beside scheduling: the leadership history, compaction of etcd's history, collection of ended packs, counts
//! for metrics. Never touches a task that has not ended.

use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::{Ended, Guard, Predecessor, Room, Term};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tracing::{debug, warn};

use super::{Post, collect};
use crate::metrics;
use crate::store::{self, Change, EndedBy, LookError, TERMS_MAX, TermRecord, Verdict};
use crate::task::State;

/// 15 s between counts of queues for metrics: each reads at most a thousand records per lane.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// 1 s between attempts to write the history, 30 of them: it is for people, not for decisions.
const HISTORY_RETRY: Duration = Duration::from_secs(1);
const HISTORY_TRIES: usize = 30;

/// Half of the quota in use: etcd's history is then compacted early, before submits have to be refused.
const PRESSURE: f64 = 0.5;

/// 5 s between looks at etcd's size.
const PRESSURE_EVERY: Duration = Duration::from_secs(5);

/// Starts the work of a term; it ends when the set is dropped or shut down.
pub(super) fn start(post: Arc<Post>, term: &Term, record: TermRecord) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (fence, number) = (term.guard(), term.revision());
    let before = term.succeeded().cloned();
    let history = (Arc::clone(&post), fence.clone());
    tasks.spawn(async move { write(&history.0, history.1, number, record, before).await });
    tasks.spawn(count(Arc::clone(&post)));
    tasks.spawn(collect::run(Arc::clone(&post), fence));
    if let Some(every) = post.compaction {
        tasks.spawn(compact(post, every));
    }
    tasks
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
        gap_ms: gap.map(|gap| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)),
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
        match lines(post, number, &record, before.as_ref()).await {
            Ok(lines) => {
                let lines: Vec<Change> = lines.into_iter().map(Change::Record).collect();
                let verdicts = post.store.commit_batch(Some(&fence), &lines, &[]).await;
                if verdicts
                    .iter()
                    .all(|verdict| matches!(verdict, Verdict::Committed { .. }))
                {
                    return;
                }
            }
            Err(problem) => warn!(%problem, "the leadership history could not be read"),
        }
        tokio::time::sleep(HISTORY_RETRY).await;
    }
}

/// This term's line, the ends of former ones, and which to forget.
async fn lines(
    post: &Post,
    number: i64,
    record: &TermRecord,
    before: Option<&Predecessor>,
) -> Result<Vec<store::Term>, LookError> {
    let (terms, _) = post.store.terms().await?;
    let seen = before.map(|before| (before.kv.create_revision, ended_by(before.ended_by)));
    let mut open = terms
        .iter()
        .filter(|(term, former)| *term < number && former.until_ms.is_none())
        .map(|(term, former)| {
            let why = seen
                .filter(|(of, _)| of == term)
                .map_or(EndedBy::Unknown, |(_, why)| why);
            (
                *term,
                store::Term::closed(former.clone(), record.from_ms, why),
            )
        });
    let forget = terms
        .iter()
        .skip(TERMS_MAX - 1)
        .map(|(term, _)| *term)
        .collect();
    let line = store::Term {
        term: number,
        record: record.clone(),
        former: open.next(),
        forget,
    };
    Ok(vec![line])
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
