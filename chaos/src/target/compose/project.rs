//! The containers of one project of compose: made, found, kept in words, and removed. Which faults they meet is not known here.

use super::inspect::{self, Container};
use crate::cluster;
use crate::target::Made;
use crate::tools::{Ran, done, program, run};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The services of `docker-compose.yml`: three members, and at most three nodes.
pub(super) const MEMBERS: [&str; 3] = ["e1", "e2", "e3"];
pub(super) const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// The last number of the address of the first member and of the first node, as `chaos/compose.yml` has them.
const FIRST_MEMBER: u8 = 11;
const FIRST_NODE: u8 = 21;

/// 200 networks 10.214.0.0/24 to 10.214.199.0/24, chosen by the process id, so that two harnesses on one machine do not meet.
const NETWORKS: u32 = 200;
/// 20,000 to 31,999: ports below those that outgoing connections take for themselves (from 32,768 on), one of which could otherwise
/// take a port while its container is away.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// 7: the step of the search, whose start is by the process id.
const PORTS_STEP: u32 = 7;

/// 30 s for docker to do one thing to one container.
const DONE_WITHIN: Duration = Duration::from_secs(30);
/// 3 min to start all containers: nodes wait until members are healthy.
const UP_WITHIN: Duration = Duration::from_mins(3);
/// 90 s to remove all containers, each of which is killed after [`GRACE_SECS`].
const DOWN_WITHIN: Duration = Duration::from_secs(90);
/// 5 s between TERM and KILL when all is removed, by when nodes have handed back what they run.
const GRACE_SECS: &str = "5";

/// What is started, and from what.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The repository, whose `docker-compose.yml` and `chaos/compose.yml` are used.
    pub(crate) root: PathBuf,
    /// Where the logs of the containers are kept; made where it is missing.
    pub(crate) dir: PathBuf,
    /// What compose calls all of it. Whatever an earlier run left under this name is removed first.
    pub(crate) project: String,
    /// 1 to 3.
    pub(crate) nodes: u8,
    /// Runs at a time on each node.
    pub(crate) slots: u32,
    pub(crate) token: String,
    /// An image of the build before this one; none where there is none.
    pub(crate) previous: Option<String>,
}

impl Options {
    /// Whether nodes of the build before this one can be started.
    pub(super) fn has_previous(&self) -> Made {
        match &self.previous {
            Some(_) => Made::Yes,
            None => Made::Cannot(
                "no image of the build before this one is named: say --previous".to_owned(),
            ),
        }
    }
}

/// Which build a node is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    Present,
    Previous,
}

pub(super) struct Project {
    options: Options,
    /// `docker compose`, or `docker-compose`.
    tool: Vec<&'static str>,
    /// The first three numbers of all addresses.
    net: [u8; 3],
    /// For clients, of members and of nodes, in order.
    pub(super) member_ports: Vec<u16>,
    pub(super) node_ports: Vec<u16>,
    /// By service.
    ids: BTreeMap<String, String>,
}

impl Project {
    /// Finds out how it is to be started; starts nothing.
    ///
    /// # Errors
    /// There is no compose, docker does not answer, files are missing, or there are not so many nodes.
    pub(super) async fn of(options: Options) -> anyhow::Result<Self> {
        let most = NODES.len();
        let nodes = usize::from(options.nodes);
        anyhow::ensure!(
            (1..=most).contains(&nodes),
            "1 to {most} nodes, not {nodes}"
        );
        let tool = tool().await?;
        let root = options.root.canonicalize();
        let root = root.with_context(|| options.root.display().to_string())?;
        std::fs::create_dir_all(&options.dir).with_context(|| options.dir.display().to_string())?;
        let third = u8::try_from(std::process::id() % NETWORKS)?;
        let mut ports = free_ports(MEMBERS.len() + NODES.len())?;
        let node_ports = ports.split_off(MEMBERS.len());
        Ok(Self {
            options: Options { root, ..options },
            tool,
            net: [10, 214, third],
            member_ports: ports,
            node_ports,
            ids: BTreeMap::new(),
        })
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// The nodes that there are.
    pub(super) fn nodes(&self) -> &'static [&'static str] {
        &NODES[..usize::from(self.options.nodes)]
    }

    pub(super) fn node_at(&self, nth: usize) -> Ipv4Addr {
        self.at(FIRST_NODE, nth)
    }

    pub(super) fn member_at(&self, nth: usize) -> Ipv4Addr {
        self.at(FIRST_MEMBER, nth)
    }

    /// Where containers find this machine.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        self.at(1, 0)
    }

    fn at(&self, first: u8, nth: usize) -> Ipv4Addr {
        let [a, b, c] = self.net;
        let last = first + u8::try_from(nth).expect("containers are few");
        Ipv4Addr::new(a, b, c, last)
    }

    /// Starts all, made anew; does not wait until nodes are well. Where it fails, what was made is known all the same, for its logs.
    pub(super) async fn up(&mut self) -> anyhow::Result<()> {
        self.down().await?;
        let services = [&MEMBERS[..], self.nodes()].concat();
        let mut command = self.compose(Build::Present);
        command.args(["up", "-d", "--no-build"]).args(services);
        let upped = done(command, "", UP_WITHIN).await;
        let found = self.find().await;
        upped.and(found)
    }

    /// Makes the container of a node anew, from a build, and starts it. The other containers are left alone.
    pub(super) async fn renew(&mut self, node: &str, build: Build) -> anyhow::Result<()> {
        self.keep_log(node, self.id(node)?).await?;
        done(program(&["docker", "rm", self.id(node)?]), "", DONE_WITHIN).await?;
        let mut command = self.compose(build);
        command.args(["up", "-d", "--no-build", "--no-deps", node]);
        done(command, "", UP_WITHIN).await?;
        self.find().await
    }

    /// Removes all of it, data too.
    pub(super) async fn down(&self) -> anyhow::Result<()> {
        let mut command = self.compose(Build::Present);
        command.args([
            "down",
            "--volumes",
            "--remove-orphans",
            "--timeout",
            GRACE_SECS,
        ]);
        done(command, "", DOWN_WITHIN).await.map(drop)
    }

    /// Keeps what all containers said, each behind what an earlier one of its name said.
    ///
    /// # Errors
    /// One could not be kept; the others were tried all the same.
    pub(super) async fn keep_logs(&self) -> anyhow::Result<()> {
        let mut kept = Ok(());
        for (service, id) in &self.ids {
            kept = kept.and(self.keep_log(service, id).await);
        }
        kept
    }

    async fn keep_log(&self, service: &str, id: &str) -> anyhow::Result<()> {
        let path = self.options.dir.join(format!("{service}.log"));
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let file = file.with_context(|| path.display().to_string())?;
        let mut command = program(&["docker", "logs", "--timestamps", id]);
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        let ended = tokio::time::timeout(DONE_WITHIN, command.status()).await;
        let ended = ended.with_context(|| format!("docker logs of {service}: no end"))??;
        anyhow::ensure!(ended.success(), "docker logs of {service}: {ended}");
        Ok(())
    }

    /// The id of a service's container.
    pub(super) fn id(&self, service: &str) -> anyhow::Result<&str> {
        let id = self.ids.get(service);
        Ok(id.with_context(|| format!("there is no {service}"))?)
    }

    /// How all containers stand now, by service.
    pub(super) async fn look(&self) -> anyhow::Result<BTreeMap<String, Container>> {
        let ids = self.ids.values().map(String::as_str);
        inspected(ids).await
    }

    /// How one stands now.
    pub(super) async fn look_at(&self, service: &str) -> anyhow::Result<Container> {
        let id = self.id(service)?;
        let mut told = inspected([id].into_iter()).await?;
        told.remove(service)
            .with_context(|| format!("docker told of another container than {service}"))
    }

    /// Asks for the ids of all containers of this project.
    async fn find(&mut self) -> anyhow::Result<()> {
        let label = format!("label=com.docker.compose.project={}", self.options.project);
        let words = [
            "docker",
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            &label,
        ];
        let ids = done(program(&words), "", DONE_WITHIN).await?;
        let all = inspected(ids.lines()).await?;
        self.ids = all
            .into_iter()
            .map(|(service, one)| (service, one.id))
            .collect();
        Ok(())
    }

    fn compose(&self, build: Build) -> Command {
        let Options {
            root,
            project,
            slots,
            token,
            previous,
            ..
        } = &self.options;
        let mut command = program(&self.tool);
        command.arg("--project-directory").arg(root);
        command.args(["--project-name", project]);
        for file in ["docker-compose.yml", "chaos/compose.yml"] {
            command.arg("--file").arg(root.join(file));
        }
        let [a, b, c] = self.net;
        command
            .env("TENURE_CHAOS_NET", format!("{a}.{b}.{c}"))
            .env("TENURE_SLOTS", slots.to_string())
            .env("TENURE_TOKEN", token);
        for (stem, ports) in [
            ("TENURE_ETCD_PORT", &self.member_ports),
            ("TENURE_PORT", &self.node_ports),
        ] {
            let numbered = ports.iter().zip(1..);
            command.envs(numbered.map(|(port, nth)| (format!("{stem}_{nth}"), port.to_string())));
        }
        if let (Build::Previous, Some(image)) = (build, previous) {
            command.env("TENURE_IMAGE", image);
        }
        command
    }
}

/// Whichever compose this machine has, for a daemon that answers.
async fn tool() -> anyhow::Result<Vec<&'static str>> {
    let info = program(&["docker", "info", "--format", "{{.ServerVersion}}"]);
    done(info, "", DONE_WITHIN).await.context("no docker")?;
    for words in [&["docker", "compose"][..], &["docker-compose"]] {
        let mut command = program(words);
        command.arg("version");
        if let Ok(Ran::Done(_)) = run(command, "", DONE_WITHIN).await {
            return Ok(words.to_vec());
        }
    }
    anyhow::bail!("neither docker compose nor docker-compose is here")
}

async fn inspected(ids: impl Iterator<Item = &str>) -> anyhow::Result<BTreeMap<String, Container>> {
    let ids: Vec<&str> = ids.collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut command = program(&["docker", "inspect", "--type", "container"]);
    command.args(ids);
    inspect::containers(&done(command, "", DONE_WITHIN).await?)
}

/// One thing done to one container.
pub(super) async fn docker(words: &[&str]) -> anyhow::Result<()> {
    let mut command = program(&["docker"]);
    command.args(words);
    done(command, "", DONE_WITHIN).await.map(drop)
}

/// Ports of 127.0.0.1 that were free a moment ago.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let width = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id() * PORTS_STEP % width;
    let numbers = (0..width).map(|nth| (first + nth) % width);
    let ports = numbers.filter_map(|number| Some(PORTS.start + u16::try_from(number).ok()?));
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let found: Vec<u16> = ports.filter(free).take(count).collect();
    anyhow::ensure!(
        found.len() == count,
        "no {count} ports of {PORTS:?} are free"
    );
    Ok(found)
}

/// A port of this machine.
pub(super) fn url(port: u16) -> String {
    cluster::url(Ipv4Addr::LOCALHOST, port)
}

#[cfg(test)]
mod tests;
