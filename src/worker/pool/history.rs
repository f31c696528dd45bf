//! What a decision has to know of the time before: how slots were used since the last look, and since when things are as they are.
//! Reads no clock.

use std::time::Duration;

use tokio::time::Instant;

use super::{Bounds, Decision, Look, short, with_room};
use crate::worker::machine::Reading;

/// How slots were used since the last look.
pub(super) struct Usage {
    since: Instant,
    /// Until when it is added up.
    until: Instant,
    busy: u32,
    peak: u32,
    /// Seconds of runs.
    run_secs: f64,
}

/// Since when things are as they are.
pub(super) struct History {
    usage: Usage,
    /// The longest that tasks had waited in the queue that came since slots changed, or since one was free.
    waited: Duration,
    changed: Instant,
    short: Option<Instant>,
    /// Since when slots are spare, and the most runs at once since then.
    spare: Option<(Instant, u32)>,
}

impl Usage {
    fn new(busy: u32, now: Instant) -> Self {
        Self {
            since: now,
            until: now,
            busy,
            peak: busy,
            run_secs: 0.0,
        }
    }

    fn add(&mut self, now: Instant) {
        self.run_secs += f64::from(self.busy) * now.duration_since(self.until).as_secs_f64();
        self.until = now;
    }
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            usage: Usage::new(0, now),
            waited: Duration::ZERO,
            changed: now,
            short: None,
            spare: None,
        }
    }

    /// So many runs from now on.
    pub(super) fn runs(&mut self, busy: u32, now: Instant) {
        let usage = &mut self.usage;
        usage.add(now);
        usage.busy = busy;
        usage.peak = usage.peak.max(busy);
    }

    /// Tasks came that had waited so long in the queue.
    pub(super) fn came(&mut self, waited: Duration) {
        self.waited = self.waited.max(waited);
    }

    /// What is to be decided from, now; what was used is counted anew from here on.
    pub(super) fn look(
        &mut self,
        slots: u32,
        in_hand: u32,
        machine: Reading,
        bounds: &Bounds,
        now: Instant,
    ) -> Look {
        self.usage.add(now);
        let fresh = Usage::new(self.usage.busy, now);
        let used = std::mem::replace(&mut self.usage, fresh);
        if used.peak < slots {
            self.waited = Duration::ZERO;
        }
        if short(&machine, bounds).is_some() {
            self.short = Some(now);
        }
        let spare = match self.spare {
            Some((since, peak)) => (since, peak.max(used.peak)),
            None => (used.since, used.peak),
        };
        self.spare = Some(spare).filter(|(_, peak)| with_room(*peak) < slots);
        let elapsed = now.duration_since(used.since).as_secs_f64();
        Look {
            slots,
            busy: used.busy,
            busy_peak: used.peak,
            busy_mean: if elapsed > 0.0 {
                used.run_secs / elapsed
            } else {
                f64::from(used.busy)
            },
            in_hand,
            waited: self.waited,
            spare_for: self
                .spare
                .map_or(Duration::ZERO, |(since, _)| now.duration_since(since)),
            spare_peak: spare.1,
            since_change: now.duration_since(self.changed),
            since_short: self
                .short
                .map_or(Duration::MAX, |short| now.duration_since(short)),
            machine,
        }
    }

    /// This was decided from that look.
    pub(super) fn decided(&mut self, look: &Look, decision: Decision, now: Instant) {
        if decision.slots != look.slots {
            self.changed = now;
            self.spare = None;
            self.waited = Duration::ZERO;
        }
    }
}
