//! Whether everything ends from a state in which nothing is on its way and no further fault happens. Every state can reach such a
//! one, by what is on its way arriving or being lost; so work drains from every state if it drains from these.

use crate::action::Action;
use crate::checks::is_drained;
use crate::etcd::{Key, Op, Outcome, Place, Value};
use crate::flight::Flight;
use crate::model::Model;
use crate::state::State;
use crate::weakening::Weakening;

/// 64 rounds: each moves every task by one step, and none needs twenty.
const ROUNDS_MAX: usize = 64;

/// Whether everything ends.
pub(crate) fn drains(model: &Model, from: &State) -> bool {
    let mut state = from.clone();
    for _ in 0..ROUNDS_MAX {
        let before = state.store.clone();
        for node in 0..model.config.nodes {
            if !state.store.has(Key::Node(node)) {
                model.fault(&mut state, &Action::NodeIsBack { node });
            }
        }
        let leader = lead(&mut state);
        round(model, &mut state, leader);
        if state.broken.is_some() {
            // Another promise's: the search finds it as what it is.
            return true;
        }
        if state.store == before {
            break;
        }
    }
    is_drained(model, &state)
}

/// Someone leads: the candidate whose key is there, or a new one.
fn lead(state: &mut State) -> u8 {
    let leader = u8::from(!state.store.has(Key::Elect(0)));
    if !state.store.has(Key::Elect(leader)) {
        let rev = state.revision();
        state
            .store
            .apply(&Op::Put(Key::Elect(leader), Value::Empty), rev);
    }
    let term = state.store.created(Key::Elect(leader));
    if state.leaders[usize::from(leader)] != term {
        state.kept[usize::from(leader)] = 0;
    }
    state.leaders[usize::from(leader)] = term;
    state.newest = state.leaders[usize::from(leader)];
    leader
}

fn round(model: &Model, state: &mut State, leader: u8) {
    let runs: Vec<_> = state
        .store
        .runs()
        .map(|(node, claim, run, _)| (node, claim, run))
        .collect();
    for (node, claim, run) in runs {
        let gone = state.store.created(Key::Node(node)) != run.session;
        if gone {
            let flight = model.reclaim(state, leader, (node, claim), false);
            send(model, state, flight);
        } else if Model::in_hand(state, node, claim, run) {
            let flight = model.report(state, (node, claim), &[(Outcome::Succeeded, run.which)]);
            send(model, state, flight);
        }
    }
    let records: Vec<_> = state
        .store
        .records()
        .map(|(key, place, _, record, _)| (key, place, record))
        .collect();
    for (key, place, record) in records {
        let flight = match place {
            Place::Due => model.promote(state, leader, key),
            Place::Parked if model.protocol.lacks(Weakening::ParkedIsForgotten) => None,
            Place::Ready | Place::Parked => {
                let sets = model.portions(state, leader, record.pack, record.which);
                let set = sets.first().copied().unwrap_or(0);
                let fits = |node: &u8| model.room(state, leader, *node) >= set.count_ones();
                let node = (0..model.config.nodes).find(fits).filter(|_| set != 0);
                node.and_then(|node| model.assign(state, leader, key, &[(node, set)]))
            }
            Place::Dead => None,
        };
        send(model, state, flight);
    }
    for holder in 0..2 {
        let flight = model.release(state, holder);
        send(model, state, flight);
        let flight = model.grant(state, leader, holder);
        send(model, state, flight);
    }
    if model.config.collects {
        for pack in 1..=2 {
            let flight = model.collect(state, leader, pack);
            send(model, state, flight);
        }
    }
}

fn send(model: &Model, state: &mut State, flight: Option<Flight>) {
    if let Some(flight) = flight {
        state.flights.push(flight);
        model.arrives(state, state.flights.len() - 1);
    }
}
