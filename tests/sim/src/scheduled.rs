//! Schedules, in some runs: somebody who declares, edits, pauses, triggers, backfills and deletes them, through the links of nodes, by
//! their clocks; and an outage of all nodes, long enough for due times to be missed. Judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tenure::store::{Declared, Lane, Store, txns};
use tenure::task::{
    Backoff, Misfire, Name, Overlap, Paused, Policy, Priority, Routing, Schedule, Spec, When,
};
use tokio::time::{Instant, sleep, timeout};

use crate::clients::{Known, remember};
use crate::dice::Dice;
use crate::world::EPOCH_MS;

/// 400 seeds in a thousand have them: the others keep the histories that they have without.
const IN_THOUSAND: u16 = 400;
/// Makes the dice of schedules others than those of the run.
const SALT: u64 = 0x0005_c4ed_0000_0000;
/// Four, so that each is done something to.
const NAMES: [&str; 4] = ["w", "x", "y", "z"];
/// 400 in a thousand of these runs have an outage: what is missed is missed for longer than 30 s.
const OUTAGE_IN_THOUSAND: u16 = 400;
const OUTAGE_SECS: std::ops::RangeInclusive<u64> = 25..=90;
/// 25 s after the last fault: what has no line by then is found missing, though clocks were 10 s off and reads left alone.
const GOES_ON: Duration = Duration::from_secs(25);
/// 10 s for one act.
const PATIENCE: Duration = Duration::from_secs(10);
/// 100 ms before what was refused is tried again, up to 300 times.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const AGAIN_MAX: usize = 300;
/// 3 s: the longest run. Tasks of a schedule run one after the other, and all have to end within a minute of the last fault.
const RUN_MS_MAX: u64 = 3_000;
/// Due times of the last 20 s are backfilled: no task of theirs has been collected.
const BACKFILLED_MS: u64 = 20_000;
/// Four at most, for the same reason as with runs.
const BACKFILLED_MAX: usize = 4;

/// What a run has of schedules.
pub(crate) struct Scheduled {
    dice: Dice,
    /// How long no node is there; none in most runs.
    pub(crate) outage: Option<Duration>,
}

impl Scheduled {
    /// Of a seed; most have none.
    pub(crate) fn of(seed: u64) -> Option<Self> {
        let dice = Dice::new(seed ^ SALT);
        dice.in_thousand(IN_THOUSAND).then(|| {
            let outage = dice.in_thousand(OUTAGE_IN_THOUSAND);
            let outage = outage.then(|| Duration::from_secs(dice.within(OUTAGE_SECS)));
            Self { dice, outage }
        })
    }
}

/// Who does things to schedules.
pub(crate) struct Planner {
    dice: Dice,
    /// Over the links of nodes, which break.
    nodes: Vec<Store>,
    /// Over links that nothing breaks.
    calm: Store,
    known: Known,
}

impl Planner {
    pub(crate) fn of(scheduled: &Scheduled, nodes: Vec<Store>, calm: Store, known: &Known) -> Self {
        Self {
            dice: scheduled.dice.split(),
            nodes,
            calm,
            known: Arc::clone(known),
        }
    }

    /// Declares all, and does this and that to them until the time comes.
    pub(crate) async fn work(self, until: Instant) {
        self.mark().await;
        for name in NAMES {
            self.declare(&named(name)).await;
        }
        while Instant::now() < until {
            sleep(Duration::from_millis(self.dice.within(50..=1_200))).await;
            let name = named(NAMES[self.dice.below(NAMES.len())]);
            let act = self.act(&name);
            let _ = timeout(PATIENCE, act).await;
        }
    }

    /// Lets all of them go on for a while after the last fault, and ends them.
    pub(crate) async fn relent(&self) {
        for name in NAMES {
            self.surely(&named(name), |was| {
                let resumed = |was: &Schedule| Schedule {
                    paused: None,
                    ..was.clone()
                };
                was.map(resumed)
            })
            .await;
        }
        sleep(GOES_ON).await;
        for name in NAMES {
            let kept = self.dice.in_thousand(500);
            self.surely(&named(name), |was| {
                was.filter(|_| kept).map(|was| paused(was, 0))
            })
            .await;
        }
    }

    async fn act(&self, name: &Name) {
        match self.dice.below(100) {
            0..=19 => self.declare(name).await,
            20..=34 => {
                let new = self.schedule();
                let (overlap, misfire) = (new.overlap, new.misfire);
                self.edit(name, |was| {
                    was.map(|was| Schedule {
                        overlap,
                        misfire,
                        ..was.clone()
                    })
                })
                .await;
            }
            35..=44 => {
                let since_ms = self.calm.now_ms();
                self.edit(name, |was| was.map(|was| paused(was, since_ms)))
                    .await;
            }
            45..=64 => {
                let resumed = |was: &Schedule| Schedule {
                    paused: None,
                    ..was.clone()
                };
                self.edit(name, |was| was.map(resumed)).await;
            }
            65..=74 => {
                let random = u128::from(self.dice.within(0..=u64::MAX)) << 64;
                let _ = self.some_store().trigger(name, random).await;
            }
            75..=82 => self.backfill(name).await,
            83..=88 => self.edit(name, |_| None).await,
            _ => self.look(name).await,
        }
    }

    /// Declares one, or makes it another one.
    async fn declare(&self, name: &Name) {
        let new = self.schedule();
        self.edit(name, |was| {
            let paused = was.and_then(|was| was.paused.clone());
            Some(Schedule {
                paused,
                ..new.clone()
            })
        })
        .await;
    }

    async fn edit(
        &self,
        name: &Name,
        make: impl Fn(Option<&Schedule>) -> Option<Schedule> + Send + Sync,
    ) {
        let edit = self.some_store().edit_schedule(name, None, make);
        let _ = timeout(PATIENCE, edit).await;
    }

    /// Edits one until that is done: there may be no space.
    async fn surely(
        &self,
        name: &Name,
        make: impl Fn(Option<&Schedule>) -> Option<Schedule> + Send + Sync,
    ) {
        for _ in 0..AGAIN_MAX {
            if self.calm.edit_schedule(name, None, &make).await.is_ok() {
                return;
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    async fn backfill(&self, name: &Name) {
        let store = self.some_store();
        let Ok(Some(declared)) = store.schedule(name).await else {
            return;
        };
        let Ok(timing) = declared.timing(store.keys()) else {
            return;
        };
        let now_ms = self.calm.now_ms();
        let most = self.dice.below(BACKFILLED_MAX) + 1;
        let (dues, _) = timing.dues(now_ms - BACKFILLED_MS, now_ms, most);
        let _ = store.backfill(name, &dues).await;
    }

    /// Looks at its tasks, so that clients know of them and cancel or retry some.
    async fn look(&self, name: &Name) {
        let Ok(Some(declared)) = self.calm.schedule(name).await else {
            return;
        };
        let Declared { progress, .. } = &declared;
        let open = progress.value.open.iter();
        let tasks: Vec<String> = open.map(|pack| pack.task(0).to_string()).collect();
        remember(&self.known, &tasks);
    }

    /// Work without a mark of its lane would wait for ever: the API marks it first, too.
    async fn mark(&self) {
        let lanes: Vec<Lane> = QUEUES
            .iter()
            .map(|queue| Lane::of(&routing(queue)))
            .collect();
        let marks = txns::lanes(self.calm.keys(), &lanes);
        for _ in 0..AGAIN_MAX {
            let marked = self.calm.connection().commit(&marks).await;
            if marked.committed().is_some() {
                return;
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    fn some_store(&self) -> &Store {
        if self.dice.in_thousand(300) {
            return &self.calm;
        }
        self.dice.one(&self.nodes)
    }

    /// A schedule of a random shape.
    fn schedule(&self) -> Schedule {
        let dice = &self.dice;
        let maybe = |chance, range| dice.in_thousand(chance).then(|| dice.within(range));
        let now_ms = self.calm.now_ms();
        let period_ms = 1_000
            * if dice.in_thousand(700) {
                dice.within(1..=4)
            } else {
                dice.within(5..=20)
            };
        let run_ms = if dice.in_thousand(600) {
            dice.within(0..=period_ms / 2)
        } else {
            dice.within(period_ms..=3 * period_ms).min(RUN_MS_MAX)
        };
        let fails = if dice.in_thousand(150) {
            dice.within(1..=3)
        } else {
            0
        };
        let payload = json!({"run_ms": run_ms, "fails": fails}).to_string();
        let payload = serde_json::value::RawValue::from_string(payload).expect("it is JSON");
        Schedule {
            when: if dice.in_thousand(50) {
                When::At(now_ms + dice.within(500..=20_000))
            } else {
                When::Every(period_ms)
            },
            zone: None,
            start_ms: maybe(200, 0..=10_000).map(|ms| now_ms + ms - 5_000),
            end_ms: maybe(100, 15_000..=60_000).map(|ms| now_ms + ms),
            jitter_ms: maybe(200, 1..=5_000).unwrap_or(0),
            overlap: *dice.one(&[
                Overlap::Allow,
                Overlap::Skip,
                Overlap::Replace,
                Overlap::QueueOne,
            ]),
            misfire: match dice.below(3) {
                0 => Misfire::Skip,
                1 => Misfire::FireOnce,
                _ => Misfire::FireAll(*dice.one(&[1, 2, 5, 40])),
            },
            catch_up_ms: *dice.one(&[0, 35_000, 50_000, 3_600_000, 3_600_000]),
            start_deadline_ms: maybe(150, 1_000..=45_000),
            paused: None,
            labels: BTreeMap::new(),
            created_ms: now_ms,
            routing: routing(QUEUES[dice.below(QUEUES.len())]),
            policy: Policy {
                max_attempts: u32::try_from(dice.within(1..=3)).expect("a small number"),
                backoff: Backoff {
                    initial_ms: 200,
                    ..Backoff::default()
                },
                timeout_ms: None,
                on_lost: tenure::task::OnLost::Stop,
            },
            spec: Spec {
                payload: payload.into(),
                labels: BTreeMap::new(),
                metadata: None,
            },
        }
    }
}

/// The queues of the run, which have rules in some.
const QUEUES: [&str; 2] = ["a", "b"];

fn routing(queue: &str) -> Routing {
    Routing {
        queue: named(queue),
        kind: named("work"),
        priority: Priority::default(),
        needs: None,
    }
}

fn paused(was: &Schedule, since_ms: u64) -> Schedule {
    Schedule {
        paused: Some(Paused {
            since_ms: since_ms.max(EPOCH_MS),
            reason: "of the simulation".to_owned(),
        }),
        ..was.clone()
    }
}

fn named(text: &str) -> Name {
    text.parse().expect("a name of the simulation")
}
