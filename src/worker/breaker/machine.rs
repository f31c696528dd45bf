//! One circuit breaker: closed, open for a time, or half-open with a few probes. Its inputs are times and how runs ended; it reads no
//! clock and does not know what it guards.
//!
//! ```text
//! closed ──enough of the last runs failed──▶ open ──its time is over, and a run asks──▶ half-open
//!    ▲                                        ▲                                            │ │
//!    │                                        └─────────a probe failed: twice as long──────┘ │
//!    └──────────────────────────────────────────────────a probe succeeded, or a reset────────┘
//! ```
//!
//! Times are durations since some instant of the node's own. An outcome counts only if its run was let in after the last change: what
//! began before says how things were then.

use std::collections::VecDeque;
use std::time::Duration;

use crate::worker::kinds::Health;

/// 10 minutes: how a run ended longer ago says nothing of now.
const REMEMBERED: Duration = Duration::from_mins(10);

/// 4 s: the shortest deferral. Each writes a line among the task's outcomes.
pub(super) const DEFER_MIN: Duration = Duration::from_secs(4);

/// 1,024 s, 17 minutes: the longest deferral, so that a task behind what has been down for a day has some 90 lines of them, and runs
/// within 17 minutes of its return.
pub(super) const DEFER_MAX: Duration = Duration::from_secs(1_024);

/// What breakers go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How many of the last runs are looked at, at least 1.
    pub window: usize,
    /// With fewer runs in the window it stays closed; 1 to `window`.
    pub runs_min: usize,
    /// From this share of failures on, above 0 up to 1, it opens.
    pub share: f64,
    /// How long it is open at first; twice as long after each probe that fails.
    pub open: Duration,
    /// The longest it is open without a probe.
    pub open_max: Duration,
    /// How many probes may run at once, at least 1.
    pub probes: u32,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Runs start.
    #[default]
    Closed,
    /// None starts before this time.
    Open {
        /// When the next run to ask is a probe.
        until: Duration,
    },
    /// Probes run; how they end decides.
    HalfOpen {
        /// When this round of probes began: after as long as the breaker was open, another begins, so that a probe that never ends
        /// holds nobody up.
        round: Duration,
        /// Probes of this round that have not ended.
        out: u32,
    },
}

/// One breaker. The default is a closed one that has seen nothing.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: State,
    /// When the state last changed; none where it never did.
    changed: Option<Duration>,
    /// When it opened first since it was last closed.
    failing_since: Option<Duration>,
    /// How often it has opened since it was last closed.
    openings: u32,
    /// The last runs that say something, oldest first: when each ended and whether it was well. At most [`Rules::window`].
    runs: VecDeque<(Duration, bool)>,
}

impl Breaker {
    /// How it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// When it changed last; none where it never did.
    pub fn changed(&self) -> Option<Duration> {
        self.changed
    }

    /// Failures among the runs that are looked at, and these.
    pub fn counts(&self) -> (usize, usize) {
        let failures = self.runs.iter().filter(|(_, well)| !well).count();
        (failures, self.runs.len())
    }

    /// Whether a run may start now; if not, how long to defer it.
    ///
    /// # Errors
    /// The deferral: a power of two of seconds, 4 s to 1,024 s, as long as the breaker is open and half as long as it has been failing.
    pub fn may(&self, rules: &Rules, now: Duration) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if now >= until => Ok(()),
            State::Open { until } => Err(self.deferral(until.saturating_sub(now), now)),
            State::HalfOpen { round, out } => {
                if out < rules.probes || now >= round + self.open_for(rules) {
                    return Ok(());
                }
                Err(self.deferral(self.open_for(rules) / 2, now))
            }
        }
    }

    /// Notes that a run starts, which it [may](Self::may). Whether that changed the state.
    pub fn begin(&mut self, rules: &Rules, now: Duration) -> bool {
        match self.state {
            State::Closed => false,
            State::Open { .. } => {
                self.turn(State::HalfOpen { round: now, out: 1 }, now);
                true
            }
            State::HalfOpen { round, out } => {
                self.state = if now >= round + self.open_for(rules) {
                    State::HalfOpen { round: now, out: 1 }
                } else {
                    State::HalfOpen {
                        round,
                        out: out + 1,
                    }
                };
                false
            }
        }
    }

    /// Notes how a run ended that was let in at `began`. Whether that changed the state.
    pub fn ended(&mut self, rules: &Rules, now: Duration, began: Duration, health: Health) -> bool {
        if self.changed.is_some_and(|changed| began < changed) {
            return false;
        }
        match (self.state, health) {
            (State::Closed, Health::Well | Health::Ill) => {
                self.noted(rules, now, health == Health::Well);
                let opens = health == Health::Ill && self.is_failing(rules);
                if opens {
                    self.open(rules, now);
                }
                opens
            }
            (State::Closed, Health::Unknown) | (State::Open { .. }, _) => false,
            (State::HalfOpen { .. }, Health::Well) => {
                self.close(now);
                true
            }
            (State::HalfOpen { .. }, Health::Ill) => {
                self.noted(rules, now, false);
                self.open(rules, now);
                true
            }
            (State::HalfOpen { round, out }, Health::Unknown) => {
                let out = out.saturating_sub(u32::from(began >= round));
                self.state = State::HalfOpen { round, out };
                false
            }
        }
    }

    /// Closes it and forgets what it has seen.
    pub fn close(&mut self, now: Duration) {
        self.turn(State::Closed, now);
        (self.failing_since, self.openings) = (None, 0);
        self.runs.clear();
    }

    /// Whether it is as good as a new one: closed for long, and no run of late failed.
    pub fn is_idle(&self, now: Duration) -> bool {
        let recent = |at: Duration| now < at + REMEMBERED;
        self.state == State::Closed
            && !self.changed.is_some_and(recent)
            && !self.runs.iter().any(|(at, well)| !well && recent(*at))
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn noted(&mut self, rules: &Rules, now: Duration, well: bool) {
        self.runs.retain(|(at, _)| now < *at + REMEMBERED);
        while self.runs.len() >= rules.window.max(1) {
            self.runs.pop_front();
        }
        self.runs.push_back((now, well));
    }

    #[expect(clippy::cast_precision_loss, reason = "a window has few runs")]
    fn is_failing(&self, rules: &Rules) -> bool {
        let (failures, runs) = self.counts();
        runs >= rules.runs_min.min(rules.window.max(1))
            && failures as f64 >= rules.share * runs as f64
    }

    fn open(&mut self, rules: &Rules, now: Duration) {
        self.openings = self.openings.saturating_add(1);
        self.failing_since.get_or_insert(now);
        let until = now + self.open_for(rules);
        self.turn(State::Open { until }, now);
    }

    /// How long it is open, having opened that often: doubled each time, within its bound.
    fn open_for(&self, rules: &Rules) -> Duration {
        let doublings = self.openings.saturating_sub(1).min(31);
        rules
            .open
            .saturating_mul(1 << doublings)
            .min(rules.open_max)
    }

    fn turn(&mut self, state: State, now: Duration) {
        self.state = state;
        self.changed = Some(now);
    }

    /// Longer the longer it has been failing, so that lines of deferrals do not pile up; of few different lengths, so that the tasks of
    /// one report share few records.
    fn deferral(&self, least: Duration, now: Duration) -> Duration {
        let failing = self
            .failing_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let wait = least.max(failing / 2).clamp(DEFER_MIN, DEFER_MAX);
        let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Duration::from_secs(secs.next_power_of_two()).min(DEFER_MAX)
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
