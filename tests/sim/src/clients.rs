//! Clients: they submit, cancel, retry and look through the admin API of whatever node they find, and write down what they asked
//! and what they were told. They believe an answer only where there is one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tenure_chaos::history::{Answer, Call, Entry, Op, Submit};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::chronicle::Chronicle;
use crate::dice::Dice;
use crate::scarce::Scarce;

/// 3 clients: enough that submits meet and share packs.
pub(crate) const CLIENTS: usize = 3;
/// 10 s for an answer, then nobody knows.
const PATIENCE: Duration = Duration::from_secs(10);
/// The last 200 tasks are remembered to be cancelled, retried or looked at.
const REMEMBERED_MAX: usize = 200;
/// The newest 12 of them are what a few clients have submitted within a second or two.
const NEWEST: usize = 12;
/// A submit with a key is sent up to 3 times.
const SENDINGS_MAX: usize = 3;
/// 1 MiB: how large an answer may be.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The API of one process.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) router: Router,
    /// The process is gone, and with it whatever it was asked.
    pub(crate) gone: CancellationToken,
}

/// The processes that answer now; the world keeps it up to date.
pub(crate) type Doors = Arc<Mutex<Vec<Option<Door>>>>;

/// Tasks that clients know of; they share what they know.
pub(crate) type Known = Arc<Mutex<VecDeque<String>>>;

/// One client.
pub(crate) struct Client {
    name: String,
    calls: u64,
    keys: u64,
    doors: Doors,
    dice: Dice,
    chronicle: Chronicle,
    known: Known,
    scarce: Option<Scarce>,
}

/// What came back.
enum Heard {
    Done(Value),
    Refused(String),
    Nothing(String),
}

impl Client {
    /// `count` clients that know of each other's tasks.
    pub(crate) fn several(
        count: usize,
        doors: &Doors,
        dice: &Dice,
        chronicle: &Chronicle,
        scarce: Option<&Scarce>,
        known: &Known,
    ) -> Vec<Self> {
        (0..count)
            .map(|index| Self {
                name: format!("c{index}"),
                calls: 0,
                keys: 0,
                doors: Arc::clone(doors),
                dice: dice.split(),
                chronicle: chronicle.clone(),
                known: Arc::clone(known),
                scarce: scarce.map(Scarce::split),
            })
            .collect()
    }

    /// Asks for this and that until the time comes.
    pub(crate) async fn work(mut self, until: Instant) {
        while Instant::now() < until {
            match self.dice.below(100) {
                0..=54 => self.submit(1).await,
                55..=69 => {
                    let count = self.dice.within(2..=40);
                    self.submit(count).await;
                }
                70..=79 => self.act("cancel", |task| Op::Cancel { task }).await,
                80..=87 => self.act("retry", |task| Op::Retry { task }).await,
                _ => self.get().await,
            }
            sleep(Duration::from_millis(self.dice.within(5..=400))).await;
        }
    }

    async fn submit(&mut self, count: u64) {
        let key = self.dice.in_thousand(400).then(|| {
            self.keys += 1;
            format!("{}-{}", self.name, self.keys)
        });
        let task = self.task();
        let submit = Submit {
            key: key.clone(),
            count,
            queue: word(&task, "queue"),
            kind: word(&task, "kind"),
            priority: task["priority"]
                .as_u64()
                .and_then(|priority| u8::try_from(priority).ok()),
            max_attempts: task["max_attempts"]
                .as_u64()
                .and_then(|most| u32::try_from(most).ok()),
            run_at_ms: None,
        };
        let (path, mut body) = if count == 1 {
            ("/v1/tasks", task)
        } else {
            (
                "/v1/tasks/batch",
                json!({ "tasks": (0..count).map(|_| self.another(&task)).collect::<Vec<_>>() }),
            )
        };
        if let Some(key) = &key {
            body["idempotency_key"] = json!(key);
        }
        // A submit that nobody answered is sent again under its key, and also one that was answered, now and then.
        for _ in 0..SENDINGS_MAX {
            let call = self.invoke(Op::Submit(submit.clone()));
            let heard = self.ask(Method::POST, path, Some(&body)).await;
            let unheard = matches!(heard, Heard::Nothing(_));
            let tasks = self.told(call, heard, |answer| {
                match (answer["ids"].as_array(), answer["id"].as_str()) {
                    (Some(ids), _) => ids
                        .iter()
                        .filter_map(|id| id.as_str().map(str::to_owned))
                        .collect(),
                    (None, id) => id.map(str::to_owned).into_iter().collect(),
                }
            });
            remember(&self.known, &tasks);
            if key.is_none() || !(unheard || self.dice.in_thousand(100)) {
                return;
            }
        }
    }

    /// A task of a random shape. How it runs is in its payload, so that its runs need no memory of their own.
    fn task(&self) -> Value {
        let mut task = json!({
            "kind": "work",
            "queue": self.dice.one(&["a", "b"]),
            "priority": self.dice.within(1..=9),
            "max_attempts": self.dice.within(1..=4),
            "backoff": {"initial_ms": self.dice.within(10..=2_000), "factor": 2.0, "max_ms": 4_000, "jitter": 0.2},
            "payload": {
                "run_ms": self.run_ms(),
                "fails": if self.dice.in_thousand(250) { self.dice.within(1..=5) } else { 0 },
            },
        });
        if self.dice.in_thousand(150) {
            task["delay_ms"] = json!(self.dice.within(1..=5_000));
        }
        if self.dice.in_thousand(100) {
            task["timeout_ms"] = json!(self.dice.within(10..=2_000));
        }
        if let Some(scarce) = &self.scarce {
            scarce.ask(&mut task);
        }
        task
    }

    /// One like this whose runs take a time of its own.
    fn another(&self, task: &Value) -> Value {
        let mut task = task.clone();
        task["payload"]["run_ms"] = json!(self.run_ms());
        task
    }

    /// Mostly short, sometimes seconds.
    fn run_ms(&self) -> u64 {
        match self.dice.below(100) {
            0..=84 => self.dice.within(0..=20),
            85..=98 => self.dice.within(20..=600),
            _ => self.dice.within(800..=4_000),
        }
    }

    async fn act(&mut self, what: &str, op: impl FnOnce(String) -> Op) {
        let Some(task) = self.some_task() else { return };
        let call = self.invoke(op(task.clone()));
        let heard = self
            .ask(Method::POST, &format!("/v1/tasks/{task}/{what}"), None)
            .await;
        self.told(call, heard, |_| vec![task]);
    }

    async fn get(&mut self) {
        let Some(task) = self.some_task() else { return };
        let call = self.invoke(Op::Get { task: task.clone() });
        let heard = self
            .ask(Method::GET, &format!("/v1/tasks/{task}"), None)
            .await;
        self.told(call, heard, |_| vec![task]);
    }

    fn invoke(&mut self, op: Op) -> Call {
        self.calls += 1;
        let call = Call {
            client: self.name.clone(),
            number: self.calls,
        };
        self.chronicle.saw(Entry::Invoke {
            call: call.clone(),
            op,
        });
        call
    }

    /// Writes down the answer; the tasks it names, where it was a good one.
    fn told(
        &self,
        call: Call,
        heard: Heard,
        tasks: impl FnOnce(&Value) -> Vec<String>,
    ) -> Vec<String> {
        match heard {
            Heard::Done(answer) => {
                let tasks = tasks(&answer);
                self.chronicle.saw(Entry::Ok {
                    call,
                    answer: Answer {
                        revision: answer["revision"].as_i64(),
                        tasks: tasks.clone(),
                        state: answer["state"].as_str().map(str::to_owned),
                        ..Answer::default()
                    },
                });
                tasks
            }
            Heard::Refused(why) => {
                self.chronicle.saw(Entry::Fail { call, why });
                Vec::new()
            }
            Heard::Nothing(why) => {
                self.chronicle.saw(Entry::Info { call, why });
                Vec::new()
            }
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Heard {
        let door = {
            let doors = self.doors.lock().expect("nothing panics while it is held");
            let open: Vec<&Door> = doors.iter().flatten().collect();
            if open.is_empty() {
                None
            } else {
                Some((*self.dice.one(&open)).clone())
            }
        };
        let Some(door) = door else {
            return Heard::Refused("connection refused".to_owned());
        };
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "127.0.0.1")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .expect("a request of the test is well formed");
        let asking = async {
            let answer = door
                .router
                .clone()
                .oneshot(request)
                .await
                .unwrap_or_else(|never| match never {});
            let status = answer.status();
            let bytes = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            bytes
                .map(|bytes| (status, bytes.to_bytes()))
                .map_err(|problem| problem.to_string())
        };
        let asking = timeout(PATIENCE, asking);
        let asked = tokio::select! {
            biased;
            () = door.gone.cancelled() => return Heard::Nothing("connection reset".to_owned()),
            asked = asking => asked,
        };
        match asked {
            Err(_) => Heard::Nothing("no answer in time".to_owned()),
            Ok(Err(problem)) => Heard::Nothing(problem),
            Ok(Ok((status, bytes))) => heard(
                status,
                serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            ),
        }
    }

    /// One of those remembered; as often as not one of the newest, which is likely to run or to wait.
    fn some_task(&self) -> Option<String> {
        let known = self.known.lock().expect("nothing panics while it is held");
        let among = match known.len() {
            0 => return None,
            all if self.dice.in_thousand(500) => all.min(NEWEST),
            all => all,
        };
        Some(known[known.len() - 1 - self.dice.below(among)].clone())
    }
}

/// Lets clients know of these, and forgets the oldest.
pub(crate) fn remember(known: &Known, tasks: &[String]) {
    let mut known = known.lock().expect("nothing panics while it is held");
    known.extend(tasks.iter().cloned());
    let beyond = known.len().saturating_sub(REMEMBERED_MAX);
    known.drain(..beyond);
}

/// A status in words of the history: 504 is the API's own word for "nobody knows".
fn heard(status: StatusCode, body: Value) -> Heard {
    if status.is_success() {
        return Heard::Done(body);
    }
    let why = format!("{} {}", status.as_u16(), word(&body, "code"));
    if status == StatusCode::GATEWAY_TIMEOUT || status == StatusCode::INTERNAL_SERVER_ERROR {
        return Heard::Nothing(why);
    }
    Heard::Refused(why)
}

fn word(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
