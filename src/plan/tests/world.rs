//! Builds views from the events that etcd would send; all of them are folded at time 0.

use std::collections::BTreeMap;

use tenure_cluster::{Event, EventKind, KeyValue};

use super::View;
use crate::store::{Keys, NodeRecord, Place, Record, RecordId, Run, Waiting, encode};
use crate::task::{ClaimId, Name, PackId, Priority, Routing, Tally, Which};

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A view, and the keys it was folded from.
pub(super) struct World {
    pub(super) view: View,
    live: BTreeMap<String, KeyValue>,
    revision: i64,
    claims: u64,
}

fn empty() -> View {
    let mut view = View::new(Keys::new(&name("c")), 1, 1_000);
    view.due.extend([], None);
    view
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            view: empty(),
            live: BTreeMap::new(),
            revision: 1,
            claims: 0,
        }
    }

    /// The same as a leader that takes over sees it.
    pub(super) fn reloaded(self) -> Self {
        let mut view = empty();
        view.revision = self.revision;
        for kv in self.live.values() {
            view.put(kv, 0).unwrap();
        }
        Self { view, ..self }
    }

    fn put(&mut self, key: String, value: Vec<u8>) {
        self.revision += 1;
        let created = self
            .live
            .get(&key)
            .map_or(self.revision, |kv| kv.create_revision);
        let kv = KeyValue {
            key: key.clone(),
            value: value.into(),
            create_revision: created,
            mod_revision: self.revision,
            version: 1,
            lease: 0,
        };
        self.live.insert(key, kv.clone());
        self.fold(EventKind::Put, kv);
    }

    fn delete(&mut self, key: &str) {
        self.revision += 1;
        let gone = self.live.remove(key).expect("only what is there can go");
        let kv = KeyValue {
            mod_revision: self.revision,
            ..gone
        };
        self.fold(EventKind::Delete, kv);
    }

    fn fold(&mut self, kind: EventKind, kv: KeyValue) {
        let event = Event {
            kind,
            kv,
            previous: None,
        };
        let corrupt = self.view.fold(&[event], self.revision, 0);
        assert!(corrupt.is_empty(), "{corrupt:?}");
    }

    /// A node of an instance of its own.
    pub(super) fn node(&mut self, id: &str, slots: u32, kinds: &[&str]) {
        self.says(id, &format!("i-{id}"), slots, kinds, false);
    }

    /// A node that takes no work, by its instance.
    pub(super) fn session(&mut self, id: &str, instance: &str, draining: bool) {
        self.says(id, instance, 1, &[], draining);
    }

    fn says(&mut self, id: &str, instance: &str, slots: u32, kinds: &[&str], draining: bool) {
        let record = NodeRecord {
            instance: instance.to_owned(),
            address: String::new(),
            slots,
            kinds: kinds.iter().map(|kind| name(kind)).collect(),
            labels: BTreeMap::new(),
            version: String::new(),
            started_ms: 0,
            draining,
        };
        let key = self.view.keys().node(&name(id));
        self.put(key, encode(&record));
    }

    /// A node's key goes.
    pub(super) fn gone(&mut self, id: &str) {
        self.delete(&self.view.keys().node(&name(id)));
    }

    /// The node's present session is given so many tasks of kind `k`.
    pub(super) fn claim(&mut self, id: &str, tasks: usize) -> ClaimId {
        self.claims += 1;
        let node = &self.view.nodes[&name(id)];
        let run = Run {
            pack: PackId::new(self.claims, 0),
            routing: routing("q", "k", 5),
            which: Which::first(tasks),
            size: u16::try_from(tasks).unwrap(),
            covers: true,
            tally: Tally::default(),
            session: node.session,
            instance: node.record.instance.clone(),
            term: 1,
            decided: 1,
            n: 0,
            ready_ms: 0,
            inline: None,
        };
        let claim = ClaimId {
            term: 1,
            number: self.claims,
        };
        let key = self.view.keys().run(&name(id), claim);
        self.put(key, encode(&run));
        claim
    }

    /// A claim's key goes.
    pub(super) fn ended(&mut self, id: &str, claim: ClaimId) {
        self.delete(&self.view.keys().run(&name(id), claim));
    }

    pub(super) fn ready(
        &mut self,
        queue: &str,
        kind: &str,
        level: u8,
        made_ms: u64,
        tasks: usize,
    ) -> PackId {
        self.record(Place::Ready, &routing(queue, kind, level), made_ms, tasks)
    }

    /// One task of kind `k` that waits for a time.
    pub(super) fn due(&mut self, at_ms: u64) -> PackId {
        self.record(Place::Due(at_ms), &routing("q", "k", 5), at_ms, 1)
    }

    /// All of a ready record is taken, and ends before anything else happens.
    pub(super) fn taken(&mut self, from: &Waiting) {
        let key = self
            .view
            .keys()
            .record(from.place, from.routing(), &from.id);
        self.delete(&key);
    }

    fn record(&mut self, place: Place, routing: &Routing, made_ms: u64, tasks: usize) -> PackId {
        let pack = PackId::new(made_ms, u128::from(made_ms) << 64);
        let record = Record {
            routing: routing.clone(),
            which: Which::first(tasks),
            size: u16::try_from(tasks).unwrap(),
            tally: Tally::default(),
            since_ms: made_ms,
            why: None,
            inline: None,
        };
        let id = RecordId::submitted(pack);
        let key = self.view.keys().record(place, routing, &id);
        self.put(key, encode(&record));
        pack
    }
}

fn routing(queue: &str, kind: &str, level: u8) -> Routing {
    Routing {
        queue: name(queue),
        kind: name(kind),
        priority: Priority::new(level).unwrap(),
    }
}
