use super::*;
use crate::task::{Needs, Permit};
use proptest::prelude::*;

fn keys() -> Keys {
    Keys::new(&"c".parse().unwrap())
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Submit),
        (0_i64.., any::<u64>()).prop_map(|(term, number)| Origin::Claim(ClaimId { term, number })),
        any::<u128>().prop_map(Origin::Act),
    ]
}

fn routing() -> impl Strategy<Value = Routing> {
    (
        "[a-z0-9][a-zA-Z0-9_.-]{0,20}",
        "[a-z][a-z.-]{0,20}",
        1_u8..=9,
    )
        .prop_map(|(queue, kind, level)| Routing {
            queue: queue.parse().unwrap(),
            kind: kind.parse().unwrap(),
            priority: Priority::new(level).unwrap(),
            needs: None,
        })
}

/// With a lock, a key and two semaphores of these names, and a label that is required.
fn needing(routing: &Routing) -> Routing {
    let permit = |semaphore: &Name| Permit {
        semaphore: semaphore.clone(),
        weight: 2,
    };
    let needs = Needs {
        permits: vec![permit(&routing.kind), permit(&routing.queue)],
        locks: vec![routing.queue.clone()],
        key: Some(routing.kind.clone()),
        require: [("zone".to_owned(), "a".to_owned())].into(),
        ..Needs::default()
    };
    Routing {
        needs: Some(needs.into()),
        ..routing.clone()
    }
}

proptest! {
    #[test]
    fn a_live_key_comes_apart_into_what_it_was_made_of(
        routing in routing(), origin in origin(), ms in 0_u64..1 << 42, random: u128, n: u32,
    ) {
        let (keys, pack) = (keys(), PackId::new(ms, random));
        let id = RecordId { pack, origin, n };
        let lane = Lane::of(&routing);
        let claim = ClaimId { term: 7, number: u64::from(n) };
        let node = routing.queue.clone();
        prop_assert_eq!(
            keys.live(&keys.record(Place::Ready, &routing, &id)), Some(Live::Ready(lane.clone(), id)));
        prop_assert_eq!(keys.live(&keys.record(Place::Due(ms), &routing, &id)), Some(Live::Due(ms, id)));
        prop_assert_eq!(keys.live(&keys.run(&node, claim)), Some(Live::Run(node.clone(), claim)));
        prop_assert_eq!(keys.live(&keys.drain(&node)), Some(Live::Drain(node.clone())));
        prop_assert_eq!(keys.live(&keys.stop(&node, claim)), Some(Live::Stop(node.clone(), claim)));
        prop_assert_eq!(keys.live(&keys.lane(&lane)), Some(Live::Lane(lane)));
        let needing = needing(&routing);
        for place in [Place::Ready, Place::Parked(0), Place::Parked(1), Place::Parked(3)] {
            let lane = Lane::at(&needing, place);
            prop_assert_eq!(keys.live(&keys.record(place, &needing, &id)), Some(Live::Ready(lane.clone(), id)));
            prop_assert_eq!(keys.live(&keys.lane(&lane)), Some(Live::Lane(lane)));
        }
        prop_assert_eq!(Lane::at(&needing, Place::Parked(2)), Lane::of(&needing), "filed under its first semaphore");
        for gate in [Gate::Lock(node.clone()), Gate::Semaphore(node.clone())] {
            prop_assert_eq!(keys.live(&keys.want(&gate, random)), Some(Live::Want(gate.clone(), random)));
            prop_assert_eq!(keys.live(&keys.hold(&gate, random)), Some(Live::Hold(gate, random)));
        }
        prop_assert_eq!(keys.live(&keys.semaphore(&node)), Some(Live::Semaphore(node.clone())));
        prop_assert_eq!(keys.live(&keys.queue(&node)), Some(Live::Queue(node.clone())));
        prop_assert_eq!(keys.live(&keys.rules()), Some(Live::Rules));
        let session = i64::from(n);
        prop_assert_eq!(keys.live(&keys.death(session)), Some(Live::Death(session)));
        prop_assert_eq!(keys.death_of(&keys.death(session)), Some(session));
        prop_assert_eq!(keys.live(&keys.node(&node)), Some(Live::Node(node)));
        prop_assert_eq!(
            keys.dead_record(&keys.record(Place::Dead, &routing, &id)), Some((routing.queue.clone(), id)));
        prop_assert_eq!(keys.result_of(&keys.result(pack, origin, n)), Some((pack, origin, n)));
        prop_assert_eq!(keys.gc_mark(&keys.gc(ms, pack)), Some((ms / 60_000 * 60_000, pack)));
        prop_assert_eq!(keys.pack_of(&keys.pack(pack)), Some(pack));
        let session = i64::from(n);
        prop_assert_eq!(keys.death_of(&keys.death(session)), Some(session));
        prop_assert_eq!(keys.failover_of(&keys.failover(session)), Some(session));
    }
}

#[test]
fn higher_priority_then_older_packs_come_first() {
    let keys = keys();
    let key = |level, ms| {
        let priority = Priority::new(level).unwrap();
        let routing = Routing {
            queue: "q".parse().unwrap(),
            kind: "k".parse().unwrap(),
            priority,
            needs: None,
        };
        keys.record(
            Place::Ready,
            &routing,
            &RecordId::submitted(PackId::new(ms, 9)),
        )
    };
    let mut sorted = [key(1, 1), key(5, 2), key(9, 3), key(5, 1)];
    sorted.sort();
    assert_eq!(sorted, [key(9, 3), key(5, 1), key(5, 2), key(1, 1)]);
}

#[test]
fn ranges_end_where_the_next_begins() {
    let (keys, pack) = (keys(), PackId::new(7, 9));
    let routing = Routing {
        queue: "q".parse().unwrap(),
        kind: "k".parse().unwrap(),
        priority: Priority::new(7).unwrap(),
        needs: None,
    };
    let lane = Lane::of(&routing);
    let key = keys.record(Place::Ready, &routing, &RecordId::submitted(pack));

    let (next, end) = (Keys::following(&key), Keys::past(&keys.ready_lane(&lane)));

    assert!(key < next && next < end && keys.ready_lane(&lane) < key);
    let named = Some(pack);
    assert_eq!(keys.ready_edge(&lane, &key), named);
    assert_eq!(keys.ready_edge(&lane, &next), named);
    let since = keys.ready_since(&lane, 7);
    assert_eq!(keys.ready_edge(&lane, &since), Some(PackId::floor(7)));
    for nowhere in [keys.ready_lane(&lane), end, keys.due_prefix()] {
        assert_eq!(keys.ready_edge(&lane, &nowhere), None, "{nowhere}");
    }
}

#[test]
fn foreign_keys_are_nobody() {
    for key in [
        "",
        "/tenure/c/live/",
        "/tenure/d/live/node/a",
        "/tenure/c/live/run/a",
        "/tenure/c/live/node/a/b",
    ] {
        assert_eq!(keys().live(key), None, "{key}");
    }
}
