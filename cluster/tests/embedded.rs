//! The same client code against a server inside the process, in paused time: transactions, a watch, a
//! session and an election.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics with what it got"
)]

#[path = "contract/common/mod.rs"]
mod common;

use std::time::Duration;

use common::{commit, events, lost, put, refused, session, state, within};
use tenure_cluster::{Candidate, Connection, EventKind, Guard, Options, Txn, WatchSpec, leader};
use tenure_embedded::Embedded;

fn server() -> (Embedded, Connection) {
    let server = Embedded::in_memory(&tenure_embedded::Options::default());
    let options = Options::in_process([("embedded".to_owned(), server.channel())]);
    let connection = Connection::open(options).unwrap();
    (server, connection)
}

#[tokio::test]
async fn a_server_in_the_process_stands_alone() {
    let (server, _) = server();
    let inside = Options::in_process([("embedded".to_owned(), server.channel())]);
    assert_eq!(inside.validate(), Ok(()));

    let both = Options {
        endpoints: vec!["127.0.0.1:1".to_owned()],
        ..inside
    };

    assert_eq!(both.validate().unwrap_err().field, "in_process");
}

async fn stand(connection: &Connection, session: &tenure_cluster::Session) -> Candidate {
    let value = session.key().as_bytes().to_vec();
    let standing = Candidate::stand(connection, session, "/elect/", value);
    within("standing", standing).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_lost_refuses_and_a_watch_tells_what_was_committed() {
    let (_server, connection) = server();
    let mut watch = connection.watch(WatchSpec::prefix("/a/").from(2));
    let created = put(&connection, "/a/1", "x").await;
    let absent = Txn::new()
        .guard(Guard::absent("it", "/a/1"))
        .put("/a/2", "never");

    let refused = refused(&connection, &absent).await;
    let delete = Txn::new()
        .guard(Guard::created_at("it", "/a/1", created))
        .delete("/a/1");
    let deleted = commit(&connection, &delete).await.revision;

    assert_eq!(refused.lost, ["it"]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(events(&mut watch).await);
    }
    let seen: Vec<_> = seen
        .iter()
        .map(|event| (event.kind, event.kv.mod_revision))
        .collect();
    assert_eq!(
        seen,
        [(EventKind::Put, created), (EventKind::Delete, deleted)]
    );
}

#[tokio::test(start_paused = true)]
async fn the_second_leads_when_the_first_ones_lease_ends_and_the_first_cannot_write() {
    let (server, connection) = server();
    let one = session(&connection, "/node/1", 5).await;
    let mut first = stand(&connection, &one).await;
    let two = session(&connection, "/node/2", 5).await;
    let mut second = stand(&connection, &two).await;
    let old = within("leading", first.lead()).await.unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        leader(&connection, "/elect/")
            .await
            .unwrap()
            .0
            .unwrap()
            .create_revision,
        old.revision()
    );

    assert!(server.expire_lease(one.lease()));

    let new = within("leading after it", second.lead()).await.unwrap();
    assert!(new.revision() > old.revision());
    let late = Txn::new().guard(old.guard()).put("/state", "late");
    refused(&connection, &late).await;
    state(&one, lost).await;
    let write = Txn::new().guard(new.guard()).put("/state", "new");
    commit(&connection, &write).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_a_crash_of_the_server() {
    let (server, connection) = server();
    let one = session(&connection, "/node/1", 5).await;
    let mut watch = connection.watch(WatchSpec::prefix("/a/").from(2));
    put(&connection, "/a/1", "before").await;
    assert_eq!(events(&mut watch).await.len(), 1);

    server.crash();
    put(&connection, "/a/2", "after").await;

    assert_eq!(events(&mut watch).await.len(), 1);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!lost(&one.state().borrow()));
}
