//! Which ways of a cluster of processes are broken by what: those to etcd by the proxies before it, those between nodes and between
//! members by the kernel, in their networks, and all of a node's by pulling its cable.

use super::Processes;
use crate::nets::{Barrier, Place};
use crate::proxy::{Conditions, Late, Way};
use crate::target::{Cut, How, Made, Side};
use anyhow::Context as _;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;

/// What a network's own end of its cable is called.
const DEVICE: &str = "eth0";

impl Processes {
    /// Breaks a way, or mends it.
    pub(super) async fn set_way(&mut self, cut: &Cut, broken: bool) -> anyhow::Result<Made> {
        match (&cut.from, &cut.to) {
            (Side::Node(node), Side::All) | (Side::All, Side::Node(node))
                if cut.both && cut.how == How::Dropped =>
            {
                self.pull(node, broken)
            }
            (Side::Member(member), Side::All) | (Side::All, Side::Member(member))
                if cut.both && cut.how == How::Dropped =>
            {
                self.pull_member(member, broken)
            }
            (Side::Node(node), Side::Members) => {
                self.set_etcd_way(node, Way::Requests, cut, broken).await
            }
            (Side::Members, Side::Node(node)) => {
                self.set_etcd_way(node, Way::Answers, cut, broken).await
            }
            _ => self.in_networks(cut, broken).await,
        }
    }

    /// Pulls a node's cable, or puts it back.
    fn pull(&self, node: &str, broken: bool) -> anyhow::Result<Made> {
        let Some((networks, nth)) = self.cluster.network_of(node) else {
            return Ok(Made::Cannot(NO_NETWORKS.to_owned()));
        };
        networks.set(nth, !broken)?;
        Ok(Made::Yes)
    }

    /// Pulls a member's cable, or puts it back.
    fn pull_member(&self, member: &str, broken: bool) -> anyhow::Result<Made> {
        let Some(networks) = self.cluster.networks() else {
            return Ok(Made::Cannot(NO_NETWORKS.to_owned()));
        };
        networks.set_member(self.nth_member(member)?, !broken)?;
        Ok(Made::Yes)
    }

    /// Breaks a node's ways to etcd, at the proxies.
    async fn set_etcd_way(
        &mut self,
        node: &str,
        way: Way,
        cut: &Cut,
        broken: bool,
    ) -> anyhow::Result<Made> {
        if matches!(cut.how, How::Lossy(_)) {
            return self.in_networks(cut, broken).await;
        }
        for proxy in self.cluster.ways_to_etcd(node)? {
            if !broken {
                proxy.mend().await?;
                continue;
            }
            let conditions = match cut.how {
                How::Dropped => Conditions {
                    dropped: true,
                    ..Conditions::default()
                },
                How::Late { ms, jitter_ms } => Conditions {
                    late: Some(Late { ms, jitter_ms }),
                    ..Conditions::default()
                },
                How::Narrow(kbit_s) => Conditions {
                    narrow_kbit_s: NonZeroU32::new(kbit_s),
                    ..Conditions::default()
                },
                How::Reset => {
                    proxy.cut().await;
                    continue;
                }
                How::ResetOnce => {
                    proxy.reset_now();
                    continue;
                }
                How::HalfOpen => {
                    proxy.half_open();
                    continue;
                }
                How::Lossy(_) => continue,
            };
            if cut.both {
                proxy.set_both(conditions);
            } else {
                proxy.set(way, conditions);
            }
        }
        Ok(Made::Yes)
    }

    /// Breaks a way in the networks of both its ends.
    async fn in_networks(&mut self, cut: &Cut, broken: bool) -> anyhow::Result<Made> {
        if !broken {
            return match self.barriers.remove(cut) {
                Some(barrier) => barrier.lift().await,
                None => Ok(Made::Yes),
            };
        }
        let Some(barrier) = self.barrier(cut)? else {
            return Ok(Made::Cannot(NO_NETWORKS.to_owned()));
        };
        let made = barrier.set().await?;
        if made == Made::Yes {
            self.barriers.insert(cut.clone(), barrier);
        }
        Ok(made)
    }

    fn barrier(&mut self, cut: &Cut) -> anyhow::Result<Option<Barrier>> {
        if self.cluster.networks().is_none() {
            return Ok(None);
        }
        self.made += 1;
        let name = format!("b{}", self.made);
        if let (Side::Node(node), How::Lossy(_)) = (&cut.from, cut.how) {
            return self.loss(name, node, cut).map(Some);
        }
        Ok(Some(Barrier {
            name,
            from: self.places(&cut.from, &cut.to)?,
            to: self.places(&cut.to, &cut.from)?,
            both: cut.both,
            how: cut.how,
        }))
    }

    /// What others send to a node is lost in part, also what comes from etcd, through the proxies of this machine, whose own network is
    /// not touched: so it is that way only.
    fn loss(&self, name: String, node: &str, cut: &Cut) -> anyhow::Result<Barrier> {
        let to = self.places(&cut.from, &cut.to)?;
        let mut from = self.places(&cut.to, &Side::Node(node.to_owned()))?;
        let networks = self.cluster.networks().context("no networks")?;
        let entrance = to.first().map(|one| one.entrance.clone());
        from.push(place(
            entrance.unwrap_or_default(),
            networks.proxy_address(),
        ));
        Ok(Barrier {
            name,
            from,
            to,
            both: false,
            how: cut.how,
        })
    }

    /// Where a side of a way is; everybody is everybody but the other side.
    fn places(&self, side: &Side, other: &Side) -> anyhow::Result<Vec<Place>> {
        use crate::target::Hands as _;
        let networks = self.cluster.networks().context("no networks")?;
        let nodes = self.nodes();
        let members = self.members();
        let node = |nth: usize| place(networks.words_for_node(nth), networks.node_address(nth));
        let member =
            |nth: usize| place(networks.words_for_member(nth), networks.member_address(nth));
        let own = |name: &String| {
            *other == Side::Node(name.clone()) || *other == Side::Member(name.clone())
        };
        let others = |names: &[String]| -> Vec<usize> {
            (0..names.len()).filter(|nth| !own(&names[*nth])).collect()
        };
        let nth = |names: &[String], name: &String| {
            let found = names.iter().position(|one| one == name);
            found.with_context(|| format!("no {name}"))
        };
        Ok(match side {
            Side::Node(name) => vec![node(nth(&nodes, name)?)],
            Side::Member(name) => vec![member(nth(&members, name)?)],
            Side::Nodes => others(&nodes).into_iter().map(node).collect(),
            Side::Members => others(&members).into_iter().map(member).collect(),
            Side::All => {
                let nodes = others(&nodes).into_iter().map(node);
                nodes
                    .chain(others(&members).into_iter().map(member))
                    .collect()
            }
        })
    }
}

const NO_NETWORKS: &str =
    "nodes and members have no networks of their own: that needs ip, and to be root";

fn place(entrance: Vec<String>, address: Ipv4Addr) -> Place {
    Place {
        entrance,
        addresses: vec![address],
        device: DEVICE.to_owned(),
    }
}
