//! The load generator: many connections that submit the same prepared bytes again and again, with nothing parsed but the ids.

use crate::cluster::Cluster;
use crate::http::Connection;
use anyhow::Context as _;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Tasks in one batch: the most that the API takes.
pub(crate) const BATCH: u64 = 1_000;
/// Connections that submit batches.
pub(crate) const BATCH_CONNECTIONS: usize = 8;
/// Connections that submit tasks one by one.
pub(crate) const SINGLE_CONNECTIONS: usize = 64;
/// The payload of every task, as JSON: `{"of":"…"}`.
const PAYLOAD_BYTES: usize = 100;
/// Where the time limits begin that keep tasks in packs of their own: eight digits, so that all requests are equally long.
const APART_FROM: u64 = 10_000_000;

/// Where the numbers of locks begin: eight digits, so that all requests are equally long.
const LOCKS_FROM: u64 = 10_000_000;

/// A task's id, as text.
pub(crate) type Id = [u8; 36];

/// How tasks are handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// A thousand to a request.
    Batches,
    /// One to a request; the node puts together what arrives while its last commit is in flight.
    Singles,
    /// One to a request, each with a time limit of its own, which the node cannot put into one pack: packs of one.
    Apart,
}

/// What each task asks for beside a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// One of this semaphore.
    Permit(&'static str),
    /// One lock, of so many names. Tasks that follow each other name the same one, for only those can share a pack.
    Lock {
        names: u64,
    },
}

/// What to submit.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) queue: &'static str,
    pub(crate) kind: &'static str,
    /// Not before this instant, RFC 3339.
    pub(crate) run_at: Option<String>,
    pub(crate) needs: Needs,
    pub(crate) packing: Packing,
    /// Tasks at most.
    pub(crate) tasks: u64,
    /// Nothing is begun after it.
    pub(crate) until: Option<Instant>,
    /// Holds the submits back while too much is open.
    pub(crate) brake: Option<Arc<Brake>>,
}

/// Holds submits back while more than a bound is submitted and not finished.
#[derive(Debug)]
pub(crate) struct Brake {
    pub(crate) open_max: u64,
    pub(crate) submitted: AtomicU64,
    pub(crate) finished: AtomicU64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Submitted {
    /// In the order that each connection got them.
    pub(crate) ids: Vec<Id>,
    pub(crate) took: Duration,
}

impl Load {
    /// No-op tasks in the queue `bench`, as many as given.
    pub(crate) fn noops(packing: Packing, tasks: u64) -> Self {
        Self {
            queue: "bench",
            kind: "noop",
            run_at: None,
            needs: Needs::Nothing,
            packing,
            tasks,
            until: None,
            brake: None,
        }
    }

    fn connections(&self) -> usize {
        match self.packing {
            Packing::Batches => BATCH_CONNECTIONS,
            Packing::Singles | Packing::Apart => SINGLE_CONNECTIONS,
        }
    }

    fn tasks_per_request(&self) -> u64 {
        match self.packing {
            Packing::Batches => BATCH.min(self.tasks),
            Packing::Singles | Packing::Apart => 1,
        }
    }

    /// Submits all of it, over connections to all nodes in turn.
    ///
    /// # Errors
    /// When a request is refused, or a connection breaks.
    pub(crate) async fn submit(&self, cluster: &Cluster) -> anyhow::Result<Submitted> {
        let (path, body) = self.body();
        let request = cluster.request("POST", path, &body);
        self.send(request, cluster.addresses()).await
    }

    /// How many tasks name one lock.
    pub(crate) fn tasks_per_lock(&self, names: u64) -> u64 {
        self.tasks.div_ceil(names).max(1)
    }

    /// The path and the body of the first request; in the others digits differ, see [`Differing`].
    fn body(&self) -> (&'static str, String) {
        let filler = "x".repeat(PAYLOAD_BYTES - r#"{"of":""}"#.len());
        let mut task =
            json!({ "queue": self.queue, "kind": self.kind, "payload": { "of": filler } });
        if let Some(run_at) = &self.run_at {
            task["run_at"] = json!(run_at);
        }
        match self.needs {
            Needs::Nothing => {}
            Needs::Permit(semaphore) => {
                task["permits"] = json!([{ "semaphore": semaphore, "weight": 1 }]);
            }
            Needs::Lock { .. } => task["locks"] = json!([format!("l-{LOCKS_FROM}")]),
        }
        match self.packing {
            Packing::Batches => {
                let tasks = vec![
                    task;
                    usize::try_from(self.tasks_per_request())
                        .expect("at most a thousand")
                ];
                ("/v1/tasks/batch", json!({ "tasks": tasks }).to_string())
            }
            Packing::Singles => ("/v1/tasks", task.to_string()),
            Packing::Apart => {
                task["timeout_ms"] = json!(APART_FROM);
                ("/v1/tasks", task.to_string())
            }
        }
    }

    async fn send(&self, request: Vec<u8>, nodes: &[SocketAddr]) -> anyhow::Result<Submitted> {
        let mut connections = Vec::new();
        for node in nodes.iter().cycle().take(self.connections()) {
            connections.push(Connection::open(*node).await?);
        }
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let mut sending = JoinSet::new();
        for connection in connections {
            let sender = Sender {
                load: self.clone(),
                request: request.clone(),
                next: Arc::clone(&next),
                ids: Vec::new(),
            };
            sending.spawn(sender.run(connection));
        }
        let mut ids = Vec::new();
        while let Some(sent) = sending.join_next().await {
            ids.extend(sent.context("a sender panicked")??);
        }
        let took = begun.elapsed();
        Ok(Submitted { ids, took })
    }
}

/// The digits in a request that tell its tasks from those of the others.
#[derive(Debug, Default)]
struct Differing {
    /// Where each task's time limit stands, where these differ.
    limits: Vec<usize>,
    /// Where the number of each task's lock stands.
    locks: Vec<usize>,
    tasks_per_lock: u64,
}

impl Differing {
    /// # Errors
    /// When the request has not as many places as it has tasks.
    fn of(load: &Load, request: &[u8]) -> anyhow::Result<Self> {
        let mut differing = Self::default();
        if load.packing == Packing::Apart {
            differing.limits = places(request, "\"timeout_ms\":", APART_FROM);
            anyhow::ensure!(
                differing.limits.len() == 1,
                "no time limit in the request, or more than one"
            );
        }
        if let Needs::Lock { names } = load.needs {
            differing.locks = places(request, "\"l-", LOCKS_FROM);
            differing.tasks_per_lock = load.tasks_per_lock(names);
            let found = u64::try_from(differing.locks.len())?;
            let each = load.tasks_per_request();
            anyhow::ensure!(found == each, "{found} locks for {each} tasks");
        }
        Ok(differing)
    }

    /// Makes it the request whose first task has this number.
    fn write(&self, request: &mut [u8], number: u64) {
        let limits = self.limits.iter().zip(APART_FROM + number..);
        let locks = (number..).map(|number| LOCKS_FROM + number / self.tasks_per_lock);
        for (at, digits) in limits.chain(self.locks.iter().zip(locks)) {
            let text = digits.to_string();
            request[*at..*at + text.len()].copy_from_slice(text.as_bytes());
        }
    }
}

/// Where this number stands in a request, wherever it follows `before`.
fn places(request: &[u8], before: &str, number: u64) -> Vec<usize> {
    let text = format!("{before}{number}");
    let windows = request.windows(text.len()).enumerate();
    windows
        .filter(|(_, some)| *some == text.as_bytes())
        .map(|(at, _)| at + before.len())
        .collect()
}

struct Sender {
    load: Load,
    request: Vec<u8>,
    /// The number of the next task.
    next: Arc<AtomicU64>,
    ids: Vec<Id>,
}

impl Sender {
    async fn run(mut self, mut connection: Connection) -> anyhow::Result<Vec<Id>> {
        let differing = Differing::of(&self.load, &self.request)?;
        let each = self.load.tasks_per_request();
        while self.may_send().await {
            let number = self.next.fetch_add(each, Ordering::Relaxed);
            if number >= self.load.tasks {
                break;
            }
            differing.write(&mut self.request, number);
            let answer = connection.exchange(&self.request).await?;
            answer.expect(201)?;
            let before = self.ids.len();
            self.ids.extend(ids_in(answer.body));
            let accepted = u64::try_from(self.ids.len() - before)?;
            anyhow::ensure!(accepted == each, "{accepted} ids for {each} tasks");
            self.say_tenths(number, each);
        }
        Ok(self.ids)
    }

    /// False once the time is over.
    async fn may_send(&self) -> bool {
        loop {
            if self.load.until.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
            let Some(brake) = &self.load.brake else {
                return true;
            };
            let submitted = brake.submitted.load(Ordering::Relaxed);
            let finished = brake.finished.load(Ordering::Relaxed);
            if submitted.saturating_sub(finished) < brake.open_max {
                let each = self.load.tasks_per_request();
                brake.submitted.fetch_add(each, Ordering::Relaxed);
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A line for every tenth, where that is many.
    fn say_tenths(&self, number: u64, each: u64) {
        let tasks = self.load.tasks;
        let tenth = |number: u64| 10 * number / tasks;
        if self.load.until.is_none() && tasks >= 50_000 && tenth(number) < tenth(number + each) {
            eprintln!("   {} of {tasks} submitted", (number + each).min(tasks));
        }
    }
}

/// The ids in the answer to a submit: every string of an id's length and shape.
fn ids_in(body: &[u8]) -> impl Iterator<Item = Id> {
    body.split(|byte| *byte == b'"').filter_map(|text| {
        let id = Id::try_from(text).ok()?;
        (id[8] == b'-' && id[23] == b'-').then_some(id)
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
