//! How fast nodes get through work of a kind, so that short work is claimed ahead and long work is not; reads no clock.
//!
//! With slots alone, a node of 8 slots could start 8 tasks per round trip to etcd. Work that ends within a millisecond is
//! therefore claimed ahead, up to [`AHEAD_MS`] of it at the rate the node has shown. What a node has claimed and not started in
//! time it hands back.

use std::collections::BTreeMap;

use crate::task::Name;

/// 50 ms of work ahead: several round trips to a three-member etcd under load (1 to 10 ms each, docs/benchmarks.md), and little to
/// wait behind.
const AHEAD_MS: u64 = 50;

/// 4,096 tasks: the most one node holds, whatever its rate.
const AHEAD_TASKS_MAX: u64 = 4_096;

/// The weight of the newest sample in the average.
const NEWEST: f64 = 0.3;

/// Rates by node and kind.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    lines: BTreeMap<(Name, Name), Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// Tasks that ended per millisecond, averaged.
    rate: f64,
    /// How many ended at the last sample.
    last: f64,
    /// When work was given or ended last.
    since_ms: u64,
    /// Tasks held.
    held: u64,
}

impl Pace {
    /// Folds a claim of this many tasks.
    pub fn claimed(&mut self, node: &Name, kind: &Name, tasks: u64, now_ms: u64) {
        let fresh = Line {
            rate: 0.0,
            last: 0.0,
            since_ms: now_ms,
            held: 0,
        };
        let line = self
            .lines
            .entry((node.clone(), kind.clone()))
            .or_insert(fresh);
        if line.held == 0 {
            line.since_ms = now_ms;
            line.last = line.last.max(1.0);
        }
        line.held += tasks;
    }

    /// Folds the end of this many tasks.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of tasks and milliseconds are far below 2^52"
    )]
    pub fn ended(&mut self, node: &Name, kind: &Name, tasks: u64, now_ms: u64) {
        let Some(line) = self.lines.get_mut(&(node.clone(), kind.clone())) else {
            return;
        };
        let elapsed = now_ms.saturating_sub(line.since_ms).max(1) as f64;
        let sample = tasks as f64 / elapsed;
        line.rate = if line.rate == 0.0 {
            sample
        } else {
            line.rate + NEWEST * (sample - line.rate)
        };
        line.last = tasks as f64;
        line.since_ms = now_ms;
        line.held = line.held.saturating_sub(tasks);
    }

    /// Forgets a node.
    pub fn forget(&mut self, node: &Name) {
        self.lines.retain(|(of, _), _| of != node);
    }

    /// How many tasks of the kind may be held by the node: its free slots, or 50 ms of work where that is more.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded by AHEAD_TASKS_MAX before the cast"
    )]
    pub fn ahead(&self, node: &Name, kind: &Name, slots: u64, now_ms: u64) -> u64 {
        let Some(line) = self.lines.get(&(node.clone(), kind.clone())) else {
            return slots;
        };
        // A node that has gone quiet is not as fast as its average says.
        let quiet = now_ms.saturating_sub(line.since_ms).max(1) as f64;
        let rate = if line.held == 0 {
            line.rate
        } else {
            line.rate.min((line.last + 1.0) / quiet)
        };
        ((rate * AHEAD_MS as f64).min(AHEAD_TASKS_MAX as f64) as u64).max(slots)
    }

    /// Whether work of the kind takes the node so long that none is claimed ahead.
    pub fn is_slow(&self, node: &Name, kind: &Name, slots: u64, now_ms: u64) -> bool {
        self.ahead(node, kind, slots, now_ms) <= slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Claims as much as is allowed, ended after `wait_ms`, again and again.
    fn settled_at(slots: u64, tasks_per_ms: f64) -> u64 {
        let (mut pace, mut now) = (Pace::default(), 0);
        let (node, kind) = (name("n"), name("k"));
        let mut held = slots;
        for _ in 0..100 {
            pace.claimed(&node, &kind, held, now);
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small numbers of a test"
            )]
            let work_ms = (held as f64 / tasks_per_ms) as u64;
            now += 5 + work_ms;
            pace.ended(&node, &kind, held, now);
            held = pace.ahead(&node, &kind, slots, now);
        }
        held
    }

    #[test]
    fn short_work_is_claimed_ahead_and_long_work_is_not() {
        assert_eq!(settled_at(8, 0.08), 8, "8 slots, 100 ms a task");
        assert!(
            settled_at(8, 20.0) > 500,
            "20 tasks a millisecond: 50 ms of them are a thousand"
        );
        assert_eq!(settled_at(8, 10_000.0), AHEAD_TASKS_MAX);
    }

    #[test]
    fn a_node_that_goes_quiet_gets_no_more_ahead() {
        let mut pace = Pace::default();
        let (node, kind) = (name("n"), name("k"));
        pace.claimed(&node, &kind, 100, 0);
        pace.ended(&node, &kind, 100, 5);
        assert!(!pace.is_slow(&node, &kind, 8, 5));
        pace.claimed(&node, &kind, 1_000, 5);
        assert!(pace.is_slow(&node, &kind, 8, 2_000));
    }
}
