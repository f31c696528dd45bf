//! What the leader knows, folded from events; equal to a rebuild from the keys at the same revision; decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use tenure_cluster::{Event, EventKind, KeyValue};

use super::pace::Pace;
use super::window::Window;
use crate::store::{
    Corrupt, Keys, Lane, Live, NodeRecord, Record, RecordId, Run, Seen, Stop, decode,
};
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
    /// The last instance seen under each name: the same one with a new session lost its session, it did not die.
    instances: BTreeMap<Name, (i64, String)>,
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
        let node = node.clone();
        self.tasks
            .iter()
            .filter(move |((to, _), _)| *to == node)
            .map(|((_, kind), tasks)| (kind, *tasks))
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
            instances: BTreeMap::new(),
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
            Some(Live::Node(id)) => self.put_node(id, seen(kv)?),
            Some(Live::Lane(lane)) => {
                self.lane(lane);
            }
            Some(Live::Ready(lane, id)) => {
                let record = (id, seen(kv)?);
                self.lane(lane).put(kv.key.clone(), record);
            }
            Some(Live::Due(ms, id)) => self.due.put(kv.key.clone(), (ms, id, seen(kv)?)),
            Some(Live::Run(node, claim)) => self.put_claim(node, claim, seen(kv)?, now_ms),
            Some(Live::Stop(node, claim)) => {
                self.stops.insert((node, claim), seen(kv)?);
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

    /// How many tasks a node holds.
    pub fn load(&self, node: &Name) -> u64 {
        self.claims_of(node)
            .map(|claim| claim.seen.value.which.len() as u64)
            .sum()
    }

    /// The claims of a node.
    pub fn claims_of<'a>(&'a self, node: &Name) -> impl Iterator<Item = &'a Claim> + use<'a> {
        let first = ClaimId { term: 0, number: 0 };
        let node = node.clone();
        self.claims
            .range((node.clone(), first)..)
            .take_while(move |((of, _), _)| *of == node)
            .map(|(_, claim)| claim)
    }

    /// The instance that had this session, where it was seen.
    pub fn instance_of(&self, node: &Name, session: i64) -> Option<&str> {
        self.instances
            .get(node)
            .filter(|(of, _)| *of == session)
            .map(|(_, instance)| instance.as_str())
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
        // A new session of the same process: keep the old session's line, so that its claims are seen as a lost session's.
        if known.as_deref() != Some(node.record.instance.as_str()) {
            self.instances
                .insert(id.clone(), (node.session, node.record.instance.clone()));
        }
        self.nodes.insert(id, node);
    }

    fn put_claim(&mut self, node: Name, claim: ClaimId, seen: Seen<Run>, now_ms: u64) {
        let kind = seen.value.routing.kind.clone();
        let tasks = seen.value.which.len() as u64;
        let key = (node, claim);
        let former = self
            .claims
            .get(&key)
            .map(|claim| claim.seen.value.which.len() as u64);
        match former {
            Some(former) => self
                .pace
                .ended(&key.0, &kind, former.saturating_sub(tasks), now_ms),
            None => self.pace.claimed(&key.0, &kind, tasks, now_ms),
        }
        self.claims.insert(key, Claim { seen });
    }

    fn delete(&mut self, key: &str, now_ms: u64) {
        match self.keys.live(key) {
            Some(Live::Node(id)) => {
                self.nodes.remove(&id);
                self.pace.forget(&id);
            }
            Some(Live::Ready(lane, _)) => {
                if let Some(window) = self.lanes.get_mut(&lane) {
                    window.delete(key);
                }
            }
            Some(Live::Due(..)) => self.due.delete(key),
            Some(Live::Run(node, claim)) => {
                if let Some(gone) = self.claims.remove(&(node.clone(), claim)) {
                    let run = gone.seen.value;
                    self.pace
                        .ended(&node, &run.routing.kind, run.which.len() as u64, now_ms);
                }
            }
            Some(Live::Stop(node, claim)) => {
                self.stops.remove(&(node, claim));
            }
            Some(Live::Lane(_)) | None => {}
        }
    }
}

fn seen<T: serde::de::DeserializeOwned>(kv: &KeyValue) -> Result<Seen<T>, Corrupt> {
    let value = decode(&kv.key, &kv.value)?;
    Ok(Seen {
        value,
        created: kv.create_revision,
        modified: kv.mod_revision,
    })
}
