//! Which tasks are first in line for a semaphore: what is left of it may be kept for one of them. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tenure_cluster::Range;

use crate::store::commit::Store;
use crate::store::keys::{Lane, Live};
use crate::store::locate::LookError;
use crate::store::overview::decoded;
use crate::store::records::Record;
use crate::store::scan::looked;
use crate::task::{Gate, PackId, Routing, TaskId};

/// 256 lanes have their first record read in one look: more than that wait for a semaphore only where its queues and kinds are many,
/// and what is told of them is for people.
const LANES_MAX: usize = 256;

/// 16 lanes are read at once.
const LANES_AT_ONCE: usize = 16;

/// The first task of a lane.
#[derive(Clone, Debug)]
pub struct First {
    /// The task.
    pub task: TaskId,
    /// What it asks for.
    pub routing: Routing,
}

/// The first of each lane that is filed under a gate, by gate.
pub type Firsts = BTreeMap<Gate, Vec<First>>;

impl First {
    /// How much of a gate it asks for.
    pub fn weight(&self, gate: &Gate) -> Option<u32> {
        let mut gates = self.routing.gates();
        gates.find_map(|(other, weight)| (other == *gate).then_some(weight))
    }

    /// Whether it comes before a task of this routing and pack, as far as that can be told: queues take turns.
    pub fn is_before(&self, routing: &Routing, pack: PackId) -> bool {
        let order = |routing: &Routing, pack| (routing.priority.inverted(), pack);
        self.routing.queue != routing.queue
            || order(&self.routing, self.task.pack()) < order(routing, pack)
    }
}

impl Store {
    /// Who is first in line for these gates.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn firsts(&self, gates: &BTreeSet<Gate>) -> Result<Firsts, LookError> {
        if gates.is_empty() {
            return Ok(Firsts::new());
        }
        looked(|| self.firsts_now(gates)).await
    }

    async fn firsts_now(&self, gates: &BTreeSet<Gate>) -> Result<Firsts, LookError> {
        let (keys, revision) = (self.keys(), self.revision().await?);
        let mut lanes = self.whole(&keys.lane_prefix(), revision).await?;
        lanes.extend(self.whole(&keys.passing_prefix(), revision).await?);
        let lanes: BTreeSet<(Gate, Lane)> = lanes
            .iter()
            .filter_map(|kv| filed(keys.live(&kv.key)?))
            .filter(|(gate, _)| gates.contains(gate))
            .collect();
        let reads = lanes.into_iter().take(LANES_MAX);
        let reads: Vec<_> = reads
            .map(|(gate, lane)| async move {
                let first = Range::prefix(keys.ready_lane(&lane)).limit(1).at(revision);
                let page = self.connection().range(&first).await?;
                let first = page.kvs.first().and_then(|kv| keys.live(&kv.key));
                let record = decoded(&page.kvs)?.pop();
                Ok::<_, LookError>((gate, first.zip(record)))
            })
            .collect();
        let read = stream::iter(reads).buffered(LANES_AT_ONCE);
        let read: Vec<_> = read.try_collect().await?;
        let mut firsts = Firsts::new();
        for (gate, first) in read {
            let first = first.and_then(|(live, record)| task(&live, record));
            firsts.entry(gate).or_default().extend(first);
        }
        Ok(firsts)
    }
}

/// A lane that is filed under a gate.
fn filed(live: Live) -> Option<(Gate, Lane)> {
    let Live::Lane(lane) = live else {
        return None;
    };
    Some((lane.gate.clone()?, lane))
}

fn task(live: &Live, record: Record) -> Option<First> {
    let Live::Ready(_, id) = live else {
        return None;
    };
    Some(First {
        task: id.pack.task(record.which.iter().next()?),
        routing: record.routing,
    })
}
