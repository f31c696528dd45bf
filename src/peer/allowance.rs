//! How many leases one node may end: where half of a cluster seems to die at once, it is likelier that the one who sees it is wrong;
//! pure.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

/// 5 s: what was ended within it counts.
pub const WINDOW: Duration = Duration::from_secs(5);

/// 2 in a window, however small the cluster: a machine that dies may have had so many.
pub const ENDED_MIN: usize = 2;

/// 64 in a window, however large it is: etcd's leases of ordinary clusters end at that pace without being felt.
pub const ENDED_MAX: usize = 64;

/// What was ended lately.
#[derive(Debug, Default)]
pub struct Allowance {
    ended: VecDeque<Instant>,
}

impl Allowance {
    /// Takes one of what is left, of a cluster that has so many nodes with those that are being ended: no more than half of them in a
    /// window.
    ///
    /// # Errors
    /// When to ask again.
    pub fn take(&mut self, now: Instant, nodes: usize) -> Result<(), Instant> {
        while self
            .ended
            .front()
            .is_some_and(|ended| *ended + WINDOW <= now)
        {
            self.ended.pop_front();
        }
        // Those that were ended are gone from the count by now, or will be in a moment.
        let all = nodes.max(self.ended.len());
        let max = (all / 2).clamp(ENDED_MIN, ENDED_MAX);
        match self.ended.front() {
            Some(first) if self.ended.len() >= max => Err(*first + WINDOW),
            Some(_) | None => {
                self.ended.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(nodes: usize, asked: usize) -> usize {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        let take = |_: &usize| allowance.take(now, nodes).is_ok();
        (0..asked).take_while(take).count()
    }

    #[test]
    fn half_of_a_cluster_two_at_least_and_no_more_than_64() {
        for (nodes, expected) in [(1, 2), (3, 2), (5, 2), (10, 5), (100, 50), (1_000, 64)] {
            assert_eq!(taken(nodes, 1_000), expected, "{nodes}");
        }
    }

    #[test]
    fn what_was_ended_long_ago_does_not_count() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        let second = now + Duration::from_secs(1);
        assert_eq!(allowance.take(now, 3), Ok(()));
        assert_eq!(allowance.take(second, 3), Ok(()));
        assert_eq!(allowance.take(second, 3), Err(now + WINDOW));
        assert_eq!(allowance.take(now + WINDOW, 3), Ok(()));
        assert_eq!(allowance.take(now + WINDOW, 3), Err(second + WINDOW));
    }
}
