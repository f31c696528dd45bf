//! Locks and semaphores as they stand at one revision: who holds, who waits, what was taken away; reads only.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use tenure_cluster::KeyValue;
use uuid::Uuid;

use super::commit::Store;
use super::keys::{Lane, Live};
use super::locate::LookError;
use super::overview::Count;
use super::records::{Outside, Released, Seen, decode};
use super::rules::Limit;
use super::scan::looked;
use crate::task::{Gate, Name, PackId, Routing, Tally, TaskId, Which};

/// 16 lanes are counted at once.
const LANES_AT_ONCE: usize = 16;

/// A lock or a semaphore.
#[derive(Clone, Debug, Default)]
pub struct GateSeen {
    /// A semaphore's limit; none for a lock, and where it is not declared.
    pub limit: Option<u32>,
    /// The version of that: when it was set; 0 where there is none.
    pub version: i64,
    /// How much is held.
    pub held: u64,
    /// Tasks that hold it.
    pub tasks: Vec<TaskHold>,
    /// Those outside who hold it.
    pub outside: Vec<OutsideHold>,
    /// Those outside who wait, who asked first before the others.
    pub waiting: Vec<OutsideHold>,
    /// Ready tasks that are filed under it: they wait for it, or for a node.
    pub parked: Count,
    /// Holds of it that were taken away, the newest first, of those on record.
    pub released: Vec<Released>,
}

/// A task that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskHold {
    /// The task.
    pub task: TaskId,
    /// Where it runs.
    pub node: Name,
    /// Which attempt it is.
    pub attempt: u32,
    /// The fence of its claim.
    pub fence: i64,
    /// How much it holds.
    pub weight: u32,
    /// Since when, in milliseconds since 1970; 0 where that is not known.
    pub since_ms: u64,
}

/// Somebody outside who holds it or waits for it.
#[derive(Clone, Debug)]
pub struct OutsideHold {
    /// The id.
    pub id: Uuid,
    /// What it said; its create revision is the fence of a hold.
    pub seen: Seen<Outside>,
}

/// Locks or semaphores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Locks.
    Locks,
    /// Semaphores.
    Semaphores,
}

/// What of a claim is told.
#[derive(Deserialize)]
struct Head {
    pack: PackId,
    routing: Routing,
    which: Which,
    #[serde(default)]
    tally: Tally,
    #[serde(default)]
    claimed_ms: u64,
}

/// What is gathered, by gate.
struct Gathered<Wanted> {
    wanted: Wanted,
    gates: BTreeMap<Gate, GateSeen>,
}

impl Sort {
    fn has(self, gate: &Gate) -> bool {
        match gate {
            Gate::Lock(_) => self == Self::Locks,
            Gate::Semaphore(_) => self == Self::Semaphores,
            Gate::Key(..) => false,
        }
    }
}

impl Store {
    /// One lock or semaphore; an empty one where nobody holds it or waits.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn gate(&self, gate: &Gate) -> Result<(GateSeen, i64), LookError> {
        let wanted = |other: &Gate| other == gate;
        let (mut gates, revision) = looked(|| self.gathered(wanted)).await?;
        Ok((gates.remove(gate).unwrap_or_default(), revision))
    }

    /// All locks that are held or waited for; all semaphores that are declared, held or waited for. By name.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn gates(&self, sort: Sort) -> Result<(BTreeMap<Gate, GateSeen>, i64), LookError> {
        looked(|| self.gathered(|gate: &Gate| sort.has(gate))).await
    }

    async fn gathered(
        &self,
        wanted: impl Fn(&Gate) -> bool + Send,
    ) -> Result<(BTreeMap<Gate, GateSeen>, i64), LookError> {
        let (keys, revision) = (self.keys(), self.revision().await?);
        let mut gathered = Gathered {
            wanted,
            gates: BTreeMap::new(),
        };
        let rooms = [
            keys.semaphore_prefix(),
            keys.hold_prefix(),
            keys.want_prefix(),
            keys.runs(),
        ];
        for room in rooms {
            let add = |kv: KeyValue| gathered.add(keys.live(&kv.key), &kv);
            self.each(&room, revision, add).await?;
        }
        for seen in gathered.gates.values_mut() {
            seen.waiting.sort_by_key(|want| want.seen.created);
        }
        for kv in self.whole(&keys.released_prefix(), revision).await? {
            let released: Released = decode(&kv.key, &kv.value)?;
            if (gathered.wanted)(&released.gate) {
                let seen = gathered.at(released.gate.clone());
                seen.released.insert(0, released);
            }
        }
        let mut lanes = self.whole(&keys.lane_prefix(), revision).await?;
        lanes.extend(self.whole(&keys.passing_prefix(), revision).await?);
        let lanes = lanes.iter().filter_map(|kv| lane(keys.live(&kv.key)?));
        let lanes = lanes.filter_map(|lane| {
            let gate = lane.gate.clone().filter(|gate| (gathered.wanted)(gate))?;
            Some((gate, lane))
        });
        let counts = lanes.map(|(gate, lane)| async move {
            let (count, _) = self.pending(&lane, revision).await?;
            Ok::<_, LookError>((gate, count))
        });
        let counts: Vec<_> = counts.collect();
        let counts = stream::iter(counts).buffered(LANES_AT_ONCE);
        let counts: Vec<_> = counts.try_collect().await?;
        for (gate, count) in counts.into_iter().filter(|(_, count)| count.tasks > 0) {
            gathered.at(gate).parked.add(count);
        }
        Ok((gathered.gates, revision))
    }
}

fn lane(live: Live) -> Option<Lane> {
    match live {
        Live::Lane(lane) => Some(lane),
        Live::Node(_)
        | Live::Drain(_)
        | Live::Ready(..)
        | Live::Due(..)
        | Live::Run(..)
        | Live::Stop(..)
        | Live::Semaphore(_)
        | Live::Queue(_)
        | Live::Rules
        | Live::Tick(..)
        | Live::Want(..)
        | Live::Hold(..)
        | Live::Death(_) => None,
    }
}

impl<Wanted: Fn(&Gate) -> bool> Gathered<Wanted> {
    fn at(&mut self, gate: Gate) -> &mut GateSeen {
        self.gates.entry(gate).or_default()
    }

    fn add(&mut self, live: Option<Live>, kv: &KeyValue) -> Result<(), LookError> {
        match live {
            Some(Live::Semaphore(name)) => {
                let gate = Gate::Semaphore(name);
                if (self.wanted)(&gate) {
                    let Limit { limit } = decode(&kv.key, &kv.value)?;
                    let seen = self.at(gate);
                    (seen.limit, seen.version) = (Some(limit), kv.mod_revision);
                }
            }
            Some(Live::Hold(gate, id)) if (self.wanted)(&gate) => {
                let hold = OutsideHold::of(id, kv)?;
                let seen = self.at(gate);
                seen.held += u64::from(hold.seen.value.weight);
                seen.outside.push(hold);
            }
            Some(Live::Want(gate, id)) if (self.wanted)(&gate) => {
                let want = OutsideHold::of(id, kv)?;
                self.at(gate).waiting.push(want);
            }
            Some(Live::Run(node, _)) => self.claim(&node, kv)?,
            Some(
                Live::Node(_)
                | Live::Drain(_)
                | Live::Lane(_)
                | Live::Ready(..)
                | Live::Due(..)
                | Live::Stop(..)
                | Live::Queue(_)
                | Live::Rules
                | Live::Tick(..)
                | Live::Want(..)
                | Live::Hold(..)
                | Live::Death(_),
            )
            | None => {}
        }
        Ok(())
    }

    fn claim(&mut self, node: &Name, kv: &KeyValue) -> Result<(), LookError> {
        let head: Head = decode(&kv.key, &kv.value)?;
        let gates: Vec<(Gate, u32)> = head.routing.gates().collect();
        for (gate, weight) in gates {
            if !(self.wanted)(&gate) {
                continue;
            }
            let seen = self.at(gate);
            for index in head.which.iter() {
                seen.held += u64::from(weight);
                seen.tasks.push(TaskHold {
                    task: head.pack.task(index),
                    node: node.clone(),
                    attempt: head.tally.attempts + 1,
                    fence: kv.create_revision,
                    weight,
                    since_ms: head.claimed_ms,
                });
            }
        }
        Ok(())
    }
}

impl OutsideHold {
    fn of(id: u128, kv: &KeyValue) -> Result<Self, LookError> {
        Ok(Self {
            id: Uuid::from_u128(id),
            seen: Seen::of(kv)?,
        })
    }
}
