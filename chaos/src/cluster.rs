//! A cluster of processes on this machine: three etcd members and some Tenure nodes, on free loopback ports, in
//! directories of their own. It starts them, waits until they are ready, and ends them with the value.

use crate::http::Client;
use crate::process::Process;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
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
}

pub(crate) struct Cluster {
    layout: Layout,
    members: Vec<Process>,
    endpoints: Vec<String>,
    nodes: Vec<Process>,
    /// Where each node listens, whether it runs or not: for the API and for its peers.
    ports: BTreeMap<String, (u16, u16)>,
    client: Arc<Client>,
}

impl Cluster {
    /// Starts everything and waits until every node says it is ready.
    pub(crate) async fn start(layout: &Layout) -> anyhow::Result<Self> {
        let ports = free_ports(2 * MEMBERS + 2 * layout.nodes)?;
        let (etcd_ports, node_ports) = ports.split_at(2 * MEMBERS);
        let mut members = start_members(layout, etcd_ports)?;
        let endpoints: Vec<String> = etcd_ports.chunks(2).map(|pair| url(pair[0])).collect();
        for endpoint in &endpoints {
            answers(&format!("{endpoint}/health"), &mut members)
                .await
                .context("etcd is not ready")?;
        }
        let names = (1..).map(|number| format!("n{number}"));
        let pairs = node_ports.chunks(2).map(|pair| (pair[0], pair[1]));
        let ports: BTreeMap<String, (u16, u16)> = names.zip(pairs).collect();
        let bases = ports.values().map(|(port, _)| url(*port)).collect();
        let mut cluster = Self {
            layout: layout.clone(),
            members,
            endpoints,
            nodes: Vec::new(),
            client: Arc::new(Client::new(bases, &layout.token)?),
            ports,
        };
        let names: Vec<String> = cluster.ports.keys().cloned().collect();
        for name in &names {
            cluster.start_node(name)?;
        }
        for name in &names {
            cluster.is_ready(name).await?;
        }
        Ok(cluster)
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
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
        let ports = *self
            .ports
            .get(name)
            .with_context(|| format!("no node {name}"))?;
        let command = node_command(&self.layout, name, &self.endpoints.join(","), ports)?;
        let process = Process::start(name, command, &self.layout.dir)?;
        self.nodes.push(process);
        Ok(())
    }

    /// Waits until a node says it is ready.
    pub(crate) async fn is_ready(&mut self, name: &str) -> anyhow::Result<()> {
        let (port, _) = *self
            .ports
            .get(name)
            .with_context(|| format!("no node {name}"))?;
        answers(&format!("{}/readyz", url(port)), &mut self.nodes)
            .await
            .with_context(|| format!("node {name} is not ready"))
    }

    /// The addresses of etcd's members.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// What all keys begin with, as whoever watches etcd finds them there; the product is not asked.
    pub(crate) fn root() -> String {
        ["", "tenure", NAME, ""].join("/")
    }

    /// # Errors
    /// When a process that nobody killed has ended.
    pub(crate) fn ensure_alive(&mut self) -> anyhow::Result<()> {
        self.members
            .iter_mut()
            .chain(&mut self.nodes)
            .try_for_each(Process::ensure_alive)
    }
}

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
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

fn start_members(layout: &Layout, ports: &[u16]) -> anyhow::Result<Vec<Process>> {
    let peers: Vec<String> = ports
        .chunks(2)
        .enumerate()
        .map(|(index, pair)| format!("e{}={}", index + 1, url(pair[1])))
        .collect();
    let mut members = Vec::new();
    for (index, pair) in ports.chunks(2).enumerate() {
        let name = format!("e{}", index + 1);
        let (clients, peer) = (url(pair[0]), url(pair[1]));
        let mut command = Command::new(layout.etcd.join("etcd"));
        command
            .args(["--name", &name, "--data-dir"])
            .arg(layout.dir.join(&name));
        command.args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ]);
        command.args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ]);
        command.args([
            "--initial-cluster",
            &peers.join(","),
            "--initial-cluster-state",
            "new",
            "--log-level",
            "error",
        ]);
        members.push(Process::start(&name, command, &layout.dir)?);
    }
    Ok(members)
}

fn node_command(
    layout: &Layout,
    name: &str,
    endpoints: &str,
    (port, peer): (u16, u16),
) -> anyhow::Result<Command> {
    let data = layout.dir.join(name);
    std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let mut command = Command::new(&layout.tenure);
    command.arg("server").current_dir(&data);
    command
        .env("TENURE_ETCD_ENDPOINTS", endpoints)
        .env("TENURE_NODE_NAME", name)
        .env("TENURE_CLUSTER", NAME);
    command
        .env("TENURE_LISTEN", format!("127.0.0.1:{port}"))
        .env("TENURE_ADVERTISE", url(port));
    command
        .env("TENURE_PEER_LISTEN", format!("127.0.0.1:{peer}"))
        .env("TENURE_DATA_DIR", &data);
    command
        .env("TENURE_SLOTS", layout.slots.to_string())
        .env("TENURE_ALLOW_COMMAND", "true");
    command.env("TENURE_TOKEN", &layout.token);
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
pub(crate) async fn answers(address: &str, processes: &mut [Process]) -> anyhow::Result<()> {
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()?;
    let until = Instant::now() + READY;
    loop {
        processes.iter_mut().try_for_each(Process::ensure_alive)?;
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
