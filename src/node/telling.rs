//! Tells the cluster what this node's wall clock says, as long as its session lives: the leader need not believe its own alone. Never
//! reads another's.

use std::convert::Infallible;
use std::time::Duration;

use tenure_cluster::{Outcome, Session};
use tokio::time::interval;
use tracing::warn;

use super::Shared;

/// 15 s between tellings: as long as collection is late by them, and the least retention is a minute.
const EVERY: Duration = Duration::from_secs(15);

/// Tells until it is dropped.
pub(super) async fn tell_clock(node: &Shared, session: &Session) -> Infallible {
    let mut ticks = interval(EVERY);
    loop {
        ticks.tick().await;
        match node.store.tell_clock(&node.name, session).await {
            Outcome::Committed(_) | Outcome::Refused(_) => {}
            Outcome::Unknown(failure) | Outcome::Unavailable(failure) => {
                warn!(%failure, "the clock was not told, trying again later");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tenure_cluster::{Connection, Options, Range, SessionOptions};
    use tenure_embedded::Embedded;

    use super::*;
    use crate::store::{Keys, Store};
    use crate::task::Name;

    #[tokio::test]
    async fn a_clock_is_told_also_where_etcd_has_no_space() {
        let etcd = Embedded::in_memory(&tenure_embedded::Options::default());
        let options = Options::in_process([("etcd".to_owned(), etcd.channel())]);
        let connection = Connection::open(options).unwrap();
        let store = Store::new(connection, Keys::new(&"c".parse().unwrap()));
        let name: Name = "a".parse().unwrap();
        let options = SessionOptions::new(store.keys().node(&name), "", EVERY);
        let session = Session::open(store.connection(), options).await.unwrap();
        etcd.raise_no_space();

        let outcome = store.tell_clock(&name, &session).await;

        assert!(outcome.committed().is_some());
        let clocks = Range::prefix(store.keys().clock_prefix());
        let page = store.connection().range(&clocks).await.unwrap();
        assert_eq!(page.kvs.len(), 1);
    }
}
