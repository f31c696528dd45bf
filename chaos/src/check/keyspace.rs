//! The cluster's keys and values, read from bytes by a reader of this crate's own: a mistake in the product's codec cannot
//! hide itself here. It reads only what is judged, and says what it cannot read.

mod schedules;
mod values;

pub use schedules::{By, Fired, Line, Misfire, Overlap, Page, Progress, Schedule, Skipped, When};
pub use values::{
    Elect, Held, Idem, Needs, Next, Node, Outcome, Outside, Pack, Queue, Rate, Routing, Said,
    Semaphore, Stop, Tally, Term, Value, Waiting, value,
};

use std::fmt;

use super::ids::PackId;

/// A key of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A candidate; its create revision is its term.
    Elect(String),
    /// A node's session; its create revision names the session.
    Node(String),
    /// Ready work: its lane, the inverted priority, and the record's name.
    Ready {
        /// Where it waits.
        lane: Lane,
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
    /// A semaphore's limit.
    Semaphore(String),
    /// What is set for a queue.
    Queue(String),
    /// Written with every change of a semaphore or a queue.
    Rules,
    /// Somebody outside waits for a permit or a lock.
    Want {
        /// For what.
        gate: Gate,
        /// The waiter's own name for it.
        id: String,
    },
    /// Somebody outside holds a permit or a lock.
    Hold {
        /// Of what.
        gate: Gate,
        /// The holder's own name for it.
        id: String,
    },
    /// On record that an admin took a hold from somebody outside.
    Released {
        /// The hold's create revision.
        fence: i64,
        /// Of what it was.
        gate: Gate,
        /// The holder's own name for it.
        id: String,
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
    /// A schedule, as it is declared.
    Schedule(String),
    /// How far a schedule has got.
    Progress(String),
    /// A full page of a schedule's ledger.
    Page {
        /// The schedule.
        schedule: String,
        /// Its number.
        number: u64,
    },
    /// When a schedule is to be looked at.
    Tick {
        /// The time, in milliseconds since 1970.
        ms: u64,
        /// The schedule.
        schedule: String,
    },
    /// Lanes' marks, nodes' drains, clocks and breakers, what is on record of failovers, the pulse, and the mark of deleted schedules:
    /// nothing is judged by them.
    Plain,
    /// Under the cluster's root and none of these.
    Unknown,
}

/// Where ready work waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// What it asks of nodes, as a digest; `-` for nothing.
    pub place: String,
    /// What it is filed or parked under.
    pub gate: Option<Gate>,
}

/// What has to be free for work to go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// Permits of a semaphore.
    Semaphore(String),
    /// A lock.
    Lock(String),
    /// A place among the tasks of one concurrency key.
    Key(String),
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

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Semaphore(name) => write!(f, "s.{name}"),
            Self::Lock(name) => write!(f, "l.{name}"),
            Self::Key(name) => write!(f, "k.{name}"),
        }
    }
}

/// The key behind its root; none for keys of others.
pub fn key(root: &str, key: &str) -> Option<Key> {
    let rest = key.strip_prefix(root)?;
    Some(within(rest).unwrap_or(Key::Unknown))
}

/// The key of a node's session.
pub fn session_of(root: &str, node: &str) -> String {
    root.to_owned() + &["live", "node", node].join("/")
}

/// What the keys of all candidates begin with.
pub fn candidates(root: &str) -> String {
    root.to_owned() + &["elect", ""].join("/")
}

fn within(rest: &str) -> Option<Key> {
    match rest {
        "horizon" => return Some(Key::Horizon),
        "pulse" | "deleted" => return Some(Key::Plain),
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
        "clock" | "breaker" | "reset" | "failover" => Key::Plain,
        "term" => Key::Term(rest.parse().ok()?),
        "sched" => Key::Schedule(rest.to_owned()),
        "schedstate" => Key::Progress(rest.to_owned()),
        "ledger" => {
            let (schedule, number) = rest.split_once('/')?;
            Key::Page {
                schedule: schedule.to_owned(),
                number: number.parse().ok()?,
            }
        }
        "released" => {
            let mut parts = rest.splitn(3, '/');
            Key::Released {
                fence: parts.next()?.parse().ok()?,
                gate: outside(parts.next()?)?,
                id: parts.next()?.to_owned(),
            }
        }
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
        ["lane" | "passing", queue, kind, place, gate, level] => {
            let (_, _): (Lane, u8) = (lane(queue, kind, place, gate)?, level.parse().ok()?);
            Key::Plain
        }
        ["ready", queue, kind, place, gate, level, record] => Key::Ready {
            lane: lane(queue, kind, place, gate)?,
            level: level.parse().ok()?,
            name: name(record)?,
        },
        ["sem", name] => Key::Semaphore(name.to_owned()),
        ["queue", name] => Key::Queue(name.to_owned()),
        ["rules"] => Key::Rules,
        ["drain", _] => Key::Plain,
        ["death", session] => {
            let _session: i64 = session.parse().ok()?;
            Key::Plain
        }
        ["tick", ms, schedule] => Key::Tick {
            ms: ms.parse().ok()?,
            schedule: schedule.to_owned(),
        },
        ["want", gate, id] => Key::Want {
            gate: outside(gate)?,
            id: id.to_owned(),
        },
        ["hold", gate, id] => Key::Hold {
            gate: outside(gate)?,
            id: id.to_owned(),
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

fn lane(queue: &str, kind: &str, place: &str, of: &str) -> Option<Lane> {
    let gate = if of == "-" { None } else { Some(gate(of)?) };
    Some(Lane {
        queue: queue.to_owned(),
        kind: kind.to_owned(),
        place: place.to_owned(),
        gate,
    })
}

fn gate(text: &str) -> Option<Gate> {
    let (sort, name) = text.split_once('.').filter(|(_, name)| !name.is_empty())?;
    let name = name.to_owned();
    match sort {
        "s" => Some(Gate::Semaphore(name)),
        "l" => Some(Gate::Lock(name)),
        "k" => Some(Gate::Key(name)),
        _ => None,
    }
}

/// What those outside can hold: no concurrency key.
fn outside(text: &str) -> Option<Gate> {
    gate(text).filter(|gate| !matches!(gate, Gate::Key(_)))
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
