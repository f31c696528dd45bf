//! Circuit breakers: runs that would use what keeps failing are deferred instead, which is no attempt. Never starts a run and never
//! writes: the worker asks before each run and tells how it ended, the node tells others and hears of resets.
//!
//! There is one for each host that `http` tasks ask, and one for each kind that the settings name. They are the node's own, because what
//! it reaches is what it sees: another node may reach the same host. They outlive a session and end with the process.

mod machine;
mod table;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

use super::kinds::{Ended, Health, cut};
use crate::metrics;
use crate::store::{BREAKERS_TOLD_MAX, BreakerRecord, BreakerState, Reset};
use crate::task::{Name, millis};
use crate::vitals::{Of, Vitals};

pub use machine::{Breaker, Rules, State};
pub use table::{Deferral, Target};

use table::{BREAKERS_MAX, Entry, Table};

/// 200 bytes of how the last run failed: it is written with each deferral.
const REASON_BYTES_MAX: usize = 200;

/// What has a breaker, and what breakers go by.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether each host of `http` tasks has one.
    pub hosts: bool,
    /// The kinds that have one.
    pub kinds: BTreeSet<Name>,
    /// What they go by.
    pub rules: Rules,
}

/// A node's breakers. A cheap handle.
#[derive(Clone)]
pub struct Breakers(Arc<Inner>);

struct Inner {
    options: Options,
    /// Times of the table are counted from here.
    origin: Instant,
    /// Held for one step of the table, never across an await.
    table: Mutex<Table>,
    changed: Notify,
}

/// A run that was let in, to be told of when it ends. One that is dropped untold says nothing.
#[derive(Debug)]
pub struct Pass {
    /// What it needs; none where no breaker is asked.
    targets: Vec<Target>,
    began: Duration,
}

impl Breakers {
    /// All closed.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Inner {
            table: Mutex::new(Table::new(options.rules)),
            options,
            origin: Instant::now(),
            changed: Notify::new(),
        }))
    }

    /// Has the number of those that are kept watched.
    pub fn watched(&self, vitals: &Vitals) {
        let breakers = self.clone();
        let kept = move || breakers.table().kept();
        vitals.watch(Of::Breakers, Some(BREAKERS_MAX), kept);
    }

    /// Lets a run of this kind in, or says for how long to defer it. `host` is asked only where hosts have breakers.
    ///
    /// # Errors
    /// The deferral.
    pub fn ask(
        &self,
        kind: &Name,
        host: impl FnOnce() -> Option<String>,
    ) -> Result<Pass, Deferral> {
        let mut targets = Vec::new();
        let target = |host| Target {
            kind: kind.clone(),
            host,
        };
        if self.0.options.kinds.contains(kind) {
            targets.push(target(None));
        }
        if self.0.options.hosts
            && let Some(host) = host()
        {
            targets.push(target(Some(host)));
        }
        let began = self.now();
        if !targets.is_empty() {
            let mut table = self.table();
            let changed = table.ask(&targets, began)?;
            self.tell(&table, &changed);
        }
        Ok(Pass { targets, began })
    }

    /// Notes how a run ended that was let in.
    pub fn ended(&self, pass: &Pass, ended: &Ended) {
        if pass.targets.is_empty() {
            return;
        }
        let reason = match ended.health {
            Health::Ill => cut(ended.error.clone().unwrap_or_default(), REASON_BYTES_MAX),
            Health::Well | Health::Unknown => String::new(),
        };
        let (now, mut table) = (self.now(), self.table());
        let changed = table.ended(&pass.targets, now, pass.began, ended.health, &reason);
        self.tell(&table, &changed);
    }

    /// Closes what a user wants closed. Tasks that were deferred keep their time.
    pub fn reset(&self, reset: &Reset) {
        info!(kind = %reset.kind, host = reset.host, "breakers are reset");
        let (now, mut table) = (self.now(), self.table());
        let changed = table.reset(&reset.kind, reset.host.as_deref(), now);
        self.tell(&table, &changed);
    }

    /// Those that are not closed, as others are told of them: at most [`BREAKERS_TOLD_MAX`], those that changed first; `now_ms` is what
    /// the wall clock says.
    pub fn told(&self, now_ms: u64) -> Vec<BreakerRecord> {
        let (now, table) = (self.now(), self.table());
        let mut told: Vec<BreakerRecord> = table
            .not_closed()
            .map(|(target, entry)| record(target, entry, now, now_ms))
            .collect();
        drop(table);
        told.sort_by_key(|record| record.since_ms);
        told.truncate(BREAKERS_TOLD_MAX);
        told
    }

    /// Waits until one has changed since this was last awaited. For one listener.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn now(&self) -> Duration {
        self.0.origin.elapsed()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // One step of the table leaves it whole, also where it panics.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells log, metrics and the listener of breakers that changed.
    fn tell(&self, table: &Table, changed: &[Target]) {
        for target in changed {
            match table.get(target).map(|entry| entry.breaker.state()) {
                Some(State::Open { .. }) => {
                    metrics::breaker_opened(target.kind.as_str());
                    let reason = table.get(target).map(|entry| &entry.reason);
                    warn!(%target, reason, "breaker open: its tasks are deferred");
                }
                Some(State::HalfOpen { .. }) => info!(%target, "breaker half-open: a probe runs"),
                Some(State::Closed) | None => info!(%target, "breaker closed"),
            }
            let (mut open, mut half_open) = (0, 0);
            let same = table.not_closed().filter(|(of, _)| of.kind == target.kind);
            for (_, entry) in same {
                match entry.breaker.state() {
                    State::Open { .. } => open += 1,
                    State::HalfOpen { .. } => half_open += 1,
                    State::Closed => {}
                }
            }
            metrics::breakers(target.kind.as_str(), open, half_open);
        }
        if !changed.is_empty() {
            self.0.changed.notify_one();
        }
    }
}

/// A breaker as others are told of it, by the wall clock.
fn record(target: &Target, entry: &Entry, now: Duration, now_ms: u64) -> BreakerRecord {
    let wall = |at: Duration| {
        now_ms
            .saturating_add(millis(at))
            .saturating_sub(millis(now))
    };
    let (failures, runs) = entry.breaker.counts();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let (state, until) = match entry.breaker.state() {
        State::Open { until } => (BreakerState::Open, Some(until)),
        State::HalfOpen { .. } | State::Closed => (BreakerState::HalfOpen, None),
    };
    BreakerRecord {
        kind: target.kind.clone(),
        host: target.host.clone(),
        state,
        since_ms: wall(entry.breaker.changed().unwrap_or_default()),
        until_ms: until.map(wall),
        failures: count(failures),
        runs: count(runs),
        reason: entry.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(hosts: bool, kinds: &[&str]) -> Options {
        Options {
            hosts,
            kinds: kinds.iter().map(|kind| kind.parse().unwrap()).collect(),
            rules: Rules {
                window: 4,
                runs_min: 2,
                share: 0.5,
                open: Duration::from_secs(10),
                open_max: Duration::from_mins(1),
                probes: 1,
            },
        }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_the_settings_name_has_a_breaker() {
        let ask = |hosts, kinds: &[&str], kind: &str, host: Option<&str>| {
            let host = host.map(str::to_owned);
            let pass = Breakers::new(options(hosts, kinds)).ask(&name(kind), || host);
            let targets = pass.unwrap().targets;
            targets.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let none = Vec::<String>::new();
        assert_eq!(ask(true, &[], "http", Some("a:80")), ["http a:80"]);
        assert_eq!(ask(false, &[], "http", Some("a:80")), none);
        assert_eq!(ask(true, &[], "command", None), none);
        assert_eq!(ask(true, &["command"], "command", None), ["kind command"]);
        assert_eq!(
            ask(true, &["http"], "http", Some("a:80")),
            ["kind http", "http a:80"]
        );
    }

    #[test]
    fn what_is_told_is_by_the_wall_clock() {
        let at = Duration::from_secs;
        let target = Target {
            kind: name("http"),
            host: Some("a:80".to_owned()),
        };
        let mut table = Table::new(options(true, &[]).rules);
        for _ in 0..2 {
            let targets = std::slice::from_ref(&target);
            table.ended(targets, at(3), at(3), Health::Ill, "no");
        }
        let (target, entry) = table.not_closed().next().unwrap();

        let told = record(target, entry, at(7), 1_000_000);

        assert_eq!((told.since_ms, told.until_ms), (996_000, Some(1_006_000)));
        assert_eq!(
            (told.state, told.failures, told.runs),
            (BreakerState::Open, 2, 2)
        );
    }

    #[tokio::test]
    async fn what_opens_is_told_with_a_bounded_reason_until_it_is_reset() {
        let breakers = Breakers::new(options(true, &[]));
        let (http, host) = (name("http"), || Some("a:80".to_owned()));
        for _ in 0..2 {
            let pass = breakers.ask(&http, host).unwrap();
            breakers.ended(&pass, &Ended::failed("no".repeat(200)));
        }
        breakers.changed().await;
        let told = breakers.told(1_000_000);
        assert_eq!(told.len(), 1);
        assert!(told[0].reason.len() <= REASON_BYTES_MAX);
        assert!(breakers.ask(&http, host).is_err());

        let reset = Reset {
            kind: http.clone(),
            host: None,
        };
        breakers.reset(&reset);

        breakers.changed().await;
        assert!(breakers.told(1_000_000).is_empty());
        assert!(breakers.ask(&http, host).is_ok());
    }
}
