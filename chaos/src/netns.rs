//! Networks of their own: each node in a namespace of the kernel's, and each member of etcd where that is asked for, all joined by one
//! bridge in another namespace, in which the other members run. One is cut off by taking its end of the bridge down: its packets go
//! nowhere, as with a cable that is pulled.
//!
//! What a firewall of this machine does to bridges, as docker's does, does not reach that bridge: rules are a namespace's own.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

/// 200 networks 10.213.0.0/24 to 10.213.199.0/24, chosen by the process id, so that two tests on one machine do not meet.
const NETWORKS: u32 = 200;
/// Nodes are at 10 and up, members at 100 and up, this machine at 253 and 254.
const NODES_FROM: u8 = 10;
const MEMBERS_FROM: u8 = 100;
/// What names begin with, before the process id of who made them.
const STEM: &str = "tn";
/// 90 of each at most, so that their addresses do not meet.
const EACH_MAX: usize = 90;

pub(crate) struct Networks {
    /// What all names begin with; an interface's has 15 bytes at most.
    stem: String,
    third: u8,
    nodes: usize,
    members: usize,
}

impl Networks {
    /// Makes them for so many nodes.
    ///
    /// # Errors
    /// Where that is not permitted, or `ip` is missing. Nothing is left behind then.
    pub(crate) fn make(nodes: usize) -> anyhow::Result<Self> {
        Self::with_members(nodes, 0)
    }

    /// The same, and for so many members of etcd one each.
    ///
    /// # Errors
    /// As `make`, and where they are more than 90 of one kind.
    pub(crate) fn with_members(nodes: usize, members: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(
            nodes.max(members) <= EACH_MAX,
            "{} networks of one kind are too many",
            nodes.max(members)
        );
        sweep();
        let own = std::process::id();
        let networks = Self {
            stem: format!("{STEM}{own}"),
            third: u8::try_from(own % NETWORKS)?,
            nodes,
            members,
        };
        networks.hub()?;
        for nth in 0..nodes {
            networks.join(
                &networks.node_name(nth),
                &port(nth),
                networks.node_address(nth),
            )?;
        }
        for nth in 0..members {
            let (name, port) = (networks.member_name(nth), member_port(nth));
            networks.join(&name, &port, networks.member_address(nth))?;
        }
        Ok(networks)
    }

    /// Where etcd listens.
    pub(crate) fn hub_address(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// Where a node listens.
    pub(crate) fn node_address(&self, nth: usize) -> Ipv4Addr {
        self.address(NODES_FROM + u8::try_from(nth).expect("nodes are few"))
    }

    /// Where a member of etcd listens that has a network of its own.
    pub(crate) fn member_address(&self, nth: usize) -> Ipv4Addr {
        self.address(MEMBERS_FROM + u8::try_from(nth).expect("members are few"))
    }

    /// Where this machine itself is found.
    pub(crate) fn own_address(&self) -> Ipv4Addr {
        self.address(254)
    }

    /// Where this machine itself is found too, for what stands between the nodes and etcd: a cut can tell it from all else.
    pub(crate) fn proxy_address(&self) -> Ipv4Addr {
        self.address(253)
    }

    /// What puts a program into etcd's network.
    pub(crate) fn words_for_hub(&self) -> Vec<String> {
        into(&self.hub_name())
    }

    /// What puts a program into a node's network.
    pub(crate) fn words_for_node(&self, nth: usize) -> Vec<String> {
        into(&self.node_name(nth))
    }

    /// What puts a program into a member's network.
    pub(crate) fn words_for_member(&self, nth: usize) -> Vec<String> {
        into(&self.member_name(nth))
    }

    /// Cuts a node off, or lets it back.
    pub(crate) fn set(&self, nth: usize, reachable: bool) -> anyhow::Result<()> {
        self.set_port(&port(nth), reachable)
    }

    /// Cuts a member off that has a network of its own, or lets it back.
    pub(crate) fn set_member(&self, nth: usize, reachable: bool) -> anyhow::Result<()> {
        self.set_port(&member_port(nth), reachable)
    }

    fn set_port(&self, port: &str, reachable: bool) -> anyhow::Result<()> {
        let state = if reachable { "up" } else { "down" };
        ip(&format!("-n {} link set {port} {state}", self.hub_name()))
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.third, last)
    }

    fn hub_name(&self) -> String {
        format!("{}h", self.stem)
    }

    fn root_name(&self) -> String {
        format!("{}r", self.stem)
    }

    fn node_name(&self, nth: usize) -> String {
        format!("{}n{nth}", self.stem)
    }

    fn member_name(&self, nth: usize) -> String {
        format!("{}m{nth}", self.stem)
    }

    /// The bridge in its namespace, and this machine's own way to it.
    fn hub(&self) -> anyhow::Result<()> {
        let (hub, root) = (self.hub_name(), self.root_name());
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add br0 type bridge"))?;
        ip(&format!(
            "-n {hub} addr add {}/24 dev br0",
            self.hub_address()
        ))?;
        ip(&format!("-n {hub} link set br0 up"))?;
        ip(&format!("-n {hub} link set lo up"))?;
        ip(&format!(
            "link add {root} type veth peer name root0 netns {hub}"
        ))?;
        ip(&format!("-n {hub} link set root0 master br0 up"))?;
        for own in [self.own_address(), self.proxy_address()] {
            ip(&format!("addr add {own}/24 dev {root}"))?;
        }
        ip(&format!("link set {root} up"))
    }

    fn join(&self, name: &str, port: &str, address: Ipv4Addr) -> anyhow::Result<()> {
        let hub = self.hub_name();
        ip(&format!("netns add {name}"))?;
        ip(&format!(
            "-n {name} link add eth0 type veth peer name {port} netns {hub}"
        ))?;
        ip(&format!("-n {hub} link set {port} master br0 up"))?;
        ip(&format!("-n {name} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} link set eth0 up"))
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        // What was not made is not there to be removed. The other interfaces go with their namespaces, some time later.
        let _gone = ip(&format!("link del {}", self.root_name()));
        let nodes = (0..self.nodes).map(|nth| self.node_name(nth));
        let members = (0..self.members).map(|nth| self.member_name(nth));
        for name in nodes.chain(members).chain([self.hub_name()]) {
            let _gone = ip(&format!("netns del {name}"));
        }
    }
}

/// Takes down what programs like this one left that were killed before they could, and ends what runs there. As far as that goes: what
/// stays does no harm to those that come.
fn sweep() {
    let Ok(listed) = Command::new("ip").args(["netns", "list"]).output() else {
        return;
    };
    for name in orphans(&String::from_utf8_lossy(&listed.stdout), is_there) {
        let within = Command::new("ip").args(["netns", "pids", &name]).output();
        let within = within.map(|ran| ran.stdout).unwrap_or_default();
        for id in String::from_utf8_lossy(&within).split_whitespace() {
            let id = id.parse().ok().and_then(Pid::from_raw);
            let _gone = id.map(|id| kill_process(id, Signal::KILL));
        }
        let _gone = ip(&format!("netns del {name}"));
    }
}

/// Of a list of namespaces, a name at the begin of each line, those of programs like this one that are not there any more.
fn orphans(listed: &str, is_there: impl Fn(u32) -> bool) -> Vec<String> {
    let names = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let orphaned = names.filter(|name| {
        let rest = name.strip_prefix(STEM).unwrap_or_default();
        let digits = rest.find(|letter: char| !letter.is_ascii_digit());
        let id = digits.and_then(|end| rest[..end].parse().ok());
        id.is_some_and(|id| !is_there(id))
    });
    orphaned.map(str::to_owned).collect()
}

fn is_there(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

fn port(nth: usize) -> String {
    format!("v{nth}")
}

fn member_port(nth: usize) -> String {
    format!("m{nth}")
}

fn into(namespace: &str) -> Vec<String> {
    ["ip", "netns", "exec", namespace].map(str::to_owned).into()
}

fn ip(words: &str) -> anyhow::Result<()> {
    let ran = Command::new("ip")
        .args(words.split(' '))
        .output()
        .context("ip")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status.success(), "ip {words}: {}", said.trim());
    Ok(())
}

#[cfg(test)]
#[path = "netns/tests.rs"]
pub(crate) mod tests;
