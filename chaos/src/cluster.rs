//! A cluster of processes on this machine: three etcd members and some Tenure nodes, on free loopback ports, in
//! directories of their own. It starts them, waits until they are ready, and ends them with the value.

mod machine;
mod node;

use crate::http::Client;
use crate::members::{self, Members};
use crate::netns::Networks;
use crate::process::Process;
use crate::proxy::Proxy;
use anyhow::Context as _;
pub(crate) use machine::{
    answers, check_binaries, emptied, free_ports, new_token, speaks_of_peers, url,
};
use node::Site;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A majority of three survives one, and more members only make a demo slower.
pub(crate) const MEMBERS: usize = 3;
/// The name of every cluster that is started here.
const NAME: &str = "demo";
/// Bound on becoming ready, for etcd and for the nodes each.
const READY: Duration = Duration::from_mins(1);

/// What is started, from which binaries.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) tenure: PathBuf,
    /// The directory that holds `etcd`.
    pub(crate) etcd: PathBuf,
    pub(crate) nodes: usize,
    /// Members of etcd.
    pub(crate) members: usize,
    /// Runs at a time on each node.
    pub(crate) slots: u32,
    pub(crate) token: String,
    /// Empty, and ours.
    pub(crate) dir: PathBuf,
    /// What nodes find in their environment besides.
    pub(crate) env: Vec<(String, String)>,
}

pub(crate) struct Cluster {
    layout: Layout,
    members: Members,
    nodes: Vec<Process>,
    sites: BTreeMap<String, Site>,
    client: Arc<Client>,
    // The last to go: what runs in it has to be gone before.
    networks: Option<Networks>,
}

/// What lies between the nodes of a cluster.
#[derive(Default)]
pub(crate) struct Ways {
    /// A network for each, that can be cut off.
    pub(crate) networks: Option<Networks>,
    /// A proxy before each node's peer address. It takes connections also while its node is dead, so that nothing refuses them: crashes
    /// are noticed by leases then.
    pub(crate) proxies: bool,
    /// A proxy between each node and each member of etcd.
    pub(crate) store: bool,
    /// Whether members have networks as well, each its own.
    pub(crate) members: bool,
}

impl Cluster {
    /// Starts everything on this machine's own network, and waits until every node says it is ready.
    pub(crate) async fn start(layout: &Layout) -> anyhow::Result<Self> {
        Self::start_in(layout, Ways::default()).await
    }

    /// The same, with what lies between the nodes.
    pub(crate) async fn start_in(layout: &Layout, ways: Ways) -> anyhow::Result<Self> {
        Self::start_with(layout, ways, &|_| Vec::new()).await
    }

    /// The same, with what each node finds in its environment besides.
    pub(crate) async fn start_with(
        layout: &Layout,
        ways: Ways,
        env: &dyn Fn(&str) -> Vec<(&'static str, OsString)>,
    ) -> anyhow::Result<Self> {
        let own_networks = ways.members;
        let Ways {
            networks,
            proxies,
            store,
            ..
        } = ways;
        let ports = free_ports(2 * layout.members + 2 * layout.nodes)?;
        let (etcd_ports, node_ports) = ports.split_at(2 * layout.members);
        let member_site = |nth| {
            let (host, within) = match &networks {
                Some(networks) if own_networks => {
                    (networks.member_address(nth), networks.words_for_member(nth))
                }
                Some(networks) => (networks.hub_address(), networks.words_for_hub()),
                None => (Ipv4Addr::LOCALHOST, Vec::new()),
            };
            members::Site { host, within }
        };
        let member_sites: Vec<_> = (0..layout.members).map(member_site).collect();
        let from = (layout.etcd.as_path(), layout.dir.as_path());
        let mut members = Members::start(from, &member_sites, etcd_ports)?;
        for endpoint in members.endpoints().to_vec() {
            answers(&format!("{endpoint}/health"), members.processes())
                .await
                .context("etcd is not ready")?;
        }
        let site = |(nth, pair): (usize, &[u16])| {
            let (host, within) = match &networks {
                Some(networks) => (networks.node_address(nth), networks.words_for_node(nth)),
                None => (Ipv4Addr::LOCALHOST, Vec::new()),
            };
            let (port, peer) = (pair[0], pair[1]);
            let site = Site {
                host,
                port,
                peer,
                proxy: None,
                store: Vec::new(),
                within,
            };
            (format!("n{}", nth + 1), site)
        };
        let sites: BTreeMap<String, Site> = node_ports.chunks(2).enumerate().map(site).collect();
        let bases = sites.values().map(|site| url(site.host, site.port));
        let mut cluster = Self {
            layout: layout.clone(),
            members,
            nodes: Vec::new(),
            client: Arc::new(Client::new(bases.collect(), &layout.token)?),
            sites,
            networks,
        };
        if proxies {
            cluster.stand_between().await?;
        }
        if store {
            cluster.stand_before_etcd().await?;
        }
        let names: Vec<String> = cluster.sites.keys().cloned().collect();
        for name in &names {
            cluster.start_node_of(name, None, &env(name))?;
        }
        for name in &names {
            cluster.is_ready(name).await?;
        }
        Ok(cluster)
    }

    /// A proxy before each node's peer address.
    async fn stand_between(&mut self) -> anyhow::Result<()> {
        let own = match &self.networks {
            Some(networks) => networks.own_address(),
            None => Ipv4Addr::LOCALHOST,
        };
        for site in self.sites.values_mut() {
            let to = SocketAddr::from((site.host, site.peer));
            site.proxy = Some(Proxy::start(own, to).await?);
        }
        Ok(())
    }

    /// A proxy between each node and each member.
    async fn stand_before_etcd(&mut self) -> anyhow::Result<()> {
        let own = match &self.networks {
            Some(networks) => networks.proxy_address(),
            None => Ipv4Addr::LOCALHOST,
        };
        for site in self.sites.values_mut() {
            for nth in 0..self.members.count() {
                let to = self.members.address(nth);
                site.store.push(Proxy::start(own, to).await?);
            }
        }
        Ok(())
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// A client of its own that goes to the node of this number first, and round the others from there.
    pub(crate) fn client_from(&self, number: usize, call: Duration) -> anyhow::Result<Client> {
        let bases = self.sites.values().map(|site| url(site.host, site.port));
        let mut bases: Vec<String> = bases.collect();
        let length = bases.len().max(1);
        bases.rotate_left(number % length);
        Client::within(bases, &self.layout.token, call)
    }

    /// The names of the nodes that still run.
    pub(crate) fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(Process::name)
    }

    /// The process id of a node that still runs.
    pub(crate) fn pid_of(&self, name: &str) -> Option<u32> {
        self.nodes
            .iter()
            .find(|node| node.name() == name)
            .map(Process::id)
    }

    /// kill -9 of a node, which is then no part of the cluster any more.
    pub(crate) fn kill_node(&mut self, name: &str) -> anyhow::Result<()> {
        let at = self
            .nodes
            .iter()
            .position(|node| node.name() == name)
            .with_context(|| format!("no node {name}"))?;
        self.nodes.remove(at).kill()
    }

    /// Starts a node's process, a new one under a name that had one before.
    pub(crate) fn start_node(&mut self, name: &str) -> anyhow::Result<()> {
        self.start_node_of(name, None, &[])
    }

    /// The same, of another build, and with more in its environment.
    pub(crate) fn start_node_of(
        &mut self,
        name: &str,
        build: Option<&Path>,
        env: &[(&'static str, OsString)],
    ) -> anyhow::Result<()> {
        let site = self.site(name)?;
        let build = build.unwrap_or(&self.layout.tenure);
        let mut command = node::command(&self.layout, build, name, self.endpoints(), site)?;
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let process = Process::start(name, command, &self.layout.dir)?;
        self.nodes.push(process);
        Ok(())
    }

    /// Waits until a node says it is ready.
    pub(crate) async fn is_ready(&mut self, name: &str) -> anyhow::Result<()> {
        let ready = format!("{}/readyz", self.address(name)?);
        answers(&ready, self.nodes.iter_mut())
            .await
            .with_context(|| format!("node {name} is not ready"))
    }

    /// Whether a node says now that it is ready.
    pub(crate) async fn answers_ready(&self, name: &str) -> bool {
        let Ok(address) = self.address(name) else {
            return false;
        };
        self.client.says_yes(&format!("{address}/readyz")).await
    }

    /// A node's process that runs.
    pub(crate) fn node(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        let mut nodes = self.nodes.iter_mut();
        nodes
            .find(|node| node.name() == name)
            .with_context(|| format!("no node {name}"))
    }

    /// A node that was told to end has ended, and is no part of the cluster any more.
    pub(crate) fn forget_node(&mut self, name: &str) {
        self.nodes.retain(|node| node.name() != name);
    }

    /// The names of nodes that ended by themselves; they are no part of the cluster any more.
    pub(crate) fn fallen(&mut self) -> anyhow::Result<Vec<String>> {
        let mut fallen = Vec::new();
        for node in &mut self.nodes {
            if node.has_ended()? {
                fallen.push(node.name().to_owned());
            }
        }
        self.nodes
            .retain(|node| !fallen.contains(&node.name().to_owned()));
        Ok(fallen)
    }

    /// Where a node's API is.
    pub(crate) fn address(&self, name: &str) -> anyhow::Result<String> {
        let site = self.site(name)?;
        Ok(url(site.host, site.port))
    }

    /// The way of a node's peers to it, where they go through something that can be cut.
    pub(crate) fn way_to(&mut self, name: &str) -> Option<&mut Proxy> {
        self.sites.get_mut(name)?.proxy.as_mut()
    }

    /// The networks of the nodes and where a node is in them, where they have such.
    pub(crate) fn network_of(&self, name: &str) -> Option<(&Networks, usize)> {
        let nth = self.sites.keys().position(|one| one == name)?;
        Some((self.networks.as_ref()?, nth))
    }

    /// A node's ways to etcd's members, where they go through something that can be broken.
    pub(crate) fn ways_to_etcd(&mut self, name: &str) -> anyhow::Result<&mut [Proxy]> {
        let site = self.sites.get_mut(name);
        Ok(&mut site.with_context(|| format!("no node {name}"))?.store)
    }

    /// All nodes, whether they run or not.
    pub(crate) fn all_names(&self) -> Vec<String> {
        self.sites.keys().cloned().collect()
    }

    /// The networks of the nodes, where they have such.
    pub(crate) fn networks(&self) -> Option<&Networks> {
        self.networks.as_ref()
    }

    /// etcd's members, to look at.
    pub(crate) fn members_seen(&self) -> &Members {
        &self.members
    }

    /// etcd's members.
    pub(crate) fn members(&mut self) -> &mut Members {
        &mut self.members
    }

    fn site(&self, name: &str) -> anyhow::Result<&Site> {
        let site = self.sites.get(name);
        site.with_context(|| format!("no node {name}"))
    }

    /// The addresses of etcd's members.
    pub(crate) fn endpoints(&self) -> &[String] {
        self.members.endpoints()
    }

    /// What all keys begin with, as whoever watches etcd finds them there; the product is not asked.
    pub(crate) fn root() -> String {
        ["", "tenure", NAME, ""].join("/")
    }

    /// # Errors
    /// When a process that nobody killed has ended.
    pub(crate) fn ensure_alive(&mut self) -> anyhow::Result<()> {
        let members = self.members.processes();
        members
            .chain(&mut self.nodes)
            .try_for_each(Process::ensure_alive)
    }
}
