//! A cluster that was there before. Nothing is done to its processes, its etcd or its networks, none of which are ours: only what its
//! API offers to whoever runs it, and the breaking of connections that are our own. What was drained from here is undrained at the end.

use super::admin;
use super::{Cut, Hands, Made};
use crate::http::{Client, Heard, Refused};
use crate::proxy::Proxy;
use anyhow::{Context as _, bail};
use reqwest::{Method, Url};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;
use tenure_chaos::check::keyspace;
use tokio::time::timeout;

/// 5 s for a name to be resolved, and for a node to say which one it is.
const FOUND_WITHIN: Duration = Duration::from_secs(5);
/// 10 s for an answer: twice what a node waits for etcd.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// 32 nodes: more than any cluster of Tenure has.
const SERVERS_MAX: usize = 32;

/// Where the cluster is.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The API of some nodes or of all, as `http://host:port`, 1 to 32.
    pub(crate) servers: Vec<String>,
    /// With the role admin.
    pub(crate) token: String,
    /// Where etcd's members answer clients; empty where nobody is to watch them.
    pub(crate) etcd: Vec<String>,
    /// What the cluster is called: its keys are below `/tenure/<name>/`.
    pub(crate) cluster: String,
}

/// How a node is reached.
struct Site {
    /// Where our own clients find it.
    base: String,
    /// What they pass through; none where that would not do, as with TLS, whose certificate is for another host.
    proxy: Option<Proxy>,
    /// It takes none of our connections now.
    cut: bool,
}

pub(crate) struct Existing {
    /// The nodes that we were told the way to.
    sites: BTreeMap<String, Site>,
    /// All nodes, as the API told of them.
    names: BTreeSet<String>,
    client: Client,
    etcd: Vec<String>,
    cluster: String,
    /// Nodes that were drained from here.
    drained: BTreeSet<String>,
}

impl Existing {
    /// Finds out which nodes there are. Changes nothing.
    ///
    /// # Errors
    /// A server is no URL or does not answer, or there are none or too many.
    pub(crate) async fn find(options: Options) -> anyhow::Result<Self> {
        let Options {
            servers,
            token,
            etcd,
            cluster,
        } = options;
        let count = servers.len();
        anyhow::ensure!(
            (1..=SERVERS_MAX).contains(&count),
            "--server: 1 to {SERVERS_MAX} addresses, not {count}"
        );
        let mut sites = BTreeMap::new();
        for server in &servers {
            let found = timeout(FOUND_WITHIN, site(server, &token)).await;
            let (name, site) = found
                .with_context(|| format!("--server: {server} does not answer"))?
                .with_context(|| format!("--server: {server}"))?;
            sites.insert(name, site);
        }
        let bases = sites.values().map(|site| site.base.clone());
        let client = Client::within(bases.collect(), &token, ANSWERED_WITHIN)?;
        let names: BTreeSet<String> = admin::nodes(&client).await?.into_keys().collect();
        Ok(Self {
            sites,
            names,
            client,
            etcd,
            cluster,
            drained: BTreeSet::new(),
        })
    }

    /// Whether etcd has one of its nodes: else its log would be another cluster's, and everything in it seem lost.
    ///
    /// # Errors
    /// It has none, or does not answer.
    pub(crate) async fn ensure_known(&self) -> anyhow::Result<()> {
        let Self { etcd, cluster, .. } = self;
        let looked = timeout(FOUND_WITHIN, async {
            let mut client = etcd_client::Client::connect(etcd, None).await?;
            for node in &self.names {
                let key = keyspace::session_of(&self.root(), node);
                if client.get(key, None).await?.count() > 0 {
                    return anyhow::Ok(true);
                }
            }
            Ok(false)
        });
        let which = format!("--etcd-endpoints: {}", etcd.join(","));
        let found = looked
            .await
            .with_context(|| format!("{which} does not answer"))?;
        anyhow::ensure!(
            found.context(which)?,
            "--cluster: etcd has no cluster {cluster:?} with the nodes that --server knows; say the name that they were started with"
        );
        Ok(())
    }

    /// What all keys begin with, as whoever watches etcd finds them there.
    pub(crate) fn root(&self) -> String {
        ["", "tenure", &self.cluster, ""].join("/")
    }

    /// Takes a node out of service. One that someone else has drained stays theirs.
    ///
    /// # Errors
    /// Nobody knows whether it was.
    async fn take_out(&mut self, node: &str) -> anyhow::Result<Made> {
        let nodes = admin::nodes(&self.client).await?;
        let Some(known) = nodes.get(node) else {
            return Ok(Made::NotNow(format!("there is no node {node} now")));
        };
        if known.drained && !self.drained.contains(node) {
            return Ok(Made::NotNow(format!("{node} was drained by someone else")));
        }
        // Before the answer, which may never come.
        self.drained.insert(node.to_owned());
        let made = admin::drain(&self.client, node, admin::REASON).await?;
        if made != Made::Yes {
            self.drained.remove(node);
        }
        Ok(made)
    }

    /// Puts a node back into service that was drained from here.
    ///
    /// # Errors
    /// Nobody knows whether it was.
    async fn put_back(&mut self, node: &str) -> anyhow::Result<Made> {
        if !self.drained.contains(node) {
            return Ok(Made::Cannot(format!("{node} was not drained from here")));
        }
        let made = admin::undrain(&self.client, node).await?;
        if made == Made::Yes {
            self.drained.remove(node);
        }
        Ok(made)
    }

    /// Resets our own connections to a node and refuses new ones, or lets them be made again. Nobody else's are touched.
    ///
    /// # Errors
    /// The address that our clients know has been taken meanwhile.
    async fn cut_own(&mut self, node: &str, broken: bool) -> anyhow::Result<Made> {
        let Some(site) = self.sites.get_mut(node) else {
            return Ok(Made::Cannot(format!("no server was named for {node}")));
        };
        let Some(proxy) = &mut site.proxy else {
            return Ok(Made::Cannot(format!(
                "connections to {node} are TLS, and pass nothing of ours"
            )));
        };
        match (site.cut, broken) {
            (false, true) => proxy.cut().await,
            (true, false) => proxy.mend().await?,
            (true, true) | (false, false) => {}
        }
        site.cut = broken;
        Ok(Made::Yes)
    }

    /// Undrains what was drained from here.
    ///
    /// # Errors
    /// A node is still drained, or nobody knows; the others were undrained all the same.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        let mut left = Vec::new();
        let names: Vec<String> = self.sites.keys().cloned().collect();
        for node in names {
            self.cut_own(&node, false).await?;
        }
        for node in std::mem::take(&mut self.drained) {
            match admin::undrain(&self.client, &node).await {
                Ok(Made::Yes) => {}
                Ok(Made::Cannot(why) | Made::NotNow(why)) => left.push(format!("{node}: {why}")),
                Err(error) => left.push(format!("{node}: {error:#}")),
            }
        }
        anyhow::ensure!(left.is_empty(), "drained still: {}", left.join(", "));
        Ok(())
    }
}

/// Which node a server is, and how it is reached.
async fn site(server: &str, token: &str) -> anyhow::Result<(String, Site)> {
    let server = server.trim_end_matches('/');
    let url: Url = server.parse()?;
    let (base, proxy) = match url.scheme() {
        "https" => (server.to_owned(), None),
        "http" => {
            anyhow::ensure!(url.path() == "/", "a server has no path");
            let host = url.host_str().context("no host")?;
            let port = url.port_or_known_default().context("no port")?;
            let to = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await?;
            let to = { to }.next().context("no address")?;
            let proxy = Proxy::start(Ipv4Addr::LOCALHOST, to).await?;
            (format!("http://{}", proxy.address()), Some(proxy))
        }
        other => bail!("{other} is not spoken by nodes"),
    };
    let client = Client::within(vec![base.clone()], token, FOUND_WITHIN)?;
    match client.once(Method::GET, "/livez", None).await {
        Heard::Done(told) => {
            let name = told["node"].as_str().context("it is no node of Tenure")?;
            let site = Site {
                base,
                proxy,
                cut: false,
            };
            Ok((name.to_owned(), site))
        }
        Heard::Refused(Refused { why, .. }) | Heard::Nothing(why) => bail!(why),
    }
}

fn not_hurt(what: &str) -> Made {
    Made::Cannot(format!("an existing cluster is not hurt: {what}"))
}

fn node_is_not_ours(node: &str) -> Made {
    not_hurt(&format!("the process of {node} is not ours"))
}

fn member_is_not_ours(member: &str) -> Made {
    not_hurt(&format!("member {member} of etcd is not ours"))
}

impl Hands for Existing {
    fn nodes(&self) -> Vec<String> {
        self.names.iter().cloned().collect()
    }

    /// None: they are not ours to touch.
    fn members(&self) -> Vec<String> {
        Vec::new()
    }

    /// Of our own way to it, which [`Existing::cut_clients`] breaks.
    fn address(&self, node: &str) -> anyhow::Result<String> {
        let site = self.sites.get(node);
        let site = site.with_context(|| format!("no server was named for {node}"))?;
        Ok(site.base.clone())
    }

    fn endpoints(&self) -> Vec<String> {
        self.etcd.clone()
    }

    fn has_previous(&self) -> Made {
        not_hurt("no node of it is ours to start")
    }

    async fn kill_node(&mut self, node: &str) -> anyhow::Result<Made> {
        Ok(node_is_not_ours(node))
    }

    async fn end_node(&mut self, node: &str, _within: Duration) -> anyhow::Result<Made> {
        Ok(node_is_not_ours(node))
    }

    async fn start_node(&mut self, node: &str, _previous: bool) -> anyhow::Result<Made> {
        Ok(node_is_not_ours(node))
    }

    async fn halt_node(&mut self, node: &str, _still: bool) -> anyhow::Result<Made> {
        Ok(node_is_not_ours(node))
    }

    /// None that we could know of.
    async fn fallen(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn set_clock(&mut self, node: &str, _ahead_ms: i64) -> anyhow::Result<Made> {
        Ok(not_hurt(&format!("the clock of {node} is not ours")))
    }

    async fn kill_member(&mut self, member: &str) -> anyhow::Result<Made> {
        Ok(member_is_not_ours(member))
    }

    async fn start_member(&mut self, member: &str) -> anyhow::Result<Made> {
        Ok(member_is_not_ours(member))
    }

    async fn halt_member(&mut self, member: &str, _still: bool) -> anyhow::Result<Made> {
        Ok(member_is_not_ours(member))
    }

    async fn slow_disk(&mut self, member: &str, _by_ms: u64) -> anyhow::Result<Made> {
        Ok(member_is_not_ours(member))
    }

    async fn fill_disk(&mut self, _full: bool) -> anyhow::Result<(Made, String)> {
        Ok((not_hurt("no disk of it is ours"), String::new()))
    }

    async fn cut(&mut self, _cut: &Cut, _broken: bool) -> anyhow::Result<Made> {
        Ok(not_hurt(
            "the ways between its nodes and members are not ours",
        ))
    }

    async fn drain(&mut self, _: &Client, node: &str, out: bool) -> anyhow::Result<Made> {
        if out {
            return self.take_out(node).await;
        }
        self.put_back(node).await
    }

    async fn cut_clients(&mut self, node: &str, broken: bool) -> anyhow::Result<Made> {
        self.cut_own(node, broken).await
    }

    fn owns_store(&self) -> Made {
        not_hurt("its etcd is not ours")
    }
}

#[cfg(test)]
mod tests;
