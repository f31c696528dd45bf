//! What the leader knows, folded from events; equal to a rebuild from the keys at the same revision; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use tenure_cluster::{Event, EventKind, KeyValue};

use super::pace::Pace;
use super::window::Window;
use crate::store::{Corrupt, Keys, Lane, Live, NodeRecord, Record, RecordId, Run, Seen, Stop};
use crate::task::{ClaimId, Name};

/// A live node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its session: create revision of its key.
    pub session: i64,
    /// What it says of itself.
    pub record: NodeRecord,
}

/// A claim and what is to be stopped of it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The claim.
    pub seen: Seen<Run>,
}

/// Everything the leader decides from, at one revision.
#[derive(Clone, Debug)]
pub struct View {
    /// Everything up to this revision is folded in.
    pub revision: i64,
    /// Live nodes.
    pub nodes: BTreeMap<Name, Node>,
    /// Claims.
    pub claims: BTreeMap<(Name, ClaimId), Claim>,
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
    /// How often a node came, went or changed: a reason to look for orphans.
    pub changes_of_nodes: u64,
    /// The last instance seen under each name, and its first session: the same one with a new session lost its session, it did not
    /// die.
    instances: BTreeMap<Name, (i64, String)>,
    /// The last session of each name that said it would leave.
    leaving: BTreeMap<Name, i64>,
    /// When each name's key was seen to go, in milliseconds since 1970; none once it is back.
    gone: BTreeMap<Name, u64>,
    /// The revision it was loaded at.
    loaded: i64,
    window_max: usize,
    keys: Keys,
}

/// What has been decided and sent but is not yet in the view.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// Records that a transaction in flight, or of unknown outcome, may change.
    pub records: BTreeSet<String>,
    /// Tasks on their way to nodes, by node and kind.
    pub tasks: BTreeMap<(Name, Name), u64>,
    /// Claims that a transaction in flight may take away.
    pub claims: BTreeSet<(Name, ClaimId)>,
}

impl Reserved {
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
        let due = Window::unread(window_max, keys.due_prefix());
        Self {
            revision,
            nodes: BTreeMap::new(),
            claims: BTreeMap::new(),
            stops: BTreeMap::new(),
            lanes: BTreeMap::new(),
            due,
            pace: Pace::default(),
            held: BTreeMap::new(),
            changes_of_nodes: 0,
            instances: BTreeMap::new(),
            leaving: BTreeMap::new(),
            gone: BTreeMap::new(),
            loaded: revision,
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
                    if let Err(problem) = self.put(&event.kv, now_ms) {
                        corrupt.push(problem);
                    }
                }
                EventKind::Delete => self.delete(&event.kv.key, now_ms),
            }
        }
        self.revision = self.revision.max(revision);
        corrupt
    }

    /// Folds one key as it is.
    ///
    /// # Errors
    /// [`Corrupt`] where the value is not what the key promises.
    pub fn put(&mut self, kv: &KeyValue, now_ms: u64) -> Result<(), Corrupt> {
        match self.keys.live(&kv.key) {
            Some(Live::Node(id)) => self.put_node(id, Seen::of(kv)?),
            Some(Live::Lane(lane)) => {
                self.lane(lane);
            }
            Some(Live::Ready(lane, id)) => {
                let record = (id, Seen::of(kv)?);
                self.lane(lane).put(kv.key.clone(), record);
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

    /// The instance that had this session, where it was seen.
    pub fn instance_of(&self, node: &Name, session: i64) -> Option<&str> {
        self.instances
            .get(node)
            .filter(|(first, _)| *first <= session)
            .map(|(_, instance)| instance.as_str())
    }

    /// Whether this session's node said that it would leave before it went: what was sent to it too late killed nobody.
    pub fn has_left(&self, node: &Name, session: i64) -> bool {
        self.leaving.get(node) == Some(&session)
    }

    /// Whether the node's present process may have had sessions before this view was loaded: then nobody knows whose they were.
    pub fn may_have_been(&self, node: &Name) -> bool {
        self.instances
            .get(node)
            .is_some_and(|(first, _)| *first <= self.loaded)
    }

    /// For how long the node's key has been gone, in milliseconds; none where it is there, or went before this view.
    pub fn gone_for(&self, node: &Name, now_ms: u64) -> Option<u64> {
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
        let known = self
            .instances
            .get(&id)
            .map(|(_, instance)| instance.clone());
        // A new session of the same process: keep its first session, so that claims of all former ones are seen as lost sessions'.
        if known.as_deref() != Some(node.record.instance.as_str()) {
            self.instances
                .insert(id.clone(), (node.session, node.record.instance.clone()));
        }
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
        let former = self.claims.insert((node.clone(), claim), Claim { seen });
        let held = self.held.entry((node.clone(), kind.clone())).or_default();
        if let Some(former) = former {
            let former = former.seen.value.which.len() as u64;
            self.pace
                .ended(node, &kind, former.saturating_sub(tasks), now_ms);
            *held = (*held + tasks).saturating_sub(former);
        } else {
            self.pace.claimed(node, &kind, tasks, now_ms);
            *held += tasks;
        }
    }

    fn drop_claim(&mut self, node: Name, claim: ClaimId, now_ms: u64) {
        let Some(gone) = self.claims.remove(&(node.clone(), claim)) else {
            return;
        };
        let run = gone.seen.value;
        let tasks = run.which.len() as u64;
        self.pace.ended(&node, &run.routing.kind, tasks, now_ms);
        if let Some(held) = self.held.get_mut(&(node, run.routing.kind)) {
            *held = held.saturating_sub(tasks);
        }
    }

    fn delete(&mut self, key: &str, now_ms: u64) {
        match self.keys.live(key) {
            Some(Live::Node(id)) => {
                self.nodes.remove(&id);
                self.pace.forget(&id);
                self.gone.insert(id, now_ms);
                self.changes_of_nodes += 1;
            }
            Some(Live::Ready(lane, _)) => {
                if let Some(window) = self.lanes.get_mut(&lane) {
                    window.delete(key);
                }
            }
            Some(Live::Due(..)) => self.due.delete(key),
            Some(Live::Run(node, claim)) => self.drop_claim(node, claim, now_ms),
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
