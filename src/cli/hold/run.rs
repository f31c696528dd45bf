//! `tenure lock run` and `tenure semaphore run`: waits for its turn, then runs a command while it holds.

use std::ffi::OsString;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::super::client::{Client, Sent, query};
use super::super::patience::Patience;
use super::super::{Exit, Failure, Global, duration};
use super::keep::{Kept, Told};
use super::what::{Sort, What};
use crate::api::wire::holds::{Hold, HoldState, TTL_MS_MAX, TTL_MS_MIN};

/// 25 s: how long one request waits; the server's own bound is 30.
const WAIT_EACH: Duration = Duration::from_secs(25);
/// 5 s as long as nothing was said of why it waits: that may have been too new to be told.
const WAIT_UNTOLD: Duration = Duration::from_secs(5);
/// 1 s is waited at least: the leader has to look.
const WAIT_LEAST: Duration = Duration::from_secs(1);
/// 10 s beside that for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// 500 ms between two requests at least, where the first was answered at once.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What every run takes.
#[derive(Debug, clap::Args)]
#[group(id = "held")]
pub(in crate::cli) struct Run {
    /// Its name
    name: String,
    /// How long to wait for its turn, a second at least; forever if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    wait: Option<Duration>,
    /// How long the server believes in it without a word, 2s to 5m; it is renewed every third of that
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "15s")]
    ttl: Duration,
    /// Who it is, as others see it [default: host and number of this process]
    #[arg(long)]
    holder: Option<String>,
    /// The command and its arguments; it gets `TENURE_FENCE`, and nothing from a terminal
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What permits take beside that.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Permits {
    pub(in crate::cli) weight: Option<i64>,
    pub(in crate::cli) limit: Option<i64>,
}

/// Waits, runs, gives back.
pub(in crate::cli) async fn run(
    global: &Global,
    sort: Sort,
    asked: Run,
    permits: Permits,
) -> Result<Exit, Failure> {
    let ttl_ms = i64::try_from(asked.ttl.as_millis()).unwrap_or(i64::MAX);
    if !(TTL_MS_MIN..=TTL_MS_MAX).contains(&ttl_ms) {
        return Err(Failure::usage("--ttl is not in 2s to 5m"));
    }
    let what = What::new(sort, asked.name.clone())?;
    let client = Client::new(global)?;
    let mut told = Told::listen()?;
    let line = Line {
        client: &client,
        what: &what,
        holder: asked.holder.clone().unwrap_or_else(myself),
        ttl_ms,
        permits,
    };
    let mut id = Uuid::now_v7();
    let got = tokio::select! {
        got = line.until_held(asked.wait, &mut id) => got,
        signal = told.next() => Err(interrupted(signal)),
    };
    let hold = match got {
        Ok(hold) => hold,
        Err(failure) => {
            line.give_up(id).await;
            return Err(failure);
        }
    };
    let (client, what) = (&client, &what);
    Kept { client, what, hold }
        .run(&asked.command, &mut told)
        .await
}

/// A place in the line.
struct Line<'a> {
    client: &'a Client,
    what: &'a What,
    holder: String,
    ttl_ms: i64,
    permits: Permits,
}

impl Line<'_> {
    /// Waits for its turn, over lost connections and full lines, and under a new id where the old one was forgotten.
    async fn until_held(&self, wait: Option<Duration>, id: &mut Uuid) -> Result<Hold, Failure> {
        let deadline = wait.map(|wait| Instant::now() + wait.max(WAIT_LEAST));
        let (mut known, mut told, mut patience) = (false, None, Patience::default());
        let mut each_max = WAIT_EACH;
        loop {
            let asked_at = Instant::now();
            let left = deadline.map(|at| at.saturating_duration_since(asked_at));
            let over = left.is_some_and(|left| left.is_zero());
            let each = left.unwrap_or(each_max).min(each_max);
            let answer = if known {
                self.look(*id, each).await
            } else {
                self.ask(*id, each).await
            };
            match answer {
                Ok(hold) if hold.state == HoldState::Held => return Ok(hold),
                Ok(hold) => {
                    known = true;
                    patience.answered();
                    each_max = if hold.waiting_for.is_some() {
                        WAIT_EACH
                    } else {
                        WAIT_UNTOLD
                    };
                    self.say(waits(&hold), &mut told);
                }
                Err(failure) if failure.busy => {
                    patience.answered();
                    self.say(": no more can wait, asking again".to_owned(), &mut told);
                }
                Err(failure) if known && failure.exit == Exit::NotFound => {
                    eprintln!("the place in the line was lost; asking again");
                    (*id, known) = (Uuid::now_v7(), false);
                    continue;
                }
                Err(failure) if over => return Err(failure),
                Err(failure) => patience.bear(failure)?,
            }
            if over {
                let message = format!("{} was not to be had in time", self.what);
                return Err(Failure::new(Exit::TimedOut, message));
            }
            // An answer that came at once: the server lets no more wait, or cannot be reached.
            if asked_at.elapsed() < ASK_AGAIN_AFTER {
                sleep(ASK_AGAIN_AFTER).await;
            }
        }
    }

    /// Says what it waits for, where that is news.
    fn say(&self, why: String, told: &mut Option<String>) {
        if told.as_ref() != Some(&why) {
            eprintln!("waiting for {}{why}", self.what);
            *told = Some(why);
        }
    }

    async fn ask(&self, id: Uuid, wait: Duration) -> Result<Hold, Failure> {
        let mut asked = json!({
            "id": id, "holder": self.holder, "ttl_ms": self.ttl_ms,
            // The first answer comes at once where it has to wait, so that this can be said.
            "wait_ms": u64::try_from(wait.min(WAIT_LEAST).as_millis()).unwrap_or(0),
        });
        let Permits { weight, limit } = self.permits;
        for (field, value) in [("weight", weight), ("limit", limit)] {
            if let Some(value) = value {
                asked[field] = value.into();
            }
        }
        let sent = Sent {
            body: asked.to_string().into_bytes(),
            ..Sent::default()
        };
        let path = format!("{}/holds", self.what.path());
        let answer = self.client.post_within(&path, sent, wait + ANSWER_WITHIN);
        answer.await?.read()
    }

    async fn look(&self, id: Uuid, wait: Duration) -> Result<Hold, Failure> {
        let wait_text = format!("{}ms", wait.as_millis());
        let path = format!("{}/holds/{id}", self.what.path());
        let path = query(&path, &[("wait", Some(&wait_text))]);
        self.client.get_waiting(&path, wait).await?.read()
    }

    /// Leaves the line; gives back what was granted in that moment, which takes its fence. Otherwise its time runs out.
    async fn give_up(&self, id: Uuid) {
        let path = format!("{}/holds/{id}", self.what.path());
        let Err(failure) = self.client.delete(&path).await else {
            return;
        };
        if failure.exit != Exit::Conflict {
            return;
        }
        if let Ok(Hold {
            fence: Some(fence), ..
        }) = self.look(id, Duration::ZERO).await
        {
            let _over = self.client.delete(&format!("{path}?fence={fence}")).await;
        }
    }
}

/// How many come first, and what keeps it from them.
fn waits(hold: &Hold) -> String {
    let ahead = match hold.ahead {
        None | Some(0) => None,
        Some(1) => Some("1 comes first".to_owned()),
        Some(ahead) => Some(format!("{ahead} come first")),
    };
    let told: Vec<String> = ahead.into_iter().chain(hold.waiting_for.clone()).collect();
    if told.is_empty() {
        return String::new();
    }
    format!(": {}", told.join("; "))
}

fn interrupted(signal: Signal) -> Failure {
    let code = u8::try_from(128 + signal.as_raw()).unwrap_or(1);
    Failure::new(Exit::Command(code), "stopped while it waited")
}

fn myself() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let host: String = host.chars().take(64).collect();
    format!("{host}, process {}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_told_who_comes_first_and_what_for() {
        let hold = |ahead: u64, why: Option<&str>| -> Hold {
            let told = json!({
                "id": Uuid::nil(), "name": "deploy", "state": "waiting", "weight": 1, "holder": "me", "fence": null,
                "expires_in_ms": 1, "ahead": ahead, "waiting_for": why, "revision": 1,
            });
            serde_json::from_value(told).unwrap()
        };
        let why = Some("lock `deploy`, held by you, since fence 7");
        for (ahead, why, told) in [
            (0, None, ""),
            (1, None, ": 1 comes first"),
            (0, why, ": lock `deploy`, held by you, since fence 7"),
            (
                2,
                why,
                ": 2 come first; lock `deploy`, held by you, since fence 7",
            ),
        ] {
            assert_eq!(waits(&hold(ahead, why)), told);
        }
    }
}
