//! Made histories: three nodes, a stream of short tasks and faults drawn from a seed, written down as a recorder would.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tenure_chaos::check::Limits;
use tenure_chaos::history::{
    Answer, Call, Effect, Entry, History, Injection, Marker, NodeEvent, Op, Run, Stage, StoreEvent,
    Submit, Value,
};

const ROOT: &str = "/tenure/made/";
pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// Kinds that are made, one that never can be, and one of which nobody knows.
pub(crate) const KINDS: [&str; 7] = [
    "leader-kill",
    "node-kill",
    "leader-term",
    "slow-network",
    "etcd-member-kill",
    "clock-skew",
    "disk-full",
];

/// What is made.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) secs: u64,
    pub(crate) faults: u64,
    /// A former leader's claim is let in, in the middle.
    pub(crate) broken: bool,
}

/// Keys with their values; none for a delete.
type Ops = Vec<(String, Option<Json>)>;

struct Made {
    history: History,
    at_ms: u64,
    revision: i64,
    kept: BTreeMap<String, (Vec<u8>, i64, i64)>,
    sessions: BTreeMap<String, i64>,
    /// Candidates with their terms, the leader first.
    line: Vec<(String, i64)>,
    incarnations: BTreeMap<String, u64>,
    tasks: u64,
    injections: u64,
    random: u64,
}

/// A claim of one task.
struct Claim {
    task: u64,
    node: String,
    id: String,
    fence: i64,
    attempts: u32,
}

fn pack(task: u64) -> String {
    format!("01920000-0000-7000-8000-{task:010x}00")
}

fn been(attempts: u32) -> Json {
    json!({"attempts": attempts, "failures": 0, "deaths": attempts})
}

fn routing() -> Json {
    json!({"queue": "q", "kind": "k", "priority": 5})
}

fn record(attempts: u32) -> Json {
    json!({"routing": routing(), "which": "0", "tally": been(attempts)})
}

impl Claim {
    fn key(&self) -> String {
        format!("live/run/{}/{}", self.node, self.id)
    }

    fn run(&self, incarnation: u64) -> Run {
        Run {
            task: pack(self.task),
            attempt: self.attempts + 1,
            fence: self.fence,
            node: self.node.clone(),
            incarnation,
        }
    }

    /// Its report, or its reclaim where it is lost.
    fn ends(&self, outcome: &str) -> Ops {
        let next = (outcome == "lost").then(|| json!({"to": "ready", "n": 1, "ms": 0}));
        let said = json!({"of": [{"which": "0", "outcome": outcome, "number": self.attempts + 1, "node": self.node,
            "fence": self.fence, "finished_ms": 0, "next": next}]});
        let result = format!("result/{}/{}/0", pack(self.task), self.id);
        let mut ops = vec![(self.key(), None), (result, Some(said))];
        ops.push(match next {
            Some(_) => (ready(&self.next()), Some(record(self.attempts + 1))),
            None => (format!("gc/00000000/{}", pack(self.task)), Some(json!(""))),
        });
        ops
    }

    fn next(&self) -> String {
        format!("{}.{}.1", pack(self.task), self.id)
    }
}

fn ready(name: &str) -> String {
    format!("live/ready/q/k/-/-/4/{name}")
}

/// A whole history by this plan.
pub(crate) fn history(plan: Plan) -> History {
    let mut made = Made {
        history: History::new(ROOT, Limits::default()),
        at_ms: 5_000,
        revision: 1,
        kept: BTreeMap::new(),
        sessions: BTreeMap::new(),
        line: Vec::new(),
        incarnations: BTreeMap::new(),
        tasks: 0,
        injections: 0,
        random: plan.seed,
    };
    for node in NODES {
        made.starts(node);
    }
    made.opens();
    let every_ms = plan.secs * 1_000 / (plan.faults + 1);
    let mut next_ms = made.at_ms + every_ms;
    let (end_ms, middle_ms) = (made.at_ms + plan.secs * 1_000, made.at_ms + plan.secs * 500);
    let mut broken = plan.broken;
    while made.at_ms < end_ms {
        made.whole_task();
        if made.at_ms >= next_ms {
            next_ms += every_ms;
            made.fault();
        }
        if broken && made.at_ms > middle_ms && made.line[0].1 > 10 {
            broken = false;
            made.stale_claim();
        }
    }
    let task = made.submit();
    made.saw(Entry::AllHealed);
    let (node, term) = made.line[0].clone();
    let claim = made.claim(task, &format!("{}.0.0", pack(task)), 0, &node, term);
    made.runs(&claim);
    made.at_ms += 2_000;
    for _ in 0..20 {
        made.whole_task();
    }
    let revision = made.revision;
    made.saw(Marker::Sealed { revision });
    made.history
}

impl Made {
    fn draw(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn pick(&mut self, of: usize) -> usize {
        let of = u64::try_from(of).unwrap_or(1);
        usize::try_from(self.draw(of)).unwrap_or(0)
    }

    fn saw(&mut self, entry: impl Into<Entry>) {
        self.history.push(self.at_ms, entry);
    }

    fn wait(&mut self, ms: u64) {
        self.at_ms += ms;
    }

    fn txn(&mut self, ops: Ops) -> i64 {
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
            key: key.clone(),
            ..StoreEvent::default()
        };
        if let Some(value) = value {
            let bytes = value.to_string().into_bytes();
            let (_, created, version) = before.unwrap_or((Vec::new(), self.revision, 0));
            event.value = Some(Value(bytes.clone()));
            event.create_revision = created;
            event.version = version + 1;
            self.kept.insert(key, (bytes, created, version + 1));
        }
        event
    }

    fn starts(&mut self, node: &str) {
        let incarnation = self.incarnations.get(node).map_or(1, |last| last + 1);
        self.incarnations.insert(node.to_owned(), incarnation);
        self.saw(NodeEvent::Started {
            node: node.to_owned(),
            incarnation,
        });
        let value =
            json!({"instance": format!("{node}.{incarnation}"), "kinds": ["k"], "slots": 8});
        let session = self.txn(vec![(format!("live/node/{node}"), Some(value))]);
        self.sessions.insert(node.to_owned(), session);
        let term = self.txn(vec![(
            format!("elect/{node}"),
            Some(json!({"node": node, "address": ""})),
        )]);
        self.line.push((node.to_owned(), term));
    }

    fn opens(&mut self) {
        let term = self.line[0].1;
        self.txn(vec![(
            format!("term/{term:020}"),
            Some(json!({"node": self.line[0].0, "from_ms": 0})),
        )]);
    }

    fn submit(&mut self) -> u64 {
        self.tasks += 1;
        let task = self.tasks;
        let call = Call {
            client: "c1".to_owned(),
            number: task,
        };
        let submit = Submit {
            count: 1,
            queue: "q".to_owned(),
            kind: "k".to_owned(),
            ..Submit::default()
        };
        self.saw(Entry::Invoke {
            call: call.clone(),
            op: Op::Submit(submit),
        });
        let whole = json!({"routing": routing(), "policy": {"max_attempts": 5}, "created_ms": 0,
            "tasks": {"0": {"payload": null}}});
        let revision = self.txn(vec![
            (format!("pack/{}", pack(task)), Some(whole)),
            (ready(&format!("{}.0.0", pack(task))), Some(record(0))),
        ]);
        if self.draw(60) == 0 {
            let why = "504 outcome_unknown".to_owned();
            self.saw(Entry::Info { call, why });
        } else {
            let answer = Answer {
                revision: Some(revision),
                tasks: vec![pack(task)],
                ..Answer::default()
            };
            self.saw(Entry::Ok { call, answer });
        }
        task
    }

    fn claim(&mut self, task: u64, name: &str, attempts: u32, node: &str, term: i64) -> Claim {
        let claim = Claim {
            task,
            node: node.to_owned(),
            id: format!("{term:x}-{:x}", self.revision),
            fence: self.revision + 1,
            attempts,
        };
        let held = json!({"pack": pack(task), "routing": routing(), "which": "0", "tally": been(attempts),
            "session": self.sessions[node], "term": term, "decided": self.revision});
        self.txn(vec![(ready(name), None), (claim.key(), Some(held))]);
        claim
    }

    fn runs(&mut self, claim: &Claim) {
        let run = claim.run(self.incarnations[&claim.node]);
        self.saw(Entry::RunStarted(run.clone()));
        let took_ms = 20 + self.draw(120);
        self.wait(took_ms);
        if self.draw(4) == 0 {
            self.saw(Entry::Effect(Effect {
                run: run.clone(),
                gate: Some("l.paper".to_owned()),
                done: true,
            }));
        }
        self.saw(Entry::RunEnded { run, well: true });
        let ops = claim.ends("succeeded");
        self.txn(ops);
    }

    /// A task from its submit to its end.
    fn whole_task(&mut self) {
        let task = self.submit();
        let nodes = self.line.len();
        let place = self.pick(nodes);
        let node = self.line[place].0.clone();
        let term = self.line[0].1;
        let claim = self.claim(task, &format!("{}.0.0", pack(task)), 0, &node, term);
        self.runs(&claim);
        let pause_ms = self.draw(150);
        self.wait(pause_ms);
    }

    fn inject(&mut self, kind: &str, stage: Stage, targets: &[&str], why: Option<&str>) {
        self.saw(Injection {
            number: self.injections,
            kind: kind.to_owned(),
            stage,
            targets: targets.iter().map(|one| (*one).to_owned()).collect(),
            why: why.map(str::to_owned),
        });
    }

    fn fault(&mut self) {
        self.injections += 1;
        let kind = KINDS[self.pick(KINDS.len())];
        match kind {
            "leader-kill" => self.kill(kind, 0),
            "node-kill" => self.kill(kind, 1),
            "leader-term" => {
                let node = self.line[0].0.clone();
                self.inject(kind, Stage::Installed, &[&node], None);
                self.dies(&node, None);
                self.wait(900);
                self.starts(&node);
                self.inject(kind, Stage::Healed, &[], None);
            }
            "clock-skew" => self.inject(
                kind,
                Stage::Skipped,
                &[],
                Some("no permission to set a clock here"),
            ),
            "disk-full" => {
                self.inject(
                    kind,
                    Stage::Indeterminate,
                    &["e2"],
                    Some("the member did not answer"),
                );
                self.lasts(kind);
            }
            _ => {
                self.inject(kind, Stage::Installed, &["e1"], None);
                self.lasts(kind);
            }
        }
    }

    fn lasts(&mut self, kind: &str) {
        for _ in 0..8 {
            self.whole_task();
        }
        self.inject(kind, Stage::Healed, &[], None);
    }

    fn kill(&mut self, kind: &str, place: usize) {
        let node = self.line[place].0.clone();
        let (task, term) = (self.submit(), self.line[0].1);
        let claim = self.claim(task, &format!("{}.0.0", pack(task)), 0, &node, term);
        let incarnation = self.incarnations[&node];
        self.saw(Entry::RunStarted(claim.run(incarnation)));
        self.inject(kind, Stage::Installed, &[&node], None);
        self.saw(NodeEvent::Crashed {
            node: node.clone(),
            incarnation,
        });
        // By a link it is noticed at once, else by its lease.
        let noticed_ms = if self.draw(5) == 0 {
            4_000 + self.draw(1_500)
        } else {
            15 + self.draw(90)
        };
        self.wait(noticed_ms);
        self.dies(&node, Some(claim));
        self.wait(1_500);
        self.starts(&node);
        self.inject(kind, Stage::Healed, &[], None);
    }

    /// A node's keys go; another one leads and takes what it had.
    fn dies(&mut self, node: &str, left: Option<Claim>) {
        let led = self.line[0].0 == node;
        self.txn(vec![
            (format!("live/node/{node}"), None),
            (format!("elect/{node}"), None),
        ]);
        self.line.retain(|(name, _)| name != node);
        let opened_ms = 4 + self.draw(40);
        self.wait(opened_ms);
        if led {
            self.opens();
        }
        if let Some(claim) = left {
            let reclaimed_ms = 10 + self.draw(200);
            self.wait(reclaimed_ms);
            let ops = claim.ends("lost");
            self.txn(ops);
            let (leader, term) = self.line[0].clone();
            let again = self.claim(claim.task, &claim.next(), 1, &leader, term);
            self.runs(&again);
        }
    }

    /// A claim by a term that is over.
    fn stale_claim(&mut self) {
        let task = self.submit();
        let node = self.line[1].0.clone();
        let claim = self.claim(task, &format!("{}.0.0", pack(task)), 0, &node, 4);
        self.runs(&claim);
    }
}
