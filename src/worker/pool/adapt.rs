//! A worker's slots over time: looks, lets decide, and says when something has changed. Starts no run.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, interval_at};
use tracing::info;

use super::history::History;
use super::{Decided, LOOK_EVERY, Slots, resize};
use crate::metrics;
use crate::worker::machine::{Meter, Reading};

/// A worker's slots.
pub(in crate::worker) struct Pool {
    slots: Slots,
    /// How many were in use when that was asked last.
    used: u32,
    adaptive: Option<Adaptive>,
}

struct Adaptive {
    history: History,
    ticks: Interval,
    /// None while it reads.
    meter: Option<Meter>,
    /// At most one.
    reads: JoinSet<(Meter, Reading)>,
}

/// What happened to a pool.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) enum News {
    /// It is time to decide, and the machine was read.
    Read(Reading),
    /// There are more slots or fewer.
    Changed,
}

impl Pool {
    pub(in crate::worker) fn new(slots: Slots) -> Self {
        let now = Instant::now();
        let adaptive = slots.machine().map(|machine| Adaptive {
            history: History::new(now),
            ticks: interval_at(now + LOOK_EVERY, LOOK_EVERY),
            meter: Some(machine.meter()),
            reads: JoinSet::new(),
        });
        Self {
            used: slots.now(),
            slots,
            adaptive,
        }
    }

    /// How many runs there may be.
    pub(in crate::worker) fn slots(&mut self) -> usize {
        self.used = self.slots.now();
        self.used as usize
    }

    /// Notes that so many go on.
    pub(in crate::worker) fn runs(&mut self, runs: usize) {
        let slots = self.used as usize;
        metrics::worker_slots(runs as u64, slots.saturating_sub(runs) as u64);
        metrics::slots(self.used);
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.history.runs(number(runs), Instant::now());
        }
    }

    /// Notes that tasks came that had waited so long in the queue, as far as two clocks agree.
    pub(in crate::worker) fn came(&mut self, waited_ms: u64) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.history.came(Duration::from_millis(waited_ms));
        }
    }

    /// Waits for news; for ever where slots are fixed. Cancel-safe.
    pub(in crate::worker) async fn next(&mut self) -> News {
        let Some(adaptive) = &mut self.adaptive else {
            return std::future::pending().await;
        };
        tokio::select! {
            reading = adaptive.read() => News::Read(reading),
            () = self.slots.changed(self.used) => News::Changed,
        }
    }

    /// Decides anew, with so many tasks in hand that wait for a slot.
    pub(in crate::worker) fn decide(&mut self, in_hand: usize, machine: Reading) {
        let (Some(adaptive), Some(bounds)) = (&mut self.adaptive, self.slots.bounds()) else {
            return;
        };
        let (now, history) = (Instant::now(), &mut adaptive.history);
        let slots = self.slots.decided().decision.slots;
        let look = history.look(slots, number(in_hand), machine, bounds, now);
        let decision = resize(&look, bounds);
        history.decided(&look, decision, now);
        metrics::slots_decision(decision.slots.cmp(&slots), decision.reason.word());
        if decision.slots != slots {
            info!(
                from = slots,
                to = decision.slots,
                reason = decision.reason.word(),
                ?look,
                "slots change"
            );
            let look = Some(look);
            self.slots.decide(Decided { decision, look });
        }
    }
}

impl Adaptive {
    /// Reads the machine at the next tick. Cancel-safe: a reading that began goes on.
    async fn read(&mut self) -> Reading {
        if self.reads.is_empty() {
            self.ticks.tick().await;
            if let Some(reading) = self.meter.as_ref().and_then(Meter::given) {
                return reading;
            }
            if let Some(mut meter) = self.meter.take() {
                self.reads.spawn_blocking(move || {
                    let reading = meter.read();
                    (meter, reading)
                });
            }
        }
        match self.reads.join_next().await {
            Some(Ok((meter, reading))) => {
                self.meter = Some(meter);
                reading
            }
            Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
            None => std::future::pending().await,
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
