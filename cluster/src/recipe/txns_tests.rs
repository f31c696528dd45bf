//! Each transaction against etcd: what it writes, and each guard losing alone.

use std::time::Duration;

use bytes::Bytes;
use tenure_testkit::{Backend, Etcd, on_each_backend};

use super::txns::{self, Grant};
use crate::connection::Connection;
use crate::options::Options;
use crate::read::{KeyValue, Range};
use crate::session::{Session, SessionOptions};
use crate::txn::{Outcome, Txn};

const ENTRY: &str = "/s/queue/1";
const PERMIT: &str = "/s/permits/1";
const LIMIT: &str = "/s/permits/limit";

on_each_backend!(
    enqueue_writes_the_entry_and_loses_by_session_and_by_entry,
    enqueue_loses_by_permit_where_its_late_copy_comes_while_its_owner_holds,
    enter_writes_nothing_and_loses_by_entry_and_by_oldest,
    grant_writes_the_permit_for_the_entry_and_loses_by_entry_and_by_limit,
    release_deletes_and_loses_by_hold_to_a_key_made_again,
    abandon_deletes_both_and_makes_a_late_grant_lose,
    declare_and_change_write_the_limit_and_lose_by_limit
);

/// A store and a connection to it.
struct Store {
    connection: Connection,
    _etcd: Etcd,
}

impl Store {
    fn start(backend: Backend) -> Self {
        let etcd = Etcd::builder(1).on(backend).start();
        let connection = Connection::open(Options::new(etcd.endpoints())).unwrap();
        Self {
            connection,
            _etcd: etcd,
        }
    }

    async fn commit(&self, txn: &Txn) -> i64 {
        let outcome = self.connection.commit(txn).await;
        let committed = outcome.committed();
        committed
            .unwrap_or_else(|| panic!("{txn:?} was not committed: {outcome:?}"))
            .revision
    }

    async fn put(&self, key: &str) -> i64 {
        self.commit(&Txn::new().put(key, "")).await
    }

    /// The guards that were lost and the key read instead, with nothing below the prefix changed.
    async fn refused(&self, txn: &Txn) -> (Vec<&'static str>, Option<KeyValue>) {
        let before = self.all().await;
        let Outcome::Refused(refused) = self.connection.commit(txn).await else {
            panic!("{txn:?} was not refused")
        };
        assert_eq!(self.all().await, before);
        (refused.lost.clone(), refused.found())
    }

    async fn all(&self) -> Vec<KeyValue> {
        let page = self.connection.range(&Range::prefix("/s/")).await;
        page.unwrap().kvs
    }

    async fn keys(&self) -> Vec<String> {
        self.all().await.into_iter().map(|kv| kv.key).collect()
    }
}

fn grant(created: i64, modified: i64) -> Txn {
    txns::grant(&Grant {
        entry: ENTRY,
        created,
        limit: LIMIT,
        modified,
        permit: PERMIT,
        value: Bytes::from_static(b"card"),
        lease: 0,
    })
}

async fn enqueue_writes_the_entry_and_loses_by_session_and_by_entry(backend: Backend) {
    let store = Store::start(backend);
    let options = SessionOptions::new("/node/a", "", Duration::from_secs(30));
    let session = Session::open(&store.connection, options).await.unwrap();
    let lease = session.lease();
    let enqueue = txns::enqueue(&session, ENTRY, None, "card".into());

    let created = store.commit(&enqueue).await;
    let all = store.all().await;
    assert_eq!(
        (all.len(), &all[0].key[..], all[0].lease),
        (1, ENTRY, lease)
    );
    let (lost, found) = store.refused(&enqueue).await;
    assert_eq!(
        (&lost[..], found.unwrap().create_revision),
        (&["entry"][..], created)
    );

    store.commit(&Txn::new().delete(ENTRY)).await;
    store.commit(&Txn::new().delete("/node/a")).await;
    assert_eq!(store.refused(&enqueue).await.0, ["session"]);
}

async fn enqueue_loses_by_permit_where_its_late_copy_comes_while_its_owner_holds(backend: Backend) {
    let store = Store::start(backend);
    let options = SessionOptions::new("/node/a", "", Duration::from_secs(30));
    let session = Session::open(&store.connection, options).await.unwrap();
    let enqueue = txns::enqueue(&session, ENTRY, Some(PERMIT), "card".into());
    let limit = store.put(LIMIT).await;
    let created = store.commit(&enqueue).await;
    store.commit(&grant(created, limit)).await;

    let late = store.refused(&enqueue).await;

    assert_eq!(late, (vec!["permit"], None));
    assert_eq!(store.keys().await, [PERMIT, LIMIT]);
}

async fn enter_writes_nothing_and_loses_by_entry_and_by_oldest(backend: Backend) {
    let store = Store::start(backend);
    let (first, second) = (store.put(ENTRY).await, store.put("/s/queue/0").await);
    let enter = |key, created| txns::enter("/s/queue/", key, created);

    assert_eq!(store.commit(&enter(ENTRY, first)).await, second);
    assert_eq!(store.commit(&enter(ENTRY, first)).await, second);
    let (lost, _) = store.refused(&enter("/s/queue/0", second)).await;
    assert_eq!(lost, ["oldest"]);

    store.commit(&Txn::new().delete(ENTRY)).await;
    assert_eq!(store.refused(&enter(ENTRY, first)).await.0, ["entry"]);
    store.commit(&enter("/s/queue/0", second)).await;
}

async fn grant_writes_the_permit_for_the_entry_and_loses_by_entry_and_by_limit(backend: Backend) {
    let store = Store::start(backend);
    let (limit, created) = (store.put(LIMIT).await, store.put(ENTRY).await);
    let changed = store.put(LIMIT).await;

    let stale = store.refused(&grant(created, limit)).await;
    assert_eq!(stale, (vec!["limit"], None));

    let token = store.commit(&grant(created, changed)).await;
    assert!(token > created);
    assert_eq!(store.keys().await, [PERMIT, LIMIT]);
    // A copy of it, sent because its answer was lost, finds the permit.
    let (lost, found) = store.refused(&grant(created, changed)).await;
    assert_eq!(
        (&lost[..], found.unwrap().create_revision),
        (&["entry"][..], token)
    );
}

async fn release_deletes_and_loses_by_hold_to_a_key_made_again(backend: Backend) {
    let store = Store::start(backend);
    let first = store.put(PERMIT).await;
    store.commit(&Txn::new().delete(PERMIT)).await;
    let second = store.put(PERMIT).await;

    let late = store.refused(&txns::release(PERMIT, first)).await;
    assert_eq!(late.0, ["hold"]);
    store.commit(&txns::release(PERMIT, second)).await;
    assert!(store.keys().await.is_empty());
    let again = store.refused(&txns::release(PERMIT, second)).await;
    assert_eq!(again.0, ["hold"]);
}

async fn abandon_deletes_both_and_makes_a_late_grant_lose(backend: Backend) {
    let store = Store::start(backend);
    let (limit, created) = (store.put(LIMIT).await, store.put(ENTRY).await);

    store.commit(&txns::abandon(ENTRY, PERMIT)).await;
    let late = store.refused(&grant(created, limit)).await;
    assert_eq!(late, (vec!["entry"], None));

    let created = store.put(ENTRY).await;
    store.commit(&grant(created, limit)).await;
    store.commit(&txns::abandon(ENTRY, PERMIT)).await;
    assert_eq!(store.keys().await, [LIMIT]);
}

async fn declare_and_change_write_the_limit_and_lose_by_limit(backend: Backend) {
    let store = Store::start(backend);
    let declared = store.commit(&txns::declare(LIMIT, "3".into())).await;
    let (lost, found) = store.refused(&txns::declare(LIMIT, "4".into())).await;
    assert_eq!(
        (&lost[..], &found.unwrap().value[..]),
        (&["limit"][..], &b"3"[..])
    );

    let change = txns::change(LIMIT, declared, "5".into());
    store.commit(&change).await;
    let (lost, found) = store.refused(&change).await;
    assert_eq!(
        (&lost[..], &found.unwrap().value[..]),
        (&["limit"][..], &b"5"[..])
    );
    // A change decided on what was there does not make it anew.
    store.commit(&Txn::new().delete(LIMIT)).await;
    let gone = store.refused(&change).await;
    assert_eq!(gone, (vec!["limit"], None));
}
