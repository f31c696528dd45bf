//! What a request brings: its body within a bound, its parameters; every fault named.

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::wire::FieldError;

/// A JSON body of at most `max` bytes; `what` names it where it is larger.
pub(super) async fn json(
    headers: &HeaderMap,
    body: Body,
    max: usize,
    what: &str,
) -> Result<Bytes, ApiError> {
    is_json(headers)?;
    let too_large = || ApiError::TooLarge {
        what: what.to_owned(),
        max,
        unit: "bytes",
        pointer: None,
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > max as u64) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, max).await.map_err(|error| {
        // The limit is told by a type of http-body-util, which is not ours to name; its text is stable enough to tell.
        let limit = std::error::Error::source(&error)
            .is_some_and(|cause| cause.to_string().contains("limit"));
        if limit {
            too_large()
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
