//! What is written down of an end: all that is known of it, with what former leaders told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Story;
use crate::store::{
    Evidence, FAILOVERS_MAX, Facts, Failover, Gone, LastSeen, MOVED_LISTED_MAX, Moved, Sign,
    Started, Succession, Teller, Telling, rounded,
};
use crate::task::millis;

/// 8 leaders are named that told of one end: the first and the last ones.
const TELLERS_MAX: usize = 8;

impl Story {
    pub(super) fn telling(&self, record: Failover) -> Telling {
        let others = || self.facts.kept.iter().filter(|id| **id != self.id);
        let beyond = (others().count() + 1).saturating_sub(FAILOVERS_MAX);
        // A note is of use until what its session held is taken back; of those that nobody told of, as many are kept as there are records.
        let noted = self.facts.noted.iter().filter(|id| **id != self.id);
        let old = noted.clone().count().saturating_sub(FAILOVERS_MAX);
        let own = self.facts.death.iter().map(|_| self.id);
        let own = own.filter(|_| self.claims.is_empty());
        Telling {
            id: self.id,
            record: Box::new(record),
            seen: self.seen,
            forget: others().take(beyond).copied().collect(),
            swept: noted.take(old).copied().chain(own).collect(),
        }
    }

    /// All that is known.
    pub(super) fn record(
        &self,
        told_by: &Teller,
        seen: (Option<Duration>, Option<Duration>),
    ) -> Failover {
        let own = self.own_record(told_by, seen);
        match &self.before {
            Some(before) => amended(before.clone(), own),
            None => own,
        }
    }

    fn own_record(&self, told_by: &Teller, seen: (Option<Duration>, Option<Duration>)) -> Failover {
        let Facts {
            death,
            node,
            clock_ms,
            ..
        } = &self.facts;
        let after = |when: Duration| millis(when.saturating_sub(self.gone.at.since));
        let word = death.as_ref().and_then(|death| death.last_seen_ms);
        let word = word.map(|at_ms| (at_ms, Sign::Link));
        let last_seen = word.or(clock_ms.map(|at_ms| (at_ms, Sign::Clock)));
        let instance = death.as_ref().map(|death| death.instance.clone());
        Failover {
            node: self.node.clone(),
            instance: self
                .instance
                .clone()
                .or(instance)
                .or_else(|| Some(node.as_ref()?.instance.clone())),
            session: self.session,
            died: self.died,
            term: self.term.or_else(|| death.as_ref()?.term),
            evidence: self.evidence(),
            by: death.as_ref().map(|death| death.by.clone()),
            noticed_ms: death.as_ref().map(|death| death.noticed_ms),
            last_seen: last_seen.map(|(at_ms, sign)| LastSeen { at_ms, sign }),
            gone: Gone {
                at_ms: self.gone.at.wall_ms,
                how: self.gone.how,
                revision: self.gone.revision,
            },
            succession: self.succession.clone().map(|to| Succession {
                view_ms: seen.0.map(after),
                assigned_ms: seen.1.map(after),
                ..to
            }),
            moved: self.moved(),
            told_by: vec![told_by.clone()],
            complete_ms: None,
        }
    }

    /// By what is most direct.
    fn evidence(&self) -> Option<Evidence> {
        let Facts {
            death,
            node,
            lease_lives,
            ..
        } = &self.facts;
        let left = node.as_ref().is_some_and(|node| node.draining);
        match (death, lease_lives) {
            (Some(death), _) => Some(death.evidence.into()),
            (None, _) if left || self.ended == Some(Evidence::Left) => Some(Evidence::Left),
            (None, Some(true)) => Some(Evidence::Key),
            (None, Some(false)) => Some(Evidence::Lease),
            (None, None) => self.ended,
        }
    }

    fn moved(&self) -> Moved {
        let gone_ms = millis(self.gone.at.since);
        let mut waits: BTreeMap<u64, u64> = BTreeMap::new();
        for (at_ms, tasks) in &self.starts {
            *waits
                .entry(rounded(at_ms.saturating_sub(gone_ms)))
                .or_default() += tasks;
        }
        let first = self.first.iter().map(|(task, node, at_ms)| Started {
            task: *task,
            node: node.clone(),
            wait_ms: at_ms.saturating_sub(gone_ms),
        });
        let reclaimed = self.reclaimed.filter(|_| self.claims.is_empty());
        Moved {
            tasks: self.tasks,
            started: self.starts.values().sum(),
            ended: self.ended_tasks,
            waits,
            first: first.collect(),
            reclaimed_ms: reclaimed.map(|when| millis(when.saturating_sub(self.gone.at.since))),
        }
    }
}

/// What a leader told, with what the next one has to tell: what was seen first stands, and what came of tasks is added up.
fn amended(before: Failover, own: Failover) -> Failover {
    let mut moved = before.moved;
    let held = moved.started + moved.ended + own.moved.tasks;
    moved.tasks = moved.tasks.max(held);
    moved.started += own.moved.started;
    moved.ended += own.moved.ended;
    for (wait_ms, tasks) in own.moved.waits {
        *moved.waits.entry(wait_ms).or_default() += tasks;
    }
    let room = MOVED_LISTED_MAX.saturating_sub(moved.first.len());
    moved.first.extend(own.moved.first.into_iter().take(room));
    let mut told_by = before.told_by;
    told_by.truncate(TELLERS_MAX - 1);
    told_by.extend(own.told_by);
    Failover {
        instance: before.instance.or(own.instance),
        session: before.session.or(own.session),
        term: before.term.or(own.term),
        evidence: before.evidence.or(own.evidence),
        by: before.by.or(own.by),
        noticed_ms: before.noticed_ms.or(own.noticed_ms),
        last_seen: before.last_seen.or(own.last_seen),
        succession: before.succession.or(own.succession),
        moved,
        told_by,
        complete_ms: own.complete_ms,
        ..before
    }
}
