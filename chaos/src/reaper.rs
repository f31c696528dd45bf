//! Faults of nodes on record: who leads is found out, a process is killed, told to end, stopped for a while, cut off, and started
//! again under its name. Each fault is written down before it is made.

use crate::chronicle::Chronicle;
use crate::cluster::Cluster;
use anyhow::Context as _;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Entry, Fault, FaultKind, NodeEvent};
use tokio::time::sleep;

/// 30 s for somebody to lead.
const LED_WITHIN: Duration = Duration::from_secs(30);
/// 50 ms between looks at who leads.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// 20 s for a process that was told to end.
const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// What a node is cut off from, as a fault's other end.
const EVERYBODY: &str = "everybody";

/// Starts and ends processes, and says so.
pub(crate) struct Reaper<'a> {
    pub(crate) cluster: &'a mut Cluster,
    chronicle: Chronicle,
    /// Processes so far, by node.
    incarnations: BTreeMap<String, u64>,
    began: Instant,
    /// Faults so far.
    faults: u64,
    /// The faults of nodes that are not over.
    open: BTreeMap<String, u64>,
    /// Whose process had this id: a node's name, and its how manieth.
    processes: BTreeMap<u32, (String, u64)>,
}

impl<'a> Reaper<'a> {
    /// Of a cluster whose nodes have all just been started.
    pub(crate) fn new(cluster: &'a mut Cluster, chronicle: &Chronicle) -> Self {
        let incarnations: BTreeMap<String, u64> = cluster
            .node_names()
            .map(|name| (name.to_owned(), 1))
            .collect();
        let mut processes = BTreeMap::new();
        for (node, incarnation) in incarnations.clone() {
            if let Some(pid) = cluster.pid_of(&node) {
                processes.insert(pid, (node.clone(), incarnation));
            }
            chronicle.saw(NodeEvent::Started { node, incarnation });
        }
        Self {
            cluster,
            chronicle: chronicle.clone(),
            incarnations,
            began: Instant::now(),
            faults: 0,
            open: BTreeMap::new(),
            processes,
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

    /// All nodes, whether they run or not.
    pub(crate) fn all(&self) -> Vec<String> {
        self.incarnations.keys().cloned().collect()
    }

    /// Whose process had which id, so far.
    pub(crate) fn processes(&self) -> &BTreeMap<u32, (String, u64)> {
        &self.processes
    }

    /// A fault begins; its number.
    pub(crate) fn begins(&mut self, kind: FaultKind, target: Option<&str>) -> u64 {
        self.begins_between(kind, target, None)
    }

    /// A fault of a link begins where it has another end; its number.
    pub(crate) fn begins_between(
        &mut self,
        kind: FaultKind,
        of: Option<&str>,
        to: Option<&str>,
    ) -> u64 {
        self.faults += 1;
        let (of, to) = (of.map(str::to_owned), to.map(str::to_owned));
        let (target, from) = if to.is_some() { (None, of) } else { (of, None) };
        self.chronicle.saw(Fault {
            id: self.faults,
            kind,
            target,
            from,
            to,
        });
        self.faults
    }

    /// It is over.
    pub(crate) fn over(&mut self, id: u64) {
        self.chronicle.saw(Entry::Healed { id });
    }

    /// Ends a node's process with -9.
    pub(crate) fn kill(&mut self, node: &str) -> anyhow::Result<()> {
        let id = self.begins(FaultKind::Crash, Some(node));
        self.open.insert(node.to_owned(), id);
        self.cluster.kill_node(node)?;
        self.crashed(node);
        Ok(())
    }

    /// Processes that ended by themselves, each a crash.
    pub(crate) fn fallen(&mut self) -> anyhow::Result<Vec<String>> {
        let fallen = self.cluster.fallen()?;
        for node in &fallen {
            let id = self.begins(FaultKind::Crash, Some(node));
            self.open.insert(node.to_owned(), id);
            self.crashed(node);
        }
        Ok(fallen)
    }

    fn crashed(&self, node: &str) {
        self.chronicle.saw(NodeEvent::Crashed {
            node: node.to_owned(),
            incarnation: self.incarnations[node],
        });
    }

    /// Tells a node to end, and waits until it has.
    pub(crate) async fn ends(&mut self, node: &str) -> anyhow::Result<()> {
        let id = self.begins(FaultKind::Leave, Some(node));
        self.open.insert(node.to_owned(), id);
        self.cluster.node(node)?.signal(Signal::TERM)?;
        let ended = self.cluster.node(node)?.ends(ENDED_WITHIN).await?;
        anyhow::ensure!(ended, "{node} goes on, though it was told to end");
        self.cluster.forget_node(node);
        self.chronicle.saw(NodeEvent::Stopped {
            node: node.to_owned(),
            incarnation: self.incarnations[node],
        });
        Ok(())
    }

    /// Makes a node's process stand still.
    pub(crate) fn halt(&mut self, node: &str) -> anyhow::Result<()> {
        let id = self.begins(FaultKind::Pause, Some(node));
        self.open.insert(node.to_owned(), id);
        self.cluster.node(node)?.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&mut self, node: &str) -> anyhow::Result<()> {
        self.cluster.node(node)?.signal(Signal::CONT)?;
        self.closes(node)
    }

    /// Cuts a node off from etcd and from everybody.
    pub(crate) fn cut(&mut self, node: &str) -> anyhow::Result<()> {
        let id = self.begins_between(FaultKind::Partition, Some(node), Some(EVERYBODY));
        self.open.insert(node.to_owned(), id);
        self.reach(node, false)
    }

    /// Lets it back.
    pub(crate) fn join(&mut self, node: &str) -> anyhow::Result<()> {
        self.reach(node, true)?;
        self.closes(node)
    }

    fn reach(&self, node: &str, reachable: bool) -> anyhow::Result<()> {
        let found = self.cluster.network_of(node);
        let (networks, nth) = found.context("nodes have no networks of their own")?;
        networks.set(nth, reachable)
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
        if let Some(pid) = self.cluster.pid_of(node) {
            self.processes.insert(pid, (node.to_owned(), incarnation));
        }
        self.closes(node)
    }

    fn closes(&mut self, node: &str) -> anyhow::Result<()> {
        let id = self.open.remove(node).context("nothing was broken there")?;
        self.over(id);
        Ok(())
    }
}
