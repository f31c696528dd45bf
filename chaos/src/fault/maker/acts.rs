//! Faults that are more than one step.

use super::begin::ETCD;
use super::record::Hit;
use super::{Maker, Open, Undo};
use crate::target::{Cut, Hands, How, Made, Side, Store};
use std::time::Duration;
use tenure_chaos::history::{FaultKind, Marker};
use tokio::time::sleep;

/// 20 times a node stands still in one stutter.
const STUTTERS: u32 = 20;
/// 2 s in which what a node misses is written, and then compacted: well below a lease.
const MISSED: Duration = Duration::from_secs(2);

impl<T: Hands> Maker<'_, T> {
    /// Breaks this program's own connections to nodes.
    pub(super) async fn cuts_clients(
        &mut self,
        open: &mut Open,
        nodes: Vec<String>,
    ) -> anyhow::Result<Made> {
        for node in nodes {
            // Nothing is broken for the cluster: no fault that its bounds would be wider for.
            let made = self.hands.cut_clients(&node, true).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            open.undo.push(Undo::JoinClients(node));
        }
        Ok(Made::Yes)
    }

    /// Does something to etcd itself, where that is ours.
    pub(super) async fn operates(&self, what: &Store) -> anyhow::Result<Made> {
        let ours = self.hands.owns_store();
        if ours != Made::Yes {
            return Ok(ours);
        }
        self.operator.does(what).await
    }

    /// Stands still and goes on, many times.
    pub(super) async fn stutters(
        &mut self,
        open: &mut Open,
        node: &str,
        ms: u64,
    ) -> anyhow::Result<Made> {
        self.begins(open, FaultKind::Pause, Hit::Node(node));
        for nth in 0..STUTTERS {
            let made = self.hands.halt_node(node, true).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            if nth == 0 {
                self.installed(open);
            }
            sleep(Duration::from_millis(ms)).await;
            self.hands.halt_node(node, false).await?;
            sleep(Duration::from_millis(ms)).await;
        }
        Ok(Made::Yes)
    }

    /// Every node in turn, the next when the one before is back.
    pub(super) async fn rolls(
        &mut self,
        open: &mut Open,
        nodes: Vec<String>,
    ) -> anyhow::Result<Made> {
        for (nth, node) in nodes.into_iter().enumerate() {
            let made = self.end(open, &node).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            if nth == 0 {
                self.installed(open);
            }
            self.start(&node, false).await?;
            self.waits_for(&node).await?;
        }
        Ok(Made::Yes)
    }

    /// A node ends, and one of the build before takes its place.
    pub(super) async fn goes_back(
        &mut self,
        open: &mut Open,
        nodes: Vec<String>,
    ) -> anyhow::Result<Made> {
        let there = self.hands.has_previous();
        if there != Made::Yes {
            return Ok(there);
        }
        for node in nodes {
            let made = self.end(open, &node).await?;
            if made != Made::Yes {
                return Ok(made);
            }
            open.undo.push(Undo::Renew(node.clone()));
            self.start(&node, true).await?;
            self.waits_for(&node).await?;
        }
        Ok(Made::Yes)
    }

    pub(super) async fn fills_quota(&mut self, open: &mut Open) -> anyhow::Result<Made> {
        self.begins(open, FaultKind::NoSpace, Hit::Store);
        let made = self.operates(&Store::NoSpace(true)).await?;
        if made == Made::Yes {
            self.chronicle.saw(Marker::NoSpace { on: true });
            open.undo.push(Undo::Space);
        }
        Ok(made)
    }

    /// Compacts what a node that is cut off from etcd has not seen, and all recorders have.
    pub(super) async fn compacts(&mut self, open: &mut Open, node: String) -> anyhow::Result<Made> {
        let made = self.misses(open, node).await?;
        if made != Made::Yes {
            return Ok(made);
        }
        sleep(MISSED).await;
        let revision = self.seen.borrow().least;
        self.begins(open, FaultKind::Compaction, Hit::Store);
        let made = self.operates(&Store::Compact(revision)).await?;
        if made == Made::Yes {
            self.chronicle.saw(Marker::Compacted { revision });
        }
        Ok(made)
    }

    /// A node learns nothing of etcd any more: it is cut off, else it stands still.
    async fn misses(&mut self, open: &mut Open, node: String) -> anyhow::Result<Made> {
        let cut = Cut {
            from: Side::Node(node.clone()),
            to: Side::Members,
            both: true,
            how: How::Dropped,
        };
        self.begins(open, FaultKind::Partition, Hit::Way(&node, ETCD));
        if self.hands.cut(&cut, true).await? == Made::Yes {
            open.undo.push(Undo::Mend(cut));
            return Ok(Made::Yes);
        }
        self.begins(open, FaultKind::Pause, Hit::Node(&node));
        let made = self.hands.halt_node(&node, true).await?;
        if made == Made::Yes {
            self.away.insert(node.clone());
            open.undo.push(Undo::Resume(node));
        }
        Ok(made)
    }

    pub(super) async fn resigns(&mut self, open: &mut Open, node: &str) -> anyhow::Result<Made> {
        self.begins(open, FaultKind::LeaseEnded, Hit::Node(node));
        self.hands.resign(&self.client).await
    }

    pub(super) async fn drains(&mut self, open: &mut Open, node: String) -> anyhow::Result<Made> {
        self.begins(open, FaultKind::Leave, Hit::Node(&node));
        let made = self.hands.drain(&self.client, &node, true).await;
        // Also where nobody knows whether it was.
        if !matches!(made, Ok(Made::Cannot(_) | Made::NotNow(_))) {
            open.undo.push(Undo::Undrain(node));
        }
        made
    }
}
