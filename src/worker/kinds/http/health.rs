//! What the end of an exchange says of the host that a task names: whether it did its part. Judges no task.

use std::error::Error;
use std::fmt;

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::address::Refused;
use super::asked::Expected;
use crate::worker::kinds::handler::with_causes;
use crate::worker::kinds::run::{Ended, Health};

/// 255 characters of a host name: DNS has no longer ones.
const HOST_CHARS_MAX: usize = 255;

#[derive(Deserialize)]
struct Payload {
    url: String,
}

/// The host of a payload, with its port; none where it names none that could answer.
pub(crate) fn host(payload: &RawValue) -> Option<String> {
    let payload: Payload = serde_json::from_str(payload.get()).ok()?;
    host_of(&Url::parse(&payload.url).ok()?)
}

/// The host of a URL, with its port.
pub(super) fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| host.len() <= HOST_CHARS_MAX)?;
    Some(format!("{host}:{}", url.port_or_known_default()?))
}

/// Of an answer: 5xx and 429 are failures of the host, unless they are what the task expects; one from elsewhere says that the host
/// that sent us there is well.
pub(super) fn of_status(status: StatusCode, expected: &Expected, there: bool) -> Health {
    let fails = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    if there && fails && !expected.contains(status) {
        Health::Ill
    } else {
        Health::Well
    }
}

/// Why there is no answer to judge, and what that says of the host.
#[derive(Debug)]
pub(super) struct NoAnswer {
    why: String,
    health: Health,
}

impl NoAnswer {
    /// It was not asked.
    pub(super) fn not_sent(why: impl fmt::Display) -> Self {
        let (why, health) = (why.to_string(), Health::Unknown);
        Self { why, health }
    }

    /// It answered, and that is no good to the task.
    pub(super) fn said(why: impl fmt::Display) -> Self {
        let (why, health) = (why.to_string(), Health::Well);
        Self { why, health }
    }

    /// It began to answer.
    pub(super) fn broken_off(why: impl fmt::Display) -> Self {
        let (why, health) = (why.to_string(), Health::Ill);
        Self { why, health }
    }

    /// It could not be reached, or did not answer. The URL may hold a secret, and the submitter knows it anyway.
    pub(super) fn unsent(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let ours = error.is_builder() || is_refused(&error);
        Self {
            why: with_causes(&error),
            health: if ours { Health::Unknown } else { Health::Ill },
        }
    }

    /// The same of another host than the task names: the one that sent us there is well.
    pub(super) fn of_another(self) -> Self {
        let health = Health::Well;
        Self { health, ..self }
    }
}

/// Whether this node may not connect to where the name leads.
fn is_refused(error: &dyn Error) -> bool {
    let mut cause = error.source();
    while let Some(next) = cause {
        if next.is::<Refused>() {
            return true;
        }
        cause = next.source();
    }
    false
}

impl From<NoAnswer> for Ended {
    fn from(no: NoAnswer) -> Self {
        Self::failed(no.why).with_health(no.health)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::worker::kinds::tests::raw;

    #[test]
    fn a_host_is_told_with_its_port() {
        let of = |url: &str| host(&raw(&json!({"url": url, "method": "POST"})));
        let long = format!("http://{}/", "a".repeat(300));
        for (url, host) in [
            ("https://Example.org/x?y", Some("example.org:443")),
            ("http://example.org", Some("example.org:80")),
            ("http://127.0.0.1:8080/", Some("127.0.0.1:8080")),
            ("http://[::1]:8080/", Some("[::1]:8080")),
            ("mailto:a@example.org", None),
            ("nonsense", None),
            (&long, None),
        ] {
            assert_eq!(of(url).as_deref(), host, "{url}");
        }
        assert_eq!(host(&raw(&json!({}))), None);
    }
}
