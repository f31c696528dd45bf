//! The protocol's transactions, with the same guards and writes as the product's; each weakening is taken out where its guard stands.

use crate::etcd::{
    Attempt, Guard, Id, Key, Kv, Op, Origin, Outcome, Place, Record, Rev, Run, Tally, Test, Txn,
    Value, Which,
};
use crate::settle::Settled;
use crate::weakening::Weakening;

/// The protocol, or what is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) without: Option<Weakening>,
}

/// A waiting record as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) key: Key,
    pub(crate) id: Id,
    pub(crate) record: Record,
    pub(crate) created: Rev,
    pub(crate) modified: Rev,
}

/// One node's share of an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Take {
    pub(crate) node: u8,
    pub(crate) claim: u8,
    pub(crate) which: Which,
}

/// A claim as it was seen, and its stop's mod revision.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) node: u8,
    pub(crate) claim: u8,
    pub(crate) run: Run,
    pub(crate) created: Rev,
    pub(crate) modified: Rev,
    pub(crate) stop: Rev,
}

impl Claimed {
    fn run_key(&self) -> Key {
        let (node, claim) = (self.node, self.claim);
        Key::Run { node, claim }
    }

    fn stop_key(&self) -> Key {
        let (node, claim) = (self.node, self.claim);
        Key::Stop { node, claim }
    }
}

pub(crate) fn is(key: Key, test: Test) -> Guard {
    Guard { key, test }
}

impl Protocol {
    pub(crate) fn lacks(self, weakening: Weakening) -> bool {
        self.without == Some(weakening)
    }

    /// The name of a record's key.
    pub(crate) fn record(self, place: Place, id: Id) -> Key {
        if self.lacks(Weakening::RecordsByNumber) {
            let (pack, origin) = (0, Origin::Submit);
            return Key::Record(place, Id { pack, origin, ..id });
        }
        Key::Record(place, id)
    }

    fn guarded(self, seen: &Seen, by_created: Weakening) -> Guard {
        if self.lacks(by_created) {
            return is(seen.key, Test::Created(seen.created));
        }
        is(seen.key, Test::Modified(seen.modified))
    }

    pub(crate) fn submit(self, pack: u8, which: Which, due: bool, idem: Option<u8>) -> Txn {
        let mut txn = Txn::default();
        if !self.lacks(Weakening::SubmitWithoutHorizon) {
            txn.guards
                .push(is(Key::Horizon, Test::HorizonBelow(2 * pack)));
        }
        if !self.lacks(Weakening::SubmitWithoutPack) {
            txn.guards.push(is(Key::Pack(pack), Test::Absent));
        }
        let place = if due { Place::Due } else { Place::Ready };
        let (origin, n, tally) = (Origin::Submit, 0, Tally::default());
        let key = self.record(place, Id { pack, origin, n });
        let record = Value::Record(Record { pack, which, tally });
        txn.ops.push(Op::Put(Key::Pack(pack), Value::Empty));
        txn.ops.push(Op::Put(key, record));
        if let Some(idem) = idem {
            if !self.lacks(Weakening::SubmitWithoutIdem) {
                txn.guards.push(is(Key::Idem(idem), Test::Absent));
            }
            txn.ops.push(Op::Put(Key::Idem(idem), Value::Empty));
        }
        txn
    }

    pub(crate) fn promote(self, seen: &Seen) -> Txn {
        let ready = self.record(Place::Ready, seen.id);
        Txn {
            guards: vec![self.guarded(seen, Weakening::PromoteByCreated)],
            ops: vec![
                Op::Delete(seen.key),
                Op::Put(ready, Value::Record(seen.record)),
            ],
        }
    }

    pub(crate) fn assign(self, seen: &Seen, takes: &[(Take, Rev)], whole: Which) -> Txn {
        let mut txn = Txn::default();
        if !self.lacks(Weakening::AssignWithoutReady) {
            txn.guards
                .push(self.guarded(seen, Weakening::AssignByCreated));
        }
        let mut gone = 0;
        for (take, session) in takes {
            gone |= take.which;
            if !self.lacks(Weakening::AssignWithoutNode) {
                txn.guards
                    .push(is(Key::Node(take.node), Test::Created(*session)));
            }
            let run = Run {
                pack: seen.record.pack,
                which: take.which,
                covers: take.which == whole,
                tally: seen.record.tally,
                session: *session,
                n: 0,
            };
            let (node, claim) = (take.node, take.claim);
            txn.ops
                .push(Op::Put(Key::Run { node, claim }, Value::Run(run)));
        }
        txn.ops.push(less(seen, gone));
        txn
    }

    pub(crate) fn touch(self, seen: &Seen) -> Txn {
        let guard = is(seen.key, Test::Modified(seen.modified));
        let guards = vec![guard];
        Txn {
            guards: if self.lacks(Weakening::TouchWithoutWaiting) {
                Vec::new()
            } else {
                guards
            },
            ops: vec![Op::Put(seen.key, Value::Record(seen.record))],
        }
    }

    pub(crate) fn report(self, of: &Claimed, rest: Option<Run>, settled: &Settled) -> Txn {
        let run = if self.lacks(Weakening::ReportByCreated) {
            Test::Created(of.created)
        } else {
            Test::Modified(of.modified)
        };
        let mut txn = Txn::default();
        txn.guards.push(is(of.run_key(), run));
        if !settled.records.is_empty() && !self.lacks(Weakening::ReportWithoutStop) {
            txn.guards.push(is(of.stop_key(), Test::Modified(of.stop)));
        }
        match rest {
            Some(mut rest) => {
                if self.lacks(Weakening::ReportKeepsNumber) {
                    rest.n = of.run.n;
                }
                txn.ops.push(Op::Put(of.run_key(), Value::Run(rest)));
            }
            None => txn
                .ops
                .extend([Op::Delete(of.run_key()), Op::Delete(of.stop_key())]),
        }
        self.settled(txn, of, settled)
    }

    pub(crate) fn stop(self, of: &Claimed, which: Which) -> Txn {
        let mut txn = Txn::default();
        if !self.lacks(Weakening::StopWithoutRun) {
            txn.guards
                .push(is(of.run_key(), Test::Modified(of.modified)));
        }
        if !self.lacks(Weakening::StopWithoutStop) {
            txn.guards.push(is(of.stop_key(), Test::Modified(of.stop)));
        }
        txn.ops.push(Op::Put(of.stop_key(), Value::Stop(which)));
        txn
    }

    pub(crate) fn reclaim(self, of: &Claimed, settled: &Settled) -> Txn {
        let run = if self.lacks(Weakening::ReclaimByCreated) {
            Test::Created(of.created)
        } else {
            Test::Modified(of.modified)
        };
        let mut txn = Txn::default();
        txn.guards.push(is(of.run_key(), run));
        if !self.lacks(Weakening::ReclaimWithoutStop) {
            txn.guards.push(is(of.stop_key(), Test::Modified(of.stop)));
        }
        if !self.lacks(Weakening::ReclaimWithoutNode) {
            let node = Key::Node(of.node);
            txn.guards.push(is(node, Test::NotCreated(of.run.session)));
        }
        txn.ops
            .extend([Op::Delete(of.run_key()), Op::Delete(of.stop_key())]);
        self.settled(txn, of, settled)
    }

    fn settled(self, mut txn: Txn, of: &Claimed, settled: &Settled) -> Txn {
        let (pack, origin) = (of.run.pack, Origin::Claim(of.claim));
        let result = Key::Result {
            pack,
            origin,
            n: of.run.n,
        };
        txn.ops
            .push(Op::Put(result, Value::Outcomes(settled.attempts.clone())));
        if settled.mark {
            txn.ops.push(Op::Put(Key::Gc(pack), Value::Empty));
        }
        for (place, n, record) in &settled.records {
            let key = self.record(
                *place,
                Id {
                    pack,
                    origin,
                    n: *n,
                },
            );
            txn.ops.push(Op::Put(key, Value::Record(*record)));
        }
        txn
    }

    pub(crate) fn cancel(self, seen: &Seen, act: u8, which: Which) -> Txn {
        let pack = seen.record.pack;
        Txn {
            guards: vec![self.guarded(seen, Weakening::CancelByCreated)],
            ops: vec![
                less(seen, which),
                acted(pack, act, (Outcome::Cancelled, which)),
                Op::Put(Key::Gc(pack), Value::Empty),
            ],
        }
    }

    pub(crate) fn revive(self, seen: &Seen, act: u8, which: Which) -> Txn {
        let pack = seen.record.pack;
        let (origin, n) = (Origin::Act(act), 0);
        let ready = self.record(Place::Ready, Id { pack, origin, n });
        let tally = Tally::default();
        Txn {
            guards: vec![self.guarded(seen, Weakening::ReviveByCreated)],
            ops: vec![
                less(seen, which),
                Op::Put(ready, Value::Record(Record { pack, which, tally })),
                acted(pack, act, (Outcome::Revived, which)),
            ],
        }
    }

    pub(crate) fn raise(pack: u8) -> Txn {
        let above = 2 * pack + 1;
        Txn {
            guards: vec![is(Key::Horizon, Test::HorizonBelow(above))],
            ops: vec![Op::Put(Key::Horizon, Value::Horizon(above))],
        }
    }

    pub(crate) fn collect(self, pack: u8, mark: Rev, idem: Option<u8>) -> Txn {
        let mut txn = Txn::default();
        if !self.lacks(Weakening::CollectWithoutHorizon) {
            txn.guards
                .push(is(Key::Horizon, Test::HorizonAbove(2 * pack)));
        }
        if !self.lacks(Weakening::CollectWithoutMark) {
            txn.guards.push(is(Key::Gc(pack), Test::Modified(mark)));
        }
        txn.ops.extend([
            Op::Delete(Key::Pack(pack)),
            Op::DeleteResults(pack),
            Op::Delete(Key::Gc(pack)),
        ]);
        txn.ops.extend(idem.map(|idem| Op::Delete(Key::Idem(idem))));
        txn
    }

    pub(crate) fn unmark(self, pack: u8, mark: Rev) -> Txn {
        let guards = vec![is(Key::Gc(pack), Test::Modified(mark))];
        Txn {
            guards: if self.lacks(Weakening::UnmarkWithoutMark) {
                Vec::new()
            } else {
                guards
            },
            ops: vec![Op::Delete(Key::Gc(pack))],
        }
    }
}

impl Seen {
    pub(crate) fn new(key: Key, id: Id, record: Record, kv: &Kv) -> Self {
        let (created, modified) = (kv.created, kv.modified);
        Self {
            key,
            id,
            record,
            created,
            modified,
        }
    }
}

/// A record without some of its tasks, or gone.
fn less(seen: &Seen, taken: Which) -> Op {
    let which = seen.record.which & !taken;
    if which == 0 {
        return Op::Delete(seen.key);
    }
    let record = Record {
        which,
        ..seen.record
    };
    Op::Put(seen.key, Value::Record(record))
}

fn acted(pack: u8, act: u8, (outcome, which): (Outcome, Which)) -> Op {
    let key = Key::Result {
        pack,
        origin: Origin::Act(act),
        n: 0,
    };
    let goes_on = outcome == Outcome::Revived;
    let line = Attempt {
        which,
        outcome,
        goes_on,
    };
    Op::Put(key, Value::Outcomes(vec![line]))
}
