//! The recorder against a real etcd, which is killed and compacted meanwhile.

use super::*;
use crate::chronicle::Terms;
use crate::cluster::{free_ports, url};
use crate::process::Process;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use tenure_chaos::check::{Limits, judge};
use tenure_chaos::history::History;

const ROOT: &str = "/tenure/t/";
/// The name of a record of work.
const RECORD: &str = "01920000-0000-7000-8000-000000000100.0.0";
/// 20 s for etcd to answer, and for the recorder to have what it said.
const SOON: Duration = Duration::from_secs(20);

fn event(key: &str, value: Option<&str>, version: i64) -> StoreEvent {
    StoreEvent {
        key: key.to_owned(),
        value: value.map(|value| Value(value.into())),
        version,
        ..StoreEvent::default()
    }
}

/// An etcd of its own, which goes with the value.
fn etcd(dir: &Path, ports: &[u16]) -> Process {
    let (clients, peer) = (
        url(Ipv4Addr::LOCALHOST, ports[0]),
        url(Ipv4Addr::LOCALHOST, ports[1]),
    );
    let mut command = Command::new("etcd");
    command
        .args(["--name", "e", "--data-dir"])
        .arg(dir.join("e"));
    command.args([
        "--listen-client-urls",
        &clients,
        "--advertise-client-urls",
        &clients,
    ]);
    command.args([
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
    ]);
    command.args([
        "--initial-cluster",
        &format!("e={peer}"),
        "--log-level",
        "error",
    ]);
    Process::start("e", command, dir).unwrap()
}

fn chronicle() -> Chronicle {
    Chronicle::begin(Terms {
        seed: 1,
        root: ROOT.to_owned(),
        limits: Limits::default(),
        expects: Vec::new(),
    })
}

/// Puts some keys; the last one's revision. Repeated until etcd answers.
async fn put(endpoint: &str, names: &[&str]) -> i64 {
    let write = async {
        loop {
            if let Ok(mut client) = connect(&[endpoint.to_owned()]).await
                && client.get("/", None).await.is_ok()
            {
                break client;
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let mut client = timeout(SOON, write).await.unwrap();
    let mut revision = 0;
    for name in names {
        let answer = client.put(format!("{ROOT}{name}"), "{}", None).await;
        revision = answer.unwrap().header().unwrap().revision();
    }
    revision
}

fn keys(history: &History) -> Vec<&str> {
    let events = history.records().iter().filter_map(|record| {
        if let Entry::Store(event) = &record.entry {
            return event.key.strip_prefix(ROOT);
        }
        None
    });
    events.collect()
}

#[tokio::test]
async fn a_log_is_whole_though_etcd_was_killed_meanwhile() {
    let (dir, ports) = (tempfile::tempdir().unwrap(), free_ports(2).unwrap());
    let endpoint = url(Ipv4Addr::LOCALHOST, ports[0]);
    let mut process = etcd(dir.path(), &ports);
    put(&endpoint, &["before"]).await;
    let chronicle = chronicle();
    let recorder = Recorder::start(std::slice::from_ref(&endpoint), ROOT, &chronicle);
    let ready = format!("live/ready/q/k/-/-/4/{RECORD}");
    let revision = put(&endpoint, &["horizon", &ready, "live/run/n1/4-1"]).await;
    let mut seen = recorder.seen();
    let has = timeout(SOON, seen.wait_for(|seen| seen.revision >= revision));
    assert_eq!(has.await.unwrap().unwrap().open, 2);

    process.kill().unwrap();
    let _process = etcd(dir.path(), &ports);
    put(&endpoint, &["horizon", "after"]).await;
    recorder.seal().await.unwrap();

    let history = chronicle.close();
    let all = [
        "before",
        "horizon",
        &ready,
        "live/run/n1/4-1",
        "horizon",
        "after",
    ];
    assert_eq!(keys(&history), all);
    assert_eq!(judge(&history).gap, None);
}

#[tokio::test]
async fn a_log_whose_beginning_was_compacted_away_has_a_gap() {
    let (dir, ports) = (tempfile::tempdir().unwrap(), free_ports(2).unwrap());
    let endpoint = url(Ipv4Addr::LOCALHOST, ports[0]);
    let _process = etcd(dir.path(), &ports);
    let revision = put(&endpoint, &["a", "b", "c"]).await;
    let mut client = connect(std::slice::from_ref(&endpoint)).await.unwrap();
    client.compact(revision, None).await.unwrap();

    let chronicle = chronicle();
    let mut recorder = Recorder::start(&[endpoint], ROOT, &chronicle);
    let ended = timeout(SOON, recorder.recording.join_next()).await;

    ended.unwrap().unwrap().unwrap();
    assert!(recorder.seal().await.is_err());
    let gap = judge(&chronicle.close()).gap.unwrap();
    assert!(gap.contains("missed what followed revision 0"), "{gap}");
}

#[test]
fn open_work_is_counted_by_keys_that_come_and_go() {
    let ready = format!("live/ready/q/k/-/-/4/{RECORD}");
    let due = format!("live/due/0000000000009/{RECORD}");
    for (key, value, version, more) in [
        (ready.as_str(), Some("{}"), 1, 1),
        (&ready, Some("{}"), 2, 0),
        (&ready, None, 0, -1),
        (&due, None, 0, -1),
        ("live/run/n1/4-1", Some("{}"), 1, 1),
        ("live/node/n1", Some("{}"), 1, 0),
        ("elsewhere", Some("{}"), 1, 0),
    ] {
        let mut seen = Seen::default();
        seen.counts(ROOT, &event(&format!("{ROOT}{key}"), value, version));
        assert_eq!(seen.open, more, "{key} {version}");
    }
}

#[test]
fn claims_are_counted_by_node_and_the_latest_term_is_known() {
    let mut seen = Seen::default();
    for (key, value, version) in [
        ("live/run/n1/4-1", Some("{}"), 1),
        ("live/run/n1/9-1", Some("{}"), 1),
        ("live/run/n2/7-1", Some("{}"), 1),
        ("live/run/n1/4-1", None, 0),
    ] {
        seen.counts(ROOT, &event(&format!("{ROOT}{key}"), value, version));
    }

    assert_eq!((seen.claims["n1"], seen.claims["n2"]), (1, 1));
    assert_eq!(seen.term, 9);
}

#[tokio::test]
async fn two_streams_make_one_log_and_no_event_is_in_it_twice() {
    let (dir, ports) = (tempfile::tempdir().unwrap(), free_ports(2).unwrap());
    let endpoint = url(Ipv4Addr::LOCALHOST, ports[0]);
    let _process = etcd(dir.path(), &ports);
    put(&endpoint, &["horizon"]).await;
    let chronicle = chronicle();
    let both = [endpoint.clone(), endpoint.clone()];
    let recorder = Recorder::of_each(&both, ROOT, &chronicle);
    put(&endpoint, &["before", "after"]).await;

    recorder.seal().await.unwrap();

    let history = chronicle.close();
    assert_eq!(keys(&history), ["horizon", "before", "after"]);
    assert_eq!(judge(&history).gap, None);
}

#[tokio::test]
async fn of_a_cluster_that_was_there_the_log_begins_with_what_it_holds() {
    let (dir, ports) = (tempfile::tempdir().unwrap(), free_ports(2).unwrap());
    let endpoint = url(Ipv4Addr::LOCALHOST, ports[0]);
    let _process = etcd(dir.path(), &ports);
    let ready = format!("live/ready/q/k/-/-/4/{RECORD}");
    let revision = put(&endpoint, &["horizon", &ready, "horizon"]).await;
    let mut client = connect(std::slice::from_ref(&endpoint)).await.unwrap();
    client.compact(revision, None).await.unwrap();

    let chronicle = chronicle();
    let endpoints = [endpoint.clone()];
    let recorder = Recorder::from_now(&endpoints, ROOT, &chronicle)
        .await
        .unwrap();
    assert_eq!(recorder.seen().borrow().open, 1);
    put(&endpoint, &["horizon", "after"]).await;
    recorder.seal().await.unwrap();

    let history = chronicle.close();
    assert_eq!(keys(&history), [&ready, "horizon", "horizon", "after"]);
    assert_eq!(judge(&history).gap, None);
}

/// What two sources have told so far of a log that is at revision 9.
fn log_of_two(chronicle: &Chronicle) -> Log {
    let (seen, _) = watch::channel(Seen::default());
    Log {
        root: ROOT.to_owned(),
        chronicle: chronicle.clone(),
        seen,
        last: 9,
        events: 0,
        gap: false,
        told: vec![9, 9],
        sums: BTreeMap::new(),
        forgotten: 9,
    }
}

/// Which revisions of it are on record as told differently.
fn differing(chronicle: &Chronicle) -> Vec<i64> {
    let history = chronicle.close();
    let found = history.records().iter().filter_map(|record| {
        if let Entry::Marker(Marker::Differs { revision, .. }) = &record.entry {
            return Some(*revision);
        }
        None
    });
    let found: Vec<i64> = found.collect();
    let gap = judge(&history).gap.unwrap_or_default();
    assert_eq!(gap.contains("something else"), !found.is_empty());
    found
}

/// An answer of a source: what it had told before, and the revisions that it brings with their sums; all up to `to` was sent.
fn tells(log: &mut Log, nth: usize, sums: &[(i64, u64)], to: i64) {
    let (from, before) = (log.told[nth], log.last);
    log.told[nth] = to;
    log.last = log.last.max(sums.last().map_or(0, |last| last.0));
    log.compare(nth, from, &sums.iter().copied().collect(), before);
}

#[test]
fn sources_that_tell_different_things_of_a_revision_are_on_record() {
    for (second, expected) in [(7, &[][..]), (8, &[12][..])] {
        let chronicle = chronicle();
        let mut log = log_of_two(&chronicle);
        tells(&mut log, 0, &[(12, 7)], 12);
        tells(&mut log, 1, &[(12, second)], 12);
        assert_eq!(differing(&chronicle), expected);
    }
}

#[test]
fn a_revision_that_one_source_tells_and_another_passes_over_is_on_record() {
    // The first that tells of it, and the second.
    for skips in [0, 1] {
        let chronicle = chronicle();
        let mut log = log_of_two(&chronicle);
        for nth in [0, 1] {
            let all = [(10, 1), (11, 2), (12, 3)];
            let told = all.iter().filter(|one| one.0 != 11 || nth != skips);
            let told: Vec<(i64, u64)> = told.copied().collect();
            tells(&mut log, nth, &told, 12);
        }
        assert_eq!(differing(&chronicle), [11]);
    }
}

#[test]
fn a_source_that_says_it_sent_all_and_did_not_is_on_record() {
    let chronicle = chronicle();
    let mut log = log_of_two(&chronicle);
    tells(&mut log, 0, &[(10, 1), (11, 2)], 11);
    tells(&mut log, 1, &[], 9);
    tells(&mut log, 1, &[], 10);
    tells(&mut log, 1, &[(11, 2)], 11);
    assert_eq!(differing(&chronicle), [10]);
}

#[test]
fn what_is_not_kept_any_more_is_not_compared() {
    let chronicle = chronicle();
    let mut log = log_of_two(&chronicle);
    let many: Vec<(i64, u64)> = (10..).map(|at| (at, 1)).take(COMPARED_MAX + 5).collect();
    let last = many.last().unwrap().0;
    tells(&mut log, 0, &many, last);
    assert_eq!((log.forgotten, log.sums.len()), (14, COMPARED_MAX));
    tells(&mut log, 1, &[(12, 9), (14, 9), (15, 1)], 15);
    assert_eq!(differing(&chronicle), [] as [i64; 0]);
}

#[test]
fn a_source_that_a_compaction_overtook_goes_on_where_another_told_what_it_missed() {
    let chronicle = chronicle();
    let mut log = log_of_two(&chronicle);
    log.told[1] = 4;
    assert!(matches!(log.cancelled(1, 10), Ended::Broken));
    assert_eq!(log.told, [9, 9]);
    assert!(matches!(log.cancelled(1, 11), Ended::Gap));
}
