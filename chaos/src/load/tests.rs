//! What the load writes down of a cluster that answers, refuses and loses answers.

use super::fake::{Asked, Fake, Told, good, nobody};
use super::*;
use crate::chronicle::Terms;
use crate::scenario::Scenario;
use serde_json::json;
use std::net::Ipv4Addr;
use tenure_chaos::check::Limits;
use tenure_chaos::history::{Answer, Entry, Op};
use tokio::net::TcpListener;

mod around;

/// 20 s for what happens at once on any machine.
const SOON: Duration = Duration::from_secs(20);
const NOOP: &str = "[[work.task]]\ntask = { kind = \"noop\" }\n";

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Ok(Answer),
    Fail(String),
    Info,
}

struct Scene {
    work: Work,
    chronicle: Chronicle,
    means: Means,
    bases: Vec<String>,
}

impl Scene {
    fn new(fields: &str, tables: &str, bases: &[&str]) -> Self {
        let text = format!(
            "name = \"x\"\n[faults]\nkinds = [\"all\"]\n[work]\npause_ms = [0, 0]\n{fields}\n{tables}"
        );
        Self {
            work: Scenario::parse(&text).unwrap().work,
            chronicle: Chronicle::begin(Terms {
                seed: 1,
                root: "/x/".to_owned(),
                limits: Limits::default(),
                expects: Vec::new(),
            }),
            means: Means::default(),
            bases: bases.iter().map(|base| (*base).to_owned()).collect(),
        }
    }

    /// Does this with the load's ground.
    async fn with<T>(&self, act: impl AsyncFnOnce(Ground<'_>) -> T) -> T {
        let maker = |number: usize| {
            let mut bases = self.bases.clone();
            let count = bases.len();
            bases.rotate_left(number % count);
            Client::new(bases, "token")
        };
        let ground = Ground {
            work: &self.work,
            means: &self.means,
            maker: &maker,
            chronicle: &self.chronicle,
            name: "x",
        };
        act(ground).await
    }

    /// Runs the load until the API was asked this so often.
    async fn runs(
        &self,
        fake: &Fake,
        method: &str,
        path: &str,
        count: usize,
    ) -> anyhow::Result<Progress> {
        self.with(async |ground| {
            let load = Load::start(ground, &mut SplitMix(1))?;
            fake.until(method, path, count).await;
            load.ends(SOON).await
        })
        .await
    }

    /// All calls of a client, in their order.
    fn calls(&self, of: &str) -> Vec<(Op, End)> {
        let mut calls: Vec<(Op, End)> = Vec::new();
        for record in self.chronicle.close().records() {
            if let Entry::Invoke { call, op } = &record.entry
                && call.client == of
            {
                // Unknown as long as nothing else is said.
                calls.push((op.clone(), End::Info));
            }
            let (call, end) = if let Entry::Ok { call, answer } = &record.entry {
                (call, End::Ok(answer.clone()))
            } else if let Entry::Fail { call, why } = &record.entry {
                (call, End::Fail(why.clone()))
            } else {
                continue;
            };
            if call.client == of {
                let nth = usize::try_from(call.number).unwrap() - 1;
                calls[nth].1 = end;
            }
        }
        calls
    }
}

fn told(status: u16, code: &str) -> Told {
    Told::Says(status, json!({ "code": code }))
}

fn key(op: &Op) -> Option<String> {
    let Op::Submit(submit) = op else {
        panic!("{op:?}");
    };
    submit.key.clone()
}

#[tokio::test]
async fn a_submit_goes_on_under_its_key_until_it_is_acknowledged() {
    let fake = Fake::start(|asked: &Asked, before| match before {
        0 => Told::Lost,
        1 => told(504, "outcome_unknown"),
        2 => told(503, "no_leader"),
        _ => good(asked),
    })
    .await;
    let scene = Scene::new("clients = 1\nreads_ms = 0", NOOP, &[&fake.base]);

    let progress = scene.runs(&fake, "POST", "/v1/tasks", 4).await.unwrap();

    let calls = scene.calls("x-client-0");
    let first = &calls[..4];
    assert!(first.iter().all(|call| key(&call.0) == key(&calls[0].0)));
    assert_eq!((&first[0].1, &first[1].1), (&End::Info, &End::Info));
    assert_eq!(first[2].1, End::Fail("503 no_leader".to_owned()));
    let answer = Answer {
        revision: Some(11),
        tasks: vec!["t".to_owned()],
        ..Answer::default()
    };
    assert_eq!(first[3].1, End::Ok(answer));
    assert_eq!((progress.refused, progress.unknown), (1, 2));
    assert_eq!(
        progress.acknowledged,
        u64::try_from(calls.len()).unwrap() - 3
    );
    for asked in fake.asked("POST", "/v1/tasks").iter().take(4) {
        assert_eq!(
            asked.body["idempotency_key"].as_str(),
            key(&calls[0].0).as_deref()
        );
    }
}

#[tokio::test]
async fn what_nobody_was_reached_for_was_certainly_not_done_and_is_tried_elsewhere() {
    let fake = Fake::start(|asked: &Asked, _| good(asked)).await;
    let away = nobody().await;
    let scene = Scene::new("clients = 1\nreads_ms = 0", NOOP, &[&away, &fake.base]);

    scene.runs(&fake, "POST", "/v1/tasks", 1).await.unwrap();

    let calls = scene.calls("x-client-0");
    assert!(matches!(calls[0].1, End::Fail(_)), "{calls:?}");
    assert!(matches!(calls[1].1, End::Ok(_)), "{calls:?}");
    assert_eq!(key(&calls[0].0), key(&calls[1].0));
}

#[tokio::test]
async fn an_answered_submit_is_sent_again_with_the_same_words_and_both_answers_are_kept() {
    let fake = Fake::start(|asked: &Asked, _| good(asked)).await;
    let task = "[[work.task]]\nbatch = [2, 2]\nrepeated = 100\ndelay_ms = [5, 5000]\ntask = { kind = \"noop\" }\n";
    let scene = Scene::new("clients = 1\nreads_ms = 0", task, &[&fake.base]);

    let progress = scene
        .runs(&fake, "POST", "/v1/tasks/batch", 4)
        .await
        .unwrap();

    let calls = scene.calls("x-client-0");
    assert_eq!(calls[0], calls[1]);
    assert_ne!(key(&calls[1].0), key(&calls[2].0));
    let bodies: Vec<_> = fake
        .asked("POST", "/v1/tasks/batch")
        .into_iter()
        .map(|one| one.body)
        .collect();
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[1], bodies[2]);
    // Two tasks for each two calls.
    assert_eq!(progress.acknowledged, u64::try_from(calls.len()).unwrap());
    let Op::Submit(submit) = &calls[0].0 else {
        panic!()
    };
    assert_eq!((submit.count, submit.run_at_ms.is_some()), (2, true));
}

#[tokio::test]
async fn what_has_no_key_is_never_sent_again() {
    let fake = Fake::start(|_: &Asked, before| match before % 2 {
        0 => Told::Lost,
        _ => told(503, "no_leader"),
    })
    .await;
    let task = "[[work.task]]\nkeyless = 100\nrepeated = 100\ntask = { kind = \"noop\", labels = { n = \"{1000000000}\" } }\n";
    let scene = Scene::new("clients = 1\nreads_ms = 0", task, &[&fake.base]);

    scene.runs(&fake, "POST", "/v1/tasks", 6).await.unwrap();

    let calls = scene.calls("x-client-0");
    assert!(calls.iter().all(|call| key(&call.0).is_none()));
    let mut bodies: Vec<String> = Vec::new();
    for asked in fake.asked("POST", "/v1/tasks") {
        assert!(asked.body["idempotency_key"].is_null());
        bodies.push(asked.body["labels"]["n"].to_string());
    }
    let sent = bodies.len();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), sent, "something was sent twice");
    assert_eq!(calls[0].1, End::Info);
}

#[tokio::test]
async fn tasks_are_cancelled_read_elsewhere_and_revived_when_they_are_dead() {
    let script = |asked: &Asked, before| {
        if asked.path.ends_with("/cancel") && before == 0 {
            return told(409, "wrong_state");
        }
        good(asked)
    };
    let (fake, other) = (Fake::start(script).await, Fake::start(script).await);
    let task = "[[work.task]]\ncancelled = 100\nread = 100\ntask = { kind = \"fail\" }\n";
    let scene = Scene::new(
        "clients = 1\nreads_ms = 0",
        task,
        &[&fake.base, &other.base],
    );

    scene
        .runs(&fake, "POST", "/v1/tasks/t/retry", 1)
        .await
        .unwrap();

    assert!(
        fake.asked("GET", "/v1/tasks/t").is_empty(),
        "its own node was read"
    );
    let calls = scene.calls("x-client-0");
    let cancels: Vec<&(Op, End)> = calls
        .iter()
        .filter(|call| matches!(call.0, Op::Cancel { .. }))
        .collect();
    assert_eq!(cancels[0].1, End::Fail("409 wrong_state".to_owned()));
    let at = |revision| Answer {
        revision: Some(revision),
        ..Answer::default()
    };
    assert_eq!(cancels[1].1, End::Ok(at(10)));
    let retried = (
        Op::Retry {
            task: "t".to_owned(),
        },
        End::Ok(at(10)),
    );
    assert!(calls.contains(&retried), "{calls:?}");
}

#[tokio::test]
async fn a_read_has_its_state_and_revision() {
    let fake = Fake::start(|asked: &Asked, _| good(asked)).await;
    let task = "[[work.task]]\nread = 100\ntask = { kind = \"noop\" }\n";
    let scene = Scene::new("clients = 1\nreads_ms = 0", task, &[&fake.base]);

    scene.runs(&fake, "GET", "/v1/tasks/t", 1).await.unwrap();

    let answer = Answer {
        revision: Some(15),
        state: Some("dead".to_owned()),
        ..Answer::default()
    };
    let read = (
        Op::Get {
            task: "t".to_owned(),
        },
        End::Ok(answer),
    );
    assert_eq!(scene.calls("x-reader-0")[0], read);
}

#[tokio::test]
async fn what_is_refused_for_ever_ends_the_load_with_its_field() {
    let fake = Fake::start(|_: &Asked, _| {
        let fault = json!({ "field": "queue", "detail": "`a b` is no name" });
        Told::Says(422, json!({ "code": "invalid_request", "errors": [fault] }))
    })
    .await;
    let scene = Scene::new("clients = 1\nreads_ms = 0", NOOP, &[&fake.base]);

    let ended = scene.runs(&fake, "POST", "/v1/tasks", 1).await;

    let said = format!("{:#}", ended.unwrap_err());
    let expected = "work.task[0].task is refused: 422 invalid_request: queue `a b` is no name";
    assert_eq!(said, expected);
    assert!(matches!(scene.calls("x-client-0")[0].1, End::Fail(_)));
}

#[tokio::test]
async fn a_client_that_does_not_end_in_time_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let scene = Scene::new("clients = 1\nreads_ms = 0", NOOP, &[&base]);

    let ended = scene
        .with(async |ground| {
            let load = Load::start(ground, &mut SplitMix(1)).unwrap();
            // Its call is open from here on, and nobody answers.
            let _open = listener.accept().await.unwrap();
            load.ends(Duration::from_millis(50)).await
        })
        .await;

    let said = ended.unwrap_err().to_string();
    assert!(
        said.starts_with("a client of the load does not end"),
        "{said}"
    );
}
