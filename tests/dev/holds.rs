//! `tenure lock run` and `tenure semaphore run` against a server: their commands, and what becomes of them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::http::{Method, StatusCode, Uri};
use axum::{Json, Router};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::process::{Process, free_port, run};

/// A server with an etcd of its own; its address.
pub(crate) async fn server(home: &Path) -> (Process, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let words = [
        &["server", "--embedded=memory", "--listen", &listen][..],
        &["--lease-ttl", "2s", "--log-format", "text"],
    ];
    let mut server = Process::start(home, &words.concat());
    server.logs("joined").await;
    (server, format!("http://{listen}"))
}

/// A holder of the lock whose command says its number and fence, and runs on whatever it is asked.
fn holder(home: &Path, server: &str) -> Process {
    let says =
        "trap '' TERM; echo running $$ $TENURE_FENCE $TENURE_LOCK; while :; do sleep 1; done";
    let words = [
        &["-s", server, "lock", "run", "deploy", "--ttl", "2s"][..],
        &["--", "sh", "-c", says],
    ];
    Process::start(home, &words.concat())
}

/// The number of the command, and its fence.
async fn running(holder: &mut Process) -> (u32, i64) {
    let line = holder.says("running").await;
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!(words[3], "deploy");
    (words[1].parse().unwrap(), words[2].parse().unwrap())
}

/// Whether a process runs: it is there, and not only waits for its parent to hear that it has ended.
fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_killed_holder_goes_on_and_its_command_is_dead_by_then() {
    let home = tempfile::tempdir().unwrap();
    let (_server, at) = server(home.path()).await;
    let mut first = holder(home.path(), &at);
    let (command, old) = running(&mut first).await;
    let mut second = holder(home.path(), &at);
    second
        .logs("waiting for lock deploy: lock `deploy`, held by")
        .await;
    assert!(runs(command));

    first.signal(Signal::KILL);

    let (next, new) = running(&mut second).await;
    assert!(!runs(command), "it runs beside its successor");
    assert!(runs(next) && new > old, "{new} after {old}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_of_a_holder_that_is_stopped_past_its_time_is_dead_before_another_holds() {
    let home = tempfile::tempdir().unwrap();
    let (_server, at) = server(home.path()).await;
    let mut first = holder(home.path(), &at);
    let (command, old) = running(&mut first).await;
    let mut second = holder(home.path(), &at);
    second.logs("waiting for lock deploy").await;

    first.signal(Signal::STOP);

    let (_, new) = running(&mut second).await;
    assert!(!runs(command), "it runs beside its successor");
    assert!(new > old, "{new} after {old}");
    first.signal(Signal::CONT);
    first.logs("lost").await;
    assert_eq!(first.ends().await.code(), Some(13));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_command_whose_guard_is_killed_is_free_once_the_command_is_dead() {
    let home = tempfile::tempdir().unwrap();
    let (_server, at) = server(home.path()).await;
    let says = "echo running $$ $TENURE_FENCE $TENURE_LOCK; sleep 1000 & wait";
    let words = [
        &["-s", &at, "lock", "run", "deploy", "--ttl", "5m"][..],
        &["--", "sh", "-c", says],
    ];
    let mut holder = Process::start(home.path(), &words.concat());
    let (command, _) = running(&mut holder).await;
    // The guard leads the command's group.
    let stat = std::fs::read_to_string(format!("/proc/{command}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let guard: i32 = rest.split(' ').nth(2).unwrap().parse().unwrap();

    let guard = rustix::process::Pid::from_raw(guard).unwrap();
    rustix::process::kill_process(guard, Signal::KILL).unwrap();

    assert_eq!(holder.ends().await.code(), Some(13));
    assert!(!runs(command));
    let get = ["-s", &at, "-o", "json", "lock", "get", "deploy"];
    let seen: Value = serde_json::from_slice(&run(home.path(), &get).await.stdout).unwrap();
    assert_eq!(seen["held"], 0, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_begin_once_its_hold_is_over() {
    let home = tempfile::tempdir().unwrap();
    let parent = std::process::id().to_string();
    for (until, code, said) in [("1", 13, ""), ("18446744073709551615", 0, "ran\n")] {
        let words = ["hold-exec", &parent, until, "--", "echo", "ran"];
        let ended = run(home.path(), &words).await;
        let told = (
            ended.status.code(),
            String::from_utf8(ended.stdout).unwrap(),
        );
        assert_eq!(told, (Some(code), said.to_owned()));
    }
}

/// What a server is asked that grants a place in the moment in which it is given up.
#[derive(Default)]
struct Late(Mutex<Vec<String>>);

impl Late {
    fn answer(&self, asked: String) -> (StatusCode, Json<Value>) {
        // Locked to note what is asked.
        let mut all = self.0.lock().unwrap();
        let given_up = all.iter().any(|before| before.starts_with("DELETE"));
        let fence = given_up.then_some(7);
        let problem = |status: StatusCode| {
            let body =
                json!({"type": "", "title": "", "status": status.as_u16(), "code": "wrong_fence"});
            (status, Json(body))
        };
        let answer = if asked.starts_with("DELETE") && !given_up {
            problem(StatusCode::CONFLICT)
        } else if asked.starts_with("GET") && !given_up {
            // It ends the waiting as the time to wait does.
            problem(StatusCode::INTERNAL_SERVER_ERROR)
        } else {
            let state = if given_up { "held" } else { "waiting" };
            let hold = json!({"id": uuid::Uuid::nil(), "name": "deploy", "state": state, "weight": 1, "holder": "me",
                "fence": fence, "expires_in_ms": 9_000, "ahead": null, "revision": 1});
            (StatusCode::OK, Json(hold))
        };
        all.push(asked);
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_granted_as_it_is_given_up_is_given_back_by_its_fence() {
    let home = tempfile::tempdir().unwrap();
    let late = Arc::new(Late::default());
    let asked = Arc::clone(&late);
    let any =
        move |method: Method, uri: Uri| async move { asked.answer(format!("{method} {uri}")) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, Router::new().fallback(any)).await });

    let words = ["-s", &at, "lock", "run", "deploy", "--", "true"];
    let ended = run(home.path(), &words).await;

    assert_eq!(ended.status.code(), Some(1));
    let asked = late.0.lock().unwrap().clone();
    let last = asked.last().unwrap();
    assert!(
        last.starts_with("DELETE /v1/locks/deploy/holds/") && last.ends_with("?fence=7"),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_signals_and_its_code_comes_back_and_the_lock_is_free_then() {
    let home = tempfile::tempdir().unwrap();
    let (_server, at) = server(home.path()).await;
    let says = "trap 'exit 9' TERM; echo ready; sleep 1000 & wait";
    let words = ["-s", &at, "lock", "run", "deploy", "--", "sh", "-c", says];
    let mut holder = Process::start(home.path(), &words);
    holder.says("ready").await;

    holder.signal(Signal::TERM);

    assert_eq!(holder.ends().await.code(), Some(9));
    let get = ["-s", &at, "-o", "json", "lock", "get", "deploy"];
    let seen: Value = serde_json::from_slice(&run(home.path(), &get).await.stdout).unwrap();
    assert_eq!(
        (&seen["held"], &seen["waiters"]),
        (&0.into(), &0.into()),
        "{seen}"
    );
    let none = ["-s", &at, "lock", "run", "deploy", "--", "no-such-program"];
    assert_eq!(run(home.path(), &none).await.status.code(), Some(127));
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_are_shared_up_to_the_limit_and_taken_away_by_force_on_record() {
    let home = tempfile::tempdir().unwrap();
    let (_server, at) = server(home.path()).await;
    let with = |words: &[&'static str]| {
        let all = [&["-s", &at, "semaphore"][..], words].concat();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let says = "echo running $TENURE_SEMAPHORE $TENURE_FENCE; sleep 1000 & wait";
    let words = with(&["run", "db", "--limit", "3", "--weight", "2", "--ttl", "2s"]);
    let words = [
        &words[..],
        &["--".into(), "sh".into(), "-c".into(), says.into()],
    ]
    .concat();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut holder = Process::start(home.path(), &words);
    let line = holder.says("running db").await;
    let fence = line.rsplit(' ').next().unwrap();

    for (words, code) in [
        (&["run", "db", "--", "true"][..], 0),
        (&["run", "db", "--limit", "4", "--", "true"], 4),
        (&["run", "db", "--weight", "4", "--", "true"], 2),
        (
            &["run", "db", "--weight", "2", "--wait", "1s", "--", "true"],
            7,
        ),
        (&["run", "unheard-of", "--", "true"], 3),
    ] {
        let all = with(words);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let ended = run(home.path(), &all).await;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {said}");
    }

    let release = [
        "-s",
        &at,
        "semaphore",
        "release",
        "db",
        "--reason",
        "stuck",
        "--fence",
    ];
    let wrong = run(home.path(), &[&release[..], &["1"]].concat()).await;
    assert_eq!(wrong.status.code(), Some(4));
    let taken = run(home.path(), &[&release[..], &[fence]].concat()).await;
    assert_eq!(taken.status.code(), Some(0));
    holder.logs("lost").await;
    assert_eq!(holder.ends().await.code(), Some(13));
    let get = ["-s", &at, "semaphore", "get", "db"];
    let seen = String::from_utf8(run(home.path(), &get).await.stdout).unwrap();
    assert!(seen.contains("stuck"), "{seen}");
}
