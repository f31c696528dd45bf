//! A node looked into from outside: the bundle, and the debug listener.

use std::path::Path;
use std::process::Command;

use crate::process::{Process, free_port, run};

const ADMIN: &str = "admin-0123456789abcdef";
const READ: &str = "read-0123456789abcdef";

/// Every file below a directory, as text.
fn texts(dir: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(texts(&path));
        } else {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            all.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    all
}

/// Every file of a bundle.
fn unpacked(home: &Path, archive: &str) -> Vec<(String, String)> {
    let unpacked = Command::new("tar")
        .args(["-xzf", archive])
        .current_dir(home)
        .status();
    assert!(unpacked.unwrap().success());
    let dirs = std::fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let made =
        { dirs }.find(|path| path.is_dir() && path.to_string_lossy().contains("tenure-debug-"));
    texts(&made.expect("the archive has a directory"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_has_every_part_and_no_secret_and_the_debug_listener_lets_admins_in() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("all"), format!("admin {ADMIN}\nread {READ}\n")).unwrap();
    std::fs::write(home.join("read"), format!("read {READ}\n")).unwrap();
    std::fs::write(home.join("t.toml"), "labels = { tier = \"web\" }\n").unwrap();
    let at = |port: u16| format!("127.0.0.1:{port}");
    let (listen, debug) = (at(free_port()), at(free_port()));
    let words = [
        "server",
        "--embedded=memory",
        "--node-name",
        "one",
        "--log-format",
        "text",
    ];
    let more = ["--config", "t.toml", "--token-file", "all"];
    let ports = ["--listen", &listen, "--debug-listen", &debug];
    let mut node = Process::start(home, &[&words[..], &more, &ports].concat());
    node.logs("leading").await;
    let (api, debug) = (format!("http://{listen}"), format!("http://{debug}"));

    let bundle = [
        "-s",
        &api,
        "--token-file",
        "all",
        "debug",
        "bundle",
        "--file",
    ];
    let done = run(home, &[&bundle[..], &["b.tar.gz"]].concat()).await;

    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let files = unpacked(home, "b.tar.gz");
    let text = |name: &str| {
        let found = files.iter().find(|(file, _)| file == name);
        &found.unwrap_or_else(|| panic!("there is no {name}")).1
    };
    assert_eq!(files.len(), 17, "15 parts, the log, and what is in it");
    for (file, text) in &files {
        assert!(!file.contains("problem"), "{file}: {text}");
        for secret in [ADMIN, READ] {
            assert!(!text.contains(secret), "{file} has a secret");
        }
    }
    assert!(text("log.txt").contains("leading"));
    assert!(text("metrics.txt").contains("tenure_depth_bound{of=\"submits\"} 8192"));
    let state: serde_json::Value = serde_json::from_str(text("state.json")).unwrap();
    assert_eq!(state["config"]["labels"], serde_json::json!(["tier=web"]));
    assert_eq!(state["node"], "one");
    assert!(
        state["runtime"]["since_beat_ms"].is_number(),
        "{}",
        state["runtime"]
    );
    let depths = state["depths"].as_array().unwrap().iter();
    let depths: Vec<_> = depths.filter_map(|depth| depth["of"].as_str()).collect();
    let all: Vec<_> = tenure::vitals::TABLE.iter().map(|row| row.word).collect();
    assert_eq!(depths, all, "a node that leads has all of them");
    let etcd: serde_json::Value = serde_json::from_str(text("etcd.json")).unwrap();
    assert_eq!(etcd["members"][0]["is_leader"], true);

    // It overwrites nothing.
    let again = run(home, &[&bundle[..], &["b.tar.gz"]].concat()).await;
    assert_eq!(again.status.code(), Some(1));
    // What a token may not see is in the bundle as the reason.
    let partly = [
        "-s",
        &api,
        "--token-file",
        "read",
        "debug",
        "bundle",
        "--file",
        "p.tar.gz",
    ];
    let partly = run(home, &partly).await;
    let said = String::from_utf8_lossy(&partly.stderr);
    assert_eq!(partly.status.code(), Some(8), "{said}");
    assert!(said.contains("state.json, etcd.json"), "{said}");

    for (tokens, exit, why) in [
        ("read", 5, "role admin"),
        ("all", 1, "No profiler in this build"),
    ] {
        let heap = [
            "-s",
            &debug,
            "--token-file",
            tokens,
            "debug",
            "profile",
            "heap",
            "--file",
            "h",
        ];
        let heap = run(home, &heap).await;
        let said = String::from_utf8_lossy(&heap.stderr);
        assert!(said.contains(why), "{said}");
        assert_eq!(heap.status.code(), Some(exit), "{said}");
    }
}
