//! `tenure apply`, `diff` and `export` against a server: what was applied is what is exported, and applying it again changes nothing.

use std::path::Path;

use crate::holds::server;
use crate::process::run;

const FILE: &str = r#"
[semaphores.db]
limit = 3

[queues.mail]
weight = 2
concurrency = 10
rate = { tasks = 50, per_ms = 1000 }

[queues.reports]
importance = "low"

[schedules.nightly]
cron = "30 2 * * MON-FRI"
timezone = "Europe/Berlin"
jitter_ms = 60000
misfire = "fire_all"
labels = { team = "a" }

[schedules.nightly.task]
queue = "reports"
kind = "command"
payload = { argv = ["make-report", "--daily"], env = { LEVEL = "2" } }
priority = 7
backoff = { initial_ms = 500, factor = 1.5 }
permits = [{ semaphore = "db", weight = 2 }]
locks = ["z", "a"]

[schedules.poll]
every_ms = 3600000
overlap = "allow"
start = 2030-01-01T00:00:00Z
task = { kind = "noop" }

[schedules.beat]
cron = "@every 90s"
task = { kind = "noop" }
"#;

/// Runs it against the server; its exit and what it printed.
async fn said(home: &Path, at: &str, words: &[&str]) -> (Option<i32>, String) {
    let ended = run(home, &[&["-s", at][..], words].concat()).await;
    let text = String::from_utf8(ended.stdout).unwrap();
    (ended.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_is_what_is_exported_and_a_second_apply_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (_server, at) = server(home).await;
    std::fs::write(home.join("a.toml"), FILE).unwrap();
    let ask = async |words: &[&str]| said(home, &at, words).await;

    assert_eq!(ask(&["diff", "-f", "a.toml"]).await.0, Some(1));
    let (exit, told) = ask(&["apply", "-f", "a.toml"]).await;
    assert_eq!((exit, told.matches("\n+ ").count()), (Some(0), 5), "{told}");
    assert_eq!(
        ask(&["apply", "-f", "a.toml"]).await,
        (Some(0), String::new())
    );
    assert_eq!(
        ask(&["diff", "-f", "a.toml", "--prune"]).await,
        (Some(0), String::new())
    );

    for (name, words) in [
        ("b.toml", &["export"][..]),
        ("b.json", &["export", "-o", "json"]),
    ] {
        let (exit, exported) = ask(words).await;
        assert_eq!(exit, Some(0));
        std::fs::write(home.join(name), &exported).unwrap();
        let same = ask(&["diff", "-f", name, "--prune"]).await;
        assert_eq!(same, (Some(0), String::new()), "{exported}");
    }

    let (_, paused) = ask(&["schedule", "pause", "poll", "--reason", "moving"]).await;
    assert!(paused.contains("moving"), "{paused}");
    let edited = FILE
        .replace("priority = 7", "priority = 8")
        .replace("overlap = \"allow\"", "overlap = \"skip\"");
    std::fs::write(home.join("a.toml"), &edited).unwrap();
    let (exit, told) = ask(&["apply", "-f", "a.toml"]).await;
    assert_eq!(exit, Some(0));
    assert!(told.contains("task.priority: 7 -> 8"), "{told}");
    assert!(
        ask(&["schedule", "get", "poll"]).await.1.contains("moving"),
        "a pause is kept"
    );

    let only = "[schedules.nightly]\nevery_ms = 60000\ntask = { kind = \"noop\" }";
    std::fs::write(home.join("a.toml"), only).unwrap();
    let refused = ask(&["apply", "-f", "a.toml", "--prune"]).await;
    assert_eq!(refused.0, Some(2), "a script has to say --yes");
    assert_eq!(
        ask(&["apply", "-f", "a.toml", "--prune", "-y"]).await.0,
        Some(0)
    );
    let (_, left) = ask(&["export"]).await;
    assert!(
        left.contains("[semaphores.db]") && left.contains("[queues.mail]"),
        "{left}"
    );
    assert!(!left.contains("poll"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_the_server_would_refuse() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (_server, at) = server(home).await;
    let bad = "[schedules.a]\nat = 2001-01-01T00:00:00Z\ntask = { kind = \"command\", payload = { argv = [] } }";
    std::fs::write(home.join("a.toml"), bad).unwrap();

    let dry = run(home, &["-s", &at, "apply", "-f", "a.toml", "--dry-run"]).await;

    let told = String::from_utf8(dry.stderr).unwrap();
    assert_eq!(dry.status.code(), Some(2), "{told}");
    for part in ["a.toml: schedules.a: ", "payload.argv", "past"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
