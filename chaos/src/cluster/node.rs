//! Where a node of a cluster of processes listens, and how it is started.

use super::{Layout, NAME, url};
use crate::members::within;
use crate::proxy::Proxy;
use anyhow::Context as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

/// Where a node listens, whether it runs or not.
pub(super) struct Site {
    pub(super) host: Ipv4Addr,
    pub(super) port: u16,
    /// For its peers.
    pub(super) peer: u16,
    /// Where its peers are told to find it, where that is not where it listens.
    pub(super) proxy: Option<Proxy>,
    /// Its own ways to etcd's members, where it has such.
    pub(super) store: Vec<Proxy>,
    /// What puts it into its network; empty for this machine's own.
    pub(super) within: Vec<String>,
}

/// How a node of a build is started at its site.
pub(super) fn command(
    layout: &Layout,
    build: &Path,
    name: &str,
    endpoints: &[String],
    site: &Site,
) -> anyhow::Result<Command> {
    let mut seen = endpoints.to_vec();
    if !site.store.is_empty() {
        let through = |proxy: &Proxy| format!("http://{}", proxy.address());
        seen = site.store.iter().map(through).collect();
    }
    let data = layout.dir.join(name);
    std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let mut command = within(&site.within, build);
    command.arg("server").current_dir(&data);
    command
        .env("TENURE_ETCD_ENDPOINTS", seen.join(","))
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
