//! `tenure server --embedded`: its directory, and others that join it.

use rustix::process::Signal;

use crate::process::{Process, free_port, run, run_with};

#[tokio::test(flavor = "multi_thread")]
async fn another_server_joins_and_both_stop_in_order() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (etcd, one, two) = (free_port(), free_port(), free_port());
    let at = |port: u16| format!("127.0.0.1:{port}");
    let begin = ["server", "--log-format", "text", "--listen"];
    let first = [
        "--node-name",
        "one",
        "--embedded",
        "--data-dir",
        "d",
        "--embedded-listen",
    ];
    let mut first = Process::start(
        home,
        &[&begin[..], &[&at(one)], &first, &[&at(etcd)]].concat(),
    );
    first.logs("joined").await;
    let second = ["--node-name", "two", "--etcd-endpoints"];
    let mut second = Process::start(
        home,
        &[&begin[..], &[&at(two)], &second, &[&at(etcd)]].concat(),
    );
    second.logs("joined").await;

    let server = format!("http://{}", at(two));
    let list = run(home, &["-s", &server, "node", "list", "-o", "json"]).await;
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let ids: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["id"])
        .collect();
    assert_eq!(ids, ["one", "two"]);

    for process in [second, first] {
        process.signal(Signal::TERM);
        assert_eq!(process.ends().await.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_or_of_others_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let server = |dir: &'static str| {
        let log = ["--log-format", "text", "--listen", "127.0.0.1:0"];
        [&["server", "--embedded", "--data-dir", dir][..], &log].concat()
    };
    let mut first = Process::start(home, &server("used"));
    first.logs("joined").await;
    std::fs::create_dir_all(home.join("foreign/etcd")).unwrap();
    std::fs::write(home.join("foreign/etcd/letters"), "x").unwrap();
    std::fs::create_dir_all(home.join("damaged/etcd")).unwrap();
    std::fs::write(home.join("damaged/etcd/store.redb"), "x".repeat(10_000)).unwrap();

    for (dir, problem) in [
        ("used", "data-dir: used/etcd is in use"),
        (
            "foreign",
            "data-dir: foreign/etcd is not a directory of an embedded etcd",
        ),
        ("damaged", "data-dir: damaged/etcd is damaged"),
    ] {
        let refused = run(home, &server(dir)).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(problem), "{said}");
    }
}

/// A release is built without the feature, and so is what `cargo nextest run -p tenure` tests.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_build_with_planted_bugs_looks_at_the_variable() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), "x").unwrap();
    let begin = ["server", "--log-format", "text", "--listen", "127.0.0.1:0"];
    let words = [&begin[..], &["--embedded", "--data-dir", "file"]].concat();
    let planted = [("TENURE_PLANTED", "no-such-bug")];

    let refused = run_with(home.path(), &words, &planted).await;

    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    let named = said.contains("TENURE_PLANTED: `no-such-bug` is not one of write-without-term, ");
    assert_eq!(named, cfg!(feature = "planted"), "{said}");
    assert_eq!(said.contains("data-dir"), !named, "{said}");
}
