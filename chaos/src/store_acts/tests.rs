use super::*;
use crate::etcd_of_tests::Etcd;
use etcd_client::{EventType, PutOptions, WatchOptions};

/// 30 s for what has to become so.
const SOON: Duration = Duration::from_secs(30);

const ROOT: &str = "/tenure/demo/";

fn operator(etcd: &Etcd) -> Operator {
    Operator::new(etcd.members.endpoints().to_vec(), ROOT.to_owned())
}

fn refuses(made: &Made, because: &str) -> bool {
    matches!(made, Made::NotNow(why) if why.contains(because))
}

async fn put(client: &mut Client, key: &str, value: &str) -> Result<i64, Error> {
    let put = client.put(format!("{ROOT}{key}"), value, None).await?;
    Ok(put.header().unwrap().revision())
}

#[tokio::test]
async fn while_the_alarm_is_raised_nothing_is_written_and_then_it_is() {
    let Some(etcd) = Etcd::start(1).await else {
        return;
    };
    let (operator, mut client) = (operator(&etcd), etcd.client().await);
    put(&mut client, "key", "before").await.unwrap();

    assert_eq!(operator.no_space(true).await.unwrap(), Made::Yes);
    let full = put(&mut client, "key", "meanwhile").await.unwrap_err();
    assert!(full.to_string().contains("space exceeded"), "{full}");

    assert_eq!(operator.no_space(false).await.unwrap(), Made::Yes);
    assert_eq!(operator.no_space(false).await.unwrap(), Made::Yes);
    put(&mut client, "key", "after").await.unwrap();
}

#[tokio::test]
async fn whoever_watches_from_before_a_compaction_is_told() {
    let Some(etcd) = Etcd::start(1).await else {
        return;
    };
    let (operator, mut client) = (operator(&etcd), etcd.client().await);
    put(&mut client, "key", "one").await.unwrap();
    let last = put(&mut client, "key", "two").await.unwrap();

    assert_eq!(operator.compact(last).await.unwrap(), Made::Yes);

    let options = WatchOptions::new().with_start_revision(last - 1);
    let mut watch = client
        .watch(format!("{ROOT}key"), Some(options))
        .await
        .unwrap();
    let told = timeout(SOON, async {
        loop {
            let answer = watch.message().await.unwrap().unwrap();
            if answer.canceled() {
                return answer.compact_revision();
            }
        }
    });
    assert_eq!(told.await.unwrap(), last);
    let again = operator.compact(last).await.unwrap();
    assert!(refuses(&again, "has been compacted"), "{again:?}");
    let future = operator.compact(last + 100).await.unwrap();
    assert!(refuses(&future, "future revision"), "{future:?}");
}

#[tokio::test]
async fn a_revoked_session_goes_with_all_that_it_holds_and_no_others() {
    let Some(etcd) = Etcd::start(1).await else {
        return;
    };
    let (operator, mut client) = (operator(&etcd), etcd.client().await);
    for node in ["n1", "n10"] {
        let lease = client.lease_grant(600, None).await.unwrap().id();
        for key in [format!("live/node/{node}"), format!("elect/{node}")] {
            let options = PutOptions::new().with_lease(lease);
            let key = format!("{ROOT}{key}");
            client.put(key, node, Some(options)).await.unwrap();
        }
    }

    assert_eq!(operator.revoke_session("n1").await.unwrap(), Made::Yes);

    let all = GetOptions::new().with_prefix().with_keys_only();
    let left = client.get(ROOT, Some(all)).await.unwrap();
    let left: Vec<&str> = left.kvs().iter().map(|kv| kv.key_str().unwrap()).collect();
    assert_eq!(
        left,
        ["/tenure/demo/elect/n10", "/tenure/demo/live/node/n10"]
    );
    let again = operator.revoke_session("n1").await.unwrap();
    assert!(refuses(&again, "no session"), "{again:?}");
    put(&mut client, "live/node/bare", "").await.unwrap();
    let bare = operator.revoke_session("bare").await.unwrap();
    assert!(refuses(&bare, "no session"), "{bare:?}");
}

#[tokio::test]
async fn the_oldest_candidates_key_is_deleted_whatever_its_name() {
    let Some(etcd) = Etcd::start(1).await else {
        return;
    };
    let (operator, mut client) = (operator(&etcd), etcd.client().await);
    for candidate in ["elect/z", "elect/a", "electoral"] {
        put(&mut client, candidate, "").await.unwrap();
    }
    // Written again, it is no younger.
    let from = put(&mut client, "elect/z", "again").await.unwrap() + 1;

    for _ in 0..2 {
        assert_eq!(operator.delete_leader().await.unwrap(), Made::Yes);
    }

    let nobody = operator.delete_leader().await.unwrap();
    assert!(refuses(&nobody, "nobody leads"), "{nobody:?}");
    let options = WatchOptions::new().with_prefix().with_start_revision(from);
    let mut watch = client.watch(ROOT, Some(options)).await.unwrap();
    let mut deleted = Vec::new();
    while deleted.len() < 2 {
        let answer = timeout(SOON, watch.message()).await.unwrap().unwrap();
        for event in answer.unwrap().events() {
            assert_eq!(event.event_type(), EventType::Delete);
            deleted.push(event.kv().unwrap().key_str().unwrap().to_owned());
        }
    }
    assert_eq!(deleted, ["/tenure/demo/elect/z", "/tenure/demo/elect/a"]);
}

#[tokio::test]
async fn leadership_moves_members_agree_and_one_defragments() {
    let Some(mut etcd) = Etcd::start(3).await else {
        return;
    };
    let (operator, mut client) = (operator(&etcd), etcd.client().await);
    let before = etcd.members.leader().await.unwrap();

    assert_eq!(operator.move_leader().await.unwrap(), Made::Yes);

    let after = timeout(SOON, async {
        loop {
            match etcd.members.leader().await {
                Some(leader) if leader != before => return leader,
                Some(_) | None => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(after.await.unwrap(), (before + 1) % 3);

    let revision = put(&mut client, "key", "value").await.unwrap();
    let hashes = timeout(SOON, async {
        loop {
            // A member may not have come so far yet.
            match operator.hashes(revision).await {
                Ok(hashes) => return hashes,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let hashes = hashes.await.unwrap();
    let names: Vec<&str> = hashes.keys().map(String::as_str).collect();
    assert_eq!(names, ["e1", "e2", "e3"]);
    assert_eq!(hashes["e1"], hashes["e2"]);
    assert_eq!(hashes["e1"], hashes["e3"]);
    let earlier = operator.hashes(revision - 1).await.unwrap();
    assert_ne!(earlier["e1"], hashes["e1"]);

    assert_eq!(operator.defragment("e2").await.unwrap(), Made::Yes);
    let nobody = operator.defragment("e9").await.unwrap();
    assert!(refuses(&nobody, "e9 does not answer"), "{nobody:?}");

    etcd.members.kill(after_one(before)).unwrap();
    let unheard = operator.hashes(revision).await.unwrap_err().to_string();
    assert!(unheard.contains("2 members of 3"), "{unheard}");
}

fn after_one(nth: usize) -> usize {
    (nth + 1) % 3
}

#[tokio::test]
async fn without_etcd_nothing_can_be_done() {
    let port = crate::cluster::free_ports(1).unwrap()[0];
    let nowhere = vec![format!("http://127.0.0.1:{port}")];
    let operator = Operator::new(nowhere, ROOT.to_owned());

    let made = [
        operator.no_space(true).await.unwrap(),
        operator.compact(1).await.unwrap(),
        operator.revoke_session("n1").await.unwrap(),
        operator.delete_leader().await.unwrap(),
        operator.move_leader().await.unwrap(),
        operator.defragment("e1").await.unwrap(),
    ];

    for made in made {
        assert!(refuses(&made, "answer"), "{made:?}");
    }
    assert!(operator.hashes(1).await.is_err());
}
