//! The network of one container, changed from outside with this machine's tools: its image needs none.

use super::nets;
use crate::tools::{Ran, configure};
use anyhow::Context as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The network that a process is in.
#[derive(Clone, Copy)]
pub(super) struct Space {
    pid: u32,
}

#[derive(Deserialize)]
struct Device {
    ifname: String,
}

impl Space {
    pub(super) fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Why nothing can be changed there; none where it can. Changes nothing.
    pub(super) async fn refusal(self) -> Option<String> {
        for tool in [["nft", "list", "tables"], ["tc", "qdisc", "show"]] {
            let why = match self.run(&tool, "").await {
                Ok(Ran::Done(_)) => continue,
                Ok(Ran::Cannot(why) | Ran::Refused(why)) => why,
                Err(error) => format!("{error:#}"),
            };
            let tool = tool[0];
            return Some(format!(
                "{tool} in a container's network, by nsenter, is not to be had: {why}"
            ));
        }
        None
    }

    /// All rules of ours at once, as [`nets::Places::rules`] writes them.
    pub(super) async fn rule(self, rules: &str) -> anyhow::Result<()> {
        self.done(&["nft", "-f", "-"], rules).await.map(drop)
    }

    /// Holds back what goes to these addresses, and nothing where there are none. The container is at `own`.
    pub(super) async fn narrow(
        self,
        own: Ipv4Addr,
        rates: &BTreeMap<Ipv4Addr, u32>,
    ) -> anyhow::Result<()> {
        let device = self.device(own).await?;
        // It fails where there are no queues, which is what is wanted.
        let _none_before = self
            .run(&["tc", "qdisc", "del", "dev", &device, "root"], "")
            .await?;
        if rates.is_empty() {
            return Ok(());
        }
        let queues = nets::queues(&device, rates);
        self.done(&["tc", "-batch", "-"], &queues).await.map(drop)
    }

    /// The device with this address. One that was detached may come back under another name.
    async fn device(self, own: Ipv4Addr) -> anyhow::Result<String> {
        let own = own.to_string();
        let json = self
            .done(&["ip", "-j", "addr", "show", "to", &own], "")
            .await?;
        // Devices that do not have it are told of as empty objects.
        let devices: Vec<serde_json::Value> = serde_json::from_str(&json).context("ip -j addr")?;
        let mut named = devices.into_iter();
        named
            .find_map(|one| serde_json::from_value::<Device>(one).ok())
            .map(|one| one.ifname)
            .with_context(|| format!("no device has {own}"))
    }

    async fn run(self, words: &[&str], input: &str) -> anyhow::Result<Ran> {
        let entrance = ["nsenter", "-t", &self.pid.to_string(), "-n"].map(str::to_owned);
        configure(&entrance, words, input).await
    }

    async fn done(self, words: &[&str], input: &str) -> anyhow::Result<String> {
        self.run(words, input).await?.done()
    }
}
