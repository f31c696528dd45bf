//! What is asked of tasks and of the cluster, each until it is answered, a few times at most.

use crate::calls::Caller;
use crate::http::{Heard, Refusal};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tenure_chaos::history::{Answer, Op};
use tokio::time::sleep;

/// A call is made 3 times where it is not answered; whoever goes on without its answer asks another time.
const TRIES_MAX: usize = 3;
/// 100 ms before a call is made again.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

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
                Heard::Refused(refused) => {
                    let refusal = refused.refusal();
                    self.failed(call, refused.why);
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
