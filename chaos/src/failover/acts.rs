//! The faults of each show: who is hit, how, until when it is waited for others to go on, and how it is healed. What it cost is
//! read from the history afterwards, and not here.

use super::load::{self, Submitter};
use crate::chronicle::Chronicle;
use crate::load::Paper;
use crate::progress::say;
use crate::reaper::Reaper;
use crate::recorder::Seen;
use crate::workload::SplitMix;
use anyhow::Context as _;
use std::time::{Duration, Instant};
use tenure_chaos::history::{Entry, FaultKind, Marker, Show, Trial};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// 1 to 2 s of calm before a fault: the phase of keepalives and of plans is another each time.
const CALM_MS: std::ops::RangeInclusive<u64> = 1_000..=2_000;
/// 15 s for others to go on: three leases. Later is never, for what is measured.
const GOES_ON_WITHIN: Duration = Duration::from_secs(15);
/// 500 ms more, in which what was claimed begins.
const BEGINS: Duration = Duration::from_millis(500);
/// 7 s in which a node stands still or is cut off: longer than its lease, and than it takes to be given away.
const SILENT: Duration = Duration::from_secs(7);
/// 3 s in which whoever comes back may do what it should not.
const TEMPTED: Duration = Duration::from_secs(3);
/// 60 s for a node to be ready after its fault, started again by its supervisor where it ended.
const BACK_WITHIN: Duration = Duration::from_mins(1);
/// 500 ms after which a supervisor starts a node again that ended.
const SUPERVISED: Duration = Duration::from_millis(500);
/// 5 s to find a node that has claims.
const FOUND_WITHIN: Duration = Duration::from_secs(5);
/// 5 ms between looks at processes, and at who has claims.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// 60 s for a task that kills its nodes to be dead.
const DEAD_WITHIN: Duration = Duration::from_mins(1);
/// 30 s for etcd to elect another leader.
const ELECTED_WITHIN: Duration = Duration::from_secs(30);
/// 3 s for which a link is cut.
const CUT: Duration = Duration::from_secs(3);
/// What a node's link is cut from, as a fault's other end.
const PEERS: &str = "peers";
/// 1 s in which long runs begin.
const BEGUN: Duration = Duration::from_secs(1);

/// Breaks one thing after another.
pub(super) struct Acts<'a> {
    pub(super) reaper: Reaper<'a>,
    pub(super) chronicle: Chronicle,
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) dice: SplitMix,
    pub(super) paper: Paper,
    pub(super) submitter: Submitter,
    pub(super) outage: Duration,
}

/// Who is hit.
struct Hit {
    node: String,
    leads: bool,
    /// The latest term that had made a claim.
    term: i64,
}

impl Acts<'_> {
    /// One trial, from a calm cluster to a calm cluster.
    pub(super) async fn trial(&mut self, show: Show, number: u64) -> anyhow::Result<()> {
        self.all_are_back().await?;
        if outlives_runs(show) {
            for batch in load::long(&mut self.dice, &self.paper) {
                self.submitter.submit(&batch).await?;
            }
        }
        sleep(Duration::from_millis(self.dice.within(CALM_MS))).await;
        let hit = self.choose(show).await?;
        let hits_all = matches!(show, Show::StoreDown | Show::Rolling | Show::Poison);
        let target = (!hits_all).then(|| hit.node.clone());
        let at = self.reaper.at().as_secs_f64();
        let on = target.as_deref().unwrap_or("all");
        say(&format!("{at:>7.1} s  {show} {number}: {on}"))?;
        self.chronicle.saw(Entry::Trial(Trial {
            number,
            show,
            target,
        }));
        match show {
            Show::LeaderKill | Show::NodeKill => self.killed(&hit).await?,
            Show::LeaderTerm | Show::NodeTerm => self.told_to_end(&hit).await?,
            Show::LeaderStop | Show::NodeStop => self.stopped(&hit).await?,
            Show::LeaderCut | Show::NodeCut => self.cut_off(&hit).await?,
            Show::BothLeaders => self.both_killed(&hit).await?,
            Show::LinkCut => self.link_cut(&hit, number).await?,
            Show::StoreDown => self.store_down().await?,
            Show::Rolling => self.rolled().await?,
            Show::Poison => self.poisoned().await?,
        }
        self.all_are_back().await
    }

    /// Waits until every node is ready, and one leads; a node that ended is started again.
    pub(super) async fn all_are_back(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + BACK_WITHIN;
        let mut names = self.reaper.all();
        while let Some(name) = names.first().cloned() {
            self.supervised().await?;
            if self.reaper.cluster.answers_ready(&name).await {
                names.remove(0);
            } else {
                sleep(LOOK_EVERY * 4).await;
            }
            anyhow::ensure!(Instant::now() < until, "{name} is not ready again");
        }
        self.reaper.leader().await?;
        Ok(())
    }

    /// Starts again what ended, as a supervisor does.
    async fn supervised(&mut self) -> anyhow::Result<()> {
        for node in self.reaper.fallen()? {
            say(&format!("           {node} ended, and is started again"))?;
            sleep(SUPERVISED).await;
            self.reaper.start(&node)?;
        }
        Ok(())
    }

    /// The leader, or a node that has claims and does not lead; whoever that is, it has some where there are any.
    async fn choose(&mut self, show: Show) -> anyhow::Result<Hit> {
        let of_the_leader = matches!(
            show,
            Show::LeaderKill
                | Show::LeaderTerm
                | Show::LeaderStop
                | Show::LeaderCut
                | Show::BothLeaders
                | Show::LinkCut
        );
        let leader = self.reaper.leader().await?;
        let until = Instant::now() + FOUND_WITHIN;
        let names = self.reaper.all();
        let fits = |name: &&String| (**name == leader) == of_the_leader;
        let mut fitting: Vec<String> = names.iter().filter(fits).cloned().collect();
        let first = self.dice.below(fitting.len());
        fitting.rotate_left(first);
        loop {
            let seen = self.seen.borrow().clone();
            let busy = |name: &&String| seen.claims.get(*name).is_some_and(|claims| *claims > 0);
            let found = fitting.iter().find(busy);
            if found.is_some() || Instant::now() > until {
                return Ok(Hit {
                    node: found.unwrap_or(&fitting[0]).clone(),
                    leads: of_the_leader,
                    term: seen.term,
                });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a later term assigns, or what the node had is gone from it; not for ever.
    async fn others_go_on(&mut self, hit: &Hit) {
        let goes_on = |seen: &Seen| {
            let had = seen.claims.get(&hit.node).copied().unwrap_or_default();
            had <= 0 && (!hit.leads || seen.term > hit.term)
        };
        // What did not happen is found missing in the history. What is waited for is not kept: it would hold up the recorder.
        let goes_on = self.seen.wait_for(goes_on);
        drop(timeout(GOES_ON_WITHIN, goes_on).await);
        sleep(BEGINS).await;
    }

    async fn killed(&mut self, hit: &Hit) -> anyhow::Result<()> {
        self.reaper.kill(&hit.node)?;
        self.others_go_on(hit).await;
        self.reaper.start(&hit.node)
    }

    async fn told_to_end(&mut self, hit: &Hit) -> anyhow::Result<()> {
        self.reaper.ends(&hit.node).await?;
        self.others_go_on(hit).await;
        self.reaper.start(&hit.node)
    }

    async fn stopped(&mut self, hit: &Hit) -> anyhow::Result<()> {
        let until = Instant::now() + SILENT;
        self.reaper.halt(&hit.node)?;
        self.others_go_on(hit).await;
        sleep(until.saturating_duration_since(Instant::now())).await;
        self.reaper.go_on(&hit.node)?;
        sleep(TEMPTED).await;
        Ok(())
    }

    async fn cut_off(&mut self, hit: &Hit) -> anyhow::Result<()> {
        let until = Instant::now() + SILENT;
        self.reaper.cut(&hit.node)?;
        self.others_go_on(hit).await;
        sleep(until.saturating_duration_since(Instant::now())).await;
        self.reaper.join(&hit.node)?;
        sleep(TEMPTED).await;
        Ok(())
    }

    async fn both_killed(&mut self, hit: &Hit) -> anyhow::Result<()> {
        let leader = self.reaper.cluster.members().leader().await;
        let member = leader.context("no member of etcd leads")?;
        let id = self.reaper.begins(FaultKind::StoreLeader, None);
        self.reaper.cluster.members().kill(member)?;
        self.reaper.kill(&hit.node)?;
        let until = Instant::now() + ELECTED_WITHIN;
        let elected = loop {
            let found = self.reaper.cluster.members().leader().await;
            if found.is_some() || Instant::now() > until {
                break found.context("etcd has no leader")?;
            }
            sleep(LOOK_EVERY).await;
        };
        let name = self.reaper.cluster.members().name(elected).to_owned();
        self.chronicle.saw(Marker::LeaderChanged { member: name });
        self.others_go_on(hit).await;
        let name = self.reaper.cluster.members().name(member).to_owned();
        self.reaper.cluster.members().revive(member)?;
        self.reaper.over(id);
        self.chronicle.saw(Marker::Restarted { member: name });
        self.reaper.start(&hit.node)
    }

    /// The leader's peer address refuses; every other time also that of another node.
    async fn link_cut(&mut self, hit: &Hit, number: u64) -> anyhow::Result<()> {
        let mut cut = vec![hit.node.clone()];
        let mut others = self.reaper.all();
        others.retain(|name| *name != hit.node);
        if number.is_multiple_of(2) {
            cut.push(others[self.dice.below(others.len())].clone());
        }
        let (kind, of) = (FaultKind::Partition, Some(hit.node.as_str()));
        let id = self.reaper.begins_between(kind, of, Some(PEERS));
        for name in &cut {
            let way = self.reaper.cluster.way_to(name);
            way.context("no way to cut")?.cut().await;
        }
        sleep(CUT).await;
        for name in &cut {
            let way = self.reaper.cluster.way_to(name);
            way.context("no way to mend")?.mend().await?;
        }
        self.reaper.over(id);
        sleep(TEMPTED).await;
        Ok(())
    }

    async fn store_down(&mut self) -> anyhow::Result<()> {
        for batch in load::spans(&self.paper, self.outage) {
            self.submitter.submit(&batch).await?;
        }
        sleep(BEGUN).await;
        let id = self.reaper.begins(FaultKind::StoreDown, None);
        let count = self.reaper.cluster.members().count();
        (0..count).try_for_each(|nth| self.reaper.cluster.members().kill(nth))?;
        let until = Instant::now() + self.outage;
        while Instant::now() < until {
            self.supervised().await?;
            sleep(LOOK_EVERY).await;
        }
        (0..count).try_for_each(|nth| self.reaper.cluster.members().revive(nth))?;
        for nth in 0..count {
            let member = self.reaper.cluster.members().name(nth).to_owned();
            self.chronicle.saw(Marker::Restarted { member });
        }
        self.reaper.over(id);
        self.all_are_back().await?;
        sleep(TEMPTED).await;
        Ok(())
    }

    async fn rolled(&mut self) -> anyhow::Result<()> {
        for node in self.reaper.all() {
            self.reaper.ends(&node).await?;
            self.reaper.start(&node)?;
            self.all_are_back().await?;
            sleep(BEGINS).await;
        }
        Ok(())
    }

    async fn poisoned(&mut self) -> anyhow::Result<()> {
        let tasks = self.submitter.submit(&load::poison(&self.paper)).await?;
        let id = tasks.first().context("no id")?;
        let until = Instant::now() + DEAD_WITHIN;
        while Instant::now() < until {
            self.supervised().await?;
            if self.reaper.cluster.client().state(id).await.as_deref() == Some("dead") {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Whether there has to be a run that goes on for longer than the fault lasts.
fn outlives_runs(show: Show) -> bool {
    matches!(
        show,
        Show::LeaderKill
            | Show::NodeKill
            | Show::LeaderStop
            | Show::NodeStop
            | Show::LeaderCut
            | Show::NodeCut
    )
}
