//! The members of an etcd on disk, as processes of this machine: each can be killed, and started again on what it had.

use crate::cluster::url;
use crate::process::Process;
use anyhow::Context as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// 1 s for a member to say who leads.
const ASKED_WITHIN: Duration = Duration::from_secs(1);

/// One member, whether it runs or not.
struct Member {
    name: String,
    site: Site,
    /// Where clients and where other members reach it.
    ports: (u16, u16),
    process: Option<Process>,
}

/// Where a member is.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) host: Ipv4Addr,
    /// What puts its process into its network; empty for this machine's own.
    pub(crate) within: Vec<String>,
}

pub(crate) struct Members {
    /// The directory that holds `etcd`.
    etcd: PathBuf,
    dir: PathBuf,
    all: Vec<Member>,
    endpoints: Vec<String>,
}

impl Members {
    /// Starts one at each site, on a pair of ports.
    pub(crate) fn start(
        (etcd, dir): (&Path, &Path),
        sites: &[Site],
        ports: &[u16],
    ) -> anyhow::Result<Self> {
        let member = |(nth, (site, pair)): (usize, (&Site, &[u16]))| Member {
            name: name(nth),
            site: site.clone(),
            ports: (pair[0], pair[1]),
            process: None,
        };
        let all = sites.iter().zip(ports.chunks(2)).enumerate().map(member);
        let all: Vec<Member> = all.collect();
        let mut members = Self {
            etcd: etcd.to_owned(),
            dir: dir.to_owned(),
            endpoints: all
                .iter()
                .map(|one| url(one.site.host, one.ports.0))
                .collect(),
            all,
        };
        for nth in 0..members.all.len() {
            members.revive(nth)?;
        }
        Ok(members)
    }

    /// The addresses for clients, of all.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The processes that run.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.all.iter_mut().filter_map(|one| one.process.as_mut())
    }

    /// How many there are, whether they run or not.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// The name of one.
    pub(crate) fn name(&self, nth: usize) -> &str {
        &self.all[nth].name
    }

    /// Which of those that run leads, as it says itself.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for (nth, endpoint) in self.endpoints.iter().enumerate() {
            if self.all[nth].process.is_none() {
                continue;
            }
            let asked = tokio::time::timeout(ASKED_WITHIN, leads(endpoint)).await;
            if let Ok(Ok(true)) = asked {
                return Some(nth);
            }
        }
        None
    }

    /// Whether one has ended by itself; then it counts as dead.
    pub(crate) fn has_ended(&mut self, nth: usize) -> anyhow::Result<bool> {
        let Some(process) = &mut self.all[nth].process else {
            return Ok(true);
        };
        let ended = process.has_ended()?;
        if ended {
            self.all[nth].process = None;
        }
        Ok(ended)
    }

    /// Where a member's client port is.
    pub(crate) fn address(&self, nth: usize) -> SocketAddr {
        let member = &self.all[nth];
        SocketAddr::from((member.site.host, member.ports.0))
    }

    /// The process of one that runs.
    pub(crate) fn process(&self, nth: usize) -> Option<&Process> {
        self.all[nth].process.as_ref()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, nth: usize) -> anyhow::Result<()> {
        match self.all[nth].process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Starts one, on what it had.
    pub(crate) fn revive(&mut self, nth: usize) -> anyhow::Result<()> {
        let command = self.command(&self.all[nth]);
        let member = &mut self.all[nth];
        member.process = Some(Process::start(&member.name, command, &self.dir)?);
        Ok(())
    }

    fn command(&self, member: &Member) -> Command {
        let peer = |one: &Member| url(one.site.host, one.ports.1);
        let peers = self
            .all
            .iter()
            .map(|one| format!("{}={}", one.name, peer(one)));
        let peers: Vec<String> = peers.collect();
        let (clients, own) = (url(member.site.host, member.ports.0), peer(member));
        let mut command = within(&member.site.within, &self.etcd.join("etcd"));
        command
            .args(["--name", &member.name, "--data-dir"])
            .arg(self.dir.join(&member.name));
        command.args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ]);
        command.args([
            "--listen-peer-urls",
            &own,
            "--initial-advertise-peer-urls",
            &own,
        ]);
        command.args(["--initial-cluster", &peers.join(",")]);
        command.args(["--initial-cluster-state", "new", "--log-level", "error"]);
        command
    }
}

/// The name of a member, which is also that of its directory.
pub(crate) fn name(nth: usize) -> String {
    format!("e{}", nth + 1)
}

/// A program's command behind words that put it somewhere.
pub(crate) fn within(words: &[String], program: &Path) -> Command {
    match words.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    }
}

async fn leads(endpoint: &str) -> anyhow::Result<bool> {
    let mut client = etcd_client::Client::connect([endpoint], None).await?;
    let status = client.status().await?;
    let own = status
        .header()
        .context("an answer without a header")?
        .member_id();
    Ok(status.leader() == own)
}
