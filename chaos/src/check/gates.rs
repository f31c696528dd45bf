//! What stood open all the time between two instants, as far as the end of other tasks cannot open it: limits, what those
//! outside hold, paused queues, and nodes that are fit. Work that waits for nothing else has to go on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::Facts;
use super::fold::{Change, Step};
use super::keyspace::{Gate, Key, Node, Queue, Routing, Value};

/// What was open.
#[derive(Debug, Default)]
pub(super) struct Gates {
    /// The nodes that are there in the end.
    nodes: Vec<Node>,
    /// The least that a semaphore had for tasks.
    rooms: HashMap<String, u64>,
    /// Locks that somebody outside held at some time.
    locked: HashSet<String>,
    /// Queues of which nothing could be claimed at some time.
    closed: HashSet<String>,
    /// Who outside waited all the time: key, gate and weight.
    waiting: BTreeMap<Arc<str>, (Gate, u64)>,
    /// How many waited outside when the time began.
    wanted: u64,
}

/// What is set and held outside at one revision.
#[derive(Debug, Default)]
struct Now {
    limits: HashMap<String, u64>,
    queues: HashMap<String, Queue>,
    outside: HashMap<Gate, BTreeMap<Arc<str>, u64>>,
    wants: BTreeMap<Arc<str>, (Gate, u64)>,
    nodes: BTreeMap<String, Node>,
}

impl Gates {
    /// What was open from one instant to another, in milliseconds.
    pub(super) fn between(facts: &Facts<'_>, from_ms: u64, to_ms: u64) -> Self {
        let (mut gates, mut now) = (Self::default(), Now::default());
        let until = facts.steps.partition_point(|step| step.at_ms <= to_ms);
        let begun = facts.steps.partition_point(|step| step.at_ms <= from_ms);
        let begun = begun.min(until);
        for step in &facts.steps[..begun] {
            now.apply(step);
        }
        gates.begin(&now);
        for step in &facts.steps[begun..until] {
            now.apply(step);
            gates.note(&now);
        }
        gates.nodes = now.nodes.into_values().collect();
        gates
    }

    fn begin(&mut self, now: &Now) {
        self.rooms = now
            .limits
            .keys()
            .map(|name| (name.clone(), u64::MAX))
            .collect();
        self.waiting.clone_from(&now.wants);
        self.wanted = u64::try_from(now.wants.len()).unwrap_or(u64::MAX);
        self.note(now);
    }

    fn note(&mut self, now: &Now) {
        for (name, limit) in &now.limits {
            // Declared later: it was not there all the time.
            let room = self.rooms.entry(name.clone()).or_insert(0);
            let outside = now.outside.get(&Gate::Semaphore(name.clone()));
            let held: u64 = outside.into_iter().flat_map(BTreeMap::values).sum();
            *room = (*room).min(limit.saturating_sub(held));
        }
        for (gate, holders) in &now.outside {
            if let (Gate::Lock(name), false) = (gate, holders.is_empty()) {
                self.locked.insert(name.clone());
            }
        }
        for (name, queue) in &now.queues {
            let none = [queue.concurrency, queue.per_key].contains(&Some(0));
            if none || queue.paused.is_some() {
                self.closed.insert(name.clone());
            }
        }
        self.waiting.retain(|key, _| now.wants.contains_key(key));
    }

    /// Whether work that goes there could, once others have ended.
    pub(super) fn open(&self, routing: &Routing) -> bool {
        let needs = &routing.needs;
        let fit = |node: &Node| {
            let labelled = |(label, value)| node.labels.get(label) == Some(value);
            let takes = !node.draining && node.kinds.contains(&routing.kind);
            takes && needs.require.iter().all(labelled)
        };
        let room = |(name, weight): (&String, &u64)| self.rooms.get(name) >= Some(weight);
        !self.closed.contains(&routing.queue)
            && needs.permits.iter().all(room)
            && needs.locks.iter().all(|name| !self.locked.contains(name))
            && self.nodes.iter().any(fit)
    }

    /// Those outside who waited all the time although what they waited for was open.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = &Arc<str>> {
        let open = |gate: &Gate, weight: &u64| match gate {
            Gate::Semaphore(name) => self.rooms.get(name) >= Some(weight),
            Gate::Lock(name) => !self.locked.contains(name),
            Gate::Key(_) => false,
        };
        let waiting = self.waiting.iter();
        waiting
            .filter(move |(_, (gate, weight))| open(gate, weight))
            .map(|(key, _)| key)
    }

    /// How many waited outside when the time began.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Whether there is any node.
    pub(super) fn has_nodes(&self) -> bool {
        !self.nodes.is_empty()
    }
}

impl Now {
    fn apply(&mut self, step: &Step) {
        for change in &step.changes {
            self.change(change);
        }
    }

    fn change(&mut self, change: &Change) {
        let key = Arc::clone(&change.text);
        match (&change.key, change.is.as_deref()) {
            (Key::Semaphore(name), is) => {
                // What is taken away grants nothing.
                let limit = if let Some(Value::Semaphore(of)) = is {
                    of.limit
                } else {
                    0
                };
                self.limits.insert(name.clone(), limit);
            }
            (Key::Queue(name), Some(Value::Queue(queue))) => {
                self.queues.insert(name.clone(), queue.clone());
            }
            (Key::Queue(name), _) => {
                self.queues.remove(name);
            }
            (Key::Hold { gate, .. }, Some(Value::Outside(hold))) => {
                let holders = self.outside.entry(gate.clone()).or_default();
                holders.insert(key, hold.weight);
            }
            (Key::Hold { gate, .. }, _) => {
                self.outside.entry(gate.clone()).or_default().remove(&key);
            }
            (Key::Want { gate, .. }, Some(Value::Outside(want))) => {
                self.wants.insert(key, (gate.clone(), want.weight));
            }
            (Key::Want { .. }, _) => {
                self.wants.remove(&key);
            }
            (Key::Node(name), Some(Value::Node(node))) => {
                self.nodes.insert(name.clone(), node.clone());
            }
            (Key::Node(name), _) => {
                self.nodes.remove(name);
            }
            _ => {}
        }
    }
}
