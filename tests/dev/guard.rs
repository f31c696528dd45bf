//! What becomes of a node's commands, and of what those started, where the node cannot end them itself. Whether they are gone is told by
//! the kernel: a pipe that all of them hold open ends with the last.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::time::timeout;

use crate::process::{Process, free_port, run};

/// 30 s: longer than a busy machine takes for anything here, and far shorter than the commands.
const SOON: Duration = Duration::from_secs(30);

/// A node that runs commands, with an etcd of its own; its address.
async fn server(home: &Path) -> (Process, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let words = [
        &["server", "--embedded=memory", "--listen", &listen][..],
        &[
            "--lease-ttl",
            "2s",
            "--log-format",
            "text",
            "--allow-command",
        ],
    ];
    let mut server = Process::start(home, &words.concat());
    server.logs("joined").await;
    (server, format!("http://{listen}"))
}

/// A command with a child of its own, both of which would run on whatever they are asked.
struct Stubborn {
    /// The task.
    id: String,
    /// The pipe.
    pipe: PathBuf,
    /// What they hold open.
    held: Lines<BufReader<Receiver>>,
}

impl Stubborn {
    async fn start(home: &Path, server: &str, name: &str) -> Self {
        let pipe: PathBuf = home.join(name);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        // Until somebody has it open it would be at its end: so this one has it open for writing, too.
        let first = OpenOptions::new().read_write(true).open_receiver(&pipe);
        let script = format!(
            "trap '' TERM; exec 3>{}; sh -c \"trap '' TERM; sleep 1000\" & echo both >&3; wait; sleep 1000",
            pipe.display()
        );
        let words = ["-s", server, "task", "submit", "--", "sh", "-c", &script];
        let submitted = run(home, &words).await;
        assert!(submitted.status.success(), "{submitted:?}");
        let mut first = BufReader::new(first.unwrap()).lines();
        let line = timeout(SOON, first.next_line()).await.expect("it begins");
        assert_eq!(line.unwrap().as_deref(), Some("both"));
        let held = OpenOptions::new().open_receiver(&pipe).unwrap();
        let id = String::from_utf8(submitted.stdout).unwrap();
        Self {
            id: id.trim().to_owned(),
            pipe,
            held: BufReader::new(held).lines(),
        }
    }

    /// Waits until both are gone.
    async fn gone(mut self) {
        let ended = timeout(SOON, self.held.next_line()).await;
        assert_eq!(ended.expect("they run on").unwrap(), None);
    }

    /// Whether one of them is there.
    async fn runs(&mut self) -> bool {
        let quiet = timeout(Duration::from_millis(1), self.held.next_line());
        quiet.await.is_err()
    }
}

/// The guard of a node.
fn guard_of(node: &Process) -> Pid {
    let node = node.id().as_raw_nonzero().to_string();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let guards = all.filter_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let (state, parent) = (rest.split(' ').next()?, rest.split(' ').nth(1)?);
        let guards = words
            .split(|byte| *byte == 0)
            .any(|word| word == b"tenure-guard");
        (guards && parent == node && state != "Z").then(|| Pid::from_raw(id))?
    });
    let guards: Vec<Pid> = guards.collect();
    assert_eq!(guards.len(), 1, "one guard for a node: {guards:?}");
    guards[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_their_children_die_with_a_node_that_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let (node, at) = server(home.path()).await;
    let first = Stubborn::start(home.path(), &at, "first").await;
    let second = Stubborn::start(home.path(), &at, "second").await;

    node.signal(Signal::KILL);

    first.gone().await;
    second.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_killed_or_stopped_is_replaced_by_one_that_knows_all() {
    let home = tempfile::tempdir().unwrap();
    let (mut node, at) = server(home.path()).await;
    let mut before = Stubborn::start(home.path(), &at, "before").await;

    for signal in [Signal::KILL, Signal::STOP] {
        let guard = guard_of(&node);
        kill_process(guard, signal).unwrap();
        node.logs("the commands have a guard again").await;
        assert_ne!(guard_of(&node), guard);
        assert!(before.runs().await, "it ended with its guard");
    }
    // Many are signalled at once where a supervisor stops a machine's services.
    kill_process(guard_of(&node), Signal::TERM).unwrap();
    let after = Stubborn::start(home.path(), &at, "after").await;

    node.signal(Signal::KILL);

    before.gone().await;
    after.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_a_node_that_is_stopped_end_with_their_session_s_time() {
    let home = tempfile::tempdir().unwrap();
    let (node, at) = server(home.path()).await;
    let mut command = Stubborn::start(home.path(), &at, "command").await;
    assert!(command.runs().await);

    node.signal(Signal::STOP);

    let (id, pipe) = (command.id.clone(), command.pipe.clone());
    command.gone().await;
    let again = OpenOptions::new().read_write(true).open_receiver(&pipe);
    let mut again = BufReader::new(again.unwrap()).lines();
    node.signal(Signal::CONT);
    let line = timeout(SOON, again.next_line())
        .await
        .expect("it runs again");
    assert_eq!(line.unwrap().as_deref(), Some("both"));
    let task = ["-s", &at, "-o", "json", "task", "get", &id];
    let task: Value = serde_json::from_slice(&run(home.path(), &task).await.stdout).unwrap();
    assert_eq!(task["attempts"][0]["outcome"], "lost", "{task}");
    assert_eq!(task["failures"], 0, "{task}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_command_is_given_what_it_asked_for_and_says_why_it_did_not_start() {
    let home = tempfile::tempdir().unwrap();
    let (_node, at) = server(home.path()).await;
    let done = async |payload: Value| {
        let payload = payload.to_string();
        let words = [
            "-s", &at, "-o", "json", "task", "run", "-k", "command", "-p", &payload,
        ];
        let words = [&words[..], &["--max-attempts", "1"]].concat();
        let ended = run(home.path(), &words).await;
        serde_json::from_slice::<Value>(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
    };
    let last = |task: &Value| task["attempts"][0].clone();

    let fed = done(serde_json::json!({"argv": ["sh", "-c", "cat; echo $0 $1 $GREETING; env | grep -c RUST", "zero", "one"],
        "stdin": "fed\n", "env": {"GREETING": "hello"}})).await;
    let empty = done(serde_json::json!({"argv": ["wc", "-c"]})).await;
    let missing = done(serde_json::json!({"argv": ["/no/such/program"]})).await;
    let no_cwd = done(serde_json::json!({"argv": ["true"], "cwd": "/no/such/place"})).await;

    // `grep -c` that counts nothing fails.
    assert_eq!(
        last(&fed)["output"]["stdout"],
        "fed\nzero one hello\n0\n",
        "{fed}"
    );
    assert_eq!(
        last(&empty)["output"]["stdout"].as_str().map(str::trim),
        Some("0"),
        "{empty}"
    );
    for (task, program) in [
        (missing, "/no/such/program: No such file"),
        (no_cwd, "true: No such file"),
    ] {
        let error = last(&task)["error"].as_str().unwrap_or_default().to_owned();
        assert!(
            error.starts_with("cannot start /") && error.contains(program),
            "{task}"
        );
    }
}
