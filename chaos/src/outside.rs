//! One outside who acquires permits and locks, and gives them back. It believes an answer only where there is one; what it asks for and
//! gives back is on record.

use crate::calls::Caller;
use crate::http::{Heard, Refusal, Refused};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tenure_chaos::history::{Answer, Op};
use tokio::time::sleep;

/// 1.5 s that one request waits for its turn: less than what a call may take.
const WAIT_MS: u64 = 1_500;
/// A request is looked at 10 times: longer than nobody leads.
const LOOKS_MAX: usize = 10;
/// A release is sent up to 20 times.
const RELEASES_MAX: usize = 20;
/// 100 ms before a call is made again.
const AGAIN: Duration = Duration::from_millis(100);

/// What somebody outside asks for.
#[derive(Clone)]
pub(crate) struct Wanted {
    /// Its own id for it; none where the cluster is to give it one.
    id: Option<String>,
    /// As a history names it.
    gate: String,
    /// Where it is asked for.
    path: String,
    /// Permits of a semaphore; none of a lock.
    weight: Option<u64>,
    /// How long it lives without a renewal.
    ttl_ms: u64,
}

impl Wanted {
    /// A lock.
    pub(crate) fn lock(name: &str, ttl_ms: u64) -> Self {
        Self {
            id: None,
            gate: format!("l.{name}"),
            path: format!("/v1/locks/{name}/holds"),
            weight: None,
            ttl_ms,
        }
    }

    /// So many permits of a semaphore.
    pub(crate) fn permits(name: &str, weight: u64, ttl_ms: u64) -> Self {
        Self {
            id: None,
            gate: format!("s.{name}"),
            path: format!("/v1/semaphores/{name}/holds"),
            weight: Some(weight),
            ttl_ms,
        }
    }

    /// The same under an id of its own, a UUID, under which it may be asked for again.
    pub(crate) fn under(self, id: String) -> Self {
        let id = Some(id);
        Self { id, ..self }
    }
}

/// What somebody outside has.
#[derive(Clone)]
pub(crate) struct Held {
    path: String,
    gate: String,
    id: String,
    fence: i64,
}

/// One outside.
pub(crate) struct Outside(Caller);

impl Outside {
    pub(crate) fn new(caller: Caller) -> Self {
        Self(caller)
    }

    /// Its next call goes to its own node, whichever answered last.
    pub(crate) fn comes_home(&self) {
        self.0.comes_home();
    }

    /// Asks, and waits for its turn; none where it is not to be had now, or nobody says whether it is.
    ///
    /// # Errors
    /// It is refused for what it says.
    pub(crate) async fn acquires(&mut self, wanted: Wanted) -> Result<Option<Held>, Refused> {
        let Wanted {
            id: own,
            gate,
            path,
            weight,
            ttl_ms,
        } = wanted;
        let caller = &mut self.0;
        let call = caller.invoke(Op::Acquire {
            gate: gate.clone(),
            weight: weight.unwrap_or(1),
            ttl_ms: Some(ttl_ms),
        });
        let mut body = json!({ "holder": caller.name(), "ttl_ms": ttl_ms, "wait_ms": WAIT_MS });
        if let Some(weight) = weight {
            body["weight"] = json!(weight);
        }
        if let Some(own) = own {
            body["id"] = json!(own);
        }
        let mut heard = caller.ask(Method::POST, &path, Some(&body)).await;
        let mut id = String::new();
        for _ in 0..LOOKS_MAX {
            match heard {
                Heard::Done(said) => {
                    said["id"].as_str().unwrap_or_default().clone_into(&mut id);
                    if let Some(fence) = said["fence"].as_i64() {
                        caller.done(call, at(Some(fence)));
                        return Ok(Some(Held {
                            path,
                            gate,
                            id,
                            fence,
                        }));
                    }
                }
                Heard::Refused(refused) if id.is_empty() => {
                    caller.failed(call, refused.why.clone());
                    return match refused.refusal() {
                        Refusal::Ever => Err(refused),
                        Refusal::Again | Refusal::Passed => Ok(None),
                    };
                }
                Heard::Refused(_) | Heard::Nothing(_) if !id.is_empty() => sleep(AGAIN).await,
                Heard::Refused(_) | Heard::Nothing(_) => break,
            }
            let look = format!("{path}/{id}?wait={WAIT_MS}ms");
            heard = caller.ask(Method::GET, &look, None).await;
        }
        caller.unknown(call, "given up".to_owned());
        if !id.is_empty() {
            let give_up = format!("{path}/{id}");
            let _gone_with_its_lease = caller.ask(Method::DELETE, &give_up, None).await;
        }
        Ok(None)
    }

    /// Asks once that it lives on. What is not done is found at the release.
    pub(crate) async fn renews(&self, held: &Held) {
        let renew = format!("{}/{}/renew", held.path, held.id);
        let _found_at_the_release = self.0.ask(Method::POST, &renew, None).await;
    }

    /// Gives it back.
    pub(crate) async fn releases(&mut self, held: Held) {
        let caller = &mut self.0;
        let Held {
            path,
            gate,
            id,
            fence,
        } = held;
        let call = caller.invoke(Op::Release { gate, token: fence });
        let path = format!("{path}/{id}?fence={fence}");
        let mut may_be_done = false;
        for _ in 0..RELEASES_MAX {
            match caller.ask(Method::DELETE, &path, None).await {
                Heard::Done(said) => return caller.done(call, at(said["revision"].as_i64())),
                Heard::Nothing(_) => may_be_done = true,
                Heard::Refused(refused) if refused.refusal() == Refusal::Again => {}
                // It is over: by an answer that was lost,
                Heard::Refused(refused) if may_be_done => {
                    return caller.unknown(call, refused.why);
                }
                // or for its time ran out, or somebody took it.
                Heard::Refused(refused) => return caller.failed(call, refused.why),
            }
            sleep(AGAIN).await;
        }
        caller.unknown(call, "no answer".to_owned());
    }
}

fn at(revision: Option<i64>) -> Answer {
    Answer {
        revision,
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chronicle::{Chronicle, Terms};
    use crate::http::Client;
    use crate::load::fake::{Asked, Fake, Told, good};
    use std::sync::Arc;
    use tenure_chaos::check::Limits;
    use tenure_chaos::history::Entry;

    /// Acquires a lock and gives it back, which is answered so; how that ended.
    async fn released(told: &'static [Option<u16>]) -> Entry {
        let fake = Fake::start(|asked: &Asked, before| {
            if asked.method != "DELETE" {
                return good(asked);
            }
            let status = told[before.min(told.len() - 1)];
            status.map_or(Told::Lost, |status| Told::Says(status, json!({})))
        })
        .await;
        let client = Arc::new(Client::new(vec![fake.base.clone()], "token").unwrap());
        let chronicle = Chronicle::begin(Terms {
            seed: 1,
            root: "/x/".to_owned(),
            limits: Limits::default(),
            expects: Vec::new(),
        });
        let mut outside = Outside::new(Caller::new("o".to_owned(), &client, &chronicle));

        let held = outside.acquires(Wanted::lock("l", 1_000)).await;
        outside.releases(held.unwrap().unwrap()).await;

        assert_eq!(fake.asked("DELETE", "/").len(), told.len());
        let history = chronicle.close();
        history.records().last().unwrap().entry.clone()
    }

    #[tokio::test]
    async fn a_release_after_a_lost_answer_may_have_been_done() {
        assert!(matches!(
            released(&[None, Some(404)]).await,
            Entry::Info { .. }
        ));
    }

    #[tokio::test]
    async fn a_release_that_was_refused_and_never_lost_was_not_done() {
        assert!(matches!(released(&[Some(404)]).await, Entry::Fail { .. }));
    }

    #[tokio::test]
    async fn a_release_for_which_there_is_no_room_now_is_asked_for_again() {
        let ended = released(&[Some(429), Some(503), Some(200)]).await;

        assert!(matches!(ended, Entry::Ok { .. }));
    }
}
