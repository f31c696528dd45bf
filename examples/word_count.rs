//! A program that embeds a node: it registers a kind of its own, `count-words`, and counts the words of real files with it.
//!
//! It runs as a node of a cluster on an etcd that is already there, submits one task per text file below a directory over
//! its own admin API, prints what each counted, and leaves in order. Started twice under two names, both nodes do the
//! work of both.
//!
//! ```text
//! etcd &                                                  # or TENURE_ETCD_ENDPOINTS=http://…
//! cargo run --example word_count -- src
//! ```
//!
//! Every setting of a node is a variable of the environment (`tenure config example` lists them). Where they are not set,
//! this program takes the cluster `example`, the node name `word-count` and a free port of 127.0.0.1.
//!
//! Execution is at least once: a node that dies while it counts makes the file be counted again. Counting twice harms
//! nobody. A handler with side effects passes [`Context::task_id`] on as an idempotency key, or [`Context::fence`] to a
//! resource that remembers the highest it has seen.
#![expect(
    clippy::print_stdout,
    reason = "the result is what this program is for"
)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenure::config::{Config, Flags, Loaded, Sources};
use tenure::node::Node;
use tenure::worker::kinds::{Context, HandlerError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The kind of work, as tasks name it and this node publishes it.
const KIND: &str = "count-words";

/// 1,000 tasks, what the API takes in one batch.
const FILES_MAX: usize = 1_000;

/// 30 s for etcd to answer and a session to begin.
const READY: Duration = Duration::from_secs(30);

/// 100 ms between looks at whether the node is ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a task of this kind is asked.
#[derive(Serialize, Deserialize)]
struct Asked {
    path: PathBuf,
}

/// What it leaves behind.
#[derive(Serialize, Deserialize)]
struct Counted {
    lines: usize,
    words: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let root = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let files = text_files(&PathBuf::from(root).canonicalize()?)?;
    let config = config()?;
    let api = format!("http://{}", config.listen);
    let token = config.token.as_ref().map(|token| token.expose().to_owned());

    let (stop, mut node) = (CancellationToken::new(), JoinSet::new());
    let running = Node::new(config)?.kinds(|kinds| kinds.handler_fn(KIND, count_words));
    node.spawn(running.run(stop.clone()));

    let client = Client::new(api, token)?;
    tokio::select! {
        done = submit_and_print(&client, &files) => done?,
        ended = node.join_next() => match ended {
            Some(ended) => return ended?.context("the node could not run"),
            None => bail!("the node was not started"),
        },
    }
    // It hands over, gives up leadership, ends its lease.
    stop.cancel();
    while let Some(ended) = node.join_next().await {
        ended??;
    }
    Ok(())
}

/// The handler. An error fails the attempt; the task's retry policy says what follows.
async fn count_words(context: Context) -> Result<Counted, HandlerError> {
    let asked: Asked = context.payload()?;
    let text = tokio::fs::read_to_string(&asked.path).await?;
    Ok(Counted {
        lines: text.lines().count(),
        words: text.split_whitespace().count(),
    })
}

/// The node's settings from the environment, with what this program takes where they are not set.
fn config() -> anyhow::Result<Config> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let ours = BTreeMap::from([
        ("TENURE_CLUSTER", "example".to_owned()),
        ("TENURE_NODE_NAME", "word-count".to_owned()),
        ("TENURE_LISTEN", free.to_string()),
    ]);
    let flags = Flags::default();
    let env = |name: &str| std::env::var(name).ok().or_else(|| ours.get(name).cloned());
    Ok(Loaded::read(&Sources {
        flags: &flags,
        env: &env,
    })?
    .config)
}

/// The first [`FILES_MAX`] text files below a directory, by name.
fn text_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let named = |ext| path.extension().is_some_and(|found| found == ext);
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() && ["rs", "md", "txt", "toml"].into_iter().any(named) {
                files.push(path);
            }
        }
    }
    ensure!(!files.is_empty(), "no text files below {}", root.display());
    files.sort_unstable();
    files.truncate(FILES_MAX);
    Ok(files)
}

/// One task per file, all accepted or none; then what became of each.
async fn submit_and_print(client: &Client, files: &[PathBuf]) -> anyhow::Result<()> {
    client.ready().await?;
    let tasks: Vec<Value> = files
        .iter()
        .map(|path| json!({ "kind": KIND, "queue": "words", "payload": Asked { path: path.clone() } }))
        .collect();
    let accepted = client
        .post("/v1/tasks/batch", &json!({ "tasks": tasks }))
        .await?;
    let ids: Vec<String> = serde_json::from_value(accepted["ids"].clone())?;
    let mut total = 0;
    for (path, id) in files.iter().zip(&ids) {
        let counted = client.counted(id).await?;
        println!(
            "{:>8} words {:>7} lines  {}",
            counted.words,
            counted.lines,
            path.display()
        );
        total += counted.words;
    }
    println!("{total:>8} words in {} files", files.len());
    Ok(())
}

/// The admin API as this program needs it.
struct Client {
    http: reqwest::Client,
    api: String,
    token: Option<String>,
}

impl Client {
    fn new(api: String, token: Option<String>) -> anyhow::Result<Self> {
        // The HTTP client is built without a TLS provider of its own; one that is there already is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().build()?;
        Ok(Self { http, api, token })
    }

    /// Waits until the node can take work.
    async fn ready(&self) -> anyhow::Result<()> {
        let ready = async {
            loop {
                let answer = self.http.get(format!("{}/readyz", self.api)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(READY, ready)
            .await
            .with_context(|| format!("the node is not ready after {READY:?}; does etcd answer?"))
    }

    /// Waits until the task has ended, however long that takes, and reads what it left.
    async fn counted(&self, id: &str) -> anyhow::Result<Counted> {
        loop {
            let task = self.get(&format!("/v1/tasks/{id}?wait=30s")).await?;
            let last = task["attempts"].as_array().and_then(|all| all.last());
            match (task["state"].as_str(), last) {
                (Some("succeeded"), Some(attempt)) => {
                    return Ok(serde_json::from_value(attempt["output"].clone())?);
                }
                (Some("dead" | "cancelled"), last) => {
                    bail!(
                        "task {id} is {}: {}",
                        task["state"],
                        last.unwrap_or(&Value::Null)
                    );
                }
                (_, _) => {}
            }
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.get(format!("{}{path}", self.api)))
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(self.http.post(format!("{}{path}", self.api)).json(body))
            .await
    }

    /// The answer; a problem (RFC 9457) becomes an error that says it.
    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await?;
        let (status, body) = (answer.status(), answer.json::<Value>().await?);
        ensure!(status.is_success(), "{status}: {body}");
        Ok(body)
    }
}
