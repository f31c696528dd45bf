//! etcd as far as the protocol uses it: keys with create and mod revisions, and transactions that compare before any of their
//! writes. Versions are not kept: a key is at its first version exactly where both revisions are equal.

/// A revision. Nothing in the protocol asks more of two revisions than whether they are equal, so they may be renamed; 0 is none.
pub(crate) type Rev = u8;

/// Some of a pack's tasks, one bit each.
pub(crate) type Which = u8;

/// What made a record or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Origin {
    Submit,
    Claim(u8),
    Act(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    Ready,
    /// Ready, under what it waits for.
    Parked,
    Due,
    Dead,
}

/// The name of a record, wherever it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) pack: u8,
    pub(crate) origin: Origin,
    pub(crate) n: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Elect(u8),
    Node(u8),
    Horizon,
    Pack(u8),
    Idem(u8),
    Record(Place, Id),
    Run {
        node: u8,
        claim: u8,
    },
    Stop {
        node: u8,
        claim: u8,
    },
    Result {
        pack: u8,
        origin: Origin,
        n: u8,
    },
    Gc(u8),
    /// The semaphore's limit.
    Limit,
    /// Put with every change of the limit.
    Rules,
    /// The lease of somebody outside, which no key of etcd shows: etcd refuses a put with one that has ended.
    Lease(u8),
    /// Somebody outside waits.
    Want(u8),
    /// Somebody outside holds.
    Hold(u8),
}

/// Failures and deaths so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tally {
    pub(crate) failures: u8,
    pub(crate) deaths: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) pack: u8,
    pub(crate) which: Which,
    pub(crate) tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) pack: u8,
    pub(crate) which: Which,
    pub(crate) covers: bool,
    pub(crate) tally: Tally,
    pub(crate) session: Rev,
    pub(crate) n: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Returned,
    Lost,
    Cancelled,
    Revived,
}

/// How one attempt of some tasks ended, and whether they go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub(crate) which: Which,
    pub(crate) outcome: Outcome,
    pub(crate) goes_on: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Value {
    Empty,
    /// Half steps: pack `p` stands at `2p`, a horizon above it at `2p + 1`.
    Horizon(u8),
    Record(Record),
    Run(Run),
    Stop(Which),
    Outcomes(Vec<Attempt>),
    Limit(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Kv {
    pub(crate) value: Value,
    pub(crate) created: Rev,
    pub(crate) modified: Rev,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Test {
    /// Never: create revision 0.
    Absent,
    Created(Rev),
    NotCreated(Rev),
    /// 0: absent.
    Modified(Rev),
    HorizonBelow(u8),
    HorizonAbove(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Guard {
    pub(crate) key: Key,
    pub(crate) test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Op {
    Put(Key, Value),
    Delete(Key),
    DeleteResults(u8),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Txn {
    pub(crate) guards: Vec<Guard>,
    pub(crate) ops: Vec<Op>,
}

/// The keys, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Store {
    pub(crate) kvs: Vec<(Key, Kv)>,
}

impl Store {
    fn find(&self, key: Key) -> Result<usize, usize> {
        self.kvs.binary_search_by(|(other, _)| other.cmp(&key))
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Kv> {
        self.find(key).ok().map(|at| &self.kvs[at].1)
    }

    pub(crate) fn has(&self, key: Key) -> bool {
        self.find(key).is_ok()
    }

    pub(crate) fn created(&self, key: Key) -> Rev {
        self.get(key).map_or(0, |kv| kv.created)
    }

    pub(crate) fn modified(&self, key: Key) -> Rev {
        self.get(key).map_or(0, |kv| kv.modified)
    }

    fn horizon(&self) -> Option<u8> {
        let Value::Horizon(at) = self.get(Key::Horizon)?.value else {
            return None;
        };
        Some(at)
    }

    pub(crate) fn holds(&self, guard: Guard) -> bool {
        match guard.test {
            Test::Absent => !self.has(guard.key),
            Test::Created(rev) => self.created(guard.key) == rev,
            Test::NotCreated(rev) => self.created(guard.key) != rev,
            Test::Modified(rev) => self.modified(guard.key) == rev,
            Test::HorizonBelow(at) => self.horizon().is_some_and(|horizon| horizon < at),
            Test::HorizonAbove(at) => self.horizon().is_some_and(|horizon| horizon > at),
        }
    }

    /// Whether a guard does not hold and never will again.
    pub(crate) fn is_lost(&self, guard: Guard) -> bool {
        match guard.test {
            Test::Created(rev) | Test::Modified(rev) => rev != 0 && !self.holds(guard),
            Test::HorizonBelow(_) => !self.holds(guard),
            Test::Absent | Test::NotCreated(_) | Test::HorizonAbove(_) => false,
        }
    }

    /// Nested transactions in one: all compares see the store as it was. None where etcd refuses the request as a whole because
    /// a key is put twice; a put and a delete of one key are accepted. Answers which of them were done.
    pub(crate) fn commit(&mut self, nested: &[Txn], rev: Rev) -> Option<Vec<bool>> {
        let done: Vec<bool> = nested
            .iter()
            .map(|txn| txn.guards.iter().all(|guard| self.holds(*guard)))
            .collect();
        let puts = |txn: &Txn| {
            let keys = txn.ops.iter().filter_map(|op| match op {
                Op::Put(key, _) => Some(*key),
                Op::Delete(_) | Op::DeleteResults(_) => None,
            });
            keys.collect::<Vec<Key>>()
        };
        let mut all: Vec<Key> = nested.iter().flat_map(puts).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        if all.len() != count {
            return None;
        }
        for (txn, _) in nested.iter().zip(&done).filter(|(_, done)| **done) {
            txn.ops.iter().for_each(|op| self.apply(op, rev));
        }
        Some(done)
    }

    pub(crate) fn apply(&mut self, op: &Op, rev: Rev) {
        match op {
            Op::Put(key, value) => match self.find(*key) {
                Ok(at) => {
                    let kv = &mut self.kvs[at].1;
                    kv.value = value.clone();
                    kv.modified = rev;
                }
                Err(at) => {
                    let kv = Kv {
                        value: value.clone(),
                        created: rev,
                        modified: rev,
                    };
                    self.kvs.insert(at, (*key, kv));
                }
            },
            Op::Delete(key) => {
                if let Ok(at) = self.find(*key) {
                    self.kvs.remove(at);
                }
            }
            Op::DeleteResults(gone) => self
                .kvs
                .retain(|(key, _)| !matches!(key, Key::Result { pack, .. } if pack == gone)),
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (Key, Place, Id, Record, &Kv)> {
        self.kvs
            .iter()
            .filter_map(|(key, kv)| match (key, &kv.value) {
                (Key::Record(place, id), Value::Record(record)) => {
                    Some((*key, *place, *id, *record, kv))
                }
                _ => None,
            })
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = (u8, u8, Run, &Kv)> {
        self.kvs
            .iter()
            .filter_map(|(key, kv)| match (key, &kv.value) {
                (Key::Run { node, claim }, Value::Run(run)) => Some((*node, *claim, *run, kv)),
                _ => None,
            })
    }

    /// The semaphore's limit.
    pub(crate) fn limit(&self) -> u32 {
        let kv = self.get(Key::Limit);
        kv.map_or(0, |kv| match kv.value {
            Value::Limit(limit) => u32::from(limit),
            Value::Empty
            | Value::Horizon(_)
            | Value::Record(_)
            | Value::Run(_)
            | Value::Stop(_)
            | Value::Outcomes(_) => 0,
        })
    }

    /// The outcomes of a pack, with what made each.
    pub(crate) fn outcomes(&self, of: u8) -> impl Iterator<Item = (Origin, Attempt)> {
        let lines = self
            .kvs
            .iter()
            .filter_map(move |(key, kv)| match (key, &kv.value) {
                (Key::Result { pack, origin, .. }, Value::Outcomes(lines)) if *pack == of => {
                    Some(lines.iter().map(move |line| (*origin, *line)))
                }
                _ => None,
            });
        lines.flatten()
    }

    /// What of a claim is to be stopped, and the mod revision that says so.
    pub(crate) fn stop(&self, node: u8, claim: u8) -> (Which, Rev) {
        match self.get(Key::Stop { node, claim }) {
            Some(Kv {
                value: Value::Stop(which),
                modified,
                ..
            }) => (*which, *modified),
            _ => (0, 0),
        }
    }
}
