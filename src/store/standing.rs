//! What limits say and what is held of them, at one revision: what a task may wait for; reads only.

use std::collections::BTreeMap;

use serde::Deserialize;
use tenure_cluster::KeyValue;

use super::commit::Store;
use super::keys::Live;
use super::locate::LookError;
use super::records::{Outside, decode};
use super::rules::{Limit, QueueRules};
use super::scan::looked;
use crate::task::{Gate, Name, PackId, Routing, Which};

/// Limits, rules and what is held.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Declared semaphores.
    pub semaphores: BTreeMap<Name, Limit>,
    /// Queues that have rules.
    pub queues: BTreeMap<Name, QueueRules>,
    /// What is held of each gate.
    pub held: BTreeMap<Gate, u64>,
    /// Who holds each lock, in words.
    pub holders: BTreeMap<Name, String>,
    /// Tasks claimed of each queue.
    pub claimed: BTreeMap<Name, u64>,
    /// The revision.
    pub revision: i64,
}

/// What of a claim is counted.
#[derive(Deserialize)]
struct Head {
    pack: PackId,
    routing: Routing,
    which: Which,
}

impl Store {
    /// Everything that limits say and what is held of them; reads all claims.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn standing(&self) -> Result<Standing, LookError> {
        looked(|| async {
            let revision = self.revision().await?;
            self.standing_at(revision).await
        })
        .await
    }

    async fn standing_at(&self, revision: i64) -> Result<Standing, LookError> {
        let keys = self.keys();
        let mut standing = Standing {
            revision,
            ..Standing::default()
        };
        let edited = [
            keys.semaphore_prefix(),
            keys.queue_prefix(),
            keys.hold_prefix(),
        ];
        for prefix in edited {
            for kv in self.whole(&prefix, revision).await? {
                standing.add(keys.live(&kv.key), &kv)?;
            }
        }
        let add = |kv: KeyValue| Ok(standing.add(keys.live(&kv.key), &kv)?);
        self.each(&keys.runs(), revision, add).await?;
        Ok(standing)
    }
}

impl Standing {
    fn add(&mut self, live: Option<Live>, kv: &KeyValue) -> Result<(), super::Corrupt> {
        match live {
            Some(Live::Semaphore(name)) => {
                self.semaphores.insert(name, decode(&kv.key, &kv.value)?);
            }
            Some(Live::Queue(name)) => {
                self.queues.insert(name, decode(&kv.key, &kv.value)?);
            }
            Some(Live::Hold(gate, _)) => {
                let hold: Outside = decode(&kv.key, &kv.value)?;
                self.hold(gate, u64::from(hold.weight), || {
                    format!("{}, since fence {}", hold.holder, kv.create_revision)
                });
            }
            Some(Live::Run(node, _)) => {
                let head: Head = decode(&kv.key, &kv.value)?;
                let tasks = head.which.len() as u64;
                *self.claimed.entry(head.routing.queue.clone()).or_default() += tasks;
                let first = head.which.iter().next().unwrap_or_default();
                for (gate, weight) in head.routing.gates() {
                    self.hold(gate, tasks * u64::from(weight), || {
                        let task = head.pack.task(first);
                        format!("task {task} on {node}, fence {}", kv.create_revision)
                    });
                }
            }
            Some(
                Live::Node(_)
                | Live::Lane(_)
                | Live::Ready(..)
                | Live::Due(..)
                | Live::Stop(..)
                | Live::Rules
                | Live::Want(..),
            )
            | None => {}
        }
        Ok(())
    }

    fn hold(&mut self, gate: Gate, weight: u64, who: impl Fn() -> String) {
        if let Gate::Lock(name) = &gate {
            self.holders.insert(name.clone(), who());
        }
        *self.held.entry(gate).or_default() += weight;
    }

    /// Why a task of this routing cannot start, by what is held: each gate with too little left, in words.
    pub fn closed(&self, routing: &Routing) -> Vec<String> {
        let gates = routing.gates();
        gates
            .filter_map(|(gate, weight)| self.reason(&gate, weight))
            .collect()
    }

    fn reason(&self, gate: &Gate, weight: u32) -> Option<String> {
        let held = self.held.get(gate).copied().unwrap_or(0);
        match gate {
            Gate::Lock(name) => {
                let who = self.holders.get(name)?;
                Some(format!("lock `{name}`, held by {who}"))
            }
            Gate::Key(queue, key) => {
                let limit = u64::from(self.queues.get(queue)?.per_key?);
                (held >= limit).then(|| {
                    format!("its concurrency key `{key}`: {held} of {limit} run in queue `{queue}`")
                })
            }
            Gate::Semaphore(name) => self.semaphore_reason(name, held, weight),
        }
    }

    fn semaphore_reason(&self, name: &Name, held: u64, weight: u32) -> Option<String> {
        let Some(Limit { limit }) = self.semaphores.get(name) else {
            return Some(format!(
                "semaphore `{name}`, which nobody declared: `tenure semaphore set {name} LIMIT` does"
            ));
        };
        if weight > *limit {
            return Some(format!(
                "semaphore `{name}`: it asks for {weight}, and the limit is {limit}"
            ));
        }
        (held + u64::from(weight) > u64::from(*limit)).then(|| {
            format!("semaphore `{name}`: {held} of {limit} are held, it asks for {weight}")
        })
    }

    /// Why no task of this queue starts, by the queue's own rules, in words.
    pub fn queue_reason(&self, queue: &Name) -> Option<String> {
        let rules = self.queues.get(queue)?;
        if let Some(paused) = &rules.paused {
            let why = match paused.reason.as_str() {
                "" => String::new(),
                reason => format!(": {reason}"),
            };
            return Some(format!("queue `{queue}`, which is paused{why}"));
        }
        let claimed = self.claimed.get(queue).copied().unwrap_or(0);
        let limit = u64::from(rules.concurrency?);
        (claimed >= limit).then(|| format!("queue `{queue}`: {claimed} of {limit} run"))
    }

    /// The rate that the tasks of this queue wait for where nothing else holds them up, in words.
    pub fn rate(&self, queue: &Name) -> Option<String> {
        let rate = self.queues.get(queue)?.rate?;
        let (tasks, per_ms) = (rate.tasks, rate.per_ms);
        Some(format!(
            "the rate of queue `{queue}`: {tasks} in {per_ms} ms"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Needs, Permit, Priority};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn each_wait_has_its_reason() {
        let needs = Needs {
            permits: vec![Permit {
                semaphore: name("db"),
                weight: 2,
            }],
            locks: vec![name("x")],
            key: Some(name("tenant")),
            ..Needs::default()
        };
        let routing = Routing {
            queue: name("q"),
            kind: name("k"),
            priority: Priority::default(),
            needs: Some(needs.into()),
        };
        let mut standing = Standing::default();
        let only = |standing: &Standing, part: &str| {
            let reasons = standing.closed(&routing);
            assert!(
                reasons.len() == 1 && reasons[0].contains(part),
                "{part}: {reasons:?}"
            );
        };
        only(&standing, "nobody declared");
        standing.semaphores.insert(name("db"), Limit { limit: 1 });
        only(&standing, "the limit is 1");
        standing.semaphores.insert(name("db"), Limit { limit: 3 });
        assert_eq!(standing.closed(&routing), Vec::<String>::new());
        standing.hold(Gate::Semaphore(name("db")), 2, String::new);
        only(&standing, "2 of 3 are held, it asks for 2");
        standing.held.clear();
        standing.hold(Gate::Lock(name("x")), 1, || "somebody".to_owned());
        only(&standing, "lock `x`, held by somebody");
        standing.holders.clear();
        let rules = QueueRules {
            per_key: Some(1),
            concurrency: Some(4),
            ..QueueRules::default()
        };
        standing.queues.insert(name("q"), rules.clone());
        standing.hold(Gate::Key(name("q"), name("tenant")), 1, String::new);
        only(&standing, "1 of 1 run in queue `q`");

        assert_eq!(standing.queue_reason(&name("q")), None);
        standing.claimed.insert(name("q"), 4);
        assert_eq!(
            standing.queue_reason(&name("q")).as_deref(),
            Some("queue `q`: 4 of 4 run")
        );
        let paused = Some(super::super::Paused {
            since_ms: 1,
            reason: "moving".to_owned(),
        });
        standing
            .queues
            .insert(name("q"), QueueRules { paused, ..rules });
        let why = standing.queue_reason(&name("q")).unwrap();
        assert!(why.ends_with("paused: moving"), "{why}");
        assert_eq!(standing.rate(&name("q")), None);
    }
}
