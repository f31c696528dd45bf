//! When nothing stood in the way: bounds hold for uninterrupted calm, and each disturbance lets them begin anew.

use std::collections::BTreeSet;

use crate::history::{Entry, Fault, FaultKind, History, Marker, NodeEvent};

use super::lives::Reign;

/// The disturbances of a history: spans of milliseconds, in order of their begin. An instant is a span of no length.
#[derive(Clone, Debug, Default)]
pub(super) struct Calm {
    spans: Vec<(u64, u64)>,
}

impl Calm {
    /// What keeps a leader from acting: faults of the store, and those of the node that leads or is next to. Without
    /// reigns, those of the store only.
    pub(super) fn of(history: &History, reigns: &[Reign], end_ms: u64) -> Self {
        let mut spans = Vec::new();
        for (fault, from, to) in faults(history, end_ms) {
            if !blocks(fault.kind) {
                spans.push((from, from));
                continue;
            }
            let hit = hits(fault, reigns);
            if of_the_store(fault) {
                spans.push((from, to));
                continue;
            }
            for reign in hit {
                let until = reign.until.map_or(end_ms, |until| until.1);
                let span = (from.max(reign.from.1), to.min(until));
                spans.extend((span.0 <= span.1).then_some(span));
            }
        }
        spans.extend(instants(history));
        spans.extend(no_space(history, end_ms));
        spans.extend(dead_leaders(history, reigns, end_ms));
        Self::new(spans)
    }

    /// The same, and the times in which nobody led.
    pub(super) fn while_led(&self, reigns: &[Reign], end_ms: u64) -> Self {
        let mut spans = self.spans.clone();
        let mut free_from = 0;
        for reign in reigns {
            if let Some((_, acted_ms)) = reign.acted {
                spans.push((free_from, acted_ms));
                free_from = reign.until.map_or(end_ms, |until| until.1);
            }
        }
        if reigns.last().is_none_or(|last| last.until.is_some()) {
            spans.push((free_from, end_ms));
        }
        Self::new(spans)
    }

    /// The same, without the times in which no node was fit to lead: each was dead, cut off, or just back under a name whose
    /// former lease had yet to end.
    pub(super) fn while_fit(&self, history: &History, lease_ms: u64, end_ms: u64) -> Self {
        let nodes: BTreeSet<&str> = started(history).map(|(node, _)| node).collect();
        let unfit = nodes
            .iter()
            .map(|node| unfit(history, node, lease_ms, end_ms));
        let all_unfit = unfit.reduce(|all, one| all.both(&one)).unwrap_or_default();
        Self::new([self.spans.as_slice(), &all_unfit.spans].concat())
    }

    /// When this and the other were both disturbed.
    fn both(&self, other: &Self) -> Self {
        let mut spans = Vec::new();
        for &(from, to) in &self.spans {
            let overlaps = other
                .spans
                .iter()
                .map(|span| (from.max(span.0), to.min(span.1)));
            spans.extend(overlaps.filter(|span| span.0 <= span.1));
        }
        Self::new(spans)
    }

    /// The times without any fault at all.
    pub(super) fn without_faults(history: &History, end_ms: u64) -> Self {
        let spans = faults(history, end_ms).map(|(_, from, to)| (from, to));
        let mut spans: Vec<(u64, u64)> = spans.collect();
        spans.extend(instants(history));
        spans.extend(no_space(history, end_ms));
        spans.extend(crashes(history).map(|(_, at_ms)| (at_ms, at_ms)));
        Self::new(spans)
    }

    fn new(mut spans: Vec<(u64, u64)>) -> Self {
        spans.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (from, to) in spans {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                Some(_) | None => joined.push((from, to)),
            }
        }
        Self { spans: joined }
    }

    /// The longest time without a disturbance within these two instants, in milliseconds.
    pub(super) fn longest(&self, from_ms: u64, to_ms: u64) -> u64 {
        let (mut longest, mut calm_from) = (0, from_ms);
        let first = self.spans.partition_point(|span| span.1 < from_ms);
        for (from, to) in self.spans[first..]
            .iter()
            .take_while(|span| span.0 <= to_ms)
        {
            longest = longest.max(from.saturating_sub(calm_from));
            calm_from = calm_from.max(*to);
        }
        longest.max(to_ms.saturating_sub(calm_from))
    }

    /// Whether nothing disturbed the time between these two instants.
    pub(super) fn holds(&self, from_ms: u64, to_ms: u64) -> bool {
        let first = self.spans.partition_point(|span| span.1 < from_ms);
        self.spans.get(first).is_none_or(|span| span.0 > to_ms)
    }
}

/// When a node could not lead, for itself.
fn unfit(history: &History, node: &str, lease_ms: u64, end_ms: u64) -> Calm {
    let mut spans = Vec::new();
    for (_, died_ms) in crashes(history).filter(|(of, _)| *of == node) {
        let again = started(history).find(|(of, at_ms)| *of == node && *at_ms >= died_ms);
        spans.push((died_ms, again.map_or(end_ms, |(_, at_ms)| at_ms + lease_ms)));
    }
    let cut =
        faults(history, end_ms).filter(|(fault, _, _)| blocks(fault.kind) && names(fault, node));
    spans.extend(cut.map(|(_, from, to)| (from, to)));
    Calm::new(spans)
}

fn names(fault: &Fault, node: &str) -> bool {
    let named = [&fault.target, &fault.from, &fault.to];
    named.into_iter().any(|name| name.as_deref() == Some(node))
}

/// Which nodes' processes began when.
fn started(history: &History) -> impl Iterator<Item = (&str, u64)> {
    history.records().iter().filter_map(|record| {
        if let Entry::Node(NodeEvent::Started { node, .. }) = &record.entry {
            return Some((node.as_str(), record.at_ms));
        }
        None
    })
}

/// Whether somebody hit by it cannot act while it lasts; else it disturbs at its instant only.
fn blocks(kind: FaultKind) -> bool {
    match kind {
        FaultKind::Pause
        | FaultKind::Partition
        | FaultKind::OneWay
        | FaultKind::Delay
        | FaultKind::RequestsLost
        | FaultKind::AnswersLost
        | FaultKind::StoreDown
        | FaultKind::StoreMember
        | FaultKind::NoSpace => true,
        // A process that died is dealt with by its keys, not by the time until another is started.
        FaultKind::Crash
        | FaultKind::Leave
        | FaultKind::StoreLeader
        | FaultKind::LeaseEnded
        | FaultKind::Compaction
        | FaultKind::ClockSkew => false,
    }
}

/// How long a fault is felt after its end: a request or an answer that was lost is waited for until its deadline, 5 s.
fn lingers_ms(kind: FaultKind) -> u64 {
    match kind {
        FaultKind::RequestsLost | FaultKind::AnswersLost => 5_000,
        FaultKind::Crash
        | FaultKind::Leave
        | FaultKind::Pause
        | FaultKind::Partition
        | FaultKind::OneWay
        | FaultKind::Delay
        | FaultKind::StoreDown
        | FaultKind::StoreLeader
        | FaultKind::NoSpace
        | FaultKind::LeaseEnded
        | FaultKind::Compaction
        | FaultKind::ClockSkew
        | FaultKind::StoreMember => 0,
    }
}

/// Whether it hits everybody.
fn of_the_store(fault: &Fault) -> bool {
    let nobody = fault.target.is_none() && fault.from.is_none() && fault.to.is_none();
    nobody
        || matches!(
            fault.kind,
            FaultKind::StoreDown | FaultKind::StoreMember | FaultKind::NoSpace
        )
}

/// The reigns of nodes that the fault names.
fn hits<'a>(fault: &Fault, reigns: &'a [Reign]) -> Vec<&'a Reign> {
    reigns
        .iter()
        .filter(|reign| names(fault, &reign.node))
        .collect()
}

/// Each fault with its time, in milliseconds.
pub(super) fn faults(history: &History, end_ms: u64) -> impl Iterator<Item = (&Fault, u64, u64)> {
    let records = history.records();
    let end_of = move |id: u64, since: usize| {
        let over = |entry: &Entry| {
            matches!(entry, Entry::AllHealed)
                || matches!(entry, Entry::Healed { id: of } if *of == id)
        };
        let record = records[since..].iter().find(|record| over(&record.entry));
        record.map_or(end_ms, |record| record.at_ms)
    };
    records.iter().enumerate().filter_map(move |(nth, record)| {
        if let Entry::Fault(fault) = &record.entry {
            let to = end_of(fault.id, nth) + lingers_ms(fault.kind);
            return Some((fault, record.at_ms, to.min(end_ms.max(record.at_ms))));
        }
        None
    })
}

pub(super) fn instants(history: &History) -> impl Iterator<Item = (u64, u64)> {
    let disturbs = |entry: &Entry| {
        matches!(
            entry,
            Entry::Marker(Marker::Restarted { .. } | Marker::LeaderChanged { .. })
        )
    };
    let records = history.records().iter();
    records
        .filter(move |record| disturbs(&record.entry))
        .map(|record| (record.at_ms, record.at_ms))
}

fn no_space(history: &History, end_ms: u64) -> Vec<(u64, u64)> {
    let (mut spans, mut since) = (Vec::new(), None);
    for record in history.records() {
        if let Entry::Marker(Marker::NoSpace { on }) = &record.entry {
            if *on {
                since.get_or_insert(record.at_ms);
            } else if let Some(since) = since.take() {
                spans.push((since, record.at_ms));
            }
        }
    }
    spans.extend(since.map(|since| (since, end_ms)));
    spans
}

/// Which nodes' processes died when.
pub(super) fn crashes(history: &History) -> impl Iterator<Item = (&str, u64)> {
    history.records().iter().filter_map(|record| {
        let node = if let Entry::Node(NodeEvent::Crashed { node, .. }) = &record.entry {
            Some(node)
        } else if let Entry::Fault(fault) = &record.entry {
            fault
                .target
                .as_ref()
                .filter(|_| fault.kind == FaultKind::Crash)
        } else {
            None
        };
        Some((node?.as_str(), record.at_ms))
    })
}

/// Whether this node's process stood still or died within these two instants.
pub(super) fn stood_still(history: &History, node: &str, from_ms: u64, to_ms: u64) -> bool {
    paused(history, node, from_ms, to_ms)
        || crashes(history).any(|(of, at)| of == node && from_ms <= at && at <= to_ms)
}

/// Whether this node's process stood still within these two instants.
pub(super) fn paused(history: &History, node: &str, from_ms: u64, to_ms: u64) -> bool {
    let mut paused = faults(history, to_ms).filter(|(fault, _, _)| {
        fault.kind == FaultKind::Pause && fault.target.as_deref() == Some(node)
    });
    paused.any(|(_, from, to)| from <= to_ms && to >= from_ms)
}

/// From the death of a candidate's process to the end of its lease nobody else may lead where it is the oldest.
fn dead_leaders(history: &History, reigns: &[Reign], end_ms: u64) -> Vec<(u64, u64)> {
    let mut spans = Vec::new();
    for (node, at_ms) in crashes(history) {
        for reign in reigns.iter().filter(|reign| reign.node == node) {
            let until = reign.until.map_or(end_ms, |until| until.1);
            if reign.stood_ms <= at_ms && at_ms <= until {
                spans.push((at_ms.max(reign.from.1), until));
            }
        }
    }
    spans
}
