//! Stories of one schedule: how it is declared, fired, skipped, edited, and how its tasks run.

use serde_json::{Value as Json, json};

use super::build::{Claim, Ops, Story, born, pack, packed, ready, record};

/// A schedule `s` that is due every so many milliseconds, in a cluster that is led.
pub(super) struct Scheduled {
    pub(super) story: Story,
    /// What it is declared to be.
    pub(super) spec: Json,
    pub(super) period: u64,
    /// How far it has got, as it is stored.
    pub(super) done: u64,
    pub(super) owed: Option<u64>,
    pub(super) count: u64,
    pub(super) recent: Vec<Json>,
    pages: u64,
    tick: Option<u64>,
}

/// A due time that was fired, so much later.
pub(super) fn fired(due: u64, late: u64) -> Json {
    json!({"due": due, "late": late})
}

/// One that was missed, and is made up for.
pub(super) fn caught_up(due: u64, late: u64) -> Json {
    json!({"due": due, "late": late, "by": "catch_up"})
}

/// One that was not fired.
pub(super) fn skipped(due: u64, late: u64, why: &str) -> Json {
    json!({"due": due, "late": late, "skipped": why})
}

/// Several that were not.
pub(super) fn run(due: u64, until: u64, times: u64, late: u64, why: &str) -> Json {
    json!({"due": due, "until": until, "times": times, "late": late, "skipped": why})
}

impl Scheduled {
    /// Declared at 1,500 ms.
    pub(super) fn new(period: u64, spec: &Json) -> Self {
        let mut one = Self {
            story: Story::led(),
            spec: json!({"when": {"every_ms": period}, "overlap": "allow", "created_ms": 0,
                "routing": {"queue": "q", "kind": "k", "priority": 5}}),
            period,
            done: 1_500,
            owed: None,
            count: 0,
            recent: Vec::new(),
            pages: 0,
            tick: None,
        };
        one.changed(spec);
        one.at(1_500);
        let mut ops = vec![one.declared()];
        ops.extend(one.goes_on());
        one.story.txn(ops);
        one
    }

    fn changed(&mut self, spec: &Json) {
        for (field, value) in spec.as_object().unwrap() {
            self.spec[field] = value.clone();
        }
    }

    pub(super) fn declared(&self) -> (String, Option<Json>) {
        ("sched/s".to_owned(), Some(self.spec.clone()))
    }

    /// What is next is written at this instant.
    pub(super) fn at(&mut self, ms: u64) -> &mut Self {
        self.story.at_ms = ms - 1;
        self
    }

    /// Its progress, and its tick moved.
    pub(super) fn goes_on(&mut self) -> Ops {
        let active = self.spec["paused"].is_null();
        let next = active.then_some((self.done / self.period + 1) * self.period);
        let state = json!({"done": self.done, "next": next, "tick": next, "owed": self.owed,
            "count": self.count, "recent": self.recent});
        let mut ops = vec![("schedstate/s".to_owned(), Some(state))];
        let tick = |ms: &u64| format!("live/tick/{ms:013}/s");
        if self.tick != next {
            ops.extend(self.tick.iter().map(|ms| (tick(ms), None)));
            ops.extend(next.iter().map(|ms| (tick(ms), Some(json!("")))));
        }
        self.tick = next;
        ops
    }

    /// Lines more, of which eight make a page, with what is done by them.
    pub(super) fn lines(&mut self, lines: &[Json], done: u64) -> Ops {
        let mut ops = Vec::new();
        for line in lines {
            self.recent.push(line.clone());
            self.count += 1;
            if self.recent.len() == 8 {
                let lines = std::mem::take(&mut self.recent);
                let key = format!("ledger/s/{:08}", self.pages);
                ops.push((key, Some(json!({"lines": lines}))));
                self.pages += 1;
            }
        }
        self.done = done;
        ops.extend(self.goes_on());
        ops
    }

    /// The pack and the record of a task that it makes.
    pub(super) fn makes(&self, n: u8, due: u64) -> Ops {
        let mut made = packed(5, &[0]);
        made["fired"] = json!({"schedule": "s", "due_ms": due});
        let mut record = record(5, "0", [0; 3]);
        if self.spec["overlap"] != "allow" {
            let needs = json!({"locks": ["schedule.s"]});
            made["routing"]["needs"] = needs.clone();
            record["routing"]["needs"] = needs;
        }
        vec![
            (format!("pack/{}", pack(n)), Some(made)),
            (ready(5, &born(n)), Some(record)),
        ]
    }

    /// Due times up to one are decided at this instant, and tasks are made for some of them.
    pub(super) fn decides(
        &mut self,
        ms: u64,
        lines: &[Json],
        done: u64,
        made: &[(u8, u64)],
    ) -> &mut Self {
        let mut ops = self.lines(lines, done);
        ops.extend(made.iter().flat_map(|(n, due)| self.makes(*n, *due)));
        self.at(ms).story.txn(ops);
        self
    }

    /// One is fired in time.
    pub(super) fn fires(&mut self, n: u8, due: u64) -> &mut Self {
        self.decides(due + 2, &[fired(due, 2)], due, &[(n, due)])
    }

    /// It is edited; these lines say what becomes of what was due before.
    pub(super) fn edits(&mut self, ms: u64, spec: &Json, lines: &[Json], done: u64) -> &mut Self {
        self.changed(spec);
        if let Some(period) = self.spec["when"]["every_ms"].as_u64() {
            self.period = period;
        }
        let mut ops = self.lines(lines, done);
        ops.push(self.declared());
        self.at(ms).story.txn(ops);
        self
    }

    /// A task of it is claimed at this instant.
    pub(super) fn claims(&mut self, n: u8, ms: u64) -> Claim {
        self.at(ms).story.claim(n, "b")
    }

    /// Its task has run and ended.
    pub(super) fn runs(&mut self, n: u8, ms: u64) -> &mut Self {
        let claim = self.claims(n, ms);
        self.story.ends(&claim, "succeeded", None);
        self
    }

    /// Time goes on until then, and the story ends.
    pub(super) fn ends(&mut self, ms: u64) -> &Story {
        self.story.at_ms = ms;
        self.story.sealed();
        &self.story
    }
}
