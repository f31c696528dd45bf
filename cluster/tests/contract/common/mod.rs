//! What the tests share. Awaits events with a limit, never sleeps for them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod counters;

use std::future::Future;
use std::time::Duration;

use tenure_cluster::{
    Committed, Connection, Delivery, Event, EventKind, Failure, Options, Outcome, Refused, Session,
    SessionOptions, State, Txn, Watch,
};
use tenure_testkit::Etcd;

/// 30 s: far more than anything here takes on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(30);

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

pub fn connect(etcd: &Etcd) -> Connection {
    Connection::open(Options::new(etcd.endpoints())).unwrap()
}

pub fn connect_to(endpoint: String, request_timeout: Duration) -> Connection {
    Connection::open(Options {
        request_timeout,
        ..Options::new([endpoint])
    })
    .unwrap()
}

pub async fn session(connection: &Connection, key: &str, ttl_secs: u64) -> Session {
    let options = SessionOptions::new(key, key, Duration::from_secs(ttl_secs));
    within("opening a session", Session::open(connection, options))
        .await
        .unwrap()
}

pub async fn commit(connection: &Connection, txn: &Txn) -> Committed {
    match within("a commit", connection.commit(txn)).await {
        Outcome::Committed(committed) => committed,
        other => panic!("{txn:?} was not committed: {other:?}"),
    }
}

/// Commits as soon as etcd is there again.
pub async fn commit_at_last(connection: &Connection, txn: &Txn) -> Committed {
    within("a commit at last", async {
        loop {
            match connection.commit(txn).await {
                Outcome::Committed(committed) => return committed,
                Outcome::Unknown(_) | Outcome::Unavailable(_) => {}
                Outcome::Refused(refused) => panic!("refused: {refused:?}"),
            }
        }
    })
    .await
}

pub async fn refused(connection: &Connection, txn: &Txn) -> Refused {
    match within("a refusal", connection.commit(txn)).await {
        Outcome::Refused(refused) => refused,
        other => panic!("{txn:?} was not refused: {other:?}"),
    }
}

pub async fn put(connection: &Connection, key: &str, value: &str) -> i64 {
    commit(connection, &Txn::new().put(key, value.to_owned()))
        .await
        .revision
}

/// Fills a database of little quota; etcd looks at its size every 100 ms only, so how many puts it takes varies.
pub async fn fill(connection: &Connection) -> Failure {
    for n in 0..2_000 {
        let txn = Txn::new().put(format!("/fill/{n}"), vec![7_u8; 100_000]);
        match within("a large put", connection.commit(&txn)).await {
            Outcome::Committed(_) => {}
            Outcome::Unknown(failure) => return failure,
            other => panic!("{other:?}"),
        }
    }
    panic!("the quota has no effect")
}

/// Repeats what may be repeated until it is refused.
pub async fn refused_at_last(connection: &Connection, txn: &Txn) -> Refused {
    within("a refusal at last", async {
        loop {
            match connection.commit(txn).await {
                Outcome::Refused(refused) => return refused,
                Outcome::Unknown(_) | Outcome::Unavailable(_) => {}
                Outcome::Committed(committed) => panic!("committed: {committed:?}"),
            }
        }
    })
    .await
}

/// The next events, whatever progress comes between.
pub async fn events(watch: &mut Watch) -> Vec<Event> {
    within("events", async {
        loop {
            match watch.next().await {
                Delivery::Events { events, .. } => return events,
                Delivery::Progress { .. } => {}
                Delivery::Compacted { at } => panic!("compacted at {at}"),
            }
        }
    })
    .await
}

pub async fn state(session: &Session, wanted: impl Fn(&State) -> bool) -> State {
    let mut states = session.state();
    *within("a session state", states.wait_for(|state| wanted(state)))
        .await
        .unwrap()
}

pub fn lost(state: &State) -> bool {
    matches!(state, State::Lost(_))
}

/// A key from its creation to its deletion, by revisions.
#[derive(Debug)]
pub struct Held {
    pub value: String,
    pub from: i64,
    pub to: i64,
}

/// What an outsider saw held until so many were given back, oldest first. The watch tells the values before.
pub async fn holds(mut watch: Watch, count: usize) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    while held.len() < count {
        let ended = events(&mut watch).await.into_iter();
        held.extend(
            ended
                .filter(|event| event.kind == EventKind::Delete)
                .map(|event| {
                    let last = event.previous.expect("it was there");
                    Held {
                        value: String::from_utf8_lossy(&last.value).into_owned(),
                        from: last.create_revision,
                        to: event.kv.mod_revision,
                    }
                }),
        );
    }
    held.sort_by_key(|it| it.from);
    held
}
