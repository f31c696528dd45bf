//! What a node knows of limits and of backlogs, to refuse a submit that could never run, or that a queue has no room for; a little
//! behind, so it decides nothing that has to hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tenure_cluster::{Delivery, Range, Watch, WatchSpec};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::commit::Store;
use super::keys::Live;
use super::locate::LookError;
use super::overview::{Count, decoded};
use super::records::decode;
use super::rules::{Importance, Limit, QueueRules};
use crate::task::{LIMIT_MAX, Name, Routing};

/// 1 s between looks at the backlogs that are bounded, and after a look that failed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// 100 ms between looks at least, however many edits come.
const LOOKS_APART: Duration = Duration::from_millis(100);

/// 10 s for one look, however many queues have a bound.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// 64 records are read of a backlog to know how many tasks one has; etcd counts the rest, some 90 ns each (docs/benchmarks.md).
const SAMPLE: i64 = 64;

/// Why a submit is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It asks for more of a semaphore than there is.
    Weight {
        /// Which of its permits.
        nth: usize,
        /// The semaphore.
        semaphore: Name,
        /// Its limit.
        limit: u32,
    },
    /// Its queue has as many pending tasks as it may have.
    Backlog {
        /// The queue.
        queue: Name,
        /// About how many are pending.
        pending: u64,
        /// The bound.
        max: u64,
    },
}

/// What a node knows. A cheap handle; [`Rulebook::keep`] keeps it up to date.
#[derive(Clone, Default)]
pub struct Rulebook(Arc<RwLock<Arc<Page>>>);

/// The limits and bounds as they were read last.
#[derive(Default)]
struct Page {
    semaphores: BTreeMap<Name, u32>,
    backlogs: BTreeMap<Name, Backlog>,
    importances: BTreeMap<Name, Importance>,
    /// The greatest part of its bound that was pending in a queue.
    fullest: f64,
}

/// A queue whose backlog is bounded.
struct Backlog {
    max: u64,
    /// Ready tasks at the last look.
    counted: u64,
    /// Tasks that this node ever took, shared by all pages: what is taken while a look goes on is not forgotten by it.
    taken: Arc<AtomicU64>,
    /// As many of those as there were when the last look began; what came in meanwhile may count twice until the next.
    before: u64,
}

impl Backlog {
    /// Counts so many more tasks where there is room for them.
    ///
    /// # Errors
    /// About how many are pending, where there is not.
    fn take(&self, tasks: u64) -> Result<(), u64> {
        let taken = self.taken.fetch_add(tasks, Ordering::Relaxed);
        let pending = self.counted + (taken - self.before);
        if pending.saturating_add(tasks) <= self.max {
            return Ok(());
        }
        self.taken.fetch_sub(tasks, Ordering::Relaxed);
        Err(pending)
    }
}

impl Rulebook {
    /// Whether so many tasks of this routing may be submitted, to be run at once; then they are counted. None are to be run later:
    /// they are no backlog until they are due.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn admit(&self, routing: &Routing, tasks: u64) -> Result<(), Unfit> {
        let page = self.page();
        let permits = routing.needs.iter().flat_map(|needs| &needs.permits);
        for (nth, permit) in permits.enumerate() {
            let known = page.semaphores.get(&permit.semaphore);
            let limit = known.copied().unwrap_or(LIMIT_MAX);
            if permit.weight > limit {
                let semaphore = permit.semaphore.clone();
                return Err(Unfit::Weight {
                    nth,
                    semaphore,
                    limit,
                });
            }
        }
        let Some(backlog) = page.backlogs.get(&routing.queue).filter(|_| tasks > 0) else {
            return Ok(());
        };
        backlog.take(tasks).map_err(|pending| Unfit::Backlog {
            queue: routing.queue.clone(),
            pending,
            max: backlog.max,
        })
    }

    /// The importance of a queue.
    pub fn importance(&self, queue: &Name) -> Importance {
        let page = self.page();
        page.importances.get(queue).copied().unwrap_or_default()
    }

    /// What is pending in the queue that is fullest by its bound, as a part of that, at the last look; 0 where none is bounded.
    pub fn fullest(&self) -> f64 {
        self.page().fullest
    }

    /// Keeps it up to date until told to stop: read anew with every edit, the backlogs every second.
    pub async fn keep(self, store: Store, closing: CancellationToken) {
        // Every edit puts this key in its own transaction.
        let watch = || WatchSpec::key(store.keys().rules());
        let mut edits = store.connection().watch(watch());
        loop {
            let look = timeout(LOOK_MAX, read(&store, &self.page())).await;
            let again = match look {
                Ok(Ok(page)) => {
                    let counted = !page.backlogs.is_empty();
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(page);
                    counted
                }
                Ok(Err(problem)) => {
                    warn!(%problem, "limits could not be read, trying again");
                    true
                }
                Err(_) => {
                    warn!("limits could not be read within {LOOK_MAX:?}, trying again");
                    true
                }
            };
            let (soon, next) = (Instant::now() + LOOKS_APART, Instant::now() + LOOK_EVERY);
            tokio::select! {
                () = closing.cancelled() => return,
                fell_behind = edited(&mut edits) => if fell_behind {
                    edits = store.connection().watch(watch());
                },
                () = sleep_until(next), if again => {}
            }
            // However many edits come, and whatever the watch says.
            tokio::select! {
                () = closing.cancelled() => return,
                () = sleep_until(soon) => {}
            }
        }
    }

    fn page(&self) -> Arc<Page> {
        let page = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&page)
    }
}

/// Waits for an edit; whether the watch fell behind compaction and has to begin anew.
async fn edited(edits: &mut Watch) -> bool {
    loop {
        match edits.next().await {
            Delivery::Events { .. } => return false,
            Delivery::Progress { .. } => {}
            Delivery::Compacted { .. } => return true,
        }
    }
}

async fn read(store: &Store, last: &Page) -> Result<Page, LookError> {
    let (keys, mut page) = (store.keys(), Page::default());
    let taken = |backlog: &Backlog| {
        (
            Arc::clone(&backlog.taken),
            backlog.taken.load(Ordering::Relaxed),
        )
    };
    let mut taken: BTreeMap<&Name, _> = last
        .backlogs
        .iter()
        .map(|(name, backlog)| (name, taken(backlog)))
        .collect();
    let revision = store.revision().await?;
    for kv in store.whole(&keys.semaphore_prefix(), revision).await? {
        if let Some(Live::Semaphore(name)) = keys.live(&kv.key) {
            let Limit { limit } = decode(&kv.key, &kv.value)?;
            page.semaphores.insert(name, limit);
        }
    }
    for kv in store.whole(&keys.queue_prefix(), revision).await? {
        let Some(Live::Queue(name)) = keys.live(&kv.key) else {
            continue;
        };
        let rules: QueueRules = decode(&kv.key, &kv.value)?;
        if let Some(importance) = rules.importance {
            page.importances.insert(name.clone(), importance);
        }
        if let Some(max) = rules.backlog_max {
            let (taken, before) = taken.remove(&name).unwrap_or_default();
            let counted = ready(store, &name, revision).await?;
            // What was stopped on purpose is no sign of too little of anything.
            if rules.paused.is_none() {
                page.fullest = page.fullest.max(part(counted, max));
            }
            let backlog = Backlog {
                max,
                counted,
                taken,
                before,
            };
            page.backlogs.insert(name, backlog);
        }
    }
    Ok(page)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "tasks of a queue are far fewer than 2^52"
)]
fn part(pending: u64, max: u64) -> f64 {
    pending as f64 / max.max(1) as f64
}

/// About how many tasks of a queue are ready.
async fn ready(store: &Store, queue: &Name, revision: i64) -> Result<u64, LookError> {
    let range = Range::prefix(store.keys().ready_queue(queue))
        .limit(SAMPLE)
        .at(revision);
    let page = store.connection().range(&range).await?;
    let records = decoded(&page.kvs)?;
    let tasks = records.iter().map(|record| record.which.len() as u64).sum();
    Ok(Count::of(tasks, records.len(), page.count).tasks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Keys, encode};
    use crate::task::{Needs, Permit, Priority};
    use tenure_cluster::{Connection, Options, Txn};
    use tenure_testkit::Etcd;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn routing(weight: u32) -> Routing {
        let permit = Permit {
            semaphore: name("db"),
            weight,
        };
        let needs = Needs {
            permits: vec![permit],
            ..Needs::default()
        };
        Routing {
            queue: name("q"),
            kind: name("k"),
            priority: Priority::default(),
            needs: Some(needs.into()),
        }
    }

    fn book(semaphores: &[(&str, u32)], max: Option<u64>) -> Rulebook {
        let semaphores = semaphores.iter().map(|(of, limit)| (name(of), *limit));
        let backlog = |max| {
            let backlog = Backlog {
                max,
                counted: 5,
                taken: Arc::default(),
                before: 0,
            };
            (name("q"), backlog)
        };
        let page = Page {
            semaphores: semaphores.collect(),
            backlogs: max.map(backlog).into_iter().collect(),
            ..Page::default()
        };
        Rulebook(Arc::new(RwLock::new(Arc::new(page))))
    }

    #[test]
    fn what_asks_for_more_than_there_is_is_not_taken_where_that_is_known() {
        let known = book(&[("db", 3)], None);
        assert_eq!(known.admit(&routing(3), 1), Ok(()));
        let unfit = Unfit::Weight {
            nth: 0,
            semaphore: name("db"),
            limit: 3,
        };
        assert_eq!(known.admit(&routing(4), 1), Err(unfit));
        assert_eq!(book(&[], None).admit(&routing(4), 1), Ok(()));
    }

    #[test]
    fn a_backlog_counts_what_was_taken_since_it_was_looked_at_and_not_what_was_refused() {
        let book = book(&[], Some(10));
        assert_eq!(book.admit(&routing(1), 3), Ok(()));
        let unfit = Unfit::Backlog {
            queue: name("q"),
            pending: 8,
            max: 10,
        };
        assert_eq!(book.admit(&routing(1), 3), Err(unfit));
        assert_eq!(book.admit(&routing(1), 2), Ok(()));
        assert!(book.admit(&routing(1), 1).is_err());
        assert_eq!(book.admit(&routing(1), 0), Ok(()), "it is no backlog yet");
    }

    #[tokio::test]
    async fn what_is_taken_while_a_look_goes_on_is_counted_after_it_too() {
        let etcd = Etcd::single();
        let connection = Connection::open(Options::new(etcd.endpoints())).unwrap();
        let store = Store::new(connection, Keys::new(&name("default")));
        let rules = QueueRules {
            backlog_max: Some(10),
            ..QueueRules::default()
        };
        let put = Txn::new().put(store.keys().queue(&name("q")), encode(&rules));
        assert!(store.connection().commit(&put).await.committed().is_some());
        let book = Rulebook(Arc::new(RwLock::new(Arc::new(
            read(&store, &Page::default()).await.unwrap(),
        ))));

        let page = book.page();
        let mut looking = std::pin::pin!(read(&store, &page));
        assert!(futures::poll!(&mut looking).is_pending(), "it has begun");
        assert_eq!(book.admit(&routing(1), 8), Ok(()));
        let next = looking.await.unwrap();
        *book.0.write().unwrap() = Arc::new(next);
        let unfit = Unfit::Backlog {
            queue: name("q"),
            pending: 8,
            max: 10,
        };
        assert_eq!(book.admit(&routing(1), 3), Err(unfit));
        // The next look begins with all of it, and finds what has come of it: nothing here.
        let next = read(&store, &book.page()).await.unwrap();
        *book.0.write().unwrap() = Arc::new(next);
        assert_eq!(book.admit(&routing(1), 10), Ok(()));
    }
}
