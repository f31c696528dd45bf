//! What a request brings: its body within a bound, its parameters; every fault named.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::ApiError;
use super::wire::FieldError;

/// 30 s for a body to arrive: what is announced and does not come would hold its place for ever.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// 32 characters are told of a text that is no number.
const NUMBER_CHARS_MAX: usize = 32;

/// A bound of a body, in bytes; `what` names it where it is larger.
#[derive(Clone, Copy)]
pub(super) struct AtMost {
    pub(super) max: usize,
    pub(super) what: &'static str,
}

impl AtMost {
    fn too_large(self) -> ApiError {
        ApiError::TooLarge {
            what: self.what.to_owned(),
            max: self.max,
            unit: "bytes",
            pointer: None,
        }
    }
}

/// Whether the headers announce JSON, and no more than may come.
pub(super) fn may_come(headers: &HeaderMap, at_most: AtMost) -> Result<(), ApiError> {
    is_json(headers)?;
    let announced: Option<usize> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > at_most.max) {
        return Err(at_most.too_large());
    }
    Ok(())
}

/// The body. `came` is told of each part's length before it is kept, and may refuse it.
pub(super) async fn read(
    body: Body,
    at_most: AtMost,
    mut came: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    let read = timeout(ARRIVES_WITHIN, async {
        let mut parts = body.into_data_stream();
        let mut bytes = BytesMut::new();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|problem| ApiError::Body(problem.to_string()))?;
            if bytes.len() + part.len() > at_most.max {
                return Err(at_most.too_large());
            }
            came(part.len())?;
            bytes.extend_from_slice(&part);
        }
        Ok(bytes.freeze())
    });
    read.await.unwrap_or_else(|_| {
        let late = format!("it took longer than {} s", ARRIVES_WITHIN.as_secs());
        Err(ApiError::Body(late))
    })
}

fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], axum::http::HeaderValue::as_bytes);
    let essence = given
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    Err(ApiError::MediaType(
        String::from_utf8_lossy(given).chars().take(64).collect(),
    ))
}

/// The query; parameters that are not known are refused.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    Query::try_from_uri(uri)
        .map(|Query(query)| query)
        .map_err(|refused| {
            let text = std::error::Error::source(&refused)
                .map_or_else(|| refused.body_text(), ToString::to_string);
            parameter("query", text)
        })
}

/// A number of a query, 1 to `max`.
pub(super) fn number(
    field: &str,
    text: Option<&str>,
    default: usize,
    max: usize,
) -> Result<usize, ApiError> {
    let Some(text) = text else {
        return Ok(default);
    };
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=max).contains(number));
    let text: String = text.chars().take(NUMBER_CHARS_MAX).collect();
    number.ok_or_else(|| parameter(field, format!("`{text}` is not in 1 to {max}")))
}

/// A fault of one parameter.
pub(super) fn parameter(field: &str, detail: impl Into<String>) -> ApiError {
    let fault = FieldError {
        pointer: String::new(),
        field: field.to_owned(),
        detail: detail.into(),
    };
    ApiError::Parameter(vec![fault])
}
