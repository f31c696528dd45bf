//! How fast nodes get through work of a kind, so that short work is claimed ahead and long work is not; reads no clock.
//!
//! With slots alone, a node of 8 slots could start 8 tasks per round trip to etcd. Work that ends within a millisecond is
//! therefore claimed ahead, up to [`AHEAD_MS`] of it at the rate the node has shown. What a node has claimed and not started in
//! time it hands back.
//!
//! A rate is an average, and hides a kind of which most tasks are short and some are long. So claiming ahead is also earned:
//! each task that ends lets some more be claimed, and what is handed back takes all of that away, until many have ended again.

use std::collections::BTreeMap;

use crate::task::Name;

/// 50 ms of work ahead: several round trips to a three-member etcd under load (1 to 10 ms each, docs/benchmarks.md), and little to
/// wait behind.
const AHEAD_MS: u64 = 50;

/// 4,096 tasks: the most one node holds, whatever its rate.
const AHEAD_TASKS_MAX: u64 = 4_096;

/// 100 ms: how far back the average reaches, the older the less. Tasks that were started together end together: over less than
/// this a node of 8 slots seems to get through work of 120 ms at one task a millisecond.
const AVERAGE_MS: f64 = 100.0;

/// 4 more tasks may be claimed ahead for each that ended: work of no length is claimed as far as its rate allows after some five
/// claims, and what turns out long has cost few.
const EARNED: u64 = 4;

/// 256 tasks have to end after a hand back before any is claimed ahead again: a kind of mixed length is then handed back less
/// than once in 10 tasks, and a node that only stood still for a moment has them ended within a second.
const PROOF: u64 = 256;

/// Rates by node and kind.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    lines: BTreeMap<(Name, Name), Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// Tasks that ended per millisecond while any were held.
    rate: Average,
    /// Up to when that is averaged: when work was given to an idle node, or ended last.
    since_ms: u64,
    /// Tasks held.
    held: u64,
    /// 0 to [`AHEAD_TASKS_MAX`]: how many tasks more than its slots the node may hold, whatever its rate.
    earned: u64,
    /// 0 to [`PROOF`]: how many tasks have to end before any more is earned.
    owed: u64,
}

/// Events per millisecond, averaged over time with weights that halve every 69 ms; what came before the beginning has no weight, so that
/// the first sample is taken for what it is.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    events: f64,
    weight: f64,
}

impl Average {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of tasks and milliseconds are far below 2^52"
    )]
    fn after(self, quiet_ms: u64, tasks: u64) -> Self {
        let kept = (-(quiet_ms as f64) / AVERAGE_MS).exp();
        Self {
            events: self.events * kept + tasks as f64 / AVERAGE_MS,
            weight: self.weight * kept + (1.0 - kept),
        }
    }

    fn per_ms(self) -> f64 {
        if self.weight > 0.0 {
            self.events / self.weight
        } else {
            0.0
        }
    }
}

impl Pace {
    /// Folds a claim of this many tasks.
    pub fn claimed(&mut self, node: &Name, kind: &Name, tasks: u64, now_ms: u64) {
        let fresh = Line {
            rate: Average::default(),
            since_ms: now_ms,
            held: 0,
            earned: 0,
            owed: 0,
        };
        let line = self
            .lines
            .entry((node.clone(), kind.clone()))
            .or_insert(fresh);
        if line.held == 0 {
            line.since_ms = now_ms;
        }
        line.held += tasks;
    }

    /// Folds the end of this many tasks.
    pub fn ended(&mut self, node: &Name, kind: &Name, tasks: u64, now_ms: u64) {
        let Some(line) = self.lines.get_mut(&(node.clone(), kind.clone())) else {
            return;
        };
        // What ends within the millisecond in which it was given took a part of it.
        let first = u64::from(line.rate.weight == 0.0);
        let elapsed_ms = now_ms.saturating_sub(line.since_ms).max(first);
        line.rate = line.rate.after(elapsed_ms, tasks);
        line.since_ms = line.since_ms.max(now_ms);
        line.held = line.held.saturating_sub(tasks);
        let paid = line.owed.min(tasks);
        line.owed -= paid;
        line.earned = (line.earned + EARNED * (tasks - paid)).min(AHEAD_TASKS_MAX);
    }

    /// Folds that this many tasks were handed back: says nothing of the rate, but that too many were claimed.
    pub fn handed_back(&mut self, node: &Name, kind: &Name, tasks: u64) {
        let Some(line) = self.lines.get_mut(&(node.clone(), kind.clone())) else {
            return;
        };
        line.held = line.held.saturating_sub(tasks);
        (line.earned, line.owed) = (0, PROOF);
    }

    /// Folds that this many tasks were lost with the node's session: says nothing of the rate, nor that too many were claimed.
    pub fn lost(&mut self, node: &Name, kind: &Name, tasks: u64) {
        if let Some(line) = self.lines.get_mut(&(node.clone(), kind.clone())) {
            line.held = line.held.saturating_sub(tasks);
        }
    }

    /// Forgets a node.
    pub fn forget(&mut self, node: &Name) {
        self.lines.retain(|(of, _), _| of != node);
    }

    /// How many tasks of the kind may be held by the node: as many as it has slots, or 50 ms of work where that is more and earned.
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
        let quiet_ms = match line.held {
            0 => 0,
            _ => now_ms.saturating_sub(line.since_ms),
        };
        let rate = line.rate.after(quiet_ms, 0).per_ms();
        let ahead = (rate * AHEAD_MS as f64).min(AHEAD_TASKS_MAX as f64) as u64;
        ahead.min(slots + line.earned).max(slots)
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

    #[test]
    fn what_is_claimed_ahead_is_earned_and_lost_at_a_hand_back() {
        let mut pace = Pace::default();
        let (node, kind) = (name("n"), name("k"));
        let mut now = 0;
        // How many end and go back within a millisecond, and how many the node may hold then; its rate allows more.
        for (step, (ended, back, may)) in [
            (8, 0, 8 + 32),
            (40, 0, 8 + 32 + 160),
            (0, 1, 8),
            (100, 0, 8),
            (155, 0, 8),
            (2, 0, 8 + 4),
            (12, 0, 8 + 4 + 48),
            (5, 300, 8),
            (256, 0, 8),
            (2_000, 0, AHEAD_TASKS_MAX),
        ]
        .into_iter()
        .enumerate()
        {
            pace.claimed(&node, &kind, ended + back, now);
            if ended > 0 {
                now += 1;
                pace.ended(&node, &kind, ended, now);
            }
            if back > 0 {
                pace.handed_back(&node, &kind, back);
            }
            assert_eq!(pace.ahead(&node, &kind, 8, now), may, "step {step}");
        }
    }

    #[test]
    fn work_that_is_started_together_is_not_taken_for_fast() {
        for (slots, run_ms) in [(8, 120), (16, 100), (4, 80), (64, 1_000)] {
            let mut pace = Pace::default();
            let (node, kind) = (name("n"), name("k"));
            let mut now = 0;
            for round in 0..50 {
                pace.claimed(&node, &kind, slots, now);
                now += run_ms;
                for task in 0..slots {
                    // Reports of tasks that ended at once come a task at a time, some within a millisecond.
                    now += task % 2;
                    pace.ended(&node, &kind, 1, now);
                    let ahead = pace.ahead(&node, &kind, slots, now);
                    assert_eq!(ahead, slots, "{slots} slots, {run_ms} ms, round {round}");
                }
            }
        }
    }

    #[test]
    fn what_was_lost_with_its_node_says_nothing_of_its_pace() {
        let mut pace = Pace::default();
        let (node, kind) = (name("n"), name("k"));
        pace.claimed(&node, &kind, 100, 0);
        pace.lost(&node, &kind, 100);
        assert!(pace.is_slow(&node, &kind, 8, 0));
        pace.claimed(&node, &kind, 8, 1_000);
        assert_eq!(pace.lines.values().map(|line| line.held).sum::<u64>(), 8);
    }

    #[test]
    fn a_hand_back_is_no_work_done() {
        let mut pace = Pace::default();
        let (node, kind) = (name("n"), name("k"));
        pace.claimed(&node, &kind, 8, 0);
        pace.ended(&node, &kind, 1, 1_000);
        for round in 1..100 {
            let now = 1_000 * round;
            pace.claimed(&node, &kind, 4_000, now);
            pace.handed_back(&node, &kind, 4_000);
            pace.ended(&node, &kind, 3, now + 900);
            assert!(pace.is_slow(&node, &kind, 8, now + 900), "round {round}");
        }
    }
}
