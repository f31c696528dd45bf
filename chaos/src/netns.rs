//! Networks of their own: each node in a namespace of the kernel's, all joined by one bridge in another one, in which etcd runs.
//! A node is cut off by taking its end of the bridge down: its packets go nowhere, as with a cable that is pulled.

use anyhow::Context as _;
use std::net::Ipv4Addr;
use std::process::Command;

/// 200 networks 10.213.0.0/24 to 10.213.199.0/24, chosen by the process id, so that two tests on one machine do not meet.
const NETWORKS: u32 = 200;

pub(crate) struct Networks {
    /// What all names begin with; an interface's has 15 bytes at most.
    stem: String,
    third: u8,
    nodes: usize,
}

impl Networks {
    /// Makes them.
    ///
    /// # Errors
    /// Where that is not permitted, or `ip` is missing. Nothing is left behind then.
    pub(crate) fn make(nodes: usize) -> anyhow::Result<Self> {
        let own = std::process::id();
        let networks = Self {
            stem: format!("tn{own}"),
            third: u8::try_from(own % NETWORKS)?,
            nodes,
        };
        networks.hub()?;
        (0..nodes).try_for_each(|nth| networks.join(nth))?;
        Ok(networks)
    }

    /// Where etcd listens.
    pub(crate) fn hub_address(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// Where a node listens.
    pub(crate) fn node_address(&self, nth: usize) -> Ipv4Addr {
        self.address(10 + u8::try_from(nth).expect("nodes are few"))
    }

    /// Where this machine itself is found.
    pub(crate) fn own_address(&self) -> Ipv4Addr {
        self.address(254)
    }

    /// What puts a program into etcd's network.
    pub(crate) fn words_for_hub(&self) -> Vec<String> {
        into(&self.hub_name())
    }

    /// What puts a program into a node's network.
    pub(crate) fn words_for_node(&self, nth: usize) -> Vec<String> {
        into(&self.node_name(nth))
    }

    /// Cuts a node off, or lets it back.
    pub(crate) fn set(&self, nth: usize, reachable: bool) -> anyhow::Result<()> {
        let state = if reachable { "up" } else { "down" };
        ip(&format!(
            "-n {} link set {} {state}",
            self.hub_name(),
            port(nth)
        ))
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
        ip(&format!("addr add {}/24 dev {root}", self.own_address()))?;
        ip(&format!("link set {root} up"))
    }

    fn join(&self, nth: usize) -> anyhow::Result<()> {
        let (hub, node, port) = (self.hub_name(), self.node_name(nth), port(nth));
        ip(&format!("netns add {node}"))?;
        ip(&format!(
            "-n {node} link add eth0 type veth peer name {port} netns {hub}"
        ))?;
        ip(&format!("-n {hub} link set {port} master br0 up"))?;
        ip(&format!(
            "-n {node} addr add {}/24 dev eth0",
            self.node_address(nth)
        ))?;
        ip(&format!("-n {node} link set lo up"))?;
        ip(&format!("-n {node} link set eth0 up"))
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        // What was not made is not there to be removed. The other interfaces go with their namespaces, some time later.
        let _gone = ip(&format!("link del {}", self.root_name()));
        let names = (0..self.nodes).map(|nth| self.node_name(nth));
        for name in names.chain([self.hub_name()]) {
            let _gone = ip(&format!("netns del {name}"));
        }
    }
}

fn port(nth: usize) -> String {
    format!("v{nth}")
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
