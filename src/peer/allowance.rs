//! How many leases one node may end: where half of a cluster seems to die at once, it is likelier that the one who sees it is wrong;
//! pure.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::{Duration, Instant};

use crate::task::Name;

/// 2 s: what was ended within it was ended at once. What makes a node wrong about others, such as a rule of its firewall, does so for all
/// of them within milliseconds.
pub const WINDOW: Duration = Duration::from_secs(2);

/// 2 nodes in a window, however small the cluster: a machine that dies may have had so many.
pub const NODES_MIN: usize = 2;

/// 64 nodes in a window, however large it is: etcd's leases of ordinary clusters end at that pace without being felt.
pub const NODES_MAX: usize = 64;

/// What was ended lately.
#[derive(Debug, Default)]
pub struct Allowance {
    ended: VecDeque<(Instant, Name)>,
}

impl Allowance {
    /// Takes one of what is left, for this node of a cluster that has so many: no more than half of them in a window. A node that
    /// crashes again and again is one.
    ///
    /// # Errors
    /// When to ask again.
    pub fn take(&mut self, node: &Name, now: Instant, nodes: usize) -> Result<(), Instant> {
        while let Some((ended, _)) = self.ended.front()
            && *ended + WINDOW <= now
        {
            self.ended.pop_front();
        }
        let names: BTreeSet<&Name> = self.ended.iter().map(|(_, name)| name).collect();
        // Those that were ended are gone from the count by now, or will be in a moment.
        let max = (nodes.max(names.len()) / 2).clamp(NODES_MIN, NODES_MAX);
        match self.ended.front() {
            Some((first, _)) if !names.contains(node) && names.len() >= max => Err(*first + WINDOW),
            Some(_) | None => {
                // Of one node only the last counts, so that what is kept is bounded.
                self.ended.retain(|(_, name)| name != node);
                self.ended.push_back((now, node.clone()));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(nth: usize) -> Name {
        format!("n{nth}").parse().unwrap()
    }

    fn taken(nodes: usize, asked: usize) -> usize {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        let take = |nth: &usize| allowance.take(&name(*nth), now, nodes).is_ok();
        (0..asked).take_while(take).count()
    }

    #[test]
    fn half_of_a_cluster_two_at_least_and_no_more_than_64() {
        for (nodes, expected) in [(1, 2), (3, 2), (5, 2), (10, 5), (100, 50), (1_000, 64)] {
            assert_eq!(taken(nodes, 1_000), expected, "{nodes}");
        }
    }

    #[test]
    fn what_was_ended_long_ago_does_not_count_and_who_crashes_again_counts_once() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        let second = now + Duration::from_secs(1);
        assert_eq!(allowance.take(&name(1), now, 3), Ok(()));
        assert_eq!(allowance.take(&name(2), second, 3), Ok(()));
        assert_eq!(allowance.take(&name(3), second, 3), Err(now + WINDOW));
        assert_eq!(allowance.take(&name(2), second, 3), Ok(()));
        assert_eq!(allowance.take(&name(3), now + WINDOW, 3), Ok(()));
        assert_eq!(
            allowance.take(&name(1), now + WINDOW, 3),
            Err(second + WINDOW)
        );
    }
}
