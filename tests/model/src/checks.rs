//! The promises, each checked in every state.

use stateright::Property;

use crate::etcd::{Key, Outcome, Place};
use crate::model::Model;
use crate::plan::finals;
use crate::settle::singles;
use crate::state::{Asked, Broken, State};

/// Accepted is never lost: a task is in one place, never in none or two.
pub const ONE_PLACE: &str = "one place";
/// An attempt's outcome is committed once.
pub const ONE_OUTCOME: &str = "one outcome";
/// What was acknowledged as cancelled ends, and is not claimed again.
pub const CANCEL_HOLDS: &str = "cancel holds";
/// Nothing of an old term is committed after the next was activated.
pub const ONE_TERM: &str = "one term";
/// A task fails at most as often as its policy allows.
pub const ATTEMPTS: &str = "attempts bounded";
/// A request is accepted once.
pub const ACCEPTED_ONCE: &str = "accepted once";
/// A node holds at most what it has room for.
pub const ROOM: &str = "room";
/// No claim of a former process looks like the present one's.
pub const SESSIONS: &str = "sessions apart";
/// No grant exceeds the limit in force.
pub const LIMITS: &str = "limits hold";
/// The lock is held once, by a claim of one task or by somebody outside.
pub const LOCKS: &str = "locks exclude";
/// What somebody outside holds is not taken away by another.
pub const HOLDS: &str = "holds stay";
/// Without further faults everything ends and is collected.
pub const DRAINS: &str = "drains";

/// In the order in which they are named where one step breaks several.
pub const ALL: [&str; 12] = [
    ONE_PLACE,
    ONE_OUTCOME,
    CANCEL_HOLDS,
    ONE_TERM,
    ATTEMPTS,
    ACCEPTED_ONCE,
    ROOM,
    SESSIONS,
    LIMITS,
    LOCKS,
    HOLDS,
    DRAINS,
];

pub(crate) fn properties() -> Vec<Property<Model>> {
    vec![
        Property::always(ONE_PLACE, one_place),
        Property::always(ONE_OUTCOME, |_, state: &State| {
            state.broken != Some(Broken::TwoOutcomes)
        }),
        Property::always(CANCEL_HOLDS, cancel_holds),
        Property::always(ONE_TERM, |_, state: &State| {
            state.broken != Some(Broken::OldTerm)
        }),
        Property::always(ATTEMPTS, attempts),
        Property::always(ACCEPTED_ONCE, |_, state: &State| {
            state.broken != Some(Broken::AcceptedTwice)
        }),
        Property::always(ROOM, room),
        Property::always(SESSIONS, |_, state: &State| {
            state.broken != Some(Broken::SessionShared)
        }),
        Property::always(LIMITS, |_, state: &State| {
            state.broken != Some(Broken::BeyondLimit)
        }),
        Property::always(LOCKS, |model: &Model, state: &State| {
            model.lock_is_held_once(&state.store)
        }),
        Property::always(HOLDS, |_, state: &State| {
            state.broken != Some(Broken::Robbed)
        }),
    ]
}

fn packs(model: &Model) -> impl Iterator<Item = u8> {
    1..=u8::try_from(model.config.packs.len()).expect("two at most")
}

fn one_place(model: &Model, state: &State) -> bool {
    if state.broken.is_some() {
        return state.broken != Some(Broken::CollectedAlive);
    }
    packs(model).all(|pack| {
        let (accepted, collected) = (bit(state.accepted, pack), bit(state.collected, pack));
        let acknowledged = state.submits[usize::from(pack - 1)] == Asked::Done;
        if acknowledged && !accepted {
            return false;
        }
        let waits = || {
            state
                .store
                .records()
                .filter(move |(.., record, _)| record.pack == pack)
        };
        let runs = || {
            state
                .store
                .runs()
                .filter(move |(_, _, run, _)| run.pack == pack)
        };
        if !accepted || collected {
            return waits().next().is_none() && runs().next().is_none();
        }
        let ended = state.store.outcomes(pack).filter(|(_, line)| !line.goes_on);
        let sets = waits()
            .map(|(.., record, _)| record.which)
            .chain(runs().map(|(_, _, run, _)| run.which));
        let sets: Vec<u8> = sets.chain(ended.map(|(_, line)| line.which)).collect();
        let all = singles(model.whole(pack));
        all.iter()
            .all(|task| sets.iter().filter(|set| *set & task != 0).count() == 1)
    })
}

fn cancel_holds(model: &Model, state: &State) -> bool {
    packs(model).all(|pack| {
        let which = state.cancelled[usize::from(pack - 1)];
        if which == 0 {
            return true;
        }
        let waits = state
            .store
            .records()
            .any(|(.., record, _)| record.pack == pack && record.which & which != 0);
        let runs = state.store.runs().any(|(node, claim, run, _)| {
            run.pack == pack && run.which & which & !state.store.stop(node, claim).0 != 0
        });
        !waits && !runs
    })
}

fn attempts(model: &Model, state: &State) -> bool {
    packs(model).all(|pack| {
        singles(model.whole(pack)).into_iter().all(|task| {
            let of = |outcome| {
                state
                    .store
                    .outcomes(pack)
                    .filter(move |(_, line)| line.outcome == outcome && line.which & task != 0)
            };
            let lives = 1 + of(Outcome::Revived).count();
            of(Outcome::Failed).count() <= usize::from(model.config.failures) * lives
        })
    })
}

fn room(model: &Model, state: &State) -> bool {
    (0..2).all(|node| {
        let held = state.store.runs().filter(|(n, ..)| *n == node);
        held.map(|(_, _, run, _)| run.which.count_ones())
            .sum::<u32>()
            <= model.config.room
    })
}

fn bit(set: u8, pack: u8) -> bool {
    set & (1 << (pack - 1)) != 0
}

/// Whether everything has ended: nothing waits but dead letters, nothing runs, and what has ended is forgotten.
pub(crate) fn is_drained(model: &Model, state: &State) -> bool {
    let left = state.store.kvs.iter().any(|(key, _)| match key {
        Key::Record(Place::Parked, id) => !model.is_too_heavy(&state.store, id.pack),
        Key::Record(place, _) => *place != Place::Dead,
        Key::Run { .. } | Key::Stop { .. } | Key::Hold(_) => true,
        Key::Want(holder) => !model.wants_too_much(&state.store, *holder),
        Key::Gc(_) => model.config.collects,
        Key::Pack(pack) => model.config.collects && finals(state, *pack) == model.whole(*pack),
        Key::Result { .. }
        | Key::Elect(_)
        | Key::Node(_)
        | Key::Horizon
        | Key::Idem(_)
        | Key::Limit
        | Key::Rules
        | Key::Lease(_) => false,
    });
    !left
}
