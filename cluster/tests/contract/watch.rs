//! Watches against etcd: no gap, no repeat, and compaction said aloud.

use std::time::Duration;

use tenure_cluster::{
    Connection, Delivery, EventKind, Members, MembershipChange, Options, Range, Txn, Watch,
    WatchSpec,
};
use tenure_testkit::{Etcd, Mode, Proxy};

use super::common::{self, commit, connect, connect_to, events, put, within};

/// Reads values until one is `last`.
async fn values_until(watch: &mut Watch, last: &str) -> Vec<String> {
    let mut values = Vec::new();
    while values.last().is_none_or(|value| value != last) {
        for event in events(watch).await {
            values.push(String::from_utf8(event.kv.value.to_vec()).unwrap());
        }
    }
    values
}

fn numbers(to: i32) -> Vec<String> {
    (0..=to).map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn a_watch_delivers_whole_revisions_from_where_it_was_told() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let first = put(&connection, "/w/a", "1").await;
    let both = commit(&connection, &Txn::new().put("/w/b", "2").delete("/w/a"))
        .await
        .revision;
    put(&connection, "/x", "elsewhere").await;

    let mut watch = connection.watch(WatchSpec::prefix("/w/").from(first + 1).with_previous());
    let delivery = within("the events", watch.next()).await;

    let Delivery::Events { revision, events } = delivery else {
        panic!("{delivery:?}")
    };
    assert_eq!((revision, watch.cursor(), events.len()), (both, both, 2));
    let deleted = events
        .iter()
        .find(|event| event.kind == EventKind::Delete)
        .unwrap();
    assert_eq!(
        (&deleted.kv.key[..], deleted.kv.mod_revision),
        ("/w/a", both)
    );
    assert_eq!(deleted.previous.as_ref().unwrap().value, "1");
    let written = events
        .iter()
        .find(|event| event.kind == EventKind::Put)
        .unwrap();
    assert_eq!(
        (&written.kv.value[..], written.previous.as_ref()),
        (&b"2"[..], None)
    );
}

#[tokio::test]
async fn a_watch_from_now_delivers_what_comes_after_its_first_progress() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    put(&connection, "/a", "before").await;

    let mut watch = connection.watch(WatchSpec::key("/a"));
    watch.request_progress().await;
    // "Now" is when it first connects, which takes a read: what happens from then on is delivered. etcd
    // answers the progress request as soon as anything happened after that.
    let delivery = within("progress", async {
        loop {
            tokio::select! {
                delivery = watch.next() => return delivery,
                _ = put(&connection, "/b", "elsewhere") => {}
            }
        }
    })
    .await;
    assert!(
        matches!(delivery, Delivery::Progress { .. }),
        "{delivery:?}"
    );
    put(&connection, "/a", "after").await;

    assert_eq!(events(&mut watch).await[0].kv.value, "after");
}

#[tokio::test]
async fn a_watch_in_a_store_where_nothing_happens_is_left_in_peace() {
    let counters = common::counters::Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let at = put(&connection, "/a", "").await;
    let mut watch = connection.watch(WatchSpec::key("/a").from(at + 1));

    // etcd answers no progress request now. Longer than the idle time and the time for an answer together:
    let idle = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
    assert!(idle.is_err(), "{idle:?}");

    assert_eq!(counters.count("tenure_etcd_watch_restarts_total"), 0);
    // It asked whether anything had happened that it should have heard of.
    assert_eq!(
        counters.count("tenure_etcd_requests_total{op=range,code=ok}"),
        1
    );
}

#[tokio::test]
async fn progress_moves_the_cursor_of_an_idle_watch_past_what_happens_elsewhere() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let start = put(&connection, "/a", "").await;
    let mut watch = connection.watch(WatchSpec::key("/a").from(start + 1));
    let elsewhere = put(&connection, "/b", "").await;

    // Nobody asks: the watch does by itself when it has been idle.
    let delivery = within("progress by itself", watch.next()).await;

    assert_eq!(
        delivery,
        Delivery::Progress {
            revision: elsewhere
        }
    );
    assert_eq!(watch.cursor(), elsewhere);
    // So a compaction up to there does not overtake it.
    connection.compact(elsewhere).await.unwrap();
    put(&connection, "/a", "after").await;
    assert_eq!(events(&mut watch).await[0].kv.value, "after");
}

#[tokio::test]
async fn a_watcher_overtaken_by_compaction_is_told_and_stays_told() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let old = put(&connection, "/a", "1").await;
    put(&connection, "/a", "2").await;
    let now = put(&connection, "/a", "3").await;
    connection.compact(now).await.unwrap();

    let mut watch = connection.watch(WatchSpec::key("/a").from(old));

    assert_eq!(
        within("compacted", watch.next()).await,
        Delivery::Compacted { at: now }
    );
    assert_eq!(
        within("compacted again", watch.next()).await,
        Delivery::Compacted { at: now }
    );
    // Read again, watch anew: nothing is missed.
    let page = connection.range(&Range::key("/a")).await.unwrap();
    let mut anew = connection.watch(WatchSpec::key("/a").from(page.revision + 1));
    put(&connection, "/a", "4").await;
    assert_eq!(events(&mut anew).await[0].kv.value, "4");
}

#[tokio::test]
async fn a_watcher_cut_off_while_history_is_compacted_is_told() {
    let etcd = Etcd::single();
    let direct = connect(&etcd);
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(2));
    let start = put(&direct, "/a", "0").await;
    let mut watch = connection.watch(WatchSpec::key("/a").from(start));
    assert_eq!(events(&mut watch).await[0].kv.value, "0");

    proxy.set(Mode::Refuse);
    for n in 1..5 {
        put(&direct, "/a", &n.to_string()).await;
    }
    let now = direct.seen_revision();
    direct.compact(now).await.unwrap();
    proxy.set(Mode::Forward);

    assert_eq!(
        within("compacted", watch.next()).await,
        Delivery::Compacted { at: now }
    );
}

#[tokio::test]
async fn a_watch_resumes_over_a_killed_member_without_gap_or_repeat() {
    let mut etcd = Etcd::cluster(3);
    let watching = connect(&etcd);
    let writing = Connection::open(Options::new(etcd.endpoints()[1..].to_vec())).unwrap();
    let start = put(&writing, "/a", "0").await;
    let mut watch = watching.watch(WatchSpec::key("/a").from(start));
    assert_eq!(values_until(&mut watch, "0").await, ["0"]);

    for n in 1..=30 {
        if n == 10 {
            etcd.kill(0);
        }
        common::commit_at_last(&writing, &Txn::new().put("/a", n.to_string())).await;
    }

    let values = values_until(&mut watch, "30").await;
    // A put of unknown outcome is repeated, so a value may be there twice, but in order and none missing.
    let mut distinct = values.clone();
    distinct.dedup();
    assert_eq!(distinct, numbers(30)[1..]);
    let page = writing.range(&Range::key("/a")).await.unwrap();
    let written = usize::try_from(page.kvs[0].version).unwrap();
    assert_eq!(values.len() + 1, written, "each version is delivered once");
}

/// 10 s until a watch that nobody helps goes on: 7 s of pings, and opening it anew on a loaded machine.
const BLIND_MAX: Duration = Duration::from_secs(10);

/// Three members; one that does not lead, to be frozen; a connection to it first, and one to the leader.
fn to_be_frozen() -> (Etcd, usize, Connection, Connection) {
    let etcd = Etcd::cluster(3);
    let leader = etcd.leader();
    let follower = (leader + 1) % 3;
    let mut endpoints = etcd.endpoints();
    endpoints.swap(0, follower);
    let watching = Options {
        request_timeout: Duration::from_secs(1),
        ..Options::new(endpoints)
    };
    let writing = Options::new([etcd.endpoints()[leader].clone()]);
    (
        etcd,
        follower,
        Connection::open(watching).unwrap(),
        Connection::open(writing).unwrap(),
    )
}

/// A watch of `/a` that has heard its first value.
async fn heard_once(watching: &Connection, writing: &Connection) -> Watch {
    let start = put(writing, "/a", "0").await;
    let mut watch = watching.watch(WatchSpec::key("/a").from(start));
    assert_eq!(values_until(&mut watch, "0").await, ["0"]);
    watch
}

/// Restarts because no progress was told, and because the connection was given up.
fn restarts(counters: &common::counters::Counters) -> (u64, u64) {
    let of = |reason| {
        let name = format!("tenure_etcd_watch_restarts_total{{reason={reason}}}");
        counters.count(&name)
    };
    (of("silent"), of("stream"))
}

#[tokio::test]
async fn a_watch_on_a_frozen_member_goes_on_at_another_within_its_bound() {
    let (etcd, member, watching, writing) = to_be_frozen();
    let mut watch = heard_once(&watching, &writing).await;

    etcd.stop(member);
    put(&writing, "/a", "1").await;

    // Nothing else tells this process that something happened.
    let seen = tokio::time::timeout(BLIND_MAX, values_until(&mut watch, "1")).await;
    assert_eq!(seen.unwrap(), ["1"]);
    etcd.cont(member);
}

#[tokio::test]
async fn a_frozen_member_is_noticed_before_its_pings_fail_once_another_answer_is_newer() {
    let counters = common::counters::Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let (etcd, member, watching, writing) = to_be_frozen();
    let mut watch = heard_once(&watching, &writing).await;

    etcd.stop(member);
    put(&writing, "/a", "1").await;
    let elsewhere = watching.range(&Range::key("/b")).await;
    assert!(elsewhere.is_ok(), "{elsewhere:?}");

    assert_eq!(values_until(&mut watch, "1").await, ["1"]);
    assert_eq!(restarts(&counters), (1, 0));
    etcd.cont(member);
}

#[tokio::test]
async fn a_frozen_member_is_noticed_before_its_pings_fail_once_a_keepalive_has_left_it() {
    let counters = common::counters::Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let (etcd, member, watching, writing) = to_be_frozen();
    // A keepalive each second, which tells nothing of the store's revision.
    let session = common::session(&watching, "/session", 3).await;
    let mut watch = heard_once(&watching, &writing).await;

    etcd.stop(member);
    put(&writing, "/a", "1").await;

    assert_eq!(values_until(&mut watch, "1").await, ["1"]);
    let (silent, stream) = restarts(&counters);
    // The session watches its key on the same member, and may be the first to notice.
    assert!(
        silent >= 1 && stream == 0,
        "{silent} silent, {stream} broken"
    );
    etcd.cont(member);
    session.close().await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_noticed_and_replaced() {
    let counters = common::counters::Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let etcd = Etcd::single();
    let direct = connect(&etcd);
    let proxy = Proxy::start(etcd.address(0)).await;
    let other = Proxy::start(etcd.address(0)).await;
    let options = Options {
        request_timeout: Duration::from_secs(1),
        ..Options::new([proxy.endpoint(), other.endpoint()])
    };
    let connection = Connection::open(options).unwrap();
    let start = put(&direct, "/a", "0").await;
    let mut watch = connection.watch(WatchSpec::key("/a").from(start));
    assert_eq!(values_until(&mut watch, "0").await, ["0"]);

    proxy.set(Mode::CutAnswers);
    put(&direct, "/a", "1").await;

    assert_eq!(values_until(&mut watch, "1").await, ["1"]);
    assert!(counters.count("tenure_etcd_watch_restarts_total") >= 1);
}

#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    let etcd = Etcd::single();
    let connection = connect(&etcd);
    let start = put(&connection, "/a", "0").await;
    for n in 1..200 {
        put(&connection, "/a", &n.to_string()).await;
    }

    let mut watch = connection.watch(WatchSpec::key("/a").from(start));
    let mut values = Vec::new();
    within("all of them through dropped futures", async {
        while values.len() < 200 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                delivery = watch.next() => match delivery {
                    Delivery::Events { events, .. } => values.extend(
                        events.iter().map(|e| String::from_utf8(e.kv.value.to_vec()).unwrap()),
                    ),
                    Delivery::Progress { .. } | Delivery::Compacted { .. } => {}
                }
            }
        }
    })
    .await;

    assert_eq!(values, numbers(199));
}

#[tokio::test]
async fn members_join_and_leave_and_a_compaction_ends_in_a_snapshot() {
    let etcd = Etcd::single();
    let direct = connect(&etcd);
    let proxy = Proxy::start(etcd.address(0)).await;
    let connection = connect_to(proxy.endpoint(), Duration::from_secs(2));
    let at = put(&direct, "/m/a", "1").await;
    let mut members = Members::open(&connection, "/m/");

    let change = within("the snapshot", members.next()).await;
    let MembershipChange::Snapshot {
        members: first,
        revision,
    } = change
    else {
        panic!("{change:?}")
    };
    assert_eq!((first.len(), revision), (1, at));
    commit(&direct, &Txn::new().put("/m/b", "1").put("/m/a", "2")).await;
    let gone = commit(&direct, &Txn::new().delete("/m/a")).await.revision;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(match within("a change", members.next()).await {
            MembershipChange::Joined(kv) => format!("joined {}", kv.key),
            MembershipChange::Updated(kv) => format!("updated {}", kv.key),
            MembershipChange::Left { last, revision } => {
                assert_eq!((last.value.as_ref(), revision), (&b"2"[..], gone));
                format!("left {}", last.key)
            }
            MembershipChange::Snapshot { .. } => panic!("nothing was compacted"),
        });
    }
    seen[..2].sort();
    assert_eq!(seen, ["joined /m/b", "updated /m/a", "left /m/a"]);

    proxy.set(Mode::Refuse);
    put(&direct, "/m/c", "1").await;
    let now = put(&direct, "/m/d", "1").await;
    direct.compact(now).await.unwrap();
    proxy.set(Mode::Forward);

    let change = within("the second snapshot", members.next()).await;
    let MembershipChange::Snapshot {
        members: now_there, ..
    } = change
    else {
        panic!("{change:?}")
    };
    let keys: Vec<_> = now_there.iter().map(|kv| kv.key.as_str()).collect();
    assert_eq!(keys, ["/m/b", "/m/c", "/m/d"]);
}
