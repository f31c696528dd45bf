//! `tenure lock run` and `tenure semaphore run`: waits for its turn, then runs a command while it holds.

use std::ffi::OsString;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::super::client::{Client, Sent, query};
use super::super::{Exit, Failure, Global, duration};
use super::keep::{Kept, Told};
use super::what::{Sort, What};
use crate::api::wire::holds::{Hold, HoldState, TTL_MS_MAX, TTL_MS_MIN};

/// 25 s: how long one request waits; the server's own bound is 30.
const WAIT_EACH: Duration = Duration::from_secs(25);
/// 1 s is waited at least: the leader has to look.
const WAIT_LEAST: Duration = Duration::from_secs(1);
/// 10 s beside that for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// 30 s: how long the server may be out of reach before waiting is given up.
const UNREACHABLE_MAX: Duration = Duration::from_secs(30);
/// 500 ms before asking again after that.
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
    /// Waits for its turn, over lost connections and under a new id where the old one was forgotten.
    async fn until_held(&self, wait: Option<Duration>, id: &mut Uuid) -> Result<Hold, Failure> {
        let deadline = wait.map(|wait| Instant::now() + wait.max(WAIT_LEAST));
        let (mut known, mut ahead, mut lost_since) = (false, None, None);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let each = left.unwrap_or(WAIT_EACH).min(WAIT_EACH);
            let answer = if known {
                self.look(*id, each).await
            } else {
                self.ask(*id, each).await
            };
            match answer {
                Ok(hold) if hold.state == HoldState::Held => return Ok(hold),
                Ok(hold) => {
                    (known, lost_since) = (true, None);
                    if left.is_some_and(|left| left.is_zero()) {
                        let message = format!("{} was not to be had in time", self.what);
                        return Err(Failure::new(Exit::TimedOut, message));
                    }
                    if ahead != hold.ahead {
                        ahead = hold.ahead;
                        self.say(ahead);
                    }
                }
                Err(failure) if failure.exit == Exit::Unreachable => {
                    let since = *lost_since.get_or_insert_with(Instant::now);
                    let over = left.is_some_and(|left| left.is_zero());
                    if over || since.elapsed() > UNREACHABLE_MAX {
                        return Err(failure);
                    }
                    sleep(ASK_AGAIN_AFTER).await;
                }
                Err(failure) if known && failure.exit == Exit::NotFound => {
                    eprintln!("the place in the line was lost; asking again");
                    (*id, known) = (Uuid::now_v7(), false);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn say(&self, ahead: Option<u64>) {
        match ahead {
            None | Some(0) => eprintln!("waiting for {}", self.what),
            Some(ahead) => eprintln!("waiting for {}: {ahead} come first", self.what),
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
