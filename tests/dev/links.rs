//! Real processes that are killed: what is noticed by their links, with leases of 30 s.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tenure_testkit::Etcd;

use crate::process::{Process, free_port};

/// Half a minute: what happens before is not its doing.
const TTL: Duration = Duration::from_secs(30);

/// Servers on one etcd.
struct Servers {
    http: reqwest::Client,
    urls: Vec<String>,
    processes: Vec<Option<Process>>,
}

impl Servers {
    async fn start(home: &Path, etcd: &Etcd, count: usize) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut servers = Self {
            http: reqwest::Client::new(),
            urls: Vec::new(),
            processes: Vec::new(),
        };
        let etcd = etcd.endpoints().join(",");
        for number in 0..count {
            let listen = format!("127.0.0.1:{}", free_port());
            let name = format!("n{number}");
            let words = [
                &["server", "--etcd-endpoints", &etcd, "--node-name", &name][..],
                &["--listen", &listen, "--lease-ttl", "30s", "--slots", "2"],
                &["--log-format", "text"],
            ];
            let mut process = Process::start(home, &words.concat());
            process.logs("joined").await;
            servers.urls.push(format!("http://{listen}"));
            servers.processes.push(Some(process));
        }
        servers
    }

    async fn get(&self, of: usize, path: &str) -> Value {
        let answer = self
            .http
            .get(format!("{}{path}", self.urls[of]))
            .send()
            .await;
        answer.unwrap().json().await.unwrap()
    }

    /// Waits until all of these have so many links, and no fewer than there should be.
    async fn linked(&self, of: &[usize], links: usize) {
        let wanted = format!("{links} of {links} are open");
        for server in of {
            while !self
                .get(*server, "/readyz?verbose")
                .await
                .to_string()
                .contains(&wanted)
            {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn submit(&self, to: usize, task: Value) -> String {
        let answer = self
            .http
            .post(format!("{}/v1/tasks", self.urls[to]))
            .json(&task);
        let answer: Value = answer.send().await.unwrap().json().await.unwrap();
        answer["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }

    async fn kill(&mut self, server: usize) {
        let process = self.processes[server].take().unwrap();
        process.signal(Signal::KILL);
        process.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_long_before_the_lease_of_a_killed_process_ends() {
    let home = tempfile::tempdir().unwrap();
    let etcd = Etcd::builder(1).on(tenure_testkit::Backend::Etcd).start();
    let mut servers = Servers::start(home.path(), &etcd, 3).await;
    servers.linked(&[0, 1], 2).await;
    servers.linked(&[2], 2).await;

    // A node that is killed while it runs something: it runs elsewhere.
    let sleep = json!({"kind": "sleep", "payload": {"ms": 2_000}});
    let mut victim = 0;
    let mut task = String::new();
    while victim == 0 {
        task = servers.submit(0, sleep.clone()).await;
        let node = loop {
            let seen = servers.get(0, &format!("/v1/tasks/{task}")).await;
            match seen["attempts"][0]["node"].as_str() {
                Some(node) => break node.to_owned(),
                None => tokio::task::yield_now().await,
            }
        };
        victim = node[1..].parse().unwrap();
    }
    let began = Instant::now();
    servers.kill(victim).await;
    let ended = servers.get(0, &format!("/v1/tasks/{task}?wait=25s")).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ended["attempts"][0]["outcome"], "lost", "{ended}");

    // Then the leader, which was there first.
    servers.kill(0).await;
    let left = 3 - victim;
    let task = servers.submit(left, json!({"kind": "noop"})).await;
    let ended = servers
        .get(left, &format!("/v1/tasks/{task}?wait=25s"))
        .await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert!(began.elapsed() < TTL, "{:?}", began.elapsed());
}
