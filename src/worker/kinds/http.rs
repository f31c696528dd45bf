//! The kind `http`: sends one request and judges the answer by its status. Never connects to an
//! address that this node may not reach, whatever a name resolves to and wherever a redirect
//! points.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{HeaderName, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::value::RawValue;
use tokio::time::timeout;

mod address;
mod asked;
mod client;
mod health;

#[cfg(test)]
mod tests;

pub use address::{Cidr, CidrError, Reach};

use asked::{Asked, Expected};
use client::LazyClient;
use health::NoAnswer;
pub(crate) use health::host;

use super::handler::with_causes;
use super::payload::PayloadError;
use super::run::{Ended, Run, Stop};
use super::tail::Tail;
use crate::task::Output;

pub(crate) const NAME: &str = "http";

/// 5 redirects: a chain that is longer is a loop or a maze.
const REDIRECTS_MAX: u32 = 5;

/// 60 seconds, where neither the payload nor the task says.
const TIMEOUT: Duration = Duration::from_mins(1);

/// 1 MiB: what is read of an answer, in bytes. Only its tail is kept.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// 4 KiB: what is kept of an answer, in bytes, the same as of a command's output.
const TAIL_BYTES: usize = 4 * 1024;

/// How a node sends requests.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Which addresses may be connected to.
    pub reach: Reach,
    /// For a whole exchange, redirects and body included, where neither payload nor task says.
    pub timeout: Duration,
    /// What is read of an answer, in bytes; the connection is closed on the rest.
    pub body_bytes_max: usize,
    /// What is kept of an answer, in bytes.
    pub tail_bytes: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            reach: Reach::Public,
            timeout: TIMEOUT,
            body_bytes_max: BODY_BYTES_MAX,
            tail_bytes: TAIL_BYTES,
        }
    }
}

pub(crate) struct Http {
    client: LazyClient,
    options: HttpOptions,
}

pub(crate) fn check(payload: &RawValue) -> Result<(), PayloadError> {
    Asked::read(payload).map(drop)
}

impl Http {
    pub(crate) fn new(options: HttpOptions) -> Self {
        Self {
            client: LazyClient::new(options.reach.clone()),
            options,
        }
    }

    pub(crate) async fn run(&self, run: &Run) -> Ended {
        let asked = match Asked::read(&run.payload) {
            Ok(asked) => asked,
            Err(error) => return NoAnswer::not_sent(error).into(),
        };
        let client = match self.client.get() {
            Ok(client) => client,
            Err(error) => return NoAnswer::not_sent(error).into(),
        };
        let limit = asked
            .timeout
            .or(run.timeout)
            .unwrap_or(self.options.timeout);
        let expected = asked.expected.clone();
        let exchange = timeout(limit, self.exchange(client, asked, run));
        tokio::select! {
            biased;
            answer = exchange => match answer {
                Ok(Ok(answer)) => answer.judged(&expected),
                Ok(Err(error)) => error.into(),
                Err(_) => Ended::stopped(Stop::TimedOut(limit)),
            },
            stop = run.stopped() => Ended::stopped(stop),
        }
    }

    async fn exchange(
        &self,
        client: &Client,
        mut asked: Asked,
        run: &Run,
    ) -> Result<Answer, NoAnswer> {
        let first = health::host_of(&asked.url);
        for _ in 0..=REDIRECTS_MAX {
            let there = health::host_of(&asked.url) == first;
            let elsewhere = |error: NoAnswer| if there { error } else { error.of_another() };
            let response = self.send(client, &asked, run).await.map_err(elsewhere)?;
            let Some(url) = redirect(&response, &asked).map_err(NoAnswer::said)? else {
                let (status, output) = self.read(response).await.map_err(elsewhere)?;
                return Ok(Answer {
                    status,
                    output,
                    there,
                });
            };
            asked = follow(asked, url, response.status()).map_err(NoAnswer::said)?;
        }
        let endless = format!("more than {REDIRECTS_MAX} redirects");
        Err(NoAnswer::said(endless))
    }

    /// Names are vetted when they are resolved; an address written out is never resolved, so it is
    /// vetted here.
    async fn send(&self, client: &Client, asked: &Asked, run: &Run) -> Result<Response, NoAnswer> {
        let host = asked.url.host_str();
        let host = host.ok_or_else(|| NoAnswer::not_sent("the URL names no host"))?;
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            self.options
                .reach
                .vet(address)
                .map_err(NoAnswer::not_sent)?;
        }
        let mut request = client
            .request(asked.method.clone(), asked.url.clone())
            .headers(asked.headers.clone())
            .header("idempotency-key", run.task_id.to_string())
            .header("tenure-task-id", run.task_id.to_string())
            .header("tenure-attempt", run.attempt)
            .header("tenure-fence", run.fence);
        if let Some(fired) = &run.fired {
            request = request
                .header("tenure-schedule", fired.schedule.as_str())
                .header("tenure-due-at", fired.due_at());
        }
        if let Some(body) = &asked.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(NoAnswer::unsent)
    }

    async fn read(&self, mut response: Response) -> Result<(StatusCode, Output), NoAnswer> {
        let status = response.status();
        let mut tail = Tail::new(self.options.tail_bytes);
        let mut left = self.options.body_bytes_max;
        let mut unread = false;
        while let Some(piece) = response.chunk().await.map_err(|error| {
            let why = with_causes(&error.without_url());
            NoAnswer::broken_off(format_args!("status {status}, then: {why}"))
        })? {
            let length = piece.len().min(left);
            tail.push(&piece[..length]);
            left -= length;
            if length < piece.len() {
                unread = true;
                break;
            }
        }
        let (stdout, cut) = tail.finish();
        let truncated = cut || unread;
        let code = Some(i32::from(status.as_u16()));
        Ok((
            status,
            Output {
                stdout,
                truncated,
                code,
                ..Output::default()
            },
        ))
    }
}

/// An answer, whole as far as it is read.
struct Answer {
    status: StatusCode,
    output: Output,
    /// Whether it came from the host that the task names, and not from where that one sent us.
    there: bool,
}

impl Answer {
    fn judged(self, expected: &Expected) -> Ended {
        judge(self.status, expected)
            .with_health(health::of_status(self.status, expected, self.there))
            .with_output(self.output)
    }
}

fn judge(status: StatusCode, expected: &Expected) -> Ended {
    if expected.contains(status) {
        return Ended::succeeded();
    }
    let mut error = format!("status {}", status.as_u16());
    if let Some(reason) = status.canonical_reason() {
        let _infallible = write!(error, " {reason}");
    }
    Ended::failed(format_args!("{error}, expected {expected}"))
}

/// Where an answer sends the request, unless a redirect is just what was expected.
fn redirect(response: &Response, asked: &Asked) -> Result<Option<Url>, String> {
    let status = response.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) || asked.expected.contains(status) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let location = location
        .to_str()
        .map_err(|_| "the redirect's location is no text")?;
    let url = asked
        .url
        .join(location)
        .map_err(|error| format!("redirect refused: {error}"))?;
    asked::vet_url(&url).map_err(|problem| format!("redirect refused: {problem}"))?;
    Ok(Some(url))
}

/// The request as it goes on: what a browser would send, except that nothing secret goes to another
/// origin.
fn follow(mut asked: Asked, url: Url, status: StatusCode) -> Result<Asked, String> {
    if asked.url.scheme() == "https" && url.scheme() == "http" {
        return Err("redirect from https to http refused".to_owned());
    }
    let drops_body = match status.as_u16() {
        303 => asked.method != Method::HEAD,
        301 | 302 => asked.method == Method::POST,
        _ => false,
    };
    if drops_body {
        asked.method = Method::GET;
        asked.body = None;
        for name in ["content-type", "content-encoding", "content-language"] {
            asked.headers.remove(name);
        }
    }
    if asked.url.origin() != url.origin() {
        // Any header may be a key: only those that never are stay.
        let kept = ["accept", "accept-language", "content-type", "user-agent"];
        let known = |name: &HeaderName| kept.contains(&name.as_str());
        let secret: Vec<_> = asked
            .headers
            .keys()
            .filter(|name| !known(name))
            .cloned()
            .collect();
        for name in secret {
            asked.headers.remove(name);
        }
    }
    asked.url = url;
    Ok(asked)
}
