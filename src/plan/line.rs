//! A queue's line: the heads of its lanes, by priority, then age; looks at records, decides nothing about them.

use std::collections::{BTreeMap, BTreeSet};

use super::reserved::Reserved;
use super::turns::AGED_MS;
use super::view::View;
use crate::planted::{self, Bug};
use crate::store::{Lane, Origin, Place, Record, RecordId, Seen};
use crate::task::{Name, PackId};

type Records<'a> = Box<dyn Iterator<Item = (&'a String, &'a (RecordId, Seen<Record>))> + 'a>;

/// A record and where it is.
pub(super) struct Head<'a> {
    pub(super) lane: &'a Lane,
    pub(super) id: &'a RecordId,
    pub(super) seen: &'a Seen<Record>,
    /// It is the last that the leader holds of its lane, and more is behind it.
    hides: bool,
    /// Where the one behind it stands.
    next: Option<Order<'a>>,
}

/// What comes first: the higher priority, then the older pack, then what names the record; and its lane, so that no two are one.
type Order<'a> = (u8, PackId, Origin, u32, &'a Lane);

/// One lane of a line: its first record, and those behind it.
struct Rank<'a> {
    lane: &'a Lane,
    /// Whether there is more behind what the leader holds of it.
    hides: bool,
    first: (&'a RecordId, &'a Seen<Record>),
    rest: Records<'a>,
}

/// The lanes of a queue that have work which can be taken.
#[derive(Default)]
pub(super) struct Line<'a> {
    ranks: BTreeMap<Order<'a>, Rank<'a>>,
    /// What the leader holds of a lane is given out, and more of it is behind that: nothing that comes after it goes before it.
    ended: bool,
}

impl<'a> Line<'a> {
    /// The lines of all queues. A lane that no node takes work of is left out and blocks nothing. A queue waits while it is not known
    /// what comes first in one of its lanes, or while all that is known of it is on its way, unless it cannot be read.
    pub(super) fn all(
        view: &'a View,
        reserved: &'a Reserved,
    ) -> impl Iterator<Item = (&'a Name, Self)> {
        let mut lines: BTreeMap<&Name, Self> = BTreeMap::new();
        let mut awaited: BTreeSet<&Name> = BTreeSet::new();
        for (lane, window) in &view.lanes {
            let mut nodes = view.nodes.values();
            if !nodes.any(|node| node.record.kinds.contains(&lane.kind)) {
                continue;
            }
            if window.is_awaited() {
                awaited.insert(&lane.queue);
            } else if !window.is_empty() {
                let free = window
                    .iter()
                    .filter(|(key, (_, seen))| reserved.frees(key, seen.modified));
                let records: Records<'a> = Box::new(free);
                let line = lines.entry(&lane.queue).or_default();
                let first = line.add(lane, records, window.hides());
                if first.is_none() && window.hides() {
                    awaited.insert(&lane.queue);
                }
            }
        }
        lines
            .into_iter()
            .filter(move |(queue, _)| !awaited.contains(queue))
    }

    /// Puts a lane where its first record belongs, and says where that is; none where it has none.
    fn add(&mut self, lane: &'a Lane, mut rest: Records<'a>, hides: bool) -> Option<Order<'a>> {
        let (_, (id, seen)) = rest.next()?;
        let order = (lane.priority.inverted(), id.pack, id.origin, id.n, lane);
        let first = (id, seen);
        let rank = Rank {
            lane,
            hides,
            first,
            rest,
        };
        self.ranks.insert(order, rank);
        Some(order)
    }

    /// Takes the first record.
    pub(super) fn first(&mut self) -> Option<Head<'a>> {
        if self.ended {
            return None;
        }
        let first = if planted::is(Bug::LowestFirst) {
            self.ranks.pop_last()
        } else {
            self.ranks.pop_first()
        };
        let (_, rank) = first?;
        Some(self.taken(rank))
    }

    /// Takes the one that waits longest, where that is long.
    pub(super) fn oldest(&mut self, now_ms: u64) -> Option<Head<'a>> {
        if self.ended {
            return None;
        }
        let heads = self.ranks.keys().map(|order| (order.1, *order));
        let (pack, order) = heads.min()?;
        if now_ms.saturating_sub(pack.unix_ms()) < AGED_MS {
            return None;
        }
        let rank = self.ranks.remove(&order)?;
        Some(self.taken(rank))
    }

    fn taken(&mut self, rank: Rank<'a>) -> Head<'a> {
        let Rank {
            lane,
            hides,
            first,
            rest,
        } = rank;
        let next = self.add(lane, rest, hides);
        let (id, seen) = first;
        Head {
            lane,
            id,
            seen,
            hides: hides && next.is_none(),
            next,
        }
    }

    /// Notes that a record leaves its lane: what is hidden behind it may come before all others, so nothing more is taken until that
    /// is known. One that only waits where it is ends nothing.
    pub(super) fn left(&mut self, head: &Head<'a>) {
        self.ended |= head.hides;
    }

    /// Leaves the lane of a record out from now on.
    pub(super) fn close(&mut self, head: &Head<'a>) {
        if let Some(next) = &head.next {
            self.ranks.remove(next);
        }
    }
}

impl Head<'_> {
    /// Where it waits among the ready ones.
    pub(super) fn place(&self) -> Place {
        let routing = &self.seen.value.routing;
        let own = Lane::of(routing);
        if *self.lane == own {
            return Place::Ready;
        }
        let gates = (0_u8..).zip(routing.gates());
        let nth = gates
            .filter(|(_, (gate, _))| self.lane.gate.as_ref() == Some(gate))
            .map(|(nth, _)| nth);
        nth.last().map_or(Place::Ready, Place::Parked)
    }
}
