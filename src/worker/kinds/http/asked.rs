//! What a payload of `http` asks for. Knows what a request may look like, not where this node may
//! send one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::worker::kinds::payload::{PayloadError, parse};

/// The methods that ask something of a resource. CONNECT and TRACE ask something of what lies in
/// between.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// 8 KiB: the longest URL, in bytes. Many servers take no longer request line.
const URL_BYTES_MAX: usize = 8 * 1024;

/// 64 headers, below what servers take (many stop at 100).
const HEADERS_MAX: usize = 64;

/// 64 status codes may be expected.
const EXPECTED_MAX: usize = 64;

/// 24 hours in milliseconds.
const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Headers that belong to the connection or to the identity of the run.
const RESERVED: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "idempotency-key",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    /// GET unless given.
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    /// The status codes that mean success; 200 to 299 unless given.
    expect_status: Option<Vec<u16>>,
    /// For the whole exchange, in milliseconds.
    timeout_ms: Option<u64>,
}

/// One request, and what to make of its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    pub(super) expected: Expected,
    pub(super) timeout: Option<Duration>,
}

/// The status codes that mean success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Success,
    These(Vec<u16>),
}

impl Expected {
    pub(super) fn contains(&self, status: StatusCode) -> bool {
        match self {
            Self::Success => status.is_success(),
            Self::These(codes) => codes.contains(&status.as_u16()),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("200 to 299"),
            Self::These(codes) => {
                let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
                f.write_str(&codes.join(", "))
            }
        }
    }
}

impl Asked {
    pub(super) fn read(payload: &RawValue) -> Result<Self, PayloadError> {
        let Payload {
            method,
            url,
            headers,
            body,
            expect_status,
            timeout_ms,
        } = parse(payload)?;
        Ok(Self {
            method: read_method(method.as_deref())?,
            url: read_url(&url)?,
            headers: read_headers(&headers)?,
            body,
            expected: read_expected(expect_status)?,
            timeout: read_timeout(timeout_ms)?,
        })
    }
}

fn read_method(method: Option<&str>) -> Result<Method, PayloadError> {
    let Some(name) = method else {
        return Ok(Method::GET);
    };
    METHODS
        .into_iter()
        .find(|method| method.as_str() == name)
        .ok_or_else(|| {
            let bound = "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS";
            PayloadError::new("method", format!("{name:?}"), bound)
        })
}

fn read_url(text: &str) -> Result<Url, PayloadError> {
    if text.len() > URL_BYTES_MAX {
        let bound = format!("at most {URL_BYTES_MAX} bytes");
        return Err(PayloadError::new(
            "url",
            format!("{} bytes", text.len()),
            bound,
        ));
    }
    let wrong = |problem: String| {
        PayloadError::new(
            "url",
            problem,
            "an absolute http or https URL without user and password",
        )
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    vet_url(&url).map_err(|problem| wrong(problem.to_owned()))?;
    Ok(url)
}

/// What holds for the first URL and for each that a redirect leads to.
pub(super) fn vet_url(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme is neither http nor https");
    }
    if !url.has_host() {
        return Err("it names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password belong in a header");
    }
    Ok(())
}

fn read_headers(headers: &BTreeMap<String, String>) -> Result<HeaderMap, PayloadError> {
    if headers.len() > HEADERS_MAX {
        let problem = format!("{} headers", headers.len());
        return Err(PayloadError::new(
            "headers",
            problem,
            format!("at most {HEADERS_MAX}"),
        ));
    }
    headers
        .iter()
        .map(|(name, value)| read_header(name, value))
        .collect()
}

fn read_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), PayloadError> {
    let wrong =
        |problem: &str, bound: &str| PayloadError::new(&format!("headers.{name}"), problem, bound);
    let Ok(header) = name.parse::<HeaderName>() else {
        return Err(wrong("not a header name", "letters, digits and hyphens"));
    };
    let lower = header.as_str();
    if RESERVED.contains(&lower) || lower.starts_with("tenure-") || lower.starts_with("proxy-") {
        return Err(wrong(
            "reserved",
            "a header that is not set for every request",
        ));
    }
    match HeaderValue::from_str(value) {
        Ok(value) => Ok((header, value)),
        Err(_) => Err(wrong("not a header value", "text without line breaks")),
    }
}

fn read_expected(codes: Option<Vec<u16>>) -> Result<Expected, PayloadError> {
    let Some(codes) = codes else {
        return Ok(Expected::Success);
    };
    if codes.is_empty() || codes.len() > EXPECTED_MAX {
        let problem = format!("{} status codes", codes.len());
        return Err(PayloadError::new(
            "expect_status",
            problem,
            format!("1 to {EXPECTED_MAX}"),
        ));
    }
    match codes
        .iter()
        .enumerate()
        .find(|(_, code)| !(200..=599).contains(*code))
    {
        None => Ok(Expected::These(codes)),
        Some((at, code)) => {
            let field = format!("expect_status[{at}]");
            Err(PayloadError::new(&field, code.to_string(), "200 to 599"))
        }
    }
}

fn read_timeout(ms: Option<u64>) -> Result<Option<Duration>, PayloadError> {
    match ms {
        Some(ms) if !(1..=TIMEOUT_MS_MAX).contains(&ms) => {
            let bound = format!("1 to {TIMEOUT_MS_MAX}");
            Err(PayloadError::new("timeout_ms", ms.to_string(), bound))
        }
        Some(_) | None => Ok(ms.map(Duration::from_millis)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::worker::kinds::tests::raw;

    #[test]
    fn a_payload_is_refused_by_field() {
        let url = "https://example.org/";
        let table = [
            (json!({}), "payload.url"),
            (json!({"url": "example.org"}), "payload.url"),
            (json!({"url": "ftp://example.org/"}), "payload.url"),
            (json!({"url": "https://user@example.org/"}), "payload.url"),
            (
                json!({"url": format!("{url}{}", "x".repeat(8192))}),
                "payload.url",
            ),
            (json!({"url": url, "method": "CONNECT"}), "payload.method"),
            (json!({"url": url, "method": "get"}), "payload.method"),
            (
                json!({"url": url, "headers": {"Host": "x"}}),
                "payload.headers.Host",
            ),
            (
                json!({"url": url, "headers": {"Tenure-Fence": "9"}}),
                "payload.headers.Tenure-Fence",
            ),
            (
                json!({"url": url, "headers": {"Idempotency-Key": "9"}}),
                "payload.headers.Idempotency-Key",
            ),
            (
                json!({"url": url, "headers": {"a b": "x"}}),
                "payload.headers.a b",
            ),
            (
                json!({"url": url, "headers": {"a": "x\r\ny: z"}}),
                "payload.headers.a",
            ),
            (
                json!({"url": url, "headers": {"a": 1}}),
                "payload.headers.a",
            ),
            (json!({"url": url, "body": {}}), "payload.body"),
            (
                json!({"url": url, "expect_status": []}),
                "payload.expect_status",
            ),
            (
                json!({"url": url, "expect_status": [200, 99]}),
                "payload.expect_status[1]",
            ),
            (json!({"url": url, "timeout_ms": 0}), "payload.timeout_ms"),
            (json!({"url": url, "follow": true}), "payload.follow"),
        ];

        for (payload, field) in table {
            let error = Asked::read(&raw(&payload)).unwrap_err();
            assert_eq!(error.field, field, "{error}");
        }
    }
}
