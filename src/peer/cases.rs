//! All cases of a node: which of them is to be acted on now, once a minute for each process and within the allowance; pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::allowance::Allowance;
use super::case::{Acted, Case, Next};
use super::link::Proof;
use super::roster::{LINKS_MAX, Member, Roster};
use crate::task::Name;

/// 1,024 cases at once, as many as there are links.
pub(super) const CASES_MAX: usize = LINKS_MAX;

/// 60 s, the longest TTL of a lease: no process has its lease ended twice within it.
const ONCE: Duration = Duration::from_mins(1);

/// The evidence there is against processes.
#[derive(Debug, Default)]
pub(super) struct Cases {
    /// By process.
    open: BTreeMap<String, Case>,
    /// When each process had its lease ended by us.
    ended: BTreeMap<String, Instant>,
    allowance: Allowance,
}

/// What is due for a case.
#[derive(Debug)]
pub(super) enum Due {
    /// The lease of this member is to be ended, and its term with it where it leads.
    Act(Box<Case>, Member, Option<i64>),
    /// It has to wait, because too many nodes seem gone at once. Said once of each.
    Withheld(Name),
}

impl Cases {
    /// Takes in evidence. Where there are [`CASES_MAX`] already it is left to the lease.
    pub(super) fn open(&mut self, node: Name, instance: String, proof: Proof) {
        if self.open.len() < CASES_MAX {
            let case = Case::new(node, instance.clone(), proof);
            self.open.insert(instance, case);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is evidence against this process.
    pub(super) fn has(&self, instance: &str) -> bool {
        self.open.contains_key(instance)
    }

    /// When something is to be done; none while all wait for something to happen.
    pub(super) fn next(&self, own: &str, roster: &Roster) -> Option<Instant> {
        let open = self.open.values().filter(|case| !case.busy);
        let mine = open.filter(|case| roster.may_end(own, &case.node));
        mine.map(|case| case.next).min()
    }

    /// Forgets what needs nobody any more: sessions that are over, and evidence that is too old. Whether there was any.
    pub(super) fn tidy(&mut self, roster: &Roster, now: Instant) -> bool {
        self.ended.retain(|_, ended| now < *ended + ONCE);
        let before = self.open.len();
        self.open.retain(|instance, case| {
            let there = roster.find(&case.node, instance).is_some();
            case.busy || (there && !case.is_stale(now))
        });
        self.open.len() < before
    }

    /// What is due now. What is to be acted on is busy until [`Self::acted`].
    pub(super) fn due(&mut self, own: &str, roster: &Roster, now: Instant) -> Vec<Due> {
        let Self {
            open,
            ended,
            allowance,
        } = self;
        let mut due = Vec::new();
        let cases = open.values_mut();
        for case in cases.filter(|case| !case.busy && case.next <= now) {
            if !roster.may_end(own, &case.node) {
                continue;
            }
            let Some(member) = roster.find(&case.node, &case.instance).cloned() else {
                continue;
            };
            if let Some(ended) = ended.get(&case.instance) {
                case.next = *ended + ONCE;
                continue;
            }
            // An attempt that goes on is the same revoke.
            if case.tries == 0
                && let Err(again) = allowance.take(&case.node, now, roster.len())
            {
                case.next = again;
                if !std::mem::replace(&mut case.withheld, true) {
                    due.push(Due::Withheld(case.node.clone()));
                }
                continue;
            }
            let acted_on = Box::new(case.clone());
            case.busy = true;
            case.tries += 1;
            due.push(Due::Act(acted_on, member, roster.term_of(&case.node)));
        }
        due
    }

    /// The case of this process.
    pub(super) fn find(&self, instance: &str) -> Option<&Case> {
        self.open.get(instance)
    }

    /// Takes in what came of an attempt; whether the case goes on.
    pub(super) fn acted(&mut self, instance: &str, acted: &Acted, now: Instant) -> Next {
        if matches!(acted, Acted::Ended) {
            self.ended.insert(instance.to_owned(), now);
        }
        let case = self.open.get_mut(instance);
        let next = case.map_or(Next::Closed, |case| case.acted(acted, now));
        if next == Next::Closed {
            self.open.remove(instance);
        }
        next
    }
}

#[cfg(test)]
#[path = "cases_tests.rs"]
mod tests;
