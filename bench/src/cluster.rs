//! A cluster of processes on this machine: members of etcd on the disk and as many Tenure nodes, on free loopback ports, in a
//! directory of their own. It starts them, waits until they are ready, and ends them with the value.

use crate::http::{Connection, request};
use crate::process::{Memory, Process};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Bound on becoming ready, for each process; and on ending after TERM.
const READY: Duration = Duration::from_mins(1);
/// 8 GiB, etcd's largest recommended quota (etcd.io/docs, system limits): a million tasks must not reach the brake.
const QUOTA_BYTES: &str = "8589934592";

/// What is started, from which binaries.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) tenure: PathBuf,
    /// The directory that holds `etcd`.
    pub(crate) etcd: PathBuf,
    /// Members of etcd, and as many nodes.
    pub(crate) members: usize,
    /// Runs at a time on each node; the server's default where none.
    pub(crate) slots: Option<u32>,
    /// Empty, and ours.
    pub(crate) dir: PathBuf,
}

pub(crate) struct Cluster {
    layout: Layout,
    token: String,
    // Nodes go before the etcd that they need.
    nodes: Vec<Process>,
    addresses: Vec<SocketAddr>,
    members: Vec<Process>,
    endpoints: String,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) node: String,
    pub(crate) term: i64,
}

impl Cluster {
    /// Starts everything and waits until every node says it is ready and one leads.
    pub(crate) async fn start(layout: Layout) -> anyhow::Result<Self> {
        let count = layout.members;
        let ports = free_ports(3 * count)?;
        let (etcd_ports, node_ports) = ports.split_at(2 * count);
        let mut members = start_members(&layout, etcd_ports)?;
        for pair in etcd_ports.chunks(2) {
            answers(pair[0], "/health", &mut members).await?;
        }
        let endpoints: Vec<String> = etcd_ports.chunks(2).map(|pair| url(pair[0])).collect();
        let mut cluster = Self {
            layout,
            token: "bench-only-on-loopback-0123456789".to_owned(),
            nodes: Vec::new(),
            addresses: node_ports
                .iter()
                .map(|port| (Ipv4Addr::LOCALHOST, *port).into())
                .collect(),
            members,
            endpoints: endpoints.join(","),
        };
        cluster.start_nodes().await?;
        Ok(cluster)
    }

    /// Ends all nodes in order and starts new ones on the same etcd.
    pub(crate) async fn restart_nodes(&mut self) -> anyhow::Result<()> {
        self.nodes.iter().try_for_each(Process::ask_to_end)?;
        for node in &mut self.nodes {
            node.ended(READY).await?;
        }
        self.nodes.clear();
        self.start_nodes().await
    }

    async fn start_nodes(&mut self) -> anyhow::Result<()> {
        for (index, address) in self.addresses.iter().enumerate() {
            let name = format!("n{}", index + 1);
            let command = self.node_command(&name, *address)?;
            self.nodes
                .push(Process::start(&name, command, &self.layout.dir)?);
        }
        for address in &self.addresses {
            answers(address.port(), "/readyz", &mut self.nodes).await?;
        }
        let until = Instant::now() + READY;
        while self.leader().await?.is_none() {
            anyhow::ensure!(Instant::now() < until, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn node_command(&self, name: &str, address: SocketAddr) -> anyhow::Result<Command> {
        let data = self.layout.dir.join(name);
        std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
        let mut command = Command::new(&self.layout.tenure);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TENURE_") {
                command.env_remove(variable);
            }
        }
        command.arg("server").current_dir(&data);
        command
            .env("TENURE_ETCD_ENDPOINTS", &self.endpoints)
            .env("TENURE_ETCD_QUOTA", QUOTA_BYTES)
            .env("TENURE_NODE_NAME", name)
            .env("TENURE_CLUSTER", "bench")
            .env("TENURE_LISTEN", address.to_string())
            .env("TENURE_ADVERTISE", format!("http://{address}"))
            .env("TENURE_DATA_DIR", &data)
            .env("TENURE_TOKEN", &self.token);
        if let Some(slots) = self.layout.slots {
            command.env("TENURE_SLOTS", slots.to_string());
        }
        Ok(command)
    }

    /// Where the nodes' APIs are.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What requests are sent with.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The bytes of a request to any node.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        request(method, path, &self.token, body)
    }

    /// A read from the first node.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.request("GET", path, "");
        self.ask(&request, 200)
            .await
            .with_context(|| path.to_owned())
    }

    /// Declares a semaphore with this limit, or sets its limit.
    pub(crate) async fn set_semaphore(&self, name: &str, limit: u32) -> anyhow::Result<()> {
        let body = json!({ "limit": limit }).to_string();
        let request = self.request("PUT", &format!("/v1/semaphores/{name}"), &body);
        self.ask(&request, 200)
            .await
            .with_context(|| name.to_owned())?;
        Ok(())
    }

    /// Submits one task; its id.
    pub(crate) async fn submit_one(&self, task: &Value) -> anyhow::Result<String> {
        let request = self.request("POST", "/v1/tasks", &task.to_string());
        let answer = self.ask(&request, 201).await?;
        Ok(answer["id"].as_str().context("no id")?.to_owned())
    }

    /// What the first node answers with this status.
    async fn ask(&self, request: &[u8], status: u16) -> anyhow::Result<Value> {
        let mut connection = Connection::open(self.addresses[0]).await?;
        let answer = connection.exchange(request).await?;
        answer.expect(status)?;
        answer.json()
    }

    /// Who leads; none where nobody does.
    pub(crate) async fn leader(&self) -> anyhow::Result<Option<Leader>> {
        let mut connection = Connection::open(self.addresses[0]).await?;
        let request = self.request("GET", "/v1/leader", "");
        leader_in(connection.exchange(&request).await?)
    }

    /// The process of the node of this name.
    pub(crate) fn node(&self, name: &str) -> anyhow::Result<&Process> {
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.with_context(|| format!("no node {name}"))
    }

    /// The address of the node of this name.
    pub(crate) fn address_of(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let at = self.nodes.iter().position(|node| node.name() == name);
        Ok(self.addresses[at.with_context(|| format!("no node {name}"))?])
    }

    /// Each node's name and size.
    pub(crate) fn memory(&self) -> anyhow::Result<Vec<(String, Memory)>> {
        self.nodes
            .iter()
            .map(|node| Ok((node.name().to_owned(), node.memory()?)))
            .collect()
    }

    /// # Errors
    /// When a process has ended by itself.
    pub(crate) fn ensure_alive(&mut self) -> anyhow::Result<()> {
        self.members
            .iter_mut()
            .chain(&mut self.nodes)
            .try_for_each(Process::ensure_alive)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        self.members.clear();
        // The logs stay, the data of a million tasks need not.
        for index in 1..=self.layout.members {
            let _gone = std::fs::remove_dir_all(self.layout.dir.join(format!("e{index}")));
        }
    }
}

/// Who leads, by this answer to `GET /v1/leader`; none where it says that nobody does.
pub(crate) fn leader_in(answer: crate::http::Answer<'_>) -> anyhow::Result<Option<Leader>> {
    if answer.status == 503 {
        return Ok(None);
    }
    answer.expect(200)?;
    let value = answer.json()?;
    Ok(Some(Leader {
        node: value["node"]
            .as_str()
            .context("a leader without a name")?
            .to_owned(),
        term: value["term"].as_i64().context("a leader without a term")?,
    }))
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Ports that were free a moment ago, all different, because all are held until the last is found.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        held.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

fn start_members(layout: &Layout, ports: &[u16]) -> anyhow::Result<Vec<Process>> {
    let names: Vec<String> = (1..=layout.members)
        .map(|index| format!("e{index}"))
        .collect();
    let pairs = || names.iter().zip(ports.chunks(2));
    let peers: Vec<String> = pairs()
        .map(|(name, pair)| format!("{name}={}", url(pair[1])))
        .collect();
    let mut members = Vec::new();
    for (name, pair) in pairs() {
        let command = member_command(layout, name, &peers.join(","), (pair[0], pair[1]));
        members.push(Process::start(name, command, &layout.dir)?);
    }
    Ok(members)
}

fn member_command(layout: &Layout, name: &str, peers: &str, ports: (u16, u16)) -> Command {
    let (clients, peer) = (url(ports.0), url(ports.1));
    let mut command = Command::new(layout.etcd.join("etcd"));
    command.arg("--data-dir").arg(layout.dir.join(name));
    for (flag, value) in [
        ("--name", name),
        ("--listen-client-urls", &clients),
        ("--advertise-client-urls", &clients),
        ("--listen-peer-urls", &peer),
        ("--initial-advertise-peer-urls", &peer),
        ("--initial-cluster", peers),
        ("--initial-cluster-state", "new"),
        ("--quota-backend-bytes", QUOTA_BYTES),
        ("--log-level", "error"),
    ] {
        command.args([flag, value]);
    }
    command
}

/// Waits until the path answers 200, as long as none of the processes ends meanwhile.
async fn answers(port: u16, path: &str, processes: &mut [Process]) -> anyhow::Result<()> {
    let until = Instant::now() + READY;
    let request = request("GET", path, "", "");
    loop {
        processes.iter_mut().try_for_each(Process::ensure_alive)?;
        let said = match ask((Ipv4Addr::LOCALHOST, port).into(), &request).await {
            Ok(200) => return Ok(()),
            Ok(status) => status.to_string(),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(Instant::now() < until, "{}{path}: still {said}", url(port));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(address: SocketAddr, request: &[u8]) -> anyhow::Result<u16> {
    let mut connection = Connection::open(address).await?;
    Ok(connection.exchange(request).await?.status)
}

/// Makes a directory anew.
pub(crate) fn fresh(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())
}
