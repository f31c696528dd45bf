//! What is broken between containers, as rules for the network of each. Runs nothing.
//!
//! Each container has all the rules that concern it: what it must not send as well as what it must not get. So a way stays broken
//! while one of its ends is started again with a network without rules.

use super::super::{Cut, How, Side};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// The table that holds all rules of ours, and nothing else.
const TABLE: &str = "inet tenure_chaos";
/// 1:, the class of the kernel's queues below which each narrow way has one.
const ROOT: &str = "1:";
/// 10 kB go at once before a rate is kept: several packets.
const BURST: &str = "10kb";
/// 500 ms of what is held back are kept; what comes beyond is lost, as with any narrow line.
const QUEUED: &str = "500ms";

/// Where each container is, whether it runs or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) nodes: BTreeMap<String, Ipv4Addr>,
    pub(super) members: BTreeMap<String, Ipv4Addr>,
}

/// What happens to packets between one container and another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    // The first, so that what is worse comes first.
    how: How,
    way: Way,
    other: Ipv4Addr,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    In,
    Out,
}

impl Places {
    /// Where a container is.
    pub(super) fn of(&self, name: &str) -> Option<Ipv4Addr> {
        let nodes = self.nodes.get(name);
        nodes.or_else(|| self.members.get(name)).copied()
    }

    /// Why such a way cannot be broken at all; none where it can.
    pub(super) fn refusal(&self, cut: &Cut) -> Option<String> {
        for side in [&cut.from, &cut.to] {
            let (Side::Node(name) | Side::Member(name)) = side else {
                continue;
            };
            if self.side(side).is_empty() {
                return Some(format!("there is no {name}"));
            }
        }
        match cut.how {
            How::Late { .. } | How::HalfOpen | How::ResetOnce => Some(
                "containers reach each other without anything between that could be late, or keep a connection open that carries \
                 nothing"
                    .to_owned(),
            ),
            How::Narrow(0) => Some("a way of 0 kbit/s is a broken one".to_owned()),
            How::Dropped | How::Reset | How::Lossy(_) | How::Narrow(_) => None,
        }
    }

    /// Whom a cut concerns.
    pub(super) fn touched(&self, cut: &Cut) -> BTreeSet<String> {
        if let Some(name) = detached(cut) {
            return BTreeSet::from([name.to_owned()]);
        }
        let hops = self.hops(cut).into_iter();
        hops.flat_map(|(from, to)| [from, to])
            .map(str::to_owned)
            .collect()
    }

    /// The rules of one container for all that is broken, as a file for `nft`: they take the place of those before, all at once. None
    /// where there are none; what is [`detached`] needs none.
    pub(super) fn rules(&self, own: &str, broken: &BTreeSet<Cut>) -> Option<String> {
        let mut rules = BTreeSet::new();
        for cut in broken.iter().filter(|cut| detached(cut).is_none()) {
            for (from, to) in self.hops(cut) {
                rules.extend(self.rule(own, (from, to), cut.how));
            }
        }
        let lines: Vec<String> = rules.iter().filter_map(Rule::line).collect();
        if lines.is_empty() {
            return None;
        }
        let mut text = format!("{}add table {TABLE}\n", no_rules());
        for (chain, hook) in [("in", "input"), ("out", "output")] {
            let head = "type filter hook";
            let _fits = writeln!(
                text,
                "add chain {TABLE} {chain} {{ {head} {hook} priority -10 ; policy accept ; }}"
            );
        }
        for line in lines {
            let _fits = writeln!(text, "add rule {TABLE} {line}");
        }
        Some(text)
    }

    /// What one container may send to others in a second, in thousand bits; the least where several cuts say so.
    pub(super) fn rates(&self, own: &str, broken: &BTreeSet<Cut>) -> BTreeMap<Ipv4Addr, u32> {
        let mut rates = BTreeMap::new();
        for cut in broken {
            let How::Narrow(rate) = cut.how else { continue };
            let hops = self.hops(cut).into_iter();
            for (_, to) in hops.filter(|(from, _)| *from == own) {
                let least = rates.entry(self.at(to)).or_insert(rate);
                *least = rate.min(*least);
            }
        }
        rates
    }

    /// From whom to whom, one direction each.
    fn hops(&self, cut: &Cut) -> BTreeSet<(&str, &str)> {
        let (from, to) = (self.side(&cut.from), self.side(&cut.to));
        let mut hops = BTreeSet::new();
        for one in &from {
            for other in to.iter().filter(|other| *other != one) {
                hops.insert((*one, *other));
                if cut.both {
                    hops.insert((*other, *one));
                }
            }
        }
        hops
    }

    fn side(&self, side: &Side) -> BTreeSet<&str> {
        let (nodes, members) = (self.nodes.keys(), self.members.keys());
        match side {
            Side::Node(name) => nodes
                .filter(|one| *one == name)
                .map(String::as_str)
                .collect(),
            Side::Member(name) => members
                .filter(|one| *one == name)
                .map(String::as_str)
                .collect(),
            Side::Nodes => nodes.map(String::as_str).collect(),
            Side::Members => members.map(String::as_str).collect(),
            Side::All => nodes.chain(members).map(String::as_str).collect(),
        }
    }

    fn rule(&self, own: &str, (from, to): (&str, &str), how: How) -> Option<Rule> {
        let (way, other) = match (from == own, to == own) {
            (true, _) => (Way::Out, to),
            (false, true) => (Way::In, from),
            (false, false) => return None,
        };
        let other = self.at(other);
        Some(Rule { how, way, other })
    }

    fn at(&self, name: &str) -> Ipv4Addr {
        self.of(name)
            .expect("a way is between containers that have a place")
    }
}

impl Rule {
    /// In words of `nft`; none where the other end has the rule.
    fn line(&self) -> Option<String> {
        let (way, field) = match self.way {
            Way::In => ("in", "saddr"),
            Way::Out => ("out", "daddr"),
        };
        let end = match (self.how, self.way) {
            // No number below 100 is 100 or more: nft takes no such rule.
            (How::Dropped, _) | (How::Lossy(100..), Way::In) => "drop".to_owned(),
            // The resets themselves have to come through, also where those of the other direction are refused.
            (How::Reset, _) => "tcp flags & rst == 0 reject with tcp reset".to_owned(),
            // At one end only: at both, more would be lost.
            (How::Lossy(percent), Way::In) => format!("numgen random mod 100 < {percent} drop"),
            (How::Narrow(_), Way::Out) => format!("meta priority set {}", class(self.other)),
            (How::Lossy(_), Way::Out)
            | (How::Narrow(_), Way::In)
            | (How::Late { .. } | How::HalfOpen | How::ResetOnce, _) => return None,
        };
        Some(format!("{way} ip {field} {} {end}", self.other))
    }
}

/// Takes all rules back, whether there are any or not.
pub(super) fn no_rules() -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\n")
}

/// Queues for `tc -batch` that hold back what goes to each address. `device` has none before.
pub(super) fn queues(device: &str, rates: &BTreeMap<Ipv4Addr, u32>) -> String {
    let mut text = format!("qdisc add dev {device} root handle {ROOT} htb\n");
    for (other, rate) in rates {
        let (class, own) = (class(*other), minor(*other));
        // The first only picks the packets; the second holds them back.
        let _fits = writeln!(
            text,
            "class add dev {device} parent {ROOT} classid {class} htb rate 10gbit"
        );
        let _fits = writeln!(
            text,
            "qdisc add dev {device} parent {class} handle {own}: tbf rate {rate}kbit burst {BURST} latency {QUEUED}"
        );
    }
    text
}

/// Whose way to all others is broken in both directions without a word: it is taken off the network.
pub(super) fn detached(cut: &Cut) -> Option<&str> {
    match (cut.how, cut.both, &cut.from, &cut.to) {
        (How::Dropped, true, Side::Node(name), Side::All)
        | (How::Dropped, true, Side::All, Side::Node(name)) => Some(name),
        _ => None,
    }
}

/// The class of what goes to an address, as both `nft` and `tc` read it: hexadecimal.
fn class(other: Ipv4Addr) -> String {
    format!("{ROOT}{}", minor(other))
}

/// The last number of an address is another one for each container, and never 0 or 1.
fn minor(other: Ipv4Addr) -> String {
    let [_, _, _, last] = other.octets();
    format!("{last:x}")
}

#[cfg(test)]
mod tests;
