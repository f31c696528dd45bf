//! While holding a term: events into the view, the plan out of it, the plan's changes committed under the term's fence. Never
//! decides (that is [`crate::plan`]) and never writes but through [`crate::store`].

mod collect;
mod failovers;
mod fires;
mod flight;
mod hold;
mod levels;
mod load;
mod look;
mod office;
mod refill;
mod upkeep;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use tenure_cluster::{Delivery, Term, Watch};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::plan::{Bounds, Numbers, Orphans, Rules, Turn, Turns, View, next};
use crate::store::{self, Change, EndedBy, Store, TermRecord};
use crate::task::{Name, millis};
use failovers::Failovers;
use fires::Fires;
use flight::Flights;
use office::{Leading, tell_nodes};
use refill::{Compacted, Refills};
use warm::Kept;
pub use warm::Warm;

/// 60 records to one round of assignments: what fits one batch.
const ROUND: Bounds = Bounds {
    records_max: 60,
    claims_max: 120,
};

/// 32 claims to one round of reclaims, of up to 16 records each: what fits one batch.
const RECLAIMS_MAX: usize = 32;

/// 60 records to one round of promotions.
const PROMOTIONS_MAX: usize = 60;

/// 250 ms: how long the loop sleeps at most; rates of nodes that went quiet are looked at anew by then.
const TICK: Duration = Duration::from_millis(250);

/// 200 ms without an answer from etcd, or with a bad one: the pause before the next plan.
const PAUSE: Duration = Duration::from_millis(200);

/// 50 ms for what is in flight when a term ends, some commits: nobody leads meanwhile, and an answer that takes longer changes nothing.
const LANDING: Duration = Duration::from_millis(50);

/// What a leader needs to know of its node.
#[derive(Clone)]
pub struct Post {
    /// The store.
    pub store: Store,
    /// Its name.
    pub node: Name,
    /// Where its API answers.
    pub address: String,
    /// Records in each window.
    pub window: usize,
    /// Node deaths that a task survives.
    pub deaths_max: u32,
    /// How long ended tasks stay.
    pub retention: Duration,
    /// How often etcd's history is compacted; none where others share the etcd.
    pub compaction: Option<Duration>,
    /// etcd's quota in bytes, where it does not tell.
    pub quota: i64,
    /// Whether etcd has so little room left that no new work is taken. The node keeps it up to date.
    pub full: watch::Receiver<bool>,
}

/// Why a term's work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// The term was lost.
    TermLost,
    /// The node wants to stop leading: its line of the history, to be written in the transaction that resigns.
    Asked(TermRecord),
}

/// Leads until the term is lost or the node asks to stop, with the view that the candidate kept. What is in flight then is left to its
/// fence.
pub async fn lead(post: Arc<Post>, term: &Term, warm: Warm, stop: &CancellationToken) -> Over {
    let lost = term.lost();
    let record = upkeep::opened(&post, term);
    // Before the upkeep, so that it outlives it: what that has told is what it takes back.
    let _leading = Leading::of(&post.node, term.revision());
    let failovers = Failovers::new(&post, term);
    let mut upkeep = upkeep::start(Arc::clone(&post), term, record.clone(), failovers.clone());
    // They outlive a view: what is in flight or unsettled stays reserved when etcd's compaction makes us load anew.
    let mut flights = Flights::new(post.store.clone(), term.guard());
    let over = tokio::select! {
        () = schedule(&post, term, warm, (&mut flights, &failovers)) => Over::TermLost,
        () = lost.cancelled() => Over::TermLost,
        () = stop.cancelled() => Over::Asked(record),
    };
    upkeep.shutdown().await;
    // What was sent lands before the term is given up, or is seen refused by the fence where it was lost.
    let landing = tokio::time::timeout(LANDING, flights.land());
    if landing.await.is_err() {
        warn!("etcd has not answered what was in flight; the fence will refuse it");
    }
    let asked = matches!(over, Over::Asked(_));
    info!(term = term.revision(), asked, "no longer leading");
    match over {
        Over::TermLost => Over::TermLost,
        Over::Asked(record) => Over::Asked(store::Term::closed(
            record,
            post.store.now_ms(),
            EndedBy::Resigned,
        )),
    }
}

/// Schedules on the view that was kept, or on one that is loaded, and on another where etcd compacted what the watch needed, until the
/// term is lost.
async fn schedule(
    post: &Post,
    term: &Term,
    mut warm: Warm,
    (flights, failovers): (&mut Flights, &Failovers),
) {
    let mut numbers = Numbers::of_term(term.revision());
    let since = Instant::now();
    loop {
        let Kept { view, watch } = warm.ready(term.activated(), post).await;
        tell_nodes(&view);
        failovers.loaded(&view);
        let desk = Desk {
            post,
            view,
            watch,
            flights,
            failovers,
            refills: Refills::new(post.store.clone()),
            fires: Fires::new(post.store.clone(), term.guard()),
            pause: None,
            looked_at: None,
            turn: Turn::default(),
            since,
        };
        if desk.run(&mut numbers).await == Round::TermLost {
            return;
        }
    }
}

/// How scheduling on one view ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    TermLost,
    Resync,
}

/// The loop's state.
struct Desk<'a> {
    post: &'a Post,
    view: View,
    watch: Watch,
    flights: &'a mut Flights,
    failovers: &'a Failovers,
    refills: Refills,
    fires: Fires,
    pause: Option<Instant>,
    /// The count of node changes that orphans were last looked for at, and when: a reclaim that was refused is looked for again,
    /// however busy the loop is.
    looked_at: Option<(u64, Instant)>,
    /// What goes first in the next round.
    turn: Turn,
    /// When the term's scheduling began.
    since: Instant,
}

impl Desk<'_> {
    async fn run(mut self, numbers: &mut Numbers) -> Round {
        loop {
            self.refills.start(&mut self.view);
            self.plan(numbers);
            if self.may_fire() {
                self.fires.start(&self.view, self.flights.reserved());
            }
            self.flights.tell(&self.refills, &self.fires);
            let idle = self.idle(&numbers.turns);
            tokio::select! {
                delivery = self.watch.next() => {
                    if !self.fold(delivery) {
                        return Round::Resync;
                    }
                }
                landed = self.flights.next(), if !self.flights.is_empty() => match landed {
                    flight::Landed::Well => {}
                    flight::Landed::Badly => self.pause = Some(Instant::now() + PAUSE),
                    flight::Landed::TermLost => return Round::TermLost,
                },
                read = self.refills.next(), if !self.refills.is_empty() => {
                    let folded = read.map(|read| self.refills.fold(&mut self.view, read));
                    if folded == Some(Err(Compacted)) {
                        return Round::Resync;
                    }
                }
                ripe = self.fires.next(), if !self.fires.is_empty() => {
                    let due = ripe.map(|ripe| self.fires.landed(ripe)).unwrap_or_default();
                    if !due.is_empty() {
                        self.flights.send(due);
                    }
                }
                () = tokio::time::sleep(idle) => self.looked_at = None,
            }
            self.flights.release(self.view.revision);
        }
    }

    /// False where the watch fell behind compaction.
    fn fold(&mut self, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Events { revision, events } => {
                self.failovers.folding(&self.view, &events);
                let before = self.view.changes_of_nodes;
                for problem in self.view.fold(&events, revision, self.post.store.now_ms()) {
                    error!(%problem, "left out of the view");
                }
                // What a drained node holds tells whether it still drains.
                if self.view.changes_of_nodes != before || !self.view.drained.is_empty() {
                    tell_nodes(&self.view);
                }
                true
            }
            Delivery::Progress { revision } => {
                self.view.revision = self.view.revision.max(revision);
                true
            }
            Delivery::Compacted { at } => {
                warn!(at, "etcd compacted what the watch needed, loading anew");
                false
            }
        }
    }

    /// Sends what is to be done now, as far as there is room in flight.
    fn plan(&mut self, numbers: &mut Numbers) {
        if self.pause.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.pause = None;
        self.flights.resend(&self.view);
        while self.flights.has_room() {
            let changes = self.next(numbers);
            if changes.is_empty() {
                return;
            }
            self.flights.send(changes);
        }
    }

    /// Whether schedules whose time has come may be read: what comes of them needs room in etcd. What waits for that is late, and missed in
    /// the end.
    fn may_fire(&self) -> bool {
        let has_room = self.fires.has_room(self.flights.reserved());
        has_room && self.pause.is_none() && !*self.post.full.borrow()
    }

    /// What is to be done now.
    fn next(&mut self, numbers: &mut Numbers) -> Vec<Change> {
        let orphans = self.orphans();
        let (rules, reserved) = (self.rules(), self.flights.reserved());
        numbers.turns.at(millis(self.since.elapsed()));
        let changes = next(
            &self.view,
            reserved,
            numbers,
            &rules,
            orphans,
            self.turn,
            self.post.store.now_ms(),
        );
        self.turn = self.turn.after(&changes);
        let took_back = matches!(changes.first(), Some(Change::Reclaim(_)));
        if orphans == Orphans::Look && !took_back {
            self.looked_at = Some((self.view.changes_of_nodes, Instant::now()));
        }
        changes
    }

    fn orphans(&self) -> Orphans {
        let changes = self.view.changes_of_nodes;
        match self.looked_at {
            Some((at, when)) if at == changes && when.elapsed() < TICK => Orphans::NoneLeft,
            Some(_) | None => Orphans::Look,
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            deaths_max: self.post.deaths_max,
            reclaims_max: RECLAIMS_MAX,
            promotions_max: PROMOTIONS_MAX,
            assigns: ROUND,
        }
    }

    /// How long nothing is to be done unless something happens.
    fn idle(&self, turns: &Turns) -> Duration {
        // What is on its way, or has to wait for room in flight, brings its own event.
        let reserved = self.flights.reserved();
        let due = self
            .view
            .due
            .iter()
            .find(|(key, (_, _, seen))| reserved.frees(key, seen.modified));
        let due = due
            .map(|(_, (due_ms, _, _))| *due_ms)
            .filter(|_| self.flights.has_room());
        let due = due.map(|due_ms| due_ms.saturating_sub(self.post.store.now_ms()));
        let token = turns
            .next_token_in_ms(&self.view)
            .filter(|_| self.flights.has_room());
        let tick = self.fires.next_ms(&self.view, reserved);
        let tick = tick.filter(|_| self.may_fire());
        let tick = tick.map(|tick_ms| tick_ms.saturating_sub(self.post.store.now_ms()));
        let until_due = due.into_iter().chain(token).chain(tick).min();
        let until_due = until_due.map_or(TICK, Duration::from_millis);
        let pause = self
            .pause
            .map_or(Duration::ZERO, |until| until.duration_since(Instant::now()));
        until_due.clamp(Duration::from_millis(1), TICK).max(pause)
    }
}
