//! The admin API as the demo needs it. A call goes to whichever node answers, since any of them may have been killed;
//! a submit repeats with one idempotency key, so a lost answer adds nothing.

mod heard;

use anyhow::{Context as _, bail};
use heard::heard;
pub(crate) use heard::{Heard, Refusal, Refused};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long one call may take. The longest wait that is asked for is `WAIT`.
const CALL: Duration = Duration::from_secs(20);
/// How long a `GET /v1/tasks/{id}` is asked to wait for the end of the task.
const WAIT: &str = "10s";
/// How long a call is tried over and over, through any failover.
const PATIENCE: Duration = Duration::from_mins(1);
/// 50 ms before a call is made again.
const AGAIN: Duration = Duration::from_millis(50);
/// 1 s for a node to say whether it is ready.
const SHORT: Duration = Duration::from_secs(1);

/// Tasks of a page, as many as the API gives.
const PAGE: usize = 1000;

/// A task as `GET /v1/tasks/{id}` gives it, less what is not judged.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) attempts: Vec<Attempt>,
}

impl Task {
    /// No further attempt will come by itself.
    pub(crate) fn is_ended(&self) -> bool {
        ["succeeded", "dead", "cancelled"].contains(&self.state.as_str())
    }
}

/// One attempt of a task.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) fence: i64,
    pub(crate) node: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) output: Option<Output>,
}

impl Attempt {
    pub(crate) fn is_lost(&self) -> bool {
        self.outcome.as_deref() == Some("lost")
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.outcome.as_deref() == Some("succeeded")
    }

    pub(crate) fn stdout(&self) -> &str {
        self.output.as_ref().map_or("", |output| &output.stdout)
    }
}

/// The tail of what a command wrote.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Output {
    #[serde(default)]
    pub(crate) stdout: String,
}

/// One reign of `GET /v1/leader/history`.
#[derive(Debug, Deserialize)]
pub(crate) struct Reign {
    pub(crate) term: i64,
    pub(crate) node: String,
    pub(crate) ended_by: Option<String>,
    pub(crate) leaderless_ms: Option<f64>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Leader {
    node: String,
}

#[derive(Deserialize)]
struct Node {
    slots: Slots,
}

#[derive(Deserialize)]
struct Slots {
    busy: u32,
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// A page of `GET /v1/tasks`.
#[derive(Deserialize)]
struct Page {
    items: Vec<Id>,
    next_cursor: Option<String>,
}

/// A batch as it is sent.
#[derive(Serialize)]
struct Batch<'a> {
    tasks: &'a [Value],
}

/// Knows every node of the cluster and which of them answered last.
pub(crate) struct Client {
    http: reqwest::Client,
    bases: Vec<String>,
    token: String,
    last_good: AtomicUsize,
}

impl Client {
    /// `bases` are like `http://127.0.0.1:8700`, one for each node.
    pub(crate) fn new(bases: Vec<String>, token: &str) -> anyhow::Result<Self> {
        Self::within(bases, token, CALL)
    }

    /// The same, each of whose calls takes so long at most.
    pub(crate) fn within(bases: Vec<String>, token: &str, call: Duration) -> anyhow::Result<Self> {
        // The client wants a TLS provider even where it only speaks plain HTTP; a second call finds the first's.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(1))
            .timeout(call)
            .build()?;
        Ok(Self {
            http,
            bases,
            token: token.to_owned(),
            last_good: AtomicUsize::new(0),
        })
    }

    /// The next call goes to the first of its nodes.
    pub(crate) fn comes_home(&self) {
        self.last_good.store(0, Ordering::Relaxed);
    }

    /// Who leads, as the first node that answers says; `None` while nobody does. Asked once, never repeated.
    pub(crate) async fn leader(&self) -> Option<String> {
        for offset in 0..self.bases.len() {
            let base = self.base(offset);
            if let Ok(answer) = self
                .request(base, reqwest::Method::GET, "/v1/leader")
                .send()
                .await
                && answer.status().is_success()
            {
                return answer.json::<Leader>().await.ok().map(|leader| leader.node);
            }
        }
        None
    }

    /// The reigns so far.
    pub(crate) async fn leader_history(&self) -> anyhow::Result<Vec<Reign>> {
        Ok(self
            .get::<Items<Reign>>("/v1/leader/history")
            .await?
            .context("no history")?
            .items)
    }

    /// The state of a task, as the first node that answers says; none where nobody does. Asked once.
    pub(crate) async fn state(&self, id: &str) -> Option<String> {
        let path = format!("/v1/tasks/{id}");
        let heard = self.once(reqwest::Method::GET, &path, None).await;
        if let Heard::Done(task) = heard {
            return task["state"].as_str().map(str::to_owned);
        }
        None
    }

    /// Whether this address, of whichever node, answers that all is well, within a second.
    pub(crate) async fn says_yes(&self, address: &str) -> bool {
        let asked = self.http.get(address).timeout(SHORT).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// What this address, of whichever node, answers, within a second; none where it does not.
    pub(crate) async fn text(&self, address: &str) -> Option<String> {
        let asked = self.http.get(address).bearer_auth(&self.token);
        let answer = asked.timeout(SHORT).send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    /// How many slots of a node are in use.
    pub(crate) async fn busy(&self, node: &str) -> anyhow::Result<u32> {
        let node = self.get::<Node>(&format!("/v1/nodes/{node}")).await?;
        Ok(node.map_or(0, |node| node.slots.busy))
    }

    /// The task, after waiting some time for its end; `None` when the cluster knows no such task.
    pub(crate) async fn task_when_ended(&self, id: &str) -> anyhow::Result<Option<Task>> {
        self.get(&format!("/v1/tasks/{id}?wait={WAIT}")).await
    }

    /// Submits a batch, whole; the ids come in its order.
    pub(crate) async fn submit(
        &self,
        tasks: &[Value],
        idempotency_key: &str,
    ) -> anyhow::Result<Vec<String>> {
        let body = serde_json::to_vec(&Batch { tasks })?;
        let answer: Ids = self
            .repeat("/v1/tasks/batch", |base| {
                self.request(base, reqwest::Method::POST, "/v1/tasks/batch")
                    .header("content-type", "application/json")
                    .header("idempotency-key", idempotency_key)
                    .body(body.clone())
            })
            .await?
            .context("the batch has no such address")?;
        anyhow::ensure!(
            answer.ids.len() == tasks.len(),
            "{} ids for {} tasks",
            answer.ids.len(),
            tasks.len()
        );
        Ok(answer.ids)
    }

    /// Submits one task; its id.
    pub(crate) async fn submit_one(
        &self,
        task: &Value,
        idempotency_key: &str,
    ) -> anyhow::Result<Vec<String>> {
        let answer: Id = self
            .repeat("/v1/tasks", |base| {
                self.request(base, reqwest::Method::POST, "/v1/tasks")
                    .header("idempotency-key", idempotency_key)
                    .json(task)
            })
            .await?
            .context("tasks have no such address")?;
        Ok(vec![answer.id])
    }

    /// How many tasks of a queue are known, ended or not.
    pub(crate) async fn count(&self, queue: &str) -> anyhow::Result<usize> {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let path = format!("/v1/tasks?queue={queue}&limit={PAGE}{cursor}");
            let page: Page = self.get(&path).await?.context("no list")?;
            count += page.items.len();
            let Some(next) = page.next_cursor else {
                return Ok(count);
            };
            cursor = format!("&cursor={next}");
        }
    }

    /// Asks the node that answered last, once. Where it does not answer, the next call goes to another.
    pub(crate) async fn once(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Heard {
        let request = self.request(self.base(0), method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let heard = heard(request.send().await).await;
        if !matches!(heard, Heard::Done(_)) {
            self.last_good.fetch_add(1, Ordering::Relaxed);
        }
        heard
    }

    /// Asks until it is done, which may come to more than once. What is not there need not be taken away.
    ///
    /// # Errors
    /// It is refused for what it says, or is not done in a minute.
    pub(crate) async fn until_done(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let why = match self.once(method.clone(), path, body).await {
                Heard::Done(_) => return Ok(()),
                Heard::Refused(refused) => {
                    if method == reqwest::Method::DELETE && refused.status == Some(404) {
                        return Ok(());
                    }
                    if refused.refusal() == Refusal::Ever {
                        bail!("{method} {path} is refused: {}", refused.why);
                    }
                    refused.why
                }
                Heard::Nothing(why) => why,
            };
            if Instant::now() > until {
                let secs = PATIENCE.as_secs();
                bail!("{method} {path} is not done in {secs} s, the last answer was {why}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        self.repeat(path, |base| self.request(base, reqwest::Method::GET, path))
            .await
    }

    fn base(&self, offset: usize) -> &str {
        &self.bases[(self.last_good.load(Ordering::Relaxed) + offset) % self.bases.len()]
    }

    fn request(&self, base: &str, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{base}{path}"))
            .bearer_auth(&self.token)
    }

    /// Goes round the nodes until one gives a definite answer. 404 is `None`, another refusal that stays an error; anything
    /// else may pass with the failover that is under way.
    async fn repeat<T, B>(&self, path: &str, build: B) -> anyhow::Result<Option<T>>
    where
        T: DeserializeOwned,
        B: Fn(&str) -> reqwest::RequestBuilder,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            let failure = match build(self.base(0)).send().await {
                Ok(answer) if answer.status().is_success() => {
                    let text = answer.text().await.with_context(|| path.to_owned())?;
                    let parsed = serde_json::from_str(&text)
                        .with_context(|| format!("{path} answered {text}"))?;
                    return Ok(Some(parsed));
                }
                Ok(answer) if answer.status() == reqwest::StatusCode::NOT_FOUND => return Ok(None),
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    let body = serde_json::from_str(&text).unwrap_or_default();
                    if Refused::of(status.as_u16(), &body).refusal() != Refusal::Again {
                        bail!("{path} answered {status}: {text}")
                    }
                    format!("{status}: {text}")
                }
                Err(error) => error.to_string(),
            };
            self.last_good.fetch_add(1, Ordering::Relaxed);
            if Instant::now() > until {
                bail!(
                    "{path}: no node gave an answer in {} s, the last said {failure}",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests;
