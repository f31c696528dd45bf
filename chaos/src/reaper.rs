//! Kills of nodes on record: who leads is found out, a process is ended with -9, and started again under its name.

use crate::chronicle::Chronicle;
use crate::cluster::Cluster;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Entry, Fault, FaultKind, NodeEvent};
use tokio::time::sleep;

/// 30 s for somebody to lead.
const LED_WITHIN: Duration = Duration::from_secs(30);
/// 50 ms between looks at who leads.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Starts and ends processes, and says so.
pub(crate) struct Reaper<'a> {
    pub(crate) cluster: &'a mut Cluster,
    chronicle: Chronicle,
    /// Processes so far, by node.
    incarnations: BTreeMap<String, u64>,
    began: Instant,
    /// Kills so far.
    kills: u64,
    /// The kills of processes that are not back.
    open: BTreeMap<String, u64>,
}

impl<'a> Reaper<'a> {
    /// Of a cluster whose nodes have all just been started.
    pub(crate) fn new(cluster: &'a mut Cluster, chronicle: &Chronicle) -> Self {
        let incarnations: BTreeMap<String, u64> = cluster
            .node_names()
            .map(|name| (name.to_owned(), 1))
            .collect();
        for (node, incarnation) in incarnations.clone() {
            chronicle.saw(NodeEvent::Started { node, incarnation });
        }
        Self {
            cluster,
            chronicle: chronicle.clone(),
            incarnations,
            began: Instant::now(),
            kills: 0,
            open: BTreeMap::new(),
        }
    }

    /// How long it has been at it.
    pub(crate) fn at(&self) -> Duration {
        self.began.elapsed()
    }

    /// A time in which nobody may end by himself.
    pub(crate) async fn pause(&mut self, length: Duration) -> anyhow::Result<()> {
        sleep(length).await;
        self.cluster.ensure_alive()
    }

    /// Who leads, among those that run.
    pub(crate) async fn leader(&mut self) -> anyhow::Result<String> {
        let until = Instant::now() + LED_WITHIN;
        while Instant::now() < until {
            self.cluster.ensure_alive()?;
            if let Some(leader) = self.cluster.client().leader().await
                && self.cluster.pid_of(&leader).is_some()
            {
                return Ok(leader);
            }
            sleep(LOOK_EVERY).await;
        }
        anyhow::bail!("nobody leads after {} s", LED_WITHIN.as_secs())
    }

    /// Ends a node's process with -9.
    pub(crate) fn kill(&mut self, node: &str) -> anyhow::Result<()> {
        self.kills += 1;
        self.open.insert(node.to_owned(), self.kills);
        self.chronicle.saw(Fault {
            id: self.kills,
            kind: FaultKind::Crash,
            target: Some(node.to_owned()),
            from: None,
            to: None,
        });
        self.cluster.kill_node(node)?;
        self.chronicle.saw(NodeEvent::Crashed {
            node: node.to_owned(),
            incarnation: self.incarnations[node],
        });
        Ok(())
    }

    /// Starts another one under its name.
    pub(crate) fn start(&mut self, node: &str) -> anyhow::Result<()> {
        let counted = self.incarnations.get_mut(node).context("an unknown node")?;
        *counted += 1;
        let incarnation = *counted;
        self.chronicle.saw(NodeEvent::Started {
            node: node.to_owned(),
            incarnation,
        });
        self.cluster.start_node(node)?;
        let id = self.open.remove(node).context("nobody killed it")?;
        self.chronicle.saw(Entry::Healed { id });
        Ok(())
    }
}
