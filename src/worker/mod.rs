//! A node's hands: its claims, bounded runs, their outcomes, and handing back; decides nothing about who gets work.
//!
//! It watches one prefix, its own. A claim that names its session is run; each outcome is reported once, by a transaction that
//! compares the claim; a claim that is gone was reclaimed, and its runs are dropped.

pub mod breaker;
mod duty;
mod held;
pub mod kinds;
mod lease;
mod levels;
mod lost;
mod machine;
pub mod pool;
mod report;
mod runs;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tenure_cluster::Watch;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::metrics;
use crate::store::{Seen, Stop, Store};
use crate::task::{ClaimId, Name};
use breaker::Breakers;
pub use duty::Duty;
use duty::{Due, Handover};
use held::Held;
use kinds::Kinds;
pub use lease::{Lease, margin};
use levels::Levels;
pub use lost::Left;
pub use machine::{Gauge, Machine, Reading};
use pool::{Pool, Slots};

/// 20 ms: how long an outcome waits for others of its claim before it is reported alone.
const LINGER: Duration = Duration::from_millis(20);

/// 30 s between comparisons of what is held with what the store has.
const RECONCILE: Duration = Duration::from_secs(30);

/// 2 s for a look at what was claimed before a node began to hand over; what comes later by its watch is handed back as well.
const LAST_LOOK: Duration = Duration::from_secs(2);

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
    /// Until when they may where etcd is silent.
    pub lease: Lease,
    /// How many runs there are that go on past a lost session, of this worker and of those before it: they take slots.
    pub finishing: Arc<AtomicUsize>,
}

/// What a worker is told while it works.
#[derive(Clone)]
pub struct Until {
    /// The session is lost: end every run before the lease can be given away.
    pub lost: CancellationToken,
    /// What the hands are to do.
    pub duty: watch::Receiver<Duty>,
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
    /// Those that go on past a lost session.
    finishing: JoinSet<runs::Finished>,
    pool: Pool,
    packs: runs::Packs,
    reports: JoinSet<report::Landed>,
    /// No report is sent before this.
    pause: Option<Instant>,
    handover: Handover,
    /// Its session is lost.
    lost: bool,
    /// etcd has decided a report.
    decided: CancellationToken,
    levels: Levels,
}

/// Works until the session is lost, or until it has handed over where it is to leave. Where it is lost, every run but those that are to
/// finish is gone when this returns, and what is left is to be told. Dropping it drops every run, which kills their process groups.
pub async fn work(hands: Hands, until: Until) -> Option<Left> {
    let mut lease = hands.lease.clone();
    let mut worker = Worker::new(hands);
    let lost = tokio::select! {
        biased;
        () = until.lost.cancelled() => true,
        never = lease.follow() => match never {},
        () = worker.run(until.duty) => false,
    };
    if lost {
        worker.fence(&lease).await;
    }
    metrics::worker_slots(0, 0);
    if lost { worker.left() } else { None }
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
            finishing: JoinSet::new(),
            packs: runs::Packs::default(),
            reports: JoinSet::new(),
            pause: None,
            handover: Handover::default(),
            lost: false,
            decided: CancellationToken::new(),
        }
    }

    async fn run(&mut self, mut duty: watch::Receiver<Duty>) {
        // Told before the first look, it takes that up after it.
        duty.mark_changed();
        let (mut claims, mut stops) = self.sync().await;
        let mut ticks = interval_at(Instant::now() + LINGER, LINGER);
        let mut reconcile = interval_at(Instant::now() + RECONCILE, RECONCILE);
        loop {
            self.start_runs();
            self.send_reports();
            self.pool.runs(self.busy());
            self.tell_levels();
            if self.handover.ends_when_empty() && self.claims.is_empty() {
                return;
            }
            let wanted = self.wants_ticks();
            tokio::select! {
                Ok(()) = duty.changed() => {
                    let told = *duty.borrow_and_update();
                    if let Some(looked) = self.told(told).await {
                        (claims, stops) = looked;
                    }
                }
                due = due(self.handover) => match due {
                    Due::GiveUp => {
                        self.give_up();
                        self.handover.did(Instant::now());
                    }
                    Due::End => return,
                },
                delivery = claims.next() => if !self.fold_claims(delivery) {
                    (claims, stops) = self.sync().await;
                },
                delivery = stops.next() => if !self.fold_stops(delivery) {
                    (claims, stops) = self.sync().await;
                },
                Some(finished) = self.runs.join_next(), if !self.runs.is_empty() => self.finished(finished),
                Some(finished) = self.finishing.join_next(), if !self.finishing.is_empty() => self.finished(finished),
                Some(fetched) = self.packs.next(), if !self.packs.is_empty() => self.fetched(fetched),
                Some(landed) = self.reports.join_next(), if !self.reports.is_empty() => self.landed(landed),
                _ = ticks.tick(), if wanted => self.hand_back_late(),
                news = self.pool.next(), if !self.handover.starts_nothing() => self.heard(news),
                _ = reconcile.tick() => (claims, stops) = self.sync().await,
            }
        }
    }

    /// Takes up a duty. Where it is to hand over, looks once more at what it has: what was claimed for it before that was known comes by
    /// another watch, and must not be left behind. The watches that go on from that look; none where they go on as they are.
    async fn told(&mut self, duty: Duty) -> Option<Watches> {
        let taken = self.handover.take(duty, Instant::now(), self.hands.grace);
        if !taken || !self.handover.starts_nothing() {
            return None;
        }
        info!(?duty, claims = self.claims.len(), "handing over");
        let looked = tokio::time::timeout(LAST_LOOK, self.sync()).await;
        looked
            .inspect_err(|_| warn!("what was claimed last could not be read in {LAST_LOOK:?}"))
            .ok()
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
            if self.handover.starts_nothing() || late {
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
        // What has ended in time is told as it ended.
        while let Some(finished) = self.runs.try_join_next() {
            self.finished(finished);
        }
        self.runs.abort_all();
        self.finishing.abort_all();
        for held in self.claims.values_mut() {
            held.give_up(
                "the node was drained or shut down before the run ended",
                self.hands.store.now_ms(),
            );
        }
    }
}

/// Waits until something is due.
async fn due(handover: Handover) -> Due {
    let Some((at, due)) = handover.next() else {
        return std::future::pending().await;
    };
    tokio::time::sleep_until(at).await;
    due
}

/// The two watches of a worker.
type Watches = (Watch, Watch);
