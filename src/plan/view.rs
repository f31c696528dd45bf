//! What the leader knows, folded from events; equal to a rebuild from the keys at the same revision; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use tenure_cluster::{Event, EventKind, KeyValue};

use super::limits::Limits;
use super::pace::Pace;
use super::reserved::{less, of_node};
use super::window::Window;
use crate::planted::{self, Bug};
use crate::store::{
    Corrupt, Death, Keys, Lane, Live, NodeRecord, Record, RecordId, Run, Seen, Stand, Stop,
};
use crate::task::{ClaimId, Name, Routing};
use ended::Less;

mod ended;

/// A live node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its session: create revision of its key.
    pub session: i64,
    /// What it says of itself.
    pub record: NodeRecord,
}

/// The head of a lane.
type LaneWindow = Window<(RecordId, Seen<Record>)>;

/// Everything the leader decides from, at one revision.
#[derive(Clone, Debug)]
pub struct View {
    /// Everything up to this revision is folded in.
    pub revision: i64,
    /// Live nodes.
    pub nodes: BTreeMap<Name, Node>,
    /// Names of nodes that are to take no work, also of nodes that are not there.
    pub drained: BTreeSet<Name>,
    /// Claims.
    pub claims: BTreeMap<(Name, ClaimId), Seen<Run>>,
    /// Stops and their mod revisions.
    pub stops: BTreeMap<(Name, ClaimId), Seen<Stop>>,
    /// The heads of the lanes.
    pub lanes: BTreeMap<Lane, LaneWindow>,
    /// Mod revisions of the marks of those lanes that go when they are empty.
    pub passing: BTreeMap<Lane, i64>,
    /// What only so many may hold, and how much of it is held.
    pub limits: Limits,
    /// The earliest scheduled records.
    pub due: Window<(u64, RecordId, Seen<Record>)>,
    /// The schedules that are to be looked at next, and when.
    pub ticks: Window<(u64, Name)>,
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
    /// Sessions that ended because their processes did, by evidence that is on record.
    deaths: BTreeSet<i64>,
    window_max: usize,
    keys: Keys,
}

/// 32,768 records in all lanes' windows together; a lane has its share of it, which gets less as lanes are born, but not less than
/// [`LANE_RECORDS_MIN`]: beyond 512 lanes that is more, 262,144 with the 4,096 lanes that a cluster takes.
const WINDOWS_RECORDS_MAX: usize = 32_768;

/// 64 records: below this a lane would be read for every commit.
const LANE_RECORDS_MIN: usize = 64;

/// 8 records in the window of a lane that waits for a lock or a key: there are as many of those as are held, and each lets through
/// few at a time.
const PASSING_RECORDS_MAX: usize = 8;

impl View {
    /// Nothing known, at this revision; `window_max` bounds each window, in records.
    pub fn new(keys: Keys, revision: i64, window_max: usize) -> Self {
        let mut due = Window::unread(window_max, keys.due_prefix());
        if planted::is(Bug::DueUnread) {
            due = Window::new(window_max);
        }
        let ticks = Window::unread(window_max, keys.tick_prefix());
        Self {
            revision,
            nodes: BTreeMap::new(),
            drained: BTreeSet::new(),
            claims: BTreeMap::new(),
            stops: BTreeMap::new(),
            lanes: BTreeMap::new(),
            passing: BTreeMap::new(),
            limits: Limits::default(),
            due,
            ticks,
            pace: Pace::default(),
            held: BTreeMap::new(),
            less: Less::default(),
            changes_of_nodes: 0,
            leaving: BTreeMap::new(),
            gone: BTreeMap::new(),
            deaths: BTreeSet::new(),
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
            Some(Live::Drain(id)) => {
                self.drained.insert(id);
                self.changes_of_nodes += 1;
            }
            Some(Live::Lane(lane)) => {
                if lane.is_passing() {
                    self.passing.insert(lane.clone(), kv.mod_revision);
                }
                self.lane(lane);
            }
            Some(Live::Ready(lane, id)) => {
                let seen: Seen<Record> = Seen::of(kv)?;
                self.waits_again(&id, &seen.value);
                self.lane(lane).put(kv.key.clone(), (id, seen));
            }
            Some(Live::Due(ms, id)) => {
                let seen: Seen<Record> = Seen::of(kv)?;
                self.waits_again(&id, &seen.value);
                self.due.put(kv.key.clone(), (ms, id, seen));
            }
            Some(Live::Run(node, claim)) => self.put_claim(&node, claim, Seen::of(kv)?, now_ms),
            Some(Live::Stop(node, claim)) => {
                self.stops.insert((node, claim), Seen::of(kv)?);
            }
            Some(Live::Semaphore(name)) => self.limits.put_semaphore(name, kv)?,
            Some(Live::Queue(name)) => self.limits.put_queue(name, kv)?,
            Some(Live::Rules) => self.limits.rules = kv.mod_revision,
            Some(Live::Tick(ms, name)) => self.ticks.put(kv.key.clone(), (ms, name)),
            Some(Live::Want(gate, id)) => self.limits.put_want(gate, id, kv)?,
            Some(Live::Hold(gate, id)) => self.limits.put_hold(gate, id, kv)?,
            Some(Live::Death(session)) => {
                let death = Seen::<Death>::of(kv)?.value;
                let _new = death.evidence.is_death() && self.deaths.insert(session);
            }
            None => {}
        }
        Ok(())
    }

    /// Adds a lane of which nothing has been read, as a leader that takes over finds it, and when it was marked last.
    pub fn unread(&mut self, lane: Lane, marked: i64) {
        if lane.is_passing() {
            self.passing.insert(lane.clone(), marked);
        }
        if planted::is(Bug::LaneUnread) {
            self.lane(lane);
            return;
        }
        let from = self.keys.ready_lane(&lane);
        self.window(lane, |max| Window::unread(max, from));
    }

    /// Tasks that a node holds, by kind.
    pub fn held_by<'a>(&'a self, node: &Name) -> impl Iterator<Item = (&'a Name, u64)> {
        of_node(&self.held, node)
    }

    /// Whether work may be given to a live node: it neither leaves nor is it drained.
    pub fn takes_work(&self, id: &Name, node: &Node) -> bool {
        node.record.takes_work(self.drained.contains(id))
    }

    /// How a live node stands to new work.
    pub fn stand(&self, id: &Name, node: &Node) -> Stand {
        let has_tasks = self.held_by(id).any(|(_, tasks)| tasks > 0);
        node.record.stand(self.drained.contains(id), has_tasks)
    }

    /// Whether this session's node said that it would leave before it went: what was sent to it too late killed nobody.
    pub fn has_left(&self, node: &Name, session: i64) -> bool {
        self.leaving.get(node) == Some(&session)
    }

    /// Whether the process that had this session is known to have died: nobody has to wait for it.
    pub fn has_died(&self, session: i64) -> bool {
        self.deaths.contains(&session)
    }

    /// For how long the node has been missed, in milliseconds; none where it is there. What had gone before this view was loaded is
    /// missed since then. A clock that was set back since says nothing of it: then it is missed for long, and not until that time comes
    /// again.
    pub fn missed_for(&self, node: &Name, now_ms: u64) -> Option<u64> {
        let since = self.gone.get(node)?;
        Some(now_ms.checked_sub(*since).unwrap_or(u64::MAX))
    }

    /// A lane born after this view: its window is complete from the start.
    fn lane(&mut self, lane: Lane) -> &mut LaneWindow {
        self.window(lane, Window::new)
    }

    /// The window of a lane; where it is a new one, all have their share of what is left to each.
    fn window(&mut self, lane: Lane, new: impl FnOnce(usize) -> LaneWindow) -> &mut LaneWindow {
        let mut max = self.window_max;
        if lane.is_passing() {
            max = max.min(PASSING_RECORDS_MAX);
        } else if !self.lanes.contains_key(&lane) {
            let lasting = self.lanes.len().saturating_sub(self.passing.len());
            let share = WINDOWS_RECORDS_MAX / (lasting + 1);
            max = share.max(LANE_RECORDS_MIN).min(max);
            let lasting = self.lanes.iter_mut().filter(|(of, _)| !of.is_passing());
            lasting.for_each(|(_, window)| window.resize(max));
        }
        self.lanes.entry(lane).or_insert_with(|| new(max))
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
        let (attempts, session) = (seen.value.tally.attempts, seen.value.session);
        if !self.nodes.contains_key(node) {
            self.gone.entry(node.clone()).or_insert(now_ms);
        }
        self.limits.claimed(&seen.value.routing, tasks);
        let former = self.claims.insert((node.clone(), claim), seen);
        let held = self.held.entry((node.clone(), kind.clone())).or_default();
        if let Some(former) = former {
            let routing = former.value.routing;
            let former = former.value.which.len() as u64;
            self.limits.unclaimed(&routing, former);
            *held = (*held + tasks).saturating_sub(former);
            let left = former.saturating_sub(tasks);
            self.left((node, session), claim, kind, attempts, left);
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
            routing,
            which,
            tally,
            session,
            ..
        } = gone.value;
        let tasks = which.len() as u64;
        self.limits.unclaimed(&routing, tasks);
        let Routing { kind, .. } = routing;
        less(&mut self.held, &(node.clone(), kind.clone()), tasks);
        self.left((node, session), claim, kind, tally.attempts, tasks);
        self.forget_unused(node);
    }

    /// A lane whose mark has gone is empty: it goes too.
    fn drop_lane(&mut self, lane: &Lane) {
        self.passing.remove(lane);
        if self.lanes.get(lane).is_some_and(Window::is_empty) {
            self.lanes.remove(lane);
        }
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
            Some(Live::Drain(id)) => {
                self.drained.remove(&id);
                self.changes_of_nodes += 1;
            }
            Some(Live::Ready(lane, _)) => {
                if let Some(window) = self.lanes.get_mut(&lane) {
                    window.delete(key);
                }
            }
            Some(Live::Due(..)) => self.due.delete(key),
            Some(Live::Tick(..)) => self.ticks.delete(key),
            Some(Live::Run(node, claim)) => self.drop_claim(&node, claim),
            Some(Live::Stop(node, claim)) => {
                self.stops.remove(&(node, claim));
            }
            Some(Live::Lane(lane)) => self.drop_lane(&lane),
            Some(Live::Semaphore(name)) => self.limits.drop_semaphore(&name),
            Some(Live::Queue(name)) => self.limits.drop_queue(&name),
            Some(Live::Want(gate, id)) => self.limits.drop_want(gate, id),
            Some(Live::Hold(gate, id)) => self.limits.drop_hold(&gate, id),
            Some(Live::Death(session)) => {
                self.deaths.remove(&session);
            }
            Some(Live::Rules) | None => {}
        }
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
