//! A view folded event by event is the view rebuilt from the keys.

use proptest::prelude::*;

use super::super::world::World;
use super::*;
use crate::store::{Place, Settled, encode};
use crate::task::{PackId, Priority, Routing, Tally, Which};

/// What can be under `live/`: few keys, so that they are written, changed and deleted again and again.
#[derive(Clone, Copy, Debug)]
enum Step {
    Node(u8),
    NodeGone(u8),
    Drain(u8),
    Undrain(u8),
    Ready { lane: u8, pack: u8, tasks: u8 },
    ReadyGone { lane: u8, pack: u8 },
    Due { pack: u8 },
    DueGone { pack: u8 },
    Run { node: u8, claim: u8, tasks: u8 },
    RunGone { node: u8, claim: u8 },
    Stop { node: u8, claim: u8 },
    StopGone { node: u8, claim: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let small = 0_u8..3;
    prop_oneof![
        small.clone().prop_map(Step::Node),
        small.clone().prop_map(Step::NodeGone),
        small.clone().prop_map(Step::Drain),
        small.clone().prop_map(Step::Undrain),
        (small.clone(), 0_u8..9, 1_u8..9).prop_map(|(lane, pack, tasks)| Step::Ready {
            lane,
            pack,
            tasks
        }),
        (small.clone(), 0_u8..9).prop_map(|(lane, pack)| Step::ReadyGone { lane, pack }),
        (0_u8..9).prop_map(|pack| Step::Due { pack }),
        (0_u8..9).prop_map(|pack| Step::DueGone { pack }),
        (small.clone(), 0_u8..5, 1_u8..9).prop_map(|(node, claim, tasks)| Step::Run {
            node,
            claim,
            tasks
        }),
        (small.clone(), 0_u8..5).prop_map(|(node, claim)| Step::RunGone { node, claim }),
        (small.clone(), 0_u8..5).prop_map(|(node, claim)| Step::Stop { node, claim }),
        (small, 0_u8..5).prop_map(|(node, claim)| Step::StopGone { node, claim }),
    ]
}

fn name(prefix: char, nth: u8) -> Name {
    format!("{prefix}{nth}").parse().unwrap()
}

fn routing(lane: u8) -> Routing {
    Routing {
        queue: name('q', lane),
        kind: name('k', lane),
        priority: Priority::default(),
        needs: None,
    }
}

fn record(lane: u8, tasks: u8) -> Record {
    Record {
        routing: routing(lane),
        which: Which::first(usize::from(tasks)),
        size: 9,
        tally: Tally::default(),
        since_ms: 1,
        why: None,
        inline: None,
    }
}

fn claim(number: u8) -> ClaimId {
    ClaimId {
        term: 5,
        number: u64::from(number),
    }
}

fn run(tasks: u8) -> Run {
    Run {
        pack: PackId::floor(3),
        routing: routing(0),
        which: Which::first(usize::from(tasks)),
        size: 9,
        covers: false,
        tally: Tally::default(),
        session: 4,
        instance: "i0".to_owned(),
        term: 5,
        decided: 6,
        n: 0,
        ready_ms: 0,
        claimed_ms: 0,
        inline: None,
    }
}

fn node(nth: u8) -> NodeRecord {
    NodeRecord {
        instance: format!("i{nth}"),
        address: String::new(),
        slots: 4,
        kinds: Vec::new(),
        labels: BTreeMap::new(),
        version: String::new(),
        started_ms: 0,
        draining: false,
        peer: None,
        network: None,
        adaptive: None,
    }
}

/// The key a step touches, and its value where it is written.
fn told(keys: &Keys, step: Step) -> (String, Option<Vec<u8>>) {
    let id = |pack: u8| RecordId::submitted(PackId::floor(u64::from(pack)));
    let ready = |lane, pack| keys.record(Place::Ready, &routing(lane), &id(pack));
    let due = |pack: u8| keys.record(Place::Due(u64::from(pack)), &routing(0), &id(pack));
    match step {
        Step::Node(nth) => (keys.node(&name('n', nth)), Some(encode(&node(nth)))),
        Step::NodeGone(nth) => (keys.node(&name('n', nth)), None),
        Step::Drain(nth) => (keys.drain(&name('n', nth)), Some(Vec::new())),
        Step::Undrain(nth) => (keys.drain(&name('n', nth)), None),
        Step::Ready { lane, pack, tasks } => {
            (ready(lane, pack), Some(encode(&record(lane, tasks))))
        }
        Step::ReadyGone { lane, pack } => (ready(lane, pack), None),
        Step::Due { pack } => (due(pack), Some(encode(&record(0, 1)))),
        Step::DueGone { pack } => (due(pack), None),
        Step::Run {
            node,
            claim: id,
            tasks,
        } => (
            keys.run(&name('n', node), claim(id)),
            Some(encode(&run(tasks))),
        ),
        Step::RunGone { node, claim: id } => (keys.run(&name('n', node), claim(id)), None),
        Step::Stop { node, claim: id } => (
            keys.stop(&name('n', node), claim(id)),
            Some(encode(&Stop {
                which: Which::only(1),
            })),
        ),
        Step::StopGone { node, claim: id } => (keys.stop(&name('n', node), claim(id)), None),
    }
}

/// Everything a plan can see, in a form that can be compared.
fn shown(view: &View) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(
        view.nodes
            .iter()
            .map(|(id, node)| format!("{id} {}", node.session)),
    );
    lines.extend(view.drained.iter().map(|id| format!("{id} is drained")));
    lines.extend(view.claims.iter().map(|((node, id), claim)| {
        format!(
            "{node} {id} {} {} {}",
            claim.value.which, claim.created, claim.modified
        )
    }));
    lines.extend(
        view.stops
            .iter()
            .map(|((node, id), stop)| format!("{node} {id} {}", stop.modified)),
    );
    for window in view.lanes.values() {
        lines.extend(
            window
                .iter()
                .map(|(key, (_, seen))| format!("{key} {} {}", seen.value.which, seen.modified)),
        );
    }
    lines.extend(
        view.due
            .iter()
            .map(|(key, (_, _, seen))| format!("{key} {}", seen.modified)),
    );
    let held = |id: &Name| view.held_by(id).map(|(_, tasks)| tasks).sum::<u64>();
    lines.extend((0..3).map(|nth| format!("held {}", held(&name('n', nth)))));
    lines
}

proptest! {
    #[test]
    fn a_folded_view_equals_a_rebuilt_one(steps in proptest::collection::vec(step(), 0..200)) {
        let keys = Keys::new(&"c".parse().unwrap());
        let empty = || {
            let mut view = View::new(keys.clone(), 1, 1_000);
            view.due.extend([], None);
            view
        };
        let (mut folded, mut store) = (empty(), BTreeMap::<String, KeyValue>::new());
        for (nth, step) in steps.into_iter().enumerate() {
            let revision = i64::try_from(nth).unwrap() + 2;
            let (key, value) = told(&keys, step);
            let (kind, kv) = if let Some(value) = value {
                let created = store.get(&key).map_or(revision, |kv| kv.create_revision);
                let kv = KeyValue {
                    key: key.clone(), value: value.into(), create_revision: created,
                    mod_revision: revision, version: 1, lease: 0,
                };
                store.insert(key, kv.clone());
                (EventKind::Put, kv)
            } else {
                // etcd sends no event for the deletion of what is not there.
                let Some(gone) = store.remove(&key) else { continue };
                (EventKind::Delete, KeyValue { mod_revision: revision, ..gone })
            };
            folded.fold(&[Event { kind, kv, previous: None }], revision, 7);
        }
        let mut rebuilt = empty();
        for kv in store.values() {
            rebuilt.put(kv, 7).unwrap();
        }
        prop_assert_eq!(shown(&folded), shown(&rebuilt));
    }
}

#[test]
fn names_that_came_and_went_are_forgotten() {
    let mut world = World::new();
    let mut claims = Vec::new();
    for nth in 0..100 {
        let id = format!("n{nth}");
        world.session(&id, "x", false);
        claims.push((id.clone(), world.claim(&id, 3)));
        world.session(&id, "x", true);
        world.gone(&id);
    }
    let view = &world.view;
    assert_eq!(
        (view.gone.len(), view.leaving.len(), view.held.len()),
        (100, 100, 100)
    );

    for (id, claim) in claims {
        world.ended(&id, claim);
    }

    let view = &world.view;
    assert_eq!(
        (view.gone.len(), view.leaving.len(), view.held.len()),
        (0, 0, 0)
    );
    let came_and_went = View::new(view.keys.clone(), 1, 1_000).pace;
    assert_eq!(format!("{:?}", view.pace), format!("{came_and_went:?}"));
    world.session("idle", "x", true);
    world.gone("idle");
    assert!(world.view.gone.is_empty() && world.view.leaving.is_empty());
}

#[test]
fn what_is_taken_back_from_a_session_that_is_over_did_not_end() {
    let mut world = World::new();
    world.node("n", 4, &["k"]);
    let (lost, id) = (world.claim("n", 4), "n".parse::<Name>().unwrap());
    // The node is back under its name before its claim of before is taken back.
    world.gone("n");
    world.node("n", 4, &["k"]);
    world.now_ms = 2;
    world.ended("n", lost);
    let kind = &"k".parse().unwrap();
    assert_eq!(world.view.pace.ahead(&id, kind, 4, 2), 4);
    let own = world.claim("n", 4);
    world.now_ms = 3;
    world.ended("n", own);
    assert_eq!(world.view.pace.ahead(&id, kind, 4, 3), 4 + 16);
}

#[test]
fn what_goes_back_untried_is_told_from_what_ended() {
    // What is left in the claim, what waits again, and how often it had been tried by then; how many the node may hold then.
    let table = [
        (0, 0, 0, 4 + 16),
        (0, 4, 1, 4 + 16),
        (0, 4, 0, 4),
        (2, 0, 0, 4 + 8),
        (2, 2, 0, 4),
        (0, 1, 0, 4),
    ];
    // Handed back, or deferred.
    let places = [Place::Ready, Place::Due(9_000)];
    let rows = places.map(|place| table.map(|row| (place, row)));
    for (place, (rest, again, attempts, may)) in rows.into_iter().flatten() {
        let mut world = World::new();
        world.node("n", 4, &["k"]);
        let claim = world.claim("n", 4);
        let id = "n".parse::<Name>().unwrap();
        let run = world.view.claims[&(id.clone(), claim)].value.clone();
        let rest = (rest > 0).then(|| Run {
            which: Which::first(rest),
            ..run.clone()
        });
        let tally = Tally {
            attempts,
            ..Tally::default()
        };
        let record = Record {
            routing: run.routing.clone(),
            which: Which::first(again),
            tally,
            ..record(0, 1)
        };
        let records = (again > 0).then_some((place, 1, record));
        let settled = Settled {
            records: records.into_iter().collect(),
            ..Settled::default()
        };

        world.now_ms = 2;
        world.reported(&id, claim, rest.as_ref(), &settled);

        let ahead = world.view.pace.ahead(&id, &run.routing.kind, 4, 2);
        assert_eq!(
            ahead, may,
            "{again} {place:?} after {attempts}, left {rest:?}"
        );
    }
}

#[test]
fn the_windows_of_all_lanes_together_have_a_bound_whatever_was_born_first() {
    let keys = crate::store::Keys::new(&"c".parse().unwrap());
    let mut view = View::new(keys.clone(), 1, 1_024);
    for nth in 0..100_u64 {
        for pack in 0..1_024 {
            let routing = Routing {
                queue: format!("q{nth}").parse().unwrap(),
                ..routing(0)
            };
            let id = RecordId::submitted(PackId::floor(pack));
            let kv = KeyValue {
                key: keys.record(Place::Ready, &routing, &id),
                value: encode(&record(0, 1)).into(),
                create_revision: 1,
                mod_revision: 1,
                version: 1,
                lease: 0,
            };
            view.put(&kv, 0).unwrap();
        }
    }

    let held: usize = view.lanes.values().map(Window::len).sum();

    assert!(held <= WINDOWS_RECORDS_MAX, "{held}");
    assert!(
        view.lanes
            .values()
            .all(|window| window.len() >= LANE_RECORDS_MIN)
    );
}
