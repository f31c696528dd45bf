//! What limits say and what is held of them, at one revision: what a task may wait for; reads only.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tenure_cluster::KeyValue;

use super::commit::Store;
use super::keys::Live;
use super::locate::LookError;
use super::records::{Outside, decode};
use super::rules::{Limit, QueueRules};
use super::scan::looked;
use crate::task::{Gate, Name, PackId, Routing, Which};

pub use lines::{First, Firsts};

mod lines;

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
    /// Who outside waits for each gate longest: its id and what it asked for.
    pub wants: BTreeMap<Gate, (u128, Outside)>,
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
    /// Everything that limits say, what is held of them and who outside waits; reads all claims.
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
        for prefix in [keys.semaphore_prefix(), keys.queue_prefix()] {
            for kv in self.whole(&prefix, revision).await? {
                standing.add(keys.live(&kv.key), &kv)?;
            }
        }
        for room in [keys.hold_prefix(), keys.want_prefix(), keys.runs()] {
            let add = |kv: KeyValue| Ok(standing.add(keys.live(&kv.key), &kv)?);
            self.each(&room, revision, add).await?;
        }
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
            // In the order of their ids: the first of a gate is the one that waits longest.
            Some(Live::Want(gate, id)) if !self.wants.contains_key(&gate) => {
                let want = decode(&kv.key, &kv.value)?;
                self.wants.insert(gate, (id, want));
            }
            Some(Live::Run(node, _)) => {
                let head: Head = decode(&kv.key, &kv.value)?;
                let tasks = head.which.len() as u64;
                *self.claimed.entry(head.routing.queue.clone()).or_default() += tasks;
                for (gate, weight) in head.routing.gates() {
                    self.hold(gate, tasks * u64::from(weight), || {
                        let task = head.pack.task(head.which.iter().next().unwrap_or_default());
                        format!("task {task} on {node}, fence {}", kv.create_revision)
                    });
                }
            }
            Some(
                Live::Node(_)
                | Live::Drain(_)
                | Live::Lane(_)
                | Live::Ready(..)
                | Live::Due(..)
                | Live::Stop(..)
                | Live::Rules
                | Live::Tick(..)
                | Live::Want(..)
                | Live::Death(_),
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

    /// Why somebody who asks for so much of a gate has to wait, by what is held, in words.
    pub fn reason(&self, gate: &Gate, weight: u32) -> Option<String> {
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

    /// The semaphores of a routing that have some left, which may be kept for others.
    pub fn open(&self, routing: &Routing) -> BTreeSet<Gate> {
        let gates = routing.gates().map(|(gate, _)| gate);
        gates.filter(|gate| self.left(gate).is_some()).collect()
    }

    /// What is left of a semaphore, and its limit; none where nothing is.
    fn left(&self, gate: &Gate) -> Option<(u64, u32)> {
        let Gate::Semaphore(name) = gate else {
            return None;
        };
        let Limit { limit } = self.semaphores.get(name)?;
        let held = self.held.get(gate).copied().unwrap_or(0);
        let left = u64::from(*limit).saturating_sub(held);
        (left > 0).then_some((left, *limit))
    }

    /// Who has what is left of a gate to itself because it asks for more, in words: of those outside the one that waits longest, where
    /// that is another than `id`, or one of the first in line.
    pub fn kept<'a>(
        &self,
        gate: &Gate,
        id: Option<u128>,
        mut before: impl Iterator<Item = &'a First>,
    ) -> Option<String> {
        let (left, limit) = self.left(gate)?;
        let outside = self.wants.get(gate).filter(|(first, _)| id != Some(*first));
        let outside = outside.filter(|(_, want)| u64::from(want.weight) > left);
        let (who, weight) = if let Some((_, want)) = outside {
            (want.holder.clone(), want.weight)
        } else {
            let first = before.find(|first| self.keeps(first, gate, left))?;
            (format!("task {}", first.task), first.weight(gate)?)
        };
        let above = if weight > limit { ", above that" } else { "" };
        let Gate::Semaphore(name) = gate else {
            return None;
        };
        Some(format!(
            "semaphore `{name}`: what is left of it, {left} of {limit}, is kept for {who}, who asks for {weight}{above}"
        ))
    }

    /// Whether a task waits for nothing but more of this gate than there is left.
    fn keeps(&self, first: &First, gate: &Gate, left: u64) -> bool {
        let asks = first.weight(gate).map_or(0, u64::from);
        asks > left
            && self.queue_reason(&first.routing.queue).is_none()
            && self.closed(&first.routing).len() == 1
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

    /// The rate that the tasks of this queue may wait for where nothing else holds them up, in words: only its leader counts its starts.
    pub fn rate(&self, queue: &Name) -> Option<String> {
        let rate = self.queues.get(queue)?.rate?;
        let (tasks, per_ms) = (rate.tasks, rate.per_ms);
        Some(format!(
            "the rate of queue `{queue}`, at most {tasks} in {per_ms} ms"
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
        let paused = Some(crate::task::Paused {
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

    fn asks(queue: &str, weight: u32) -> Routing {
        let needs = Needs {
            permits: vec![Permit {
                semaphore: name("db"),
                weight,
            }],
            ..Needs::default()
        };
        Routing {
            queue: name(queue),
            kind: name("k"),
            priority: Priority::default(),
            needs: Some(needs.into()),
        }
    }

    #[test]
    fn what_is_left_is_kept_for_the_first_who_asks_for_more() {
        let db = Gate::Semaphore(name("db"));
        let mut standing = Standing::default();
        standing.semaphores.insert(name("db"), Limit { limit: 4 });
        standing.hold(db.clone(), 2, String::new);
        let first = |queue, weight| First {
            task: PackId::floor(7).task(0),
            routing: asks(queue, weight),
        };
        let line = [first("q", 2), first("paused", 3), first("q", 4)];
        let told = |standing: &Standing, id: Option<u128>, line: &[First]| {
            standing.kept(&db, id, line.iter()).unwrap_or_default()
        };

        assert_eq!(told(&standing, None, &line[..1]), "", "it fits, and starts");
        let kept = told(&standing, None, &line);
        let begins = "what is left of it, 2 of 4, is kept for task ";
        assert!(kept.contains(begins), "{kept}");
        assert!(kept.ends_with(", who asks for 3"), "{kept}");
        let paused = Some(crate::task::Paused {
            since_ms: 1,
            reason: String::new(),
        });
        let rules = QueueRules {
            paused,
            ..QueueRules::default()
        };
        standing.queues.insert(name("paused"), rules);
        let kept = told(&standing, None, &line);
        assert!(
            kept.ends_with(", who asks for 4"),
            "not for who is paused: {kept}"
        );

        let want = Outside {
            weight: 5,
            holder: "a migration".to_owned(),
            since_ms: 1,
            ttl_ms: 9,
        };
        standing.wants.insert(db.clone(), (3, want));
        let kept = told(&standing, Some(4), &[]);
        assert!(
            kept.ends_with("kept for a migration, who asks for 5, above that"),
            "{kept}"
        );
        assert_eq!(
            told(&standing, Some(3), &[]),
            "",
            "from nobody is kept what is kept for him"
        );
        standing.hold(db.clone(), 2, String::new);
        assert_eq!(told(&standing, None, &line), "", "nothing is left");
    }
}
