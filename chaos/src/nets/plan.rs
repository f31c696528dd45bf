//! What a barrier is made of: for each place, what its kernel is told. Pure: it runs nothing and reads nothing.

use super::{Barrier, Place};
use crate::target::How;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// 16 KiB may go at once. A packet that begins to go goes as a whole, and the kernel's own have up to 64 KiB.
const BURST: &str = "16kb";
/// 64 packets wait for room, and the next is lost; a device's own queue would let a connection run minutes behind.
const QUEUE_PACKETS: u32 = 64;

/// What one place is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) entrance: Vec<String>,
    pub(super) means: Means,
}

/// What it is told with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// A file for `nft -f`, obeyed as a whole or not at all.
    Rules { set: String, lift: String },
    /// Lines for `tc -batch`, obeyed one after the other.
    Shape {
        device: String,
        /// What the root of it is called.
        handle: String,
        set: String,
        lift: String,
    },
}

/// # Errors
/// Why there is no such barrier.
pub(super) fn steps(barrier: &Barrier) -> Result<Vec<Step>, String> {
    let rule = match barrier.how {
        // A reset is not answered by another: the other end has to hear of it.
        How::Reset => "meta l4proto tcp tcp flags & rst == 0 reject with tcp reset".to_owned(),
        How::Dropped | How::Lossy(100) => "drop".to_owned(),
        How::Lossy(percent @ 1..100) => format!("numgen random mod 100 < {percent} drop"),
        How::Lossy(percent) => return Err(format!("{percent} of a hundred cannot be lost")),
        How::Narrow(0) => return Err("what carries nothing is dropped, not narrow".to_owned()),
        How::Narrow(kbit_s) => return shapes(barrier, kbit_s),
        How::Late { .. } | How::HalfOpen | How::ResetOnce => {
            return Err("nft and tc cannot do this: a proxy is needed".to_owned());
        }
    };
    let ways = ways(barrier, |from, to| (to, from))?;
    let rules = ways.into_iter().map(|(entrance, way)| Step {
        entrance,
        means: rules(&barrier.name, &way.others, &rule),
    });
    Ok(rules.collect())
}

/// What one place is told of, and the addresses it concerns.
struct Way {
    device: String,
    others: BTreeSet<Ipv4Addr>,
}

/// By the place that is told: `told` says which of sender and receiver that is, and which the other.
fn ways(
    barrier: &Barrier,
    told: impl for<'a> Fn(&'a Place, &'a Place) -> (&'a Place, &'a Place),
) -> Result<BTreeMap<Vec<String>, Way>, String> {
    let mut ways: BTreeMap<Vec<String>, Way> = BTreeMap::new();
    for from in &barrier.from {
        for to in &barrier.to {
            let back = barrier.both.then(|| told(to, from));
            for (place, other) in std::iter::once(told(from, to)).chain(back) {
                if place.entrance == other.entrance {
                    continue;
                }
                if place.entrance.is_empty() {
                    return Err("the network of this machine itself is left alone".to_owned());
                }
                let way = ways.entry(place.entrance.clone()).or_insert_with(|| Way {
                    device: place.device.clone(),
                    others: BTreeSet::new(),
                });
                way.others.extend(&other.addresses);
            }
        }
    }
    ways.retain(|_, way| !way.others.is_empty());
    if ways.is_empty() {
        return Err("there is no way between two networks in this".to_owned());
    }
    Ok(ways)
}

/// What comes in from these addresses. The table is added before it is deleted, so that it need not be there.
fn rules(name: &str, from: &BTreeSet<Ipv4Addr>, rule: &str) -> Means {
    let table = table(name);
    let from: Vec<String> = from.iter().map(Ipv4Addr::to_string).collect();
    let lift = format!("add table inet {table}\ndelete table inet {table}\n");
    let set = format!(
        "{lift}add table inet {table}\n\
         add chain inet {table} in {{ type filter hook input priority 0; }}\n\
         add rule inet {table} in ip saddr {{ {} }} {rule}\n",
        from.join(", ")
    );
    Means::Rules { set, lift }
}

/// A name as nft takes it, different for different names.
fn table(name: &str) -> String {
    let mut table = "tenure_cut_".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            table.push(char::from(byte));
        } else {
            let _never_fails = write!(table, "_{byte:02x}");
        }
    }
    table
}

fn shapes(barrier: &Barrier, kbit_s: u32) -> Result<Vec<Step>, String> {
    let handle = handle(&barrier.name);
    let ways = ways(barrier, |from, to| (from, to))?;
    let shapes = ways.into_iter().map(|(entrance, way)| Step {
        entrance,
        means: shape(&handle, way, kbit_s),
    });
    Ok(shapes.collect())
}

/// What goes out to these addresses has a class of its own; all else goes as before.
fn shape(handle: &str, way: Way, kbit_s: u32) -> Means {
    let dev = format!("dev {}", way.device);
    let class = format!("{handle}1");
    let mut set = format!(
        "qdisc add {dev} root handle {handle} htb\n\
         class add {dev} parent {handle} classid {class} htb rate {kbit_s}kbit burst {BURST} cburst {BURST}\n\
         qdisc add {dev} parent {class} pfifo limit {QUEUE_PACKETS}\n"
    );
    for to in way.others {
        let _never_fails = writeln!(
            set,
            "filter add {dev} parent {handle} protocol ip u32 match ip dst {to}/32 flowid {class}"
        );
    }
    Means::Shape {
        set,
        lift: format!("qdisc del {dev} root\n"),
        device: way.device,
        handle: handle.to_owned(),
    }
}

/// A name as tc takes it, a number from 1 to fffe: FNV-1a, folded.
fn handle(name: &str) -> String {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{:x}:", hash % 0xfffe + 1)
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
