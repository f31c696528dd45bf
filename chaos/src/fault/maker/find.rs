//! Who is hit: nodes and members that nothing else hits already.

use super::{LOOK_EVERY, Maker};
use crate::fault::catalogue::{Hits, Who, Whom};
use crate::target::Hands;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// 5 s to find who is to be hit: that somebody leads, and is not hit already.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// Whom a fault hits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prey {
    pub(super) nodes: Vec<String>,
    pub(super) members: Vec<String>,
}

impl Prey {
    /// The one node of a fault that hits one.
    pub(super) fn node(self) -> String {
        self.nodes.into_iter().next().unwrap_or_default()
    }

    /// The one member of a fault that hits one.
    pub(super) fn member(self) -> String {
        self.members.into_iter().next().unwrap_or_default()
    }
}

/// What came of looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    All(Prey),
    /// Who would fit is hit already, or nobody leads.
    NotNow,
    /// Nobody of the kind is this program's to touch. Why.
    Never(String),
}

impl<T: Hands> Maker<'_, T> {
    /// Nodes and members for it, none of which is hit already. All are found before one is hit: who leads is not to be learnt without
    /// etcd's leader.
    pub(super) async fn find(&mut self, hits: Hits, choice: usize) -> anyhow::Result<Found> {
        let mut prey = Prey::default();
        if let Some(whom) = hits.members {
            if self.hands.members().is_empty() {
                let why = "etcd's members are not this program's";
                return Ok(Found::Never(why.to_owned()));
            }
            match self.members_of(whom, choice).await {
                Some(members) => prey.members = members,
                None => return Ok(Found::NotNow),
            }
        }
        if let Some(who) = hits.nodes {
            match self.nodes_of(who, choice).await? {
                Some(nodes) => prey.nodes = nodes,
                None => return Ok(Found::NotNow),
            }
        }
        Ok(Found::All(prey))
    }

    async fn nodes_of(&mut self, who: Who, choice: usize) -> anyhow::Result<Option<Vec<String>>> {
        let until = Instant::now() + FOUND_WITHIN;
        loop {
            let all = self.hands.nodes();
            let free = self.free(&all);
            let leader = self.client.leader().await.filter(|one| free.contains(one));
            let other = other_than(leader.as_ref(), &free, choice);
            let found = match who {
                Who::Every => (free.len() == all.len()).then_some(free),
                Who::Leader => leader.map(|leader| vec![leader]),
                Who::Follower => other.filter(|_| leader.is_some()).map(|other| vec![other]),
                Who::Two => leader.zip(other).map(|(leader, other)| vec![leader, other]),
            };
            // Where others are hit, they are not kept waiting for.
            let alone = self.open.is_empty() && self.mending.is_empty();
            if found.is_some() || !alone || Instant::now() > until {
                return Ok(found);
            }
            self.supervise().await?;
            sleep(LOOK_EVERY).await;
        }
    }

    /// Of members nothing else is hit meanwhile, so that most of them are there.
    async fn members_of(&mut self, whom: Whom, choice: usize) -> Option<Vec<String>> {
        let all = self.hands.members();
        let free = self.free(&all);
        if free.len() < all.len() {
            return None;
        }
        match whom {
            Whom::Every => Some(free),
            Whom::Leader => self.operator.leading().await.map(|leader| vec![leader]),
            Whom::Follower => {
                let leader = self.operator.leading().await;
                other_than(leader.as_ref(), &free, choice).map(|other| vec![other])
            }
        }
    }

    /// Those of them that nothing hits.
    fn free(&self, all: &[String]) -> Vec<String> {
        let free = all.iter().filter(|one| !self.is_hit(one));
        free.cloned().collect()
    }
}

/// One of them that does not lead.
fn other_than(leader: Option<&String>, free: &[String], choice: usize) -> Option<String> {
    let others = free.iter().filter(|one| Some(*one) != leader);
    let others: Vec<&String> = others.collect();
    let nth = choice.checked_rem(others.len())?;
    Some(others[nth].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_is_one_that_does_not_lead_and_the_choice_says_which() {
        let all: Vec<String> = ["n1", "n2", "n3"].map(str::to_owned).to_vec();
        let of = |leader: usize, choice| other_than(all.get(leader), &all, choice);
        assert_eq!(of(1, 0).as_deref(), Some("n1"));
        assert_eq!(of(1, 1).as_deref(), Some("n3"));
        assert_eq!(of(1, 2).as_deref(), Some("n1"));
        assert_eq!(other_than(None, &all, 1).as_deref(), Some("n2"));
        assert_eq!(other_than(all.first(), &all[..1], 3), None);
    }
}
