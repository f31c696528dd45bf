//! The kills: the leader and another node in turn, each started again under its name; all on record. Waits for no work.

use crate::chronicle::Chronicle;
use crate::cluster::Cluster;
use crate::killer::Victim;
use crate::progress::say;
use crate::reaper::Reaper;
use crate::workload::SplitMix;
use std::time::Duration;
use tenure_chaos::history::Entry;

/// Who is killed, in order.
const VICTIMS: [Victim; 4] = [
    Victim::Leader,
    Victim::Follower,
    Victim::Leader,
    Victim::Follower,
];

/// Chooses who is killed, and when.
pub(super) struct Killer<'a> {
    reaper: Reaper<'a>,
    chronicle: Chronicle,
    dice: SplitMix,
}

impl<'a> Killer<'a> {
    /// Of a cluster whose nodes have all just been started.
    pub(super) fn new(cluster: &'a mut Cluster, chronicle: &Chronicle, dice: SplitMix) -> Self {
        Self {
            reaper: Reaper::new(cluster, chronicle),
            chronicle: chronicle.clone(),
            dice,
        }
    }

    /// Kills one after another, each when all others are back and had some seconds; all are back in the end.
    pub(super) async fn all(mut self) -> anyhow::Result<()> {
        for victim in VICTIMS {
            self.pause(4_000, 7_000).await?;
            let node = self.choose(victim).await?;
            self.reaper.kill(&node)?;
            let leads = if victim == Victim::Leader {
                "the leader"
            } else {
                "not leading"
            };
            let at = self.reaper.at().as_secs_f64();
            say(&format!("killed {node}, {leads}, with -9 at {at:.1} s"))?;
            self.pause(300, 2_000).await?;
            self.reaper.start(&node)?;
            self.reaper.cluster.is_ready(&node).await?;
        }
        self.reaper.leader().await?;
        self.chronicle.saw(Entry::AllHealed);
        Ok(())
    }

    /// A time in milliseconds in which nobody may end by himself.
    async fn pause(&mut self, low_ms: u64, high_ms: u64) -> anyhow::Result<()> {
        let ms = self.dice.within(low_ms..=high_ms);
        self.reaper.pause(Duration::from_millis(ms)).await
    }

    async fn choose(&mut self, victim: Victim) -> anyhow::Result<String> {
        let leader = self.reaper.leader().await?;
        if victim == Victim::Leader {
            return Ok(leader);
        }
        let others: Vec<&str> = self
            .reaper
            .cluster
            .node_names()
            .filter(|name| *name != leader)
            .collect();
        anyhow::ensure!(!others.is_empty(), "{leader} is alone");
        Ok(others[self.dice.below(others.len())].to_owned())
    }
}
