//! A server that is drained and undrained from the command line, and one that is told to end at once.

use rustix::process::Signal;

use crate::process::{Process, free_port, run};

/// A server with an etcd of its own; where its API answers.
async fn server(home: &std::path::Path) -> (Process, String) {
    let at = format!("127.0.0.1:{}", free_port());
    let begin = ["server", "--log-format", "text", "--listen", &at];
    let own = ["--node-name", "one", "--embedded", "--data-dir", "d"];
    let mut server = Process::start(home, &[&begin[..], &own].concat());
    server.logs("leading").await;
    (server, format!("http://{at}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_drained_and_undrained_from_the_command_line() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (server, at) = server(home).await;
    let tenure = async |words: &[&str]| {
        let ended = run(home, &[&["-s", &at][..], words].concat()).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&ended.stdout) + &text(&ended.stderr);
        (ended.status.code(), said)
    };

    let why = ["node", "drain", "one", "--reason", "a new kernel", "--wait"];
    let (code, said) = tenure(&why).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("has nothing left"), "{said}");
    let (code, said) = tenure(&["node", "drain", "one"]).await;
    assert!(code == Some(0) && said.contains("already"), "{said}");
    let (_, said) = tenure(&["node", "list"]).await;
    assert!(said.contains("drained"), "{said}");
    let (_, said) = tenure(&["node", "get", "one"]).await;
    assert!(said.contains("a new kernel"), "{said}");
    let words = ["task", "submit", "--kind", "noop", "-o", "json"];
    let (code, said) = tenure(&words).await;
    assert_eq!(code, Some(0), "it takes submits all the same: {said}");
    let (code, said) = tenure(&["node", "drain", "two"]).await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no live node is named `two`"), "{said}");

    let (code, said) = tenure(&["node", "undrain", "one"]).await;
    assert!(
        code == Some(0) && said.contains("takes work again"),
        "{said}"
    );
    let (code, said) = tenure(&["task", "run", "--kind", "noop"]).await;
    assert_eq!(code, Some(0), "{said}");

    server.signal(Signal::TERM);
    assert_eq!(server.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_server_at_once() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (mut server, at) = server(home).await;
    let sleeps = r#"{"ms":600000}"#;
    let words = [
        "-s",
        &at,
        "task",
        "submit",
        "--kind",
        "sleep",
        "--payload",
        sleeps,
    ];
    assert!(run(home, &words).await.status.success());
    let busy = async || {
        let list = run(home, &["-s", &at, "node", "get", "one", "-o", "json"]).await;
        let node: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
        node["tasks"] == 1
    };
    while !busy().await {}

    server.signal(Signal::TERM);
    server.logs("handing over").await;
    server.signal(Signal::TERM);

    assert_eq!(server.ends().await.code(), Some(130));
}
