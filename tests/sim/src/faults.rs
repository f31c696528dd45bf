//! What goes wrong in a run, and when: a list made from the seed before anything runs. Pure.

use tenure_chaos::history::FaultKind;

use crate::dice::Dice;

/// Nodes of a run.
pub(crate) const NODES: usize = 3;
/// Endpoints of the store.
pub(crate) const MEMBERS: usize = 3;

/// Something that breaks. Times are in ms; nodes and members by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is gone at once, and another one of that name starts later.
    Crash { node: usize },
    /// Nothing crosses between a node and the members, in the directions named.
    Cut { node: usize, to: bool, from: bool },
    /// Nothing crosses between a node and one member.
    CutOne { node: usize, member: usize },
    /// Everything of a node is late.
    Slow { node: usize, delay_ms_max: u64 },
    /// Some requests of a node never arrive.
    LoseRequests { node: usize, in_thousand: u16 },
    /// Some answers to a node never arrive, though the requests were applied.
    LoseAnswers { node: usize, in_thousand: u16 },
    /// Every connection of a node breaks.
    Break { node: usize },
    /// A member is down.
    Member { member: usize },
    /// All members restart at once: every stream ends, leases count anew.
    Store,
    /// The members elect another leader: leases count anew.
    StoreLeader,
    /// An operator revokes the lease of a node.
    Revoke { node: usize },
    /// An operator compacts all history.
    Compact,
    /// The store has no space for new keys.
    NoSpace,
    /// A node's clock is off.
    Clock { node: usize, ahead_ms: i64 },
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Since the start of the run.
    pub(crate) at_ms: u64,
    /// How long; 0 for what has no length.
    pub(crate) for_ms: u64,
    /// What.
    pub(crate) fault: Fault,
}

/// What a run's faults may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// None before it.
    pub(crate) from_ms: u64,
    /// All are over by then.
    pub(crate) until_ms: u64,
}

/// 14 kinds of faults.
const KINDS: usize = 14;
/// At most 3 of the kinds in one run: few kinds often find more than all of them a little (swarm testing, Groce and others 2012).
const KINDS_MAX: usize = 3;
/// At most 10 faults in a run.
const FAULTS_MAX: u64 = 10;

/// The faults of a run, by time. One run in twenty has none.
pub(crate) fn plan(dice: &Dice, span: Span) -> Vec<Planned> {
    if dice.in_thousand(50) {
        return Vec::new();
    }
    let kinds: Vec<usize> = (0..=dice.below(KINDS_MAX))
        .map(|_| dice.below(KINDS))
        .collect();
    let mut planned: Vec<Planned> = (0..dice.within(1..=FAULTS_MAX))
        .map(|_| one(dice, *dice.one(&kinds), span))
        .collect();
    planned.sort_by_key(|planned| planned.at_ms);
    planned
}

fn one(dice: &Dice, kind: usize, span: Span) -> Planned {
    let node = dice.below(NODES);
    let member = dice.below(MEMBERS);
    let fault = match kind {
        0 => Fault::Crash { node },
        1 => Fault::Cut {
            node,
            to: true,
            from: true,
        },
        2 => {
            let to = dice.in_thousand(500);
            Fault::Cut {
                node,
                to,
                from: !to,
            }
        }
        3 => Fault::CutOne { node, member },
        4 => Fault::Slow {
            node,
            delay_ms_max: dice.within(20..=1_500),
        },
        5 => Fault::LoseRequests {
            node,
            in_thousand: lossy(dice),
        },
        6 => Fault::LoseAnswers {
            node,
            in_thousand: lossy(dice),
        },
        7 => Fault::Break { node },
        8 => Fault::Member { member },
        9 => Fault::Store,
        10 => Fault::StoreLeader,
        11 => Fault::Revoke { node },
        12 => Fault::Compact,
        _ if dice.in_thousand(500) => Fault::NoSpace,
        _ => Fault::Clock {
            node,
            ahead_ms: i64::try_from(dice.within(0..=10_000)).expect("fits") - 5_000,
        },
    };
    let at_ms = dice.within(span.from_ms..=span.until_ms);
    let longest = if fault.lasts() {
        (span.until_ms - at_ms).min(12_000)
    } else {
        0
    };
    Planned {
        at_ms,
        for_ms: dice.within(0..=longest),
        fault,
    }
}

fn lossy(dice: &Dice) -> u16 {
    *dice.one(&[20, 100, 300, 700])
}

impl Fault {
    /// Whether it goes on until it is mended.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Self::Break { .. } | Self::StoreLeader | Self::Revoke { .. } | Self::Compact => false,
            Self::Crash { .. }
            | Self::Cut { .. }
            | Self::CutOne { .. }
            | Self::Slow { .. }
            | Self::LoseRequests { .. }
            | Self::LoseAnswers { .. }
            | Self::Member { .. }
            | Self::Store
            | Self::NoSpace
            | Self::Clock { .. } => true,
        }
    }

    /// Which node it hits.
    pub(crate) fn node(&self) -> Option<usize> {
        match *self {
            Self::Crash { node }
            | Self::Cut { node, .. }
            | Self::CutOne { node, .. }
            | Self::Slow { node, .. }
            | Self::LoseRequests { node, .. }
            | Self::LoseAnswers { node, .. }
            | Self::Break { node }
            | Self::Revoke { node }
            | Self::Clock { node, .. } => Some(node),
            Self::Member { .. }
            | Self::Store
            | Self::StoreLeader
            | Self::Compact
            | Self::NoSpace => None,
        }
    }

    /// The word of the history for it.
    pub(crate) fn kind(&self) -> FaultKind {
        match *self {
            Self::Crash { .. } => FaultKind::Crash,
            Self::Cut {
                to: true,
                from: true,
                ..
            }
            | Self::CutOne { .. } => FaultKind::Partition,
            Self::Cut { .. } => FaultKind::OneWay,
            Self::Slow { .. } => FaultKind::Delay,
            Self::LoseRequests { .. } => FaultKind::RequestsLost,
            // Connections that break take with them what was on its way.
            Self::LoseAnswers { .. } | Self::Break { .. } => FaultKind::AnswersLost,
            Self::Member { .. } | Self::Store => FaultKind::StoreDown,
            Self::StoreLeader => FaultKind::StoreLeader,
            Self::Revoke { .. } => FaultKind::LeaseEnded,
            Self::Compact => FaultKind::Compaction,
            Self::NoSpace => FaultKind::NoSpace,
            Self::Clock { .. } => FaultKind::ClockSkew,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span {
        from_ms: 1_000,
        until_ms: 20_000,
    };

    #[test]
    fn a_seed_makes_one_plan_and_every_kind_is_planned_by_some_seed() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let planned = plan(&Dice::new(seed), SPAN);
            assert_eq!(planned, plan(&Dice::new(seed), SPAN));
            for one in &planned {
                assert!(
                    one.at_ms + one.for_ms <= SPAN.until_ms,
                    "{one:?} ends in time"
                );
                kinds.insert(format!("{:?}", one.fault.kind()));
            }
        }
        assert!(kinds.len() >= 12, "{kinds:?}");
    }
}
