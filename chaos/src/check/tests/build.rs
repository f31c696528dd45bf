//! Stories: a cluster's life told in a few lines, recorded as a store and its clients would record it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::check::Limits;
use crate::history::{
    Answer, Call, Entry, History, NodeEvent, Op, Refusal, Run, StoreEvent, Submit, Value,
};

pub(super) const ROOT: &str = "/tenure/t/";

/// What one transaction writes: keys below the root with their values, none for a delete.
pub(super) type Ops = Vec<(String, Option<Json>)>;

/// What tasks have been through: attempts, failures, deaths.
pub(super) type Tally = [u32; 3];

/// A key's bytes, create revision, version and lease.
type Kept = (Vec<u8>, i64, i64, i64);

#[derive(Clone)]
pub(super) struct Story {
    pub(super) history: History,
    pub(super) at_ms: u64,
    pub(super) revision: i64,
    pub(super) term: i64,
    /// Who is said to write what is written next.
    pub(super) by: Option<String>,
    /// The lease of what is put next; 0 for none.
    pub(super) lease: i64,
    kept: BTreeMap<String, Kept>,
    sessions: BTreeMap<String, i64>,
    counter: u64,
}

/// A claim that was made.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) node: String,
    pub(super) id: String,
    pub(super) pack: u8,
    pub(super) fence: i64,
    pub(super) tally: Tally,
}

pub(super) fn pack(n: u8) -> String {
    format!("01920000-0000-7000-8000-0000000{n:03x}00")
}

pub(super) fn task(n: u8, index: u8) -> String {
    format!("01920000-0000-7000-8000-0000000{n:03x}{index:02x}")
}

/// The name of the record that a submit makes.
pub(super) fn born(n: u8) -> String {
    format!("{}.0.0", pack(n))
}

pub(super) fn ready(level: u8, name: &str) -> String {
    format!("live/ready/q/k/-/-/{}/{name}", 9 - level)
}

pub(super) fn routing(level: u8) -> Json {
    json!({"queue": "q", "kind": "k", "priority": level})
}

pub(super) fn tally([attempts, failures, deaths]: Tally) -> Json {
    json!({"attempts": attempts, "failures": failures, "deaths": deaths})
}

pub(super) fn record(level: u8, which: &str, been: Tally) -> Json {
    json!({"routing": routing(level), "which": which, "size": 1, "tally": tally(been), "since_ms": 0})
}

pub(super) fn packed(level: u8, indexes: &[u8]) -> Json {
    let tasks: BTreeMap<String, Json> = indexes
        .iter()
        .map(|i| (i.to_string(), json!({"payload": null})))
        .collect();
    json!({"routing": routing(level), "policy": {"max_attempts": 2}, "created_ms": 0, "tasks": tasks})
}

impl Claim {
    pub(super) fn key(&self) -> String {
        format!("live/run/{}/{}", self.node, self.id)
    }

    pub(super) fn result(&self) -> String {
        format!("result/{}/{}/0", pack(self.pack), self.id)
    }

    /// The name of the record that its report makes.
    pub(super) fn next(&self) -> String {
        format!("{}.{}.1", pack(self.pack), self.id)
    }

    /// Its one task's outcome.
    pub(super) fn said(&self, outcome: &str, next: Option<&str>) -> Json {
        let next = next.map(|to| json!({"to": to, "n": 1, "ms": 9}));
        let ran = !["returned", "deferred"].contains(&outcome);
        json!({"of": [{"which": "0", "outcome": outcome, "number": self.tally[0] + u32::from(ran),
            "node": self.node, "fence": self.fence, "finished_ms": 0, "next": next}]})
    }

    /// What its tally is after this outcome.
    pub(super) fn after(&self, outcome: &str) -> Tally {
        let [attempts, failures, deaths] = self.tally;
        match outcome {
            "failed" | "timeout" => [attempts + 1, failures + 1, deaths],
            "lost" => [attempts + 1, failures, deaths + 1],
            _ => self.tally,
        }
    }

    /// What a report or reclaim of it writes.
    pub(super) fn ends(&self, outcome: &str, next: Option<&str>) -> Ops {
        let mut ops = vec![
            (self.key(), None),
            (self.result(), Some(self.said(outcome, next))),
        ];
        let after = record(5, "0", self.after(outcome));
        match next {
            Some("ready") => ops.push((ready(5, &self.next()), Some(after))),
            Some("due") => ops.push((
                format!("live/due/0000000000009/{}", self.next()),
                Some(after),
            )),
            Some(_) => ops.push((format!("dead/q/{}", self.next()), Some(after))),
            None => ops.push((format!("gc/00000000/{}", pack(self.pack)), Some(json!("")))),
        }
        ops
    }
}

impl Story {
    pub(super) fn new() -> Self {
        let limits = Limits {
            reclaim_ms: 1_000,
            failover_ms: 1_000,
            lease_ms: 2_000,
            drain_ms: 5_000,
            retention_ms: 10_000,
            collect_ms: 2_000,
            skew_ms: 0,
            ahead_ms: 0,
            rate_ms: 0,
            fire_ms: 3_000,
            death_budget: 2,
            zombie_ms: Some(100),
        };
        Self {
            history: History::new(ROOT, limits),
            at_ms: 1_000,
            revision: 1,
            term: 0,
            by: None,
            lease: 0,
            kept: BTreeMap::new(),
            sessions: BTreeMap::new(),
            counter: 0,
        }
    }

    /// Nodes a and b; a leads.
    pub(super) fn led() -> Self {
        let mut story = Self::new();
        story.node("a");
        story.node("b");
        story.stand("a");
        story.stand("b");
        story.term = 4;
        story.opens(4);
        story
    }

    pub(super) fn saw(&mut self, entry: impl Into<Entry>) {
        self.history.push(self.at_ms, entry);
    }

    pub(super) fn wait(&mut self, ms: u64) -> &mut Self {
        self.at_ms += ms;
        self
    }

    /// Commits one transaction; its revision.
    pub(super) fn txn(&mut self, ops: Ops) -> i64 {
        self.revision += 1;
        self.at_ms += 1;
        for (key, value) in ops {
            let event = self.event(format!("{ROOT}{key}"), value);
            self.saw(event);
        }
        self.revision
    }

    fn event(&mut self, key: String, value: Option<Json>) -> StoreEvent {
        let before = self.kept.remove(&key);
        let mut event = StoreEvent {
            revision: self.revision,
            prev: before.as_ref().map(|kept| Value(kept.0.clone())),
            by: self.by.clone(),
            lease: before.as_ref().map_or(0, |kept| kept.3),
            key: key.clone(),
            ..StoreEvent::default()
        };
        if let Some(value) = value {
            let bytes = value.to_string().into_bytes();
            let (_, created, version, _) = before.unwrap_or((Vec::new(), self.revision, 0, 0));
            event.value = Some(Value(bytes.clone()));
            event.create_revision = created;
            event.version = version + 1;
            event.lease = self.lease;
            let kept = (bytes, created, version + 1, self.lease);
            self.kept.insert(key, kept);
        }
        event
    }

    pub(super) fn node(&mut self, node: &str) -> i64 {
        let value = json!({"instance": "i", "kinds": ["k"], "slots": 1});
        let session = self.txn(vec![(format!("live/node/{node}"), Some(value))]);
        self.sessions.insert(node.to_owned(), session);
        session
    }

    pub(super) fn stand(&mut self, node: &str) -> i64 {
        self.txn(vec![(
            format!("elect/{node}"),
            Some(json!({"node": node, "address": ""})),
        )])
    }

    pub(super) fn opens(&mut self, term: i64) -> i64 {
        self.txn(vec![(
            format!("term/{term:020}"),
            Some(json!({"node": "", "from_ms": 0})),
        )])
    }

    /// A node's keys go with its lease.
    pub(super) fn gone(&mut self, node: &str) -> i64 {
        let mut ops = vec![(format!("live/node/{node}"), None)];
        if self.kept.contains_key(&format!("{ROOT}elect/{node}")) {
            ops.push((format!("elect/{node}"), None));
        }
        self.txn(ops)
    }

    pub(super) fn call(&mut self, op: Op) -> Call {
        self.counter += 1;
        let call = Call {
            client: "c".to_owned(),
            number: self.counter,
        };
        self.saw(Entry::Invoke {
            call: call.clone(),
            op,
        });
        call
    }

    pub(super) fn answered(&mut self, call: Call, revision: i64, tasks: &[String]) {
        let answer = Answer {
            revision: Some(revision),
            tasks: tasks.to_vec(),
            ..Answer::default()
        };
        self.saw(Entry::Ok { call, answer });
    }

    /// An answer that says more than a revision.
    pub(super) fn told(&mut self, call: Call, answer: Answer) {
        self.saw(Entry::Ok { call, answer });
    }

    pub(super) fn submit_op(count: u64, key: Option<&str>) -> Op {
        Op::Submit(Submit {
            key: key.map(ToOwned::to_owned),
            count,
            queue: "q".to_owned(),
            kind: "k".to_owned(),
            ..Submit::default()
        })
    }

    /// What the submit of a pack of one task writes.
    pub(super) fn accepts(n: u8, level: u8) -> Ops {
        vec![
            (format!("pack/{}", pack(n)), Some(packed(level, &[0]))),
            (ready(level, &born(n)), Some(record(level, "0", [0; 3]))),
        ]
    }

    /// A task is submitted and acknowledged.
    pub(super) fn submit(&mut self, n: u8) -> i64 {
        self.submit_at(n, 5)
    }

    pub(super) fn submit_at(&mut self, n: u8, level: u8) -> i64 {
        let call = self.call(Self::submit_op(1, None));
        let revision = self.txn(Self::accepts(n, level));
        self.answered(call, revision, &[task(n, 0)]);
        revision
    }

    /// A claim of the leader's for one ready record.
    pub(super) fn claim(&mut self, n: u8, node: &str) -> Claim {
        self.claim_of(n, &born(n), 5, [0; 3], node)
    }

    pub(super) fn again(&mut self, after: &Claim, outcome: &str, node: &str) -> Claim {
        self.claim_of(after.pack, &after.next(), 5, after.after(outcome), node)
    }

    pub(super) fn claim_of(
        &mut self,
        n: u8,
        name: &str,
        level: u8,
        been: Tally,
        node: &str,
    ) -> Claim {
        self.counter += 1;
        let claim = Claim {
            node: node.to_owned(),
            id: format!("{:x}-{:x}", self.term, self.counter),
            pack: n,
            fence: self.revision + 1,
            tally: been,
        };
        let run = json!({"pack": pack(n), "routing": routing(level), "which": "0", "size": 1,
            "tally": tally(been), "session": self.sessions[node], "term": self.term,
            "decided": self.revision});
        self.txn(vec![(ready(level, name), None), (claim.key(), Some(run))]);
        claim
    }

    /// A claim ends: its report or its reclaim.
    pub(super) fn ends(&mut self, claim: &Claim, outcome: &str, next: Option<&str>) -> i64 {
        self.txn(claim.ends(outcome, next))
    }

    pub(super) fn run_of(claim: &Claim) -> Run {
        Run {
            task: task(claim.pack, 0),
            attempt: claim.tally[0] + 1,
            fence: claim.fence,
            node: claim.node.clone(),
            incarnation: 1,
        }
    }

    pub(super) fn starts(&mut self, claim: &Claim) {
        self.wait(1).saw(Entry::RunStarted(Self::run_of(claim)));
    }

    pub(super) fn stops(&mut self, claim: &Claim) {
        let run = Self::run_of(claim);
        self.wait(1).saw(Entry::RunEnded { run, well: true });
    }

    /// It runs, as the witness sees it, and succeeds.
    pub(super) fn succeeds(&mut self, claim: &Claim) -> i64 {
        self.starts(claim);
        self.stops(claim);
        self.ends(claim, "succeeded", None)
    }

    pub(super) fn refused(&mut self, what: Refusal) {
        self.saw(NodeEvent::Refused {
            node: "a".to_owned(),
            what,
            count: 1,
        });
    }

    pub(super) fn sealed(&mut self) {
        let revision = self.revision;
        self.saw(crate::history::Marker::Sealed { revision });
    }
}
