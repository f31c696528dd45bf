//! The cluster's keys and values, read from bytes by a reader of this crate's own: a mistake in the product's codec cannot
//! hide itself here. It reads only what is judged, and says what it cannot read.

mod values;

pub use values::{
    Elect, Held, Idem, Next, Node, Outcome, Pack, Routing, Said, Stop, Tally, Term, Value, Waiting,
    value,
};

use super::ids::PackId;

/// A key of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A candidate; its create revision is its term.
    Elect(String),
    /// A node's session; its create revision names the session.
    Node(String),
    /// Ready work: queue and kind, the inverted priority, and the record's name.
    Ready {
        /// Queue and kind.
        lane: (String, String),
        /// 9 less the priority.
        level: u8,
        /// The record.
        name: Name,
    },
    /// Work that waits for its time.
    Due {
        /// The time, in milliseconds since 1970.
        ms: u64,
        /// The record.
        name: Name,
    },
    /// Dead letters.
    Dead(Name),
    /// A claim of a node.
    Run {
        /// The node.
        node: String,
        /// The claim.
        claim: Claim,
    },
    /// What of a claim is to be cancelled.
    Stop {
        /// The node.
        node: String,
        /// The claim.
        claim: Claim,
    },
    /// A pack.
    Pack(PackId),
    /// Outcomes of a pack's tasks.
    Result {
        /// The pack.
        pack: PackId,
        /// What wrote them.
        origin: Origin,
    },
    /// An idempotency key.
    Idem(String),
    /// A mark that a pack may have ended.
    Mark(PackId),
    /// The horizon.
    Horizon,
    /// The history of one term.
    Term(i64),
    /// Lanes' marks, nodes' clocks and the pulse: nothing is judged by them.
    Plain,
    /// Under the cluster's root and none of these.
    Unknown,
}

/// A claim's id: the term that made it and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The term.
    pub term: i64,
    /// The number within it.
    pub number: u64,
}

/// What made a record or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A submit.
    Submit,
    /// A report on a claim, or its reclaim.
    Claim(Claim),
    /// A user's act.
    Act(u128),
}

/// A record's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Its pack.
    pub pack: PackId,
    /// What made it.
    pub origin: Origin,
    /// Its number.
    pub n: u32,
}

/// The key behind its root; none for keys of others.
pub fn key(root: &str, key: &str) -> Option<Key> {
    let rest = key.strip_prefix(root)?;
    Some(within(rest).unwrap_or(Key::Unknown))
}

fn within(rest: &str) -> Option<Key> {
    match rest {
        "horizon" => return Some(Key::Horizon),
        "pulse" => return Some(Key::Plain),
        _ => {}
    }
    let (room, rest) = rest.split_once('/')?;
    if room == "live" {
        return live(rest);
    }
    Some(match room {
        "elect" => Key::Elect(rest.to_owned()),
        "pack" => Key::Pack(rest.parse().ok()?),
        "idem" => Key::Idem(rest.to_owned()),
        "clock" => Key::Plain,
        "term" => Key::Term(rest.parse().ok()?),
        "gc" => Key::Mark(rest.split_once('/')?.1.parse().ok()?),
        "dead" => Key::Dead(name(rest.split_once('/')?.1)?),
        "result" => {
            let mut parts = rest.splitn(3, '/');
            let (pack, origin) = (parts.next()?.parse().ok()?, origin(parts.next()?)?);
            let _number: u32 = parts.next()?.parse().ok()?;
            Key::Result { pack, origin }
        }
        _ => return None,
    })
}

fn live(rest: &str) -> Option<Key> {
    let parts: Vec<&str> = rest.split('/').collect();
    Some(match *parts.as_slice() {
        ["node", node] => Key::Node(node.to_owned()),
        ["lane", _, _] => Key::Plain,
        ["ready", queue, kind, level, record] => Key::Ready {
            lane: (queue.to_owned(), kind.to_owned()),
            level: level.parse().ok()?,
            name: name(record)?,
        },
        ["due", ms, record] => Key::Due {
            ms: ms.parse().ok()?,
            name: name(record)?,
        },
        ["run", node, of] => Key::Run {
            node: node.to_owned(),
            claim: claim(of)?,
        },
        ["stop", node, of] => Key::Stop {
            node: node.to_owned(),
            claim: claim(of)?,
        },
        _ => return None,
    })
}

fn name(text: &str) -> Option<Name> {
    let mut parts = text.splitn(3, '.');
    Some(Name {
        pack: parts.next()?.parse().ok()?,
        origin: origin(parts.next()?)?,
        n: parts.next()?.parse().ok()?,
    })
}

fn origin(text: &str) -> Option<Origin> {
    if text == "0" {
        return Some(Origin::Submit);
    }
    match text.strip_prefix('v') {
        Some(act) => u128::from_str_radix(act, 16).ok().map(Origin::Act),
        None => claim(text).map(Origin::Claim),
    }
}

fn claim(text: &str) -> Option<Claim> {
    let (term, number) = text.split_once('-')?;
    Some(Claim {
        term: i64::from_str_radix(term, 16).ok()?,
        number: u64::from_str_radix(number, 16).ok()?,
    })
}
