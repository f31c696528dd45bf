//! Builds views from the events that etcd would send, folded at time 0 unless a test moves it.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_cluster::{Event, EventKind, KeyValue};

use super::{At, Book, View};
use crate::store::{
    Assign, Drain, DropLane, Grant, Keys, Lane, Limit, NodeRecord, Origin, Outside, Park, Place,
    QueueRules, Record, RecordId, Run, Settled, Waiting, encode,
};
use crate::store::{Death, EvidenceKind};
use crate::task::{ClaimId, Gate, Name, Needs, PackId, Priority, Routing, Tally, Which};

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A view, and the keys it was folded from.
pub(super) struct World {
    pub(super) view: View,
    /// When what happens next is folded.
    pub(super) now_ms: u64,
    /// What is told what the view is told.
    pub(super) book: Option<Book>,
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
            now_ms: 0,
            book: None,
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

    /// Now, on clocks of which the one for people is 1,000 s ahead.
    pub(super) fn at(&self) -> At {
        At {
            wall_ms: 1_000_000 + self.now_ms,
            since: Duration::from_millis(self.now_ms),
        }
    }

    fn put(&mut self, key: String, value: Vec<u8>) {
        self.commit([(key, Some(value))]);
    }

    fn delete(&mut self, key: &str) {
        self.commit([(key.to_owned(), None)]);
    }

    /// One transaction: its events come in one delivery.
    fn commit(&mut self, ops: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
        self.revision += 1;
        let events: Vec<Event> = ops
            .into_iter()
            .map(|(key, to)| self.event(key, to))
            .collect();
        let at = self.at();
        if let Some(book) = &mut self.book {
            book.folding(&self.view, &events, at);
        }
        let corrupt = self.view.fold(&events, self.revision, self.now_ms);
        assert!(corrupt.is_empty(), "{corrupt:?}");
    }

    fn event(&mut self, key: String, value: Option<Vec<u8>>) -> Event {
        let (mod_revision, former) = (self.revision, self.live.remove(&key));
        let (kind, kv) = if let Some(value) = value {
            let kv = KeyValue {
                key: key.clone(),
                value: value.into(),
                create_revision: former.map_or(mod_revision, |kv| kv.create_revision),
                mod_revision,
                version: 1,
                lease: 0,
            };
            self.live.insert(key, kv.clone());
            (EventKind::Put, kv)
        } else {
            let gone = former.expect("only what is there can go");
            (
                EventKind::Delete,
                KeyValue {
                    mod_revision,
                    ..gone
                },
            )
        };
        Event {
            kind,
            kv,
            previous: None,
        }
    }

    /// A node of 1,000 slots that runs kind `k` and has labels.
    pub(super) fn labelled(&mut self, id: &str, labels: &[(&str, &str)]) {
        self.node(id, 1_000, &["k"]);
        let mut record = self.view.nodes[&name(id)].record.clone();
        let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        record.labels = labels.iter().map(label).collect();
        let key = self.view.keys().node(&name(id));
        self.put(key, encode(&record));
    }

    /// Somebody outside waits no longer.
    pub(super) fn gives_up(&mut self, gate: &Gate, id: u128) {
        let key = self.view.keys().want(gate, id);
        self.delete(&key);
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
            peer: None,
            network: None,
            adaptive: None,
        };
        let key = self.view.keys().node(&name(id));
        self.put(key, encode(&record));
    }

    /// A node is drained.
    pub(super) fn drained(&mut self, id: &str) {
        let drain = Drain {
            since_ms: 0,
            reason: String::new(),
        };
        self.put(self.view.keys().drain(&name(id)), encode(&drain));
    }

    /// It is no longer.
    pub(super) fn undrained(&mut self, id: &str) {
        self.delete(&self.view.keys().drain(&name(id)));
    }

    /// The present session of a node is on record as ended by evidence.
    pub(super) fn declared(&mut self, id: &str, evidence: EvidenceKind) {
        let session = self.view.nodes[&name(id)].session;
        let death = Death {
            node: name(id),
            instance: "i".to_owned(),
            lease: 1,
            term: None,
            evidence,
            by: name("leader"),
            last_seen_ms: None,
            noticed_ms: 1,
        };
        let key = self.view.keys().death(session);
        self.put(key, encode(&death));
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
            claimed_ms: 0,
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

    /// What an assignment writes: the record less or gone, and its claims, which are returned.
    pub(super) fn assigned(&mut self, assign: &Assign) -> Vec<(Name, ClaimId, Run)> {
        let keys = self.view.keys().clone();
        let (from, record) = (&assign.from, &assign.from.seen.value);
        let mut left = record.which;
        let claims = assign.takes.iter().map(|take| {
            left = left.minus(take.which);
            let run = Run {
                pack: from.id.pack,
                routing: record.routing.clone(),
                which: take.which,
                size: record.size,
                covers: take.which.len() == usize::from(record.size),
                tally: record.tally,
                session: take.session,
                instance: take.instance.clone(),
                term: assign.term,
                decided: assign.decided,
                n: 0,
                ready_ms: record.since_ms,
                claimed_ms: record.since_ms,
                inline: None,
            };
            (take.node.clone(), take.claim, run)
        });
        let claims: Vec<_> = claims.collect();
        let rest = (!left.is_empty()).then(|| {
            encode(&Record {
                which: left,
                ..record.clone()
            })
        });
        let ready = keys.record(from.place, from.routing(), &from.id);
        let puts = claims
            .iter()
            .map(|(node, claim, run)| (keys.run(node, *claim), Some(encode(run))));
        self.commit(std::iter::once((ready, rest)).chain(puts));
        claims
    }

    /// What a report writes: the claim less or gone, and the records of what goes on.
    pub(super) fn reported(
        &mut self,
        node: &Name,
        claim: ClaimId,
        rest: Option<&Run>,
        settled: &Settled,
    ) {
        let keys = self.view.keys().clone();
        let key = keys.run(node, claim);
        let pack = self.view.claims[&(node.clone(), claim)].value.pack;
        let records = settled.records.iter().map(|(place, n, record)| {
            let id = RecordId {
                pack,
                origin: Origin::Claim(claim),
                n: *n,
            };
            (
                keys.record(*place, &record.routing, &id),
                Some(encode(record)),
            )
        });
        self.commit(std::iter::once((key, rest.map(encode))).chain(records));
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

    /// Tasks of kind `k` in queue `q` that ask for something.
    pub(super) fn asks(&mut self, needs: Needs, level: u8, made_ms: u64, tasks: usize) -> PackId {
        let routing = Routing {
            needs: Some(needs.into()),
            ..routing("q", "k", level)
        };
        self.record(Place::Ready, &routing, made_ms, tasks)
    }

    /// A semaphore's limit is edited.
    pub(super) fn limit(&mut self, name: &str, limit: u32) {
        let keys = self.view.keys().clone();
        let key = keys.semaphore(&super::world::name(name));
        self.commit([
            (key, Some(encode(&Limit { limit }))),
            (keys.rules(), Some(Vec::new())),
        ]);
    }

    /// A queue's rules are edited.
    pub(super) fn rules(&mut self, queue: &str, rules: &QueueRules) {
        let keys = self.view.keys().clone();
        let key = keys.queue(&name(queue));
        self.commit([(key, Some(encode(rules))), (keys.rules(), Some(Vec::new()))]);
    }

    /// Somebody outside waits.
    pub(super) fn wants(&mut self, gate: &Gate, id: u128, weight: u32) {
        let key = self.view.keys().want(gate, id);
        self.put(key, encode(&outside(weight)));
    }

    /// What a grant writes.
    pub(super) fn granted(&mut self, grant: &Grant) {
        let keys = self.view.keys().clone();
        self.commit([
            (keys.want(&grant.gate, grant.id), None),
            (
                keys.hold(&grant.gate, grant.id),
                Some(encode(&grant.want.value)),
            ),
        ]);
    }

    /// Somebody outside lets go.
    pub(super) fn released(&mut self, gate: &Gate, id: u128) {
        let key = self.view.keys().hold(gate, id);
        self.delete(&key);
    }

    /// What a park writes.
    pub(super) fn parked(&mut self, park: &Park) {
        let keys = self.view.keys().clone();
        let (from, routing) = (&park.from, park.from.routing());
        let mark = keys.lane(&Lane::at(routing, park.to));
        self.commit([
            (keys.record(from.place, routing, &from.id), None),
            (
                keys.record(park.to, routing, &from.id),
                Some(encode(&from.seen.value)),
            ),
            (mark, Some(Vec::new())),
        ]);
    }

    /// What the dropping of a lane writes; it is refused where something was parked there since.
    pub(super) fn dropped(&mut self, empty: &DropLane) {
        let key = self.view.keys().lane(&empty.lane);
        if self.live[&key].mod_revision == empty.modified {
            self.delete(&key);
        }
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

pub(super) fn routing(queue: &str, kind: &str, level: u8) -> Routing {
    Routing {
        queue: name(queue),
        kind: name(kind),
        priority: Priority::new(level).unwrap(),
        needs: None,
    }
}

fn outside(weight: u32) -> Outside {
    Outside {
        weight,
        holder: String::new(),
        since_ms: 0,
        ttl_ms: 10_000,
    }
}
