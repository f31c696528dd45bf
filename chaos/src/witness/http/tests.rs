//! A real client on loopback: what of its runs is written down.

use super::super::Log;
use super::*;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// 10 s for what happens at once on any machine.
const SOON: Duration = Duration::from_secs(10);

struct Stage {
    _dir: tempfile::TempDir,
    server: Server,
    log: Log,
}

async fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness.jsonl");
    let log = Log::create(&path).unwrap();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::start(listen, &path).await.unwrap();
    Stage {
        _dir: dir,
        server,
        log,
    }
}

fn head(query: &str, task: &str, fence: i64) -> String {
    format!(
        "POST /run?{query} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ntenure-task-id: {task}\r\ntenure-attempt: 2\r\n\
         tenure-fence: {fence}\r\n\r\n"
    )
}

impl Stage {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address).await.unwrap()
    }

    /// Sends it and reads the answer to its end: the status.
    async fn asks(&self, request: &str) -> u16 {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        let read = timeout(SOON, stream.read_to_string(&mut said));
        read.await.unwrap().unwrap();
        said.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Waits until the log has a note like this.
    async fn has(&mut self, like: impl Fn(&Note) -> bool) {
        let mut written = self.server.written();
        let found = async {
            loop {
                self.log.catch_up().unwrap();
                if self.log.notes().iter().any(&like) {
                    return;
                }
                written.changed().await.unwrap();
            }
        };
        timeout(SOON, found).await.unwrap();
    }

    fn words(&mut self) -> Vec<String> {
        self.log.catch_up().unwrap();
        let word = |note: &Note| match note {
            Note::Started { run, parent, .. } => format!("{} {parent} starts", run.task),
            Note::Ended { run, exit, .. } => format!("{} ends {exit}", run.task),
            Note::Acted {
                run, gate, done, ..
            } => {
                let gate = gate.as_deref().unwrap_or("nothing");
                format!("{} {gate} {done}", run.task)
            }
        };
        let mut words: Vec<String> = self.log.notes().iter().map(word).collect();
        words.dedup();
        words
    }
}

#[tokio::test]
async fn a_run_starts_goes_on_and_ends_as_it_was_to() {
    let mut stage = stage().await;

    assert_eq!(stage.asks(&head("ms=20&fails=0", "a", 7)).await, 200);
    assert_eq!(
        stage.asks(&head("ms=20&fails=1&gate=door", "b", 8)).await,
        500
    );

    let expected = [
        "a 0 starts",
        "a nothing true",
        "a ends 0",
        "b 0 starts",
        "b door true",
        "b ends 1",
    ];
    assert_eq!(stage.words(), expected);
    assert_eq!(stage.log.tasks_done(), 1);
    let run = Run {
        task: "a".to_owned(),
        attempt: 2,
        fence: 7,
    };
    assert!(matches!(&stage.log.notes()[0], Note::Started { run: of, .. } if *of == run));
    stage.server.ends().await.unwrap();
}

#[tokio::test]
async fn a_run_whose_connection_goes_has_ended_and_not_well() {
    let mut stage = stage().await;
    let mut stream = stage.connect().await;
    let request = head("ms=600000&fails=0", "a", 7);
    stream.write_all(request.as_bytes()).await.unwrap();
    stage.has(|note| matches!(note, Note::Started { .. })).await;

    drop(stream);

    stage
        .has(|note| matches!(note, Note::Ended { exit: HUNG_UP, .. }))
        .await;
}

#[tokio::test]
async fn a_run_that_is_open_when_the_server_ends_has_ended_with_it() {
    let mut stage = stage().await;
    let mut stream = stage.connect().await;
    let request = head("ms=600000&fails=0", "a", 7);
    stream.write_all(request.as_bytes()).await.unwrap();
    stage.has(|note| matches!(note, Note::Started { .. })).await;

    let Stage {
        _dir, server, log, ..
    } = stage;
    server.ends().await.unwrap();

    let mut log = log;
    log.catch_up().unwrap();
    assert!(matches!(
        log.notes().last(),
        Some(Note::Ended { exit: HUNG_UP, .. })
    ));
}

#[tokio::test]
async fn a_resource_refuses_a_fence_lower_than_one_it_has_seen() {
    let mut stage = stage().await;

    for (task, fence) in [("a", 99), ("b", 100), ("c", 99), ("d", 101)] {
        let request = head("ms=1&fails=0&gate=door", task, fence);
        assert_eq!(stage.asks(&request).await, 200);
    }
    let other = head("ms=1&fails=0&gate=gate", "e", 1);
    assert_eq!(stage.asks(&other).await, 200);

    let words = stage.words();
    let acts: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| word.ends_with("true") || word.ends_with("false"))
        .collect();
    let expected = [
        "a door true",
        "b door true",
        "c door false",
        "d door true",
        "e gate true",
    ];
    assert_eq!(acts, expected);
}

#[tokio::test]
async fn what_is_no_run_is_refused_and_writes_nothing() {
    let mut stage = stage().await;
    let good = head("ms=1&fails=0", "a", 7);
    let cases = [
        (head("ms=600001&fails=0", "a", 7), 400),
        (head("ms=1", "a", 7), 400),
        (head("ms=1&fails=2", "a", 7), 400),
        (head("ms=1&fails=0&gate=a%20b", "a", 7), 400),
        (head("ms=1&fails=0&speed=1", "a", 7), 400),
        (good.replace("tenure-fence: 7", "tenure-fence: x"), 400),
        (good.replace("tenure-task-id", "task"), 400),
        (good.replace("/run", "/walk"), 404),
        (good.replace("POST", "GET"), 405),
        (
            good.replace("length: 0\r\n", "length: 1\r\n").clone() + "x",
            413,
        ),
    ];

    for (request, expected) in cases {
        assert_eq!(stage.asks(&request).await, expected, "{request}");
    }

    assert!(stage.words().is_empty());
}

#[tokio::test]
async fn a_note_that_cannot_be_written_is_told_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::start(listen, dir.path()).await.unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = head("ms=1&fails=0", "a", 7);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();

    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    let lost = server.ends().await.unwrap_err().to_string();
    assert!(lost.contains("lost a note"), "{lost}");
}
