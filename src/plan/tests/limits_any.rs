//! Assignment under limits, whatever is submitted, ends and is edited, and whoever leads.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::limits_hold::{Leader, locks, permits, semaphore, world};
use super::world::name;
use super::{Numbers, Window};
use crate::store::QueueRules;
use crate::task::{Gate, Needs};

/// What a task of the property asks for.
fn needs() -> impl Strategy<Value = Needs> {
    let some =
        |names: &'static [&'static str]| proptest::sample::subsequence(names.to_vec(), 0..=2);
    let weights = (1_u32..4, 1_u32..4);
    let key = proptest::option::of(proptest::sample::select(vec!["k1", "k2"]));
    (some(&["s1", "s2"]), weights, some(&["l1", "l2", "l3"]), key).prop_map(
        |(semaphores, weights, held, key)| {
            let weights = [weights.0, weights.1];
            let with: Vec<(&str, u32)> = semaphores.into_iter().zip(weights).collect();
            Needs {
                key: key.map(name),
                locks: locks(&held).locks,
                ..permits(&with)
            }
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Submit(Needs, u8, usize),
    End(usize),
    Limit(bool, u32),
    PerKey(u32),
    Want(bool, u32),
    Release,
    TakeOver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (needs(), 1_u8..=9, 1_usize..6).prop_map(|(needs, level, tasks)| Step::Submit(needs, level, tasks)),
        6 => any::<usize>().prop_map(Step::End),
        1 => (any::<bool>(), 0_u32..6).prop_map(|(one, limit)| Step::Limit(one, limit)),
        1 => (1_u32..4).prop_map(Step::PerKey),
        1 => (any::<bool>(), 1_u32..4).prop_map(|(lock, weight)| Step::Want(lock, weight)),
        1 => Just(Step::Release),
        1 => Just(Step::TakeOver),
    ]
}

/// What is held of everything, from the claims and holds alone.
fn held(leader: &Leader, outside: &[(Gate, u128, u32)]) -> BTreeMap<Gate, u64> {
    let mut held: BTreeMap<Gate, u64> = BTreeMap::new();
    for run in leader.world.view.claims.values() {
        for (gate, weight) in run.value.routing.gates() {
            *held.entry(gate).or_default() += u64::from(weight) * run.value.which.len() as u64;
        }
    }
    for (gate, id, weight) in outside {
        if !leader
            .world
            .view
            .limits
            .wants
            .contains_key(&(gate.clone(), *id))
        {
            *held.entry(gate.clone()).or_default() += u64::from(*weight);
        }
    }
    held
}

/// What one of those who wait asks for: a task of a record, or somebody outside.
fn asked(leader: &Leader) -> Vec<Vec<(Gate, u64)>> {
    let view = &leader.world.view;
    let records = view.lanes.values().flat_map(Window::iter);
    let records = records.map(|(_, (_, seen))| {
        let gates = seen.value.routing.gates();
        gates
            .map(|(gate, weight)| (gate, u64::from(weight)))
            .collect()
    });
    let wants = view.limits.wants.iter();
    let wants =
        wants.map(|((gate, _), want)| vec![(gate.clone(), u64::from(want.seen.value.weight))]);
    records.chain(wants).collect()
}

/// One who waits although all it asks for is left, and nobody else waits for more of the same than is left and may ever have it.
fn could_run(
    leader: &Leader,
    limit: impl Fn(&Gate) -> u64,
    held: &BTreeMap<Gate, u64>,
) -> Option<Vec<(Gate, u64)>> {
    let waiting = asked(leader);
    let room = |gate: &Gate| limit(gate).saturating_sub(held.get(gate).copied().unwrap_or(0));
    let waits_for = |gate: &Gate| {
        let mut others = waiting.iter().flatten();
        others.any(|(of, weight)| of == gate && *weight > room(gate) && *weight <= limit(gate))
    };
    let fits = |gates: &&Vec<(Gate, u64)>| {
        let mut gates = gates.iter();
        gates.all(|(gate, weight)| *weight <= room(gate) && !waits_for(gate))
    };
    waiting.iter().find(fits).cloned()
}

proptest! {
    /// Whatever is submitted, ends and is edited, and whoever leads: nothing is given beyond its limit, nothing that fits waits, and
    /// all of it runs in the end.
    #[test]
    fn limits_hold_and_nothing_waits_that_could_run(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = world();
        world.limit("s1", 3);
        world.limit("s2", 3);
        world.rules("q", &QueueRules { per_key: Some(2), ..QueueRules::default() });
        let mut leader = Leader::of(world);
        let mut limits: BTreeMap<Gate, u64> = BTreeMap::from([(semaphore("s1"), 3), (semaphore("s2"), 3)]);
        let (mut outside, mut now, mut left) = (Vec::new(), 1, 0);
        for step in steps {
            now += 1;
            let before = held(&leader, &outside);
            match step {
                Step::Submit(needs, level, tasks) => {
                    leader.world.asks(needs, level, now, tasks);
                    left += tasks;
                }
                Step::End(nth) if !leader.running.is_empty() => {
                    let nth = nth % leader.running.len();
                    let (node, claim) = leader.running.remove(nth);
                    left -= leader.world.view.claims[&(node.clone(), claim)].value.which.len();
                    leader.world.ended(node.as_str(), claim);
                }
                Step::End(_) => {}
                Step::Limit(one, limit) => {
                    let of = if one { "s1" } else { "s2" };
                    leader.world.limit(of, limit);
                    limits.insert(semaphore(of), u64::from(limit));
                }
                Step::PerKey(limit) => {
                    leader.world.rules("q", &QueueRules { per_key: Some(limit), ..QueueRules::default() });
                    for key in ["k1", "k2"] {
                        limits.insert(Gate::Key(name("q"), name(key)), u64::from(limit));
                    }
                }
                Step::Want(lock, weight) => {
                    let gate = if lock { Gate::Lock(name("l1")) } else { semaphore("s1") };
                    let weight = if lock { 1 } else { weight };
                    leader.world.wants(&gate, u128::from(now), weight);
                    outside.push((gate, u128::from(now), weight));
                }
                Step::Release => {
                    let wants = &leader.world.view.limits.wants;
                    let holds = outside.iter().position(|(gate, id, _)| !wants.contains_key(&(gate.clone(), *id)));
                    if let Some(nth) = holds {
                        let (gate, id, _) = outside.remove(nth);
                        leader.world.released(&gate, id);
                    }
                }
                Step::TakeOver => {
                    leader.world = leader.world.reloaded();
                    leader.numbers = Numbers::of_term(10 + i64::try_from(now).unwrap());
                }
            }
            leader.lead(now);
            let limit = |gate: &Gate| {
                let default = if matches!(gate, Gate::Key(..)) { 2 } else { 1 };
                limits.get(gate).copied().unwrap_or(default)
            };
            let held = held(&leader, &outside);
            prop_assert_eq!(could_run(&leader, limit, &held), None, "it waits, {:?}", held);
            for (gate, held) in held {
                let (limit, was) = (limit(&gate), before.get(&gate).copied().unwrap_or(0));
                prop_assert!(held <= limit.max(was), "{gate}: {held} of {limit}, {was} before");
            }
        }
        // Everything is let go, and there is room for the widest: all of it runs.
        for (gate, id, _) in outside {
            if leader.world.view.limits.wants.contains_key(&(gate.clone(), id)) {
                leader.world.gives_up(&gate, id);
            } else {
                leader.world.released(&gate, id);
            }
        }
        leader.world.limit("s1", 5);
        leader.world.limit("s2", 5);
        for _ in 0..2_000 {
            leader.lead(now);
            let Some((node, claim)) = leader.running.first().cloned() else { break };
            left -= leader.world.view.claims[&(node, claim)].value.which.len();
            leader.end();
        }
        prop_assert_eq!(left, 0, "some of it waits for ever");
        let view = &leader.world.view;
        let lanes: Vec<_> = view.lanes.iter().filter(|(lane, _)| lane.is_passing()).collect();
        prop_assert!(lanes.is_empty() && view.passing.is_empty(), "{lanes:?} {:?}", view.passing);
    }
}
