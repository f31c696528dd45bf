//! A server with a directory: what it acknowledged is there after it is opened again, and a directory
//! that cannot be trusted is refused.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test panics with what it got"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use etcd_client::{Client, GetOptions, PutOptions, Txn, TxnOp, WatchOptions};
use tempfile::TempDir;
use tenure_embedded::{Embedded, OpenError, Options};

async fn open(dir: &Path) -> (Embedded, Client) {
    let server = Embedded::open(dir, &Options::default()).unwrap();
    let client = Client::from_channel(server.channel(), None).await.unwrap();
    (server, client)
}

async fn commit(client: &Client, op: TxnOp) -> i64 {
    let answer = client.kv_client().txn(Txn::new().and_then([op])).await;
    answer.unwrap().header().unwrap().revision()
}

async fn all(client: &Client, revision: i64) -> BTreeMap<String, (Vec<u8>, i64, i64, i64)> {
    let options = GetOptions::new().with_all_keys().with_revision(revision);
    let answer = client.kv_client().get("", Some(options)).await.unwrap();
    let keys = answer.kvs().iter().map(|kv| {
        let key = kv.key_str().unwrap().to_owned();
        let value = kv.value().to_vec();
        (key, (value, kv.mod_revision(), kv.version(), kv.lease()))
    });
    keys.collect()
}

#[tokio::test]
async fn everything_acknowledged_is_there_when_opened_again() {
    let dir = TempDir::new().unwrap();
    let (server, client) = open(dir.path()).await;
    let lease = client.lease_client().grant(60, None).await.unwrap().id();
    for n in 0..50 {
        commit(
            &client,
            TxnOp::put(format!("k/{}", n % 7), format!("{n}"), None),
        )
        .await;
    }
    let leased = PutOptions::new().with_lease(lease);
    commit(&client, TxnOp::put("leased", "x", Some(leased))).await;
    client.kv_client().compact(30, None).await.unwrap();
    let last = commit(&client, TxnOp::delete("k/3", None)).await;
    let (now, then) = (all(&client, 0).await, all(&client, 40).await);
    server.shutdown().await;

    let (server, client) = open(dir.path()).await;

    assert_eq!(server.revision(), last);
    assert_eq!(all(&client, 0).await, now);
    assert_eq!(all(&client, 40).await, then);
    let old = client
        .kv_client()
        .get("x", Some(GetOptions::new().with_revision(29)))
        .await;
    assert!(old.unwrap_err().to_string().contains("has been compacted"));
    let left = client
        .lease_client()
        .time_to_live(lease, None)
        .await
        .unwrap();
    assert!(left.ttl() >= 59, "{left:?}");
    let other = client.lease_client().grant(60, None).await.unwrap().id();
    assert_ne!(other, lease);
    let replay = WatchOptions::new()
        .with_all_keys()
        .with_start_revision(last - 1);
    let mut stream = client.watch_client().watch("", Some(replay)).await.unwrap();
    stream.message().await.unwrap();
    let replayed = stream.message().await.unwrap().unwrap();
    assert_eq!(replayed.events().len(), 2);
    client.lease_client().revoke(lease).await.unwrap();
    assert!(!all(&client, 0).await.contains_key("leased"));
}

#[tokio::test]
async fn one_dropped_without_shutdown_has_lost_nothing() {
    let dir = TempDir::new().unwrap();
    for round in 0..5 {
        let (server, client) = open(dir.path()).await;
        assert_eq!(all(&client, 0).await.len(), round * 20);
        for n in 0..20 {
            commit(&client, TxnOp::put(format!("{round}/{n}"), "x", None)).await;
        }
        drop(server);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_all_get_what_they_wrote() {
    let dir = TempDir::new().unwrap();
    let (server, client) = open(dir.path()).await;
    let writers = (0..32).map(|writer| {
        let client = client.clone();
        async move {
            for n in 0..20 {
                commit(&client, TxnOp::put(format!("{writer}/{n}"), "x", None)).await;
            }
        }
    });

    futures::future::join_all(writers).await;
    server.shutdown().await;

    let (_server, client) = open(dir.path()).await;
    assert_eq!(all(&client, 0).await.len(), 32 * 20);
}

#[tokio::test]
async fn a_second_server_on_one_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let (server, _client) = open(dir.path()).await;

    let second = Embedded::open(dir.path(), &Options::default()).unwrap_err();

    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    assert!(
        second
            .to_string()
            .contains(&dir.path().display().to_string())
    );
    drop(server);
    open(dir.path()).await;
}

#[tokio::test]
async fn a_foreign_directory_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("member.wal"), "not ours").unwrap();

    let error = Embedded::open(dir.path(), &Options::default()).unwrap_err();

    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("member.wal"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_unfinished_directory_is_made_anew() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("store.redb.new"), "half").unwrap();

    let (_server, client) = open(dir.path()).await;

    assert!(all(&client, 0).await.is_empty());
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let whole = TempDir::new().unwrap();
    let (server, client) = open(whole.path()).await;
    for n in 0..200 {
        commit(&client, TxnOp::put(format!("{n}"), vec![b'x'; 2_000], None)).await;
    }
    server.shutdown().await;
    let bytes = fs::read(whole.path().join("store.redb")).unwrap();
    let somewhere = bytes.windows(64).position(|at| at == [b'x'; 64]).unwrap();
    type Damage<'a> = &'a dyn Fn(&mut fs::File);
    let damages: [(&str, Damage<'_>); 4] = [
        ("a value", &|file| {
            file.seek(SeekFrom::Start(somewhere as u64 + 10)).unwrap();
            file.write_all(b"y").unwrap();
        }),
        ("half of it", &|file| {
            file.set_len(bytes.len() as u64 / 2).unwrap();
        }),
        ("the start", &|file| file.write_all(&[0; 512]).unwrap()),
        ("all of it", &|file| file.set_len(0).unwrap()),
    ];

    for (what, damage) in damages {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("store.redb"), &bytes).unwrap();
        let file = fs::OpenOptions::new()
            .write(true)
            .open(dir.path().join("store.redb"));
        damage(&mut file.unwrap());
        let error = Embedded::open(dir.path(), &Options::default()).unwrap_err();
        assert!(
            matches!(error, OpenError::Damaged { .. } | OpenError::Foreign { .. }),
            "{what}: {error}"
        );
        assert!(
            error
                .to_string()
                .contains(&dir.path().display().to_string())
        );
    }
}
