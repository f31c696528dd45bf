//! What becomes of changes on their way: without etcd, by their verdicts.

use super::*;
use crate::store::{
    Assign, Fire, Grant, Keys, Outside, Place, Record, RecordId, Seen, Take, Waiting,
};
use crate::task::{
    ClaimId, Gate, Name, Needs, PackId, Permit, Priority, Progress, Routing, Step, Tally, Which,
};
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
            needs: None,
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
        rules: 0,
    })
}

/// An assignment of two tasks that take one permit each.
fn permitted(pack: u64, modified: i64) -> Change {
    let Change::Assign(mut assign) = assign(pack, modified) else {
        unreachable!("an assignment was made")
    };
    let permit = Permit {
        semaphore: "s".parse().unwrap(),
        weight: 1,
    };
    let needs = Needs {
        permits: vec![permit],
        ..Needs::default()
    };
    assign.from.seen.value.routing.needs = Some(needs.into());
    Change::Assign(assign)
}

fn grant(modified: i64) -> Change {
    Change::Grant(Grant {
        gate: Gate::Semaphore("s".parse().unwrap()),
        id: 1,
        want: Seen {
            value: Outside {
                weight: 2,
                holder: String::new(),
                since_ms: 0,
                ttl_ms: 1,
            },
            created: 1,
            modified,
        },
        lease: 7,
        rules: 0,
        now_ms: 0,
    })
}

/// A schedule that is fired.
fn fire(schedule: usize) -> Change {
    let from = Seen {
        value: Progress::default(),
        created: 1,
        modified: 1,
    };
    let step = Step {
        progress: Progress::default(),
        pages: Vec::new(),
        fires: Vec::new(),
        cancels: Vec::new(),
        lines: Vec::new(),
    };
    Change::Fire(Fire {
        schedule: format!("s{schedule}").parse().unwrap(),
        modified: 1,
        from,
        step: step.into(),
    })
}

fn refused(lost: GuardName, revision: i64) -> Verdict {
    Verdict::Refused {
        lost: vec![lost],
        reads: Vec::new(),
        revision,
    }
}

fn given(flights: &Flights) -> Vec<u64> {
    flights.reserved.gates.values().copied().collect()
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
async fn permits_stay_reserved_until_the_view_has_what_took_them_however_late_its_watch_is() {
    for (unknown, refusal) in [
        (permitted(1, 5), refused(GuardName::Waiting, 9)),
        (grant(5), refused(GuardName::Want, 9)),
    ] {
        let mut flights = flights();
        let lost = Verdict::Unknown(failed(FailureKind::Timeout));
        landed(&mut flights, vec![unknown], &lost);
        // It had committed at 8, so what settles it is refused.
        let settling = flights.unsettled.pop().unwrap();
        flights.landed(settling, refusal);

        let (_, until, _) = &flights.landed[0];
        assert_eq!(*until, None, "time alone frees nothing");
        flights.release(7);
        assert_eq!(
            given(&flights),
            [2],
            "the view does not know who holds them"
        );
        flights.release(9);
        assert_eq!(given(&flights), [0_u64; 0]);
    }
}

#[tokio::test]
async fn permits_of_what_was_refused_for_good_are_free_after_a_while() {
    let mut flights = flights();
    landed(
        &mut flights,
        vec![permitted(1, 5)],
        &refused(GuardName::Rules, 9),
    );
    let (_, until, _) = &mut flights.landed[0];
    assert!(until.is_some());
    *until = Some(Instant::now());
    flights.release(7);
    assert_eq!(given(&flights), [0_u64; 0]);
}

#[tokio::test]
async fn a_grant_that_could_not_be_sent_again_keeps_what_its_first_copy_may_have_given() {
    let mut flights = flights();
    let lost = Verdict::Unknown(failed(FailureKind::Timeout));
    landed(&mut flights, vec![grant(5)], &lost);
    let again = flights.unsettled.pop().unwrap();
    flights.landed(again, Verdict::Unavailable(failed(FailureKind::Timeout)));
    assert_eq!(given(&flights), [2]);
    assert_eq!(flights.unsettled.len(), 1);
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

#[tokio::test]
async fn schedules_take_half_of_what_is_in_flight_at_most_and_leave_the_rest_to_others() {
    let mut flights = flights();
    flights.send((0..300).map(fire).collect());
    assert_eq!((flights.air.len(), flights.due.len()), (FIRES_MAX, 3));
    assert!(flights.has_room());

    flights.send((0..2).map(|pack| assign(pack, 1)).collect());

    assert_eq!((flights.air.len(), flights.ready.len()), (FLIGHTS_MAX, 0));
    assert!(!flights.has_room());
    // Each that lands lets one of its own sort go, as long as there are any.
    while flights.due.len() + flights.air.len() > 0 {
        flights.next().await;
        assert!(flights.fires <= FIRES_MAX);
    }
    assert_eq!(flights.fires, 0);
}

#[tokio::test]
async fn a_fire_of_unknown_outcome_is_decided_anew_and_not_sent_again() {
    let mut flights = flights();
    let unknown = Verdict::Unknown(failed(FailureKind::Timeout));

    landed(&mut flights, vec![fire(1)], &unknown);

    assert!(flights.unsettled.is_empty());
    assert_eq!(flights.reserved.schedules.len(), 1, "for a moment");
    tokio::time::sleep(REFUSED_HELD).await;
    flights.release(1);
    assert_eq!(flights.reserved.schedules.len(), 0);
}
