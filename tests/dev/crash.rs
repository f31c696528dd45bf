//! Power cuts of one machine, in small: kill -9 with submits in flight, over and over; `make crash` does it at length.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::process::{Process, free_port};

const KILLS: usize = 3;
const SUBMITTERS: usize = 8;
/// Tasks that are acknowledged between two kills.
const EACH: usize = 200;

/// What the submitters share.
struct Asked {
    http: reqwest::Client,
    base: String,
    /// Task by idempotency key. Held to insert or to look.
    acknowledged: Mutex<BTreeMap<String, String>>,
    more: Notify,
    in_flight: AtomicUsize,
}

impl Asked {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Submits under one key; nothing where no answer came.
    async fn submit(&self, key: &str) -> Option<()> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let answer = self.http.post(format!("{}/v1/tasks", self.base));
        let answer = answer.header("idempotency-key", key);
        let answer = answer.json(&json!({"kind": "noop"})).send().await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let answer = answer.ok().filter(|answer| answer.status().is_success())?;
        let id = answer.json::<Value>().await.ok()?["id"]
            .as_str()?
            .to_owned();
        self.acknowledged.lock().unwrap().insert(key.to_owned(), id);
        self.more.notify_one();
        Some(())
    }

    /// Submits until the round is 0; what was not answered is sent again in the next round.
    async fn go_on(self: Arc<Self>, who: usize, mut round: watch::Receiver<usize>) {
        for number in 0.. {
            let key = format!("{who}-{number}");
            while self.submit(&key).await.is_none() {
                round.changed().await.unwrap();
            }
            if *round.borrow() == 0 {
                return;
            }
        }
    }
}

async fn start(home: &Path, port: u16) -> Process {
    let listen = format!("127.0.0.1:{port}");
    let words = [
        &["server", "--embedded", "--data-dir", "d", "--listen"][..],
        &[listen.as_str(), "--lease-ttl", "2s", "--log-format", "text"],
    ];
    let mut server = Process::start(home, &words.concat());
    server.logs("joined").await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_task_outlives_kills_with_submits_in_flight_and_ends_once() {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No connection is kept that a kill may have ended.
    let http = reqwest::Client::builder().pool_max_idle_per_host(0);
    let http = http.timeout(Duration::from_secs(30)).build().unwrap();
    let asked = Arc::new(Asked {
        http,
        base: format!("http://127.0.0.1:{port}"),
        acknowledged: Mutex::default(),
        more: Notify::new(),
        in_flight: AtomicUsize::new(0),
    });
    let mut server = start(home.path(), port).await;
    let (round, rounds) = watch::channel(1);
    let mut submitters = JoinSet::new();
    for who in 0..SUBMITTERS {
        submitters.spawn(Arc::clone(&asked).go_on(who, rounds.clone()));
    }

    for kill in 1..=KILLS {
        let enough = asked.count() + EACH;
        while asked.count() < enough {
            asked.more.notified().await;
        }
        let in_flight = asked.in_flight.load(Ordering::SeqCst);
        server.signal(Signal::KILL);
        assert!(in_flight > 0, "kill {kill} met no submit");
        server.ends().await;
        server = start(home.path(), port).await;
        round.send(kill + 1).unwrap();
    }
    round.send(0).unwrap();
    while let Some(ended) = submitters.join_next().await {
        ended.unwrap();
    }

    let acknowledged = asked.acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() >= KILLS * EACH);
    for id in acknowledged.values() {
        let task = asked
            .http
            .get(format!("{}/v1/tasks/{id}?wait=20s", asked.base));
        let task: Value = task.send().await.unwrap().json().await.unwrap();
        assert_eq!(task["state"], "succeeded", "{task}");
        let attempts = task["attempts"].as_array().unwrap();
        let committed = attempts.iter().filter(|a| a["outcome"] == "succeeded");
        assert_eq!(committed.count(), 1, "{task}");
    }
    let mut ids: Vec<_> = acknowledged.values().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), acknowledged.len(), "one id for two keys");
}
