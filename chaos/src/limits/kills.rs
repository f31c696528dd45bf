//! The kills: the leader and another node in turn, each started again under its name; all on record. Waits for no work.

use crate::chronicle::Chronicle;
use crate::cluster::Cluster;
use crate::killer::Victim;
use crate::progress::say;
use crate::workload::SplitMix;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Entry, Fault, FaultKind, NodeEvent};
use tokio::time::sleep;

/// Who is killed, in order.
const VICTIMS: [Victim; 4] = [
    Victim::Leader,
    Victim::Follower,
    Victim::Leader,
    Victim::Follower,
];
/// 30 s for somebody to lead.
const LED_WITHIN: Duration = Duration::from_secs(30);
/// 50 ms between looks at who leads.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Starts and ends processes, and says so.
pub(super) struct Killer<'a> {
    cluster: &'a mut Cluster,
    chronicle: Chronicle,
    dice: SplitMix,
    /// Processes so far, by node.
    incarnations: BTreeMap<String, u64>,
    began: Instant,
}

impl<'a> Killer<'a> {
    /// Of a cluster whose nodes have all just been started.
    pub(super) fn new(cluster: &'a mut Cluster, chronicle: &Chronicle, dice: SplitMix) -> Self {
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
            dice,
            incarnations,
            began: Instant::now(),
        }
    }

    /// Kills one after another, each when all others are back and had some seconds; all are back in the end.
    pub(super) async fn all(mut self) -> anyhow::Result<()> {
        for (id, victim) in (1..).zip(VICTIMS) {
            self.pause(4_000, 7_000).await?;
            let node = self.choose(victim).await?;
            self.kill(id, &node)?;
            let leads = if victim == Victim::Leader {
                "the leader"
            } else {
                "not leading"
            };
            let at = self.began.elapsed().as_secs_f64();
            say(&format!("killed {node}, {leads}, with -9 at {at:.1} s"))?;
            self.pause(300, 2_000).await?;
            self.start(id, &node)?;
            self.cluster.is_ready(&node).await?;
        }
        self.leader().await?;
        self.chronicle.saw(Entry::AllHealed);
        Ok(())
    }

    /// A time in milliseconds in which nobody may end by himself.
    async fn pause(&mut self, low_ms: u64, high_ms: u64) -> anyhow::Result<()> {
        sleep(Duration::from_millis(self.dice.within(low_ms..=high_ms))).await;
        self.cluster.ensure_alive()
    }

    async fn choose(&mut self, victim: Victim) -> anyhow::Result<String> {
        let leader = self.leader().await?;
        if victim == Victim::Leader {
            return Ok(leader);
        }
        let others: Vec<&str> = self
            .cluster
            .node_names()
            .filter(|name| *name != leader)
            .collect();
        anyhow::ensure!(!others.is_empty(), "{leader} is alone");
        Ok(others[self.dice.below(others.len())].to_owned())
    }

    /// Who leads, among those that run.
    async fn leader(&mut self) -> anyhow::Result<String> {
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

    fn kill(&mut self, id: u64, node: &str) -> anyhow::Result<()> {
        self.chronicle.saw(Fault {
            id,
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

    fn start(&mut self, id: u64, node: &str) -> anyhow::Result<()> {
        let counted = self.incarnations.get_mut(node).context("an unknown node")?;
        *counted += 1;
        let incarnation = *counted;
        self.chronicle.saw(NodeEvent::Started {
            node: node.to_owned(),
            incarnation,
        });
        self.cluster.start_node(node)?;
        self.chronicle.saw(Entry::Healed { id });
        Ok(())
    }
}
