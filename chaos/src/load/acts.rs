//! What is asked of tasks and of the cluster, each until it is answered, a few times at most; and what a refusal means.

use crate::calls::Caller;
use crate::http::Heard;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tenure_chaos::history::{Answer, Op};
use tokio::time::sleep;

/// A call is made 3 times where it is not answered; whoever goes on without its answer asks another time.
const TRIES_MAX: usize = 3;
/// 100 ms before a call is made again.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// What a refusal says of the same request, made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may be done another time.
    Again,
    /// It is refused for how things stand, and the next request may be done.
    Passed,
    /// It is refused for what it says, and always will be.
    Ever,
}

/// What it says; `why` is as [`Heard::Refused`] has it.
pub(super) fn refusal(why: &str) -> Refusal {
    let mut words = why.split([' ', ':']);
    let status = words.next().and_then(|word| word.parse::<u16>().ok());
    match (status, words.next()) {
        // Nobody was reached, or who was reached cannot do it now.
        (None | Some(408 | 425 | 429 | 500..), _) => Refusal::Again,
        // A key that its own request is refused for is no matter of what was asked: checks are to find it.
        (Some(422), Some("idempotency_key_reused")) | (Some(404 | 409 | 410 | 412), _) => {
            Refusal::Passed
        }
        (Some(_), _) => Refusal::Ever,
    }
}

/// One who acts on tasks.
impl Caller {
    /// Asks, on record, until there is an answer or the refusal is one that stays; what was answered.
    pub(super) async fn acts(
        &mut self,
        method: Method,
        path: &str,
        op: Op,
        read: impl Fn(&Value) -> Answer,
    ) -> Option<Answer> {
        self.comes_home();
        for tries in 1..=TRIES_MAX {
            let call = self.invoke(op.clone());
            match self.ask(method.clone(), path, None).await {
                Heard::Done(said) => {
                    let answer = read(&said);
                    self.done(call, answer.clone());
                    return Some(answer);
                }
                Heard::Refused(why) => {
                    let refusal = refusal(&why);
                    self.failed(call, why);
                    if refusal != Refusal::Again {
                        return None;
                    }
                }
                Heard::Nothing(why) => self.unknown(call, why),
            }
            if tries < TRIES_MAX {
                sleep(AGAIN).await;
            }
        }
        None
    }

    /// Asks for the end of a task.
    pub(super) async fn cancels(&mut self, task: &str) -> Option<Answer> {
        let (path, task) = (format!("/v1/tasks/{task}/cancel"), task.to_owned());
        self.acts(Method::POST, &path, Op::Cancel { task }, revision)
            .await
    }

    /// Asks for another try of a dead task.
    pub(super) async fn revives(&mut self, task: &str) -> Option<Answer> {
        let (path, task) = (format!("/v1/tasks/{task}/retry"), task.to_owned());
        self.acts(Method::POST, &path, Op::Retry { task }, revision)
            .await
    }

    /// Asks how a task stands.
    pub(super) async fn reads(&mut self, task: &str) -> Option<Answer> {
        let (path, task) = (format!("/v1/tasks/{task}"), task.to_owned());
        let read = |said: &Value| Answer {
            state: said["state"].as_str().map(str::to_owned),
            ..revision(said)
        };
        self.acts(Method::GET, &path, Op::Get { task }, read).await
    }
}

/// An answer of which only its revision counts.
pub(super) fn revision(said: &Value) -> Answer {
    Answer {
        revision: said["revision"].as_i64(),
        ..Answer::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_request_itself_says_is_refused_for_ever() {
        let cases = [
            ("error sending request for url", Refusal::Again),
            ("429 busy", Refusal::Again),
            ("503 no_leader", Refusal::Again),
            ("409 wrong_state", Refusal::Passed),
            ("404 no_such_task", Refusal::Passed),
            ("422 idempotency_key_reused: other", Refusal::Passed),
            ("422 invalid_request: /priority", Refusal::Ever),
            ("400 malformed", Refusal::Ever),
            ("403 forbidden", Refusal::Ever),
        ];
        for (why, expected) in cases {
            assert_eq!(refusal(why), expected, "{why}");
        }
    }
}
