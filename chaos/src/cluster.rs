//! A cluster of processes on this machine: three etcd members and some Tenure nodes, on free loopback ports, in
//! directories of their own. It starts them, waits until they are ready, and ends them with the value.

use crate::http::Client;
use crate::members::{Members, within};
use crate::netns::Networks;
use crate::process::Process;
use crate::proxy::Proxy;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A majority of three survives one, and more members only make a demo slower.
const MEMBERS: usize = 3;
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
    /// Runs at a time on each node.
    pub(crate) slots: u32,
    pub(crate) token: String,
    /// Empty, and ours.
    pub(crate) dir: PathBuf,
    /// What nodes find in their environment besides.
    pub(crate) env: Vec<(&'static str, String)>,
}

/// Where a node listens, whether it runs or not.
struct Site {
    host: Ipv4Addr,
    port: u16,
    /// For its peers.
    peer: u16,
    /// Where its peers are told to find it, where that is not where it listens.
    proxy: Option<Proxy>,
    /// What puts it into its network; empty for this machine's own.
    within: Vec<String>,
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
}

impl Cluster {
    /// Starts everything on this machine's own network, and waits until every node says it is ready.
    pub(crate) async fn start(layout: &Layout) -> anyhow::Result<Self> {
        Self::start_in(layout, Ways::default()).await
    }

    /// The same, with what lies between the nodes.
    pub(crate) async fn start_in(layout: &Layout, ways: Ways) -> anyhow::Result<Self> {
        let Ways { networks, proxies } = ways;
        let ports = free_ports(2 * MEMBERS + 2 * layout.nodes)?;
        let (etcd_ports, node_ports) = ports.split_at(2 * MEMBERS);
        let (host, hub) = match &networks {
            Some(networks) => (networks.hub_address(), networks.words_for_hub()),
            None => (Ipv4Addr::LOCALHOST, Vec::new()),
        };
        let from = (layout.etcd.as_path(), layout.dir.as_path());
        let mut members = Members::start(from, host, hub, etcd_ports)?;
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
        let names: Vec<String> = cluster.sites.keys().cloned().collect();
        for name in &names {
            cluster.start_node(name)?;
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
        let site = self.site(name)?;
        let command = node_command(&self.layout, name, self.endpoints(), site)?;
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

pub(crate) fn url(host: Ipv4Addr, port: u16) -> String {
    format!("http://{host}:{port}")
}

/// Whether nodes can be told by which address their peers reach them.
pub(crate) fn speaks_of_peers(tenure: &Path) -> anyhow::Result<bool> {
    let said = Command::new(tenure).args(["server", "--help"]).output()?;
    Ok(String::from_utf8_lossy(&said.stdout).contains("--peer-advertise"))
}

/// Ports that were free a moment ago, all different, because all are held until the last is found.
pub(crate) fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(held
        .iter()
        .map(TcpListener::local_addr)
        .map(|addr| addr.map(|addr| addr.port()))
        .collect::<Result<_, _>>()?)
}

fn node_command(
    layout: &Layout,
    name: &str,
    endpoints: &[String],
    site: &Site,
) -> anyhow::Result<Command> {
    let data = layout.dir.join(name);
    std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let mut command = within(&site.within, &layout.tenure);
    command.arg("server").current_dir(&data);
    command
        .env("TENURE_ETCD_ENDPOINTS", endpoints.join(","))
        .env("TENURE_NODE_NAME", name)
        .env("TENURE_CLUSTER", NAME);
    command
        .env("TENURE_LISTEN", format!("{}:{}", site.host, site.port))
        .env("TENURE_ADVERTISE", url(site.host, site.port));
    command
        .env("TENURE_PEER_LISTEN", format!("{}:{}", site.host, site.peer))
        .env("TENURE_DATA_DIR", &data);
    if let Some(proxy) = &site.proxy {
        command.env("TENURE_PEER_ADVERTISE", proxy.address().to_string());
    }
    command
        .env("TENURE_SLOTS", layout.slots.to_string())
        .env("TENURE_ALLOW_COMMAND", "true");
    command.env("TENURE_TOKEN", &layout.token);
    command.envs(layout.env.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

/// A directory of ours, made anew and empty; its whole path.
pub(crate) fn emptied(dir: &Path) -> anyhow::Result<PathBuf> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    Ok(dir.canonicalize()?)
}

/// A token that nobody on this machine can guess.
pub(crate) fn new_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Waits until the address answers 200, as long as none of the processes ends meanwhile.
pub(crate) async fn answers(
    address: &str,
    processes: impl Iterator<Item = &mut Process>,
) -> anyhow::Result<()> {
    let mut processes: Vec<&mut Process> = processes.collect();
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()?;
    let until = Instant::now() + READY;
    loop {
        processes
            .iter_mut()
            .try_for_each(|one| one.ensure_alive())?;
        match http.get(address).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if Instant::now() > until => {
                anyhow::bail!("{address} still answers {}", answer.status())
            }
            Err(error) if Instant::now() > until => return Err(error.into()),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The binaries are there and can be run.
pub(crate) fn check_binaries(tenure: &Path, etcd: &Path) -> anyhow::Result<()> {
    for (binary, flag) in [
        (tenure.to_owned(), "--version"),
        (etcd.join("etcd"), "--version"),
    ] {
        let ran = Command::new(&binary)
            .arg(flag)
            .output()
            .with_context(|| binary.display().to_string())?;
        anyhow::ensure!(
            ran.status.success(),
            "{} {flag} ended with {}",
            binary.display(),
            ran.status
        );
    }
    Ok(())
}
