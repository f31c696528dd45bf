//! What a request brings: its body within a bound, its parameters; every fault named.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::ApiError;
use super::wire::FieldError;

/// 30 s for a body to arrive: what is announced and does not come would hold its place for ever.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

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

/// How many bytes of JSON come at most, by what the headers announce.
pub(super) fn announced(headers: &HeaderMap, at_most: AtMost) -> Result<usize, ApiError> {
    is_json(headers)?;
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length > at_most.max => Err(at_most.too_large()),
        Some(length) => Ok(length),
        None => Ok(at_most.max),
    }
}

/// The body.
pub(super) async fn read(body: Body, at_most: AtMost) -> Result<Bytes, ApiError> {
    let read = timeout(ARRIVES_WITHIN, axum::body::to_bytes(body, at_most.max)).await;
    let Ok(read) = read else {
        let late = format!("it took longer than {} s", ARRIVES_WITHIN.as_secs());
        return Err(ApiError::Body(late));
    };
    read.map_err(|error| {
        // The limit is told by a type of http-body-util, which is not ours to name; its text is stable enough to tell.
        let limit = std::error::Error::source(&error)
            .is_some_and(|cause| cause.to_string().contains("limit"));
        if limit {
            at_most.too_large()
        } else {
            ApiError::Body(error.to_string())
        }
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

/// A fault of one parameter.
pub(super) fn parameter(field: &str, detail: impl Into<String>) -> ApiError {
    let fault = FieldError {
        pointer: String::new(),
        field: field.to_owned(),
        detail: detail.into(),
    };
    ApiError::Parameter(vec![fault])
}
