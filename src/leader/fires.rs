//! Schedules whose time has come: read, and made into steps by [`crate::task::step`], beside everything else; decides nothing.
//!
//! A leader holds when the next of them are to be looked at, not what they are: that is read when it is due.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join_all;
use tenure_cluster::Guard;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use super::PAUSE;
use crate::plan::{Reserved, View};
use crate::planted::{self, Bug};
use crate::store::{Change, Declared, LookError, Store, TOGETHER_MAX};
use crate::task::{Name, Step, millis, step};

/// 4 reads at a time, of up to 32 schedules each.
const READS_MAX: usize = 4;

/// 240 schedules that are read or on their way, four batches: beyond, they wait for those. They are read whether or not there is room
/// in flight, for where there is a long backlog its assignments take that as soon as it is there; what may be in flight of either is
/// the concern of [`super::flight`].
pub(super) const UNDER_WAY_MAX: usize = 240;

/// 5 s: how long a schedule is left alone that could not be made sense of, or of which nothing came.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// When a schedule is to be looked at: its tick.
type Tick = (u64, Name);

/// What came of a read.
pub(super) struct Ripe {
    /// Which schedules were looked at.
    ticks: Vec<Tick>,
    /// What is to be done to some of them.
    steps: Result<Vec<(Declared, Step)>, LookError>,
}

/// The reads on their way, and what is left alone for a while.
pub(super) struct Fires {
    store: Store,
    fence: Guard,
    air: JoinSet<Ripe>,
    reading: BTreeSet<Name>,
    alone: Vec<(Instant, Tick)>,
    /// Nothing is read before this.
    after: Option<Instant>,
}

impl Fires {
    pub(super) fn new(store: Store, fence: Guard) -> Self {
        Self {
            store,
            fence,
            air: JoinSet::new(),
            reading: BTreeSet::new(),
            alone: Vec::new(),
            after: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.air.is_empty()
    }

    /// Begins to read schedules whose time has come, as far as there is room.
    pub(super) fn start(&mut self, view: &View, reserved: &Reserved) {
        let now = Instant::now();
        if self.after.is_some_and(|after| now < after) {
            return;
        }
        self.after = None;
        self.alone.retain(|(until, _)| now < *until);
        let now_ms = self.store.now_ms() + u64::from(planted::is(Bug::FiredEarly)) * 2_000;
        while self.air.len() < READS_MAX && self.has_room(reserved) {
            let come = view.ticks.iter().map(|(_, tick)| tick);
            let come = come.take_while(|(ms, _)| *ms <= now_ms);
            let free = come.filter(|tick| self.is_free(tick, reserved));
            let ticks: Vec<Tick> = free.take(TOGETHER_MAX).cloned().collect();
            if ticks.is_empty() {
                return;
            }
            let names: Vec<Name> = ticks.iter().map(|(_, name)| name.clone()).collect();
            self.reading.extend(names.iter().cloned());
            let (store, fence) = (self.store.clone(), self.fence.clone());
            self.air.spawn(async move {
                let steps = steps(&store, &fence, &names, now_ms).await;
                Ripe { ticks, steps }
            });
        }
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self, reserved: &Reserved) -> bool {
        self.under_way(reserved) < UNDER_WAY_MAX
    }

    /// How many are read, or changed by what is in flight.
    pub(super) fn under_way(&self, reserved: &Reserved) -> usize {
        self.reading.len() + reserved.schedules.len()
    }

    /// When the next schedule is to be looked at that is not being looked at already, in milliseconds since 1970; none while all reads
    /// are on their way.
    pub(super) fn next_ms(&self, view: &View, reserved: &Reserved) -> Option<u64> {
        if self.air.len() >= READS_MAX {
            return None;
        }
        let pause = self.after.map(|after| after.duration_since(Instant::now()));
        let pause_ms = pause.map_or(0, |pause| {
            let pause_ms = millis(pause);
            self.store.now_ms().saturating_add(pause_ms)
        });
        let ticks = view.ticks.iter().map(|(_, tick)| tick);
        let mut free = ticks.filter(|tick| self.is_free(tick, reserved));
        free.next().map(|(ms, _)| *ms.max(&pause_ms))
    }

    fn is_free(&self, tick: &Tick, reserved: &Reserved) -> bool {
        let (_, name) = tick;
        let alone = self.alone.iter().any(|(_, of)| of == tick);
        !alone && !self.reading.contains(name) && !reserved.schedules.contains(name)
    }

    /// Waits for a read to land. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Ripe> {
        match self.air.join_next().await? {
            Ok(ripe) => Some(ripe),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// What is to be done by what was read. Where it could not be, it is read again after a pause.
    pub(super) fn landed(&mut self, ripe: Ripe) -> Vec<Change> {
        for (_, name) in &ripe.ticks {
            self.reading.remove(name);
        }
        let steps = match ripe.steps {
            Ok(steps) => steps,
            Err(problem) => {
                warn!(%problem, "schedules could not be read");
                self.after = Some(Instant::now() + PAUSE);
                return Vec::new();
            }
        };
        let done: BTreeSet<&Name> = steps.iter().map(|(declared, _)| &declared.name).collect();
        let until = Instant::now() + LEFT_ALONE;
        let idle = ripe.ticks.into_iter();
        let idle = idle.filter(|(_, name)| !done.contains(name));
        self.alone.extend(idle.map(|tick| (until, tick)));
        let changes = steps.into_iter();
        changes
            .map(|(declared, step)| declared.fire(step))
            .collect()
    }
}

/// Reads schedules, and says what is to be done to those of them that are due.
async fn steps(
    store: &Store,
    fence: &Guard,
    names: &[Name],
    now_ms: u64,
) -> Result<Vec<(Declared, Step)>, LookError> {
    let declared = store.schedules(names).await?.into_iter();
    let declared = declared.filter_map(|declared| match declared {
        Ok(declared) => Some(one(store, fence, declared, now_ms)),
        Err(problem) => {
            error!(%problem, "a schedule is not fired");
            None
        }
    });
    let steps = try_join_all(declared).await?;
    Ok(steps.into_iter().flatten().collect())
}

/// None for what cannot be made sense of: it must not keep the others waiting.
async fn one(
    store: &Store,
    fence: &Guard,
    declared: Declared,
    now_ms: u64,
) -> Result<Option<(Declared, Step)>, LookError> {
    let progress = &declared.progress.value;
    if progress.tick_ms.is_none_or(|tick| tick > now_ms) {
        return Ok(None);
    }
    let timing = match declared.timing(store.keys()) {
        Ok(timing) => timing,
        Err(problem) => {
            error!(%problem, "a schedule is not fired");
            return Ok(None);
        }
    };
    let ended = match store.ended(&progress.open).await {
        Ok(ended) => ended,
        Err(LookError::Corrupt(problem)) => {
            error!(%problem, "a schedule is not fired");
            return Ok(None);
        }
        Err(problem) => return Err(problem),
    };
    let Some(mut step) = step(declared.known(&timing, &ended, now_ms)) else {
        return Ok(None);
    };
    if planted::is(Bug::DueForgotten) && step.fires.is_empty() {
        let progress = progress.clone();
        step.pages.clear();
        step.progress.count = progress.count;
        step.progress.recent = progress.recent;
    }
    let is_free = store.make_way(&step, Some(fence)).await;
    Ok(is_free.then_some((declared, step)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Keys;
    use tenure_cluster::{Connection, KeyValue, Options};

    /// An etcd that is away, and a view of so many schedules that are due.
    fn due(schedules: usize) -> (Fires, View) {
        let mut options = Options::new(["127.0.0.1:1"]);
        options.request_timeout = Duration::from_millis(100);
        let keys = Keys::new(&"c".parse().unwrap());
        let store = Store::new(Connection::open(options).unwrap(), keys.clone());
        let mut view = View::new(keys.clone(), 5, 1_000);
        view.ticks.extend([], None);
        for nth in 0..schedules {
            let tick = KeyValue {
                key: keys.tick(1, &name(nth)),
                value: Vec::new().into(),
                create_revision: 5,
                mod_revision: 5,
                version: 1,
                lease: 0,
            };
            view.put(&tick, 1).unwrap();
        }
        let fence = Guard::absent("term", "elect");
        (Fires::new(store, fence), view)
    }

    fn name(nth: usize) -> Name {
        format!("s{nth:03}").parse().unwrap()
    }

    #[tokio::test]
    async fn what_is_under_way_is_not_read_again_and_is_bounded() {
        let (mut fires, view) = due(300);
        let mut reserved = Reserved::default();

        fires.start(&view, &reserved);

        assert_eq!(fires.air.len(), READS_MAX);
        assert_eq!(fires.reading.len(), READS_MAX * TOGETHER_MAX);
        // What was read before is on its way: there is no room for more of it than the bound.
        reserved.schedules.extend((128..240).map(name));
        fires.start(&view, &reserved);
        assert!(!fires.has_room(&reserved));
        assert_eq!(fires.next_ms(&view, &reserved), None, "all reads are out");
        let ripe = fires.next().await.expect("four are read");
        assert!(fires.landed(ripe).is_empty());
        assert!(fires.has_room(&reserved));
        fires.start(&view, &reserved);
        assert_eq!(
            fires.air.len(),
            READS_MAX - 1,
            "not before the pause is over"
        );
    }

    #[tokio::test]
    async fn a_tick_of_which_nothing_came_is_left_alone_but_not_the_next_one_of_its_schedule() {
        let (mut fires, mut view) = due(1);
        let reserved = Reserved::default();
        let ticks = vec![(1, name(0))];
        let steps = Ok(Vec::new());

        assert!(fires.landed(Ripe { ticks, steps }).is_empty());

        fires.start(&view, &reserved);
        assert!(fires.is_empty());
        let later = view.keys().tick(2, &name(0));
        view.ticks.put(later, (2, name(0)));
        fires.start(&view, &reserved);
        assert_eq!(fires.air.len(), 1);
    }
}
