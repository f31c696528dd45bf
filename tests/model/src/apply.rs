//! What a step does to the keys and to those who wait: a transaction's arrival, its answer, and faults.

use crate::action::Action;
use crate::etcd::{Key, Op, Origin, Txn, Value};
use crate::flight::{Flight, From, What};
use crate::model::Model;
use crate::plan::finals;
use crate::state::{Asked, Broken, State};
use crate::weakening::Weakening;

impl Model {
    /// A transaction arrives: it is applied or refused, and its sender learns which if it still waits.
    pub(crate) fn arrives(&self, state: &mut State, nth: usize) {
        let flight = state.flights.remove(nth);
        let holds = |state: &State| {
            let one = |txn: &Txn| txn.guards.iter().all(|guard| state.store.holds(*guard));
            flight.txns.iter().map(one).collect::<Vec<bool>>()
        };
        for (txn, _) in flight
            .txns
            .iter()
            .zip(holds(state))
            .filter(|(_, holds)| *holds)
        {
            self.witness(state, &flight, &txn.ops);
        }
        let rev = state.revision();
        let (held, _) = self.held(&state.store);
        let done = state
            .store
            .commit(&flight.txns, rev)
            .is_some_and(|done| done.contains(&true));
        let (holds, _) = self.held(&state.store);
        if holds > held && holds > state.store.limit() {
            state.broken.get_or_insert(Broken::BeyondLimit);
        }
        if flight.awaited {
            self.answered(state, &flight, done);
        }
    }

    /// Notes what a commit breaks that the keys will not show afterwards.
    fn witness(&self, state: &mut State, flight: &Flight, ops: &[Op]) {
        if flight.term != 0 && flight.term != state.newest {
            state.broken = Some(Broken::OldTerm);
        }
        for op in ops {
            match op {
                Op::Put(Key::Pack(pack), _) => self.accepts(state, *pack),
                Op::Put(
                    key @ Key::Result {
                        pack,
                        origin: origin @ Origin::Claim(_),
                        ..
                    },
                    Value::Outcomes(lines),
                ) => {
                    let which = lines.iter().fold(0, |all, line| all | line.which);
                    let mut told = state.store.outcomes(*pack);
                    if state.store.has(*key)
                        || told.any(|(other, line)| other == *origin && line.which & which != 0)
                    {
                        state.broken = Some(Broken::TwoOutcomes);
                    }
                }
                Op::Delete(Key::Pack(pack)) => self.collects(state, *pack),
                Op::Delete(Key::Hold(holder)) => {
                    let own = flight.what == What::Release(*holder);
                    if !own && state.store.has(Key::Hold(*holder)) {
                        state.broken = Some(Broken::Robbed);
                    }
                }
                Op::Delete(key @ Key::Run { .. }) => self.keeps(state, flight, *key),
                Op::Put(..) | Op::Delete(_) | Op::DeleteResults(_) => {}
            }
        }
    }

    /// A leader that goes on counting what it takes back: a weakening.
    fn keeps(&self, state: &mut State, flight: &Flight, key: Key) {
        let From::Leader(leader) = flight.from else {
            return;
        };
        let run = state.store.runs().find(|(node, claim, ..)| {
            let (node, claim) = (*node, *claim);
            Key::Run { node, claim } == key
        });
        if let (true, Some((_, _, run, _))) =
            (self.protocol.lacks(Weakening::ReclaimKeepsPermits), run)
        {
            let (permits, _) = self.taken(run.pack, run.which);
            let kept = &mut state.kept[usize::from(leader)];
            *kept = kept.saturating_add(u8::try_from(permits).unwrap_or(u8::MAX));
        }
    }

    fn accepts(&self, state: &mut State, pack: u8) {
        let bit = |pack: u8| 1_u8 << (pack - 1);
        let request = |pack: u8| self.config.packs[usize::from(pack - 1)].request;
        let mut twins = (1..)
            .zip(self.config.packs)
            .map(|(twin, _)| twin)
            .take(self.config.packs.len());
        let twin = twins.any(|twin| {
            twin != pack && request(twin) == request(pack) && state.store.has(Key::Pack(twin))
        });
        let late = state.late & bit(pack) != 0;
        if state.accepted & bit(pack) != 0 || twin || late {
            state.broken = Some(Broken::AcceptedTwice);
        }
        state.accepted |= bit(pack);
    }

    fn collects(&self, state: &mut State, pack: u8) {
        if state.store.has(Key::Pack(pack)) && finals(state, pack) != self.whole(pack) {
            state.broken = Some(Broken::CollectedAlive);
        }
        state.collected |= 1 << (pack - 1);
    }

    fn answered(&self, state: &mut State, flight: &Flight, done: bool) {
        if let From::Leader(leader) = flight.from
            && !self.protocol.lacks(Weakening::NoTerm)
            && state.store.created(Key::Elect(leader)) != flight.term
        {
            state.leaders[usize::from(leader)] = 0;
            state.abandon(flight.from);
            return;
        }
        match &flight.what {
            What::Submit(pack) => {
                let there = done || state.store.has(Key::Pack(*pack));
                state.submits[usize::from(pack - 1)] =
                    if there { Asked::Done } else { Asked::Over };
            }
            What::Stop(nth) | What::Cancel(nth) if done => self.cancelled(state, *nth),
            What::Stop(nth) | What::Cancel(nth) => {
                let asked = &mut state.cancels[usize::from(*nth)];
                *asked = if *asked == Asked::Unsure {
                    Asked::Again
                } else {
                    Asked::Not
                };
            }
            What::Revive => state.revive = if done { Asked::Done } else { Asked::Again },
            What::Edit => state.edit = Asked::Done,
            What::Want(holder) => state.wants[usize::from(*holder)] = Asked::Done,
            // Its own result is there: an earlier copy was committed, so nothing is left of the claim but what that left.
            What::Report {
                node,
                claim,
                result,
                rest: false,
            } if !done && state.store.has(*result) => {
                state.nodes[usize::from(*node)].done.push(*claim);
            }
            What::Report { .. }
            | What::Promote(_)
            | What::Assign(..)
            | What::Touch(..)
            | What::Reclaim { .. }
            | What::Raise(_)
            | What::Collect(_)
            | What::Unmark(_)
            | What::Park(_)
            | What::Grant(_)
            | What::Release(_) => {}
        }
    }

    pub(crate) fn fault(&self, state: &mut State, action: &Action) {
        match action {
            Action::LeaseOfNodeEnds { node } => {
                state.left.sessions -= 1;
                state.store.apply(&Op::Delete(Key::Node(*node)), 0);
                if self.protocol.lacks(Weakening::ClaimsAreLeased) {
                    let claims: Vec<Key> = state.store.kvs.iter().map(|(key, _)| *key).collect();
                    for key in claims
                        .into_iter()
                        .filter(|key| matches!(key, Key::Run { node: n, .. } if n == node))
                    {
                        state.store.apply(&Op::Delete(key), 0);
                    }
                }
            }
            Action::NodeIsBack { node } => is_back(state, *node),
            Action::LeaseOfLeaderEnds { leader } => {
                state.left.terms -= 1;
                state.store.apply(&Op::Delete(Key::Elect(*leader)), 0);
            }
            Action::Activates { leader } => {
                state.newest = state.store.created(Key::Elect(*leader));
                state.leaders[usize::from(*leader)] = state.newest;
                state.kept[usize::from(*leader)] = 0;
            }
            Action::LeaseOfHolderEnds { holder } => {
                state.left.leases -= 1;
                state.store.apply(&Op::Delete(Key::Lease(*holder)), 0);
                state.store.apply(&Op::Delete(Key::Want(*holder)), 0);
                if !self.protocol.lacks(Weakening::HoldWithoutLease) {
                    state.store.apply(&Op::Delete(Key::Hold(*holder)), 0);
                }
                state.abandon(From::Holder(*holder));
            }
            Action::Submit { .. }
            | Action::Promote { .. }
            | Action::Assign { .. }
            | Action::Park { .. }
            | Action::Grant { .. }
            | Action::Edit
            | Action::Want { .. }
            | Action::Release { .. }
            | Action::AssignTwice { .. }
            | Action::Reclaim { .. }
            | Action::Collect { .. }
            | Action::Report { .. }
            | Action::Cancel { .. }
            | Action::Revive
            | Action::Arrives { .. }
            | Action::SentAgain { .. }
            | Action::Forgotten { .. }
            | Action::Lost { .. } => {}
        }
    }
}

fn is_back(state: &mut State, node: u8) {
    if state.store.has(Key::Node(node)) {
        state.left.sessions -= 1;
    }
    let rev = state.revision();
    state
        .store
        .apply(&Op::Put(Key::Node(node), Value::Empty), rev);
    let session = state.store.created(Key::Node(node));
    if state
        .store
        .runs()
        .any(|(n, _, run, _)| n == node && run.session == session)
    {
        state.broken = Some(Broken::SessionShared);
    }
    let process = &mut state.nodes[usize::from(node)];
    process.session = session;
    process.done.clear();
    state.abandon(From::Node(node));
}
