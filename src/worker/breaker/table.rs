//! The breakers of a node, by what they guard: a bounded table of those of which something failed of late. A value; it reads no clock
//! and writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::machine::{Breaker, Rules};
use crate::task::Name;
use crate::worker::kinds::Health;

/// 1,024 breakers of one node. Only what failed of late has one; beyond, the closed one that was heard of longest ago is forgotten, and
/// where none is closed, what comes new goes without.
pub(super) const BREAKERS_MAX: usize = 1_024;

/// What a breaker guards: a kind of work, or one host of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The kind.
    pub kind: Name,
    /// The host with its port, of kind `http`.
    pub host: Option<String>,
}

/// A breaker and what is told of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The breaker.
    pub(super) breaker: Breaker,
    /// How the last run failed.
    pub(super) reason: String,
    /// When a run of it ended last.
    heard: Duration,
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rules: Rules,
    entries: BTreeMap<Target, Entry>,
}

/// A run that does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// For how long.
    pub wait: Duration,
    /// Why, in words that are the same for all tasks that wait for this.
    pub why: String,
}

/// Breakers that changed their state.
pub(super) type Changed = Vec<Target>;

impl Table {
    /// No breaker yet.
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            entries: BTreeMap::new(),
        }
    }

    /// Lets a run in that needs all of these, or says why not; which breakers that changed.
    ///
    /// # Errors
    /// The longest deferral that one of them asks for: then none has let it in.
    pub(super) fn ask(&mut self, targets: &[Target], now: Duration) -> Result<Changed, Deferral> {
        let waits = targets.iter().filter_map(|target| {
            let entry = self.entries.get(target)?;
            let wait = entry.breaker.may(&self.rules, now).err()?;
            Some((wait, target, entry))
        });
        if let Some((wait, target, entry)) = waits.max_by_key(|(wait, ..)| *wait) {
            let why = format!("the breaker of {target} is open: {}", entry.reason);
            return Err(Deferral { wait, why });
        }
        let mut changed = Changed::new();
        for target in targets {
            if let Some(entry) = self.entries.get_mut(target)
                && entry.breaker.begin(&self.rules, now)
            {
                changed.push(target.clone());
            }
        }
        Ok(changed)
    }

    /// Notes how a run ended that was let in at `began`; which breakers that changed.
    pub(super) fn ended(
        &mut self,
        targets: &[Target],
        now: Duration,
        began: Duration,
        health: Health,
        reason: &str,
    ) -> Changed {
        let mut changed = Changed::new();
        for target in targets {
            if health == Health::Ill {
                self.make(target, now);
            }
            let Some(entry) = self.entries.get_mut(target) else {
                continue;
            };
            entry.heard = now;
            if health == Health::Ill {
                reason.clone_into(&mut entry.reason);
            }
            if entry.breaker.ended(&self.rules, now, began, health) {
                changed.push(target.clone());
            }
            if entry.breaker.is_idle(now) {
                self.entries.remove(target);
            }
        }
        changed
    }

    /// Closes the breakers of a kind: that of one host, or all of them; which that changed.
    pub(super) fn reset(&mut self, kind: &Name, host: Option<&str>, now: Duration) -> Changed {
        let mut changed = Changed::new();
        for (target, entry) in &mut self.entries {
            let meant = target.kind == *kind && (host.is_none() || target.host.as_deref() == host);
            if meant {
                if !entry.breaker.is_closed() {
                    changed.push(target.clone());
                }
                entry.breaker.close(now);
            }
        }
        changed
    }

    /// Those that are not closed.
    pub(super) fn not_closed(&self) -> impl Iterator<Item = (&Target, &Entry)> {
        self.entries
            .iter()
            .filter(|(_, entry)| !entry.breaker.is_closed())
    }

    /// How many are kept.
    pub(super) fn kept(&self) -> usize {
        self.entries.len()
    }

    /// One of them.
    pub(super) fn get(&self, target: &Target) -> Option<&Entry> {
        self.entries.get(target)
    }

    /// A breaker for this, where there is none and there is room.
    fn make(&mut self, target: &Target, now: Duration) {
        if self.entries.contains_key(target) {
            return;
        }
        if self.entries.len() >= BREAKERS_MAX {
            let closed = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.breaker.is_closed());
            let oldest = closed.min_by_key(|(_, entry)| entry.heard);
            let Some(oldest) = oldest.map(|(target, _)| target.clone()) else {
                return;
            };
            self.entries.remove(&oldest);
        }
        let entry = Entry {
            breaker: Breaker::default(),
            reason: String::new(),
            heard: now,
        };
        self.entries.insert(target.clone(), entry);
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{} {host}", self.kind),
            None => write!(f, "kind {}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        window: 4,
        runs_min: 2,
        share: 0.5,
        open: Duration::from_secs(10),
        open_max: Duration::from_mins(1),
        probes: 1,
    };

    fn target(host: &str) -> Target {
        Target {
            kind: "http".parse().unwrap(),
            host: (!host.is_empty()).then(|| host.to_owned()),
        }
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn fail(table: &mut Table, targets: &[Target], secs: u64) {
        for _ in 0..2 {
            table.ended(targets, at(secs), at(secs), Health::Ill, "no");
        }
    }

    #[test]
    fn one_host_that_fails_holds_up_no_other() {
        let mut table = Table::new(RULES);
        fail(&mut table, &[target("a:80")], 1);

        let deferral = table.ask(&[target("a:80")], at(1)).unwrap_err();
        assert_eq!(deferral.why, "the breaker of http a:80 is open: no");
        assert_eq!(table.ask(&[target("b:80")], at(1)), Ok(Vec::new()));
        assert_eq!(table.not_closed().count(), 1);
    }

    #[test]
    fn a_run_that_one_breaker_keeps_back_is_no_probe_of_the_other() {
        let (kind, host) = (target(""), target("a:80"));
        let mut table = Table::new(RULES);
        fail(&mut table, std::slice::from_ref(&kind), 1);
        fail(&mut table, std::slice::from_ref(&host), 6);

        // The kind's is due for a probe, the host's is not.
        assert!(table.ask(&[kind.clone(), host.clone()], at(12)).is_err());
        assert_eq!(
            table.ask(std::slice::from_ref(&kind), at(12)),
            Ok(vec![kind])
        );
    }

    #[test]
    fn a_reset_closes_one_or_all_of_a_kind() {
        let (kind, a, b) = (target(""), target("a:80"), target("b:80"));
        let mut table = Table::new(RULES);
        for one in [&kind, &a, &b] {
            fail(&mut table, std::slice::from_ref(one), 1);
        }
        let http = &kind.kind;
        assert_eq!(table.reset(http, Some("a:80"), at(2)), [a]);
        assert_eq!(table.reset(http, None, at(2)), [kind, b]);
        assert_eq!(table.reset(&"noop".parse().unwrap(), None, at(2)), []);
        assert_eq!(table.not_closed().count(), 0);
    }

    #[test]
    fn the_table_is_bounded_and_open_ones_stay() {
        let mut table = Table::new(RULES);
        fail(&mut table, &[target("open")], 0);
        for nth in 0..2 * BREAKERS_MAX {
            let host = target(&format!("h{nth:05}"));
            let now = at(1 + nth as u64);
            table.ended(&[host], now, now, Health::Ill, "no");
        }
        assert_eq!(table.entries.len(), BREAKERS_MAX);
        assert!(!table.entries[&target("open")].breaker.is_closed());
        let newest = format!("h{:05}", 2 * BREAKERS_MAX - 1);
        assert!(table.entries.contains_key(&target(&newest)));
    }

    #[test]
    fn what_only_succeeds_takes_no_place_and_what_recovers_gives_it_back() {
        let (mut table, a) = (Table::new(RULES), target("a"));
        table.ended(std::slice::from_ref(&a), at(1), at(1), Health::Well, "");
        assert!(table.entries.is_empty());
        table.ended(std::slice::from_ref(&a), at(1), at(1), Health::Ill, "no");
        assert_eq!(table.entries.len(), 1);
        table.ended(std::slice::from_ref(&a), at(999), at(999), Health::Well, "");
        assert!(table.entries.is_empty());
    }
}
