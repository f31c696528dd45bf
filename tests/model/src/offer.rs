//! Which steps a state offers: what may be sent, what may become of what is on its way, and what may fail.

use crate::action::{Action, Ending, Named, Sent};
use crate::etcd::{Key, Outcome, Place, Record, Which};
use crate::flight::What;
use crate::model::Model;
use crate::plan::{Looked, endings};
use crate::settle::singles;
use crate::state::{Asked, State};
use crate::weakening::Weakening;

impl Model {
    pub(crate) fn sendings(&self, state: &State, actions: &mut Vec<Action>) {
        for (pack, asked) in (1..).zip(&state.submits[..self.config.packs.len()]) {
            if *asked == Asked::Not && self.may_submit(state, pack) {
                actions.push(Action::Submit { pack });
            }
        }
        for leader in (0..2).filter(|leader| state.leaders[usize::from(*leader)] != 0) {
            self.leading(state, leader, actions);
        }
        for (node, claim, run, _) in state.store.runs() {
            if Self::in_hand(state, node, claim, run) {
                self.reporting(state, (node, claim), run.which, actions);
            }
        }
        for (nth, (pack, _)) in (0..).zip(self.config.cancels) {
            let asked = state.cancels[usize::from(nth)];
            if matches!(asked, Asked::Not | Asked::Again) && state.store.has(Key::Pack(*pack)) {
                actions.push(Action::Cancel { nth });
            }
        }
        self.outsiders(state, actions);
        let may_revive = match state.revive {
            Asked::Not => matches!(self.revive(state), Looked::Send(_)),
            Asked::Again => true,
            Asked::Sent | Asked::Unsure | Asked::Done | Asked::Over => false,
        };
        if may_revive {
            actions.push(Action::Revive);
        }
    }

    /// What is asked for about limits and holds.
    fn outsiders(&self, state: &State, actions: &mut Vec<Action>) {
        if state.edit == Asked::Not {
            actions.push(Action::Edit);
        }
        for (holder, _) in (0..).zip(self.config.outside) {
            let asked = state.wants[usize::from(holder)];
            if asked == Asked::Not && state.store.has(Key::Lease(holder)) {
                actions.push(Action::Want { holder });
            }
            if self.release(state, holder).is_some() {
                actions.push(Action::Release { holder });
            }
        }
    }

    fn may_submit(&self, state: &State, pack: u8) -> bool {
        let of = self.config.packs[usize::from(pack - 1)];
        let twin = (1_u8..)
            .zip(self.config.packs)
            .find(|(other, twin)| *other < pack && twin.request == of.request);
        match twin {
            Some((other, _)) if !of.idem => state.submits[usize::from(other - 1)] == Asked::Over,
            Some(_) | None => true,
        }
    }

    fn leading(&self, state: &State, leader: u8, actions: &mut Vec<Action>) {
        for (key, place, _, record, _) in state.store.records() {
            if Self::reserved(state, leader, key) {
                continue;
            }
            let named = Named(key);
            if self.parks(state, leader, place, record.pack) {
                actions.push(Action::Park {
                    leader,
                    record: named,
                });
            }
            match place {
                Place::Parked if self.protocol.lacks(Weakening::ParkedIsForgotten) => {}
                Place::Due => actions.push(Action::Promote {
                    leader,
                    record: named,
                }),
                Place::Ready | Place::Parked => {
                    self.assigning(state, leader, named, record, actions);
                }
                Place::Dead => {}
            }
        }
        for (node, claim, run, _) in state.store.runs() {
            let gone = state.store.created(Key::Node(node)) != run.session;
            if gone && !Self::reserved(state, leader, Key::Run { node, claim }) {
                let died = self.config.deaths > 0;
                actions.push(Action::Reclaim {
                    leader,
                    node,
                    claim,
                    died: false,
                });
                if died {
                    actions.push(Action::Reclaim {
                        leader,
                        node,
                        claim,
                        died,
                    });
                }
            }
        }
        for holder in 0..2 {
            if self.grant(state, leader, holder).is_some() {
                actions.push(Action::Grant { leader, holder });
            }
        }
        if self.config.collects {
            for pack in (1..=2).filter(|pack| state.store.has(Key::Gc(*pack))) {
                if self.collect(state, leader, pack).is_some() {
                    actions.push(Action::Collect { leader, pack });
                }
            }
        }
    }

    fn assigning(
        &self,
        state: &State,
        leader: u8,
        record: Named,
        Record { pack, which, .. }: Record,
        actions: &mut Vec<Action>,
    ) {
        let live = |node: &u8| state.store.has(Key::Node(*node));
        let sets = self.portions(state, leader, pack, which);
        for node in (0..self.config.nodes).filter(live) {
            let room = self.room(state, leader, node);
            for set in sets.iter().filter(|set| set.count_ones() <= room) {
                actions.push(Action::Assign {
                    leader,
                    record,
                    shares: vec![(node, *set)],
                });
            }
        }
        let both = self.config.partial && self.config.nodes == 2 && live(&0) && live(&1);
        if let (true, [one, two]) = (both, singles(which).as_slice())
            && self.fits(state, leader, pack, which)
            && self.room(state, leader, 0) > 0
            && self.room(state, leader, 1) > 0
        {
            actions.push(Action::Assign {
                leader,
                record,
                shares: vec![(0, *one), (1, *two)],
            });
        }
        if self.protocol.lacks(Weakening::BatchesOverlap) && which.count_ones() > 1 && live(&0) {
            actions.push(Action::AssignTwice { leader, record });
        }
    }

    fn reporting(
        &self,
        state: &State,
        (node, claim): (u8, u8),
        which: Which,
        actions: &mut Vec<Action>,
    ) {
        let mut outcomes = vec![Outcome::Succeeded];
        if self.config.failures > 0 {
            outcomes.push(Outcome::Failed);
        }
        if state.left.returns > 0 {
            outcomes.push(Outcome::Returned);
        }
        for endings in endings(which, &outcomes, self.config.partial) {
            let endings = endings
                .into_iter()
                .map(|(outcome, which)| Ending(outcome, which))
                .collect();
            actions.push(Action::Report {
                node,
                claim,
                endings,
            });
        }
    }

    pub(crate) fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        for node in 0..self.config.nodes {
            let here = state.store.has(Key::Node(node));
            if here && state.left.sessions > 0 {
                actions.push(Action::LeaseOfNodeEnds { node });
            }
            let over = self.protocol.lacks(Weakening::NodeOverwritten) && state.left.sessions > 0;
            if !here || over {
                actions.push(Action::NodeIsBack { node });
            }
        }
        for holder in 0..2 {
            if state.store.has(Key::Lease(holder)) && state.left.leases > 0 {
                actions.push(Action::LeaseOfHolderEnds { holder });
            }
        }
        for leader in 0..2 {
            let here = state.store.has(Key::Elect(leader));
            let leads = here && state.newest == state.store.created(Key::Elect(leader));
            if leads && state.left.terms > 0 {
                actions.push(Action::LeaseOfLeaderEnds { leader });
            }
            // The oldest candidate: the other's key is gone.
            if here && !leads && !state.store.has(Key::Elect(1 - leader)) {
                actions.push(Action::Activates { leader });
            }
        }
    }

    pub(crate) fn network(&self, state: &State, actions: &mut Vec<Action>) {
        for (nth, flight) in state.flights.iter().enumerate() {
            let what = Sent(flight.what.clone());
            actions.push(Action::Arrives {
                nth,
                what: what.clone(),
            });
            if flight.awaited && self.forgets(&flight.what) {
                actions.push(Action::Forgotten {
                    nth,
                    what: what.clone(),
                });
            }
            if flight.awaited && state.flights.len() < self.config.flights {
                actions.push(Action::SentAgain {
                    nth,
                    what: what.clone(),
                });
            }
            if !flight.awaited {
                actions.push(Action::Lost { nth, what });
            }
        }
    }

    fn forgets(&self, what: &What) -> bool {
        use Weakening as W;
        let by: &[W] = if let What::Submit(_) = what {
            &[W::SubmitUnknownTakenAsDone, W::SubmitUnknownUnderNewId]
        } else if let What::Assign(..) = what {
            &[W::AssignUnknownTakenAsFailed]
        } else if let What::Report { .. } = what {
            &[W::ReportUnknownBuiltAnew, W::ReportUnknownTakenAsDone]
        } else {
            &[]
        };
        by.iter().any(|weakening| self.protocol.lacks(*weakening))
    }
}
