//! What the leader knows, folded from events; equal to a rebuild from the keys at the same revision; decides nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use tenure_cluster::{Event, EventKind, KeyValue};

use super::pace::Pace;
use super::window::Window;
use crate::planted::{self, Bug};
use crate::store::{
    Corrupt, Keys, Lane, Live, NodeRecord, Origin, Record, RecordId, Run, Seen, Stop,
};
use crate::task::{ClaimId, Name, Routing};

/// A live node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its session: create revision of its key.
    pub session: i64,
    /// What it says of itself.
    pub record: NodeRecord,
}

/// Everything the leader decides from, at one revision.
#[derive(Clone, Debug)]
pub struct View {
    /// Everything up to this revision is folded in.
    pub revision: i64,
    /// Live nodes.
    pub nodes: BTreeMap<Name, Node>,
    /// Claims.
    pub claims: BTreeMap<(Name, ClaimId), Seen<Run>>,
    /// Stops and their mod revisions.
    pub stops: BTreeMap<(Name, ClaimId), Seen<Stop>>,
    /// The heads of the lanes.
    pub lanes: BTreeMap<Lane, Window<(RecordId, Seen<Record>)>>,
    /// The earliest scheduled records.
    pub due: Window<(u64, RecordId, Seen<Record>)>,
    /// How fast nodes get through work.
    pub pace: Pace,
    /// Tasks held, by node and kind.
    held: BTreeMap<(Name, Name), u64>,
    /// What became of claims in the delivery being folded; empty between deliveries.
    less: Less,
    /// How often a node came, went or changed: a reason to look for orphans.
    pub changes_of_nodes: u64,
    /// The last session of each name that said it would leave. Names without a node and without a claim are forgotten here, in
    /// `gone` and in `pace`.
    leaving: BTreeMap<Name, i64>,
    /// Since when each name is missed that holds claims and has no key, in milliseconds since 1970.
    gone: BTreeMap<Name, u64>,
    window_max: usize,
    keys: Keys,
}

/// Claims that became less in one delivery, and what of them waits again: whatever one transaction wrote is delivered together.
#[derive(Clone, Debug, Default)]
struct Less {
    left: Vec<Left>,
    /// Tasks that wait again, by the claim that wrote so and how often they had been tried by then.
    again: BTreeMap<(ClaimId, u32), u64>,
}

/// Tasks that left a claim.
#[derive(Clone, Debug)]
struct Left {
    node: Name,
    claim: ClaimId,
    kind: Name,
    /// How often they had been tried before this claim.
    attempts: u32,
    tasks: u64,
}

/// What has been decided and sent but is not yet in the view.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// Records that a transaction in flight, or of unknown outcome, may change, and the mod revision that it compares: one that
    /// the view has at another is free, for what compares the old one has happened or never will.
    pub records: BTreeMap<String, i64>,
    /// Tasks on their way to nodes, by node and kind.
    pub tasks: BTreeMap<(Name, Name), u64>,
    /// Claims that a transaction in flight may take away.
    pub claims: BTreeSet<(Name, ClaimId)>,
}

impl Reserved {
    /// Whether a record is free as the view has it.
    pub fn frees(&self, key: &str, modified: i64) -> bool {
        self.records.get(key) != Some(&modified)
    }

    /// Tasks on their way to a node, by kind.
    pub fn tasks_of<'a>(&'a self, node: &Name) -> impl Iterator<Item = (&'a Name, u64)> {
        of_node(&self.tasks, node)
    }
}

/// 32,768 records in all lanes' windows together; a lane has its share of it, at least [`LANE_RECORDS_MIN`].
const WINDOWS_RECORDS_MAX: usize = 32_768;

/// 64 records: below this a lane would be read for every commit.
const LANE_RECORDS_MIN: usize = 64;

impl View {
    /// Nothing known, at this revision; `window_max` bounds each window, in records.
    pub fn new(keys: Keys, revision: i64, window_max: usize) -> Self {
        let mut due = Window::unread(window_max, keys.due_prefix());
        if planted::is(Bug::DueUnread) {
            due = Window::new(window_max);
        }
        Self {
            revision,
            nodes: BTreeMap::new(),
            claims: BTreeMap::new(),
            stops: BTreeMap::new(),
            lanes: BTreeMap::new(),
            due,
            pace: Pace::default(),
            held: BTreeMap::new(),
            less: Less::default(),
            changes_of_nodes: 0,
            leaving: BTreeMap::new(),
            gone: BTreeMap::new(),
            window_max,
            keys,
        }
    }

    /// The keys it is folded from.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Folds what one delivery brought; what could not be decoded is returned and otherwise left out.
    pub fn fold(&mut self, events: &[Event], revision: i64, now_ms: u64) -> Vec<Corrupt> {
        let mut corrupt = Vec::new();
        for event in events {
            match event.kind {
                EventKind::Put => {
                    if let Err(problem) = self.put_one(&event.kv, now_ms) {
                        corrupt.push(problem);
                    }
                }
                EventKind::Delete => self.delete(&event.kv.key, now_ms),
            }
        }
        self.fold_pace(now_ms);
        self.revision = self.revision.max(revision);
        corrupt
    }

    /// Tells what ended from what was handed back: that waits again and was no attempt.
    fn fold_pace(&mut self, now_ms: u64) {
        let Less { left, again } = std::mem::take(&mut self.less);
        for left in left {
            let back = again.get(&(left.claim, left.attempts));
            let back = back.map_or(0, |tasks| left.tasks.min(*tasks));
            let (node, kind) = (&left.node, &left.kind);
            if left.tasks > back {
                self.pace.ended(node, kind, left.tasks - back, now_ms);
            }
            if back > 0 {
                self.pace.handed_back(node, kind, back);
            }
        }
    }

    /// Folds one key as it is.
    ///
    /// # Errors
    /// [`Corrupt`] where the value is not what the key promises.
    pub fn put(&mut self, kv: &KeyValue, now_ms: u64) -> Result<(), Corrupt> {
        self.put_one(kv, now_ms)?;
        self.fold_pace(now_ms);
        Ok(())
    }

    fn put_one(&mut self, kv: &KeyValue, now_ms: u64) -> Result<(), Corrupt> {
        match self.keys.live(&kv.key) {
            Some(Live::Node(id)) => self.put_node(id, Seen::of(kv)?),
            Some(Live::Lane(lane)) => {
                self.lane(lane);
            }
            Some(Live::Ready(lane, id)) => {
                let seen: Seen<Record> = Seen::of(kv)?;
                if let Origin::Claim(claim) = id.origin {
                    let (attempts, tasks) = (seen.value.tally.attempts, seen.value.which.len());
                    *self.less.again.entry((claim, attempts)).or_default() += tasks as u64;
                }
                self.lane(lane).put(kv.key.clone(), (id, seen));
            }
            Some(Live::Due(ms, id)) => self.due.put(kv.key.clone(), (ms, id, Seen::of(kv)?)),
            Some(Live::Run(node, claim)) => self.put_claim(&node, claim, Seen::of(kv)?, now_ms),
            Some(Live::Stop(node, claim)) => {
                self.stops.insert((node, claim), Seen::of(kv)?);
            }
            None => {}
        }
        Ok(())
    }

    /// Adds a lane of which nothing has been read, as a leader that takes over finds it.
    pub fn unread(&mut self, lane: Lane) {
        if planted::is(Bug::LaneUnread) {
            self.lane(lane);
            return;
        }
        let max = self.lane_max();
        let from = self.keys.ready_lane(&lane);
        self.lanes
            .entry(lane)
            .or_insert_with(|| Window::unread(max, from));
    }

    /// Tasks that a node holds, by kind.
    pub fn held_by<'a>(&'a self, node: &Name) -> impl Iterator<Item = (&'a Name, u64)> {
        of_node(&self.held, node)
    }

    /// Whether this session's node said that it would leave before it went: what was sent to it too late killed nobody.
    pub fn has_left(&self, node: &Name, session: i64) -> bool {
        self.leaving.get(node) == Some(&session)
    }

    /// For how long the node has been missed, in milliseconds; none where it is there. What had gone before this view was loaded is
    /// missed since then.
    pub fn missed_for(&self, node: &Name, now_ms: u64) -> Option<u64> {
        self.gone
            .get(node)
            .map(|since| now_ms.saturating_sub(*since))
    }

    /// A lane born after this view: its window is complete from the start.
    fn lane(&mut self, lane: Lane) -> &mut Window<(RecordId, Seen<Record>)> {
        let max = self.lane_max();
        self.lanes.entry(lane).or_insert_with(|| Window::new(max))
    }

    fn lane_max(&self) -> usize {
        let share = WINDOWS_RECORDS_MAX / (self.lanes.len() + 1);
        share.max(LANE_RECORDS_MIN).min(self.window_max)
    }

    fn put_node(&mut self, id: Name, seen: Seen<NodeRecord>) {
        let node = Node {
            session: seen.created,
            record: seen.value,
        };
        if node.record.draining {
            self.leaving.insert(id.clone(), node.session);
        }
        self.gone.remove(&id);
        self.nodes.insert(id, node);
        self.changes_of_nodes += 1;
    }

    fn put_claim(&mut self, node: &Name, claim: ClaimId, seen: Seen<Run>, now_ms: u64) {
        let kind = seen.value.routing.kind.clone();
        let tasks = seen.value.which.len() as u64;
        let attempts = seen.value.tally.attempts;
        if !self.nodes.contains_key(node) {
            self.gone.entry(node.clone()).or_insert(now_ms);
        }
        let former = self.claims.insert((node.clone(), claim), seen);
        let held = self.held.entry((node.clone(), kind.clone())).or_default();
        if let Some(former) = former {
            let former = former.value.which.len() as u64;
            *held = (*held + tasks).saturating_sub(former);
            self.left(node, claim, kind, attempts, former.saturating_sub(tasks));
        } else {
            self.pace.claimed(node, &kind, tasks, now_ms);
            *held += tasks;
        }
    }

    fn drop_claim(&mut self, node: &Name, claim: ClaimId) {
        let Some(gone) = self.claims.remove(&(node.clone(), claim)) else {
            return;
        };
        let Run {
            routing: Routing { kind, .. },
            which,
            tally,
            ..
        } = gone.value;
        let tasks = which.len() as u64;
        if let Entry::Occupied(mut held) = self.held.entry((node.clone(), kind.clone())) {
            *held.get_mut() = held.get().saturating_sub(tasks);
            if *held.get() == 0 {
                held.remove();
            }
        }
        self.left(node, claim, kind, tally.attempts, tasks);
        self.forget_unused(node);
    }

    fn left(&mut self, node: &Name, claim: ClaimId, kind: Name, attempts: u32, tasks: u64) {
        self.less.left.push(Left {
            node: node.clone(),
            claim,
            kind,
            attempts,
            tasks,
        });
    }

    /// Forgets a name that has neither a node nor a claim: what is known of names is bounded by those.
    fn forget_unused(&mut self, id: &Name) {
        let first = ClaimId { term: 0, number: 0 };
        let mut claims = self.claims.range((id.clone(), first)..);
        if self.nodes.contains_key(id) || claims.next().is_some_and(|((of, _), _)| of == id) {
            return;
        }
        self.leaving.remove(id);
        self.gone.remove(id);
        self.pace.forget(id);
    }

    fn delete(&mut self, key: &str, now_ms: u64) {
        match self.keys.live(key) {
            Some(Live::Node(id)) => {
                self.nodes.remove(&id);
                self.pace.forget(&id);
                self.gone.insert(id.clone(), now_ms);
                self.forget_unused(&id);
                self.changes_of_nodes += 1;
            }
            Some(Live::Ready(lane, _)) => {
                if let Some(window) = self.lanes.get_mut(&lane) {
                    window.delete(key);
                }
            }
            Some(Live::Due(..)) => self.due.delete(key),
            Some(Live::Run(node, claim)) => self.drop_claim(&node, claim),
            Some(Live::Stop(node, claim)) => {
                self.stops.remove(&(node, claim));
            }
            Some(Live::Lane(_)) | None => {}
        }
    }
}

/// The part of a map by (node, kind) that is one node's.
fn of_node<'a>(
    map: &'a BTreeMap<(Name, Name), u64>,
    node: &Name,
) -> impl Iterator<Item = (&'a Name, u64)> + use<'a> {
    let node = node.clone();
    map.iter()
        .filter(move |((of, _), _)| *of == node)
        .map(|((_, kind), tasks)| (kind, *tasks))
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
