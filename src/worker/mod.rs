//! A node's hands: its claims, bounded runs, their outcomes, and handing back; decides nothing about who gets work.
//!
//! It watches one prefix, its own. A claim that names its session is run; each outcome is reported once, by a transaction that
//! compares the claim; a claim that is gone was reclaimed, and its runs are dropped.

pub mod breaker;
mod held;
pub mod kinds;
mod levels;
mod machine;
pub mod pool;
mod report;
mod runs;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::Watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics;
use crate::store::{Seen, Stop, Store};
use crate::task::{ClaimId, Name};
use breaker::Breakers;
use held::Held;
use kinds::Kinds;
use levels::Levels;
pub use machine::{Gauge, Machine, Reading};
use pool::{Pool, Slots};

/// 20 ms: how long an outcome waits for others of its claim before it is reported alone.
const LINGER: Duration = Duration::from_millis(20);

/// 30 s between comparisons of what is held with what the store has.
const RECONCILE: Duration = Duration::from_secs(30);

/// 5 s for the last reports of a node that stops.
const LAST_REPORTS: Duration = Duration::from_secs(5);

/// What a worker needs to know of its node.
#[derive(Clone)]
pub struct Hands {
    /// The store.
    pub store: Store,
    /// What it can run.
    pub kinds: Arc<Kinds>,
    /// What holds runs back while they would only fail.
    pub breakers: Breakers,
    /// Its name.
    pub node: Name,
    /// Its session: only claims that name it are run.
    pub session: i64,
    /// Runs at once.
    pub slots: Slots,
    /// Node deaths that a task survives.
    pub deaths_max: u32,
    /// How long runs may go on once the node is to stop.
    pub grace: Duration,
}

/// When a worker ends.
#[derive(Clone)]
pub struct Until {
    /// The session is lost: drop every run at once.
    pub lost: CancellationToken,
    /// The node is to stop: hand back what has not started, finish the rest within the grace.
    pub drain: CancellationToken,
}

/// The worker's state.
struct Worker {
    hands: Hands,
    claims: BTreeMap<ClaimId, Held>,
    /// Stops of claims that have not been seen yet: two watches tell of them, in any order. They go with their keys.
    early: BTreeMap<ClaimId, Seen<Stop>>,
    /// Claims with tasks to start, in the order they came.
    line: VecDeque<ClaimId>,
    runs: JoinSet<runs::Finished>,
    pool: Pool,
    packs: runs::Packs,
    reports: JoinSet<report::Landed>,
    /// No report is sent before this.
    pause: Option<Instant>,
    draining: bool,
    levels: Levels,
}

/// Works until the session is lost or the drain is done. Dropping it drops every run, which kills their process groups.
pub async fn work(hands: Hands, until: Until) {
    let lost = until.lost.clone();
    tokio::select! {
        biased;
        () = lost.cancelled() => warn!("session lost: every run is dropped"),
        () = Worker::new(hands).run(until.drain) => {}
    }
    metrics::worker_slots(0, 0);
}

impl Worker {
    fn new(hands: Hands) -> Self {
        Self {
            pool: Pool::new(hands.slots.clone()),
            levels: Levels::of(hands.store.vitals()),
            hands,
            claims: BTreeMap::new(),
            early: BTreeMap::new(),
            line: VecDeque::new(),
            runs: JoinSet::new(),
            packs: runs::Packs::default(),
            reports: JoinSet::new(),
            pause: None,
            draining: false,
        }
    }

    async fn run(mut self, drain: CancellationToken) {
        let (mut claims, mut stops) = self.sync().await;
        let mut ticks = interval_at(Instant::now() + LINGER, LINGER);
        let mut reconcile = interval_at(Instant::now() + RECONCILE, RECONCILE);
        let mut end: Option<End> = None;
        loop {
            self.start_runs();
            self.send_reports();
            self.pool.runs(self.runs.len());
            self.tell_levels();
            if end.is_some() && self.claims.is_empty() {
                return;
            }
            let wanted = self.wants_ticks();
            tokio::select! {
                () = drain.cancelled(), if end.is_none() => {
                    self.draining = true;
                    end = Some(End { at: Instant::now() + self.hands.grace, last: false });
                }
                () = at(end), if end.is_some() => match end {
                    Some(End { last: false, .. }) => {
                        self.give_up();
                        end = Some(End { at: Instant::now() + LAST_REPORTS, last: true });
                    }
                    Some(End { last: true, .. }) | None => return,
                },
                delivery = claims.next() => if !self.fold_claims(delivery) {
                    (claims, stops) = self.sync().await;
                },
                delivery = stops.next() => if !self.fold_stops(delivery) {
                    (claims, stops) = self.sync().await;
                },
                Some(finished) = self.runs.join_next(), if !self.runs.is_empty() => self.finished(finished),
                Some(fetched) = self.packs.next(), if !self.packs.is_empty() => self.fetched(fetched),
                Some(landed) = self.reports.join_next(), if !self.reports.is_empty() => self.landed(landed),
                _ = ticks.tick(), if wanted => self.hand_back_late(),
                news = self.pool.next(), if !self.draining => self.heard(news),
                _ = reconcile.tick() => (claims, stops) = self.sync().await,
            }
        }
    }

    /// Whether something is waited for that only time brings.
    fn wants_ticks(&self) -> bool {
        self.claims
            .values()
            .any(|held| held.has_ended() || !held.waiting.is_empty() || held.report.is_some())
    }

    /// Where slots became fewer, what runs goes on, and what waits in hand goes back in its time as if it had been claimed ahead.
    fn heard(&mut self, news: pool::News) {
        match news {
            pool::News::Read(machine) => {
                let in_hand = self.claims.values().map(|held| held.waiting.len()).sum();
                self.pool.decide(in_hand, machine);
            }
            // They are used from the next round on.
            pool::News::Changed => {}
        }
    }

    /// What was claimed ahead and does not get its turn goes back to the queue; when draining, at once.
    fn hand_back_late(&mut self) {
        let now_ms = self.hands.store.now_ms();
        for held in self.claims.values_mut() {
            let late = held.hand_back_at.is_some_and(|at| Instant::now() >= at);
            if self.draining || late {
                held.hand_back(now_ms);
            }
        }
    }

    /// Forgets a claim. Its pack, where that is being read, is kept for the next claim on it.
    fn forget(&mut self, claim: ClaimId) -> Option<Held> {
        let held = self.claims.remove(&claim)?;
        self.line.retain(|other| *other != claim);
        Some(held)
    }

    /// The grace is over: what still runs is given up and will run elsewhere.
    fn give_up(&mut self) {
        self.runs.abort_all();
        for held in self.claims.values_mut() {
            held.give_up(
                "the node shut down before the run ended",
                self.hands.store.now_ms(),
            );
        }
    }
}

/// Until when a worker that drains goes on; the last stretch is for reports only.
#[derive(Clone, Copy)]
struct End {
    at: Instant,
    last: bool,
}

async fn at(end: Option<End>) {
    match end {
        Some(end) => tokio::time::sleep_until(end.at).await,
        None => std::future::pending().await,
    }
}

/// The two watches of a worker.
type Watches = (Watch, Watch);
