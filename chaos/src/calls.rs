//! Calls as a client makes them: each is written down when it is made and when it ended, as far as the client knows.

use crate::chronicle::Chronicle;
use crate::http::{Client, Heard};
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;
use tenure_chaos::history::{Answer, Call, Entry, Op};

/// One client: it has one call open at a time.
pub(crate) struct Caller {
    name: String,
    calls: u64,
    client: Arc<Client>,
    chronicle: Chronicle,
}

impl Caller {
    pub(crate) fn new(name: String, client: &Arc<Client>, chronicle: &Chronicle) -> Self {
        Self {
            name,
            calls: 0,
            client: Arc::clone(client),
            chronicle: chronicle.clone(),
        }
    }

    /// Its name, which no other has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its next call goes to its own node, whichever answered last.
    pub(crate) fn comes_home(&self) {
        self.client.comes_home();
    }

    /// Asks a node once, and writes nothing down.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Heard {
        self.client.once(method, path, body).await
    }

    /// A call is made.
    pub(crate) fn invoke(&mut self, op: Op) -> Call {
        self.calls += 1;
        let call = Call {
            client: self.name.clone(),
            number: self.calls,
        };
        let begun = call.clone();
        self.chronicle.saw(Entry::Invoke { call: begun, op });
        call
    }

    /// It was done.
    pub(crate) fn done(&self, call: Call, answer: Answer) {
        self.chronicle.saw(Entry::Ok { call, answer });
    }

    /// It was certainly not done.
    pub(crate) fn failed(&self, call: Call, why: String) {
        self.chronicle.saw(Entry::Fail { call, why });
    }

    /// Nobody knows.
    pub(crate) fn unknown(&self, call: Call, why: String) {
        self.chronicle.saw(Entry::Info { call, why });
    }
}

/// What a submit was answered, of several tasks or of one.
pub(crate) fn accepted(answer: &Value) -> Answer {
    let ids = answer["ids"].as_array().into_iter().flatten();
    Answer {
        revision: answer["revision"].as_i64(),
        tasks: ids
            .chain(answer.get("id"))
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect(),
        ..Answer::default()
    }
}
