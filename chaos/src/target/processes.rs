//! A cluster of processes of this machine: nodes and members in networks of their own where that is permitted, a proxy between each
//! node and each member, a small disk of its own for the last member, and clocks that can be set wrong.

mod ways;

use super::{Cut, Hands, Made};
use crate::cluster::{Cluster, Layout, Ways};
use crate::netns::Networks;
use crate::nets::Barrier;
use crate::progress::say;
use crate::store_acts::Operator;
use crate::tools::Got;
use crate::tools::clock::Clock;
use crate::tools::full_disk::FullDisk;
use crate::tools::slow_disk::SlowDisk;
use crate::{cluster, members};
use anyhow::Context as _;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// 256 MiB: the disk of the member that has one of its own. etcd keeps two files of 64 MB for its log, and its database.
const DISK_BYTES: u64 = 256 << 20;
/// 512 KiB, a third of what etcd takes at once: written again and again until a database has to grow.
const BALLAST_BYTES: usize = 512 << 10;
/// 5 s for a member whose disk is full to find out, which it does when it next needs a page.
const FULL_WITHIN: Duration = Duration::from_secs(5);
/// 20 ms between looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why something cannot be had here, or the thing.
type Had<T> = Result<T, String>;

/// Started for a run, and gone with the value.
pub(crate) struct Processes {
    slowed: BTreeMap<String, SlowDisk>,
    barriers: BTreeMap<Cut, Barrier>,
    /// How many barriers were made so far: names of what is there never come twice.
    made: u64,
    clocks: BTreeMap<String, Had<Clock>>,
    previous: Option<PathBuf>,
    // Before its disk: what uses that has to be gone first.
    cluster: Cluster,
    disk: Had<FullDisk>,
}

impl Processes {
    /// Starts everything, and waits until every node says that it is ready.
    pub(crate) async fn start(layout: &Layout, previous: Option<PathBuf>) -> anyhow::Result<Self> {
        let networks = match Networks::with_members(layout.nodes, layout.members) {
            Ok(networks) => Some(networks),
            Err(error) => {
                say(&format!(
                    "no networks of their own for nodes and members: {error:#}"
                ))?;
                None
            }
        };
        let disk = own_disk(layout)?;
        let ways = Ways {
            networks,
            proxies: false,
            store: true,
            members: true,
        };
        let mut clocks = BTreeMap::new();
        for nth in 1..=layout.nodes {
            let file = layout.dir.join(format!("n{nth}.clock"));
            let clock = match Clock::of(&layout.tenure, file)? {
                Got::Yes(clock) => Ok(clock),
                Got::Cannot(why) => Err(why),
            };
            clocks.insert(format!("n{nth}"), clock);
        }
        let env = |name: &str| environment(&clocks, name);
        let cluster = Cluster::start_with(layout, ways, &env).await?;
        Ok(Self {
            slowed: BTreeMap::new(),
            barriers: BTreeMap::new(),
            made: 0,
            clocks,
            previous,
            cluster,
            disk,
        })
    }

    /// Where nodes find this machine.
    pub(crate) fn own_host(&self) -> Ipv4Addr {
        let networks = self.cluster.networks();
        networks.map_or(Ipv4Addr::LOCALHOST, Networks::own_address)
    }

    fn nth_member(&self, name: &str) -> anyhow::Result<usize> {
        let nth = self.members().iter().position(|one| one == name);
        nth.with_context(|| format!("no member {name}"))
    }
}

/// A disk for the last member's data, which is not there yet.
fn own_disk(layout: &Layout) -> anyhow::Result<Had<FullDisk>> {
    let dir = layout.dir.join(members::name(layout.members - 1));
    cluster::emptied(&dir)?;
    Ok(match FullDisk::mount(&dir, DISK_BYTES)? {
        Got::Yes(disk) => Ok(disk),
        Got::Cannot(why) => Err(why),
    })
}

impl Hands for Processes {
    fn nodes(&self) -> Vec<String> {
        self.cluster.all_names()
    }

    fn members(&self) -> Vec<String> {
        let members = self.cluster.members_seen();
        (0..members.count())
            .map(|nth| members.name(nth).to_owned())
            .collect()
    }

    fn address(&self, node: &str) -> anyhow::Result<String> {
        self.cluster.address(node)
    }

    fn endpoints(&self) -> Vec<String> {
        self.cluster.endpoints().to_vec()
    }

    fn pid_of(&self, node: &str) -> Option<u32> {
        self.cluster.pid_of(node)
    }

    fn has_previous(&self) -> Made {
        match &self.previous {
            Some(_) => Made::Yes,
            None => Made::Cannot("there is no build before this one: say --previous".to_owned()),
        }
    }

    async fn kill_node(&mut self, node: &str) -> anyhow::Result<Made> {
        if self.pid_of(node).is_none() {
            return Ok(does_not_run(node));
        }
        self.cluster.kill_node(node)?;
        Ok(Made::Yes)
    }

    async fn end_node(&mut self, node: &str, within: Duration) -> anyhow::Result<Made> {
        if self.pid_of(node).is_none() {
            return Ok(does_not_run(node));
        }
        self.cluster.node(node)?.signal(Signal::TERM)?;
        let ended = self.cluster.node(node)?.ends(within).await?;
        anyhow::ensure!(ended, "{node} goes on, though it was told to end");
        self.cluster.forget_node(node);
        Ok(Made::Yes)
    }

    async fn start_node(&mut self, node: &str, previous: bool) -> anyhow::Result<Made> {
        if self.pid_of(node).is_some() {
            return Ok(Made::NotNow(format!("{node} runs already")));
        }
        let env = environment(&self.clocks, node);
        let build = self.previous.as_deref().filter(|_| previous);
        self.cluster.start_node_of(node, build, &env)?;
        Ok(Made::Yes)
    }

    async fn halt_node(&mut self, node: &str, still: bool) -> anyhow::Result<Made> {
        if self.pid_of(node).is_none() {
            return Ok(does_not_run(node));
        }
        self.cluster.node(node)?.signal(signal(still))?;
        Ok(Made::Yes)
    }

    async fn fallen(&mut self) -> anyhow::Result<Vec<String>> {
        self.cluster.fallen()
    }

    async fn set_clock(&mut self, node: &str, ahead_ms: i64) -> anyhow::Result<Made> {
        match self
            .clocks
            .get(node)
            .with_context(|| format!("no node {node}"))?
        {
            Ok(clock) => {
                clock.set(ahead_ms)?;
                Ok(Made::Yes)
            }
            Err(why) => Ok(Made::Cannot(why.clone())),
        }
    }

    async fn kill_member(&mut self, member: &str) -> anyhow::Result<Made> {
        let nth = self.nth_member(member)?;
        self.slowed.remove(member);
        self.cluster.members().kill(nth)?;
        Ok(Made::Yes)
    }

    async fn start_member(&mut self, member: &str) -> anyhow::Result<Made> {
        let nth = self.nth_member(member)?;
        self.cluster.members().revive(nth)?;
        Ok(Made::Yes)
    }

    async fn halt_member(&mut self, member: &str, still: bool) -> anyhow::Result<Made> {
        let nth = self.nth_member(member)?;
        let Some(process) = self.cluster.members_seen().process(nth) else {
            return Ok(does_not_run(member));
        };
        process.signal(signal(still))?;
        Ok(Made::Yes)
    }

    async fn slow_disk(&mut self, member: &str, by_ms: u64) -> anyhow::Result<Made> {
        if let Some(slowed) = self.slowed.remove(member) {
            slowed.detach().await?;
        }
        if by_ms == 0 {
            return Ok(Made::Yes);
        }
        let nth = self.nth_member(member)?;
        let Some(process) = self.cluster.members_seen().process(nth) else {
            return Ok(does_not_run(member));
        };
        let slowed = SlowDisk::attach(process.id(), Duration::from_millis(by_ms)).await?;
        Ok(match slowed {
            Got::Yes(slowed) => {
                self.slowed.insert(member.to_owned(), slowed);
                Made::Yes
            }
            Got::Cannot(why) => Made::Cannot(why),
        })
    }

    async fn fill_disk(&mut self, full: bool) -> anyhow::Result<(Made, String)> {
        let nth = self.cluster.members_seen().count() - 1;
        let name = members::name(nth);
        let disk = match &self.disk {
            Ok(disk) => disk,
            Err(why) => return Ok((Made::Cannot(why.clone()), name)),
        };
        if !full {
            disk.free()?;
            return Ok((Made::Yes, name));
        }
        disk.fill()?;
        let until = Instant::now() + FULL_WITHIN;
        let operator = Operator::new(self.endpoints(), Cluster::root());
        while !self.cluster.members().has_ended(nth)? {
            if Instant::now() > until {
                // It found room in what it had: then it goes on, as it should, and is killed to be started again on what it has.
                self.cluster.members().kill(nth)?;
            }
            // A database that has to grow needs pages.
            operator.writes(BALLAST_BYTES).await;
            sleep(LOOK_EVERY).await;
        }
        Ok((Made::Yes, name))
    }

    async fn cut(&mut self, cut: &Cut, broken: bool) -> anyhow::Result<Made> {
        self.set_way(cut, broken).await
    }
}

fn does_not_run(name: &str) -> Made {
    Made::NotNow(format!("{name} does not run"))
}

/// What a node's process finds in its environment for its clock to be set.
fn environment(clocks: &BTreeMap<String, Had<Clock>>, node: &str) -> Vec<(&'static str, OsString)> {
    match clocks.get(node) {
        Some(Ok(clock)) => clock.environment().to_vec(),
        Some(Err(_)) | None => Vec::new(),
    }
}

fn signal(still: bool) -> Signal {
    if still { Signal::STOP } else { Signal::CONT }
}
