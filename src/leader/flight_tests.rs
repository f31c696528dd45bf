//! What becomes of changes on their way: without etcd, by their verdicts.

use super::*;
use crate::store::{Assign, Record, RecordId, Seen, Take};
use crate::task::{PackId, Priority, Routing, Tally, Which};
use tenure_cluster::{Connection, KeyValue, Options};

/// Of a leader whose etcd is away.
fn flights() -> Flights {
    let mut options = Options::new(["127.0.0.1:1"]);
    options.request_timeout = Duration::from_millis(100);
    let connection = Connection::open(options).unwrap();
    let keys = Keys::new(&"c".parse::<Name>().unwrap());
    let fence = Guard::created_at("term", "/elect/1", 1);
    Flights::new(Store::new(connection, keys), fence)
}

fn waiting(pack: u64, modified: i64) -> Waiting {
    let value = Record {
        routing: Routing {
            queue: "q".parse().unwrap(),
            kind: "k".parse().unwrap(),
            priority: Priority::default(),
        },
        which: Which::first(2),
        size: 2,
        tally: Tally::default(),
        since_ms: 0,
        why: None,
        inline: None,
    };
    Waiting {
        id: RecordId::submitted(PackId::floor(pack)),
        place: Place::Ready,
        seen: Seen {
            value,
            created: 1,
            modified,
        },
        now_ms: 0,
    }
}

fn assign(pack: u64, modified: i64) -> Change {
    let take = Take {
        claim: ClaimId { term: 1, number: 1 },
        node: "n".parse().unwrap(),
        session: 1,
        instance: "i".to_owned(),
        which: Which::first(2),
    };
    Change::Assign(Assign {
        from: waiting(pack, modified),
        takes: vec![take],
        term: 1,
        decided: 1,
    })
}

fn failed(kind: FailureKind) -> Failure {
    Failure {
        kind,
        endpoint: "etcd".to_owned(),
        message: "of the test".to_owned(),
    }
}

/// Sends changes and takes them out of the air with this verdict, one after the other.
fn landed(flights: &mut Flights, changes: Vec<Change>, verdict: &Verdict) {
    let keys = flights.store.keys().clone();
    let alone = changes.len() == 1;
    for change in changes {
        let hold = Hold::of(&keys, &change);
        hold.take(&mut flights.reserved);
        let sent = Sent {
            change,
            hold,
            alone,
        };
        flights.landed(sent, verdict.clone());
    }
}

/// A view that has the record of pack 1 at this revision.
fn view(flights: &Flights, modified: i64) -> View {
    let keys = flights.store.keys();
    let mut view = View::new(keys.clone(), modified, 8);
    let Waiting { id, seen, .. } = waiting(1, modified);
    let kv = KeyValue {
        key: keys.record(Place::Ready, &seen.value.routing, &id),
        value: crate::store::encode(&seen.value).into(),
        create_revision: 1,
        mod_revision: modified,
        version: 1,
        lease: 0,
    };
    view.put(&kv, 0).unwrap();
    view
}

#[tokio::test]
async fn a_touch_of_a_record_that_moved_on_is_dropped_with_what_it_reserved() {
    let mut flights = flights();
    let unknown = Verdict::Unknown(failed(FailureKind::Timeout));
    landed(&mut flights, vec![assign(1, 5)], &unknown);
    landed(&mut flights, vec![assign(1, 7)], &unknown);
    let view = view(&flights, 7);

    flights.resend(&view);

    assert_eq!(flights.air.len(), 1);
    let tasks: Vec<u64> = flights.reserved.tasks.values().copied().collect();
    assert_eq!(tasks, [2], "the first one's room is free again");
    assert!(flights.reserved.records.values().eq([&7]));
}

#[tokio::test]
async fn what_is_invalid_together_goes_alone_and_alone_is_left_for_a_while() {
    let mut flights = flights();
    let invalid = Verdict::Unavailable(failed(FailureKind::Invalid));
    landed(&mut flights, vec![assign(1, 5), assign(2, 5)], &invalid);
    assert_eq!(flights.reserved.records.len(), 2, "still reserved");
    let view = View::new(flights.store.keys().clone(), 5, 8);

    flights.resend(&view);
    assert_eq!(flights.air.len(), 2, "each in a batch of its own");

    landed(&mut flights, vec![assign(3, 5)], &invalid);
    flights.resend(&view);
    assert_eq!(flights.air.len(), 2, "not sent again");
    flights.release(1_000);
    assert_eq!(flights.reserved.records.len(), 3, "nor planned at once");
}

#[tokio::test]
async fn no_more_are_in_flight_than_the_gate_lets_pass() {
    let mut flights = flights();
    let unknown = Verdict::Unknown(failed(FailureKind::Timeout));
    let changes = (0..60 * 6).map(|pack| assign(pack, 5));
    landed(&mut flights, changes.collect(), &unknown);
    let view = View::new(flights.store.keys().clone(), 5, 8);

    flights.resend(&view);

    assert_eq!((flights.air.len(), flights.ready.len()), (FLIGHTS_MAX, 2));
    assert!(!flights.has_room());
    assert_eq!(flights.next().await, Landed::Badly);
    assert_eq!((flights.air.len(), flights.ready.len()), (FLIGHTS_MAX, 1));
}
