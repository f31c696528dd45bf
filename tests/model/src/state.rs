//! One state of everything: the keys, what is on its way, what leaders, nodes and users remember, and what the checks need to know.

use crate::config::Config;
use crate::etcd::Origin::Claim;
use crate::etcd::{Id, Key, Kv, Op, Rev, Store, Test, Txn, Value, Which};
use crate::flight::{Flight, From, What};

/// A promise that a step broke; those that a state alone shows are not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Broken {
    CollectedAlive,
    TwoOutcomes,
    OldTerm,
    AcceptedTwice,
    SessionShared,
    /// A grant exceeded the limit in force.
    BeyondLimit,
    /// Someone else's hold was deleted.
    Robbed,
}

/// A node's process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Process {
    /// The session it believes to have.
    pub(crate) session: Rev,
    /// Claims it believes to be done with although they are there.
    pub(crate) done: Vec<u8>,
}

/// How far a user's request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Asked {
    #[default]
    Not,
    Sent,
    /// Sent, and one answer was lost.
    Unsure,
    /// Refused after an answer was lost: to be looked at again.
    Again,
    Done,
    Over,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Left {
    pub(crate) terms: u8,
    pub(crate) sessions: u8,
    pub(crate) returns: u8,
    /// Of those outside.
    pub(crate) leases: u8,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    pub(crate) store: Store,
    /// The next revision.
    pub(crate) next: Rev,
    /// The term each candidate believes to lead; 0 for none.
    pub(crate) leaders: [Rev; 2],
    /// The term activated last.
    pub(crate) newest: Rev,
    pub(crate) nodes: [Process; 2],
    pub(crate) flights: Vec<Flight>,
    pub(crate) submits: [Asked; 2],
    pub(crate) cancels: [Asked; 2],
    pub(crate) revive: Asked,
    /// The change of the limit.
    pub(crate) edit: Asked,
    /// What those outside ask for.
    pub(crate) wants: [Asked; 2],
    /// Permits that each leader believes to be held and that are not: a weakening.
    pub(crate) kept: [u8; 2],
    pub(crate) left: Left,
    /// Packs by bit: accepted, collected, and those whose submit was on its way when the horizon was raised to collect their twin.
    pub(crate) accepted: u8,
    pub(crate) collected: u8,
    pub(crate) late: u8,
    /// Tasks whose cancel was acknowledged, by pack.
    pub(crate) cancelled: [Which; 2],
    pub(crate) broken: Option<Broken>,
}

/// What a revision is called that is in no key and in no memory: compares with it are lost, all in the same way.
const DEAD: Rev = Rev::MAX;

impl State {
    /// Two candidates of whom the first leads, and the nodes.
    pub(crate) fn first(config: &Config) -> Self {
        let mut store = Store::default();
        let keys = [Key::Elect(0), Key::Elect(1), Key::Node(0), Key::Node(1)];
        let mut next = 1;
        for key in keys
            .into_iter()
            .filter(|key| *key != Key::Node(1) || config.nodes == 2)
        {
            store.apply(&Op::Put(key, Value::Empty), next);
            next += 1;
        }
        store.apply(&Op::Put(Key::Horizon, Value::Horizon(0)), next);
        if config.rules() {
            next += 1;
            let limit = Value::Limit(config.limit);
            store.apply(&Op::Put(Key::Limit, limit), next);
            store.apply(&Op::Put(Key::Rules, Value::Empty), next);
        }
        for (holder, _) in (0..).zip(config.outside) {
            next += 1;
            store.apply(&Op::Put(Key::Lease(holder), Value::Empty), next);
        }
        let session = |node| Process {
            session: store.created(Key::Node(node)),
            done: Vec::new(),
        };
        let nodes = [session(0), session(1)];
        let (terms, sessions, returns) = config.faults;
        Self {
            leaders: [store.created(Key::Elect(0)), 0],
            newest: store.created(Key::Elect(0)),
            nodes,
            store,
            next: next + 1,
            flights: Vec::new(),
            submits: [Asked::Not; 2],
            cancels: [Asked::Not; 2],
            revive: if config.revive.is_some() {
                Asked::Not
            } else {
                Asked::Over
            },
            edit: if config.lowered.is_some() {
                Asked::Not
            } else {
                Asked::Over
            },
            wants: [Asked::Not; 2],
            kept: [0; 2],
            left: Left {
                terms,
                sessions,
                returns,
                leases: config.leases,
            },
            accepted: 0,
            collected: 0,
            late: 0,
            cancelled: [0; 2],
            broken: None,
        }
    }

    /// The same state for all that renaming revisions, swapping nodes and dropping what can have no effect leave the same.
    pub(crate) fn representative(mut self, by_created: bool, swap: bool) -> Self {
        self.blank(by_created);
        self.drop_lost();
        if !swap {
            self.rename();
            return self;
        }
        let mut other = self.swapped();
        self.rename();
        other.rename();
        self.min(other)
    }

    /// Blanks revisions that no transaction compares.
    fn blank(&mut self, by_created: bool) {
        for (key, kv) in &mut self.store.kvs {
            match key {
                Key::Horizon | Key::Pack(_) | Key::Idem(_) | Key::Result { .. } => {
                    (kv.created, kv.modified) = (0, 0);
                }
                Key::Elect(_) | Key::Node(_) | Key::Lease(_) | Key::Hold(_) => kv.modified = 0,
                Key::Limit | Key::Rules | Key::Want(_) => kv.created = 0,
                Key::Record(..) | Key::Run { .. } | Key::Stop { .. } | Key::Gc(_) => {
                    if !by_created {
                        kv.created = 0;
                    }
                }
            }
        }
    }

    /// Drops copies that nobody waits for and that can never commit, and what nodes remember of claims that are gone.
    fn drop_lost(&mut self) {
        let store = &self.store;
        let lost = |txn: &Txn| txn.guards.iter().any(|guard| store.is_lost(*guard));
        self.flights
            .retain(|flight| flight.awaited || !flight.txns.iter().all(lost));
        for (node, process) in (0..).zip(&mut self.nodes) {
            process.done.retain(|claim| {
                store.has(Key::Run {
                    node,
                    claim: *claim,
                })
            });
            process.done.sort_unstable();
        }
    }

    /// Names revisions in the order in which they are met.
    fn rename(&mut self) {
        let mut names = [0_u8; 256];
        let mut next = 1;
        let mut name = |rev: &mut Rev| {
            if *rev != 0 {
                let known = &mut names[usize::from(*rev)];
                if *known == 0 {
                    *known = next;
                    next += 1;
                }
                *rev = *known;
            }
        };
        for (_, kv) in &mut self.store.kvs {
            kv_revs(kv, &mut name);
        }
        self.leaders.iter_mut().for_each(&mut name);
        name(&mut self.newest);
        for process in &mut self.nodes {
            name(&mut process.session);
        }
        let mut old = |rev: &mut Rev| {
            if *rev != 0 {
                let known = names[usize::from(*rev)];
                *rev = if known == 0 { DEAD } else { known };
            }
        };
        for flight in &mut self.flights {
            old(&mut flight.term);
            flight
                .txns
                .iter_mut()
                .chain(&mut flight.touch)
                .for_each(|txn| txn_revs(txn, &mut old));
        }
        self.flights.sort_unstable();
        self.next = next;
    }

    fn swapped(&self) -> Self {
        let mut other = self.clone();
        for (key, _) in &mut other.store.kvs {
            swap_key(key);
        }
        other.store.kvs.sort_unstable_by_key(|(key, _)| *key);
        other.nodes.swap(0, 1);
        for flight in &mut other.flights {
            if let From::Node(node) = &mut flight.from {
                *node ^= 1;
            }
            let what = &mut flight.what;
            if let What::Report { node, .. } | What::Reclaim { node, .. } = what {
                *node ^= 1;
            }
            if let What::Assign(_, takes) | What::Touch(_, takes) = what {
                for take in takes.iter_mut() {
                    take.node ^= 1;
                }
                takes.sort_unstable();
            }
            for txn in flight.txns.iter_mut().chain(&mut flight.touch) {
                txn.guards
                    .iter_mut()
                    .for_each(|guard| swap_key(&mut guard.key));
                txn.ops.iter_mut().for_each(|op| match op {
                    Op::Put(key, _) | Op::Delete(key) => swap_key(key),
                    Op::DeleteResults(_) => {}
                });
                txn.guards.sort_unstable();
                txn.ops.sort_unstable();
            }
        }
        other
    }

    /// A claim's number that nothing refers to.
    pub(crate) fn free_claim(&self, but: Option<u8>) -> u8 {
        let mut used = 0_u64;
        let mut note = |key: &Key| {
            let claim = if let Key::Run { claim, .. } | Key::Stop { claim, .. } = key {
                *claim
            } else if let Key::Result {
                origin: Claim(claim),
                ..
            }
            | Key::Record(
                _,
                Id {
                    origin: Claim(claim),
                    ..
                },
            ) = key
            {
                *claim
            } else {
                return;
            };
            used |= 1 << claim;
        };
        self.store.kvs.iter().for_each(|(key, _)| note(key));
        for flight in &self.flights {
            for txn in &flight.txns {
                txn.guards.iter().for_each(|guard| note(&guard.key));
                for op in &txn.ops {
                    if let Op::Put(key, _) | Op::Delete(key) = op {
                        note(key);
                    }
                }
            }
        }
        used |= but.map_or(0, |but| 1 << but);
        u8::try_from(used.trailing_ones()).expect("64 at most")
    }

    /// The next revision, used.
    pub(crate) fn revision(&mut self) -> Rev {
        let rev = self.next;
        self.next += 1;
        rev
    }

    /// What nobody waits for any more: its sender is another now.
    pub(crate) fn abandon(&mut self, from: From) {
        for flight in self.flights.iter_mut().filter(|flight| flight.from == from) {
            flight.awaited = false;
            flight.touch = None;
        }
    }

    /// What is on its way and awaited.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().filter(|flight| flight.awaited)
    }
}

fn swap_key(key: &mut Key) {
    if let Key::Node(node) | Key::Run { node, .. } | Key::Stop { node, .. } = key {
        *node ^= 1;
    }
}

fn kv_revs(kv: &mut Kv, name: &mut impl FnMut(&mut Rev)) {
    name(&mut kv.created);
    name(&mut kv.modified);
    value_revs(&mut kv.value, name);
}

fn value_revs(value: &mut Value, name: &mut impl FnMut(&mut Rev)) {
    if let Value::Run(run) = value {
        name(&mut run.session);
    }
}

fn txn_revs(txn: &mut Txn, name: &mut impl FnMut(&mut Rev)) {
    for guard in &mut txn.guards {
        if let Test::Created(rev) | Test::NotCreated(rev) | Test::Modified(rev) = &mut guard.test {
            name(rev);
        }
    }
    for op in &mut txn.ops {
        if let Op::Put(_, value) = op {
            value_revs(value, name);
        }
    }
}
