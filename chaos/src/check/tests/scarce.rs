//! Stories of what there is only so much of: how claims and those outside take permits and locks, and give them back.

use serde_json::{Value as Json, json};

use super::build::{Ops, Story, born, pack, task};
use crate::history::{Call, Op};

pub(super) fn routed(needs: &Json) -> Json {
    json!({"queue": "q", "kind": "k", "priority": 5, "needs": needs})
}

pub(super) fn permits(weight: u64) -> Json {
    json!({"permits": [{"semaphore": "db", "weight": weight}]})
}

/// A limit or a queue, set with the rules.
pub(super) fn set(key: &str, value: Json) -> Ops {
    vec![
        (format!("live/{key}"), Some(value)),
        ("live/rules".to_owned(), Some(json!({}))),
    ]
}

pub(super) fn limited(limit: u64) -> Story {
    let mut story = Story::led();
    story.txn(set("sem/db", json!({"limit": limit})));
    story
}

pub(super) fn queued(queue: Json) -> Story {
    let mut story = Story::led();
    story.txn(set("queue/q", queue));
    story
}

pub(super) fn run_key(n: u8) -> String {
    format!("live/run/b/4-{n:x}")
}

pub(super) fn run(n: u8, which: &str, needs: &Json) -> Json {
    json!({"pack": pack(n), "routing": routed(needs), "which": which, "session": 3, "term": 4})
}

pub(super) fn parked(gate: &str, n: u8) -> String {
    format!("live/ready/q/k/-/{gate}/4/{}", born(n))
}

impl Story {
    /// A pack of two tasks with these needs is accepted, and filed under this gate.
    pub(super) fn needs(&mut self, n: u8, needs: &Json, gate: &str) {
        let tasks = json!({"0": {}, "1": {}});
        let packed =
            json!({"routing": routed(needs), "policy": {"max_attempts": 2}, "tasks": tasks});
        let record = json!({"routing": routed(needs), "which": "0-1"});
        let call = self.call(Self::submit_op(2, None));
        let revision = self.txn(vec![
            (format!("pack/{}", pack(n)), Some(packed)),
            (parked(gate, n), Some(record)),
        ]);
        self.answered(call, revision, &[task(n, 0), task(n, 1)]);
    }

    /// A claim of some tasks of a pack that needs this.
    pub(super) fn takes(&mut self, n: u8, which: &str, needs: &Json) -> i64 {
        self.txn(vec![(run_key(n), Some(run(n, which, needs)))])
    }

    /// Its claim ends.
    pub(super) fn gives_back(&mut self, n: u8) -> i64 {
        self.txn(vec![(run_key(n), None)])
    }

    /// Somebody outside waits under a lease.
    pub(super) fn wants(&mut self, gate: &str, id: &str, weight: u64, lease: i64) -> Call {
        let gate_of = gate.to_owned();
        let call = self.call(Op::Acquire {
            gate: gate_of,
            weight,
            ttl_ms: None,
        });
        self.wants_as(gate, id, weight, lease);
        call
    }

    /// The same of a call that was made before.
    pub(super) fn wants_as(&mut self, gate: &str, id: &str, weight: u64, lease: i64) {
        self.lease = lease;
        self.txn(vec![(format!("live/want/{gate}/{id}"), Some(held(weight)))]);
        self.lease = 0;
    }

    /// The want is granted, with this lease.
    pub(super) fn grants(&mut self, gate: &str, id: &str, weight: u64, lease: i64) -> i64 {
        self.lease = lease;
        let token = self.txn(vec![
            (format!("live/want/{gate}/{id}"), None),
            (format!("live/hold/{gate}/{id}"), Some(held(weight))),
        ]);
        self.lease = 0;
        token
    }

    /// Somebody outside holds, and knows it.
    pub(super) fn holds(&mut self, gate: &str, id: &str, weight: u64, lease: i64) -> i64 {
        let call = self.wants(gate, id, weight, lease);
        let token = self.grants(gate, id, weight, lease);
        self.answered(call, token, &[]);
        token
    }

    /// A hold is deleted through node a.
    pub(super) fn drops(&mut self, gate: &str, id: &str) -> i64 {
        self.by = Some("a".to_owned());
        let at = self.txn(vec![(format!("live/hold/{gate}/{id}"), None)]);
        self.by = None;
        at
    }
}

pub(super) fn held(weight: u64) -> Json {
    json!({"weight": weight, "holder": "c", "since_ms": 0})
}
