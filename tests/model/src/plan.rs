//! What leaders, nodes and users may send in a state: each looks at the keys as they are and builds its transaction. That it looked
//! at older ones is the same as that it was sent then and comes late.

use crate::etcd::{Guard, Key, Origin, Outcome, Place, Run, Test, Txn, Which};
use crate::flight::{Flight, From, What};
use crate::model::Model;
use crate::settle::{Ended, settle, singles};
use crate::state::State;
use crate::txns::{Claimed, Protocol, Seen, Take};
use crate::weakening::Weakening;

/// What a user who cancels or revives finds.
pub(crate) enum Looked {
    /// It is done already.
    Done,
    /// It cannot be done.
    Over,
    Send(Flight),
}

impl Model {
    pub(crate) fn whole(&self, pack: u8) -> Which {
        (1 << self.config.packs[usize::from(pack - 1)].tasks) - 1
    }

    fn idem(&self, pack: u8) -> Option<u8> {
        let of = self.config.packs[usize::from(pack - 1)];
        of.idem.then_some(of.request)
    }

    pub(crate) fn submit(&self, pack: u8) -> Flight {
        let due = self.config.packs[usize::from(pack - 1)].due;
        let txn = self
            .protocol
            .submit(pack, self.whole(pack), due, self.idem(pack));
        flight(What::Submit(pack), From::User, vec![txn])
    }

    /// A leader's, under its fence.
    pub(crate) fn fenced(
        &self,
        state: &State,
        leader: u8,
        what: What,
        mut txns: Vec<Txn>,
    ) -> Flight {
        let term = state.leaders[usize::from(leader)];
        let fence = Guard {
            key: Key::Elect(leader),
            test: Test::Created(term),
        };
        if !self.protocol.lacks(Weakening::NoTerm) {
            for txn in &mut txns {
                txn.guards.push(fence);
            }
        }
        Flight {
            term,
            ..flight(what, From::Leader(leader), txns)
        }
    }

    pub(crate) fn seen(state: &State, key: Key) -> Option<Seen> {
        let found = state.store.records().find(|(other, ..)| *other == key);
        found.map(|(key, _, id, record, kv)| Seen::new(key, id, record, kv))
    }

    pub(crate) fn claimed(state: &State, node: u8, claim: u8) -> Option<Claimed> {
        let (_, _, run, kv) = state
            .store
            .runs()
            .find(|(n, c, ..)| (*n, *c) == (node, claim))?;
        let stop = state.store.stop(node, claim).1;
        let (created, modified) = (kv.created, kv.modified);
        Some(Claimed {
            node,
            claim,
            run,
            created,
            modified,
            stop,
        })
    }

    /// Records that this leader may give to nobody else meanwhile.
    pub(crate) fn reserved(state: &State, leader: u8, key: Key) -> bool {
        state
            .awaited()
            .filter(|flight| flight.from == From::Leader(leader))
            .any(|flight| match &flight.what {
                What::Promote(other)
                | What::Assign(other, _)
                | What::Touch(other, _)
                | What::Park(other) => *other == key,
                What::Grant(holder) => Key::Want(*holder) == key,
                What::Reclaim { node, claim } => {
                    Key::Run {
                        node: *node,
                        claim: *claim,
                    } == key
                }
                What::Collect(pack) | What::Unmark(pack) => Key::Gc(*pack) == key,
                What::Raise(_) => Key::Horizon == key,
                What::Submit(_)
                | What::Report { .. }
                | What::Stop(_)
                | What::Cancel(_)
                | What::Revive
                | What::Edit
                | What::Want(_)
                | What::Release(_) => false,
            })
    }

    pub(crate) fn promote(&self, state: &State, leader: u8, key: Key) -> Option<Flight> {
        let seen = Self::seen(state, key)?;
        Some(self.fenced(
            state,
            leader,
            What::Promote(key),
            vec![self.protocol.promote(&seen)],
        ))
    }

    pub(crate) fn assign(
        &self,
        state: &State,
        leader: u8,
        key: Key,
        shares: &[(u8, Which)],
    ) -> Option<Flight> {
        let seen = Self::seen(state, key)?;
        let mut takes: Vec<(Take, u8)> = Vec::new();
        for (node, which) in shares {
            let session = state.store.created(Key::Node(*node));
            if session == 0 || which & !seen.record.which != 0 {
                return None;
            }
            let claim = state.free_claim(takes.first().map(|(take, _)| take.claim));
            takes.push((
                Take {
                    node: *node,
                    claim,
                    which: *which,
                },
                session,
            ));
        }
        let mut txn = self
            .protocol
            .assign(&seen, &takes, self.whole(seen.record.pack));
        let (permits, _) = self.taken(seen.record.pack, 1);
        txn.guards
            .extend(self.rules(state, permits > 0, Weakening::AssignWithoutRules));
        let takes = takes.into_iter().map(|(take, _)| take).collect();
        let mut touch = self.fenced(
            state,
            leader,
            What::Revive,
            vec![self.protocol.touch(&seen)],
        );
        let mut flight = self.fenced(state, leader, What::Assign(key, takes), vec![txn]);
        flight.touch = touch.txns.pop();
        Some(flight)
    }

    /// Two assignments of one record in one batch.
    pub(crate) fn overlap(&self, state: &State, leader: u8, key: Key) -> Option<Flight> {
        let seen = Self::seen(state, key)?;
        let part = *singles(seen.record.which).first()?;
        let mut first = self.assign(state, leader, key, &[(0, part)])?;
        let session = state.store.created(Key::Node(0));
        let claim = state.free_claim(Some(state.free_claim(None)));
        let take = Take {
            node: 0,
            claim,
            which: seen.record.which,
        };
        let second = self
            .protocol
            .assign(&seen, &[(take, session)], self.whole(seen.record.pack));
        first.txns.push(second);
        Some(first)
    }

    pub(crate) fn reclaim(
        &self,
        state: &State,
        leader: u8,
        (node, claim): (u8, u8),
        died: bool,
    ) -> Option<Flight> {
        let mut of = Self::claimed(state, node, claim)?;
        let stopped = state.store.stop(node, claim).0;
        if self.protocol.lacks(Weakening::ReclaimForgetsFailures) {
            of.run.tally.failures = 0;
        }
        let endings = [(Outcome::Lost, of.run.which)];
        let (run, endings) = (of.run, endings.as_slice());
        let (_, settled) = settle(
            &Ended {
                run,
                stopped,
                endings,
                died,
            },
            self.config.budgets(),
        );
        let txn = self.protocol.reclaim(&of, &settled);
        Some(self.fenced(state, leader, What::Reclaim { node, claim }, vec![txn]))
    }

    /// The next step of collecting a pack: drop its mark, raise the horizon, or collect.
    pub(crate) fn collect(&self, state: &State, leader: u8, pack: u8) -> Option<Flight> {
        let mark = state.store.modified(Key::Gc(pack));
        let ended = state.store.has(Key::Pack(pack)) && finals(state, pack) == self.whole(pack);
        let above = Guard {
            key: Key::Horizon,
            test: Test::HorizonAbove(2 * pack),
        };
        let (what, key, txn) = if !ended {
            (
                What::Unmark(pack),
                Key::Gc(pack),
                self.protocol.unmark(pack, mark),
            )
        } else if state.store.holds(above) || self.protocol.lacks(Weakening::CollectWithoutHorizon)
        {
            let txn = self.protocol.collect(pack, mark, self.idem(pack));
            (What::Collect(pack), Key::Gc(pack), txn)
        } else {
            let newest = self
                .on_their_way(state)
                .max()
                .map_or(pack, |twin| twin.max(pack));
            (What::Raise(pack), Key::Horizon, Protocol::raise(newest))
        };
        let free = mark != 0 && !Self::reserved(state, leader, key);
        free.then(|| self.fenced(state, leader, what, vec![txn]))
    }

    /// Packs whose submits are on their way when the horizon is raised: they were made before the ended pack's retention was half over,
    /// because no message is later than that.
    fn on_their_way(&self, state: &State) -> impl Iterator<Item = u8> {
        let raised = !self.protocol.lacks(Weakening::RaiseJustAbove);
        submits(state).filter(move |_| raised)
    }

    /// Those of them that ask for the same as this pack.
    pub(crate) fn twins_on_their_way(&self, state: &State, pack: u8) -> u8 {
        let request = |pack: u8| self.config.packs[usize::from(pack - 1)].request;
        let twins = submits(state).filter(|twin| *twin != pack && request(*twin) == request(pack));
        twins.fold(0, |all, twin| all | 1 << (twin - 1))
    }

    /// A node's own claim, where no report on it is awaited.
    pub(crate) fn in_hand(state: &State, node: u8, claim: u8, run: Run) -> bool {
        let process = &state.nodes[usize::from(node)];
        let told = state.awaited().any(|flight| {
            matches!(&flight.what, What::Report { node: n, claim: c, .. } if (*n, *c) == (node, claim))
        });
        run.session == process.session && !process.done.contains(&claim) && !told
    }

    pub(crate) fn report(
        &self,
        state: &State,
        (node, claim): (u8, u8),
        endings: &[(Outcome, Which)],
    ) -> Option<Flight> {
        let of = Self::claimed(state, node, claim)?;
        let stopped = state.store.stop(node, claim).0;
        let run = of.run;
        let (rest, settled) = settle(
            &Ended {
                run,
                stopped,
                endings,
                died: false,
            },
            self.config.budgets(),
        );
        let txn = self.protocol.report(&of, rest, &settled);
        let origin = Origin::Claim(claim);
        let result = Key::Result {
            pack: run.pack,
            origin,
            n: run.n,
        };
        let rest = rest.is_some();
        let what = What::Report {
            node,
            claim,
            result,
            rest,
        };
        Some(flight(what, From::Node(node), vec![txn]))
    }

    /// A cancel's look, and what it sends then.
    pub(crate) fn cancel(&self, state: &State, nth: u8, unsure: bool) -> Looked {
        let (pack, which) = self.config.cancels[usize::from(nth)];
        let of = || state.store.outcomes(pack);
        if of().any(|(origin, _)| origin == Origin::Act(nth)) {
            return Looked::Done;
        }
        let last = of().find(|(_, line)| !line.goes_on && line.which & which != 0);
        if let Some((_, line)) = last {
            let ours = unsure && line.outcome == Outcome::Cancelled;
            return if ours { Looked::Done } else { Looked::Over };
        }
        let waits = state
            .store
            .records()
            .find(|(.., record, _)| record.pack == pack && record.which & which != 0);
        if let Some((key, _, id, record, kv)) = waits {
            let txn = self
                .protocol
                .cancel(&Seen::new(key, id, record, kv), nth, which);
            return Looked::Send(flight(What::Cancel(nth), From::User, vec![txn]));
        }
        let runs = state
            .store
            .runs()
            .find(|(_, _, run, _)| run.pack == pack && run.which & which != 0);
        let Some((node, claim, ..)) = runs else {
            return Looked::Over;
        };
        let before = state.store.stop(node, claim).0;
        if before & which != 0 || self.protocol.lacks(Weakening::StopOnlyAsks) {
            return Looked::Done;
        }
        let Some(of) = Self::claimed(state, node, claim) else {
            return Looked::Over;
        };
        Looked::Send(flight(
            What::Stop(nth),
            From::User,
            vec![self.protocol.stop(&of, before | which)],
        ))
    }

    /// A revive's look, and what it sends then.
    pub(crate) fn revive(&self, state: &State) -> Looked {
        let Some((pack, which)) = self.config.revive else {
            return Looked::Over;
        };
        if state
            .store
            .outcomes(pack)
            .any(|(origin, _)| origin == Origin::Act(REVIVES))
        {
            return Looked::Done;
        }
        let is_it =
            |place, of: u8, there: Which| place == Place::Dead && of == pack && there & which != 0;
        let mut records = state.store.records();
        let dead =
            records.find(|(_, place, _, record, _)| is_it(*place, record.pack, record.which));
        let Some((key, _, id, record, kv)) = dead else {
            return Looked::Over;
        };
        let txn = self
            .protocol
            .revive(&Seen::new(key, id, record, kv), REVIVES, which);
        Looked::Send(flight(What::Revive, From::User, vec![txn]))
    }
}

/// The act that revives; those that cancel are numbered from 0.
pub(crate) const REVIVES: u8 = 8;

/// Which tasks of a pack have a final outcome.
pub(crate) fn finals(state: &State, pack: u8) -> Which {
    let ends = state.store.outcomes(pack).filter(|(_, line)| !line.goes_on);
    ends.fold(0, |all, (_, line)| all | line.which)
}

pub(crate) fn flight(what: What, from: From, mut txns: Vec<Txn>) -> Flight {
    for txn in &mut txns {
        txn.guards.sort_unstable();
        txn.ops.sort_unstable();
    }
    Flight {
        what,
        from,
        awaited: true,
        term: 0,
        txns,
        touch: None,
    }
}

/// The ways to end some of a claim's tasks: for each, not yet or one of the outcomes.
pub(crate) fn endings(which: Which, of: &[Outcome], partial: bool) -> Vec<Vec<(Outcome, Which)>> {
    let mut all: Vec<Vec<(Outcome, Which)>> = vec![Vec::new()];
    for task in singles(which) {
        let mut more = if partial { all.clone() } else { Vec::new() };
        for before in &all {
            for outcome in of {
                let mut with = before.clone();
                match with.iter_mut().find(|(other, _)| other == outcome) {
                    Some((_, which)) => *which |= task,
                    None => with.push((*outcome, task)),
                }
                with.sort_unstable();
                more.push(with);
            }
        }
        all = more;
    }
    all.retain(|endings| !endings.is_empty());
    all
}

/// Packs whose submits are on their way.
fn submits(state: &State) -> impl Iterator<Item = u8> {
    state.flights.iter().filter_map(|flight| {
        let What::Submit(pack) = flight.what else {
            return None;
        };
        Some(pack)
    })
}
