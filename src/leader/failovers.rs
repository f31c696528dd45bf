//! Tells what became of sessions and terms that are over: reads what etcd knows of each, writes the stories of [`crate::plan::Book`] down
//! under the term's fence, and says each once, in metrics and one line of the log. Puts none of them together itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tenure_cluster::{Event, Guard, Predecessor, Term};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::Post;
use crate::clock::Clock;
use crate::metrics;
use crate::plan::{At, Book, Job, View, Wrote};
use crate::store::{Change, Evidence, Failover, LookError, Store, Succession, Telling, Verdict};
use crate::task::{Name, millis};

/// 1 s between attempts to read what was left by former leaders.
const RETRY: Duration = Duration::from_secs(1);

/// 30 of those attempts. Then it is left to the next leader: this one does not tell of its predecessor, nor end what that had begun to
/// tell. It is for people, not for decisions.
const TRIES: usize = 30;

/// The stories of a term. A cheap handle.
#[derive(Clone)]
pub(super) struct Failovers(Arc<Inner>);

struct Inner {
    book: Mutex<Book>,
    bell: Notify,
    clock: Clock,
    began: Instant,
}

impl Failovers {
    /// Of a term that begins.
    pub(super) fn new(post: &Post, term: &Term) -> Self {
        // Where the loss of the leader before was seen, differences are taken from there.
        let began = term
            .succeeded()
            .map_or_else(Instant::now, |former| former.seen);
        let clock = post.store.clock().clone();
        let keys = post.store.keys().clone();
        let at = at(&clock, began, Instant::now());
        let book = Book::new(keys, post.node.clone(), term.revision(), at);
        Self(Arc::new(Inner {
            book: Mutex::new(book),
            bell: Notify::new(),
            clock,
            began,
        }))
    }

    /// Takes in a view that was loaded.
    pub(super) fn loaded(&self, view: &View) {
        self.book().loaded(view, self.now());
        self.0.bell.notify_one();
    }

    /// Takes in what the view is about to fold.
    pub(super) fn folding(&self, view: &View, events: &[Event]) {
        if self.book().folding(view, events, self.now()) {
            self.0.bell.notify_one();
        }
    }

    /// Held for what the book does with what is at hand: it reads nothing and waits for nothing.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> At {
        at(&self.0.clock, self.0.began, Instant::now())
    }
}

/// A moment that is over by now, on both clocks.
fn at(clock: &Clock, began: Instant, when: Instant) -> At {
    let ago_ms = millis(when.elapsed());
    At {
        wall_ms: clock.now_ms().saturating_sub(ago_ms),
        since: when.saturating_duration_since(began),
    }
}

/// Tells until the term is over.
pub(super) async fn tell(of: Failovers, store: Store, fence: Guard, before: Option<Predecessor>) {
    of.book().again();
    for tried in 1..=TRIES {
        match learn(&of, &store, before.as_ref()).await {
            Ok(()) => break,
            Err(problem) if tried == TRIES => {
                warn!(%problem, "what former leaders told cannot be read, left to the next leader");
            }
            Err(problem) => {
                warn!(%problem, "what former leaders told could not be read, trying again");
                sleep(RETRY).await;
            }
        }
    }
    loop {
        give_up(&of);
        let jobs = of.book().jobs(of.now());
        if jobs.is_empty() {
            let idle = of.book().idle(of.now());
            tokio::select! {
                () = of.0.bell.notified() => {}
                () = sleep(idle) => {}
            }
            continue;
        }
        let work = jobs.into_iter().map(|job| work(&of, &store, &fence, job));
        join_all(work).await;
    }
}

/// Says what is not told of.
fn give_up(of: &Failovers) {
    let given_up = of.book().given_up();
    for (id, (node, why)) in given_up {
        metrics::failover_untold(why.as_str());
        warn!(failover = id, %node, why = why.as_str(), "a failover is not told of, or not to its end");
    }
}

/// What was before this term: who led, what was noted of deaths, which stories have no end.
async fn learn(
    of: &Failovers,
    store: &Store,
    before: Option<&Predecessor>,
) -> Result<(), LookError> {
    if let Some(before) = before {
        let former = store.former(before).await?;
        let gone = at(&of.0.clock, of.0.began, before.seen);
        let mut book = of.book();
        let (node, term) = book.own();
        let after = |when: Instant| {
            let after = when.saturating_duration_since(before.seen);
            millis(after)
        };
        let to = Succession {
            node,
            term,
            oldest_ms: after(before.oldest),
            activated_ms: after(before.answered),
            view_ms: None,
            assigned_ms: None,
        };
        book.succeeds(former, gone, before.revision, to);
    }
    while !of.book().is_ready() {
        of.0.bell.notified().await;
    }
    let deaths = store.deaths().await?;
    let (told, _) = store.failovers(0).await?;
    let begun = told.into_iter();
    let begun = begun.filter(|one| one.seen.value.complete_ms.is_none());
    let begun = begun.map(|one| (one.id, one.seen.value)).collect();
    of.book().found(&deaths, begun, of.now());
    Ok(())
}

/// Does what is to be done for one story.
async fn work(of: &Failovers, store: &Store, fence: &Guard, job: Job) {
    let told = match job {
        Job::Read { id, node, gone_at } => {
            let facts = store.facts(id, &node, gone_at).await;
            let facts = facts.map_err(|problem| warn!(%problem, id, "not read for its record"));
            let last = of.book().read(id, facts.ok(), of.now());
            last.map(|record| (id, record))
        }
        Job::Write(telling) => {
            let wrote = write(store, fence, &telling).await;
            let last = of.book().wrote(&telling, wrote, of.now());
            last.map(|record| (telling.id, record))
        }
    };
    if let Some((id, record)) = told {
        say(id, &record);
    }
}

async fn write(store: &Store, fence: &Guard, telling: &Telling) -> Wrote {
    let change = [Change::Tell(telling.clone())];
    let verdicts = store.commit_batch(Some(fence), &change).await;
    match verdicts.into_iter().next() {
        Some(Verdict::Committed { revision }) => Wrote::Yes(revision),
        Some(Verdict::Refused { lost, .. }) => {
            debug!(id = telling.id, ?lost, "a failover is on record otherwise");
            Wrote::No
        }
        Some(Verdict::Unknown(failure) | Verdict::Unavailable(failure)) => {
            warn!(%failure, id = telling.id, "a failover may not be on record, trying again");
            Wrote::No
        }
        None => Wrote::No,
    }
}

/// Says a story that is complete.
fn say(id: i64, record: &Failover) {
    let led = record.term.is_some();
    let evidence = record.evidence.map_or("unknown", Evidence::as_str);
    metrics::failover(led, evidence);
    let detection_ms = record.detection_ms();
    if let Some(ms) = detection_ms {
        metrics::failover_detection(evidence, Duration::from_millis(ms));
    }
    let leaderless_ms = record.succession.as_ref().map(|to| to.activated_ms);
    if let Some(ms) = leaderless_ms {
        metrics::failover_leaderless(Duration::from_millis(ms));
    }
    for (wait_ms, tasks) in &record.moved.waits {
        metrics::failover_waits(Duration::from_millis(*wait_ms), *tasks);
    }
    let by = record.by.as_ref().map(Name::as_str);
    let Failover {
        node, term, moved, ..
    } = record;
    info!(
        failover = id,
        %node,
        term,
        died = record.died,
        evidence,
        by,
        detection_ms,
        leaderless_ms,
        held = moved.tasks,
        started = moved.started,
        ended = moved.ended,
        wait_p50_ms = moved.wait_ms(50),
        wait_max_ms = moved.wait_ms(100),
        "failover complete"
    );
}
