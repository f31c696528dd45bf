//! `tenure dev`: what a newcomer does in the first minute.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::process::{Process, run};

/// The last line of the greeting.
const GREETED: &str = "Ctrl-C stops it";

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn leader(home: &Path) -> Option<String> {
    let asked = run(home, &["leader", "get", "-o", "json"]).await;
    let leader: serde_json::Value = serde_json::from_slice(&asked.stdout).ok()?;
    Some(leader["node"].as_str()?.to_owned())
}

/// Asks until `found` has an answer; a minute at most.
async fn when<T, F: Future<Output = Option<T>>>(what: &str, mut found: impl FnMut() -> F) -> T {
    let asked = timeout(Duration::from_mins(1), async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
        }
    });
    asked.await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_runs_a_task_moves_leadership_and_stops_it_in_order() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let note = home.join(".local/state/tenure/dev.json");
    let mut dev = Process::start(home, &["dev", "--listen", "127.0.0.1:0"]);
    dev.says(GREETED).await;
    assert!(note.exists());

    let hello = run(home, &["task", "run", "--", "echo", "hello"]).await;
    assert_eq!(
        (stdout(&hello).as_str(), hello.status.code()),
        ("hello\n", Some(0))
    );
    let words = ["task", "run", "--max-attempts", "1", "--", "false"];
    assert_eq!(run(home, &words).await.status.code(), Some(10));
    let first = when("somebody leads", || leader(home)).await;
    assert!(first.starts_with("dev-"), "{first}");
    assert!(run(home, &["leader", "resign"]).await.status.success());
    let another = || async { leader(home).await.filter(|next| *next != first) };
    when("another leads", another).await;

    dev.signal(Signal::INT);
    dev.says("stopped").await;
    assert_eq!(dev.ends().await.code(), Some(0));
    assert!(!note.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_waits_for_is_said_and_a_second_interrupt_ends_that_too() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let words = ["dev", "--nodes", "1", "--listen", "127.0.0.1:0"];
    let mut dev = Process::start(home, &words);
    dev.says(GREETED).await;
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 600", "pid");
    let script = format!("cd {} && {script}", home.display());
    let words = ["task", "submit", "--", "sh", "-c", &script];
    assert!(run(home, &words).await.status.success());
    let pid = home.join("pid");
    let pid = when("the program runs", || async {
        tokio::task::yield_now().await;
        std::fs::read_to_string(&pid).ok()
    });
    let running = Path::new("/proc").join(pid.await.trim());

    dev.signal(Signal::INT);
    let line = dev.says("stopping").await;
    assert!(line.contains("waiting for dev-1 (1 task)"), "{line}");
    dev.signal(Signal::INT);

    assert_eq!(dev.ends().await.code(), Some(130));
    let gone = || async {
        tokio::task::yield_now().await;
        (!running.exists()).then_some(())
    };
    when("the program is gone", gone).await;
    assert!(!home.join(".local/state/tenure/dev.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_passed_over_aloud() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = taken.local_addr().unwrap().to_string();

    let mut dev = Process::start(home.path(), &["dev", "--nodes", "2", "--listen", &at]);

    let line = dev.says("is taken, using").await;
    let port = line.rsplit(' ').next().unwrap().to_owned();
    dev.says(&format!("http://127.0.0.1:{port}  dev-1")).await;
    dev.says(GREETED).await;
}
