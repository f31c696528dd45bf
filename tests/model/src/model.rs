//! The model: which steps a state allows. Messages are late, lost or reordered because each may arrive at any later step or never;
//! an answer is lost where its sender gives it up first.

use stateright::{Model as Checked, Property};

use crate::action::Action;
use crate::checks;
use crate::config::Config;
use crate::drain::drains;
use crate::etcd::{Outcome, Which};
use crate::flight::What;
use crate::plan::Looked;
use crate::settle::Budgets;
use crate::state::{Asked, State};
use crate::txns::Protocol;
use crate::weakening::Weakening;

/// A configuration under the protocol, whole or weakened.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) config: Config,
    pub(crate) protocol: Protocol,
}

impl Config {
    pub(crate) fn budgets(&self) -> Budgets {
        let deaths = if self.deaths == 0 {
            u8::MAX
        } else {
            self.deaths
        };
        Budgets {
            failures: self.failures,
            deaths,
        }
    }
}

impl Model {
    /// A configuration, without one guard or with all.
    pub fn new(config: Config, without: Option<Weakening>) -> Self {
        let protocol = Protocol { without };
        Self { config, protocol }
    }

    fn by_created(&self) -> bool {
        use Weakening as W;
        let by = [
            W::PromoteByCreated,
            W::AssignByCreated,
            W::ReportByCreated,
            W::ReclaimByCreated,
            W::CancelByCreated,
            W::ReviveByCreated,
        ];
        by.iter().any(|weakening| self.protocol.lacks(*weakening))
    }

    fn forget(&self, state: &mut State, nth: usize) {
        let flight = &mut state.flights[nth];
        flight.awaited = false;
        flight.touch = None;
        let done = self.protocol.lacks(Weakening::ReportUnknownTakenAsDone);
        if let What::Submit(pack) = flight.what {
            let known = self.protocol.lacks(Weakening::SubmitUnknownTakenAsDone);
            let asked = if known { Asked::Done } else { Asked::Over };
            state.submits[usize::from(pack - 1)] = asked;
        } else if let What::Report { node, claim, .. } = flight.what
            && done
        {
            state.nodes[usize::from(node)].done.push(claim);
        }
    }

    /// Takes a step. None where there is nothing to do.
    pub(crate) fn step(&self, state: &mut State, action: &Action) -> Option<()> {
        let flight = match action {
            Action::Submit { pack } => {
                state.submits[usize::from(pack - 1)] = Asked::Sent;
                self.submit(*pack)
            }
            Action::Promote { leader, record } => self.promote(state, *leader, record.0)?,
            Action::Assign {
                leader,
                record,
                shares,
            } => self.assign(state, *leader, record.0, shares)?,
            Action::AssignTwice { leader, record } => self.overlap(state, *leader, record.0)?,
            Action::Park { leader, record } => self.park(state, *leader, record.0)?,
            Action::Grant { leader, holder } => self.grant(state, *leader, *holder)?,
            Action::Edit => {
                state.edit = Asked::Sent;
                self.edit(state)?
            }
            Action::Want { holder } => {
                state.wants[usize::from(*holder)] = Asked::Sent;
                Self::want(state, *holder)
            }
            Action::Release { holder } => self.release(state, *holder)?,
            Action::Reclaim {
                leader,
                node,
                claim,
                died,
            } => self.reclaim(state, *leader, (*node, *claim), *died)?,
            Action::Collect { leader, pack } => {
                let flight = self.collect(state, *leader, *pack)?;
                if let What::Raise(pack) = flight.what {
                    state.late |= self.twins_on_their_way(state, pack);
                }
                flight
            }
            Action::Report {
                node,
                claim,
                endings,
            } => {
                let endings: Vec<(Outcome, Which)> =
                    endings.iter().map(|ending| (ending.0, ending.1)).collect();
                if endings
                    .iter()
                    .any(|(outcome, _)| *outcome == Outcome::Returned)
                {
                    state.left.returns -= 1;
                }
                self.report(state, (*node, *claim), &endings)?
            }
            Action::Cancel { nth } => {
                self.cancelling(state, *nth);
                return Some(());
            }
            Action::Revive => match self.revive(state) {
                Looked::Send(flight) => {
                    state.revive = Asked::Sent;
                    flight
                }
                Looked::Done => {
                    state.revive = Asked::Done;
                    return Some(());
                }
                Looked::Over => {
                    state.revive = Asked::Over;
                    return Some(());
                }
            },
            Action::Arrives { nth, .. } => {
                self.arrives(state, *nth);
                return Some(());
            }
            Action::SentAgain { nth, .. } => {
                let again = state.flights[*nth].stray();
                if let What::Stop(nth) | What::Cancel(nth) = again.what {
                    state.cancels[usize::from(nth)] = Asked::Unsure;
                }
                again
            }
            Action::Forgotten { nth, .. } => {
                self.forget(state, *nth);
                return Some(());
            }
            Action::Lost { nth, .. } => {
                state.flights.remove(*nth);
                return Some(());
            }
            Action::LeaseOfNodeEnds { .. }
            | Action::NodeIsBack { .. }
            | Action::LeaseOfLeaderEnds { .. }
            | Action::LeaseOfHolderEnds { .. }
            | Action::Activates { .. } => {
                self.fault(state, action);
                return Some(());
            }
        };
        state.flights.push(flight);
        Some(())
    }

    fn cancelling(&self, state: &mut State, nth: u8) {
        let at = usize::from(nth);
        let unsure = state.cancels[at] == Asked::Again;
        match self.cancel(state, nth, unsure) {
            Looked::Done => self.cancelled(state, nth),
            Looked::Over => state.cancels[at] = Asked::Over,
            Looked::Send(flight) => {
                state.cancels[at] = if unsure { Asked::Unsure } else { Asked::Sent };
                state.flights.push(flight);
            }
        }
    }

    /// The user is told that the task is cancelled, or will be.
    pub(crate) fn cancelled(&self, state: &mut State, nth: u8) {
        let (pack, which) = self.config.cancels[usize::from(nth)];
        state.cancels[usize::from(nth)] = Asked::Done;
        state.cancelled[usize::from(pack - 1)] |= which;
    }
}

impl Checked for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let state = State::first(&self.config);
        vec![state.representative(self.by_created(), false)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        if state.flights.len() < self.config.flights {
            self.sendings(state, actions);
        }
        self.network(state, actions);
        self.faults(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, &action)?;
        Some(state.representative(self.by_created(), self.config.nodes == 2))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = checks::properties();
        all.push(Property::always(
            checks::DRAINS,
            |model: &Self, state: &State| {
                !state.flights.is_empty() || state.broken.is_some() || drains(model, state)
            },
        ));
        all
    }
}
