//! A grant whose answer is lost: settled by the same transaction, or, where nobody waits for it any more, undone.

use std::time::Duration;

use tenure_testkit::{Backend, Etcd, Mode, Proxy, on_each_backend};
use tokio::time::timeout;

use super::entry::Entry;
use super::listing;
use super::semaphore::Semaphore;
use super::txns::Grant;
use crate::connection::Connection;
use crate::options::Options;
use crate::session::{Session, SessionOptions};
use crate::watch::{Delivery, Event, EventKind, Watch, WatchSpec};

on_each_backend!(
    a_grant_whose_answer_is_lost_is_settled_by_the_same_transaction,
    a_grant_dropped_after_it_was_sent_leaves_neither_permit_nor_entry
);

/// 30 s: far more than anything here takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(30);

/// An entry whose turn it is, behind a proxy, and a watch past the proxy of the permits.
struct Turn {
    semaphore: Semaphore,
    entry: Entry,
    session: Session,
    permits: Watch,
    proxy: Proxy,
    _etcd: Etcd,
}

impl Turn {
    async fn start(backend: Backend) -> Self {
        let etcd = Etcd::builder(1).on(backend).start();
        let proxy = Proxy::start(etcd.address(0)).await;
        let options = Options {
            request_timeout: Duration::from_secs(1),
            ..Options::new([proxy.endpoint()])
        };
        let (cut, direct) = (
            Connection::open(options).unwrap(),
            Connection::open(Options::new(etcd.endpoints())).unwrap(),
        );
        let options = SessionOptions::new("/node/a", "", Duration::from_mins(1));
        let session = Session::open(&cut, options).await.unwrap();
        let semaphore = Semaphore::open(&cut, "/s", 1).await.unwrap();
        let mut entry =
            Entry::choose(&session, &semaphore.queue, Some(&semaphore.permits)).unwrap();
        let card = listing::card("a", 1);
        let created = entry.put(&cut, &session, card).await.unwrap();
        let permits = direct.watch(WatchSpec::prefix("/s/permits/").from(created + 1));
        Self {
            semaphore,
            entry,
            session,
            permits,
            proxy,
            _etcd: etcd,
        }
    }

    async fn next(permits: &mut Watch) -> Event {
        let next = async {
            loop {
                match permits.next().await {
                    Delivery::Events { mut events, .. } => return events.remove(0),
                    Delivery::Progress { .. } => {}
                    Delivery::Compacted { at } => panic!("compacted at {at}"),
                }
            }
        };
        timeout(LIMIT, next).await.expect("an event in time")
    }
}

async fn a_grant_whose_answer_is_lost_is_settled_by_the_same_transaction(backend: Backend) {
    let mut turn = Turn::start(backend).await;
    let (key, permit) = (
        turn.entry.key().to_owned(),
        turn.entry.held_key().to_owned(),
    );
    let ask = ask(&turn.semaphore, &turn.session, (&key, &permit)).await;

    turn.proxy.set(Mode::CutAnswers);
    let granted = turn.semaphore.grant(&mut turn.entry, &ask);
    let (granted, created) = tokio::join!(timeout(LIMIT, granted), async {
        let event = Turn::next(&mut turn.permits).await;
        turn.proxy.set(Mode::Forward);
        event.kv.create_revision
    });

    let (token, seen) = granted.unwrap().unwrap().unwrap();
    assert_eq!(token, created);
    assert!(seen >= token);
    turn.session.close().await;
}

async fn a_grant_dropped_after_it_was_sent_leaves_neither_permit_nor_entry(backend: Backend) {
    let mut turn = Turn::start(backend).await;
    let (key, permit) = (
        turn.entry.key().to_owned(),
        turn.entry.held_key().to_owned(),
    );
    let ask = ask(&turn.semaphore, &turn.session, (&key, &permit)).await;

    turn.proxy.set(Mode::CutAnswers);
    tokio::select! {
        granted = turn.semaphore.grant(&mut turn.entry, &ask) => panic!("{granted:?}"),
        event = Turn::next(&mut turn.permits) => assert_eq!(event.kind, EventKind::Put),
    }
    drop(turn.entry);
    turn.proxy.set(Mode::Forward);

    let event = Turn::next(&mut turn.permits).await;
    assert_eq!(
        (event.kind, event.kv.key),
        (EventKind::Delete, permit.clone())
    );
    let waiters = turn.semaphore.waiters().await.unwrap();
    assert!(waiters.entries.is_empty(), "{waiters:?}");
    turn.session.close().await;
}

async fn ask<'a>(
    semaphore: &'a Semaphore,
    session: &Session,
    (entry, permit): (&'a str, &'a str),
) -> Grant<'a> {
    let waiters = semaphore.waiters().await.unwrap();
    Grant {
        entry,
        created: waiters.entries[0].revision,
        limit: &semaphore.limit_key,
        modified: semaphore.stored().await.unwrap().modified,
        permit,
        value: listing::card("a", 1),
        lease: session.lease(),
    }
}
