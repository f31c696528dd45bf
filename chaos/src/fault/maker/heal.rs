//! How faults end: what was broken is as before, and whoever was hit is back, or it is on record that it is not.

use super::{Maker, Open, Undo};
use crate::progress::say;
use crate::target::{Hands, Made, Store};
use anyhow::Context as _;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Entry, Marker, NodeEvent, Stage};
use tokio::time::sleep;

/// 60 s for a node or a member to be back after its fault.
const BACK_WITHIN: Duration = Duration::from_mins(1);
/// 20 ms between looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// 500 ms after which a supervisor starts a node again that ended.
const SUPERVISED: Duration = Duration::from_millis(500);

impl<T: Hands> Maker<'_, T> {
    /// Takes a fault back, and waits until whoever it hit is back.
    pub(super) async fn heal(&mut self, mut open: Open) -> anyhow::Result<()> {
        self.undo(&mut open).await?;
        for name in &open.targets {
            if self.hands.nodes().contains(name) {
                self.node_is_back(name).await?;
            } else {
                self.member_is_back(name).await?;
            }
        }
        self.faults_over(&open);
        self.tell(&open, Stage::Healed, None);
        Ok(())
    }

    /// Everything of it is taken back, the last first, except that what is started comes last.
    pub(super) async fn undo(&mut self, open: &mut Open) -> anyhow::Result<()> {
        for undo in std::mem::take(&mut open.undo) {
            self.undone(open, &undo)
                .await
                .with_context(|| format!("cannot take back {}: {undo:?}", open.kind))?;
        }
        Ok(())
    }

    async fn undone(&mut self, open: &mut Open, undo: &Undo) -> anyhow::Result<()> {
        match undo {
            Undo::Start(node) => self.start(node, false).await?,
            Undo::Renew(node) => {
                self.end(open, node).await?;
                self.start(node, false).await?;
            }
            Undo::Resume(node) => {
                surely(self.hands.halt_node(node, false).await?)?;
                self.away.remove(node);
            }
            Undo::StartMember(member) => {
                surely(self.hands.start_member(member).await?)?;
                self.away.remove(member);
                let member = member.clone();
                self.chronicle.saw(Marker::Restarted { member });
            }
            Undo::ResumeMember(member) => {
                surely(self.hands.halt_member(member, false).await?)?;
                self.away.remove(member);
            }
            Undo::Mend(cut) => surely(self.hands.cut(cut, false).await?)?,
            Undo::Clock(node) => surely(self.hands.set_clock(node, 0).await?)?,
            Undo::Disk(member) => surely(self.hands.slow_disk(member, 0).await?)?,
            Undo::FreeDisk => surely(self.hands.fill_disk(false).await?.0)?,
            Undo::Space => {
                surely(self.operates(&Store::NoSpace(false)).await?)?;
                self.chronicle.saw(Marker::NoSpace { on: false });
            }
            Undo::JoinClients(node) => surely(self.hands.cut_clients(node, false).await?)?,
            Undo::Undrain(node) => {
                surely(self.hands.drain(&self.client, node, false).await?)?;
            }
        }
        Ok(())
    }

    /// Starts a node's process.
    pub(super) async fn start(&mut self, node: &str, previous: bool) -> anyhow::Result<()> {
        surely(self.hands.start_node(node, previous).await?)?;
        self.started(node);
        Ok(())
    }

    /// Waits until a node says that it is ready; one that does not in time is on record, and nothing more is broken.
    pub(super) async fn node_is_back(&mut self, node: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.is_ready(node).await {
            if began.elapsed() > BACK_WITHIN {
                let after_ms = u64::try_from(began.elapsed().as_millis())?;
                say(&format!(
                    "           {node} is not ready after {after_ms} ms"
                ))?;
                let node = node.to_owned();
                self.chronicle.saw(NodeEvent::NotReady { node, after_ms });
                self.lost = true;
                return Ok(());
            }
            self.supervise().await?;
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn is_ready(&self, node: &str) -> bool {
        match self.hands.address(node) {
            Ok(address) => self.client.says_yes(&format!("{address}/readyz")).await,
            Err(_) => false,
        }
    }

    async fn member_is_back(&mut self, member: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        let all = self.hands.members();
        let nth = all.iter().position(|one| one == member);
        let Some(endpoint) = nth.and_then(|nth| self.hands.endpoints().get(nth).cloned()) else {
            return Ok(());
        };
        while !self.client.says_yes(&format!("{endpoint}/health")).await {
            anyhow::ensure!(began.elapsed() < BACK_WITHIN, "etcd's {member} is not back");
            self.supervise().await?;
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// All nodes are ready, all members healthy, and one leads: before the first fault, and after the last.
    pub(crate) async fn healthy(&mut self) -> anyhow::Result<()> {
        for member in self.hands.members() {
            self.member_is_back(&member).await?;
        }
        for node in self.hands.nodes() {
            self.node_is_back(&node).await?;
        }
        let began = Instant::now();
        while self.client.leader().await.is_none() && !self.lost {
            if began.elapsed() > BACK_WITHIN {
                self.lost = true;
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// From here on there are no faults.
    pub(crate) fn all_healed(&self) {
        self.chronicle.saw(Entry::AllHealed);
    }

    /// Starts again what ended by itself, as a supervisor does; each is a crash, and a fault of its own.
    pub(super) async fn supervise(&mut self) -> anyhow::Result<()> {
        for node in self.hands.fallen().await? {
            let at = self.began.elapsed().as_secs_f64();
            say(&format!(
                "{at:>7.1} s  {node} ended by itself, and is started again"
            ))?;
            self.crashed(&node);
            sleep(SUPERVISED).await;
            self.start(&node, false).await?;
        }
        Ok(())
    }
}

fn surely(made: Made) -> anyhow::Result<()> {
    match made {
        Made::Yes => Ok(()),
        Made::Cannot(why) => anyhow::bail!("{why}"),
    }
}
