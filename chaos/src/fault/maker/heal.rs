//! How faults end: what was broken is as before, and whoever was hit is back, or it is on record that it is not.

use super::{LOOK_EVERY, Maker, Open, Undo};
use crate::progress::say;
use crate::target::{Hands, Made, Store};
use anyhow::Context as _;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Entry, Marker, NodeEvent, Stage};
use tokio::time::sleep;

/// 60 s for a node or a member to be back after its fault.
const BACK_WITHIN: Duration = Duration::from_mins(1);
/// 500 ms after which a supervisor starts a node again that ended.
const SUPERVISED: Duration = Duration::from_millis(500);

impl<T: Hands> Maker<'_, T> {
    /// Takes a fault back; it is over when whoever it hit is back.
    pub(super) async fn heal(&mut self, mut open: Open) -> anyhow::Result<()> {
        self.undo(&mut open).await?;
        self.mending.push((open, Instant::now()));
        Ok(())
    }

    /// Whether one that was taken back is over now.
    pub(super) async fn mended(&mut self) -> anyhow::Result<bool> {
        for nth in 0..self.mending.len() {
            let (open, since) = &self.mending[nth];
            let late = since.elapsed();
            let mut missing = None;
            for name in &open.targets {
                if missing.is_none() && !self.is_back(name).await {
                    missing = Some(name.clone());
                }
            }
            if let Some(name) = missing {
                if late < BACK_WITHIN {
                    continue;
                }
                self.is_not_back(&name, late)?;
            }
            let (open, _) = self.mending.swap_remove(nth);
            self.faults_over(&open);
            self.tell(&open, Stage::Healed, None);
            return Ok(true);
        }
        Ok(false)
    }

    async fn is_back(&self, name: &String) -> bool {
        if self.hands.nodes().contains(name) {
            return self.is_ready(name).await;
        }
        let all = self.hands.members();
        let nth = all.iter().position(|one| one == name);
        match nth.and_then(|nth| self.hands.endpoints().get(nth).cloned()) {
            Some(endpoint) => self.client.says_yes(&format!("{endpoint}/health")).await,
            None => true,
        }
    }

    /// It is on record, and nothing more is broken.
    fn is_not_back(&mut self, name: &str, late: Duration) -> anyhow::Result<()> {
        let after_ms = u64::try_from(late.as_millis())?;
        say(&format!(
            "           {name} is not ready after {after_ms} ms"
        ))?;
        let node = name.to_owned();
        self.chronicle.saw(NodeEvent::NotReady { node, after_ms });
        self.lost = true;
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

    /// Waits until a node or a member is back; one that is not in time is on record, and nothing more is broken.
    pub(super) async fn waits_for(&mut self, name: &String) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.is_back(name).await {
            if began.elapsed() > BACK_WITHIN {
                return self.is_not_back(name, began.elapsed());
            }
            self.supervise().await?;
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn is_ready(&self, node: &str) -> bool {
        match self.hands.address(node) {
            Ok(address) => self.client.says_yes(&format!("{address}/readyz")).await,
            // Of a cluster that was there not all may be known: who is not is not asked.
            Err(_) => true,
        }
    }

    /// All nodes are ready, all members healthy, and one leads: before the first fault, and after the last.
    pub(crate) async fn healthy(&mut self) -> anyhow::Result<()> {
        for member in self.hands.members() {
            self.waits_for(&member).await?;
        }
        for node in self.hands.nodes() {
            self.waits_for(&node).await?;
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
        Made::Cannot(why) | Made::NotNow(why) => anyhow::bail!("{why}"),
    }
}
