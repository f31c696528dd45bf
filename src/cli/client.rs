//! A small client of the admin API. It keeps an answer's bytes, so that JSON can be passed on
//! untouched; it never repeats a request by itself.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::{Exit, Failure, Global, Note, Output, out};
use crate::api::wire::Problem;
use crate::config::{Secret, Token};

/// Where a node listens unless told otherwise.
const SERVER_DEFAULT: &str = "http://127.0.0.1:8700";
/// How long an answer may take if nobody says otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one node's admin API.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Secret>,
    timeout: Duration,
}

/// A body that came with a status of success.
pub(super) struct Answer(Bytes);

/// What was answered, whatever the status is.
pub(super) struct Probed {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// Whether there was more than was wanted.
    pub(super) cut: bool,
}

/// What a request carries beside its path.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) body: Vec<u8>,
    pub(super) idempotency_key: Option<String>,
    /// Only what is at this version is edited.
    pub(super) if_match: Option<i64>,
}

impl Answer {
    /// The body as it came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The body as `T`.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.0).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the server's answer makes no sense: {error}"),
            )
        })
    }

    /// Prints the body as it came.
    pub(super) fn print(&self) -> Result<(), Failure> {
        out::bytes(&self.0)?;
        if self.0.ends_with(b"\n") {
            Ok(())
        } else {
            out::bytes(b"\n")
        }
    }

    /// Prints the body as it came for programs, and what `show` makes of it for people.
    pub(super) fn show<T: DeserializeOwned>(
        &self,
        output: Output,
        show: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match output {
            Output::Json => self.print(),
            Output::Table => match show(&self.read()?).as_str() {
                "" => Ok(()),
                text => out::line(text.trim_end()),
            },
        }
    }
}

impl Client {
    /// A client as the command line and the environment say.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let alone = std::env::var("TENURE_TOKEN")
            .ok()
            .filter(|token| !token.trim().is_empty());
        let token = match (&global.token_file, alone) {
            (Some(path), _) if !path.as_os_str().is_empty() => Some(strongest(path)?),
            (Some(_) | None, alone) => alone.map(|token| Secret::new(token.trim())),
        };
        // Compose files pass unset variables on as empty ones.
        let server = global.server.as_deref().map(str::trim);
        let server = server.filter(|server| !server.is_empty());
        let note = match (server, &token) {
            (None, None) => Note::find(),
            (Some(_), _) | (None, Some(_)) => None,
        };
        let (server, token) = match &note {
            Some(note) => (Some(note.server.as_str()), Some(Secret::new(&note.token))),
            None => (server, token),
        };
        let base = server.unwrap_or(SERVER_DEFAULT);
        let base = base.trim_end_matches('/').to_owned();
        let timeout = global.timeout.unwrap_or(ANSWER_TIMEOUT);
        Ok(Self {
            http: http(&base)?,
            base,
            token,
            timeout,
        })
    }

    /// The node's URL.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// GETs `path`.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, Sent::default(), self.timeout)
            .await
    }

    /// GETs `path`, whose answer the server may hold back for `wait`.
    pub(super) async fn get_waiting(&self, path: &str, wait: Duration) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, Sent::default(), wait + ANSWER_TIMEOUT)
            .await
    }

    /// POSTs to `path`.
    pub(super) async fn post(&self, path: &str, sent: Sent) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, sent, self.timeout).await
    }

    /// POSTs to `path`, and waits no longer than this for the answer.
    pub(super) async fn post_within(
        &self,
        path: &str,
        sent: Sent,
        within: Duration,
    ) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, sent, within).await
    }

    /// PUTs to `path`.
    pub(super) async fn put(&self, path: &str, sent: Sent) -> Result<Answer, Failure> {
        self.ask(Method::PUT, path, sent, self.timeout).await
    }

    /// DELETEs `path`.
    pub(super) async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.delete_at(path, None).await
    }

    /// DELETEs `path`, where a version is given only what is at it.
    pub(super) async fn delete_at(
        &self,
        path: &str,
        if_match: Option<i64>,
    ) -> Result<Answer, Failure> {
        let sent = Sent {
            if_match,
            ..Sent::default()
        };
        self.ask(Method::DELETE, path, sent, self.timeout).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        sent: Sent,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let (status, body) = self.exchange(method, path, sent, timeout).await?;
        if status.is_success() {
            return Ok(Answer(body));
        }
        Err(refused(status, &body))
    }

    /// GETs `path` whatever the status is.
    pub(super) async fn probe(&self, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        self.exchange(Method::GET, path, Sent::default(), self.timeout)
            .await
    }

    /// The same within this time, and no more of the body than this.
    pub(super) async fn probe_within(
        &self,
        path: &str,
        within: Duration,
        bytes_max: usize,
    ) -> Result<Probed, Failure> {
        let request = self.request(Method::GET, path, within.min(self.timeout));
        let mut answer = request.send().await.map_err(|error| self.lost(&error))?;
        let (status, mut body) = (answer.status(), Vec::new());
        while let Some(more) = answer.chunk().await.map_err(|error| self.lost(&error))? {
            body.extend(&more);
            if body.len() > bytes_max {
                break;
            }
        }
        let cut = body.len() > bytes_max;
        body.truncate(bytes_max);
        Ok(Probed { status, body, cut })
    }

    /// A text in which the token that this client shows is stars, should it be there.
    pub(super) fn without_token(&self, text: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(text).into_owned();
        let text = match &self.token {
            Some(token) => text.replace(token.expose(), "***"),
            None => text,
        };
        text.into_bytes()
    }

    /// The server's clock, to the second, and how long the answer took.
    pub(super) async fn clock(&self) -> Option<(jiff::Timestamp, Duration)> {
        let asked = tokio::time::Instant::now();
        let request = self
            .http
            .get(format!("{}/livez", self.base))
            .timeout(self.timeout);
        let answer = request.send().await.ok()?;
        let date = answer.headers().get("date")?.to_str().ok()?;
        let date = jiff::fmt::rfc2822::parse(date).ok()?;
        Some((date.timestamp(), asked.elapsed()))
    }

    fn request(&self, method: Method, path: &str, timeout: Duration) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request
            .timeout(timeout)
            .header("accept", "application/json");
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        sent: Sent,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let mut request = self.request(method, path, timeout);
        if let Some(key) = sent.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(version) = sent.if_match {
            request = request.header("if-match", version);
        }
        if !sent.body.is_empty() {
            request = request
                .header("content-type", "application/json")
                .body(sent.body);
        }
        let answer = request.send().await.map_err(|error| self.lost(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.lost(&error))?;
        Ok((status, body))
    }

    fn lost(&self, error: &reqwest::Error) -> Failure {
        if error.is_builder() {
            let message = format!(
                "`{}` is not a server's URL (--server, TENURE_SERVER)",
                self.base
            );
            return Failure::usage(message);
        }
        let why = if error.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            let mut cause = error.source();
            while let Some(deeper) = cause.and_then(std::error::Error::source) {
                cause = Some(deeper);
            }
            cause.map_or_else(|| error.to_string(), ToString::to_string)
        };
        let hint = "--server or TENURE_SERVER names another node";
        Failure::new(
            Exit::Unreachable,
            format!("cannot reach {}: {why}\n  {hint}", self.base),
        )
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => Failure::of_problem(status, &problem),
        Err(_) => Failure::of_status(status, format!("the server answers {status}")),
    }
}

fn http(base: &str) -> Result<reqwest::Client, Failure> {
    // Fails only where a provider is already installed, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
    if base.starts_with("http://") {
        // No certificate will be looked at, so a machine without any authorities will do.
        builder = builder.tls_certs_only([]);
    }
    builder
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("no HTTP client: {error}")))
}

fn strongest(path: &Path) -> Result<Secret, Failure> {
    let tokens = Token::read(path).map_err(|error| Failure::usage(error.to_string()))?;
    let strongest = tokens.into_iter().max_by_key(|token| token.role);
    let none = || Failure::usage(format!("{} holds no token", path.display()));
    strongest.map(|token| token.secret).ok_or_else(none)
}

/// `path?a=b&c=d` of what is there.
pub(super) fn query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut url = path.to_owned();
    for (key, value) in pairs {
        let Some(value) = value else { continue };
        let mark = if url.contains('?') { '&' } else { '?' };
        let _ = write!(url, "{mark}{key}={}", escaped(value));
    }
    url
}

/// `text` as it may stand in a URL.
pub(super) fn escaped(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}
