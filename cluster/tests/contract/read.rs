//! Reads against etcd: what they answer, and that they never go back in time.

use std::time::Duration;

use tenure_cluster::{
    CompactError, Connection, Credentials, Failure, FailureKind, Options, Range, ReadError, Tls,
    Txn,
};
use tenure_testkit::Etcd;

use super::common::{self, commit, connect, put, within};

fn keys(page: &tenure_cluster::Page) -> Vec<&str> {
    page.kvs.iter().map(|kv| kv.key.as_str()).collect()
}

#[tokio::test]
async fn a_range_answers_what_was_asked() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let mut at = 0;
    for key in ["/p/a", "/p/b", "/p/c", "/q/a"] {
        at = put(&connection, key, "v").await;
    }
    let later = commit(&connection, &Txn::new().delete("/p/a"))
        .await
        .revision;

    let page = connection.range(&Range::prefix("/p/")).await.unwrap();
    assert_eq!(
        (keys(&page), page.revision, page.count),
        (vec!["/p/b", "/p/c"], later, 2)
    );
    let page = connection
        .range(&Range::prefix("/p/").at(at))
        .await
        .unwrap();
    assert_eq!(
        (keys(&page), page.revision),
        (vec!["/p/a", "/p/b", "/p/c"], later)
    );
    let page = connection
        .range(&Range::prefix("/p/").descending().limit(1))
        .await
        .unwrap();
    assert_eq!(
        (keys(&page), page.more, page.count),
        (vec!["/p/c"], true, 2)
    );
    let page = connection
        .range(&Range::between("/p/b", "/q/b").keys_only())
        .await
        .unwrap();
    assert_eq!(keys(&page), ["/p/b", "/p/c", "/q/a"]);
    assert!(
        page.kvs
            .iter()
            .all(|kv| kv.value.is_empty() && kv.mod_revision > 0)
    );
    let page = connection
        .range(&Range::prefix("/p/").count_only())
        .await
        .unwrap();
    assert_eq!((page.count, page.kvs.len()), (2, 0));
    let page = connection
        .range(&Range::key("/q/a").serializable(later))
        .await
        .unwrap();
    assert_eq!(keys(&page), ["/q/a"]);
}

#[tokio::test]
async fn a_compacted_revision_is_told_and_compacting_again_too() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let old = put(&connection, "/a", "1").await;
    let new = put(&connection, "/a", "2").await;

    connection.compact(new).await.unwrap();

    let error = connection
        .range(&Range::key("/a").at(old))
        .await
        .unwrap_err();
    assert_eq!(error, ReadError::Compacted { at: old });
    assert_eq!(
        connection.compact(new).await,
        Err(CompactError::AlreadyCompacted)
    );
    assert_eq!(
        connection
            .range(&Range::key("/a").at(new))
            .await
            .unwrap()
            .count,
        1
    );
}

#[tokio::test]
async fn a_serializable_read_too_old_is_asked_for_again_and_waits_for_nobody() {
    let mut etcd = Etcd::cluster(3);
    let behind = Connection::open(Options::new([etcd.endpoints()[0].clone()])).unwrap();
    let others = Connection::open(Options::new(etcd.endpoints()[1..].to_vec())).unwrap();
    let before = put(&others, "/a", "old").await;
    within("member 0 to have it", async {
        while behind
            .range(&Range::key("/a").serializable(before))
            .await
            .unwrap()
            .count
            == 0
        {}
    })
    .await;

    // Alone, it can answer only from what it has.
    etcd.kill(1);
    etcd.kill(2);
    let page = behind
        .range(&Range::key("/a").serializable(before))
        .await
        .unwrap();
    assert_eq!(page.kvs[0].value, "old");
    let error = behind
        .range(&Range::key("/a").serializable(before + 1))
        .await
        .unwrap_err();
    assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn an_answer_below_what_was_seen_is_refused() {
    // Two clusters behind one connection: the second's revisions are lower, as a stale member's are.
    let (mut ahead, stale) = (Etcd::single(), Etcd::single());
    let endpoints = [ahead.endpoints(), stale.endpoints()].concat();
    let request_timeout = Duration::from_secs(1);
    let options = Options {
        request_timeout,
        ..Options::new(endpoints)
    };
    let connection = Connection::open(options).unwrap();
    for n in 0..5 {
        put(&connection, "/a", &n.to_string()).await;
    }

    ahead.kill(0);

    let error = within("the refusal", connection.range(&Range::key("/a")))
        .await
        .unwrap_err();
    assert!(matches!(error, ReadError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn leases_tell_how_long_they_live() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let session = common::session(&connection, "/s", 5).await;

    assert!(connection.lease_alive(session.lease()).await.unwrap());
    let left = connection
        .lease_remaining(session.lease())
        .await
        .unwrap()
        .unwrap();
    assert!(
        left <= Duration::from_secs(5) && left >= Duration::from_secs(2),
        "{left:?}"
    );
    assert!(!connection.lease_alive(4711).await.unwrap());
    session.close().await;
}

#[tokio::test]
async fn status_tells_of_each_member_and_of_one_that_is_gone() {
    let mut etcd = Etcd::cluster(3);
    let options = Options {
        request_timeout: Duration::from_secs(2),
        ..Options::new(etcd.endpoints())
    };
    let connection = Connection::open(options).unwrap();
    put(&connection, "/a", "something").await;
    etcd.kill(2);

    let status = within("status", connection.status()).await;

    let endpoints: Vec<_> = status
        .iter()
        .map(|member| member.endpoint.clone())
        .collect();
    assert_eq!(endpoints, etcd.endpoints());
    assert!(status[2].health.is_err(), "{status:?}");
    for member in &status[..2] {
        let health = member.health.as_ref().unwrap();
        assert!(
            health.version.starts_with("3.") && health.db_size > 0,
            "{health:?}"
        );
    }
}

#[tokio::test]
async fn tls_with_a_client_certificate_reads_writes_and_watches() {
    let etcd = Etcd::builder(1).tls().start();
    let certificates = etcd.certificates();
    let tls = Tls {
        ca_pem: certificates.ca_pem(),
        identity: Some(certificates.client_identity()),
        domain: None,
    };
    let connection = Connection::open(Options {
        tls: Some(tls.clone()),
        ..Options::new(etcd.endpoints())
    })
    .unwrap();

    let at = put(&connection, "/a", "v").await;
    let mut watch = connection.watch(tenure_cluster::WatchSpec::key("/a").from(at));
    assert_eq!(common::events(&mut watch).await[0].kv.value, "v");

    let nameless = Tls {
        identity: None,
        ..tls
    };
    let request_timeout = Duration::from_millis(500);
    let options = Options {
        tls: Some(nameless),
        request_timeout,
        ..Options::new(etcd.endpoints())
    };
    let stranger = Connection::open(options).unwrap();
    assert!(
        stranger.range(&Range::key("/a")).await.is_err(),
        "no certificate was asked for"
    );
}

#[tokio::test]
async fn user_and_password_are_used_and_a_wrong_one_is_definite() {
    let etcd = Etcd::builder(1)
        .arg("--auth-token=simple")
        .arg("--auth-token-ttl=1")
        .start();
    etcd.etcdctl(&["user", "add", "root:secret"]);
    etcd.etcdctl(&["user", "grant-role", "root", "root"]);
    etcd.etcdctl(&["auth", "enable"]);
    let with = |password: &str| {
        let credentials = Credentials {
            user: "root".into(),
            password: password.into(),
        };
        let options = Options {
            credentials: Some(credentials),
            ..Options::new(etcd.endpoints())
        };
        Connection::open(options).unwrap()
    };

    let connection = with("secret");
    let at = put(&connection, "/a", "1").await;
    let mut watch = connection.watch(tenure_cluster::WatchSpec::key("/a").from(at));
    assert_eq!(common::events(&mut watch).await.len(), 1);
    let session = common::session(&connection, "/s", 2).await;
    // Tokens live for a second: sessions, requests and watches opened later go on with new ones.
    let died = tokio::time::timeout(Duration::from_secs(5), session.lost().cancelled_owned()).await;
    assert!(died.is_err(), "the session did not outlive its token");
    put(&connection, "/a", "2").await;
    assert_eq!(common::events(&mut watch).await[0].kv.value, "2");
    let mut later = connection.watch(tenure_cluster::WatchSpec::key("/a").from(at));
    assert_eq!(common::events(&mut later).await.len(), 2);
    session.close().await;

    let error = with("wrong").range(&Range::key("/a")).await.unwrap_err();
    let ReadError::Definite(Failure { kind, .. }) = error else {
        panic!("{error}")
    };
    assert!(
        matches!(kind, FailureKind::Invalid | FailureKind::Denied),
        "{kind}"
    );
}
