//! What can be asked of any cluster through its API that hurts none: that its leader resigns, that a node is drained and undrained.
//! Asks whichever node answers, so often at most, and never goes on where nobody knows what came of a resignation. How long one call
//! may take is for the client to say: only so does its next call go to another node than the one that stands still.

use super::Made;
use crate::http::{Client, Heard, Refusal, Refused};
use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// What whoever asks is told of a node that is drained from here.
pub(crate) const REASON: &str = "tenure-chaos";
/// 10 tries, each at another node: with three nodes, each is asked three times.
const TRIES_MAX: u32 = 10;
/// 200 ms between tries, 2 s in all: what a failover takes.
const AGAIN: Duration = Duration::from_millis(200);

/// A term that was ended, and who led in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) node: String,
    pub(crate) term: i64,
}

/// A node as the API tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Where it says that it answers.
    pub(crate) address: String,
    pub(crate) drained: bool,
}

/// What came of asking until someone knew.
enum Answer {
    Done(Value),
    /// It will not be done by whoever is asked, with this status and code.
    No(String),
}

/// May a question be asked again where nobody knows what came of it?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twice {
    /// It says how things shall be.
    Harmless,
    /// Each time, something else would happen.
    Never,
}

/// Ends the present term, whoever leads; which one that was. Cannot where nobody leads, or the leader has just changed.
///
/// # Errors
/// Nobody knows whether it was ended.
pub(crate) async fn resign(client: &Client) -> anyhow::Result<(Made, Option<Ended>)> {
    let asked = ask(
        client,
        Method::POST,
        "/v1/leader/resign",
        None,
        Twice::Never,
    );
    match asked.await? {
        Answer::No(why) => Ok((Made::NotNow(why), None)),
        Answer::Done(told) => {
            let node = told["node"].as_str().context("a resignation of nobody")?;
            let term = told["term"].as_i64().context("a resignation of no term")?;
            let node = node.to_owned();
            Ok((Made::Yes, Some(Ended { node, term })))
        }
    }
}

/// Takes a node out of service; `reason` is for those who ask why, 200 bytes at most. Cannot where there is no such node.
///
/// # Errors
/// Nobody knows whether it was.
pub(crate) async fn drain(client: &Client, node: &str, reason: &str) -> anyhow::Result<Made> {
    let body = json!({ "reason": reason });
    let path = format!("/v1/nodes/{node}/drain");
    let asked = ask(client, Method::POST, &path, Some(&body), Twice::Harmless);
    asked.await.map(made)
}

/// Puts a node back into service. Cannot where there is no such node.
///
/// # Errors
/// Nobody knows whether it was.
pub(crate) async fn undrain(client: &Client, node: &str) -> anyhow::Result<Made> {
    let path = format!("/v1/nodes/{node}/undrain");
    let asked = ask(client, Method::POST, &path, None, Twice::Harmless);
    asked.await.map(made)
}

/// The nodes that live now, by name.
pub(crate) async fn nodes(client: &Client) -> anyhow::Result<BTreeMap<String, Known>> {
    let asked = ask(client, Method::GET, "/v1/nodes", None, Twice::Harmless);
    let told = match asked.await? {
        Answer::Done(told) => told,
        Answer::No(why) => bail!("/v1/nodes answered {why}"),
    };
    let items = told["items"]
        .as_array()
        .context("/v1/nodes without items")?;
    items.iter().map(known).collect()
}

fn known(one: &Value) -> anyhow::Result<(String, Known)> {
    let name = one["id"].as_str().context("a node without a name")?;
    let known = Known {
        address: one["address"].as_str().unwrap_or_default().to_owned(),
        drained: !one["drain"].is_null(),
    };
    Ok((name.to_owned(), known))
}

fn made(answer: Answer) -> Made {
    match answer {
        Answer::Done(_) => Made::Yes,
        Answer::No(why) => Made::NotNow(why),
    }
}

async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
    twice: Twice,
) -> anyhow::Result<Answer> {
    let mut last = String::new();
    for _ in 0..TRIES_MAX {
        last = match client.once(method.clone(), path, body).await {
            Heard::Done(told) => return Ok(Answer::Done(told)),
            Heard::Refused(refused) if refused.refusal() != Refusal::Again => {
                return Ok(Answer::No(refused.why));
            }
            Heard::Nothing(why) if twice == Twice::Never => bail!("{path}: {why}"),
            Heard::Refused(Refused { why, .. }) | Heard::Nothing(why) => why,
        };
        sleep(AGAIN).await;
    }
    if twice == Twice::Never {
        // Each of the tries was certainly refused.
        return Ok(Answer::No(last));
    }
    bail!("{path}: {last}, {TRIES_MAX} times")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    /// A node that gives these answers in turn, and what it was asked.
    pub(in crate::target) struct Stub {
        pub(in crate::target) base: String,
        asked: Arc<Mutex<Vec<String>>>,
        _serving: JoinSet<()>,
    }

    impl Stub {
        pub(in crate::target) async fn with(answers: &[(u16, Value)]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let asked = Arc::new(Mutex::new(Vec::new()));
            let mut serving = JoinSet::new();
            serving.spawn(serve(listener, answers.to_vec(), Arc::clone(&asked)));
            Self {
                base,
                asked,
                _serving: serving,
            }
        }

        /// The first line and the body of each question.
        pub(in crate::target) fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }

        fn client(&self) -> Client {
            Client::new(vec![self.base.clone()], "token").unwrap()
        }
    }

    async fn serve(
        listener: TcpListener,
        answers: Vec<(u16, Value)>,
        asked: Arc<Mutex<Vec<String>>>,
    ) {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let (head, sent) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let line = head.lines().next().unwrap_or_default();
            asked.lock().unwrap().push(format!("{line} {sent}"));
            let body = body.to_string();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_resignation_tells_whose_term_it_ended() {
        let stub = Stub::with(&[(200, json!({ "node": "n2", "term": 41, "revision": 50 }))]).await;

        let (made, ended) = resign(&stub.client()).await.unwrap();

        assert_eq!(made, Made::Yes);
        let node = "n2".to_owned();
        assert_eq!(ended, Some(Ended { node, term: 41 }));
        assert_eq!(stub.asked(), ["POST /v1/leader/resign HTTP/1.1 "]);
    }

    #[tokio::test]
    async fn a_resignation_of_which_nobody_knows_is_not_asked_for_again() {
        let lost = (504, json!({ "code": "outcome_unknown" }));
        let stub = Stub::with(&[lost, (200, json!({ "node": "n1", "term": 1 }))]).await;

        let error = resign(&stub.client()).await.unwrap_err().to_string();

        assert!(error.contains("504 outcome_unknown"), "{error}");
        assert_eq!(stub.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_drain_is_repeated_until_someone_knows() {
        let lost = (504, json!({ "code": "outcome_unknown" }));
        let stub = Stub::with(&[lost, (200, json!({ "node": "n1", "already": true }))]).await;

        let made = drain(&stub.client(), "n1", "chaos").await.unwrap();

        assert_eq!(made, Made::Yes);
        let line = r#"POST /v1/nodes/n1/drain HTTP/1.1 {"reason":"chaos"}"#;
        assert_eq!(stub.asked(), [line, line]);
    }

    #[tokio::test]
    async fn what_was_too_early_or_took_too_long_is_asked_again() {
        let done = json!({ "node": "n2", "term": 41, "revision": 50 });
        let stub = Stub::with(&[(425, json!({})), (408, json!({})), (200, done)]).await;

        let (made, _) = resign(&stub.client()).await.unwrap();

        assert_eq!(made, Made::Yes);
        assert_eq!(stub.asked().len(), 3);
    }

    #[tokio::test]
    async fn what_is_refused_for_good_cannot_be_done_and_is_not_repeated() {
        let stub = Stub::with(&[(404, json!({ "code": "no_such_node" }))]).await;

        let made = undrain(&stub.client(), "n9").await.unwrap();

        assert_eq!(made, Made::NotNow("404 no_such_node".to_owned()));
    }

    #[tokio::test]
    async fn what_no_node_answers_is_asked_so_often_and_no_more() {
        let none = (503, json!({ "code": "no_leader" }));
        let stub = Stub::with(&vec![none; 20]).await;

        let (made, ended) = resign(&stub.client()).await.unwrap();

        assert_eq!(
            (made, ended),
            (Made::NotNow("503 no_leader".to_owned()), None)
        );
        assert_eq!(stub.asked().len(), 10);
    }

    #[tokio::test]
    async fn nodes_are_told_with_whether_they_are_drained() {
        let items = json!([
            { "id": "n1", "address": "http://n1:8700", "drain": { "since": "…", "reason": "" } },
            { "id": "n2", "address": "http://n2:8700" },
        ]);
        let stub = Stub::with(&[(200, json!({ "items": items, "revision": 7 }))]).await;

        let nodes = nodes(&stub.client()).await.unwrap();

        assert!(nodes["n1"].drained && !nodes["n2"].drained);
        assert_eq!(nodes["n2"].address, "http://n2:8700");
    }
}
